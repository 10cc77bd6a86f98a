//! What `ocellus dedup` does with many files: list, compare contents, hash, search, look again, group.

pub mod cache;
pub mod codes;
pub mod compare;
pub mod files;
pub mod hashing;
pub mod moving;
pub mod options;
pub mod sheet;

use crate::cli::{batch, output};
use crate::error::{Error, Result};
use crate::input::Source;
use crate::preprocess::overview::{TURNS, turned_image};
use crate::report::duplicates::{self, Group, Member, Totals};
use crate::report::json;
use crate::tasks::dedup::group::{Merit, stars};
use crate::tasks::dedup::hash::Bits;
use crate::tasks::dedup::look;
use crate::tasks::dedup::near::{Near, near};
use crate::tasks::dedup::{Print, Small};
use crate::tasks::embed::{Embedder, cosine_similarity};
use crate::tasks::timed;
use cache::Cache;
use files::{File, Listing};
use hashing::Settings;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// What one run found.
#[derive(Debug)]
pub struct Found {
    /// The files that were compared.
    pub files: Vec<File>,
    /// Groups of duplicates, by their kept file's place among the files.
    pub groups: Vec<Group>,
    /// Files that could not be used, with the reason, in input order.
    pub troubles: Vec<(Source, Error)>,
    /// Counts for the summary.
    pub totals: Totals,
}

impl Found {
    /// Prints what could not be used, the groups, and the summary.
    pub fn print(&self, bits: Bits, as_json: bool) -> Result<()> {
        for (source, error) in &self.troubles {
            batch::complain(source, error);
            if as_json {
                output::line(&json::failed("dedup", &source.name(), error)?)?;
            }
        }
        for (i, group) in self.groups.iter().enumerate() {
            let text = || Ok(duplicates::group(i + 1, group));
            output::line(&if as_json { json::dedup_group(group, bits) } else { text() }?)?;
        }
        let text = || Ok(duplicates::summary(&self.totals));
        output::line(&if as_json { json::dedup_summary(&self.totals, self.troubles.len()) } else { text() }?)
    }
}

/// How near photographs become groups.
#[derive(Debug)]
pub struct Rules<'a> {
    /// Bits in which hashes of near photographs may differ.
    pub threshold: u32,
    /// Take near hashes for near photographs, without a second look.
    pub hash_only: bool,
    /// Confirm near photographs by the cosine of their feature vectors, at least this.
    pub verify: Option<(&'a Embedder, f32)>,
}

/// An edge between two classes of equal files.
#[derive(Debug, Clone, Copy)]
struct Edge {
    near: Near,
    cosine: Option<f32>,
}

/// Finds the duplicates among the files of `listing`.
pub fn search(listing: Listing, settings: &Settings, rules: &Rules, cache: &mut Cache) -> Result<Found> {
    let Listing { files, mut troubles, links, aliases } = listing;
    let mut totals = Totals { files: files.len(), links, aliases, ..Totals::default() };
    let mut classes = hashing::exact(&files, settings, cache, &mut troubles)?;
    // The best of equal files stands for them: a reference, else the oldest.
    for class in &mut classes {
        class.sort_by_key(|&i| (Merit::new(files[i].reference, 0, 0, files[i].modified), i));
    }
    classes.sort();
    let heads: Vec<usize> = classes.iter().map(|c| c[0]).collect();
    let (prints, known) = hashing::prints(&files, &heads, settings, cache, &mut troubles)?;
    totals.hashed = prints.iter().flatten().count() - known;
    totals.known = known;
    for (class, _) in classes.iter().zip(&prints).filter(|(_, print)| print.is_none()) {
        let message = format!("has the same bytes as {}, which is no picture", files[class[0]].path.display());
        for &file in &class[1..] {
            let error = Error::Image { name: files[file].source().name(), message: message.clone(), source: None };
            troubles.push((files[file].source(), error));
        }
    }
    let order: HashMap<&Path, usize> = files.iter().enumerate().map(|(i, f)| (f.path.as_path(), i)).collect();
    troubles.sort_by_key(
        |(source, _)| if let Source::File(path) = source { order.get(path.as_path()).copied() } else { None },
    );

    // Blank pictures are like every other blank picture: only equal files of them are duplicates.
    let compared: Vec<usize> =
        (0..classes.len()).filter(|&c| prints[c].as_ref().is_some_and(|p| p.detail >= look::BLANK)).collect();
    totals.blank = prints.iter().flatten().count() - compared.len();
    let edges = edges(&compared, &files, &heads, &prints, settings, rules, cache)?;
    let merit = |c: usize| {
        let (file, print) = (&files[heads[c]], &prints[c]);
        let pixels = print.as_ref().map_or(0, |p| u64::from(p.width) * u64::from(p.height));
        Merit::new(file.reference, pixels, file.size, file.modified)
    };
    let merits: Vec<Merit> = (0..classes.len()).map(merit).collect();
    let edges: Vec<(usize, usize, Edge)> =
        edges.into_iter().map(|e| (e.near.a as usize, e.near.b as usize, e)).collect();
    let mut groups: BTreeMap<usize, Vec<(usize, Option<Edge>)>> =
        (0..classes.len()).filter(|&c| classes[c].len() > 1 && prints[c].is_some()).map(|c| (c, Vec::new())).collect();
    for star in stars(&merits, &edges) {
        let others = star.others.into_iter().map(|(c, edge)| (c, Some(edge)));
        others.clone().for_each(|(c, _)| drop(groups.remove(&c)));
        groups.insert(star.keep, others.collect());
    }
    let groups = groups.into_iter().map(|(keep, others)| group(keep, &others, &classes, &files, &prints));
    let groups: Vec<Group> = groups.filter(|g| g.members[1..].iter().any(|m| !m.reference)).collect();
    totals.count(&groups);
    Ok(Found { files, groups, troubles, totals })
}

/// The pairs of classes that are near photographs.
fn edges(
    compared: &[usize],
    files: &[File],
    heads: &[usize],
    prints: &[Option<Print>],
    settings: &Settings,
    rules: &Rules,
    cache: &Cache,
) -> Result<Vec<Edge>> {
    let hashes: Vec<_> = compared.iter().filter_map(|&c| prints[c].as_ref().map(|p| p.hashes.as_slice())).collect();
    let spinner = batch::stage(settings.options.quiet, "searching for near hashes");
    let mut pairs = timed("search", || near(&hashes, settings.hashing.bits, rules.threshold));
    spinner.finish_and_clear();
    for pair in &mut pairs {
        (pair.a, pair.b) = (compared[pair.a as usize] as u32, compared[pair.b as usize] as u32);
    }
    let algorithm = settings.algorithm();
    if !rules.hash_only {
        let progress = batch::progress(pairs.len() as u64, settings.options.quiet, "near pairs looked at");
        let small = |c: u32| -> Result<(Small, (u32, u32))> {
            let missing = || Error::Internal("a photograph without its small picture".into());
            let place = cache.place(&files[heads[c as usize]], &algorithm).ok_or_else(missing)?;
            let print = prints[c as usize].as_ref().ok_or_else(missing)?;
            Ok((cache.small(place)?, (print.width, print.height)))
        };
        pairs = timed("second look", || look::confirm(pairs, small, |n| progress.inc(n)))?;
        progress.finish_and_clear();
    }
    let Some((embedder, least)) = rules.verify else {
        return Ok(pairs.into_iter().map(|near| Edge { near, cosine: None }).collect());
    };
    verify(&pairs, embedder, least, |c| files[heads[c as usize]].source(), settings)
}

/// The pairs whose feature vectors have a cosine of `least` or more.
fn verify(
    pairs: &[Near],
    embedder: &Embedder,
    least: f32,
    source: impl Fn(u32) -> Source,
    settings: &Settings,
) -> Result<Vec<Edge>> {
    // Each photograph as it is, and turned where it is to look like another.
    let mut wanted: Vec<(u32, u8)> = pairs.iter().flat_map(|p| [(p.a, p.turn), (p.b, 0)]).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let sources: Vec<Source> = wanted.iter().map(|(c, _)| source(*c)).collect();
    let mut vectors: BTreeMap<(u32, u8), Vec<f32>> = BTreeMap::new();
    batch::run(
        &sources,
        settings.options,
        |at, image| embedder.embed(&turned_image(image, TURNS[wanted[at].1 as usize])?),
        |at, result| {
            // It was hashed a moment ago; what cannot be read now is not confirmed.
            match result {
                Ok(vector) => drop(vectors.insert(wanted[at], vector)),
                Err(error) => batch::complain(&sources[at], &error),
            }
            Ok(())
        },
    )?;
    let cosine = |p: &Near| Some(cosine_similarity(vectors.get(&(p.a, p.turn))?, vectors.get(&(p.b, 0))?));
    let edges = pairs.iter().filter_map(|p| Some(Edge { near: *p, cosine: Some(cosine(p)?) }));
    Ok(edges.filter(|e| e.cosine.is_some_and(|c| c >= least)).collect())
}

/// The group of the class `keep` and those near it, the kept file first.
fn group(
    keep: usize,
    others: &[(usize, Option<Edge>)],
    classes: &[Vec<usize>],
    files: &[File],
    prints: &[Option<Print>],
) -> Group {
    let members = std::iter::once((keep, None)).chain(others.iter().copied()).flat_map(|(c, edge)| {
        classes[c].iter().map(move |&file| {
            let print = prints[c].as_ref();
            Member {
                file,
                path: files[file].path.clone(),
                bytes: files[file].size,
                modified: files[file].modified,
                size: print.map(|p| (p.width, p.height)),
                hash: print.and_then(|p| p.hashes.first().copied()),
                exact: c == keep,
                distance: edge.map_or(0, |e| e.near.distance),
                turn: edge.map_or(0, |e| e.near.turn),
                cosine: edge.and_then(|e| e.cosine),
                reference: files[file].reference,
            }
        })
    });
    Group { members: members.collect() }
}

/// Where the hashes are kept if the user does not say: below the folder for what programs may forget.
pub fn default_cache() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").filter(|v| !v.is_empty()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").filter(|v| !v.is_empty()).map(|h| PathBuf::from(h).join(".cache"));
    base.or_else(home).map(|folder| folder.join("ocellus").join("dedup"))
}
