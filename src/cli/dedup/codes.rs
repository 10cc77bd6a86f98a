//! The search alone: a file of hashes, one in hexadecimal digits a line.

use super::options;
use crate::cli::args::restore_stdin;
use crate::cli::output;
use crate::error::{Error, Result};
use crate::input::Source;
use crate::report::json;
use crate::tasks::dedup::group::{Merit, stars};
use crate::tasks::dedup::hash::{Bits, Hash};
use crate::tasks::dedup::near::{Members, Near, distinct, near};

/// Hashes of a file.
struct Lines {
    name: String,
    bits: Bits,
    /// Each hash once.
    hashes: Vec<Hash>,
    /// By hash the places among `numbers`.
    members: Members,
    /// The numbers of the lines that hold a hash, counted from 1.
    numbers: Vec<u32>,
}

impl Lines {
    /// The lines that hold a hash.
    fn of(&self, hash: u32) -> impl Iterator<Item = u32> + '_ {
        self.members.of(hash as usize).iter().map(|&at| self.numbers[at as usize])
    }

    fn first(&self, hash: u32) -> u32 {
        self.of(hash).next().unwrap_or_default()
    }
}

/// Searches the hashes of the file `name`, or of standard input, for those within `threshold` bits of each other and prints the groups, or each pair.
pub fn search(name: &str, threshold: Option<u32>, pairs: bool, as_json: bool) -> Result<()> {
    let source = match restore_stdin(name).as_str() {
        "-" => Source::Stdin,
        name => Source::File(name.into()),
    };
    let read = read(&source)?;
    let threshold = options::threshold(threshold, read.bits)?.unwrap_or(options::alone(read.bits));
    let found = {
        let hashes: Vec<&[Hash]> = read.hashes.iter().map(std::slice::from_ref).collect();
        near(&hashes, read.bits, threshold)
    };
    if pairs {
        return print_pairs(&read, &found, as_json);
    }
    // Of those that have a neighbour: the first line of a group is the one to keep.
    let mut involved: Vec<u32> = found.iter().flat_map(|n| [n.a, n.b]).collect();
    involved.sort_unstable();
    involved.dedup();
    let at = |hash: u32| involved.binary_search(&hash).unwrap_or_default();
    let edges: Vec<(usize, usize, u32)> = found.iter().map(|n| (at(n.a), at(n.b), n.distance)).collect();
    let merits: Vec<Merit> = involved.iter().map(|&h| Merit::new(false, 0, 0, i64::from(read.first(h)))).collect();
    let mut groups: Vec<Vec<(u32, u32)>> = Vec::new();
    let mut alone = vec![true; read.hashes.len()];
    for star in stars(&merits, &edges) {
        let members = std::iter::once((star.keep, 0)).chain(star.others);
        groups.push(members.map(|(i, distance)| (involved[i], distance)).collect());
    }
    groups.iter().flatten().for_each(|(hash, _)| alone[*hash as usize] = false);
    let repeated = (0..read.hashes.len() as u32).filter(|&h| alone[h as usize] && read.of(h).nth(1).is_some());
    groups.extend(repeated.map(|h| vec![(h, 0)]));
    groups.sort_by_key(|g| read.first(g[0].0));
    for group in groups {
        let members: Vec<(u32, String, u32)> = group
            .iter()
            .flat_map(|&(h, distance)| {
                let hex = read.hashes[h as usize].hex(read.bits);
                read.of(h).map(move |line| (line, hex.clone(), distance))
            })
            .collect();
        if as_json {
            output::line(&json::hash_group(&read.name, &members)?)?;
        } else {
            let line = |(line, hex, distance): &(u32, String, u32)| format!("{line} {hex} {distance}\n");
            output::line(&members.iter().map(line).collect::<String>())?;
        }
    }
    Ok(())
}

fn print_pairs(read: &Lines, found: &[Near], as_json: bool) -> Result<()> {
    let print = |a: u32, b: u32, distance: u32| {
        let (a, b) = (a.min(b), a.max(b));
        output::line(&if as_json { json::hash_pair(a, b, distance)? } else { format!("{a} {b} {distance}") })
    };
    for hash in 0..read.hashes.len() as u32 {
        for (i, a) in read.of(hash).enumerate() {
            read.of(hash).skip(i + 1).try_for_each(|b| print(a, b, 0))?;
        }
    }
    for near in found {
        for a in read.of(near.a) {
            read.of(near.b).try_for_each(|b| print(a, b, near.distance))?;
        }
    }
    Ok(())
}

fn read(source: &Source) -> Result<Lines> {
    let name = source.name();
    let bytes = source.read()?;
    let bad = |line: usize, message: String| Error::Input(format!("{name}: line {line}: {message}"));
    let (mut hashes, mut numbers, mut size) = (Vec::new(), Vec::new(), None);
    for (i, line) in bytes.split(|&b| b == b'\n').enumerate() {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_start_matches('\u{feff}');
        // Behind the hash may stand a name, as `dedup hash` writes it.
        let Some(word) = text.split_whitespace().next() else { continue };
        let (hash, bits) = Hash::parse(word).ok_or_else(|| {
            let start: String = word.chars().take(80).collect();
            bad(i + 1, format!("expected 16 or 64 hexadecimal digits, found {start:?}"))
        })?;
        if *size.get_or_insert(bits) != bits {
            return Err(bad(i + 1, "this hash has another size than those before it".into()));
        }
        hashes.push(hash);
        numbers.push(i as u32 + 1);
    }
    let Some(bits) = size else {
        return Err(Error::Input(format!("{name}: no hashes; expected one in hexadecimal digits a line")));
    };
    drop(bytes);
    let (hashes, members) = distinct(&hashes);
    Ok(Lines { name, bits, hashes, members, numbers })
}
