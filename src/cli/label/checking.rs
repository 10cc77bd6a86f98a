//! `ocellus label check`: everything that is wrong with a data set.

use super::{Located, folder, near};
use crate::cli::batch::Options;
use crate::dataset::check::{self, ClassCount, Kind, Problem};
use crate::dataset::{DataSet, Split};
use crate::error::Result;
use std::path::{Path, PathBuf};

/// What was found.
#[derive(Debug)]
pub struct Checked {
    /// The data set.
    pub set: DataSet,
    /// What there is of each class.
    pub counts: Vec<ClassCount>,
    /// What is wrong, errors first, by file and line.
    pub problems: Vec<Problem>,
    /// Pictures that are alike or nearly, by their places in the set.
    pub groups: Vec<Vec<usize>>,
}

/// Checks the data set at `path`. Sides below `min_side` pixels are tiny.
pub fn check(path: &Path, min_side: f32, options: Options) -> Result<Checked> {
    let Located { set, places, mut problems, description, .. } = folder::read(path)?;
    for (picture, place) in set.pictures.iter().zip(&places) {
        let labels = place.labels.display().to_string();
        problems.extend(check::objects(picture, &place.lines, &labels, &set.classes, min_side));
        if let Some(message) = check::unfit(&picture.file, picture.size) {
            problems.push(Problem::new(Kind::UnusedPicture, place.source.display().to_string(), None, message));
        }
    }
    let paths: Vec<PathBuf> = places.iter().map(|p| p.source.clone()).collect();
    let likes = near::likes(&paths, options)?;
    let shown = |i: usize| paths[i].display().to_string();
    for (i, error) in &likes.troubles {
        let text = error.one_line();
        let message = text.strip_prefix(&format!("{}: ", shown(*i))).unwrap_or(&text);
        problems.push(Problem::new(Kind::UnreadablePicture, shown(*i), None, message));
    }
    let part = |i: usize| set.pictures[i].split;
    for group in &likes.groups {
        // Each of another part than the first is told once, with the first it is like.
        let first = group[0];
        for &other in group.iter().filter(|&&i| part(i) != part(first)) {
            let equal = likes.equal.iter().any(|e| e.contains(&first) && e.contains(&other));
            let how = if equal { "the same picture as" } else { "nearly the same picture as" };
            let (here, there) = (part(other).map_or("", Split::name), part(first).map_or("", Split::name));
            let message = format!("in {here}: {how} {} in {there}", shown(first));
            problems.push(Problem::new(Kind::Leakage, shown(other), None, message));
        }
    }
    for equal in &likes.equal {
        for (at, &i) in equal.iter().enumerate() {
            if let Some(&first) = equal[..at].iter().find(|&&j| part(j) == part(i)) {
                let message = format!("the same picture as {}", shown(first));
                problems.push(Problem::new(Kind::SamePicture, shown(i), None, message));
            }
        }
    }
    let counts = check::count(&set);
    problems.extend(check::whole(&set, &counts, &description));
    problems.sort_by(|a, b| {
        (a.kind.is_warning(), &a.file, a.line, a.kind).cmp(&(b.kind.is_warning(), &b.file, b.line, b.kind))
    });
    Ok(Checked { set, counts, problems, groups: likes.groups })
}
