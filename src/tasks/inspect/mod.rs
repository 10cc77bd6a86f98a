//! Golden-sample inspection: what was learned from good parts, held against a new photograph.

mod align;
mod cosine;
mod features;
mod frame;
mod learn;
pub(crate) mod light;
mod memory;
mod pixels;
mod places;
mod posed;
mod printed;
mod search;
mod texture;
mod threshold;
mod whiten;

pub use align::{Aligner, Pose};
pub use learn::{AlignChoice, Good, Learned, LearnedRegion, Learner, RegionSpec};
pub use printed::Printed;

use crate::error::{Error, Result};
use crate::geometry::{Rect, Similarity};
use crate::image::{Gray, Image};
use crate::models::Model;
use crate::postprocess::blobs;
use crate::recipe::{Align, AlignMode, Method, Recipe, Region};
use crate::tasks::ocr::Reader;
use crate::tasks::timed;
use features::FeatureNet;
use frame::{Frame, View};
use memory::Memory;

/// A region of which less than this share is in the photograph cannot be judged.
const MIN_SHOWN: f32 = 0.7;

/// What is said of a photograph or of one region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Like the good ones.
    Pass,
    /// A score lies above its threshold.
    Fail,
    /// The part is not where it belongs, or not in the picture at all: a fail.
    Misplaced,
}

/// A place that differs from the good ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Defect {
    /// The box around it in pixels of the photograph.
    pub rect: Rect,
    /// Its highest score.
    pub score: f32,
}

/// Scores place by place.
#[derive(Debug, Clone)]
pub struct HeatMap {
    /// One score a cell; the cells cover the region evenly.
    pub cells: Gray,
    /// The region in pixels of the golden image.
    pub rect: Rect,
}

/// What was found in one region.
#[derive(Debug, Clone)]
pub struct RegionResult {
    /// Name in the recipe.
    pub name: String,
    /// How it was compared.
    pub method: Method,
    /// Pass or fail.
    pub verdict: Verdict,
    /// Grows with the defect; above `threshold` is a fail.
    pub score: f32,
    /// From the recipe.
    pub threshold: f32,
    /// Where, the worst first; empty for a pass. A method without a map names the whole region.
    pub defects: Vec<Defect>,
    /// The region's outline in the photograph, clockwise from its top left.
    pub outline: [(f32, f32); 4],
    /// Scores place by place, if the method gives them.
    pub heat: Option<HeatMap>,
    /// What was read, if the method reads.
    pub text: Option<String>,
}

/// What was found in one photograph.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The worst of the regions, or misplaced.
    pub verdict: Verdict,
    /// Score of the region that decides: the one furthest above its threshold.
    pub score: f32,
    /// Its threshold; `score > threshold` exactly if the verdict is not a pass.
    pub threshold: f32,
    /// Where the part lies, if the recipe looks for it.
    pub pose: Option<Pose>,
    /// Why it is misplaced, in words.
    pub reason: Option<String>,
    /// Each region in the order of the recipe.
    pub regions: Vec<RegionResult>,
}

impl Inspection {
    /// Takes golden pixels to photograph pixels.
    pub fn transform(&self) -> Similarity {
        self.pose.map_or(Similarity::IDENTITY, |p| p.transform)
    }
}

/// A recipe ready to be held against photographs; shared by all threads.
#[derive(Debug)]
pub struct Inspector {
    size: (u32, u32),
    align: Align,
    aligner: Option<Aligner>,
    net: Option<FeatureNet>,
    regions: Vec<(Region, Way)>,
    reader: Option<Reader>,
}

/// How a region is judged.
#[derive(Debug)]
enum Way {
    /// Held against what was learned.
    Compared(Frame, Memory),
    /// Read.
    Read(Printed),
}

impl Inspector {
    /// Builds the pipeline of `recipe` from the decoded golden image, one memory file a region and the recipe's model.
    ///
    /// Errors: a memory that is damaged or was made with another model, a golden image of another size.
    pub fn new(recipe: &Recipe, golden: &Image, memories: &[Vec<u8>], model: Option<&Model>) -> Result<Self> {
        let size = (recipe.golden.width, recipe.golden.height);
        if (golden.width(), golden.height()) != size {
            return Err(Error::Input(format!(
                "the golden image is {}x{}, the recipe says {}x{}",
                golden.width(),
                golden.height(),
                size.0,
                size.1
            )));
        }
        let aligner = match recipe.align.mode {
            AlignMode::Pose => Some(Aligner::new(golden)?),
            AlignMode::None => None,
        };
        let methods: Vec<Method> = recipe.regions.iter().map(|r| r.method).collect();
        let net = FeatureNet::for_methods(model, &methods)?;
        let reader = methods.contains(&Method::Text).then(Reader::new).transpose()?;
        let mut regions = Vec::new();
        for (region, bytes) in recipe.regions.iter().zip(memories) {
            let way = match &reader {
                Some(reader) if region.method == Method::Text => Way::Read(Printed::new(region, reader)?),
                _ => {
                    let (frame, memory) = Memory::read(region, bytes, model.map_or("", |m| &m.info.sha256))?;
                    // Compiled now, so that the first part is inspected as fast as the others.
                    memory.prepare(&frame, net.as_ref())?;
                    Way::Compared(frame, memory)
                }
            };
            regions.push((region.clone(), way));
        }
        Ok(Inspector { size, align: recipe.align.clone(), aligner, net, regions, reader })
    }

    /// Inspects one photograph, which must have the size of the golden image.
    pub fn inspect(&self, photo: &Image) -> Result<Inspection> {
        check_size(photo, self.size)?;
        let pose = timed("align", || self.aligner.as_ref().map(|a| a.find(photo)).transpose())?;
        let transform = pose.map_or(Similarity::IDENTITY, |p| p.transform);
        let mut displacement = pose.and_then(|p| self.displacement(&p));
        let mut regions = Vec::new();
        for (region, way) in &self.regions {
            let (frame, memory) = match (way, &self.reader) {
                (Way::Compared(frame, memory), _) => (frame, memory),
                (Way::Read(printed), Some(reader)) => {
                    let read = timed("text", || printed.read(reader, photo, &transform, region))?;
                    regions.push(text_result(region, &transform, read, photo));
                    continue;
                }
                (Way::Read(_), None) => return Err(Error::Internal("no reader".into())),
            };
            let view = timed("view", || frame.view(photo, &transform))?;
            let shown = view.shown();
            if shown < MIN_SHOWN && displacement.is_none() {
                let hidden = 100.0 * (1.0 - shown);
                let reason = format!("{hidden:.0} % of region {:?} lie outside of the photograph", region.name);
                displacement = Some((MIN_SHOWN / shown.max(0.1), reason));
            }
            regions.push(self.look(photo, &view, &transform, region, frame, memory)?);
        }
        Ok(conclude(pose, displacement, regions))
    }

    fn look(
        &self,
        photo: &Image,
        view: &View,
        transform: &Similarity,
        region: &Region,
        frame: &Frame,
        memory: &Memory,
    ) -> Result<RegionResult> {
        let scored = memory.score(view, self.net.as_ref())?;
        if !scored.score.is_finite() {
            return Err(Error::Input(format!(
                "region {:?}: the network gives values that are no numbers",
                region.name
            )));
        }
        let failed = scored.score > region.threshold;
        let defects = match (&scored.map, failed) {
            (_, false) => Vec::new(),
            (None, true) => vec![Defect { rect: transform.map_rect(&region.bounds()), score: scored.score }],
            (Some(map), true) => blobs::above(map, region.threshold)
                .into_iter()
                .map(|b| Defect { rect: frame.to_photo(&in_view(&b.rect, map, frame), transform), score: b.score })
                .collect(),
        };
        let cut = |d: Defect| Defect { rect: d.rect.clip(photo.width(), photo.height()), ..d };
        Ok(RegionResult {
            name: region.name.clone(),
            method: region.method,
            verdict: if failed { Verdict::Fail } else { Verdict::Pass },
            score: scored.score,
            threshold: region.threshold,
            defects: defects.into_iter().map(cut).collect(),
            outline: region.bounds().corners().map(|p| transform.apply(p)),
            heat: scored.map.map(|cells| HeatMap { cells, rect: region.bounds() }),
            text: None,
        })
    }

    /// How far beyond the limits of the recipe a pose lies (1 is the limit) and why, if it is beyond.
    fn displacement(&self, pose: &Pose) -> Option<(f32, String)> {
        let align = &self.align;
        if pose.correlation < align.min_correlation {
            let text = format!(
                "the part was not found: correlation {:.2}, at least {:.2} is expected",
                pose.correlation, align.min_correlation
            );
            return Some((2.0, text));
        }
        let (dx, dy) = pose.shift_px;
        let shift = dx.hypot(dy);
        let angle = pose.transform.degrees().abs();
        let scale = (pose.transform.scale() - 1.0).abs();
        let beyond = [
            (shift, align.max_shift_px, format!("shifted by {shift:.1} px, limit {}", align.max_shift_px)),
            (angle, align.max_angle_deg, format!("turned by {angle:.1} degrees, limit {}", align.max_angle_deg)),
            (scale, align.max_scale, format!("scaled by {:.1} %, limit {} %", scale * 100.0, align.max_scale * 100.0)),
        ];
        beyond
            .into_iter()
            .filter(|(value, limit, _)| value > limit)
            .map(|(value, limit, text)| (value / limit.max(1e-6), text))
            .max_by(|a, b| a.0.total_cmp(&b.0))
    }
}

/// What is said of a region whose text was read.
fn text_result(region: &Region, transform: &Similarity, read: printed::Read, photo: &Image) -> RegionResult {
    let failed = read.score > region.threshold;
    let place = transform.map_rect(&region.bounds()).clip(photo.width(), photo.height());
    RegionResult {
        name: region.name.clone(),
        method: region.method,
        verdict: if failed { Verdict::Fail } else { Verdict::Pass },
        score: read.score,
        threshold: region.threshold,
        defects: if failed { vec![Defect { rect: place, score: read.score }] } else { Vec::new() },
        outline: region.bounds().corners().map(|p| transform.apply(p)),
        heat: None,
        text: Some(read.text),
    }
}

/// The verdict on a photograph from those on its regions.
fn conclude(pose: Option<Pose>, displacement: Option<(f32, String)>, regions: Vec<RegionResult>) -> Inspection {
    let ratio = |r: &RegionResult| r.score / r.threshold.max(f32::MIN_POSITIVE);
    let worst = regions.iter().max_by(|a, b| ratio(a).total_cmp(&ratio(b)));
    let (mut score, threshold) = worst.map_or((0.0, 0.0), |r| (r.score, r.threshold));
    let failed = regions.iter().any(|r| r.verdict == Verdict::Fail);
    let mut verdict = if failed { Verdict::Fail } else { Verdict::Pass };
    let mut reason = None;
    if let Some((excess, text)) = displacement {
        verdict = Verdict::Misplaced;
        reason = Some(text);
        // A score above the threshold is a fail and the reverse, here too.
        score = score.max(threshold * excess).max(threshold.next_up());
    }
    Inspection { verdict, score, threshold, pose, reason, regions }
}

fn in_view(cells: &Rect, map: &Gray, frame: &Frame) -> Rect {
    let (x, y) = (frame.width as f32 / map.width as f32, frame.height as f32 / map.height as f32);
    Rect { x1: cells.x1 * x, y1: cells.y1 * y, x2: cells.x2 * x, y2: cells.y2 * y }
}

fn check_size(photo: &Image, size: (u32, u32)) -> Result<()> {
    if (photo.width(), photo.height()) == size {
        return Ok(());
    }
    Err(Error::Input(format!(
        "the picture is {}x{}, the golden image is {}x{}: photograph with the same camera setting, or learn a new recipe",
        photo.width(),
        photo.height(),
        size.0,
        size.1
    )))
}
