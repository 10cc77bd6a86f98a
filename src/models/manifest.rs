//! The schema of `models/models.toml` and of a sidecar `.toml` beside a model file of the user's. `build.rs` compiles this
//! very file too, so that the build and the program cannot read the manifest differently.

use serde::{Deserialize, Serialize};

/// The manifest: every model that can be embedded.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// One entry a model.
    pub model: Vec<ModelInfo>,
}

/// What a model is, where it is from and how a picture must be prepared for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelInfo {
    /// Its name on the command line and in recipes; the cargo feature is `model-<id>`.
    pub id: String,
    /// What it is for: `features`, `classes`, `detect`, `person-mask`, `text-detection`, `text-recognition` or
    /// `text-orientation`, `cells`.
    pub task: String,
    /// One line on what it computes.
    pub description: String,
    /// File name beside the manifest. Several models can be outputs of one file; it is embedded once.
    pub file: String,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
    /// SPDX expression of the weights' licence.
    pub licence: String,
    /// Package, version and file that the weights were converted from.
    pub source: String,
    /// How a picture becomes the input tensor.
    pub input: InputSpec,
    /// Names of the values in the graph that ocellus asks for.
    pub outputs: OutputSpec,
    /// Names of the classes in the order of the network's scores; none for networks without classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

/// How a picture becomes the input tensor, `(value - mean) / std` per channel on values of 0 to 255.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Width and height that the network was made for.
    pub size: [u32; 2],
    /// Other widths and heights must be multiples of this.
    pub multiple: u32,
    /// Axis order of the tensor.
    pub layout: Layout,
    /// Channel order.
    pub colour: Colour,
    /// How the picture is brought to `size`.
    pub fit: Fit,
    /// How pixels are resampled.
    #[serde(default)]
    pub resample: Resample,
    /// Value of the padding that `letterbox` adds, 0 to 255.
    #[serde(default)]
    pub pad: u8,
    /// Mean per channel, in the order of `colour`.
    pub mean: [f32; 3],
    /// Divisor per channel, in the order of `colour`.
    pub std: [f32; 3],
}

/// Axis order of the input tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Batch, channel, row, column.
    Nchw,
}

/// Channel order of the input tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red, as OpenCV holds pictures.
    Bgr,
}

/// How a picture is brought to the size of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Each axis scaled on its own.
    Stretch,
    /// Scaled evenly, the rest padded.
    Letterbox,
    /// As `letterbox`, but padded to the next multiple of `multiple` only: for networks that take any size.
    Tight,
    /// Scaled evenly until it covers the size, the middle kept.
    Crop,
}

/// How pixels are resampled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resample {
    /// Bilinear; when shrinking the filter widens so that every source pixel counts, as PIL does it.
    #[default]
    Area,
    /// Bilinear between the four nearest pixels, however much is shrunk, as OpenCV does it. Networks that were trained so
    /// score up to 0.02 differently on anything else.
    Bilinear,
}

/// Names of the values in the graph that ocellus asks for; which of them there are says what the network is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutputSpec {
    /// The pooled feature vector, shape 1 x D.
    pub features: String,
    /// One value a class before the softmax, shape 1 x C.
    pub class_logits: String,
    /// The probability of each class, shape 1 x C.
    pub probabilities: String,
    /// Mid-level feature maps for local comparison, from fine to coarse, shape 1 x C x H/s x W/s.
    pub maps: Vec<String>,
    /// Feature maps at /8, /16 and /32 that a detector can be trained on, shape 1 x C x H/s x W/s.
    pub pyramid: Vec<String>,
    /// The levels of a NanoDet head.
    pub nanodet: Vec<NanodetLevel>,
    /// The head of a YOLOv8 or YOLO11 network, shape 1 x (4 + classes + coefficients) x cells.
    pub yolo: String,
    /// The objects of a network that suppresses by itself, shape 1 x objects x (6 + coefficients).
    pub end_to_end: String,
    /// The mask prototypes beside either of these, shape 1 x coefficients x H/4 x W/4.
    pub prototypes: String,
    /// The scores of cells of interest, or the values before the sigmoid, shape 1 x (cells * (labels + 1)).
    pub cells: String,
    /// A map of how much each pixel belongs to the object, 0 to 1, shape 1 x 1 x H x W.
    pub mask: String,
    /// A map of how much each pixel is text, 0 to 1, shape 1 x 1 x H x W.
    pub text: String,
    /// Characters by columns before the softmax, class 0 the blank of CTC, shape 1 x W/8 x classes.
    pub logits: String,
    /// Whether a line stands upright or upside down, two probabilities, shape 1 x 2.
    pub turned: String,
}

/// One level of a NanoDet head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NanodetLevel {
    /// Input pixels per cell.
    pub stride: u32,
    /// Class scores, shape 1 x cells x classes.
    pub scores: String,
    /// Distributions of the distances of the four sides, shape 1 x cells x (4 * bins).
    pub distances: String,
}

impl ModelInfo {
    /// What the types cannot say of a description.
    pub fn check(&self) -> Result<(), String> {
        let input = &self.input;
        if input.size.iter().any(|side| !(1..=4096).contains(side)) {
            return Err(format!("input.size is {:?}, expected sides of 1 to 4096", input.size));
        }
        if !(1..=256).contains(&input.multiple) {
            return Err(format!("input.multiple is {}, expected 1 to 256", input.multiple));
        }
        if input.std.iter().any(|v| !v.is_finite() || *v <= 0.0) || input.mean.iter().any(|v| !v.is_finite()) {
            return Err(format!(
                "input.std is {:?} and input.mean {:?}, expected numbers, std above 0",
                input.std, input.mean
            ));
        }
        Ok(())
    }
}

/// Licences under which weights may be embedded: permissive ones only.
pub const ALLOWED_LICENCES: [&str; 6] =
    ["Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "MIT OR Apache-2.0"];
