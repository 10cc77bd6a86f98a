//! Which pictures of a data set are nearly the same: the search of `dedup`, in memory and without its cache.

use crate::cli::batch::{self, Options};
use crate::error::{Error, Result};
use crate::input::{Source, overview};
use crate::tasks::dedup::hash::{Bits, Method};
use crate::tasks::dedup::look::{self, Look};
use crate::tasks::dedup::near::near;
use crate::tasks::dedup::{Hashing, Print, Small, print};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::PathBuf;

const HASHING: Hashing = Hashing { method: Method::Phash, bits: Bits::B64, turns: false };
/// Bits in which hashes may differ before a second look, as for `dedup`.
const THRESHOLD: u32 = 16;
/// Correlation of their structure from which two pictures show the same, whatever their frames: a drawing that was scanned
/// again, a little turned, is nothing new to one who has learned from the first scan. Different drawings on the same form
/// reach 0.84, scans of one drawing that are turned by half a degree 0.89.
const ALIKE: f32 = 0.87;

/// What was found among pictures.
#[derive(Debug, Default)]
pub struct Likes {
    /// Pictures of the same bytes, two or more, by their places.
    pub equal: Vec<Vec<usize>>,
    /// Pictures that are nearly the same, equal ones too, two or more.
    pub groups: Vec<Vec<usize>>,
    /// Pictures that cannot be decoded.
    pub troubles: Vec<(usize, Error)>,
}

/// Looks for pictures that are nearly the same. Groups are chains: whatever is like one member belongs to it, as nothing
/// that was seen in training may be measured with. About 5 kB of memory a picture.
pub fn likes(paths: &[PathBuf], options: Options) -> Result<Likes> {
    let sources: Vec<Source> = paths.iter().cloned().map(Source::File).collect();
    let mut found = Likes::default();
    let mut contents: BTreeMap<[u8; 32], Vec<usize>> = BTreeMap::new();
    let mut prints: Vec<(usize, Print, Small)> = Vec::new();
    let work = |_: usize, source: &Source| -> Result<([u8; 32], Print, Small)> {
        let bytes = source.read()?;
        let (print, small) = print(&overview(&source.name(), &bytes, &options.limits, false)?, HASHING)?;
        Ok((Sha256::digest(&bytes).into(), print, small))
    };
    batch::each_source(&sources, options, work, |at, result| {
        match result {
            Ok((content, print, small)) => {
                let equal = contents.entry(content).or_default();
                equal.push(at);
                // Equal files are alike; blank pictures are like every other blank picture.
                if equal.len() == 1 && print.detail >= look::BLANK {
                    prints.push((at, print, small));
                }
            }
            Err(error) => found.troubles.push((at, error)),
        }
        Ok(())
    })?;
    let hashes: Vec<_> = prints.iter().map(|(_, print, _)| print.hashes.as_slice()).collect();
    let pairs = near(&hashes, HASHING.bits, THRESHOLD);
    let look = |i: u32| {
        let (_, print, small) = &prints[i as usize];
        Look::new(small.to_gray(), (print.width, print.height))
    };
    // One picture's pairs follow each other: its look is made once.
    let runs: Vec<_> = pairs.chunk_by(|p, q| p.a == q.a).collect();
    let same = |run: &&[crate::tasks::dedup::near::Near]| {
        let first = run.first().map(|p| look(p.a));
        let alike = |b: u32| {
            first.as_ref().and_then(|a| a.compare(&look(b))).is_some_and(|l| l.is_same() || l.correlation >= ALIKE)
        };
        run.iter().filter(|p| alike(p.b)).map(|p| (p.a, p.b)).collect::<Vec<_>>()
    };
    let same: Vec<Vec<(u32, u32)>> = runs.par_iter().map(same).collect();
    let mut union = Union((0..paths.len()).collect());
    for (a, b) in same.into_iter().flatten() {
        union.join(prints[a as usize].0, prints[b as usize].0);
    }
    found.equal = contents.into_values().filter(|equal| equal.len() > 1).collect();
    found.equal.sort();
    for equal in &found.equal {
        equal.windows(2).for_each(|pair| union.join(pair[0], pair[1]));
    }
    found.groups = union.groups();
    Ok(found)
}

/// Disjoint sets: the place of each item's parent, a root's is its own.
struct Union(Vec<usize>);

impl Union {
    fn root(&mut self, mut item: usize) -> usize {
        while self.0[item] != item {
            self.0[item] = self.0[self.0[item]];
            item = self.0[item];
        }
        item
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }

    /// The sets of two and more.
    fn groups(mut self) -> Vec<Vec<usize>> {
        let mut sets: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for item in 0..self.0.len() {
            sets.entry(self.root(item)).or_default().push(item);
        }
        sets.into_values().filter(|set| set.len() > 1).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_become_groups() {
        let mut union = Union((0..7).collect());
        for (a, b) in [(5, 2), (1, 0), (2, 6), (6, 5)] {
            union.join(a, b);
        }
        assert_eq!(union.groups(), [vec![0, 1], vec![2, 5, 6]]);
    }
}
