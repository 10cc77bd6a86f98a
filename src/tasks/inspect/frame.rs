//! The view of one region: its pixels brought to the place, angle and size that the golden part has.

use crate::error::Result;
use crate::geometry::{Rect, Similarity};
use crate::image::Image;
use crate::preprocess;

/// A region of one photograph in the place, angle and size of the golden part.
#[derive(Debug, Clone)]
pub struct View {
    /// The pixels.
    pub image: Image,
    frame: Frame,
    pose: Similarity,
    photo: (u32, u32),
}

/// A cell this near to the edge of the photograph, as a share of the view's side, was not seen properly: the filters
/// that judge it reach beyond the edge.
const EDGE: f32 = 0.012;

impl View {
    /// Pixels of the photograph per pixel of the view.
    pub fn shrunk(&self) -> f32 {
        (self.frame.rect.area() / (self.frame.width as f32 * self.frame.height as f32)).sqrt()
    }

    /// The share of the view that lies inside of the photograph, 0 to 1.
    pub fn shown(&self) -> f32 {
        let seen = self.seen(16, 16);
        seen.iter().filter(|seen| **seen).count() as f32 / seen.len() as f32
    }

    /// For each cell of a grid over the view whether it lies inside of the photograph.
    pub fn seen(&self, columns: usize, rows: usize) -> Vec<bool> {
        let (width, height) = (self.photo.0 as f32, self.photo.1 as f32);
        let inside = |(x, y): (f32, f32)| x >= 0.0 && y >= 0.0 && x <= width && y <= height;
        let rect = &self.frame.rect;
        if self.pose == Similarity::IDENTITY || self.pose.map_rect(rect).corners().into_iter().all(inside) {
            return vec![true; columns * rows];
        }
        let (step_x, step_y) = (rect.width() / columns as f32, rect.height() / rows as f32);
        let (edge_x, edge_y) = (rect.width() * EDGE, rect.height() * EDGE);
        let cell = |i: usize| {
            let (x, y) = (rect.x1 + (i % columns) as f32 * step_x, rect.y1 + (i / columns) as f32 * step_y);
            let grown = Rect { x1: x - edge_x, y1: y - edge_y, x2: x + step_x + edge_x, y2: y + step_y + edge_y };
            // The frame itself may end at the edge of the golden image: only what a pose brings in from outside counts.
            grown.intersect(rect).corners().into_iter().all(|p| inside(self.pose.apply(p)))
        };
        (0..columns * rows).map(cell).collect()
    }
}

/// A region of the golden image and the size in which it is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// The region in pixels of the golden image.
    pub rect: Rect,
    /// Width of the view in pixels.
    pub width: u32,
    /// Height of the view in pixels.
    pub height: u32,
}

impl Frame {
    /// A frame as large as the region, but of no more than about `side` x `side` pixels.
    pub fn limited(rect: Rect, side: u32) -> Self {
        let gain = (side as f32 / rect.area().sqrt()).min(1.0);
        let fit = |length: f32| ((length * gain).round() as u32).max(1);
        Frame { rect, width: fit(rect.width()), height: fit(rect.height()) }
    }

    /// The region as it lies in `photo` under `pose`, turned and scaled back: bilinear, and area-aware where the view is
    /// smaller than the region. What lies outside of the photograph repeats its border.
    pub fn view(&self, photo: &Image, pose: &Similarity) -> Result<View> {
        let image = self.pixels(photo, pose)?;
        Ok(View { image, frame: *self, pose: *pose, photo: (photo.width(), photo.height()) })
    }

    fn pixels(&self, photo: &Image, pose: &Similarity) -> Result<Image> {
        let (gain_x, gain_y) = (self.rect.width() / self.width as f32, self.rect.height() / self.height as f32);
        // Only the part of the photograph that the view needs, with a margin for the filters.
        let margin = 2.0 * gain_x.max(gain_y) + 2.0;
        let needed = pose.map_rect(&self.rect);
        let inside =
            Rect { x1: needed.x1 - margin, y1: needed.y1 - margin, x2: needed.x2 + margin, y2: needed.y2 + margin }
                .clip(photo.width(), photo.height());
        let left = (inside.x1.max(0.0) as u32).min(photo.width() - 1);
        let top = (inside.y1.max(0.0) as u32).min(photo.height() - 1);
        let right = (inside.x2.max(0.0).ceil() as u32).max(left + 1);
        let bottom = (inside.y2.max(0.0).ceil() as u32).max(top + 1);
        let part = photo.crop(left, top, right - left, bottom - top)?;
        let shrunk = |side: u32, gain: f32| ((side as f32 / gain.max(1.0)).round() as u32).max(1);
        let small = preprocess::resize(&part, shrunk(part.width(), gain_x), shrunk(part.height(), gain_y))?;
        let (scale_x, scale_y) =
            (small.width() as f32 / part.width() as f32, small.height() as f32 / part.height() as f32);
        let mut data = Vec::with_capacity(self.width as usize * self.height as usize * 3);
        for y in 0..self.height {
            let golden_y = self.rect.y1 + (y as f32 + 0.5) * gain_y;
            for x in 0..self.width {
                let golden_x = self.rect.x1 + (x as f32 + 0.5) * gain_x;
                let (u, v) = pose.apply((golden_x, golden_y));
                data.extend(sample(&small, (u - left as f32) * scale_x, (v - top as f32) * scale_y));
            }
        }
        Image::new(self.width, self.height, data)
    }

    /// A box in pixels of the view as the box around it in the photograph.
    pub fn to_photo(self, view: &Rect, pose: &Similarity) -> Rect {
        let (gain_x, gain_y) = (self.rect.width() / self.width as f32, self.rect.height() / self.height as f32);
        pose.map_rect(&Rect {
            x1: self.rect.x1 + view.x1 * gain_x,
            y1: self.rect.y1 + view.y1 * gain_y,
            x2: self.rect.x1 + view.x2 * gain_x,
            y2: self.rect.y1 + view.y2 * gain_y,
        })
    }
}

/// Bilinear between pixel centres at half-integers, borders repeated.
fn sample(image: &Image, x: f32, y: f32) -> [u8; 3] {
    let (w, h) = (image.width() as usize, image.height() as usize);
    let fx = (x - 0.5).clamp(0.0, (w - 1) as f32);
    let fy = (y - 0.5).clamp(0.0, (h - 1) as f32);
    let (x0, y0) = (fx as usize, fy as usize);
    let (x1, y1) = ((x0 + 1).min(w - 1), (y0 + 1).min(h - 1));
    let (dx, dy) = (fx - x0 as f32, fy - y0 as f32);
    let row = image.data();
    let (a, b) = (&row[(y0 * w + x0) * 3..][..3], &row[(y0 * w + x1) * 3..][..3]);
    let (c, d) = (&row[(y1 * w + x0) * 3..][..3], &row[(y1 * w + x1) * 3..][..3]);
    std::array::from_fn(|i| {
        let top = a[i] as f32 + (b[i] as f32 - a[i] as f32) * dx;
        let bottom = c[i] as f32 + (d[i] as f32 - c[i] as f32) * dx;
        (top + (bottom - top) * dy + 0.5) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(width: u32, height: u32) -> Image {
        let data = (0..height).flat_map(|y| (0..width).flat_map(move |x| [x as u8, y as u8, 0])).collect();
        Image::new(width, height, data).unwrap()
    }

    #[test]
    fn identity_view_is_the_crop() {
        let photo = ramp(100, 80);
        let frame = Frame { rect: Rect::from_xywh(10.0, 20.0, 32.0, 32.0), width: 32, height: 32 };
        assert_eq!(frame.view(&photo, &Similarity::IDENTITY).unwrap().image, photo.crop(10, 20, 32, 32).unwrap());
    }

    #[test]
    fn a_shifted_part_is_brought_back() {
        let photo = ramp(100, 80);
        let frame = Frame { rect: Rect::from_xywh(10.0, 20.0, 32.0, 32.0), width: 32, height: 32 };
        let pose = Similarity { tx: 5.0, ty: -3.0, ..Similarity::IDENTITY };
        assert_eq!(frame.view(&photo, &pose).unwrap().image, photo.crop(15, 17, 32, 32).unwrap());
        let boxed = frame.to_photo(&Rect::from_xywh(0.0, 0.0, 8.0, 8.0), &pose);
        assert_eq!(boxed, Rect::from_xywh(15.0, 17.0, 8.0, 8.0));
    }

    #[test]
    fn a_part_outside_of_the_photograph_is_no_panic() {
        let frame = Frame { rect: Rect::from_xywh(10.0, 20.0, 32.0, 32.0), width: 64, height: 32 };
        for shift in [-500.0, 500.0] {
            let pose = Similarity { tx: shift, ty: shift, ..Similarity::IDENTITY };
            let view = frame.view(&ramp(100, 80), &pose).unwrap();
            assert_eq!(view.image.width(), 64);
            assert!(view.seen(8, 4).iter().all(|seen| !seen));
        }
    }
}
