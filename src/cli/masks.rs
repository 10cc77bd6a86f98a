//! Names and polarity of mask files, as the programs that read them want them.

use super::{detection, output};
use crate::error::{Error, Result};
use crate::input::{Limits, Source};
use crate::models;
use crate::report::draw;
use crate::tasks::detect::Detector;
use crate::tasks::mask::Masker;
use image::GrayImage;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// `--convention`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Convention {
    /// `NAME.png`; objects white. For `NAME.jpg`, as are the others.
    Plain,
    /// `NAME.jpg.png`; objects black: COLMAP ignores black pixels (`--ImageReader.mask_path`,
    /// <https://colmap.github.io/faq.html#mask-image-regions>).
    Colmap,
    /// `NAME_mask.png`; objects black: Metashape's Import Masks, From File, template `{filename}_mask.png` (Metashape User
    /// Manual, "Using masks").
    Metashape,
    /// `NAME.jpg.mask.png`; objects black: a mask layer beside the image
    /// (<https://rchelp.capturingreality.com/en-US/tools/imglayers.htm>).
    RealityCapture,
}

impl FromStr for Convention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "plain" => Ok(Convention::Plain),
            "colmap" => Ok(Convention::Colmap),
            "metashape" => Ok(Convention::Metashape),
            "realitycapture" => Ok(Convention::RealityCapture),
            _ => Err(format!("{text:?} is none of plain, colmap, metashape, realitycapture")),
        }
    }
}

impl Convention {
    /// Whether objects are black and the rest white.
    pub fn objects_black(self) -> bool {
        self != Convention::Plain
    }

    fn file_name(self, name: &str, stem: &str) -> String {
        match self {
            Convention::Plain => format!("{stem}.png"),
            Convention::Colmap => format!("{name}.png"),
            Convention::Metashape => format!("{stem}_mask.png"),
            Convention::RealityCapture => format!("{name}.mask.png"),
        }
    }

    /// The mask of each picture, relative to the folder of masks: folders below a directory that `arguments` name are
    /// kept, as COLMAP asks for.
    pub fn names(self, arguments: &[String], sources: &[Source]) -> Result<Vec<PathBuf>> {
        let mut taken = HashSet::new();
        let mut names = Vec::new();
        for source in sources {
            let stem = source.stem();
            let name = match source {
                Source::File(path) | Source::Unreadable(path, _) => {
                    let name = path.file_name().map_or_else(|| stem.clone(), |n| n.to_string_lossy().into_owned());
                    let below = arguments.iter().find_map(|a| path.strip_prefix(a).ok()).and_then(Path::parent);
                    below.unwrap_or(Path::new("")).join(self.file_name(&name, &stem))
                }
                Source::Stdin => PathBuf::from(self.file_name(&stem, &stem)),
            };
            if !taken.insert(name.clone()) {
                let message = format!("two pictures would have the mask {}; mask them in two runs", name.display());
                return Err(Error::Usage(message));
            }
            names.push(name);
        }
        Ok(names)
    }
}

/// What masks the objects of the `-seg` file `model`, or people with the embedded networks.
pub fn masker(model: Option<&str>) -> Result<Masker> {
    match model {
        Some(name) => Masker::segmenting(Detector::load(name)?),
        None => Masker::people(detection::detector(None)?, models::default_for("person-mask")?),
    }
}

/// The classes to mask: those asked for, or `person` where the detector has it, or all.
pub fn classes<'a>(masker: &Masker, asked: Option<&'a str>) -> Result<Option<&'a str>> {
    let people = masker.detector().labels().iter().any(|l| l == "person").then_some("person");
    match asked.or(people) {
        classes if masker.people_only() && classes != people => {
            let message = "without --model only people can be masked; name a YOLO -seg .onnx file for other classes";
            Err(Error::Usage(message.into()))
        }
        classes => Ok(classes),
    }
}

/// The PNG file of a mask; `black`: objects are black in it.
pub fn png(mask: &GrayImage, black: bool) -> Result<Vec<u8>> {
    let pixels: Vec<u8> = mask.as_raw().iter().map(|&v| if black { 255 - v } else { v }).collect();
    draw::gray_png(&pixels, mask.width(), mask.height())
}

/// Adds what the mask in `file`, if there is one, has beyond `mask`. `black`: objects are black in it.
pub fn merge(mask: &mut GrayImage, file: &Path, black: bool, limits: &Limits) -> Result<()> {
    if !file.exists() {
        return Ok(());
    }
    let old = Source::File(file.to_path_buf()).load(limits)?;
    let (found, expected) = ((old.width(), old.height()), mask.dimensions());
    if found != expected {
        let message = format!("is {}x{}, the picture is {}x{}", found.0, found.1, expected.0, expected.1);
        return Err(Error::Image { name: file.display().to_string(), message, source: None });
    }
    for (pixel, rgb) in mask.pixels_mut().zip(old.data().chunks_exact(3)) {
        let old = if black { 255 - rgb[0] } else { rgb[0] };
        pixel.0[0] = pixel.0[0].max(old);
    }
    Ok(())
}

/// Makes the folders of `files`.
pub fn make_folders(files: &[PathBuf]) -> Result<()> {
    let folders: HashSet<&Path> = files.iter().filter_map(|f| f.parent()).collect();
    folders.into_iter().try_for_each(output::check_folder)
}
