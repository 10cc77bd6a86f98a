//! Writes YOLO data sets: `data.yaml`, `images`, `labels` and `ocellus.jsonl`.

use super::folder::{DESCRIPTION, RECORDS};
use super::{Place, near, pictures};
use crate::cli::batch::{self, Options};
use crate::cli::output;
use crate::dataset::{Outline, Picture, Split, record, split, yaml, yolo};
use crate::error::{Error, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What came of writing a data set.
#[derive(Debug, Default)]
pub struct Saved {
    /// The pictures as they were written: `file` is their name below `images`. Those that could not be copied are left out.
    pub pictures: Vec<Picture>,
    /// Pictures that could not be copied or compared, by their place, and why.
    pub troubles: Vec<(usize, Error)>,
}

/// Gives pictures that have no part one, writes the data set, and says what became of it: the end of a labelling run.
/// Near-duplicates come into the same part; `shares` are those of train, val and test. Nothing is split if `shares` is None.
pub fn finish(
    folder: &Path,
    classes: &[String],
    mut pictures: Vec<Picture>,
    places: &[Place],
    split: Option<([f64; 3], u64)>,
    link: bool,
    options: Options,
) -> Result<Saved> {
    let mut troubles = Vec::new();
    if let Some((shares, seed)) = split {
        troubles = divide(&mut pictures, places, shares, seed, options)?;
    }
    let mut saved = write(folder, classes, pictures, places, link, options)?;
    // A picture that could not be compared may have been copied all the same.
    troubles.retain(|(at, _)| saved.troubles.iter().all(|(other, _)| other != at));
    saved.troubles.extend(troubles);
    saved.troubles.sort_by_key(|(at, _)| *at);
    Ok(saved)
}

/// Gives each picture its part; pictures that cannot be decoded are parts of no group and are returned.
pub fn divide(
    pictures: &mut [Picture],
    places: &[Place],
    shares: [f64; 3],
    seed: u64,
    options: Options,
) -> Result<Vec<(usize, Error)>> {
    let paths: Vec<PathBuf> = places.iter().map(|p| p.source.clone()).collect();
    let likes = near::likes(&paths, options)?;
    let classes: Vec<Vec<usize>> = pictures
        .iter()
        .map(|p| p.objects.iter().map(|o| o.class).collect::<BTreeSet<_>>().into_iter().collect())
        .collect();
    let parts = split::split(&likes.groups, pictures.len(), &classes, shares, seed);
    pictures.iter_mut().zip(parts).for_each(|(picture, part)| picture.split = Some(part));
    Ok(likes.troubles)
}

/// Writes a data set: pictures without a part go to train. Pictures are copied byte for byte, one after the other; a
/// picture that cannot be copied is left out. `data.yaml` is written last.
pub fn write(
    folder: &Path,
    classes: &[String],
    pictures: Vec<Picture>,
    places: &[Place],
    link: bool,
    options: Options,
) -> Result<Saved> {
    let polygon = |p: &Picture| p.objects.iter().any(|o| matches!(o.outline, Outline::Polygon(_)));
    let segment = pictures.iter().any(polygon);
    let names = pictures::unique(pictures.iter().map(|p| p.file.as_str()));
    let mut parts = BTreeSet::from([Split::Train]);
    parts.extend(pictures.iter().filter_map(|p| p.split));
    for (kind, part) in ["images", "labels"].into_iter().flat_map(|k| parts.iter().map(move |p| (k, p))) {
        output::check_folder(&folder.join(kind).join(part.name()))?;
    }
    let list = folder.join(RECORDS);
    let mut records = output::Pending::new(&list)?;
    let mut saved = Saved::default();
    let progress = batch::progress(pictures.len() as u64, options.quiet, "pictures copied");
    for (i, ((mut picture, place), name)) in pictures.into_iter().zip(places).zip(names).enumerate() {
        let part = picture.split.unwrap_or(Split::Train);
        picture.file = format!("{}/{name}", part.name());
        picture.split = Some(part);
        progress.inc(1);
        if let Err(error) = pictures::place(&place.source, &folder.join("images").join(&picture.file), link) {
            records.write(format!("{}\n", record::failed(&place.path, &error)?).as_bytes())?;
            saved.troubles.push((i, error));
            continue;
        }
        output::write_file(&labels(folder, &picture.file), yolo::write(&picture, segment).as_bytes())?;
        records.write(format!("{}\n", record::line(&place.path, &picture, classes)?).as_bytes())?;
        saved.pictures.push(picture);
    }
    progress.finish_and_clear();
    records.finish()?;
    let parts: Vec<Split> = parts.into_iter().collect();
    output::write_file(&folder.join(DESCRIPTION), yaml::write(classes, &parts).as_bytes())?;
    Ok(saved)
}

/// The label file of the picture `file` below `images` in the data set `folder`.
pub fn labels(folder: &Path, file: &str) -> PathBuf {
    folder.join("labels").join(file).with_extension("txt")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Object, Origin};
    use crate::geometry::Rect;
    use crate::input::Limits;

    #[test]
    fn a_run_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let options = Options { threads: 1, quiet: true, limits: Limits::default() };
        let mut object = Object::new(0, Outline::Box(Rect::from_xywh(4.0, 8.0, 16.0, 16.0)));
        (object.score, object.origin) = (Some(0.75), Origin::Templates);
        let (mut pictures, mut places) = (Vec::new(), Vec::new());
        for i in 0..8u32 {
            let name = format!("{i}.png");
            // Two by two the same; one is missing.
            let stripes = |x: u32, y: u32| image::Luma([((x * (i / 2 + 1) / 5 + y * (i / 2) / 3) % 2 * 255) as u8]);
            if i != 5 {
                image::GrayImage::from_fn(64, 64, stripes).save(at(&name)).unwrap();
            }
            places.push(Place { source: at(&name), path: format!("given/{name}"), ..Place::default() });
            pictures.push(Picture {
                file: format!("x/{name}"),
                size: (64, 64),
                split: None,
                objects: vec![object.clone()],
            });
        }
        let classes = ["gate valve".to_string()];
        let shares = Some(([0.5, 0.5, 0.0], 3));
        let saved = finish(&at("out"), &classes, pictures.clone(), &places, shares, false, options).unwrap();
        assert_eq!(saved.troubles.iter().map(|t| t.0).collect::<Vec<_>>(), [5]);
        assert_eq!(saved.pictures.len(), 7);
        for pair in [[0, 1], [2, 3], [5, 6]] {
            assert_eq!(saved.pictures[pair[0]].split, saved.pictures[pair[1]].split, "{:?}", saved.pictures);
        }
        let read = super::super::folder::read(&at("out")).unwrap();
        assert_eq!(read.problems, []);
        assert_eq!(read.set.classes, classes);
        for (picture, place) in read.set.pictures.iter().zip(&read.places) {
            assert!(place.path.starts_with("given/"), "{place:?}");
            assert_eq!((picture.objects[0].score, picture.objects[0].origin), (Some(0.75), Origin::Templates));
        }
        let records = std::fs::read_to_string(at("out/ocellus.jsonl")).unwrap();
        assert_eq!(records.lines().filter(|l| l.contains("\"status\":\"error\"")).count(), 1);
        // Parts that are given are kept.
        pictures.iter_mut().for_each(|p| p.split = Some(Split::Test));
        let saved = finish(&at("test"), &classes, pictures, &places, None, true, options).unwrap();
        assert!(saved.pictures.iter().all(|p| p.file.starts_with("test/")));
    }
}
