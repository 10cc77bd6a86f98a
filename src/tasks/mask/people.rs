//! People cut out of their boxes.

use crate::engine::Session;
use crate::error::{Error, Result};
use crate::geometry::Rect;
use crate::image::{Gray, Image};
use crate::models::Model;
use crate::models::manifest::InputSpec;
use crate::postprocess::masks::Cutout;
use crate::preprocess;

/// The crop reaches this share of the box beyond it on each side: detectors cut off hands and feet, and the network was
/// trained on people with some room around them.
const MARGIN: f32 = 0.15;
/// The narrower side of the crop is at least this share of the longer. The network squeezes the crop into a square: of
/// people squeezed by four, as those at the border of a picture, it sees nothing.
const SLENDER: f32 = 0.5;

/// A network that tells people from background in a small picture.
#[derive(Debug)]
pub(super) struct Cutter {
    session: Session,
    input: InputSpec,
}

impl Cutter {
    pub fn new(model: &Model) -> Result<Self> {
        model.expect_task("person-mask")?;
        let session = Session::load(model, &[&model.info.outputs.mask])?;
        let input = model.info.input.clone();
        session.prepare(&[1, 3, input.size[1] as usize, input.size[0] as usize])?;
        Ok(Cutter { session, input })
    }

    /// The person in the box `rect` of `photo`.
    pub fn cut(&self, photo: &Image, rect: &Rect) -> Result<Cutout> {
        let picture = (photo.width(), photo.height());
        let (w, h) = (rect.width() * MARGIN, rect.height() * MARGIN);
        let person = Rect { x1: rect.x1 - w, y1: rect.y1 - h, x2: rect.x2 + w, y2: rect.y2 + h };
        let person = person.clip(picture.0, picture.1);
        let (x, y, w, h) = crop(&person, picture);
        let (input, _) = preprocess::prepare(&photo.crop(x, y, w, h)?, &self.input)?;
        let map = self.session.run(&input)?.swap_remove(0);
        let &[.., height, width] = map.shape() else { return Err(Error::Internal("a mask without sides".into())) };
        let map = Gray { width, height, data: map.into_data() };
        let seen = Rect::from_xywh(x as f32, y as f32, w as f32, h as f32);
        Ok(Cutout::above(&map, &seen, &person, picture, 0.5))
    }
}

/// What the network is shown of a picture (width, height): x, y, width and height of the pixels around `person`, with more
/// on the sides of slender boxes, moved inside the picture.
fn crop(person: &Rect, picture: (u32, u32)) -> (u32, u32, u32, u32) {
    let (w, h) = (person.width(), person.height());
    let span = |middle: f32, length: f32, limit: u32| {
        let length = (length.ceil() as u32).clamp(1, limit);
        let first = (middle - length as f32 / 2.0).floor().max(0.0) as u32;
        (first.min(limit - length), length)
    };
    let (x, width) = span((person.x1 + person.x2) / 2.0, w.max(h * SLENDER), picture.0);
    let (y, height) = span((person.y1 + person.y2) / 2.0, h.max(w * SLENDER), picture.1);
    (x, y, width, height)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The crop lies in the picture, holds the person but for parts of pixels, and is not slender if it can be helped.
        #[test]
        fn crops(x in 0f32..640.0, y in 0f32..480.0, w in 0f32..640.0, h in 0f32..480.0) {
            let person = Rect::from_xywh(x, y, w, h).clip(640, 480);
            let (x, y, w, h) = crop(&person, (640, 480));
            prop_assert!(x + w <= 640 && y + h <= 480);
            let crop = Rect::from_xywh(x as f32, y as f32, w as f32, h as f32);
            prop_assert!(crop.intersect(&person).area() > person.area() - person.width() - person.height());
            prop_assert!(w == 640 || w as f32 >= h as f32 * SLENDER - 1.0);
        }
    }
}
