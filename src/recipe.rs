//! The inspection recipe: a folder with `recipe.toml`, the golden image and one memory file a region.
//!
//! The text is made to be edited by hand, so everything in it is checked when it is read: unknown keys, ranges, hashes.

use crate::error::{Error, Result};
use crate::geometry::Rect;
use crate::models::sha256_hex;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The only version of the format so far.
pub const VERSION: u32 = 1;
/// Name of the text in a recipe folder.
pub const FILE: &str = "recipe.toml";

/// `recipe.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Version of this format.
    pub version: u32,
    /// The program that wrote it.
    pub made_with: String,
    /// How many good images were learned.
    pub good_images: usize,
    /// The golden image: regions are places in it.
    pub golden: Golden,
    /// How parts are brought to the place of the golden one.
    pub align: Align,
    /// The network that the regions' memories were made with; absent if none needs one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelRef>,
    /// What is looked at, in this order.
    #[serde(rename = "region")]
    pub regions: Vec<Region>,
}

/// The golden image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// File in the recipe folder.
    pub image: String,
    /// SHA-256 of that file.
    pub sha256: String,
    /// Width in pixels, after EXIF orientation.
    pub width: u32,
    /// Height in pixels, after EXIF orientation.
    pub height: u32,
}

/// How parts are brought to the place of the golden one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Align {
    /// Whether a pose is looked for.
    pub mode: AlignMode,
    /// A part further away than this is misplaced, in pixels of the photograph.
    pub max_shift_px: f32,
    /// A part turned further than this is misplaced, in degrees.
    pub max_angle_deg: f32,
    /// A part larger or smaller by more than this share is misplaced; 0.1 is 10 %.
    pub max_scale: f32,
    /// Below this correlation with the golden image (0 to 1) there is no such part in the picture: misplaced.
    pub min_correlation: f32,
}

/// Whether a pose is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlignMode {
    /// The part has a shape: its shift, angle and scale are found first.
    Pose,
    /// A texture, or a fixture that holds the part: pixels are taken where they are.
    None,
}

/// A network by name and content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRef {
    /// Id of an embedded model or path of a file.
    pub id: String,
    /// SHA-256 of the ONNX file.
    pub sha256: String,
}

/// One place that is looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Left, top, width and height in pixels of the golden image.
    pub rect: [u32; 4],
    /// How it is compared.
    pub method: Method,
    /// A score above this is a fail. Learned; edit it at will.
    pub threshold: f32,
    /// File with what was learned, in the recipe folder; none for `text`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub memory: String,
    /// SHA-256 of that file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sha256: String,
    /// For `text`: the regular expression that the printed line must match as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// For `text`: the printed line itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// For `text`: a check digit that must be right, such as `ean13`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
}

impl Region {
    /// The place as a box.
    pub fn bounds(&self) -> Rect {
        let [x, y, w, h] = self.rect.map(|v| v as f32);
        Rect::from_xywh(x, y, w, h)
    }
}

/// How a region is compared with the good ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Feature maps of the network, place by place: finds small defects and shows where they are.
    Patch,
    /// One feature vector for the whole region: coarse, for presence and kind.
    Cosine,
    /// Gray values and edges after alignment, without a network.
    Classical,
    /// The text that is printed there is read and verified.
    Text,
}

impl Method {
    /// The name in recipes, records and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Method::Patch => "patch",
            Method::Cosine => "cosine",
            Method::Classical => "classical",
            Method::Text => "text",
        }
    }

    /// Whether it runs the recipe's network.
    pub fn needs_model(self) -> bool {
        matches!(self, Method::Patch | Method::Cosine)
    }
}

impl std::str::FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Method::Patch, Method::Cosine, Method::Classical, Method::Text]
            .into_iter()
            .find(|m| m.name() == text)
            .ok_or_else(|| format!("unknown method {text:?}; expected patch, cosine, classical or text"))
    }
}

/// Whether `name` can be a region's name and part of a file name on every system.
pub fn is_region_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && name.len() <= 64 && !name.starts_with('.') && name.chars().all(plain)
}

/// A recipe folder in memory: the text, the golden image's file and the regions' memories, hashes checked.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Where it was read from.
    pub path: PathBuf,
    /// `recipe.toml`.
    pub recipe: Recipe,
    /// The golden image's file as it is.
    pub golden: Vec<u8>,
    /// One memory file a region, in the order of the regions.
    pub memories: Vec<Vec<u8>>,
}

impl Folder {
    /// Reads and checks a recipe folder.
    pub fn read(path: &Path) -> Result<Folder> {
        let file = path.join(FILE);
        let text = std::fs::read_to_string(&file).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                Error::recipe(path, format!("not a recipe folder: {FILE} is missing; make one with `ocellus learn`"))
            }
            _ => Error::io(&file, "read", e),
        })?;
        let recipe: Recipe = toml::from_str(&text).map_err(|e| Error::recipe(&file, toml_message(&text, &e)))?;
        check(&recipe).map_err(|message| Error::recipe(&file, message))?;
        let golden = read_hashed(path, &recipe.golden.image, &recipe.golden.sha256)?;
        let memory = |r: &Region| match r.method {
            Method::Text => Ok(Vec::new()),
            _ => read_hashed(path, &r.memory, &r.sha256),
        };
        let memories = recipe.regions.iter().map(memory).collect::<Result<_>>()?;
        Ok(Folder { path: path.to_path_buf(), recipe, golden, memories })
    }

    /// Writes the folder: beside its place first, then renamed, so that no half recipe is ever seen. An existing recipe
    /// folder is replaced if `replace` says so; anything else that stands there is never touched.
    pub fn write(&self, replace: bool) -> Result<()> {
        check_writable(&self.path, replace)?;
        let parent = parent_of(&self.path);
        let failed = |e| Error::io(&self.path, "write", e);
        let staging = tempfile::Builder::new().prefix(".ocellus-").tempdir_in(parent).map_err(failed)?;
        let put = |name: &str, bytes: &[u8]| std::fs::write(staging.path().join(name), bytes).map_err(failed);
        let text = toml::to_string(&self.recipe).map_err(|e| Error::Internal(format!("writing a recipe: {e}")))?;
        put(FILE, text.as_bytes())?;
        put(&self.recipe.golden.image, &self.golden)?;
        let learned = self.recipe.regions.iter().zip(&self.memories).filter(|(r, _)| r.method != Method::Text);
        for (region, memory) in learned {
            put(&region.memory, memory)?;
        }
        // A temporary folder is private; a recipe is read by whoever runs the inspection.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(staging.path(), std::fs::Permissions::from_mode(0o755)).map_err(failed)?;
        }
        // The old recipe steps aside first, and comes back if the new one cannot take its place.
        let old = tempfile::Builder::new().prefix(".ocellus-old-").tempdir_in(parent).map_err(failed)?;
        let aside = old.path().join("recipe");
        let existed = self.path.exists();
        if existed {
            std::fs::rename(&self.path, &aside).map_err(failed)?;
        }
        match std::fs::rename(staging.path(), &self.path) {
            Ok(()) => Ok(()),
            Err(e) => {
                if existed && std::fs::rename(&aside, &self.path).is_err() {
                    let kept = old.keep().join("recipe");
                    let message = format!("cannot be replaced: {e}; the old recipe is in {}", kept.display());
                    return Err(Error::recipe(&self.path, message));
                }
                Err(failed(e))
            }
        }
    }
}

/// Whether a recipe folder can be written at `path`: asked before the work starts. Makes the folders above it.
pub fn check_writable(path: &Path, replace: bool) -> Result<()> {
    if path.file_name().is_none() {
        return Err(Error::recipe(path, "a folder with a name is needed, such as ./recipe"));
    }
    if path.exists() {
        let is_recipe = path.join(FILE).is_file();
        let is_empty = path.is_dir() && std::fs::read_dir(path).is_ok_and(|mut d| d.next().is_none());
        if !is_recipe && !is_empty {
            return Err(Error::recipe(path, "exists and is not a recipe folder; choose another --out"));
        }
        if let Some(name) = foreign_file(path).map_err(|e| Error::io(path, "read", e))? {
            return Err(Error::recipe(path, format!("holds files of yours too ({name}); choose another --out")));
        }
        if is_recipe && !replace {
            return Err(Error::recipe(
                path,
                "a recipe is already there; replace it with --force or choose another --out",
            ));
        }
    }
    let parent = parent_of(path);
    std::fs::create_dir_all(parent).map_err(|e| Error::io(parent, "create", e))?;
    tempfile::tempfile_in(parent).map(|_| ()).map_err(|e| Error::io(parent, "write to", e))
}

/// The first file in a recipe folder that no recipe puts there: replacing the folder would lose it.
fn foreign_file(folder: &Path) -> std::io::Result<Option<String>> {
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != FILE && !name.starts_with("golden.") && !name.ends_with(".safetensors") {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

/// Line number and message of a TOML error, without the picture that the library draws.
fn toml_message(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    format!("line {line}: {}", error.message().lines().collect::<Vec<_>>().join(", "))
}

fn read_hashed(folder: &Path, name: &str, sha256: &str) -> Result<Vec<u8>> {
    let path = folder.join(name);
    let bytes = std::fs::read(&path).map_err(|e| Error::io(&path, "read", e))?;
    let found = sha256_hex(&bytes);
    if found != sha256 {
        let message =
            format!("its sha256 is {found}, {FILE} expects {sha256}; the file was changed, learn the recipe again");
        return Err(Error::recipe(path, message));
    }
    Ok(bytes)
}

/// What the type system cannot say of a recipe.
fn check(recipe: &Recipe) -> Result<(), String> {
    if recipe.version != VERSION {
        return Err(format!("version is {}, this program reads version {VERSION}", recipe.version));
    }
    if recipe.regions.is_empty() {
        return Err("there is no [[region]]".into());
    }
    let align = &recipe.align;
    for (name, value) in [
        ("max_shift_px", align.max_shift_px),
        ("max_angle_deg", align.max_angle_deg),
        ("max_scale", align.max_scale),
        ("min_correlation", align.min_correlation),
    ] {
        if !value.is_finite() || value < 0.0 {
            return Err(format!("align.{name} is {value}, expected a number of 0 or more"));
        }
    }
    let mut names = HashSet::new();
    let memories = recipe.regions.iter().filter(|r| r.method != Method::Text).map(|r| &r.memory);
    for file in std::iter::once(&recipe.golden.image).chain(memories) {
        if Path::new(file).file_name().is_none_or(|n| n != file.as_str()) {
            return Err(format!("{file:?} is not the name of a file in the recipe folder"));
        }
    }
    for region in &recipe.regions {
        let name = &region.name;
        if !is_region_name(name) {
            return Err(format!("region name {name:?}: expected letters, digits, '-', '_' and '.'"));
        }
        if !names.insert(name) {
            return Err(format!("two regions are named {name:?}"));
        }
        check_rect(name, region.rect, recipe.golden.width, recipe.golden.height)?;
        if !region.threshold.is_finite() {
            return Err(format!("region {name:?}: threshold is {}, expected a number", region.threshold));
        }
        let of_text = [&region.pattern, &region.expected, &region.check].iter().any(|v| v.is_some());
        if region.method != Method::Text && of_text {
            return Err(format!("region {name:?}: pattern, expected and check are for the method text"));
        }
        if region.method == Method::Text && region.pattern.is_some() == region.expected.is_some() {
            return Err(format!("region {name:?}: the method text needs either pattern or expected"));
        }
        if region.method.needs_model() && recipe.model.is_none() {
            return Err(format!("region {name:?} uses the method {} but there is no [model]", region.method.name()));
        }
    }
    Ok(())
}

/// The smallest side of a region in pixels: less carries no texture to compare.
pub const MIN_SIDE: u32 = 16;

/// Whether a region lies inside an image of `width` x `height` and is large enough.
pub fn check_rect(name: &str, rect: [u32; 4], width: u32, height: u32) -> Result<(), String> {
    let [x, y, w, h] = rect.map(u64::from);
    if x + w > width as u64 || y + h > height as u64 {
        return Err(format!("region {name:?} ({x},{y},{w},{h}) reaches outside of the {width}x{height} golden image"));
    }
    if w < MIN_SIDE as u64 || h < MIN_SIDE as u64 {
        return Err(format!("region {name:?} is {w}x{h} pixels, at least {MIN_SIDE}x{MIN_SIDE} are needed"));
    }
    Ok(())
}
