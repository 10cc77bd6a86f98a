//! What the trunk says of a picture, and the other looks of it that are learned from.

use super::layout::Pooling;
use crate::cells::Cells;
use crate::engine::Session;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::models::Model;
use crate::models::manifest::{Fit, InputSpec};
use crate::preprocess;
use crate::tasks::inspect::light::relight;
use crate::tensor::Tensor;
use crate::train::augment::mirrored;
use fastrand::Rng;
use half::f16;

/// The values of the trunk that the head sees: maps at 1/8, 1/16 and 1/32 of the input's size, and the pooled features.
pub(super) const TAPS: [&str; 4] = ["block4", "block10", "block15", "features"];

/// Another look shows at least this share of the picture's sides: labels stay true.
const LEAST_SIDE: f32 = 0.95;

/// What the trunk says of a picture. Stored at half precision: there are many.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Used squares x channels: the maps at 1/8 (mean and maximum of the four squares in one) and at 1/16.
    pub squares: Vec<f16>,
    /// Cells x channels: the map at 1/32, pooled over each cell.
    pub deep: Vec<f16>,
    /// The pooled features of the whole picture.
    pub whole: Vec<f16>,
}

impl Seen {
    /// Its three parts, to be kept.
    pub fn tensors(&self) -> Result<Vec<Tensor>> {
        let floats = |part: &Vec<f16>| Tensor::new(vec![part.len()], part.iter().map(|v| v.to_f32()).collect());
        [&self.squares, &self.deep, &self.whole].into_iter().map(floats).collect()
    }

    /// What [`Seen::tensors`] gave; `None` for anything else.
    pub fn from_tensors(parts: &[Tensor]) -> Option<Self> {
        let halves = |part: &Tensor| part.data().iter().map(|&v| f16::from_f32(v)).collect();
        let [squares, deep, whole] = parts else { return None };
        Some(Seen { squares: halves(squares), deep: halves(deep), whole: halves(whole) })
    }
}

/// The frozen part of the network.
#[derive(Debug)]
pub struct Trunk {
    /// The network itself.
    pub model: Model,
    /// Width and height that pictures are stretched to.
    pub size: [u32; 2],
    /// Cells on the map at 1/16.
    pub fine: Pooling,
    /// Cells on the map at 1/32.
    pub coarse: Pooling,
    session: Session,
    input: InputSpec,
}

/// Channels of the three parts of [`Seen`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels {
    /// Of a square.
    pub square: usize,
    /// Of a cell.
    pub deep: usize,
    /// Of the picture.
    pub whole: usize,
}

impl Trunk {
    /// The part of `model` up to its features, for pictures stretched to `size` (multiples of 32).
    ///
    /// # Errors
    /// A network without such maps.
    pub fn new(model: &Model, cells: &Cells, size: [u32; 2]) -> Result<Self> {
        let session = Session::load(model, &TAPS)?;
        let [width, height] = size.map(|s| s as usize);
        session.prepare(&[1, 3, height, width])?;
        let input = InputSpec { fit: Fit::Stretch, ..model.info.input.clone() };
        let fine = Pooling::new(cells, width / 16, height / 16);
        let coarse = Pooling::new(cells, width / 32, height / 32);
        Ok(Trunk { model: model.clone(), size, fine, coarse, session, input })
    }

    /// What it says of `image`, which is stretched to the trunk's size.
    pub fn look(&self, image: &Image) -> Result<Seen> {
        let [width, height] = self.size;
        let (small, _) = preprocess::fit(image, width, height, &self.input)?;
        let maps = self.session.run(&preprocess::normalise(&small, &self.input)?)?;
        let [eighth, sixteenth, last, whole] = &maps[..] else {
            return Err(Error::Internal(format!("{} values of the trunk", maps.len())));
        };
        let (c8, h8, w8) = eighth.chw()?;
        let (c16, h16, w16) = sixteenth.chw()?;
        let (c32, h32, w32) = last.chw()?;
        if (h8, w8, h16 * w16, h32 * w32) != (2 * h16, 2 * w16, self.fine.squares, self.coarse.squares) {
            return Err(Error::model(&self.model.info.id, "its maps have other sizes than 1/8, 1/16 and 1/32"));
        }
        let mut squares = Vec::with_capacity(self.fine.used.len() * (2 * c8 + c16));
        for &square in &self.fine.used {
            let corner = (square / w16 * 2) * w8 + square % w16 * 2;
            let four = |c: usize| [0, 1, w8, w8 + 1].map(|step| eighth.data()[c * h8 * w8 + corner + step]);
            squares.extend((0..c8).map(|c| f16::from_f32(four(c).iter().sum::<f32>() / 4.0)));
            squares.extend((0..c8).map(|c| f16::from_f32(four(c).into_iter().fold(f32::MIN, f32::max))));
            squares.extend((0..c16).map(|c| f16::from_f32(sixteenth.data()[c * h16 * w16 + square])));
        }
        let used = self.coarse.used.len().max(1);
        let mut deep = Vec::new();
        for weights in self.coarse.weights.chunks(used) {
            deep.extend((0..c32).map(|c| {
                let map = &last.data()[c * h32 * w32..];
                f16::from_f32(self.coarse.used.iter().zip(weights).map(|(&s, &w)| map[s] * w).sum())
            }));
        }
        Ok(Seen { squares, deep, whole: whole.data().iter().map(|&v| f16::from_f32(v)).collect() })
    }

    /// What it says of `image` in another light, with a few percent cut off at its sides, `mirrored` if so wished: random, from
    /// `rng`.
    pub fn look_anew(&self, image: &Image, mirror: bool, rng: &mut Rng) -> Result<Seen> {
        // No larger than what the trunk needs of it: large photographs would take long.
        let enough = |side: u32| (side as f32 / LEAST_SIDE).ceil() as u32;
        let [width, height] = self.size;
        let (width, height) = (image.width().min(enough(width)), image.height().min(enough(height)));
        let shrunk = image.width() as f32 / width as f32;
        let small = preprocess::resize(image, width, height)?;
        let share = LEAST_SIDE + (1.0 - LEAST_SIDE) * rng.f32();
        let side = |full: u32| ((full as f32 * share).round() as u32).clamp(1, full);
        let (w, h) = (side(width), side(height));
        let (x, y) = (rng.u32(0..=width - w), rng.u32(0..=height - h));
        let part = relight(&small.crop(x, y, w, h)?, shrunk.max(1.0), rng)?;
        if mirror { self.look(&mirrored(&part)?) } else { self.look(&part) }
    }

    /// How long the parts of a [`Seen`] are a square, a cell, a picture.
    pub fn channels(&self, seen: &Seen) -> Channels {
        let cells = (self.coarse.weights.len() / self.coarse.used.len().max(1)).max(1);
        Channels {
            square: seen.squares.len() / self.fine.used.len().max(1),
            deep: seen.deep.len() / cells,
            whole: seen.whole.len(),
        }
    }
}
