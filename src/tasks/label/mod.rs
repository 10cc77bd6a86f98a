//! Symbols of drawings and objects of photographs found by pictures of them: template matching on edges.
//!
//! Every size, turn and mirror image of each template is looked for in a reduced picture by a few dozen points of its
//! edges ([`coarse`]); what is promising is laid onto the edges of the whole picture, point to line ([`refine`]), and
//! judged by what of the template is there and what is there that the template does not explain; then templates compete
//! for the edges, so that each edge is explained once, by the one that explains most ([`compete`]).

mod coarse;
mod compete;
mod edges;
mod refine;
mod template;

pub use template::Template;

use crate::error::{Error, Result};
use crate::geometry::Rect;
use crate::image::{Gray, Image};
use crate::tasks::timed;
use coarse::Level;
use compete::Judged;
use rayon::prelude::*;
use refine::{Fine, Pose};
use std::collections::HashMap;
use template::{Linear, Point};

/// What is looked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// Sizes relative to the template, smallest and largest.
    pub scales: (f32, f32),
    /// Step between turns in degrees, 0 for none but the template's own.
    pub rotation_step: f32,
    /// Mirror images too.
    pub mirrored: bool,
    /// Least score of a match, 0 to 1.
    pub least: f32,
}

impl Default for Search {
    fn default() -> Self {
        Search { scales: (0.8, 1.25), rotation_step: 90.0, mirrored: true, least: 0.4 }
    }
}

/// A template found.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// Place of the template in the list that was searched for.
    pub template: usize,
    /// How likely it is right, 0 to 1: of many matches with a score of 0.8, four in five are.
    pub score: f32,
    /// The box around it in pixels of the picture.
    pub rect: Rect,
    /// Its size relative to the template.
    pub scale: f32,
    /// How far it is turned clockwise, in degrees, a multiple of the step.
    pub degrees: f32,
    /// Whether it is mirrored left to right, before it is turned.
    pub mirrored: bool,
}

/// Ratio of neighbouring sizes in the coarse search: a symbol between two of them is off by 4 %, a pixel of the reduced
/// picture at most, which its responses allow for.
const SCALE_STEP: f32 = 1.08;
/// Most steps of sizes and of turns: what is beyond is a slip.
const MOST_LOOKS: usize = 20_000;
/// Rows of a reduced picture that are searched at a time: their responses stay in the second cache.
const BAND: usize = 96;
/// Share of its coarse points that a template needs at a place.
const COARSE_LEAST: f32 = 0.62;
/// The same for a template with texture, of which other light and other compression leave less.
const COARSE_LEAST_TEXTURED: f32 = 0.45;
/// The longest side of a template with texture in the reduced picture.
const TEXTURED_SIDE: f32 = 128.0;
/// Of places of one look of a template within so many pixels, this many in different sizes are refined.
const NEAR: f32 = 7.0;
const SIZES: usize = 2;
/// Most places that are refined in a square of [`CROWD`] pixels, and in a tile: in hatching everything is everywhere, and the
/// time it takes is to have a bound. A drawing's busiest square has about a hundred.
const CROWDED: usize = 160;
const CROWD: f32 = 64.0;
const MOST_PLACES: usize = 40_000;
/// Side of the squares in which a large picture is worked on, in pixels, so that memory does not grow with it.
const TILE: usize = 2048;
/// Tiles begin at multiples of this, the most that a picture is reduced.
const ALIGNED: usize = 8;

/// One size, turn and mirror image of a template.
#[derive(Debug)]
struct Variant {
    template: usize,
    halvings: u32,
    map: Linear,
    degrees: f32,
    mirrored: bool,
}

/// Looks for templates. Shared by threads.
#[derive(Debug)]
pub struct Matcher {
    templates: Vec<Template>,
    /// The points of each template that the coarse search looks up.
    coarse: Vec<Vec<Point>>,
    variants: Vec<Variant>,
    /// How often a picture is halved for at least one variant.
    levels: Vec<u32>,
    /// The largest distance from a template's centre to its edges.
    reach: f32,
    least: f32,
}

/// A place worth a closer look.
struct Candidate {
    variant: usize,
    pose: Pose,
    coarse: f32,
}

impl Matcher {
    /// Looks for `templates`. An error if the sizes or turns make no sense.
    pub fn new(templates: Vec<Template>, search: &Search) -> Result<Self> {
        let (low, high) = search.scales;
        if !(low.is_finite() && high.is_finite() && 0.1 <= low && low <= high && high <= 10.0) {
            return Err(Error::Usage(format!("scales from {low} to {high}: expected 0.1 to 10, the smaller first")));
        }
        if !(search.rotation_step == 0.0 || (0.1..=360.0).contains(&search.rotation_step)) {
            return Err(Error::Usage(format!("a step of {} degrees: expected 0.1 to 360, or 0", search.rotation_step)));
        }
        let (mut variants, mut coarse) = (Vec::new(), Vec::new());
        for (t, template) in templates.iter().enumerate() {
            let halvings = halvings(template, low);
            coarse.push(template.coarse(halvings));
            for (degrees, mirrored) in looks(template, search) {
                let variant = |scale| {
                    let map = Linear::new(scale, degrees, mirrored);
                    Variant { template: t, halvings, map, degrees, mirrored }
                };
                variants.extend(scales(low, high).into_iter().map(variant));
            }
        }
        if variants.len() > MOST_LOOKS * templates.len().max(1) {
            return Err(Error::Usage("too many sizes and turns; take larger steps".into()));
        }
        let mut levels: Vec<u32> = variants.iter().map(|v| v.halvings).collect();
        levels.sort();
        levels.dedup();
        let reach = templates.iter().map(|t| t.size.0.hypot(t.size.1) / 2.0 * high).fold(0f32, f32::max);
        Ok(Matcher { templates, coarse, variants, levels, reach, least: search.least })
    }

    /// How many sizes, turns and mirror images of templates are looked for.
    pub fn variants(&self) -> usize {
        self.variants.len()
    }

    /// The templates in `picture`, the likeliest first.
    pub fn find(&self, picture: &Image) -> Vec<Match> {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let contrast = contrast(picture);
        let mut judged = Vec::new();
        // How often each template was promising: one that fits anywhere says little.
        let mut promising = vec![0usize; self.templates.len()];
        for tile in tiles(width, height, self.reach) {
            let Ok(part) = tile.cut(picture) else { continue };
            let candidates = timed("coarse search", || self.candidates(&part, contrast, &tile, &mut promising));
            log::debug!("{} places", candidates.len());
            let fine = timed("edges", || Fine::new(&part, contrast));
            let look = |c: &Candidate| {
                let template = &self.templates[self.variants[c.variant].template];
                let pose = fine.refine(template, c.pose)?;
                let evidence = fine.judge(template, &pose)?;
                Some(Judged { variant: c.variant, pose, evidence })
            };
            let found: Vec<Judged> = timed("fine search", || candidates.par_iter().filter_map(look).collect());
            judged.extend(found.into_iter().filter(|j| j.evidence.gain() > 0.0).map(|j| tile.moved(j, width)));
        }
        // White on black, if that is what most matches say.
        if judged.iter().map(|j| j.evidence.gain() * j.evidence.correlation).sum::<f32>() < 0.0 {
            judged.iter_mut().for_each(|j| j.evidence.correlation *= -1.0);
        }
        let area = (width * height) as f32 / 1e6;
        let mut looks = vec![0usize; self.templates.len()];
        self.variants.iter().for_each(|v| looks[v.template] += 1);
        let commonness: Vec<f32> =
            promising.iter().zip(&looks).map(|(n, looks)| *n as f32 / (*looks).max(1) as f32 / area).collect();
        let accepted = timed("competition", || compete::best(judged, width * height));
        let mut matches: Vec<Match> = accepted.iter().map(|(j, free)| self.matched(j, *free, &commonness)).collect();
        matches.retain(|m| m.score >= self.least);
        matches.sort_by(|a, b| b.score.total_cmp(&a.score));
        matches
    }

    fn matched(&self, judged: &Judged, free: f32, commonness: &[f32]) -> Match {
        let v = &self.variants[judged.variant];
        let e = &judged.evidence;
        let rect = judged.pose.rect(self.templates[v.template].size);
        // Read by tools/peers/label_calibration.py.
        log::debug!(
            "evidence {} {} {} {} {free} {} {:?}",
            v.template,
            e.recall,
            e.correlation,
            e.expected,
            commonness[v.template],
            <[f32; 4]>::from(rect)
        );
        Match {
            template: v.template,
            score: match self.templates[v.template].textured {
                true => e.likeness(),
                false => e.probability(free, commonness[v.template]),
            },
            rect,
            scale: judged.pose.map.determinant().abs().sqrt(),
            degrees: v.degrees,
            mirrored: v.mirrored,
        }
    }

    /// The places of a tile that are worth a closer look. `promising` counts them all.
    fn candidates(&self, part: &Gray, contrast: f32, tile: &Tile, promising: &mut [usize]) -> Vec<Candidate> {
        let mut all: Vec<Candidate> = Vec::new();
        for &halvings in &self.levels {
            let level = Level::new(part, contrast, halvings);
            let here = |v: &usize| self.variants[*v].halvings == halvings;
            let variants: Vec<usize> = (0..self.variants.len()).filter(here).collect();
            let bands: Vec<usize> = (0..level.rows()).step_by(BAND).collect();
            let search = |&top: &usize| {
                let mut found = Vec::new();
                for &v in &variants {
                    let variant = &self.variants[v];
                    let points = &self.coarse[variant.template];
                    let textured = self.templates[variant.template].textured;
                    let least = if textured { COARSE_LEAST_TEXTURED } else { COARSE_LEAST };
                    let places = level.search(points, &variant.map, top..(top + BAND).min(level.rows()), least);
                    found.extend(places.into_iter().filter(|p| tile.owns(p.x, p.y)).map(|p| Candidate {
                        variant: v,
                        pose: Pose { map: variant.map, x: p.x, y: p.y },
                        coarse: p.score,
                    }));
                }
                found
            };
            all.extend(bands.par_iter().map(search).collect::<Vec<_>>().into_iter().flatten());
        }
        all.iter().for_each(|c| promising[self.variants[c.variant].template] += 1);
        self.thinned(all)
    }

    /// Of the places of one look of a template that lie close together the best ones.
    fn thinned(&self, mut all: Vec<Candidate>) -> Vec<Candidate> {
        all.sort_by(|a, b| b.coarse.total_cmp(&a.coarse));
        // Variant and place of those that are kept, by template and by cells of twice the distance.
        type Kept = Vec<(usize, f32, f32)>;
        let mut cells: HashMap<(usize, i32, i32), Kept> = HashMap::new();
        let mut crowds: HashMap<(i32, i32), usize> = HashMap::new();
        let mut places = 0;
        all.retain(|c| {
            let square = |p: f32| (p / CROWD).floor() as i32;
            let crowd = crowds.entry((square(c.pose.x), square(c.pose.y))).or_default();
            if *crowd >= CROWDED || places >= MOST_PLACES {
                return false;
            }
            let v = &self.variants[c.variant];
            let cell = |p: f32| (p / (2.0 * NEAR)).floor() as i32;
            let (cx, cy) = (cell(c.pose.x), cell(c.pose.y));
            let near = |&&(other, x, y): &&(usize, f32, f32)| {
                let o = &self.variants[other];
                let close = (x - c.pose.x).abs() < NEAR && (y - c.pose.y).abs() < NEAR;
                close && o.degrees == v.degrees && o.mirrored == v.mirrored
            };
            let around = (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (v.template, cx + dx, cy + dy)));
            let known: usize = around.filter_map(|k| cells.get(&k)).map(|list| list.iter().filter(near).count()).sum();
            if known < SIZES {
                (*crowd, places) = (*crowd + 1, places + 1);
                cells.entry((v.template, cx, cy)).or_default().push((c.variant, c.pose.x, c.pose.y));
            }
            known < SIZES
        });
        all
    }
}

/// A part of a picture with what lies around it.
struct Tile {
    /// Where it begins, with what lies around it.
    left: usize,
    top: usize,
    width: usize,
    height: usize,
    /// The places that belong to it and to no other, from its beginning.
    own: (std::ops::Range<f32>, std::ops::Range<f32>),
}

impl Tile {
    /// The luma of the tile.
    fn cut(&self, picture: &Image) -> Result<Gray> {
        let part = picture.crop(self.left as u32, self.top as u32, self.width as u32, self.height as u32)?;
        Ok(part.to_gray())
    }

    fn owns(&self, x: f32, y: f32) -> bool {
        self.own.0.contains(&x) && self.own.1.contains(&y)
    }

    /// `judged` in pixels of the whole picture.
    fn moved(&self, mut judged: Judged, width: usize) -> Judged {
        judged.pose.x += self.left as f32;
        judged.pose.y += self.top as f32;
        for i in &mut judged.evidence.claimed {
            let (x, y) = (*i as usize % self.width + self.left, *i as usize / self.width + self.top);
            *i = (y * width + x) as u32;
        }
        judged
    }
}

/// Tiles over a picture; templates with a centre in one of them lie wholly within it and its surroundings.
fn tiles(width: usize, height: usize, reach: f32) -> Vec<Tile> {
    let around = (reach as usize + 16).next_multiple_of(ALIGNED);
    let spans = |side: usize| -> Vec<(usize, usize, std::ops::Range<f32>)> {
        let count = side.div_ceil(TILE).max(1);
        let step = side.div_ceil(count).next_multiple_of(ALIGNED);
        (0..count)
            .map(|i| {
                let (start, end) = ((i * step).min(side), ((i + 1) * step).min(side));
                let first = start.saturating_sub(around);
                let own = (start - first) as f32..if end == side { f32::MAX } else { (end - first) as f32 };
                (first, (end + around).min(side) - first, own)
            })
            .filter(|(_, length, _)| *length > 0)
            .collect()
    };
    let columns = spans(width);
    let tile = |(top, height, rows): (usize, usize, std::ops::Range<f32>)| {
        columns.clone().into_iter().map(move |(left, width, columns)| Tile {
            left,
            top,
            width,
            height,
            own: (columns, rows.clone()),
        })
    };
    spans(height).into_iter().flat_map(tile).collect()
}

/// The contrast of a picture: its lightest less its darkest value.
fn contrast(picture: &Image) -> f32 {
    let range = picture.data().iter().fold((u8::MAX, 0), |(low, high), &v| (low.min(v), high.max(v)));
    f32::from(range.1.saturating_sub(range.0))
}

/// Each turn and mirror image of a template that looks different from those before it.
fn looks(template: &Template, search: &Search) -> Vec<(f32, bool)> {
    let turns = match search.rotation_step {
        0.0 => 1,
        step => (360.0 / step).round().max(1.0) as usize,
    };
    let same = |turn: usize, mirrored: bool| {
        template.resembles(template, &Linear::new(1.0, turn as f32 * search.rotation_step, mirrored))
    };
    // The turns that leave it as it is are multiples of the first of them; if one mirror image is like it, each is like a turn.
    let different = (1..turns).find(|&turn| same(turn, false)).unwrap_or(turns);
    let mirrored = search.mirrored && !(0..turns).any(|turn| same(turn, true));
    let looks = |mirrored: bool| (0..different).map(move |turn| (turn as f32 * search.rotation_step, mirrored));
    looks(false).chain(looks(true).filter(|_| mirrored)).collect()
}

fn scales(low: f32, high: f32) -> Vec<f32> {
    let steps = ((high / low).ln() / SCALE_STEP.ln()).ceil() as usize;
    (0..=steps).map(|i| low * (high / low).powf(i as f32 / steps.max(1) as f32)).collect()
}

/// How often a picture can be halved so that the smallest size of the template is still clear.
fn halvings(template: &Template, smallest: f32) -> u32 {
    let (w, h) = (template.size.0 * smallest, template.size.1 * smallest);
    if template.textured {
        // Texture is fine: it is halved only as far as the time it takes demands.
        return (w.max(h) / TEXTURED_SIDE).log2().ceil().clamp(0.0, ALIGNED.ilog2() as f32) as u32;
    }
    let mut halvings = 0;
    let side = |side: f32, halvings: u32| side / (2u32 << halvings) as f32;
    while halvings < ALIGNED.ilog2() && side(w.max(h), halvings) >= 20.0 && side(w.min(h), halvings) >= 6.0 {
        halvings += 1;
    }
    halvings
}

/// Correlation of luma from which two templates whose edges agree are the same: an empty circle is no filled one.
const SAME_LUMA: f32 = 0.85;

/// Whether two templates show the same: some turn or mirror image of `a`, at any size from half to double, is like `b`.
pub fn same(a: &Template, b: &Template) -> bool {
    let long = |t: &Template| t.size.0.max(t.size.1);
    let scale = long(b) / long(a);
    if !(0.5..=2.0).contains(&scale) {
        return false;
    }
    let looks = (0..8).map(|i| Linear::new(1.0, (i % 4) as f32 * 90.0, i >= 4));
    looks.into_iter().any(|look| {
        let map = look.scaled(scale);
        let luma = |x: f32, y: f32| {
            let (x, y) = map.apply(x, y);
            Some(b.luma(x, y))
        };
        a.resembles(b, &map) && b.resembles(a, &map.inverse()) && a.correlation(luma) > SAME_LUMA
    })
}

#[cfg(test)]
mod tests;
