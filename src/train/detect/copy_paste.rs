//! Objects of drawings, cut out and set beside the objects of looks at drawings: each look shows them in other company, and rare
//! classes more often (cut, paste and learn, Dwibedi et al. 2017; simple copy-paste, Ghiasi et al. 2021).
//!
//! On paper there is nothing to be hidden, so an object only darkens what it is set on: lines and texts under it stay, as they
//! do on worn sheets.

use super::view::{Augment, View, log_uniform};
use crate::error::Result;
use crate::geometry::Rect;
use crate::image::Image;
use crate::models::manifest::Resample;
use crate::preprocess::{self, overview};
use crate::train::augment::mirrored;
use image::metadata::Orientation;

/// Least and greatest size of an object against its own in its own picture's input, and of its height against its width.
const ZOOM: (f32, f32) = (0.8, 1.2);
const STRETCH: (f32, f32) = (0.94, 1.06);
/// How much larger than it will be seen an object is kept: what is made smaller in two steps by less is blurred.
const SPARE: f32 = 2.0;
/// Pixels around an object that tell how light its paper is.
const RING: f32 = 3.0;
/// What is at least so light, against the paper, is paper: the noise of a scan is not set down with the object.
const PAPER: f32 = 0.95;
/// Paper is at least so light, and ink at least so dark against it; otherwise an object would be called by its name where nothing
/// is to be seen.
const LIGHT: u8 = 128;
const DARK: u8 = 200;
/// Free input pixels around an object.
const GAP: f32 = 4.0;
/// Places that are tried for an object.
const TRIES: usize = 4;

/// An object of a drawing, cut out.
#[derive(Debug, Clone, PartialEq)]
pub struct Cutting {
    /// Its class.
    pub class: usize,
    /// How light it is against its paper, by channel: 255 is paper.
    ink: Image,
    /// Input pixels a pixel of `ink` in the plain look at its own picture.
    gain: f32,
}

impl Cutting {
    /// The object of `class` in the box `rect` of `image`, which has `gain` input pixels a pixel in its [`View::plain`]; none where
    /// nothing of the box lies in the picture, or where there is no ink on light paper.
    pub fn new(image: &Image, rect: &Rect, class: usize, gain: f32) -> Result<Option<Self>> {
        // Label files round: the nearest whole pixels are those that were meant.
        let whole = |r: Rect| {
            let r = r.clip(image.width(), image.height());
            let (x, y) = (r.x1.round() as u32, r.y1.round() as u32);
            (x, y, (r.x2.round() as u32).saturating_sub(x), (r.y2.round() as u32).saturating_sub(y))
        };
        let (x, y, w, h) = whole(*rect);
        if w == 0 || h == 0 {
            return Ok(None);
        }
        let mut ink = image.crop(x, y, w, h)?;
        let (left, top, across, down) = whole(rect.grown(RING));
        let around = image.crop(left, top, across, down)?;
        let outside = |px: u32, py: u32| !((x..x + w).contains(&(left + px)) && (y..y + h).contains(&(top + py)));
        let mut ring: [Vec<u8>; 3] = Default::default();
        for (at, pixel) in (0..).zip(around.data().chunks_exact(3)) {
            if outside(at % across, at / across) {
                ring.iter_mut().zip(pixel).for_each(|(values, v)| values.push(*v));
            }
        }
        let paper = ring.map(|mut values| {
            values.sort_unstable();
            values.get(values.len() / 2).copied().unwrap_or(u8::MAX)
        });
        if paper.iter().any(|p| *p < LIGHT) {
            return Ok(None);
        }
        for pixel in ink.data_mut().chunks_exact_mut(3) {
            for (v, paper) in pixel.iter_mut().zip(paper) {
                *v = (f32::from(*v) * 255.0 / (PAPER * f32::from(paper))).min(255.0) as u8;
            }
        }
        if ink.data().iter().all(|v| *v > DARK) {
            return Ok(None);
        }
        let kept = kept(gain);
        let side = |length: u32| ((length as f32 * kept).round() as u32).max(1);
        let ink = preprocess::resample(&ink, side(w), side(h), Resample::Area)?;
        Ok(Some(Cutting { class, ink, gain: gain / kept }))
    }

    /// About the bytes that the object in the box `rect` takes, cut out with `gain`.
    pub fn bytes(rect: &Rect, gain: f32) -> usize {
        (3.0 * rect.area() * kept(gain) * kept(gain)) as usize
    }
}

/// The size at which an object is kept against that in its picture: large scans have many objects.
fn kept(gain: f32) -> f32 {
    (gain * ZOOM.1 * SPARE).min(1.0)
}

/// An object set into a look.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed<'a> {
    cutting: &'a Cutting,
    /// Left, top, width and height in the look's input.
    part: (u32, u32, u32, u32),
    turn: Orientation,
    mirrored: bool,
}

impl Placed<'_> {
    /// Its class.
    pub fn class(&self) -> usize {
        self.cutting.class
    }

    /// Its box in input pixels.
    pub fn rect(&self) -> Rect {
        let (x, y, w, h) = self.part;
        Rect::from_xywh(x as f32, y as f32, w as f32, h as f32)
    }

    /// Sets it into the look.
    pub fn draw(&self, look: &mut Image) -> Result<()> {
        let (x, y, w, h) = self.part;
        let ink = overview::turned_image(self.cutting.ink.clone(), self.turn)?;
        let ink = preprocess::resample(&ink, w, h, Resample::Area)?;
        let ink = if self.mirrored { mirrored(&ink)? } else { ink };
        let row = 3 * look.width() as usize;
        let lines = look.data_mut().chunks_exact_mut(row).skip(y as usize);
        for (line, ink) in lines.zip(ink.data().chunks_exact(3 * w as usize)) {
            for (v, ink) in line[3 * x as usize..].iter_mut().zip(ink) {
                *v = (u16::from(*v) * u16::from(*ink) / 255) as u8;
            }
        }
        Ok(())
    }
}

/// Up to `count` objects of `cuttings`, which are sorted by class, for a look by `view`, apart from the boxes `taken`, in the poses that
/// drawings are turned to. Each class is tried as often as the others; what finds no place is left out.
pub fn place<'a>(
    cuttings: &'a [Cutting],
    count: usize,
    view: &View,
    mut taken: Vec<Rect>,
    random: &mut fastrand::Rng,
) -> Vec<Placed<'a>> {
    let classes: Vec<&[Cutting]> = cuttings.chunk_by(|a, b| a.class == b.class).collect();
    let inside = view.inside();
    let poses = Augment::CopyPaste.poses();
    let mut placed = Vec::new();
    for _ in 0..if classes.is_empty() { 0 } else { count } {
        let class = classes[random.usize(..classes.len())];
        let cutting = &class[random.usize(..class.len())];
        let (turn, mirrored) = poses[random.usize(..poses.len())];
        let (w, h) = (cutting.ink.width(), cutting.ink.height());
        let (w, h) = if overview::swaps(turn) { (h, w) } else { (w, h) };
        let (zoom, stretch) = (log_uniform(random, ZOOM), log_uniform(random, STRETCH).sqrt());
        let side = |length: u32, gain: f32| ((length as f32 * cutting.gain * gain).round() as u32).max(1);
        let (w, h) = (side(w, zoom / stretch), side(h, zoom * stretch));
        let (Some(right), Some(down)) = (inside.2.checked_sub(w), inside.3.checked_sub(h)) else {
            continue;
        };
        for _ in 0..TRIES {
            let (x, y) = (inside.0 + random.u32(0..=right), inside.1 + random.u32(0..=down));
            let object = Placed { cutting, part: (x, y, w, h), turn, mirrored };
            let rect = object.rect();
            if taken.iter().all(|t| t.intersect(&rect.grown(GAP)).area() <= 0.0) {
                taken.push(rect);
                placed.push(object);
                break;
            }
        }
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Grey paper with a black block of `w` x `h` in its middle.
    fn drawing(paper: u8, (w, h): (u32, u32)) -> (Image, Rect) {
        let rect = Rect::from_xywh(40.0, 30.0, w as f32, h as f32);
        let inside = |x: u32, y: u32| (40..40 + w).contains(&x) && (30..30 + h).contains(&y);
        let value = |i: u32| if inside(i % 120, i / 120) { 0 } else { paper };
        (Image::new(120, 90, (0..120 * 90).flat_map(|i| [value(i); 3]).collect()).unwrap(), rect)
    }

    /// Objects of two classes: twenty of the first, one of the second.
    fn cuttings() -> Vec<Cutting> {
        let cutting = |class, size| {
            let (image, rect) = drawing(230, size);
            Cutting::new(&image, &rect, class, 1.0).unwrap().unwrap()
        };
        (0..20).map(|i| cutting(0, (10 + i, 8))).chain([cutting(3, (12, 20))]).collect()
    }

    #[test]
    fn paper_is_no_ink_however_grey() {
        let (image, rect) = drawing(200, (10, 20));
        let cut = Cutting::new(&image, &rect.grown(5.0), 1, 1.0).unwrap().unwrap();
        assert_eq!((cut.ink.width(), cut.ink.height()), (20, 30));
        let inked = |x: u32, y: u32| cut.ink.data()[3 * (y * 20 + x) as usize];
        assert_eq!([inked(0, 0), inked(4, 15), inked(5, 5), inked(14, 24), inked(15, 24)], [255, 255, 0, 0, 255]);
        // Noise of a scan.
        let mut noisy = image;
        noisy.data_mut().iter_mut().filter(|v| **v > 0).enumerate().for_each(|(i, v)| *v -= (i % 9) as u8);
        let noisy = Cutting::new(&noisy, &rect.grown(5.0), 1, 1.0).unwrap().unwrap();
        assert_eq!(noisy.ink, cut.ink);
    }

    #[test]
    fn what_is_larger_than_it_will_be_seen_is_kept_smaller() {
        let (image, rect) = drawing(230, (40, 20));
        let cut = |gain| Cutting::new(&image, &rect, 0, gain).unwrap().unwrap();
        for (gain, kept) in [(0.25, (24, 12)), (1.0, (40, 20)), (2.0, (40, 20))] {
            let cut = cut(gain);
            assert_eq!((cut.ink.width(), cut.ink.height()), kept);
            // As large in the input, all the same.
            assert!((cut.gain * kept.0 as f32 - 40.0 * gain).abs() < 0.5, "{gain}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_no_object() {
        let (image, rect) = drawing(230, (40, 20));
        let cut = |image: &Image, rect: &Rect| Cutting::new(image, rect, 0, 1.0).unwrap();
        // Paper alone; an object in a black frame; light lines on dark ground.
        assert_eq!(cut(&image, &Rect::from_xywh(5.0, 5.0, 20.0, 20.0)), None);
        assert_eq!(cut(&image, &rect.grown(-6.0)), None);
        let mut dark = image.clone();
        dark.data_mut().iter_mut().for_each(|v| *v = 255 - *v);
        assert_eq!(cut(&dark, &rect.grown(5.0)), None);
        // A label file's rounding makes no box larger.
        let rounded = Rect { x1: rect.x1 - 0.003, y1: rect.y1 + 0.003, x2: rect.x2 + 0.003, y2: rect.y2 + 0.004 };
        assert_eq!(cut(&image, &rounded), cut(&image, &rect));
    }

    /// An L is set down as a picture that is turned and mirrored shows it.
    #[test]
    fn objects_are_turned_as_pictures_are() {
        let ink = |x: u32, y: u32| x < 4 || y >= 16;
        let data = (0..12 * 20).flat_map(|i| [if ink(i % 12, i / 12) { 0 } else { 255 }; 3]).collect();
        let cutting = Cutting { class: 0, ink: Image::new(12, 20, data).unwrap(), gain: 1.0 };
        for (turn, mirror) in Augment::CopyPaste.poses() {
            let (w, h) = if overview::swaps(turn) { (20, 12) } else { (12, 20) };
            let object = Placed { cutting: &cutting, part: (7, 9, w, h), turn, mirrored: mirror };
            let mut look = Image::new(40, 40, vec![255; 3 * 40 * 40]).unwrap();
            object.draw(&mut look).unwrap();
            let expected = overview::turned_image(cutting.ink.clone(), turn).unwrap();
            let expected = if mirror { mirrored(&expected).unwrap() } else { expected };
            assert_eq!(look.crop(7, 9, w, h).unwrap(), expected, "{turn:?} {mirror}");
            assert_eq!(object.rect(), Rect::from_xywh(7.0, 9.0, w as f32, h as f32));
        }
    }

    #[test]
    fn boxes_outside_of_the_picture_are_no_objects() {
        let (image, _) = drawing(230, (10, 10));
        assert_eq!(Cutting::new(&image, &Rect::from_xywh(130.0, 5.0, 10.0, 10.0), 0, 1.0).unwrap(), None);
        assert!(Cutting::new(&image, &Rect::from_xywh(35.0, 25.0, 200.0, 20.0), 0, 1.0).unwrap().is_some());
    }

    #[test]
    fn rare_classes_come_as_often_as_common_ones() {
        let cuttings = cuttings();
        let view = View::plain((900, 900), [900, 900]);
        let placed = place(&cuttings, 200, &view, Vec::new(), &mut fastrand::Rng::with_seed(1));
        let rare = placed.iter().filter(|p| p.class() == 3).count();
        assert!(placed.len() > 150 && (placed.len() / 3..placed.len() * 2 / 3).contains(&rare), "{rare}");
        assert_eq!(placed, place(&cuttings, 200, &view, Vec::new(), &mut fastrand::Rng::with_seed(1)));
        assert_eq!(place(&[], 9, &view, Vec::new(), &mut fastrand::Rng::with_seed(1)), []);
    }

    proptest! {
        /// They lie in the picture, apart from one another and from what was there, and darken their own place alone.
        #[test]
        fn objects_lie_in_free_places(seed in any::<u64>(), across in 60u32..200, down in 60u32..200) {
            let cuttings = cuttings();
            let mut random = fastrand::Rng::with_seed(seed);
            let pose = (seed as usize % 8, seed);
            let view = View::random((across, down), [192, 160], Augment::CopyPaste, pose, &mut random);
            let (x, y, w, h) = view.inside();
            // As a box of the picture that is all of it.
            let all = view.rect(&Rect::from_xywh(0.0, 0.0, across as f32, down as f32));
            if let Some(all) = all {
                let found = Rect::from_xywh(x as f32, y as f32, w as f32, h as f32);
                prop_assert!(all.side_distance(&found) < 0.01, "{all:?} {found:?}");
            }
            let taken = Rect::from_xywh(x as f32, y as f32, w as f32 / 2.0, h as f32);
            let placed = place(&cuttings, 9, &view, vec![taken], &mut random);
            let whole = Rect::from_xywh(x as f32, y as f32, w as f32, h as f32);
            for (i, object) in placed.iter().enumerate() {
                let rect = object.rect();
                prop_assert_eq!(rect.intersect(&whole), rect);
                let mut others = placed[..i].iter().map(Placed::rect).chain([taken]);
                prop_assert!(others.all(|r| r.intersect(&rect.grown(GAP)).area() <= 0.0));
            }
            let side = 192;
            let mut look = Image::new(side, side, vec![200; (3 * side * side) as usize]).unwrap();
            placed.iter().try_for_each(|p| p.draw(&mut look)).unwrap();
            for (at, pixel) in (0..).zip(look.data().chunks_exact(3)) {
                let point = Rect::from_xywh((at % side) as f32, (at / side) as f32, 1.0, 1.0);
                let inked = placed.iter().any(|p| p.rect().intersect(&point).area() > 0.0);
                prop_assert_eq!(pixel, [if inked { 0 } else { 200 }; 3]);
            }
        }
    }
}
