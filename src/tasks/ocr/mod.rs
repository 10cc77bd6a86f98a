//! Reading text: lines are found, laid flat, turned upright and recognised, as PaddleOCR and RapidOCR do it.

mod find;
mod recognise;
mod rectify;

use crate::error::Result;
use crate::geometry::{Quad, Rect};
use crate::image::Image;
use crate::models;
use crate::postprocess::ctc::{Columns, Reading};
use crate::postprocess::pattern::{Match, Pattern};
use crate::postprocess::text_boxes::Params;
use crate::preprocess;
use crate::tasks::timed;
use crate::tensor::Tensor;
use find::Finder;
use rayon::prelude::*;
use recognise::{Orienter, Recogniser};
use std::sync::OnceLock;

/// A line is read upside down as well if the orientation network sees so much of a chance for it. It errs with confidence,
/// on dot print and seven-segment displays above all: which reading is right shows in their scores.
const PERHAPS_TURNED: f32 = 0.5;

/// A line of a lower score is read again from other looks at it.
const DOUBTFUL: f32 = 0.9;

/// Least score of a line of one character, where lines are looked for.
const SURE_OF_ONE: f32 = 0.97;

/// How pictures are read.
#[derive(Debug, Clone)]
pub struct Options {
    /// What counts as a line of text.
    pub boxes: Params,
    /// Lines of a lower score are dropped, and a text that a pattern formed is no match below it.
    pub least_score: f32,
    /// Look for lines; otherwise the picture is one.
    pub detect: bool,
    /// Tell lines that stand upside down.
    pub orient: bool,
    /// Only this part of the picture.
    pub region: Option<Rect>,
    /// Read the lines of a picture on all cores; in a batch whole pictures are read side by side instead.
    pub parallel: bool,
    /// What lines are to match, read under that constraint; its classes are [`Reader::characters`].
    pub pattern: Option<Pattern>,
    /// Only these classes of the recogniser (see [`Reader::classes`]); the blank is always read.
    pub allowed: Option<Vec<bool>>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            boxes: Params::default(),
            least_score: 0.5,
            detect: true,
            orient: true,
            region: None,
            parallel: true,
            pattern: None,
            allowed: None,
        }
    }
}

/// A line of text.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What it says.
    pub text: String,
    /// Mean probability of its characters, 0 to 1. Of a text that a pattern has formed, times the evidence for it
    /// ([`crate::postprocess::pattern::Match`]).
    pub score: f32,
    /// Around it, in pixels of the picture.
    pub quad: Quad,
    /// Probability of each character, 0 to 1.
    pub chars: Vec<f32>,
    /// With a constraint: whether the text fulfils it.
    pub matched: Option<bool>,
    /// With a constraint: what is read without.
    pub unconstrained: Option<String>,
    /// With a constraint that is fulfilled: see [`Match::evidence`].
    pub evidence: Option<f32>,
}

/// Reads text; loaded once and shared by threads.
#[derive(Debug)]
pub struct Reader {
    finder: Finder,
    orienter: Orienter,
    recogniser: Recogniser,
    /// Whether [`Recogniser::prepare`] has run, and could; what could not be compiled is told when it is needed.
    ready: OnceLock<bool>,
}

impl Reader {
    /// With the embedded networks.
    pub fn new() -> Result<Self> {
        let model = models::default_for;
        let (finder, (orienter, recogniser)) = rayon::join(
            || Finder::new(model("text-detection")?),
            || {
                rayon::join(
                    || Orienter::new(model("text-orientation")?),
                    || Recogniser::new(model("text-recognition")?),
                )
            },
        );
        Ok(Reader { finder: finder?, orienter: orienter?, recogniser: recogniser?, ready: OnceLock::new() })
    }

    /// What the classes of the recogniser stand for; the blank, class 0, is empty.
    pub fn characters(&self) -> &[String] {
        self.recogniser.characters()
    }

    /// Which of the recogniser's classes are characters in `charset`; the blank is not.
    pub fn classes(&self, charset: &str) -> Vec<bool> {
        let chosen = |c: &String| !c.is_empty() && c.chars().all(|c| charset.contains(c));
        self.characters().iter().map(chosen).collect()
    }

    /// The lines of `image` in reading order.
    pub fn read(&self, image: &Image, options: &Options) -> Result<Vec<Line>> {
        let (part, left, top) = match options.region {
            None => (None, 0.0, 0.0),
            Some(r) => {
                let part = image.crop(r.x1 as u32, r.y1 as u32, r.width() as u32, r.height() as u32)?;
                (Some(part), r.x1, r.y1)
            }
        };
        let image = part.as_ref().unwrap_or(image);
        let quads = match options.detect {
            true if options.parallel => {
                // The network that reads gets ready while the other one looks for lines.
                let prepare = || self.ready.get_or_init(|| self.recogniser.prepare().is_ok());
                rayon::join(|| self.finder.find(image, &options.boxes), prepare).0?
            }
            true => self.finder.find(image, &options.boxes)?,
            false => vec![Rect::from_xywh(0.0, 0.0, image.width() as f32, image.height() as f32).into()],
        };
        let read = |quad: &Quad| -> Result<Option<Line>> {
            let line = self.line(image, quad, options)?;
            let line = line.filter(|l| !options.detect || l.matched == Some(true) || l.is_sure(options.least_score));
            Ok(line.map(|l| Line { quad: l.quad.map(|(x, y)| (x + left, y + top)), ..l }))
        };
        let lines = timed("lines", || -> Result<Vec<_>> {
            match options.parallel {
                true => quads.par_iter().map(read).collect(),
                false => quads.iter().map(read).collect(),
            }
        })?;
        Ok(lines.into_iter().flatten().collect())
    }

    /// The line in `quad`; `None` if nothing is read there.
    fn line(&self, image: &Image, quad: &Quad, options: &Options) -> Result<Option<Line>> {
        let crop = timed("crop", || rectify::rectify(image, quad))?;
        let mut best = self.reading(&crop, quad, options)?;
        if options.orient && self.orienter.upside_down(&crop)? > PERHAPS_TURNED {
            let turned = self.reading(&rectify::half_turn(&crop)?, quad, options)?;
            if (turned.matched, turned.score) > (best.matched, best.score) {
                best = turned;
            }
        }
        // What is hard to read is looked at again, otherwise scaled; the most probable reading wins. A match stays: among
        // several looks the surest is not always the right one.
        if best.matched == Some(false) || best.matched.is_none() && best.score < DOUBTFUL {
            for variant in variants(&crop)? {
                let again = self.reading(&variant, quad, options)?;
                if (again.matched, again.score) > (best.matched, best.score) {
                    best = again;
                }
            }
        }
        Ok((!best.text.trim().is_empty()).then_some(best))
    }

    /// What a crop says, as it lies.
    fn reading(&self, crop: &Image, quad: &Quad, options: &Options) -> Result<Line> {
        let logits = self.recogniser.logits(crop)?;
        let columns = columns(&logits);
        let text = |r: &Reading| r.classes.iter().map(|c| self.characters()[*c].as_str()).collect::<String>();
        let free = timed("characters", || columns.greedy(options.allowed.as_deref()));
        let line = |r: Reading, score| Line {
            text: text(&r),
            score,
            quad: *quad,
            chars: r.scores,
            matched: None,
            unconstrained: None,
            evidence: None,
        };
        let Some(pattern) = &options.pattern else {
            let score = free.score();
            return Ok(line(free, score));
        };
        let unconstrained = Some(text(&free));
        let score = |found: &Match| found.reading.score() * found.evidence;
        match pattern.best(&columns).filter(|found| score(found) >= options.least_score) {
            Some(found) => {
                let score = score(&found);
                let evidence = Some(found.evidence);
                Ok(Line { matched: Some(true), unconstrained, evidence, ..line(found.reading, score) })
            }
            None => {
                let score = free.score();
                Ok(Line { matched: Some(false), unconstrained, ..line(free, score) })
            }
        }
    }
}

impl Line {
    /// Whether it is to be believed: its score is no less than `least`. A single character needs more: rings, bars and
    /// corners in pictures without text are read as O, I and L.
    fn is_sure(&self, least: f32) -> bool {
        let single = self.text.trim().chars().count() < 2;
        self.score >= if single { least.max(SURE_OF_ONE) } else { least }
    }
}

/// Other looks at a line: wider, narrower, and softened, which joins the dots of a dot print.
fn variants(line: &Image) -> Result<Vec<Image>> {
    let (w, h) = (line.width(), line.height());
    let scaled = |share: f32| preprocess::resize(line, ((w as f32 * share) as u32).max(1), h);
    let mut all = vec![scaled(1.2)?, scaled(0.85)?];
    if h > 24 {
        all.push(preprocess::resize(line, (w * 20 / h).max(1), 20)?);
    }
    Ok(all)
}

/// The part of `photo` in `quad`, laid flat, as it stands.
pub fn upright(photo: &Image, quad: &Quad) -> Result<Image> {
    rectify::flattened(photo, quad)
}

fn columns(logits: &Tensor) -> Columns<'_> {
    Columns::new(logits.data(), logits.shape().last().copied().unwrap_or(1).max(1))
}
