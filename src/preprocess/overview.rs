//! A photograph at a glance: what perceptual hashes look at, small, gray, and turned as it is to be seen.

use super::lanczos::{lanczos, lanczos_gray};
use crate::error::{Error, Result};
use crate::image::{Gray, Image};
use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};

/// The eight ways to turn and mirror a picture; the first leaves it as it is.
pub const TURNS: [Orientation; 8] = [
    Orientation::NoTransforms,
    Orientation::Rotate90,
    Orientation::Rotate180,
    Orientation::Rotate270,
    Orientation::FlipHorizontal,
    Orientation::Rotate90FlipH,
    Orientation::FlipVertical,
    Orientation::Rotate270FlipH,
];

/// The stored pixels of a photograph, whole or reduced.
#[derive(Debug)]
pub enum Pixels {
    /// Luma, 0 to 255, reduced by a whole factor. The photograph covers the top left `extent` of it, which may end within
    /// a pixel.
    Reduced {
        /// The reduced luma.
        luma: Gray,
        /// Columns and rows that the photograph covers.
        extent: (f64, f64),
    },
    /// All pixels, for hashes that are compared with other programs' to the bit.
    Whole(Image),
}

/// What is known of a photograph before it is hashed.
#[derive(Debug)]
pub struct Overview {
    /// Width in pixels as seen (after EXIF orientation).
    pub width: u32,
    /// Height in pixels as seen.
    pub height: u32,
    pixels: Pixels,
    orientation: Orientation,
}

impl Overview {
    /// Of a photograph of `size` stored pixels that is to be seen with `orientation`.
    pub fn new(pixels: Pixels, size: (u32, u32), orientation: Orientation) -> Self {
        let (width, height) = if swaps(orientation) { (size.1, size.0) } else { size };
        Overview { width, height, pixels, orientation }
    }

    /// Luma of the photograph as seen and then turned by `turn`, stretched to `width` x `height` with Pillow's Lanczos
    /// filter and rounded to whole numbers from 0 to 255.
    pub fn at(&self, width: usize, height: usize, turn: Orientation) -> Result<Gray> {
        let (w, h) = if swaps(self.orientation) != swaps(turn) { (height, width) } else { (width, height) };
        let mut small = match &self.pixels {
            Pixels::Reduced { luma, extent } => lanczos_gray(luma, *extent, w, h),
            Pixels::Whole(image) => pillow_gray(&lanczos(image, w, h)?),
        };
        small.data.iter_mut().for_each(|v| *v = v.round().clamp(0.0, 255.0));
        Ok(turned(&turned(&small, self.orientation), turn))
    }
}

/// Luma as Pillow's `convert("L")` rounds it: ITU-R BT.601 in whole numbers of 16 binary places.
fn pillow_gray(image: &Image) -> Gray {
    let luma = |p: &[u8]| (19595 * u32::from(p[0]) + 38470 * u32::from(p[1]) + 7471 * u32::from(p[2]) + 0x8000) >> 16;
    let data = image.data().chunks_exact(3).map(|p| luma(p) as f32).collect();
    Gray { width: image.width() as usize, height: image.height() as usize, data }
}

/// Luma of `image`, averaged over squares of a whole number of pixels so that about `wanted` remain on the shorter side.
/// Squares that reach over the right and lower border are averaged over what is there.
pub fn reduce(image: &Image, wanted: u32) -> Pixels {
    let factor = (image.width().min(image.height()) / wanted).max(1) as usize;
    let (from_w, from_h) = (image.width() as usize, image.height() as usize);
    let (width, height) = (from_w.div_ceil(factor), from_h.div_ceil(factor));
    let mut data = Vec::with_capacity(width * height);
    for band in image.data().chunks(3 * from_w * factor) {
        let mut sums = vec![0u32; width];
        for line in band.chunks_exact(3 * from_w) {
            for (sum, square) in sums.iter_mut().zip(line.chunks(3 * factor)) {
                // BT.601 in whole numbers: 77 + 150 + 29 = 256.
                let luma = |p: &[u8]| 77 * u32::from(p[0]) + 150 * u32::from(p[1]) + 29 * u32::from(p[2]);
                *sum += square.chunks_exact(3).map(luma).sum::<u32>() >> 8;
            }
        }
        let rows = band.len() / (3 * from_w);
        let columns = |x: usize| factor.min(from_w - x * factor);
        data.extend(sums.iter().enumerate().map(|(x, &sum)| sum as f32 / (rows * columns(x)) as f32));
    }
    let extent = (from_w as f64 / factor as f64, from_h as f64 / factor as f64);
    Pixels::Reduced { luma: Gray { width, height, data }, extent }
}

/// Whether width and height change places.
pub fn swaps(turn: Orientation) -> bool {
    use Orientation::*;
    matches!(turn, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// `gray` turned and mirrored.
pub fn turned(gray: &Gray, turn: Orientation) -> Gray {
    let (w, h) = (gray.width, gray.height);
    let (width, height) = if swaps(turn) { (h, w) } else { (w, h) };
    // Where the pixel at (x, y) of the result comes from.
    let source = |x: usize, y: usize| match turn {
        Orientation::NoTransforms => (x, y),
        Orientation::FlipHorizontal => (w - 1 - x, y),
        Orientation::Rotate180 => (w - 1 - x, h - 1 - y),
        Orientation::FlipVertical => (x, h - 1 - y),
        Orientation::Rotate90FlipH => (y, x),
        Orientation::Rotate90 => (y, h - 1 - x),
        Orientation::Rotate270FlipH => (w - 1 - y, h - 1 - x),
        Orientation::Rotate270 => (w - 1 - y, x),
    };
    let data = (0..width * height).map(|i| source(i % width, i / width)).map(|(x, y)| gray.at(x, y)).collect();
    Gray { width, height, data }
}

/// `photo` turned and mirrored.
pub fn turned_image(photo: Image, turn: Orientation) -> Result<Image> {
    let (width, height) = (photo.width(), photo.height());
    let size = || Error::Internal("an image's size".into());
    let mut picture = DynamicImage::ImageRgb8(RgbImage::from_raw(width, height, photo.into_data()).ok_or_else(size)?);
    picture.apply_orientation(turn);
    Image::new(picture.width(), picture.height(), picture.into_rgb8().into_raw())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::GrayImage;

    #[test]
    fn turns_are_those_of_the_image_crate() {
        let bytes: Vec<u8> = (0..15).collect();
        let gray = Gray { width: 5, height: 3, data: bytes.iter().map(|&v| f32::from(v)).collect() };
        for turn in TURNS {
            let mut expected = DynamicImage::ImageLuma8(GrayImage::from_raw(5, 3, bytes.clone()).unwrap());
            expected.apply_orientation(turn);
            let found = turned(&gray, turn);
            assert_eq!((found.width as u32, found.height as u32), (expected.width(), expected.height()), "{turn:?}");
            let expected: Vec<f32> = expected.as_bytes().iter().map(|&v| f32::from(v)).collect();
            assert_eq!(found.data, expected, "{turn:?}");
        }
    }

    #[test]
    fn reduced_and_whole_look_alike() {
        let mut rng = fastrand::Rng::with_seed(5);
        let blocks: Vec<u8> = (0..300).map(|_| rng.u8(..)).collect();
        let data = (0..323 * 241).flat_map(|i| [blocks[(i % 323) / 20 + 17 * (i / 323 / 20)]; 3]).collect();
        let image = Image::new(323, 241, data).unwrap();
        let reduced = Overview::new(reduce(&image, 60), (323, 241), Orientation::Rotate90);
        assert_eq!((reduced.width, reduced.height), (241, 323));
        let whole = Overview::new(Pixels::Whole(image), (323, 241), Orientation::Rotate90);
        for turn in TURNS {
            let (a, b) = (reduced.at(9, 8, turn).unwrap(), whole.at(9, 8, turn).unwrap());
            let differences: Vec<f32> = a.data.iter().zip(&b.data).map(|(a, b)| (a - b).abs()).collect();
            // The blocks differ by up to 255; at the border the last square is only partly in the picture.
            let (mean, worst) =
                (differences.iter().sum::<f32>() / 72.0, differences.iter().fold(0.0, |m, &d| d.max(m)));
            assert!(mean <= 2.0 && worst <= 10.0, "{turn:?}: {mean} {worst}");
        }
    }
}
