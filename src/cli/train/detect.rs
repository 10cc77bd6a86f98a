//! `ocellus train detect`: from a YOLO data set to samples, and what a training keeps on disk.

use super::samples::Samples;
use super::store::Store;
use crate::cli::batch::Options;
use crate::cli::label::{Place, checking, folder};
use crate::cli::output;
use crate::dataset::check::Kind;
use crate::dataset::{Picture, Split, split};
use crate::error::{Error, Result};
use crate::geometry::Rect;
use crate::image::Image;
use crate::input::{self, Limits, Source};
use crate::models::Model;
use crate::report::labels;
use crate::tasks::metadata::names_text;
use crate::train::detect::view::Augment;
use crate::train::detect::{IOU, MULTIPLE, Trunk};
use std::path::Path;

/// Pictures that tell whether a data set is one of drawings.
const LOOKED_AT: usize = 8;
/// The share of a drawing that is paper.
const PAPER: f64 = 0.6;
/// The share of pictures that are set aside where the data set has no part to choose by.
const ASIDE: f64 = 0.15;
/// The side, in input pixels, that three of four objects reach: three cells of the finest level.
const READABLE: f32 = 48.0;
/// Longer sides that are chosen: the usual one of the YOLO family to what a small box computes in some seconds.
const LONGER_SIDE: (f32, f32) = (640.0, 2048.0);

/// Pictures that teach nothing, or that say too much of others.
const USELESS: [Kind; 4] = [Kind::UnreadablePicture, Kind::MissingLabels, Kind::Leakage, Kind::SamePicture];
/// Labels some of which cannot be read: what they name would be taken for background.
const HALF_LABELLED: [Kind; 2] = [Kind::MalformedLine, Kind::UnknownClass];

/// A labelled picture.
#[derive(Debug)]
pub struct Photo {
    /// Where it lies.
    pub place: Place,
    /// Its size and objects.
    pub picture: Picture,
    /// SHA-256 of its file, which its views depend on.
    pub(super) hash: String,
}

/// The pictures of a data set.
#[derive(Debug)]
pub struct Data {
    /// Names of the classes.
    pub classes: Vec<String>,
    /// To learn from.
    pub train: Vec<Photo>,
    /// To choose by.
    pub val: Vec<Photo>,
    /// What is wrong with it.
    pub notes: Vec<String>,
}

impl Data {
    /// Reads the data set at `path` and tells, as a table on standard error, what is wrong with it. Labels and pictures that
    /// cannot be used are left out if `force` says so.
    ///
    /// # Errors
    /// A data set with errors, without `force`; one that nothing can be learned from.
    pub fn read(path: &Path, force: bool, seed: u64, options: Options) -> Result<Self> {
        let checked = checking::check(path, 2.0, options)?;
        let errors = checked.problems.iter().filter(|p| !p.kind.is_warning()).count();
        if !checked.problems.is_empty() {
            output::note(&format!("{}:\n{}", path.display(), labels::problems(&checked.problems)));
        }
        if errors > 0 && !force {
            return Err(Error::Input(format!(
                "{}: {errors} errors in the data set (see the table above); put them right, or leave out what is wrong with --force",
                path.display()
            )));
        }
        let mut notes: Vec<String> = Vec::new();
        if errors > 0 {
            notes.push(format!("The data set has {errors} errors; what is wrong was left out."));
        }
        let wrong = |kinds: &[Kind], file: &Path| {
            let file = file.display().to_string();
            checked.problems.iter().any(|p| kinds.contains(&p.kind) && p.file == file)
        };
        let broken = |place: &Place| wrong(&USELESS, &place.source) || wrong(&HALF_LABELLED, &place.labels);
        let located = folder::read(path)?;
        let classes = located.set.classes;
        let mut parts: [Vec<Photo>; 3] = Default::default();
        // Where the pictures to learn from stand in the whole set.
        let mut stands = Vec::new();
        for (at, (mut picture, place)) in located.set.pictures.into_iter().zip(located.places).enumerate() {
            if broken(&place) {
                continue;
            }
            let (width, height) = picture.size;
            // Rounding may put a side a hair beyond the picture; what lies wholly outside was told of.
            picture.objects.retain(|o| o.class < classes.len() && o.outline.rect().clip(width, height).area() > 0.0);
            let part = match picture.split {
                Some(Split::Train) | None => 0,
                Some(Split::Val) => 1,
                Some(Split::Test) => 2,
            };
            if part == 0 {
                stands.push(at);
            }
            let bytes = std::fs::read(&place.source).map_err(|e| Error::io(&place.source, "read", e))?;
            parts[part].push(Photo { hash: crate::models::sha256_hex(&bytes), place, picture });
        }
        let [mut train, mut val, _] = parts;
        if val.is_empty() && train.len() > 1 {
            // Pictures of one scene come into one part, or the figures would flatter.
            let place = |at: &usize| stands.iter().position(|s| s == at);
            let groups: Vec<Vec<usize>> =
                checked.groups.iter().map(|group| group.iter().filter_map(place).collect()).collect();
            let classes: Vec<Vec<usize>> =
                train.iter().map(|p| p.picture.objects.iter().map(|o| o.class).collect()).collect();
            let divided = |groups| split::split(groups, train.len(), &classes, [1.0 - ASIDE, ASIDE, 0.0], seed);
            let mut split = divided(&groups);
            if !split.contains(&Split::Val) {
                // All of one scene, as a fixed camera sees it.
                split = divided(&[]);
            }
            let (aside, learned): (Vec<_>, Vec<_>) = train.into_iter().zip(split).partition(|(_, s)| *s == Split::Val);
            let photos = |list: Vec<(Photo, Split)>| list.into_iter().map(|(photo, _)| photo).collect();
            (train, val) = (photos(learned), photos(aside));
            notes.push(format!(
                "No part of the data set is for validation: {} of its pictures were set aside.",
                val.len()
            ));
        }
        let objects = |photos: &[Photo]| photos.iter().map(|p| p.picture.objects.len()).sum::<usize>();
        if objects(&train) == 0 || objects(&val) == 0 {
            return Err(Error::Input(format!(
                "{}: {} objects to learn from and {} to choose by; expected some of both (at least two labelled pictures)",
                path.display(),
                objects(&train),
                objects(&val)
            )));
        }
        notes.extend(
            checked.problems.iter().filter(|p| p.kind.is_warning()).map(|p| format!("{}: {}", p.place(), p.message)),
        );
        Ok(Data { classes, train, val, notes })
    }

    /// What is done to pictures of this kind: drawings may be turned, and more be drawn on them.
    pub fn usual_augment(&self, limits: &Limits) -> Result<Augment> {
        let some = self.train.iter().step_by(self.train.len().div_ceil(LOOKED_AT));
        let looked = some.map(|p| Ok(is_drawing(&p.load(limits)?))).collect::<Result<Vec<bool>>>()?;
        Ok(match looked.iter().filter(|drawing| **drawing).count() {
            all if all == looked.len() => Augment::CopyPaste,
            // On the others dark lines might not be seen.
            most if 2 * most > looked.len() => Augment::Turned,
            _ => Augment::Full,
        })
    }

    /// Width and height of an input that suits the pictures: their shape, and so large that most objects can be told apart.
    /// `longer` is the longer side if the user says it.
    pub fn input_size(&self, longer: Option<u32>) -> [u32; 2] {
        let median = |mut values: Vec<f32>, at: f32| {
            values.sort_by(f32::total_cmp);
            values.get((values.len() as f32 * at) as usize).copied().unwrap_or(1.0)
        };
        let sizes = || self.train.iter().map(|p| (p.picture.size.0 as f32, p.picture.size.1 as f32));
        let aspect = median(sizes().map(|(w, h)| w / h).collect(), 0.5);
        let longer = longer.map(|l| l as f32).unwrap_or_else(|| {
            // The share of the longer side that the smaller quarter of objects has at most.
            let share = |p: &Photo| {
                let side = p.picture.size.0.max(p.picture.size.1) as f32;
                p.picture.objects.iter().map(move |o| o.outline.rect().area().sqrt() / side).collect::<Vec<_>>()
            };
            let small = median(self.train.iter().flat_map(share).collect(), 0.25);
            let native = median(sizes().map(|(w, h)| w.max(h)).collect(), 0.5);
            let most = LONGER_SIDE.1.min(native.max(LONGER_SIDE.0));
            (READABLE / small.max(1e-4)).clamp(LONGER_SIDE.0, most)
        });
        let side = |v: f32| ((v / MULTIPLE as f32).round() as u32).max(2) * MULTIPLE;
        if aspect >= 1.0 { [side(longer), side(longer / aspect)] } else { [side(longer * aspect), side(longer)] }
    }
}

/// Whether a picture is a drawing: most of it is paper, one light grey. Pictures of light lines on dark ground are no drawings
/// here; with `--augment turned` they are turned as well.
fn is_drawing(image: &Image) -> bool {
    let mut counts = [0u32; 256];
    for pixel in image.data().chunks_exact(3) {
        let (least, most) = (pixel.iter().min().copied().unwrap_or(0), pixel.iter().max().copied().unwrap_or(0));
        if most - least <= 24 {
            counts[usize::from(most)] += 1;
        }
    }
    // Scanned paper has some unevenness and noise.
    let paper = (128..=232).map(|low| counts[low..=low + 23].iter().sum::<u32>()).max().unwrap_or(0);
    f64::from(paper) > PAPER * image.data().len() as f64 / 3.0
}

impl Photo {
    /// Class and box of each object, cut to the picture.
    pub(super) fn boxes(&self) -> Vec<(usize, Rect)> {
        let (width, height) = self.picture.size;
        self.picture.objects.iter().map(|o| (o.class, o.outline.rect().clip(width, height))).collect()
    }

    /// The picture itself.
    ///
    /// # Errors
    /// One that is another by now: its labels would be of no use.
    pub fn load(&self, limits: &Limits) -> Result<Image> {
        let source = Source::File(self.place.source.clone());
        let image = input::decode(&source.name(), &source.read()?, limits)?;
        match (image.width(), image.height()) == self.picture.size {
            true => Ok(image),
            false => Err(Error::Input(format!("{}: it changed during the training", source.name()))),
        }
    }
}

/// Makes sure, before the work starts, that the results can be written, and over no picture of `data`.
pub fn check_out(out: &Path, report: &Path, data: &Data) -> Result<()> {
    let photos = data.train.iter().chain(&data.val);
    super::check_out(out, report, &photos.map(|p| Source::File(p.place.source.clone())).collect::<Vec<_>>())
}

/// What the ONNX file notes of itself, as readers of Ultralytics' exports know it, and how pictures are prepared.
pub fn metadata(data: &Data, trunk: &Trunk, model: &Model) -> Vec<(&'static str, String)> {
    let [width, height] = trunk.size();
    vec![
        ("author", format!("ocellus {}", env!("CARGO_PKG_VERSION"))),
        ("task", "detect".into()),
        ("names", names_text(&data.classes)),
        ("imgsz", format!("[{height}, {width}]")),
        ("stride", MULTIPLE.to_string()),
        ("batch", "1".into()),
        ("fit", "letterbox".into()),
        ("resample", "area".into()),
        ("iou", IOU.to_string()),
        ("trunk", model.info.id.clone()),
    ]
}

/// What the report says of the settings, name and value.
pub fn facts(path: &Path, data: &Data, samples: &Samples, model: &Model) -> Vec<(String, String)> {
    let [width, height] = samples.trunk.size();
    let objects = |photos: &[Photo]| photos.iter().map(|p| p.picture.objects.len()).sum::<usize>();
    let part = |photos: &[Photo]| format!("{} pictures, {} objects", photos.len(), objects(photos));
    let fact = |name: &str, value: String| (name.to_string(), value);
    vec![
        fact("data set", path.display().to_string()),
        fact("learned from", part(&data.train)),
        fact("chosen by", part(&data.val)),
        fact("features", model.info.id.clone()),
        fact("input", format!("{width} x {height} pixels")),
        fact("views", format!("{}, {} a picture", samples.augment.name(), samples.views(data.train.len()) + 1)),
        fact("copied and pasted", samples.cuttings().to_string() + " objects"),
        fact("seed", samples.seed.to_string()),
    ]
}

/// The note beside a training's state: what it belongs to, and its epochs.
pub mod state {
    use super::{Data, Photo, Samples, Store};
    use crate::error::{Error, Result};
    use crate::train::Epoch;
    use crate::train::detect::Options;
    use serde_json::{Value, json};

    /// What tells one training from another: data, options, network.
    pub fn mark(data: &Data, options: &Options, samples: &Samples) -> String {
        let photo = |p: &Photo| format!("{} {:?}", p.hash, p.picture.objects);
        let photos: Vec<String> = data.train.iter().map(photo).chain(data.val.iter().map(photo)).collect();
        let split = data.train.len().to_string();
        let all = format!("{:?} {options:?} {}", data.classes, samples.key);
        Store::key(&[all.as_bytes(), split.as_bytes(), photos.join("\n").as_bytes()])
    }

    /// The note for a training of this mark after `epochs`.
    pub fn note(mark: &str, epochs: &[Epoch]) -> Result<String> {
        let rows: Vec<Value> = epochs.iter().map(|e| json!([e.number, e.of, e.loss, e.metric, e.best])).collect();
        serde_json::to_string(&json!({"mark": mark, "epochs": rows}))
            .map_err(|e| Error::Internal(format!("writing JSON: {e}")))
    }

    /// The epochs in a note; none if it is of another training.
    pub fn epochs(note: &str, mark: &str) -> Option<Vec<Epoch>> {
        let note: Value = serde_json::from_str(note).ok()?;
        let row = |row: &Value| {
            Some(Epoch {
                number: row.get(0)?.as_u64()? as usize,
                of: row.get(1)?.as_u64()? as usize,
                loss: row.get(2)?.as_f64()?,
                metric: row.get(3)?.as_f64()?,
                best: row.get(4)?.as_bool()?,
            })
        };
        (note["mark"] == mark).then(|| note["epochs"].as_array()?.iter().map(row).collect())?
    }
}
