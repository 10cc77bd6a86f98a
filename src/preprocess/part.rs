//! A part of a picture by its shares, so that it is the same part at any resolution.

use crate::error::Result;
use crate::geometry::Rect;
use crate::image::Image;
use std::fmt;
use std::str::FromStr;

/// A rectangle in shares of a picture's width and height: `x1`, `y1`, `x2`, `y2`, each 0 to 1 from the top left. As text with
/// commas between.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part([f32; 4]);

impl Part {
    /// From the four shares; says what is wrong with them.
    pub fn new(sides @ [x1, y1, x2, y2]: [f32; 4]) -> Result<Self, String> {
        let inside = sides.iter().all(|s| (0.0..=1.0).contains(s));
        match inside && x1 < x2 && y1 < y2 {
            true => Ok(Part(sides)),
            false => Err(format!(
                "{x1},{y1},{x2},{y2} is no part of a picture; expected left, top, right and bottom as shares of 0 to 1"
            )),
        }
    }

    /// `rect` of a picture of `width` x `height`.
    pub fn of(rect: &Rect, width: u32, height: u32) -> Result<Self, String> {
        let (w, h) = (width as f32, height as f32);
        Part::new([rect.x1 / w, rect.y1 / h, rect.x2 / w, rect.y2 / h])
    }

    /// That part of `image`, edges at whole pixels, at least one each way.
    pub fn cut(&self, image: &Image) -> Result<Image> {
        let Part([x1, y1, x2, y2]) = *self;
        let span = |from: f32, to: f32, side: u32| {
            let at = |share: f32| (share * side as f32).round() as u32;
            let from = at(from).min(side - 1);
            (from, at(to).max(from + 1) - from)
        };
        let (x, w) = span(x1, x2, image.width());
        let (y, h) = span(y1, y2, image.height());
        image.crop(x, y, w, h)
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Option<Vec<f32>> = text.split(',').map(|n| n.trim().parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[x1, y1, x2, y2]) => Part::new([x1, y1, x2, y2]),
            _ => Err(format!("{text:?} is not x1,y1,x2,y2 in shares of the picture, such as 0.1,0.2,0.5,0.9")),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Part([x1, y1, x2, y2]) = self;
        write!(f, "{x1},{y1},{x2},{y2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_cut_at_whole_pixels() {
        let image = Image::new(8, 4, (0..96).collect()).unwrap();
        let part: Part = "0.25, 0.5,0.5,1".parse().unwrap();
        let cut = part.cut(&image).unwrap();
        assert_eq!((cut.width(), cut.height(), cut.data()[0]), (2, 2, 2 * 24 + 6));
        assert_eq!(part.to_string().parse::<Part>().unwrap(), part);
        let sliver = Part::new([0.99, 0.99, 1.0, 1.0]).unwrap().cut(&image).unwrap();
        assert_eq!((sliver.width(), sliver.height()), (1, 1));
        for bad in ["", "1,2,3", "0,0,1,nan", "0.5,0,0.5,1", "0,0,2,1", "a,b,c,d"] {
            assert!(bad.parse::<Part>().is_err(), "{bad:?}");
        }
    }
}
