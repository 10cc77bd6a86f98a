//! Looks at a picture for training: as it is, and larger or smaller, moved, mirrored, lighter or darker.

use crate::error::Result;
use crate::geometry::Rect;
use crate::image::Image;
use crate::models::manifest::InputSpec;
use crate::preprocess::{self, Placement, overview};
use crate::train::augment::mirrored;
use image::metadata::Orientation;
use std::str::FromStr;

/// What may be done to a picture to learn more from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Augment {
    /// Nothing.
    None,
    /// Size, place and light.
    Light,
    /// Mirrored left to right too: wrong where left and right differ, as with texts.
    Full,
    /// Turned by quarters too: for what is seen from above, and for light lines on dark ground.
    Turned,
    /// With more objects of the training pictures set beside those that are there, too: for dark lines on light paper.
    CopyPaste,
}

impl Augment {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Augment::None => "none",
            Augment::Light => "light",
            Augment::Full => "full",
            Augment::Turned => "turned",
            Augment::CopyPaste => "copy-paste",
        }
    }

    /// The ways that a picture may be turned and mirrored, the one that it is in first.
    pub(super) fn poses(self) -> Vec<(Orientation, bool)> {
        let plain = (Orientation::NoTransforms, false);
        match self {
            Augment::None | Augment::Light => vec![plain],
            Augment::Full => vec![plain, (plain.0, true)],
            Augment::Turned | Augment::CopyPaste => {
                [false, true].into_iter().flat_map(|m| TURNS.map(|turn| (turn, m))).collect()
            }
        }
    }
}

impl FromStr for Augment {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        [Augment::None, Augment::Light, Augment::Full, Augment::Turned, Augment::CopyPaste]
            .into_iter()
            .find(|a| a.name() == text)
            .ok_or_else(|| format!("{text:?} is none of none, light, full, turned, copy-paste"))
    }
}

/// The turns by quarters, clockwise.
const TURNS: [Orientation; 4] =
    [Orientation::NoTransforms, Orientation::Rotate90, Orientation::Rotate180, Orientation::Rotate270];
/// Least and greatest size against the picture as it is.
const ZOOM: (f32, f32) = (0.8, 1.2);
/// Greatest change of contrast, and of light in steps of 0 to 255.
const CONTRAST: f32 = 0.15;
const LIGHT: f32 = 20.0;
/// Less than this share of an object left, it is no longer called by its name.
const LEFT: f32 = 0.6;

/// A number between the two: twice as much is as likely as half as much.
pub(super) fn log_uniform(random: &mut fastrand::Rng, (low, high): (f32, f32)) -> f32 {
    (low.ln() + (high.ln() - low.ln()) * random.f32()).exp()
}

/// One look at a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// The part of the picture that is seen: left, top, width, height.
    part: (u32, u32, u32, u32),
    /// Where the part comes to lie; its scale and padding.
    placement: Placement,
    /// Width and height of the part in the input.
    inner: (u32, u32),
    mirrored: bool,
    /// How the part is turned before that.
    turn: Orientation,
    /// Gain and shift of the pixels.
    light: (f32, f32),
    /// Width and height of the network's input.
    input: [u32; 2],
}

impl View {
    /// The picture as it is, of `size` (width, height), in an input of `input`; as [`preprocess::fit`] does it.
    pub fn plain(size: (u32, u32), input: [u32; 2]) -> Self {
        let gain = (input[0] as f32 / size.0 as f32).min(input[1] as f32 / size.1 as f32);
        View::of((0, 0, size.0, size.1), Orientation::NoTransforms, gain, (0.5, 0.5), input)
    }

    /// Look number `at` at a picture of `size` in an input of `input`, which is turned with it. `random` decides what no other look of the picture needs to
    /// know; `seed`, the same for all its looks, how it is turned and mirrored, so that they differ in that.
    pub fn random(
        size: (u32, u32),
        input: [u32; 2],
        augment: Augment,
        (at, seed): (usize, u64),
        random: &mut fastrand::Rng,
    ) -> Self {
        if augment == Augment::None {
            return View::plain(size, input);
        }
        let between = |random: &mut fastrand::Rng, low: f32, high: f32| low + (high - low) * random.f32();
        let fitting = (input[0] as f32 / size.0 as f32).min(input[1] as f32 / size.1 as f32);
        let gain = fitting * log_uniform(random, ZOOM);
        let mut poses = augment.poses();
        // Look 0 is the picture as it is.
        fastrand::Rng::with_seed(seed).shuffle(&mut poses[1..]);
        let (turn, mirrored) = poses[at % poses.len()];
        // Of a picture that is larger now, as much is seen as fits.
        let seen = |side: u32, input: u32| ((input as f32 / gain).floor() as u32).clamp(1, side);
        let (w, h) = (seen(size.0, input[0]), seen(size.1, input[1]));
        let input = if overview::swaps(turn) { [input[1], input[0]] } else { input };
        let part = (random.u32(0..=size.0 - w), random.u32(0..=size.1 - h), w, h);
        let mut view = View::of(part, turn, gain, (random.f32(), random.f32()), input);
        view.mirrored = mirrored;
        view.light = (1.0 + between(random, -CONTRAST, CONTRAST), between(random, -LIGHT, LIGHT));
        view
    }

    /// A part seen with a gain, `free` of what is left of the input to the left and above it.
    fn of(part: (u32, u32, u32, u32), turn: Orientation, gain: f32, free: (f32, f32), input: [u32; 2]) -> Self {
        let (src_w, src_h) = if overview::swaps(turn) { (part.3, part.2) } else { (part.2, part.3) };
        let side = |length: u32, most: u32| ((length as f32 * gain).round() as u32).clamp(1, most);
        let inner = (side(src_w, input[0]), side(src_h, input[1]));
        let placement = Placement {
            scale_x: inner.0 as f32 / src_w as f32,
            scale_y: inner.1 as f32 / src_h as f32,
            pad_left: ((input[0] - inner.0) as f32 * free.0).floor(),
            pad_top: ((input[1] - inner.1) as f32 * free.1).floor(),
            src_w,
            src_h,
        };
        View { part, placement, inner, mirrored: false, turn, light: (1.0, 0.0), input }
    }

    /// The network's input for `image`; what the picture leaves free has the value of `spec.pad`.
    pub fn image(&self, image: &Image, spec: &InputSpec) -> Result<Image> {
        let (x, y, w, h) = self.part;
        let part = if (w, h) == (image.width(), image.height()) { image.clone() } else { image.crop(x, y, w, h)? };
        let part = overview::turned_image(part, self.turn)?;
        let mut small = preprocess::resample(&part, self.inner.0, self.inner.1, spec.resample)?;
        let (gain, shift) = self.light;
        if self.light != (1.0, 0.0) {
            let table: Vec<u8> =
                (0..256).map(|v| ((v as f32 - 128.0) * gain + 128.0 + shift).clamp(0.0, 255.0) as u8).collect();
            small.data_mut().iter_mut().for_each(|v| *v = table[*v as usize]);
        }
        let (left, top) = (self.placement.pad_left as usize, self.placement.pad_top as usize);
        let whole = preprocess::paste(&small, self.input[0], self.input[1], left, top, spec.pad)?;
        if self.mirrored { mirrored(&whole) } else { Ok(whole) }
    }

    /// A box of the part after its turn.
    fn turned(&self, rect: &Rect) -> Rect {
        let (w, h) = (self.part.2 as f32, self.part.3 as f32);
        Rect::around(rect.corners().map(|(x, y)| match self.turn {
            Orientation::Rotate90 => (h - y, x),
            Orientation::Rotate180 => (w - x, h - y),
            Orientation::Rotate270 => (y, w - x),
            _ => (x, y),
        }))
    }

    /// Input pixels a pixel of the picture.
    pub fn gain(&self) -> f32 {
        self.placement.scale_x
    }

    /// Where the picture lies in the input: left, top, width, height.
    pub fn inside(&self) -> (u32, u32, u32, u32) {
        let (left, top) = (self.placement.pad_left as u32, self.placement.pad_top as u32);
        let left = if self.mirrored { self.input[0] - left - self.inner.0 } else { left };
        (left, top, self.inner.0, self.inner.1)
    }

    /// A box in input pixels of a [`View::plain`] as one in the picture's.
    pub fn to_source(&self, rect: &Rect) -> Rect {
        self.placement.to_source(rect).moved(self.part.0 as f32, self.part.1 as f32)
    }

    /// A box of the picture in input pixels; none if too little of it is seen.
    pub fn rect(&self, rect: &Rect) -> Option<Rect> {
        let seen = self.seen(rect);
        (seen.area() >= LEFT * rect.area()).then(|| self.visible(rect))?
    }

    /// What is seen of a box of the picture, in input pixels.
    pub fn visible(&self, rect: &Rect) -> Option<Rect> {
        let seen = self.seen(rect);
        let placed = self.placement.to_input(&self.turned(&seen));
        let width = self.input[0] as f32;
        let placed =
            if self.mirrored { Rect { x1: width - placed.x2, x2: width - placed.x1, ..placed } } else { placed };
        (seen.area() > 0.0).then_some(placed)
    }

    /// What is seen of a box of the picture, in pixels of the part.
    fn seen(&self, rect: &Rect) -> Rect {
        rect.moved(-(self.part.0 as f32), -(self.part.1 as f32)).clip(self.part.2, self.part.3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::manifest::{Colour, Fit, Layout, Resample};
    use proptest::prelude::*;

    fn spec(size: [u32; 2]) -> InputSpec {
        InputSpec {
            size,
            multiple: 32,
            layout: Layout::Nchw,
            colour: Colour::Rgb,
            fit: Fit::Letterbox,
            resample: Resample::Area,
            pad: 114,
            mean: [0.0; 3],
            std: [255.0; 3],
        }
    }

    #[test]
    fn the_plain_view_is_the_letterbox() {
        let image = Image::new(50, 31, (0..50 * 31 * 3).map(|i| (i * 7 % 251) as u8).collect()).unwrap();
        let spec = spec([96, 64]);
        let view = View::plain((50, 31), [96, 64]);
        let (expected, placement) = preprocess::fit(&image, 96, 64, &spec).unwrap();
        assert_eq!(view.image(&image, &spec).unwrap(), expected);
        assert_eq!(view.placement, placement);
    }

    proptest! {
        /// A white rectangle on black is found in the input where its box says.
        #[test]
        fn boxes_follow_the_picture(seed in any::<u64>(), x in 10u32..60, y in 10u32..40, w in 12u32..30, h in 12u32..30) {
            let (width, height) = (120u32, 80u32);
            let inside = |px: u32, py: u32| (x..x + w).contains(&px) && (y..y + h).contains(&py);
            let pixels = (0..width * height).flat_map(|i| [if inside(i % width, i / width) { 255 } else { 0 }; 3]).collect();
            let image = Image::new(width, height, pixels).unwrap();
            let mut random = fastrand::Rng::with_seed(seed);
            let view = View::random((width, height), [160, 128], Augment::Turned, (seed as usize % 8, seed), &mut random);
            let rect = Rect::from_xywh(x as f32, y as f32, w as f32, h as f32);
            if let Some(placed) = view.rect(&rect) {
                let spec = InputSpec { pad: 0, ..spec([160, 128]) };
                let input = view.image(&image, &spec).unwrap();
                let (across, down) = (input.width(), input.height());
                let bright = |px: u32, py: u32| input.data()[3 * (py * across + px) as usize] > 128;
                let points = (0..across * down).map(|i| (i % across, i / across)).filter(|&(px, py)| bright(px, py));
                let found = Rect::around(points.flat_map(|(px, py)| {
                    [(px as f32, py as f32), (px as f32 + 1.0, py as f32 + 1.0)]
                }));
                for (found, placed) in <[f32; 4]>::from(found).iter().zip(<[f32; 4]>::from(placed)) {
                    prop_assert!((found - placed).abs() <= 1.5, "{found:?} {placed:?}");
                }
            }
        }
    }
}
