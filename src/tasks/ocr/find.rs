//! Where text is: the detection network, and at which size a picture is shown to it.

use crate::engine::Session;
use crate::error::{Error, Result};
use crate::geometry::Quad;
use crate::image::{Gray, Image};
use crate::models::Model;
use crate::models::manifest::InputSpec;
use crate::postprocess::text_boxes::{self, Params, reading_order};
use crate::preprocess;
use crate::tasks::timed;

/// The shorter side of the network's input is at least this: smaller pictures are enlarged (RapidOCR's `limit_side_len`).
const LEAST_SHORT_SIDE: f32 = 736.0;
/// The longer side is at most this: strips that are blown up to a short side of 736 fall into words.
const MOST_LONG_SIDE: f32 = 1600.0;
/// Sides are multiples of this.
const UNIT: f32 = 32.0;
/// Plans of the detection network that are kept: pictures of one camera have one size.
const PLANS: usize = 2;
/// Pictures this many times as wide as high get black rows above and below, until they are a quarter as high as wide.
const STRIP: u32 = 8;
/// So do pictures of no more rows than this.
const LOW: u32 = 30;

/// Finds lines of text.
#[derive(Debug)]
pub(super) struct Finder {
    session: Session,
    input: InputSpec,
}

impl Finder {
    pub fn new(model: &Model) -> Result<Self> {
        model.expect_task("text-detection")?;
        let session = Session::load(model, &[&model.info.outputs.text])?.with_plans(PLANS);
        Ok(Finder { session, input: model.info.input.clone() })
    }

    /// The quads of the lines in `image`, in reading order.
    pub fn find(&self, image: &Image, params: &Params) -> Result<Vec<Quad>> {
        let (padded, above) = with_rows(image)?;
        let (width, height) = input_size(padded.width(), padded.height());
        let input = timed("prepare", || {
            let small = preprocess::resample(&padded, width, height, self.input.resample)?;
            preprocess::normalise(&small, &self.input)
        })?;
        let map = timed("detection network", || self.session.run(&input))?.swap_remove(0);
        let &[.., rows, columns] = map.shape() else { return Err(Error::Internal("a text map without sides".into())) };
        let map = Gray { width: columns, height: rows, data: map.into_data() };
        let quads = timed("boxes", || text_boxes::find(&map, params));
        // Each axis on its own: both are rounded to the unit.
        let (sx, sy) = (padded.width() as f32 / columns as f32, padded.height() as f32 / rows as f32);
        let (right, bottom) = (image.width() as f32, image.height() as f32);
        let place = |(x, y): (f32, f32)| ((x * sx).clamp(0.0, right), (y * sy - above as f32).clamp(0.0, bottom));
        let quads: Vec<Quad> = quads.into_iter().map(|(quad, _)| quad.map(place)).filter(large_enough).collect();
        Ok(reading_order(&quads).into_iter().map(|i| quads[i]).collect())
    }
}

/// RapidOCR drops what has no more than three pixels in a direction.
fn large_enough(quad: &Quad) -> bool {
    quad.width() > 3.0 && quad.height() > 3.0
}

/// Pixels of a strip with its rows: as many as a picture may have at most by default.
const MOST_PADDED: u64 = 200_000_000;

/// Strips with black rows above and below, and how many above; other pictures as they are.
fn with_rows(image: &Image) -> Result<(Image, u32)> {
    let (width, height) = (image.width(), image.height());
    if height > LOW && width <= STRIP * height {
        return Ok((image.clone(), 0));
    }
    let rows = (2 * (width / STRIP).max(LOW)).abs_diff(height) / 2;
    if u64::from(width) * u64::from(height + 2 * rows) > MOST_PADDED {
        let message = format!(
            "a strip of {width}x{height} pixels is too long to be read at once; read it in pieces, each a region"
        );
        return Err(Error::Input(message));
    }
    let row = width as usize * 3;
    let mut data = vec![0; row * (height + 2 * rows) as usize];
    data[row * rows as usize..][..image.data().len()].copy_from_slice(image.data());
    Ok((Image::new(width, height + 2 * rows, data)?, rows))
}

/// Width and height of the network's input for a picture.
fn input_size(width: u32, height: u32) -> (u32, u32) {
    let (w, h) = (width as f32, height as f32);
    let enlarge = (LEAST_SHORT_SIDE / w.min(h)).max(1.0);
    let scale = enlarge.min(MOST_LONG_SIDE / w.max(h));
    let side = |v: f32| ((v * scale / UNIT).round_ties_even() * UNIT).max(UNIT) as u32;
    (side(w), side(h))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(input_size(640, 480), (992, 736));
        assert_eq!(input_size(1000, 800), (992, 800));
        assert_eq!(input_size(6000, 4000), (1600, 1056));
        assert_eq!(input_size(1000, 250), (1600, 384));
        assert_eq!(input_size(1, 5000), (32, 1600));
    }

    #[test]
    fn strips_get_rows() {
        let image = |w: u32, h: u32| Image::new(w, h, vec![255; (w * h * 3) as usize]).unwrap();
        let (padded, above) = with_rows(&image(800, 60)).unwrap();
        assert_eq!((padded.height(), above), (200, 70));
        assert_eq!((padded.data()[0], padded.data()[70 * 2400]), (0, 255));
        assert_eq!(with_rows(&image(300, 40)).unwrap().1, 0);
        assert_eq!(with_rows(&image(20, 20)).unwrap(), (with_rows(&image(20, 20)).unwrap().0, 20));
    }
}
