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
    /// What it is for: `features`.
    pub task: String,
    /// One line on what it computes.
    pub description: String,
    /// File name beside the manifest.
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
    /// Scaled evenly until it covers the size, the middle kept.
    Crop,
}

/// Names of the values in the graph that ocellus asks for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// The pooled feature vector, shape 1 x D.
    pub features: String,
    /// Mid-level feature maps for local comparison, from fine to coarse, shape 1 x C x H/s x W/s.
    pub maps: Vec<String>,
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
