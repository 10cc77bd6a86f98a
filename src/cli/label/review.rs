//! Writes the review page, a picture at a time.

use super::{Located, folder};
use crate::cli::{batch, output};
use crate::dataset::decisions::{fingerprint, same_box};
use crate::dataset::{DataSet, Object};
use crate::error::{Error, Result};
use crate::input::Source;
use crate::report::review::{self, Shown};
use std::path::Path;

/// Which objects are shown.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// Names of classes, with commas between; all if absent.
    pub classes: Option<&'a str>,
    /// Only objects with a lower score, and those with a doubt.
    pub below: Option<f32>,
    /// At most so many: those of the most doubt.
    pub limit: Option<usize>,
}

/// An object by the places of its picture and of itself in that picture.
type At = (usize, usize);

/// Writes the page of the data set in `folder` to `file`; hears of each picture that could not be read.
pub fn write(
    folder: &Path,
    file: &Path,
    wanted: &Wanted,
    options: batch::Options,
    mut complain: impl FnMut(&Source, &Error) -> Result<()>,
) -> Result<Shown> {
    let located = read(folder)?;
    let set = &located.set;
    let chosen = chosen(set, wanted)?;
    let mut pictures: Vec<(usize, Vec<usize>)> = Vec::new();
    for (p, o) in &chosen {
        match pictures.last_mut() {
            Some((at, objects)) if at == p => objects.push(*o),
            _ => pictures.push((*p, vec![*o])),
        }
    }
    let sources: Vec<Source> = pictures.iter().map(|(p, _)| Source::File(located.places[*p].source.clone())).collect();
    output::check_apart(&[file.to_path_buf()], &sources)?;
    let objects = |at: usize| -> Vec<&Object> {
        let (p, list) = &pictures[at];
        list.iter().map(|o| &set.pictures[*p].objects[*o]).collect()
    };
    let mut page = output::Pending::new(file)?;
    let name = folder.canonicalize().ok().and_then(|f| f.file_name().map(|n| n.to_string_lossy().into_owned()));
    let head = review::Head {
        name: name.as_deref().unwrap_or("data set"),
        dataset: &fingerprint(set),
        classes: &set.classes,
        folder: &folder.to_string_lossy(),
    };
    page.write(review::head(&head)?.as_bytes())?;
    let mut shown = Shown { objects: chosen.len(), pictures: pictures.len(), ..Shown::default() };
    let mut classes: Vec<usize> = chosen.iter().map(|&(p, o)| set.pictures[p].objects[o].class).collect();
    classes.sort_unstable();
    classes.dedup();
    shown.classes = classes.len();
    shown.doubts = chosen.iter().filter(|(p, o)| !set.pictures[*p].objects[*o].doubt.is_empty()).count();
    batch::run(
        &sources,
        options,
        |at, photo| review::views(&photo, &objects(at)),
        |at, views| {
            let (p, list) = &pictures[at];
            let picture = &set.pictures[*p];
            let others = picture.objects.iter().enumerate().filter(|(i, _)| !list.contains(i));
            let others: Vec<_> = others.map(|(_, o)| o.outline.rect()).collect();
            if let Err(error) = &views {
                shown.failed += 1;
                complain(&sources[at], error)?;
            }
            let reason = views.as_ref().err().map(|e| e.one_line());
            let views = views.as_ref().map_err(|_| reason.as_deref().unwrap_or_default());
            page.write(review::picture(&picture.file, picture.size, &objects(at), &others, views).as_bytes())
        },
    )?;
    page.write(review::foot().as_bytes())?;
    page.finish()?;
    Ok(shown)
}

/// Reads the data set in `folder`, and says on standard error if there is something wrong with it.
pub fn read(folder: &Path) -> Result<Located> {
    let located = folder::read(folder)?;
    if let Some(first) = located.problems.first() {
        let (count, first) = (located.problems.len(), format!("{}: {}", first.place(), first.message));
        output::note(&format!("{}: {count} problems, see `ocellus label check`; the first: {first}", folder.display()));
    }
    Ok(located)
}

/// The objects that are shown, in the order of the pictures.
fn chosen(set: &DataSet, wanted: &Wanted) -> Result<Vec<At>> {
    let classes = wanted.classes.map(|names| classes(&set.classes, names)).transpose()?;
    let mut chosen: Vec<At> = Vec::new();
    for (p, picture) in set.pictures.iter().enumerate() {
        let first = chosen.len();
        for (i, object) in picture.objects.iter().enumerate() {
            let doubtful = wanted
                .below
                .is_none_or(|least| !object.doubt.is_empty() || object.score.is_some_and(|score| score < least));
            if !doubtful || classes.as_ref().is_some_and(|list| !list.contains(&object.class)) {
                continue;
            }
            // A box that stands there twice is decided about once.
            let rect = object.outline.rect();
            let twin = chosen[first..].iter().map(|(_, o)| &picture.objects[*o]);
            if !twin.into_iter().any(|o| o.class == object.class && same_box(&o.outline.rect(), &rect)) {
                chosen.push((p, i));
            }
        }
    }
    if let Some(most) = wanted.limit {
        let object = |at: &At| &set.pictures[at.0].objects[at.1];
        chosen.sort_by(|a, b| order(object(a)).total_cmp(&order(object(b))));
        chosen.truncate(most);
        chosen.sort_unstable();
    }
    Ok(chosen)
}

/// What needs a look first comes first: what is doubted, then by score, then what has none.
fn order(object: &Object) -> f32 {
    let score = object.score.unwrap_or(2.0);
    if object.doubt.is_empty() { score } else { score - 10.0 }
}

/// The numbers of the classes in a list with commas. A name that has commas itself is found if it stands alone.
fn classes(known: &[String], list: &str) -> Result<Vec<usize>> {
    let class = |name: &str| {
        known.iter().position(|k| k == name).ok_or_else(|| {
            let known = known.join(", ");
            Error::Usage(format!("--class: the data set has no class {name:?}; it has: {known}"))
        })
    };
    if let Ok(one) = class(list) {
        return Ok(vec![one]);
    }
    list.split(',').map(str::trim).map(class).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Outline, Picture};
    use crate::geometry::Rect;

    fn object(class: usize, x: f32, score: Option<f32>, doubt: &str) -> Object {
        let outline = Outline::Box(Rect::from_xywh(x, 0.0, 10.0, 10.0));
        Object { score, doubt: doubt.into(), ..Object::new(class, outline) }
    }

    fn wanted(classes: Option<&str>, below: Option<f32>, limit: Option<usize>) -> Result<Vec<At>> {
        let picture = |objects| Picture { file: String::new(), size: (99, 99), split: None, objects };
        let classes_known = ["a", "b, c", "d"].map(String::from).to_vec();
        let pictures = vec![
            picture(vec![object(0, 0.0, Some(0.9), ""), object(0, 1.0, Some(0.1), ""), object(1, 1.0, None, "")]),
            picture(vec![object(2, 0.0, Some(0.95), "why"), object(0, 50.0, Some(0.3), "")]),
        ];
        chosen(&DataSet { classes: classes_known, pictures }, &Wanted { classes, below, limit })
    }

    #[test]
    fn objects_are_chosen() {
        // The second is the first once more.
        assert_eq!(wanted(None, None, None).unwrap(), [(0, 0), (0, 2), (1, 0), (1, 1)]);
        assert_eq!(wanted(None, None, Some(2)).unwrap(), [(1, 0), (1, 1)]);
        assert_eq!(wanted(None, None, Some(3)).unwrap(), [(0, 0), (1, 0), (1, 1)]);
        assert_eq!(wanted(None, Some(0.5), None).unwrap(), [(0, 1), (1, 0), (1, 1)]);
        assert_eq!(wanted(Some("b, c"), None, None).unwrap(), [(0, 2)]);
        assert_eq!(wanted(Some("d, a"), Some(0.5), None).unwrap(), [(0, 1), (1, 0), (1, 1)]);
        let message = wanted(Some("a,x"), None, None).unwrap_err().to_string();
        assert_eq!(message, "--class: the data set has no class \"x\"; it has: a, b, c, d");
    }
}
