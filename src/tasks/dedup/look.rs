//! The second look at two pictures whose hashes are near: is one the other, compressed, brightened, marked, cropped a
//! little, or is it another photograph of the same scene?
//!
//! Both are 64 x 64 pixels of luma, freed of light by local contrast normalisation and laid over each other. The simplest
//! relation that explains the match counts: the same frame; one frame inside the other; or anything else, which is another
//! photograph. The constants were chosen on both sets of tools/sets/make_dedup_set.py at its default seed.

use super::Small;
use super::near::Near;
use super::register::{DOUBT, Frame, Freedom, correlation, register, warp};
use crate::error::Result;
use crate::image::Gray;
use crate::preprocess::filters::{halve, normalise_contrast};
use crate::preprocess::overview::{TURNS, turned};
use rayon::prelude::*;
use std::cell::OnceCell;
use std::collections::BTreeMap;

/// Sides of the small picture in pixels.
pub const SIDE: usize = 64;
/// Radius of the contrast normalisation in pixels of each level.
const RADIUS: usize = 4;
/// Contrast in grey levels below which a place counts as flat when pictures are laid over each other. A pixel is the mean
/// of many of the photograph: less noise is left in it than in a photograph's own.
const FLAT: f32 = 2.0;
/// The same where changes are looked for: what compression does to faint places is no change.
const FAINT: f32 = 6.0;

/// Share of structure ([`Look::detail`]) below which a picture is blank: like every other blank picture.
pub const BLANK: f32 = 0.03;
/// Correlation on the coarsest level as they lie below which it is not worth while to lay one over the other.
const UNREGISTERED: f32 = 0.35;
/// Correlation on the coarsest level, and on the next, below which two pictures have nothing in common.
const UNRELATED: [f32; 2] = [0.6, 0.7];
/// Correlation below which nothing is the same picture.
const ALIKE: f32 = 0.84;
/// Pictures with less structure than this are told apart by it poorly: only the same frame counts, with
/// [`ALIKE_IF_FAINT`].
const POOR: f32 = 0.06;
const ALIKE_IF_FAINT: f32 = 0.90;
/// A relation explains a match if it leaves no more than this many times what a free affine one leaves, and a little.
const EXPLAINS: (f32, f32) = (1.5, 0.002);
/// Share of the side by which a frame may lie beyond the other while it falls short of it elsewhere.
const ASTRAY: f32 = 0.006;
/// Most that a crop may take of a side: a twentieth at each end.
const MOST_CROPPED: f32 = 0.105;
/// How far the pixels of a crop may be from square.
const ASPECT: f32 = 0.02;
/// Most of the picture that may have changed: by a mark in one colour; both to lighter and to darker, as where something
/// moved; in a crop, whose pixels never fall on those of the whole.
const MARKED: f32 = 0.03;
const MOVED: f32 = 0.006;
const CHANGED_IN_CROP: f32 = 0.0125;
/// Share of the weaker sign in changes to both sides.
const BOTH_WAYS: f32 = 0.12;

/// A small picture, made ready to be laid over others.
#[derive(Debug, Clone)]
pub struct Look {
    /// Luma at 64 pixels.
    luma: Gray,
    /// The same with contrast normalised.
    fine: Gray,
    /// The same with faint contrast left low.
    firm: Gray,
    /// Contrast-normalised luma at 16 and 32 pixels, made when it is needed.
    coarse: OnceCell<[Gray; 2]>,
    /// Width by height of the photograph.
    size: (u32, u32),
    /// Share of the picture that has structure: the mean square of its normalised contrast, 0 to 1.
    pub detail: f32,
}

/// How two frames lie to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// The same.
    Same,
    /// One inside the other.
    Crop,
    /// Shifted, turned, skewed or zoomed: another photograph.
    Other,
}

/// What a second look found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likeness {
    /// Correlation of the contrast-normalised pictures where they overlap, -1 to 1.
    pub correlation: f32,
    /// How their frames lie to each other.
    pub relation: Relation,
    /// Share of the side that is missing in the smaller frame: the larger of both axes.
    pub cropped: f32,
    /// Share of the overlap that differs clearly.
    pub changed: f32,
    /// Of these differences, those to the weaker side (lighter or darker) by those to the stronger one, 0 to 1.
    pub both_ways: f32,
    /// The smaller structure of both.
    pub detail: f32,
}

impl Likeness {
    /// Whether one picture is the other, changed in no more than light, colour, size, a mark or a cut border.
    pub fn is_same(&self) -> bool {
        let allowed = match self.relation {
            Relation::Other => return false,
            Relation::Crop => CHANGED_IN_CROP,
            Relation::Same if self.both_ways > BOTH_WAYS => MOVED,
            Relation::Same => MARKED,
        };
        let firm = self.detail >= POOR || self.relation == Relation::Same && self.correlation >= ALIKE_IF_FAINT;
        self.correlation >= ALIKE && self.changed <= allowed && firm
    }

    /// What keeps the pictures apart, in words; None if they are the same.
    pub fn reason(&self) -> Option<&'static str> {
        if self.is_same() {
            None
        } else if self.correlation < ALIKE {
            Some("they show different things")
        } else if self.relation == Relation::Other {
            Some("the frame is another: shifted, turned or zoomed")
        } else if self.detail < POOR {
            Some("there is too little in them to tell")
        } else {
            Some("something in the picture has changed")
        }
    }
}

impl Look {
    /// Of luma at [`SIDE`] x [`SIDE`] pixels of a photograph of `size` pixels.
    pub fn new(luma: Gray, size: (u32, u32)) -> Self {
        let fine = normalise_contrast(&luma, RADIUS, FLAT);
        let firm = normalise_contrast(&luma, RADIUS, FAINT);
        let detail = fine.data.iter().map(|v| v * v).sum::<f32>() / fine.data.len() as f32;
        Look { luma, fine, firm, coarse: OnceCell::new(), size, detail }
    }

    fn coarse(&self) -> &[Gray; 2] {
        self.coarse.get_or_init(|| {
            let half = halve(&self.luma);
            [&halve(&half), &half].map(|gray| normalise_contrast(gray, RADIUS, FLAT))
        })
    }

    /// Lays `self` over `other`. None if they have nothing in common.
    pub fn compare(&self, other: &Look) -> Option<Likeness> {
        let (frame, relation) = self.relation(other)?;
        let (changed, both_ways) = self.changes(other, &frame);
        Some(Likeness {
            correlation: correlation(&self.firm, &other.firm, &frame),
            relation,
            cropped: frame.cropped(),
            changed,
            both_ways,
            detail: self.detail.min(other.detail),
        })
    }

    /// The frame that lays `self` over `other` best, and what that makes of them.
    fn relation(&self, other: &Look) -> Option<(Frame, Relation)> {
        let (a, b) = (&self.fine, &other.fine);
        let unlike = 1.0 - correlation(a, b, &Frame::WHOLE);
        // Most copies show here already: no other frame could explain more.
        if unlike <= EXPLAINS.1 {
            return Some((Frame::WHOLE, Relation::Same));
        }
        let ([a0, a1], [b0, b1]) = (self.coarse(), other.coarse());
        let frame = register(a0, b0, Frame::WHOLE, Freedom::Axes);
        if correlation(a0, b0, &frame) < UNRELATED[0] {
            return None;
        }
        let frame = register(a1, b1, frame, Freedom::Axes);
        if correlation(a1, b1, &frame) < UNRELATED[1] {
            return None;
        }
        let free = register(a, b, register(a1, b1, frame, Freedom::Affine), Freedom::Affine);
        let frame = register(a, b, frame, Freedom::Axes);
        let explained = EXPLAINS.0 * (1.0 - correlation(a, b, &free)) + EXPLAINS.1;
        Some(if unlike <= explained {
            (Frame::WHOLE, Relation::Same)
        } else if 1.0 - correlation(a, b, &frame) <= explained && self.is_crop(other, &frame) {
            (frame, Relation::Crop)
        } else {
            (frame, Relation::Other)
        })
    }

    /// Whether `frame` is that of a crop: inside the other, or around it, its pixels square, and not brought to the size of
    /// the whole again, as a zoom of the camera would be.
    fn is_crop(&self, other: &Look, frame: &Frame) -> bool {
        let aspect = |(w, h): (u32, u32)| w as f32 / h as f32;
        let stretch = aspect(self.size) / aspect(other.size) / (frame.x[0] / frame.y[1]);
        frame.astray() <= ASTRAY
            && frame.cropped() <= MOST_CROPPED
            && (stretch - 1.0).abs() <= ASPECT
            && self.size != other.size
    }

    /// The share of the overlap that differs clearly; and of these differences, in luma once one picture is brought to the
    /// other's gain and offset, those to the weaker side by those to the stronger one.
    fn changes(&self, other: &Look, frame: &Frame) -> (f32, f32) {
        let luma = warp(&other.luma, frame);
        let pairs = || self.luma.data.iter().zip(&luma).filter(|(_, y)| !y.is_nan());
        let count = pairs().count().max(1) as f32;
        let sum = pairs().fold((0.0, 0.0), |s, (x, y)| (s.0 + x, s.1 + y));
        let mean = (sum.0 / count, sum.1 / count);
        let (mut own, mut common) = (1e-3, 0.0);
        for (x, y) in pairs() {
            own += (x - mean.0).powi(2);
            common += (x - mean.0) * (y - mean.1);
        }
        let firm = warp(&other.firm, frame);
        let (mut changed, mut lighter, mut darker) = (0.0, 0.0, 0.0);
        for (i, value) in firm.iter().enumerate().filter(|(_, v)| !v.is_nan()) {
            if (self.firm.data[i] - value).abs() > 2.0 * DOUBT {
                changed += 1.0 / count;
                let difference = (luma[i] - mean.1) - common / own * (self.luma.data[i] - mean.0);
                if difference > 0.0 { lighter += difference } else { darker -= difference }
            }
        }
        (changed, lighter.min(darker) / lighter.max(darker).max(1e-6))
    }
}

/// Those of `pairs` that a second look takes for one photograph. `small` gives the small picture of an item and the size of
/// its photograph, `seen` hears how many pairs are done.
pub fn confirm(
    pairs: Vec<Near>,
    small: impl Fn(u32) -> Result<(Small, (u32, u32))> + Sync,
    seen: impl Fn(u64) + Sync,
) -> Result<Vec<Near>> {
    let look = |item: u32, turn: u8| -> Result<(Gray, (u32, u32))> {
        let (small, (w, h)) = small(item)?;
        let turn = TURNS[turn as usize];
        Ok((turned(&small.to_gray(), turn), if crate::preprocess::overview::swaps(turn) { (h, w) } else { (w, h) }))
    };
    // Most pairs have nothing in common but their hash; the coarsest level tells, and fits in memory for all.
    let mut items: Vec<(u32, u8)> = pairs.iter().flat_map(|p| [(p.a, p.turn), (p.b, 0)]).collect();
    items.sort_unstable();
    items.dedup();
    let coarsest = |luma: &Gray| normalise_contrast(&halve(&halve(luma)), RADIUS, FLAT);
    let coarse = |&(item, turn): &(u32, u8)| Ok(((item, turn), coarsest(&look(item, turn)?.0)));
    let coarse: BTreeMap<(u32, u8), Gray> = items.par_iter().map(coarse).collect::<Result<_>>()?;
    let related = |p: &Near| {
        seen(1);
        let (Some(a), Some(b)) = (coarse.get(&(p.a, p.turn)), coarse.get(&(p.b, 0))) else { return false };
        correlation(a, b, &Frame::WHOLE) >= UNREGISTERED
            && correlation(a, b, &register(a, b, Frame::WHOLE, Freedom::Axes)) >= UNRELATED[0]
    };
    let count = pairs.len();
    let related: Vec<Near> = pairs.into_par_iter().filter(related).collect();
    log::debug!("{} of {count} near pairs have something in common", related.len());
    // One item's pairs follow each other: its look is made once.
    let runs: Vec<&[Near]> = related.chunk_by(|p, q| (p.a, p.turn) == (q.a, q.turn)).collect();
    let same = |run: &&[Near]| -> Result<Vec<Near>> {
        let make = |item: u32, turn: u8| look(item, turn).map(|(luma, size)| Look::new(luma, size));
        let Some(first) = run.first() else { return Ok(Vec::new()) };
        let a = make(first.a, first.turn)?;
        let mut same = Vec::new();
        for pair in *run {
            if a.compare(&make(pair.b, 0)?).is_some_and(|l| l.is_same()) {
                same.push(*pair);
            }
        }
        Ok(same)
    };
    let same: Vec<Vec<Near>> = runs.par_iter().map(same).collect::<Result<_>>()?;
    Ok(same.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A window of a made scene of smooth blobs, in shares of its side.
    fn window(x: f32, y: f32, w: f32, h: f32, degrees: f32) -> Gray {
        let mut rng = fastrand::Rng::with_seed(11);
        let blobs: Vec<[f32; 4]> =
            (0..150).map(|_| [rng.f32(), rng.f32(), 0.01 + 0.05 * rng.f32(), 160.0 * rng.f32() - 80.0]).collect();
        let (sin, cos) = degrees.to_radians().sin_cos();
        let at = |i: usize| {
            let (u, v) = ((i % SIDE) as f32 / SIDE as f32 - 0.49, (i / SIDE) as f32 / SIDE as f32 - 0.49);
            let (px, py) = (x + w * (0.5 + cos * u - sin * v), y + h * (0.5 + sin * u + cos * v));
            let blob = |b: &[f32; 4]| b[3] * (-((px - b[0]).powi(2) + (py - b[1]).powi(2)) / (2.0 * b[2] * b[2])).exp();
            (128.0 + blobs.iter().map(blob).sum::<f32>()).clamp(0.0, 255.0)
        };
        Gray { width: SIDE, height: SIDE, data: (0..SIDE * SIDE).map(at).collect() }
    }

    fn compare(a: Gray, b: Gray, b_size: (u32, u32)) -> Likeness {
        Look::new(a, (1000, 1000)).compare(&Look::new(b, b_size)).expect("related")
    }

    #[test]
    fn a_brighter_picture_and_a_crop_are_the_same() {
        let whole = || window(0.2, 0.2, 0.6, 0.6, 0.0);
        let mut bright = whole();
        bright.data.iter_mut().for_each(|v| *v = (*v / 255.0).powf(0.7) * 235.0 + 15.0);
        let found = compare(whole(), bright, (1000, 1000));
        assert!(found.is_same() && found.relation == Relation::Same, "{found:?}");
        // A twentieth cut off at the left and above.
        let crop = window(0.23, 0.23, 0.57, 0.57, 0.0);
        let found = compare(whole(), crop.clone(), (950, 950));
        assert!(found.is_same() && found.relation == Relation::Crop, "{found:?}");
        assert!((found.cropped - 0.05).abs() < 0.01, "{found:?}");
        // The same at the size of the whole is what a zoom gives.
        assert!(!compare(whole(), crop, (1000, 1000)).is_same());
    }

    #[test]
    fn another_photograph_of_the_scene_is_not() {
        let whole = || window(0.2, 0.2, 0.6, 0.6, 0.0);
        for (what, other) in [
            ("shifted", window(0.215, 0.2, 0.6, 0.6, 0.0)),
            ("turned", window(0.2, 0.2, 0.6, 0.6, 1.5)),
            ("less of it", window(0.2, 0.2, 0.5, 0.5, 0.0)),
        ] {
            let found = compare(whole(), other, (900, 900));
            assert!(!found.is_same() && found.reason().is_some(), "{what}: {found:?}");
        }
        // Something moved: darker where it went, lighter where it was.
        let mut moved = whole();
        for y in 20..32 {
            for x in 10..18 {
                moved.data.swap(y * SIDE + x, (y + 20) * SIDE + x + 30);
            }
        }
        let found = compare(whole(), moved, (1000, 1000));
        assert!(!found.is_same() && found.relation == Relation::Same && found.both_ways > 0.2, "{found:?}");
    }

    #[test]
    fn a_mark_in_one_colour_is_allowed() {
        let mut marked = window(0.2, 0.2, 0.6, 0.6, 0.0);
        for x in 30..54 {
            marked.data[50 * SIDE + x] += (255.0 - marked.data[50 * SIDE + x]) * 0.5;
        }
        let found = compare(window(0.2, 0.2, 0.6, 0.6, 0.0), marked, (1000, 1000));
        assert!(found.is_same(), "{found:?}");
    }

    #[test]
    fn blank_pictures_have_no_detail() {
        let plane = |slope: f32| (0..SIDE * SIDE).map(|i| 90.0 + (i % SIDE) as f32 * slope).collect();
        for slope in [0.0, 0.2, 0.5] {
            let look = Look::new(Gray { width: SIDE, height: SIDE, data: plane(slope) }, (640, 640));
            assert!(look.detail < BLANK, "slope {slope}: {}", look.detail);
        }
        assert!(Look::new(window(0.0, 0.0, 1.0, 1.0, 0.0), (640, 640)).detail > 0.2);
    }
}
