//! Learning a recipe from good parts: poses, memories, thresholds.

use super::align::{Aligner, Pose};
use super::check_size;
use super::features::FeatureNet;
use super::frame::{Frame, View};
use super::memory::Memory;
use super::threshold;
use crate::error::{Error, Result};
use crate::geometry::{Rect, Similarity};
use crate::image::Image;
use crate::models::Model;
use crate::recipe::{Align, AlignMode, Method};

/// Fewer good parts than this say nothing about how good parts differ.
pub const MIN_GOODS: usize = 3;

/// Good parts that correlate with the golden one like this, in the median, have a common pose.
const POSED: f32 = 0.85;
/// Below this even a pose that was asked for is none.
const POSE_LOST: f32 = 0.4;
/// A part counts as found at this share of the median correlation of the good ones.
const FOUND: f32 = 0.4;

/// A region to learn.
#[derive(Debug, Clone, PartialEq)]
pub struct RegionSpec {
    /// Its name in the recipe.
    pub name: String,
    /// Left, top, width and height in pixels of the golden image.
    pub rect: [u32; 4],
    /// How it is to be compared.
    pub method: Method,
}

impl RegionSpec {
    fn bounds(&self) -> Rect {
        let [x, y, w, h] = self.rect.map(|v| v as f32);
        Rect::from_xywh(x, y, w, h)
    }
}

/// Whether parts are aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlignChoice {
    /// The good images tell: they correlate with each other, or they are a texture.
    Auto,
    /// Always.
    Pose,
    /// Never.
    None,
}

impl std::str::FromStr for AlignChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(AlignChoice::Auto),
            "pose" => Ok(AlignChoice::Pose),
            "none" => Ok(AlignChoice::None),
            _ => Err(format!("unknown alignment {text:?}; expected auto, pose or none")),
        }
    }
}

/// What is kept of a good photograph while learning: its pose and the views of its regions.
#[derive(Debug)]
pub struct Good {
    pose: Option<Pose>,
    /// Views under the pose; empty if no pose is looked for.
    posed: Vec<View>,
    /// Views where the regions stand; empty if a pose is wanted.
    plain: Vec<View>,
}

/// What was learned; with the golden image it makes a recipe.
#[derive(Debug)]
pub struct Learned {
    /// How parts are aligned, limits included.
    pub align: Align,
    /// One a region.
    pub regions: Vec<LearnedRegion>,
    /// Numbers of the photographs that do not show the golden part, with their correlation; nothing was learned of them.
    pub left_out: Vec<(usize, f32)>,
}

/// What was learned of one region.
#[derive(Debug)]
pub struct LearnedRegion {
    /// A score above this is a fail.
    pub threshold: f32,
    /// Scores of good parts in other light, each held against the memory of the others.
    pub held_out: Vec<f32>,
    /// The memory file.
    pub memory: Vec<u8>,
}

/// Learns from good photographs. [`Learner::look`] at each (from any thread), then [`Learner::finish`].
#[derive(Debug)]
pub struct Learner {
    size: (u32, u32),
    choice: AlignChoice,
    aligner: Option<Aligner>,
    net: Option<FeatureNet>,
    regions: Vec<(RegionSpec, Frame)>,
    seed: u64,
}

impl Learner {
    /// Prepares to learn `regions` of `golden`; `model` is used by the methods that run a network.
    pub fn new(
        golden: &Image,
        regions: Vec<RegionSpec>,
        model: Option<&Model>,
        choice: AlignChoice,
        seed: u64,
    ) -> Result<Self> {
        let methods: Vec<Method> = regions.iter().map(|r| r.method).collect();
        let net = FeatureNet::for_methods(model, &methods)?;
        let aligner = match choice {
            AlignChoice::None => None,
            AlignChoice::Pose => Some(Aligner::new(golden)?),
            // A picture in which no pose can be looked for has none.
            AlignChoice::Auto => Aligner::new(golden).ok(),
        };
        let regions = regions
            .into_iter()
            .map(|r| {
                let frame = Memory::frame(r.bounds());
                (r, frame)
            })
            .collect();
        Ok(Learner { size: (golden.width(), golden.height()), choice, aligner, net, regions, seed })
    }

    /// Takes in a good photograph of the golden image's size.
    pub fn look(&self, photo: &Image) -> Result<Good> {
        check_size(photo, self.size)?;
        let pose = self.aligner.as_ref().map(|a| a.find(photo)).transpose()?;
        let views = |t: &Similarity| self.regions.iter().map(|(_, f)| f.view(photo, t)).collect::<Result<Vec<_>>>();
        let posed = pose.map(|p| views(&p.transform)).transpose()?.unwrap_or_default();
        let plain = match self.choice {
            AlignChoice::Pose => Vec::new(),
            _ => views(&Similarity::IDENTITY)?,
        };
        Ok(Good { pose, posed, plain })
    }

    /// Learns memories and thresholds from all good photographs. `progress` is told (done, of) in regions.
    pub fn finish(&self, goods: &[Good], progress: &dyn Fn(usize, usize)) -> Result<Learned> {
        enough(goods.len())?;
        let (posed, least) = self.decide_alignment(goods)?;
        let found = |g: &Good| !posed || g.pose.is_none_or(|p| p.correlation >= least);
        let lost = goods.iter().enumerate().filter(|(_, g)| !found(g));
        let left_out: Vec<(usize, f32)> = lost.map(|(i, g)| (i, g.pose.map_or(0.0, |p| p.correlation))).collect();
        let goods: Vec<&Good> = goods.iter().filter(|g| found(g)).collect();
        enough(goods.len())?;
        let align = self.limits(&goods, posed, least);
        let mut regions = Vec::new();
        for (at, (spec, frame)) in self.regions.iter().enumerate() {
            let views: Vec<&View> = goods.iter().map(|g| if posed { &g.posed[at] } else { &g.plain[at] }).collect();
            let net = self.net.as_ref();
            let (memory, held_out) = Memory::learn(spec.method, &views, posed, net, self.seed)?;
            regions.push(LearnedRegion {
                threshold: threshold::of(&held_out),
                held_out,
                memory: memory.write(spec.method, frame, net)?,
            });
            progress(at + 1, self.regions.len());
        }
        Ok(Learned { align, regions, left_out })
    }

    /// Whether the good parts have a pose, and the least correlation with which a part counts as found.
    fn decide_alignment(&self, goods: &[Good]) -> Result<(bool, f32)> {
        let mut correlations: Vec<f32> = goods.iter().filter_map(|g| g.pose).map(|p| p.correlation).collect();
        correlations.sort_by(f32::total_cmp);
        let median = correlations.get(correlations.len() / 2).copied().unwrap_or(0.0);
        let posed = match self.choice {
            AlignChoice::Pose => true,
            AlignChoice::None => false,
            AlignChoice::Auto => median >= POSED,
        };
        if posed && median < POSE_LOST {
            return Err(Error::Input(format!(
                "the good images do not show the same part in a pose that can be found (median correlation {median:.2}, \
                 expected {POSE_LOST} or more); use --align none for a texture, or another --golden"
            )));
        }
        Ok((posed, (median * FOUND * 100.0).round() / 100.0))
    }

    /// How far a part may lie from the golden one: twice of what the good ones did, and never less than what a fixture
    /// lets a part move.
    fn limits(&self, goods: &[&Good], posed: bool, least: f32) -> Align {
        let widest = |f: fn(&Pose) -> f32| goods.iter().filter_map(|g| g.pose.as_ref()).map(f).fold(0.0, f32::max);
        let long = self.size.0.max(self.size.1) as f32;
        // What textures seem to move means nothing.
        let twice = |f: fn(&Pose) -> f32| if posed { 2.0 * widest(f) } else { 0.0 };
        let shift = twice(|p| p.shift_px.0.hypot(p.shift_px.1)).max(0.06 * long);
        let angle = twice(|p| p.transform.degrees().abs()).max(6.0);
        let scale = twice(|p| (p.transform.scale() - 1.0).abs()).max(0.08);
        Align {
            mode: if posed { AlignMode::Pose } else { AlignMode::None },
            max_shift_px: shift.ceil(),
            max_angle_deg: angle.ceil(),
            max_scale: (scale * 100.0).ceil() / 100.0,
            min_correlation: least,
        }
    }
}

fn enough(goods: usize) -> Result<()> {
    if goods >= MIN_GOODS {
        return Ok(());
    }
    let images = if goods == 1 { "image" } else { "images" };
    Err(Error::Input(format!(
        "{goods} good {images}, at least {MIN_GOODS} are needed to learn how good parts differ (20 are better)"
    )))
}
