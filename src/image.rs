//! The one picture type: 8-bit RGB, row-major, owned.

use crate::error::{Error, Result};

/// An RGB picture: three bytes a pixel (red, green, blue), row by row from the top, no padding between rows.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    width: u32,
    height: u32,
    data: Vec<u8>,
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({}x{})", self.width, self.height)
    }
}

impl Image {
    /// A picture over `data`, which holds `3 * width * height` bytes.
    pub fn new(width: u32, height: u32, data: Vec<u8>) -> Result<Self> {
        if data.len() != width as usize * height as usize * 3 || data.is_empty() {
            return Err(Error::Internal(format!("an image of {width}x{height} over {} bytes", data.len())));
        }
        Ok(Image { width, height, data })
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The bytes, three a pixel.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The bytes, to draw into.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// The bytes alone.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// A copy of the `w` x `h` pixels from (`x`, `y`), cut to the picture; an error if nothing is left.
    pub fn crop(&self, x: u32, y: u32, w: u32, h: u32) -> Result<Image> {
        let (x2, y2) = (x.saturating_add(w).min(self.width), y.saturating_add(h).min(self.height));
        if x >= x2 || y >= y2 {
            return Err(Error::Input(format!(
                "a crop of {w}x{h} at {x},{y} lies outside of the {}x{} image",
                self.width, self.height
            )));
        }
        let row = (x2 - x) as usize * 3;
        let mut data = Vec::with_capacity(row * (y2 - y) as usize);
        for line in y..y2 {
            let start = (line as usize * self.width as usize + x as usize) * 3;
            data.extend_from_slice(&self.data[start..start + row]);
        }
        Image::new(x2 - x, y2 - y, data)
    }

    /// The picture moved to the left by `columns`, around the border: for panoramas, whose sides are neighbours.
    pub fn rolled(&self, columns: u32) -> Image {
        let mut data = self.data.clone();
        let row = self.width as usize * 3;
        data.chunks_exact_mut(row).for_each(|line| line.rotate_left(columns as usize % self.width as usize * 3));
        Image { data, ..*self }
    }

    /// Luma as ITU-R BT.601 weighs it (0.299 R + 0.587 G + 0.114 B), 0 to 255.
    pub fn to_gray(&self) -> Gray {
        let data = self.data.chunks_exact(3).map(|p| 0.299 * p[0] as f32 + 0.587 * p[1] as f32 + 0.114 * p[2] as f32);
        Gray { width: self.width as usize, height: self.height as usize, data: data.collect() }
    }
}

/// One channel of floats, row-major: a gray view of a picture (0 to 255) or a map of scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Gray {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width * height` values.
    pub data: Vec<f32>,
}

impl Gray {
    /// A map with every value `value`.
    pub fn filled(width: usize, height: usize, value: f32) -> Self {
        Gray { width, height, data: vec![value; width * height] }
    }

    /// The value at column `x`, row `y`.
    pub fn at(&self, x: usize, y: usize) -> f32 {
        self.data[y * self.width + x]
    }

    /// The value between pixels at continuous coordinates (pixel centres at half-integers), bilinear, borders repeated.
    pub fn sample(&self, x: f32, y: f32) -> f32 {
        let fx = (x - 0.5).clamp(0.0, (self.width - 1) as f32);
        let fy = (y - 0.5).clamp(0.0, (self.height - 1) as f32);
        let (x0, y0) = (fx as usize, fy as usize);
        let (x1, y1) = ((x0 + 1).min(self.width - 1), (y0 + 1).min(self.height - 1));
        let (dx, dy) = (fx - x0 as f32, fy - y0 as f32);
        let top = self.at(x0, y0) * (1.0 - dx) + self.at(x1, y0) * dx;
        let bottom = self.at(x0, y1) * (1.0 - dx) + self.at(x1, y1) * dx;
        top * (1.0 - dy) + bottom * dy
    }

    /// The largest value; negative infinity for an empty map.
    pub fn max(&self) -> f32 {
        self.data.iter().copied().fold(f32::NEG_INFINITY, f32::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crop_takes_the_named_pixels() {
        let data: Vec<u8> = (0..4 * 3 * 3).collect();
        let image = Image::new(4, 3, data).unwrap();
        let crop = image.crop(1, 1, 2, 9).unwrap();
        assert_eq!((crop.width(), crop.height()), (2, 2));
        assert_eq!(crop.data(), [15, 16, 17, 18, 19, 20, 27, 28, 29, 30, 31, 32]);
        assert!(image.crop(4, 0, 1, 1).is_err());
    }

    #[test]
    fn sample_hits_pixel_centres() {
        let g = Gray { width: 2, height: 2, data: vec![0.0, 10.0, 20.0, 30.0] };
        assert_eq!(g.sample(0.5, 0.5), 0.0);
        assert_eq!(g.sample(1.5, 1.5), 30.0);
        assert_eq!(g.sample(1.0, 1.0), 15.0);
        assert_eq!(g.sample(-5.0, 0.5), 0.0);
    }
}
