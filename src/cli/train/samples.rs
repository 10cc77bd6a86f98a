//! From the pictures of a data set to samples: each in several views, whose features are computed once.

use super::detect::{Data, Photo};
use super::store::Store;
use crate::cli::batch::{self, Event, Options};
use crate::cli::output;
use crate::error::Result;
use crate::geometry::Rect;
use crate::input::Limits;
use crate::models::sha256_hex;
use crate::tensor::Tensor;
use crate::train::detect::copy_paste::{self, Cutting, Placed};
use crate::train::detect::view::{Augment, View};
use crate::train::detect::{Sample, Trunk};

/// Input pixels that are worth their time in views of all pictures together, about five minutes on two slow cores: a large set
/// is varied as it is.
const VIEWED: u64 = 600_000_000;
/// Bytes of features on disk from which on they are told of before they are computed.
const TOLD_OF: usize = 2_000_000_000;
/// The most views of one picture, itself among them.
const MOST_VIEWS: usize = 8;
/// Objects of a class from which on further pictures give none to be set into looks at others.
const CUTTINGS: usize = 40;
/// How many times as many objects as pictures have of their own are set into a look.
const PASTED: usize = 2;
/// Bytes that cut-out objects may take in memory.
const CUT: usize = 256_000_000;

/// One look at a picture.
struct Look<'a> {
    view: View,
    /// What is set into it.
    more: Vec<Placed<'a>>,
    /// What its maps are kept under: all that they depend on.
    key: String,
}

/// Hands out samples: the trunk's maps from the store, or new ones.
pub struct Samples<'a> {
    /// The frozen network.
    pub trunk: &'a Trunk,
    /// What is done to pictures.
    pub augment: Augment,
    /// Where the maps are kept.
    pub store: &'a Store,
    /// What maps depend on besides picture and view.
    pub key: String,
    /// Where chance begins.
    pub seed: u64,
    /// Bounds on the pictures.
    pub limits: Limits,
    /// Objects that are set into looks at other pictures, by class, how many into each, and what names them all.
    cuttings: Vec<Cutting>,
    pasted: usize,
    origin: String,
}

impl<'a> Samples<'a> {
    /// Of pictures that `trunk` looks at.
    pub fn new(trunk: &'a Trunk, augment: Augment, store: &'a Store, seed: u64, limits: Limits) -> Self {
        let [width, height] = trunk.size();
        let key = format!("{} {width}x{height} {} {seed}", trunk.identity(), augment.name());
        Samples { trunk, augment, store, key, seed, limits, cuttings: Vec::new(), pasted: 0, origin: String::new() }
    }

    /// With objects cut out of the training pictures of `data`, to be set into looks at them, if the augmentation is one that does so.
    pub fn with_cuttings(mut self, data: &Data, options: Options) -> Result<Self> {
        if self.augment != Augment::CopyPaste {
            return Ok(self);
        }
        // By what is in them, so that another order or other names of the files change nothing.
        let mut photos: Vec<&Photo> = data.train.iter().collect();
        photos.sort_by(|a, b| a.hash.cmp(&b.hash));
        let (mut counts, mut bytes) = (vec![0; data.classes.len()], 0);
        let mut chosen = Vec::new();
        for photo in photos {
            let (boxes, gain) = (photo.boxes(), self.plain(photo).gain());
            let mut wanted = Vec::new();
            for (at, (class, rect)) in boxes.iter().enumerate() {
                let shared =
                    |other: &Rect| other.intersect(rect).width() >= 1.0 && other.intersect(rect).height() >= 1.0;
                let alone = !boxes.iter().enumerate().any(|(i, (_, other))| i != at && shared(other));
                let size = Cutting::bytes(rect, gain);
                if alone && counts[*class] < CUTTINGS && bytes + size <= CUT {
                    counts[*class] += 1;
                    bytes += size;
                    wanted.push((*class, *rect));
                }
            }
            chosen.push((photo, gain, wanted));
        }
        chosen.retain(|(_, _, wanted)| !wanted.is_empty());
        let mut cut: Vec<Vec<Cutting>> = vec![Vec::new(); chosen.len()];
        let progress = batch::progress(chosen.len() as u64, options.quiet, "pictures");
        batch::each(
            chosen.len(),
            options.threads,
            |at| {
                let (photo, gain, wanted) = &chosen[at];
                let image = photo.load(&self.limits)?;
                let one = |(class, rect): &(usize, Rect)| Cutting::new(&image, rect, *class, *gain).transpose();
                wanted.iter().filter_map(one).collect::<Result<Vec<_>>>()
            },
            |event| {
                if let Event::Done(at, result) = event {
                    cut[at] = result?;
                    progress.inc(1);
                }
                Ok(())
            },
        )?;
        progress.finish_and_clear();
        self.cuttings = cut.into_iter().flatten().collect();
        self.cuttings.sort_by_key(|c| c.class);
        let objects: usize = data.train.iter().map(|p| p.picture.objects.len()).sum();
        self.pasted = (PASTED * objects).div_ceil(data.train.len().max(1));
        let places = chosen.iter().map(|(photo, _, wanted)| format!("{} {wanted:?}\n", photo.hash));
        self.origin = format!("{} {}", self.pasted, sha256_hex(places.collect::<String>().as_bytes()));
        Ok(self)
    }

    /// How many objects were cut out.
    pub fn cuttings(&self) -> usize {
        self.cuttings.len()
    }

    /// The number of views of one of `count` pictures besides itself.
    pub fn views(&self, count: usize) -> usize {
        let [width, height] = self.trunk.size().map(u64::from);
        let affordable = (VIEWED / (width * height * count.max(1) as u64)) as usize;
        if self.augment == Augment::None { 0 } else { affordable.clamp(2, MOST_VIEWS) - 1 }
    }

    /// The sample of a picture as it is (view 0) or in one of its other views.
    pub fn sample(&self, photo: &Photo, view: usize) -> Result<Sample> {
        let look = self.look(photo, view);
        let maps = match self.store.get(&look.key) {
            Some(maps) => maps,
            None => self.compute(photo, &look)?,
        };
        let seen = photo.boxes().into_iter().filter_map(|(class, rect)| Some((class, look.view.rect(&rect)?)));
        let (classes, boxes) = seen.chain(look.more.iter().map(|m| (m.class(), m.rect()))).unzip();
        Ok(Sample { maps, boxes, classes })
    }

    /// How the picture is seen as it is.
    pub fn plain(&self, photo: &Photo) -> View {
        View::plain(photo.picture.size, self.trunk.size())
    }

    fn look(&self, photo: &Photo, view: usize) -> Look<'_> {
        // By the picture itself, so that another order of the files changes nothing.
        let key = Store::key(&[photo.hash.as_bytes(), self.key.as_bytes(), &view.to_le_bytes()]);
        if view == 0 {
            return Look { view: self.plain(photo), more: Vec::new(), key };
        }
        let mut random = fastrand::Rng::with_seed(self.digits(&key));
        let pose = (view, self.digits(&photo.hash));
        let view = View::random(photo.picture.size, self.trunk.size(), self.augment, pose, &mut random);
        if self.cuttings.is_empty() {
            return Look { view, more: Vec::new(), key };
        }
        // What is set into it depends on what there is to be set, and on what takes the place: all boxes of the picture, those that
        // are cut off at its border among them.
        let boxes = photo.boxes();
        let key = Store::key(&[key.as_bytes(), self.origin.as_bytes(), format!("{boxes:?}").as_bytes()]);
        let taken = boxes.iter().filter_map(|(_, rect)| view.visible(rect)).collect();
        let mut random = fastrand::Rng::with_seed(self.digits(&key));
        let more = copy_paste::place(&self.cuttings, self.pasted, &view, taken, &mut random);
        Look { view, more, key }
    }

    /// A number of the seed and the first digits of a hash.
    fn digits(&self, hex: &str) -> u64 {
        self.seed ^ u64::from_str_radix(&hex[..16], 16).unwrap_or_default()
    }

    /// The maps of a look, which are kept.
    fn compute(&self, photo: &Photo, look: &Look) -> Result<Vec<Tensor>> {
        let maps = self.trunk.maps(&photo.load(&self.limits)?, &look.view, &look.more)?;
        self.store.put(&look.key, &maps)?;
        Ok(maps)
    }

    /// Computes what is not kept yet of all views of `data`.
    pub fn fill(&self, data: &Data, options: Options) -> Result<()> {
        let views = self.views(data.train.len());
        let of = |photos: &'_ [Photo], views: usize| {
            (0..photos.len() * (views + 1)).map(move |i| (i / (views + 1), i % (views + 1))).collect::<Vec<_>>()
        };
        let mut open: Vec<(&Photo, usize)> =
            of(&data.train, views).into_iter().map(|(at, view)| (&data.train[at], view)).collect();
        open.extend(data.val.iter().map(|photo| (photo, 0)));
        open.retain(|(photo, view)| !self.store.has(&self.look(photo, *view).key));
        let bytes = 2 * self.trunk.values()? * open.len();
        if bytes > TOLD_OF {
            let (looks, gigabytes) = (open.len(), bytes as f64 / 1e9);
            output::note(&format!("{looks} looks take {gigabytes:.1} GB in {}", self.store.folder().display()));
        }
        let progress = batch::progress(open.len() as u64, options.quiet, "views");
        batch::each(
            open.len(),
            options.threads,
            |at| {
                let (photo, view) = open[at];
                self.compute(photo, &self.look(photo, view)).map(|_| ())
            },
            |event| {
                if let Event::Done(_, result) = event {
                    result?;
                    progress.inc(1);
                }
                Ok(())
            },
        )?;
        progress.finish_and_clear();
        Ok(())
    }
}
