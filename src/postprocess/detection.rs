//! What object detectors find, and what is wanted of it.

use crate::geometry::Rect;
use std::collections::BTreeMap;

/// An object: its class, how sure the network is, and where.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Number of the class in the model's list of labels.
    pub class: usize,
    /// 0 to 1.
    pub score: f32,
    /// In pixels: of the network's input where a decoder gives it, of the source picture where a task does.
    pub rect: Rect,
}

/// A detection that a decoder proposes, with what it knows beyond it.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Class, score and box in input pixels.
    pub detection: Detection,
    /// Weights of the mask prototypes; empty for networks without masks.
    pub coefficients: Vec<f32>,
}

/// Which detections are wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// Least score, exclusive, of classes without one of their own.
    pub conf: f32,
    /// Least score, exclusive, by class.
    pub class_conf: BTreeMap<usize, f32>,
    /// Boxes that overlap a better one by more than this IoU are dropped.
    pub iou: f32,
    /// At most so many, the best.
    pub max_det: usize,
    /// The classes wanted; all if `None`.
    pub classes: Option<Vec<usize>>,
    /// Boxes of different classes suppress one another too.
    pub agnostic: bool,
}

impl Default for Params {
    /// The values of Ultralytics' `predict`, which people bring their models from: confidence 0.25, IoU 0.7, 300 objects.
    fn default() -> Self {
        Params { conf: 0.25, class_conf: BTreeMap::new(), iou: 0.7, max_det: 300, classes: None, agnostic: false }
    }
}

impl Detection {
    /// Whether the box has a place. A network gone wrong gives sides that are no numbers.
    pub fn is_finite(&self) -> bool {
        <[f32; 4]>::from(self.rect).iter().all(|side| side.is_finite())
    }
}

impl Params {
    /// Whether an object of this class and score is wanted.
    pub fn wants(&self, class: usize, score: f32) -> bool {
        score > self.class_conf.get(&class).copied().unwrap_or(self.conf)
            && self.classes.as_ref().is_none_or(|list| list.contains(&class))
    }
}
