//! From names on the command line to pictures: files, directories, standard input; decoding, EXIF orientation, limits.

pub mod jpeg;
mod overview;

pub use overview::overview;

use crate::error::{Error, Result};
use crate::image::Image;
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageReader};
use std::ffi::OsStr;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Pictures above this many pixels are refused before they are decoded: 200 megapixels, 600 MB as RGB.
pub const DEFAULT_MAX_PIXELS: u64 = 200_000_000;

/// A compressed file above this size is refused: 1 GiB.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// File name endings that are taken from a directory. A file that is named itself is tried whatever it is called.
const ENDINGS: [&str; 12] = ["jpg", "jpeg", "jpe", "png", "bmp", "tif", "tiff", "webp", "pnm", "ppm", "pgm", "jfif"];

/// Where one picture comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// Standard input, `-` on the command line.
    Stdin,
    /// A directory or file that could not even be listed, with the reason: reported in its place in the batch.
    Unreadable(PathBuf, String),
}

impl Source {
    /// The name to report the picture by: the path as given, or `<stdin>`.
    pub fn name(&self) -> String {
        match self {
            Source::File(path) | Source::Unreadable(path, _) => path.display().to_string(),
            Source::Stdin => "<stdin>".to_string(),
        }
    }

    /// File name without folder and ending, for files written about this picture.
    pub fn stem(&self) -> String {
        match self {
            Source::File(path) | Source::Unreadable(path, _) => {
                path.file_stem().unwrap_or(OsStr::new("image")).to_string_lossy().into_owned()
            }
            Source::Stdin => "stdin".to_string(),
        }
    }

    /// Reads and decodes the picture, turned as its EXIF orientation says.
    pub fn load(&self, limits: &Limits) -> Result<Image> {
        decode(&self.name(), &self.read()?, limits)
    }

    /// Reads the file as it is. Standard input is read once and remembered, so that it can be asked for again.
    pub fn read(&self) -> Result<Vec<u8>> {
        match self {
            Source::File(path) => read_file(path),
            Source::Stdin => match &*STDIN {
                Ok(bytes) => Ok(bytes.clone()),
                Err(e) => Err(Error::io("<stdin>", "read", std::io::Error::new(e.kind(), e.to_string()))),
            },
            Source::Unreadable(_, reason) => {
                Err(Error::Image { name: self.name(), message: reason.clone(), source: None })
            }
        }
    }
}

static STDIN: LazyLock<std::io::Result<Vec<u8>>> = LazyLock::new(|| {
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map(|_| bytes)
});

/// Bounds on what is decoded.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Width times height.
    pub max_pixels: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_pixels: DEFAULT_MAX_PIXELS }
    }
}

/// All pictures that `names` stand for: directories are searched to any depth and sorted, `-` is standard input. A
/// directory without a picture, and what cannot be listed, stays in the list to be reported in its place.
pub fn expand(names: &[String]) -> Vec<Source> {
    names.iter().flat_map(|name| expand_one(name)).collect()
}

fn expand_one(name: &str) -> Vec<Source> {
    if name == "-" {
        return vec![Source::Stdin];
    }
    let path = Path::new(name);
    if !path.is_dir() {
        return vec![Source::File(path.to_path_buf())];
    }
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(path).follow_links(true).sort_by_file_name() {
        match entry {
            Ok(e) if e.file_type().is_file() && is_picture_name(e.path()) => {
                found.push(Source::File(e.into_path()));
            }
            Ok(_) => {}
            Err(e) if e.loop_ancestor().is_some() => {}
            Err(e) => {
                let at = e.path().unwrap_or(path).to_path_buf();
                let reason = e.io_error().map_or_else(|| e.to_string(), |io| io.to_string());
                found.push(Source::Unreadable(at, format!("cannot read: {reason}")));
            }
        }
    }
    if found.is_empty() {
        found.push(Source::Unreadable(path.to_path_buf(), no_pictures()));
    }
    found
}

/// What is said of a directory without pictures.
pub fn no_pictures() -> String {
    format!("no pictures in this directory (looked for .{})", ENDINGS.join(" ."))
}

/// Whether a file in a directory is taken for a picture by its name.
pub fn is_picture_name(path: &Path) -> bool {
    let ending = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
    ending.is_some_and(|e| ENDINGS.contains(&e.as_str()))
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    let failed = |e| Error::io(path, "read", e);
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::with_capacity(file.metadata().map_or(0, |m| m.len().min(MAX_FILE_BYTES)) as usize);
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Decodes `bytes` (JPEG, PNG, BMP, TIFF, WebP or PNM, told by content) to 8-bit RGB. 16-bit samples are
/// scaled down, gray is repeated, transparency is laid over white, EXIF orientation is applied.
pub fn decode(name: &str, bytes: &[u8], limits: &Limits) -> Result<Image> {
    let (mut picture, orientation) = as_stored(name, bytes, limits)?;
    picture.apply_orientation(orientation);
    to_rgb(picture)
}

/// The pixels as stored, and how they are to be turned.
fn as_stored(name: &str, bytes: &[u8], limits: &Limits) -> Result<(DynamicImage, Orientation)> {
    let bad = |message: String, source: Option<image::ImageError>| Error::Image {
        name: name.to_string(),
        message,
        source: source.map(Into::into),
    };
    if bytes.is_empty() {
        return Err(bad("the file is empty".into(), None));
    }
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(bad(format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20), None));
    }
    let reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|e| bad("cannot be read".into(), Some(e.into())))?;
    if reader.format().is_none() {
        return Err(bad("not a picture: expected JPEG, PNG, BMP, TIFF, WebP or PNM content".into(), None));
    }
    if reader.format() == Some(image::ImageFormat::Jpeg) && !jpeg_is_whole(bytes) {
        return Err(bad("the picture is damaged: the file ends early".into(), None));
    }
    let most = limits.max_pixels / 1_000_000;
    let damaged = |e| match e {
        // On 32-bit machines a decoder may say so before it tells width and height.
        image::ImageError::Limits(_) => {
            bad(format!("the picture needs too much memory; the limit is {most} megapixels (--max-pixels)"), Some(e))
        }
        _ => bad("the picture is damaged or of an unsupported kind".into(), Some(e)),
    };
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    check_size(name, decoder.dimensions(), limits)?;
    let mut memory = image::Limits::default();
    // Eight bytes a pixel hold 16-bit RGBA; as much again serves the decoder itself.
    memory.max_alloc = Some(limits.max_pixels.saturating_mul(16).max(64 << 20));
    decoder.set_limits(memory).map_err(damaged)?;
    let orientation = decoder.orientation().map_err(damaged)?;
    Ok((DynamicImage::from_decoder(decoder).map_err(damaged)?, orientation))
}

/// Refuses a picture of no pixels or of too many, before it is decoded.
fn check_size(name: &str, (width, height): (u32, u32), limits: &Limits) -> Result<()> {
    let pixels = u64::from(width) * u64::from(height);
    let message = if pixels == 0 {
        format!("the picture has no pixels ({width}x{height})")
    } else if pixels > limits.max_pixels {
        format!(
            "{width}x{height} is {} megapixels, the limit is {}; raise it with --max-pixels if the picture is genuine",
            pixels / 1_000_000,
            limits.max_pixels / 1_000_000,
        )
    } else {
        return Ok(());
    };
    Err(Error::Image { name: name.to_string(), message, source: None })
}

/// How the stored pixels of a picture are turned and mirrored to be seen as they were photographed; not at all where the
/// file does not say or cannot be read.
pub fn orientation(bytes: &[u8]) -> Orientation {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok();
    let decoder = reader.and_then(|r| r.into_decoder().ok());
    decoder.and_then(|mut d| d.orientation().ok()).unwrap_or(Orientation::NoTransforms)
}

/// A mask in one of the formats of pictures: luma, and black where it is transparent. Orientation is not applied.
pub fn decode_mask(name: &str, bytes: &[u8], limits: &Limits) -> Result<GrayImage> {
    let picture = as_stored(name, bytes, limits)?.0;
    if !picture.color().has_alpha() {
        return Ok(picture.into_luma8());
    }
    let pixels = picture.into_luma_alpha8();
    let over_black = |p: &image::LumaA<u8>| (u16::from(p.0[0]) * u16::from(p.0[1]) / 255) as u8;
    let data = pixels.pixels().map(over_black).collect();
    GrayImage::from_raw(pixels.width(), pixels.height(), data).ok_or_else(|| Error::Internal("a mask's size".into()))
}

/// Whether a JPEG has its end marker. The decoder fills what is missing with gray, and gray could pass an inspection.
/// The segments before the scan are stepped over: an EXIF thumbnail in one of them has an end marker of its own.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    let mut at = 2;
    while let [0xff, marker, high, low, ..] = bytes.get(at..).unwrap_or_default() {
        match *marker {
            START_OF_SCAN => return bytes[at..].windows(2).any(|pair| pair == [0xff, 0xd9]),
            0xff => at += 1,
            _ => at += 2 + usize::from(u16::from_be_bytes([*high, *low])),
        }
    }
    false
}

/// The pixels as stored, transparency ignored.
fn stored_rgb(picture: DynamicImage) -> Result<Image> {
    let (width, height) = (picture.width(), picture.height());
    Image::new(width, height, picture.into_rgb8().into_raw())
}

fn to_rgb(picture: DynamicImage) -> Result<Image> {
    let (width, height) = (picture.width(), picture.height());
    let data = if picture.color().has_alpha() {
        let over_white = |c: u8, a: u8| ((c as u32 * a as u32 + 255 * (255 - a as u32) + 127) / 255) as u8;
        let rgba = picture.into_rgba8();
        rgba.pixels().flat_map(|p| [0, 1, 2].map(|c| over_white(p.0[c], p.0[3]))).collect()
    } else {
        picture.into_rgb8().into_raw()
    };
    Image::new(width, height, data)
}
