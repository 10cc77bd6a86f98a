//! Other views of a picture, so that a head does not take its pose and light for its class.

use crate::error::Result;
use crate::image::Image;
use std::str::FromStr;

/// What is done to pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Augment {
    /// Nothing.
    None,
    /// Mirrored.
    Flip,
    /// Cut off centre, darker and lighter; never mirrored.
    Shift,
    /// All of it.
    Full,
}

/// Share of each side that a cut keeps.
const KEPT: f32 = 0.88;
/// What values are multiplied by in the darker and in the lighter view.
const LIGHT: [f32; 2] = [0.8, 1.25];

impl Augment {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Augment::None => "none",
            Augment::Flip => "flip",
            Augment::Shift => "shift",
            Augment::Full => "full",
        }
    }

    /// The views of `image`; the first is the picture as it is. Always the same for the same picture.
    pub fn views(self, image: &Image) -> Result<Vec<Image>> {
        let mut views = vec![image.clone()];
        if matches!(self, Augment::Flip | Augment::Full) {
            views.push(mirrored(image)?);
        }
        if matches!(self, Augment::Shift | Augment::Full) {
            let (w, h) = (image.width(), image.height());
            let (kept_w, kept_h) = (kept(w), kept(h));
            let upper = image.crop(0, 0, kept_w, kept_h)?;
            let lower = image.crop(w - kept_w, h - kept_h, kept_w, kept_h)?;
            views.push(lit(&upper, LIGHT[0])?);
            let lower = lit(&lower, LIGHT[1])?;
            views.push(if self == Augment::Full { mirrored(&lower)? } else { lower });
        }
        Ok(views)
    }
}

impl FromStr for Augment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Augment::None, Augment::Flip, Augment::Shift, Augment::Full]
            .into_iter()
            .find(|a| a.name() == text)
            .ok_or_else(|| format!("{text:?} is none of none, flip, shift, full"))
    }
}

fn kept(side: u32) -> u32 {
    ((side as f32 * KEPT).round() as u32).max(1)
}

/// Left and right exchanged.
pub fn mirrored(image: &Image) -> Result<Image> {
    let rows = image.data().chunks_exact(image.width() as usize * 3);
    let data = rows.flat_map(|row| row.chunks_exact(3).rev().flatten().copied()).collect();
    Image::new(image.width(), image.height(), data)
}

fn lit(image: &Image, gain: f32) -> Result<Image> {
    let data = image.data().iter().map(|&v| (f32::from(v) * gain).round().min(255.0) as u8).collect();
    Image::new(image.width(), image.height(), data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_of_a_small_picture() {
        let image = Image::new(2, 1, vec![10, 20, 30, 200, 210, 220]).unwrap();
        assert_eq!(Augment::None.views(&image).unwrap(), std::slice::from_ref(&image));
        let flipped = Augment::Flip.views(&image).unwrap();
        assert_eq!(flipped[1].data(), [200, 210, 220, 10, 20, 30]);
        let full = Augment::Full.views(&image).unwrap();
        assert_eq!((full.len(), full[2].data()), (4, &[8, 16, 24, 160, 168, 176][..]));
        assert_eq!(full[3].data(), [250, 255, 255, 13, 25, 38]);
        assert_eq!(Augment::Shift.views(&image).unwrap()[2].data(), [13, 25, 38, 250, 255, 255]);
        let one = Image::new(1, 1, vec![9; 3]).unwrap();
        assert_eq!(Augment::Full.views(&one).unwrap().len(), 4);
        for name in ["none", "flip", "shift", "full"] {
            assert_eq!(name.parse::<Augment>().unwrap().name(), name);
        }
    }
}
