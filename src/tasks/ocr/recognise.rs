//! What a line says: which way up it is, and the recognition network.

use crate::engine::{self, Session};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::models::Model;
use crate::models::manifest::InputSpec;
use crate::preprocess;
use crate::tasks::timed;
use crate::tensor::Tensor;

/// Widths that lines are padded to, so that a few plans serve all: a third from each to the next, for which a line
/// computes an eighth too much on average.
const WIDTHS: [u32; 13] = [64, 96, 128, 160, 224, 288, 384, 512, 672, 896, 1184, 1568, 2080];

/// Plans of the recognition network that are kept, 22 MB each; a page has lines of about so many of the widths.
const PLANS: usize = 3;

/// Widths of short lines, as there are on nearly every picture.
const FIRST_WIDTHS: [usize; 2] = [160, 288];

/// Tells which way up a line is.
#[derive(Debug)]
pub(super) struct Orienter {
    session: Session,
    input: InputSpec,
}

impl Orienter {
    pub fn new(model: &Model) -> Result<Self> {
        model.expect_task("text-orientation")?;
        Ok(Orienter { session: Session::load(model, &[&model.info.outputs.turned])?, input: model.info.input.clone() })
    }

    /// The probability that `line` stands upside down.
    pub fn upside_down(&self, line: &Image) -> Result<f32> {
        let [width, height] = self.input.size;
        let input = padded(line, &self.input, width_at(line, height).min(width), width)?;
        let both = timed("orientation network", || self.session.run(&input))?.swap_remove(0);
        both.data().get(1).copied().ok_or_else(|| Error::Internal("an orientation without two values".into()))
    }
}

/// Reads lines.
#[derive(Debug)]
pub(super) struct Recogniser {
    session: Session,
    input: InputSpec,
    characters: Vec<String>,
}

impl Recogniser {
    pub fn new(model: &Model) -> Result<Self> {
        model.expect_task("text-recognition")?;
        let id = &model.info.id;
        let described = engine::describe(id, &model.bytes)?;
        let list = described.metadata.get("character").ok_or_else(|| {
            Error::model(id, "its metadata has no list of characters (`character`, as in PaddleOCR's exports)")
        })?;
        // Class 0 is the blank, the last one the space that the list leaves out.
        let mut characters = vec![String::new()];
        characters.extend(list.lines().map(str::to_string));
        characters.push(" ".into());
        let session = Session::load(model, &[&model.info.outputs.logits])?.with_plans(PLANS);
        Ok(Recogniser { session, input: model.info.input.clone(), characters })
    }

    /// What the classes stand for; the blank is empty.
    pub fn characters(&self) -> &[String] {
        &self.characters
    }

    /// Compiles plans that nearly every picture needs. Without them the first lines would wait.
    pub fn prepare(&self) -> Result<()> {
        let height = self.input.size[1] as usize;
        FIRST_WIDTHS.into_iter().try_for_each(|width| self.session.prepare(&[1, 3, height, width]))
    }

    /// The logits of a line that lies, 1 x columns x classes.
    pub fn logits(&self, line: &Image) -> Result<Tensor> {
        let height = self.input.size[1];
        let longest = WIDTHS[WIDTHS.len() - 1];
        let width = width_at(line, height).min(longest);
        let room = WIDTHS.into_iter().find(|w| *w >= width).unwrap_or(longest);
        let input = timed("scale", || padded(line, &self.input, width, room))?;
        let logits = timed("recognition network", || self.session.run(&input))?.swap_remove(0);
        match logits.shape() {
            [1, _, classes] if *classes == self.characters.len() => Ok(logits),
            other => Err(Error::Internal(format!("{other:?} logits for {} characters", self.characters.len()))),
        }
    }
}

/// The width of `line` at `height` rows.
fn width_at(line: &Image, height: u32) -> u32 {
    (height as f32 * line.width() as f32 / line.height() as f32).ceil().max(1.0) as u32
}

/// `line` at `width` and the height of the input, with zeros to its right up to `room`.
fn padded(line: &Image, spec: &InputSpec, width: u32, room: u32) -> Result<Tensor> {
    let height = spec.size[1];
    let resized = preprocess::resample(line, width, height, spec.resample)?;
    let tensor = preprocess::normalise(&resized, spec)?;
    let (width, room, height) = (width as usize, room as usize, height as usize);
    let mut data = vec![0f32; 3 * height * room];
    for (row, line) in tensor.data().chunks_exact(width).zip(data.chunks_exact_mut(room)) {
        line[..width].copy_from_slice(row);
    }
    Tensor::new(vec![1, 3, height, room], data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_of_the_network() {
        assert!(WIDTHS.iter().all(|w| w % 32 == 0) && WIDTHS.is_sorted());
    }
}
