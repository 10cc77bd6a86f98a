//! Contents and perceptual hashes of many files, from the cache where it knows them.

use super::cache::{CONTENT, Cache, Fact};
use super::files::File;
use crate::cli::batch::{self, Event, each, guarded};
use crate::error::{Error, Result};
use crate::input::{Source, overview};
use crate::tasks::dedup::hash::Bits;
use crate::tasks::dedup::{Hashing, Print, Small, print};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, PoisonError};

/// How files are hashed.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The hash.
    pub hashing: Hashing,
    /// Decode all pixels, as other programs do.
    pub whole: bool,
    /// Hash anew what the cache knows.
    pub recompute: bool,
    /// Threads, progress, limits.
    pub options: batch::Options,
}

impl Settings {
    /// The name of all that shapes a hash: one in the cache counts only under the same name.
    pub fn algorithm(&self) -> String {
        let bits = if self.hashing.bits == Bits::B64 { 64 } else { 256 };
        let turns = if self.hashing.turns { " turns" } else { "" };
        format!("{} {bits}{turns}{} 1", self.hashing.method.name(), if self.whole { " whole" } else { "" })
    }

    /// Hashes one file.
    pub fn print(&self, source: &Source) -> Result<(Print, Small)> {
        let bytes = source.read()?;
        self.print_bytes(source, &bytes)
    }

    fn print_bytes(&self, source: &Source, bytes: &[u8]) -> Result<(Print, Small)> {
        print(&overview(&source.name(), bytes, &self.options.limits, self.whole)?, self.hashing)
    }
}

/// Files of the same bytes, each list in input order; a file that has no equal is alone in its list. Only files of the
/// same size are read. Those that cannot be read go to `troubles`.
pub fn exact(
    files: &[File],
    settings: &Settings,
    cache: &mut Cache,
    troubles: &mut Vec<(Source, Error)>,
) -> Result<Vec<Vec<usize>>> {
    let mut sizes: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (i, file) in files.iter().enumerate() {
        sizes.entry(file.size).or_default().push(i);
    }
    let twins: Vec<usize> = sizes.values().filter(|same| same.len() > 1).flatten().copied().collect();
    let mut contents: BTreeMap<usize, [u8; 32]> = BTreeMap::new();
    let mut unknown = Vec::new();
    for i in twins {
        match cache.get(&files[i], CONTENT).filter(|_| !settings.recompute) {
            Some(Fact::Content(hash)) => drop(contents.insert(i, *hash)),
            _ => unknown.push(i),
        }
    }
    let read = |i: usize| guarded(&files[i].source(), || files[i].source().read().map(|b| Sha256::digest(b).into()));
    let mut bad = Vec::new();
    run(&unknown, settings, "files of equal size read", read, cache, |i, result, cache| match result {
        Ok(hash) => {
            contents.insert(i, hash);
            cache.put(&files[i], CONTENT, Fact::Content(hash), None)
        }
        Err(error) => {
            bad.push((i, error));
            Ok(())
        }
    })?;
    bad.sort_by_key(|(i, _)| *i);
    let left_out: Vec<usize> = bad.iter().map(|(i, _)| *i).collect();
    troubles.extend(bad.into_iter().map(|(i, error)| (files[i].source(), error)));
    let mut equal: BTreeMap<(u64, Option<[u8; 32]>), Vec<usize>> = BTreeMap::new();
    for (i, file) in files.iter().enumerate().filter(|(i, _)| left_out.binary_search(i).is_err()) {
        equal.entry((file.size, contents.get(&i).copied())).or_default().push(i);
    }
    let mut classes: Vec<Vec<usize>> = equal.into_values().collect();
    classes.sort();
    Ok(classes)
}

/// The prints of the files with the numbers `wanted`, in their order; None where a file cannot be hashed, with the reason
/// in `troubles`. Also returns how many the cache knew.
pub fn prints(
    files: &[File],
    wanted: &[usize],
    settings: &Settings,
    cache: &mut Cache,
    troubles: &mut Vec<(Source, Error)>,
) -> Result<(Vec<Option<Print>>, usize)> {
    let algorithm = settings.algorithm();
    let mut prints: BTreeMap<usize, Print> = BTreeMap::new();
    let mut unknown = Vec::new();
    for &i in wanted {
        match cache.get(&files[i], &algorithm).filter(|_| !settings.recompute) {
            Some(Fact::Print(print)) => drop(prints.insert(i, print.clone())),
            _ => unknown.push(i),
        }
    }
    let known = prints.len();
    // More readers than workers: while some wait for the disk, the others compute.
    let gate = Gate::new(settings.options.threads);
    let hash = |i: usize| {
        let source = files[i].source();
        guarded(&source, || {
            let bytes = source.read()?;
            gate.within(|| settings.print_bytes(&source, &bytes))
        })
    };
    let mut bad = Vec::new();
    run(&unknown, settings, "photographs hashed", hash, cache, |i, result, cache| match result {
        Ok((print, small)) => {
            cache.put(&files[i], &algorithm, Fact::Print(print.clone()), Some(&small))?;
            prints.insert(i, print);
            Ok(())
        }
        Err(error) => {
            bad.push((i, error));
            Ok(())
        }
    })?;
    bad.sort_by_key(|(i, _)| *i);
    troubles.extend(bad.into_iter().map(|(i, error)| (files[i].source(), error)));
    Ok((wanted.iter().map(|i| prints.remove(i)).collect(), known))
}

/// Works on the files with the numbers `items`, twice as many at a time as there are threads, with a progress line.
fn run<T: Send>(
    items: &[usize],
    settings: &Settings,
    what: &str,
    work: impl Fn(usize) -> Result<T> + Sync,
    cache: &mut Cache,
    mut done: impl FnMut(usize, Result<T>, &mut Cache) -> Result<()>,
) -> Result<()> {
    let progress = batch::progress(items.len() as u64, settings.options.quiet, what);
    each(
        items.len(),
        2 * settings.options.threads,
        |at| work(items[at]),
        |event| match event {
            Event::Done(at, result) => {
                progress.inc(1);
                done(items[at], result, cache)
            }
            Event::Tick => cache.flush_in_time(),
        },
    )?;
    progress.finish_and_clear();
    cache.flush()
}

/// Lets so many threads through at a time.
struct Gate {
    free: Mutex<usize>,
    left: Condvar,
}

impl Gate {
    fn new(threads: usize) -> Self {
        Gate { free: Mutex::new(threads), left: Condvar::new() }
    }

    fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Leave<'a>(&'a Gate);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                self.0.left.notify_one();
            }
        }
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.left.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        drop(free);
        let _leave = Leave(self);
        work()
    }
}
