//! What the trunk says of the pictures, kept on disk between runs: a file a picture, named by what it was made from.

use super::check::{Fault, Faults, Labelled};
use crate::cli::{batch, output};
use crate::error::Result;
use crate::input::{self, Source};
use crate::train::cells::{Example, Seen, Trunk};
use fastrand::Rng;
use half::f16;
use sha2::{Digest, Sha256};
use std::path::Path;

/// The looks of each picture in `labelled`: as it is, mirrored where `mirror` says that makes sense, and `more` in other
/// light. Those in `folder` are not computed again. Also the hash of all pictures; pictures that cannot be decoded are
/// added to `faults`.
pub fn look(
    labelled: &[Labelled],
    trunk: &Trunk,
    about: &str,
    (mirror, more): (bool, usize),
    folder: &Path,
    options: batch::Options,
    faults: &mut Faults,
) -> Result<(Vec<Example>, String)> {
    let sources: Vec<Source> = labelled.iter().map(|l| Source::File(l.picture.clone())).collect();
    let mut examples = Vec::new();
    let mut all = Sha256::new();
    let work = |at: usize, source: &Source| {
        let bytes = source.read()?;
        let key = hex(Sha256::new().chain_update(about).chain_update([0]).chain_update(&bytes));
        let file = folder.join(format!("{key}.looks"));
        let kept = std::fs::read(&file).ok().and_then(|bytes| decode(&bytes));
        if let Some(looks) = kept.filter(|l| l.len() == (1 + usize::from(mirror)) + more) {
            return Ok((key, looks));
        }
        let image = input::decode(&source.name(), &bytes, &options.limits)?;
        let mut looks = vec![(trunk.look(&image)?, false)];
        if mirror {
            looks.push((trunk.look(&crate::train::cells::mirrored(&image)?)?, true));
        }
        // The same for a picture whatever else is in the set.
        let mut rng = Rng::with_seed(u64::from_str_radix(key.get(..16).unwrap_or_default(), 16).unwrap_or(at as u64));
        for i in 0..more {
            let turned = mirror && i % 2 == 1;
            looks.push((trunk.look_anew(&image, turned, &mut rng)?, turned));
        }
        output::write_file(&file, &encode(&looks))?;
        Ok((key, looks))
    };
    batch::each_source(&sources, options, work, |at, result| {
        match (result, labelled.get(at)) {
            (Ok((key, looks)), Some(one)) => {
                all.update(key);
                examples.push(Example { looks, bits: one.bits.clone() });
            }
            (Err(error), _) => faults.add(Fault::Unreadable, error.one_line()),
            _ => {}
        }
        Ok(())
    })?;
    Ok((examples, hex(all)))
}

/// A hash in hexadecimal digits.
pub fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// Number of looks; then of each whether it is mirrored, and its three arrays, each with its length before it. All
/// little-endian.
fn encode(looks: &[(Seen, bool)]) -> Vec<u8> {
    let mut bytes = (looks.len() as u32).to_le_bytes().to_vec();
    for (seen, mirrored) in looks {
        bytes.push(u8::from(*mirrored));
        for part in [&seen.squares, &seen.deep, &seen.whole] {
            bytes.extend((part.len() as u32).to_le_bytes());
            bytes.extend(part.iter().flat_map(|v| v.to_le_bytes()));
        }
    }
    bytes
}

/// `None` for a file that was not written by [`encode`].
fn decode(mut bytes: &[u8]) -> Option<Vec<(Seen, bool)>> {
    let take = |bytes: &mut &[u8], count: usize| {
        let (taken, rest) = bytes.split_at_checked(count)?;
        *bytes = rest;
        Some(taken.to_vec())
    };
    let number = |bytes: &mut &[u8]| take(bytes, 4).and_then(|b| Some(u32::from_le_bytes(b.try_into().ok()?) as usize));
    let part = |bytes: &mut &[u8]| {
        let count = number(bytes)?;
        let data = take(bytes, count.checked_mul(2)?)?;
        Some(data.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]])).collect::<Vec<_>>())
    };
    let mut looks = Vec::new();
    for _ in 0..number(&mut bytes)? {
        let mirrored = take(&mut bytes, 1)? == [1];
        let (squares, deep, whole) = (part(&mut bytes)?, part(&mut bytes)?, part(&mut bytes)?);
        looks.push((Seen { squares, deep, whole }, mirrored));
    }
    bytes.is_empty().then_some(looks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_looks_come_back() {
        let values = |n: usize| (0..n).map(|i| f16::from_f32(i as f32 / 7.0)).collect::<Vec<_>>();
        let looks = vec![
            (Seen { squares: values(5), deep: values(3), whole: values(2) }, false),
            (Seen { squares: values(1), deep: values(0), whole: values(4) }, true),
        ];
        let bytes = encode(&looks);
        assert_eq!(decode(&bytes), Some(looks));
        assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(decode(b"\xff\xff\xff\xff"), None);
        assert_eq!(decode(b""), None);
    }
}
