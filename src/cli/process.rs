//! What the system says of this process.

/// Bytes of memory that this process holds, where the system tells.
pub fn memory() -> Option<u64> {
    status("VmRSS:")
}

/// Most bytes that this process held since it began, or since [`reset_peak`], where the system tells.
pub fn peak() -> Option<u64> {
    status("VmHWM:")
}

/// Begins to measure [`peak`] anew; where the system does not allow that, it goes on.
pub fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn status(key: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kb| kb * 1024)
}

#[cfg(test)]
mod tests {
    #[test]
    fn memory_is_told_where_the_system_tells() {
        assert!(super::memory().is_none_or(|bytes| bytes > 1_000_000));
        let block = vec![1_u8; 40_000_000];
        assert!(super::peak().is_none_or(|peak| peak > block.len() as u64));
    }
}
