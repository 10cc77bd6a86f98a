//! What the system says of this process.

/// Bytes of memory that this process holds, where the system tells.
pub fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kb| kb * 1024)
}

#[cfg(test)]
mod tests {
    #[test]
    fn memory_is_told_where_the_system_tells() {
        assert!(super::memory().is_none_or(|bytes| bytes > 1_000_000));
    }
}
