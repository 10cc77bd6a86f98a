//! The search alone: a file of hashes, one in hexadecimal digits a line.

use super::options;
use crate::cli::output;
use crate::error::{Error, Result};
use crate::input::Source;
use crate::report::json;
use crate::tasks::dedup::group::{Merit, stars};
use crate::tasks::dedup::hash::{Bits, Hash};
use crate::tasks::dedup::near::near;
use std::collections::HashMap;

/// Hashes of a file by line.
struct Lines {
    name: String,
    bits: Bits,
    /// Each hash once, by its first line.
    hashes: Vec<Hash>,
    /// The lines, counted from 1, on which each stands.
    lines: Vec<Vec<usize>>,
}

/// Searches the hashes of `source` for those within `threshold` bits of each other and prints the groups, or each pair.
pub fn search(source: &Source, threshold: Option<u32>, pairs: bool, as_json: bool) -> Result<()> {
    let read = read(source)?;
    let threshold = options::threshold(threshold, read.bits)?.unwrap_or(options::alone(read.bits));
    let hashes: Vec<&[Hash]> = read.hashes.iter().map(std::slice::from_ref).collect();
    let found = near(&hashes, read.bits, threshold);
    if pairs {
        return print_pairs(
            &read,
            &found.iter().map(|n| (n.a as usize, n.b as usize, n.distance)).collect::<Vec<_>>(),
            as_json,
        );
    }
    let edges: Vec<(usize, usize, u32)> = found.iter().map(|n| (n.a as usize, n.b as usize, n.distance)).collect();
    // The first line of a group is the one to keep.
    let merits = vec![Merit::new(false, 0, 0, 0); read.hashes.len()];
    let mut groups: Vec<Vec<(usize, u32)>> =
        stars(&merits, &edges).into_iter().map(|s| std::iter::once((s.keep, 0)).chain(s.others).collect()).collect();
    let mut grouped = vec![false; read.hashes.len()];
    groups.iter().flatten().for_each(|(hash, _)| grouped[*hash] = true);
    let alone = (0..read.hashes.len()).filter(|&h| !grouped[h] && read.lines[h].len() > 1);
    groups.extend(alone.map(|h| vec![(h, 0)]));
    groups.sort_by_key(|g| g[0].0);
    for group in groups {
        let members: Vec<(usize, String, u32)> = group
            .iter()
            .flat_map(|&(h, distance)| {
                let hex = read.hashes[h].hex(read.bits);
                read.lines[h].iter().map(move |&line| (line, hex.clone(), distance))
            })
            .collect();
        if as_json {
            output::line(&json::hash_group(&read.name, &members)?)?;
        } else {
            let line = |(line, hex, distance): &(usize, String, u32)| format!("{line} {hex} {distance}");
            output::line(&members.iter().map(line).collect::<Vec<_>>().join("\n"))?;
            output::line("")?;
        }
    }
    Ok(())
}

fn print_pairs(read: &Lines, found: &[(usize, usize, u32)], as_json: bool) -> Result<()> {
    let print = |a: usize, b: usize, distance: u32| {
        let (a, b) = (a.min(b), a.max(b));
        output::line(&if as_json { json::hash_pair(a, b, distance)? } else { format!("{a} {b} {distance}") })
    };
    for same in &read.lines {
        for (i, &a) in same.iter().enumerate() {
            same[i + 1..].iter().try_for_each(|&b| print(a, b, 0))?;
        }
    }
    for &(a, b, distance) in found {
        for &line in &read.lines[a] {
            read.lines[b].iter().try_for_each(|&other| print(line, other, distance))?;
        }
    }
    Ok(())
}

fn read(source: &Source) -> Result<Lines> {
    let name = source.name();
    let bytes = source.read()?;
    let bad = |line: usize, message: String| Error::Input(format!("{name}: line {line}: {message}"));
    let mut read = Lines { name: name.clone(), bits: Bits::B64, hashes: Vec::new(), lines: Vec::new() };
    let mut known: HashMap<Hash, usize> = HashMap::new();
    for (i, line) in bytes.split(|&b| b == b'\n').enumerate() {
        let text = String::from_utf8_lossy(line);
        // Behind the hash may stand a name, as `dedup hash` writes it.
        let Some(word) = text.split_whitespace().next() else { continue };
        let (hash, bits) = Hash::parse(word).ok_or_else(|| {
            let start: String = word.chars().take(80).collect();
            bad(i + 1, format!("expected 16 or 64 hexadecimal digits, found {start:?}"))
        })?;
        if read.hashes.is_empty() {
            read.bits = bits;
        } else if bits != read.bits {
            return Err(bad(i + 1, "this hash has another size than those before it".into()));
        }
        let at = *known.entry(hash).or_insert(read.hashes.len());
        if at == read.hashes.len() {
            read.hashes.push(hash);
            read.lines.push(Vec::new());
        }
        read.lines[at].push(i + 1);
    }
    if read.hashes.is_empty() {
        return Err(Error::Input(format!("{name}: no hashes; expected one in hexadecimal digits a line")));
    }
    Ok(read)
}
