//! Names and polarity of mask files, as the programs that read them want them.

use super::args::restore_stdin;
use super::detection::{self, Wanted};
use super::{batch, output};
use crate::error::{Error, Result};
use crate::input::{self, Limits, Source};
use crate::models;
use crate::postprocess::detection::Params;
use crate::report::{draw, json};
use crate::tasks::detect::Detector;
use crate::tasks::mask::Masker;
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage};
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
    /// (<https://rchelp.capturingreality.com/en-US/tools/imglayers.htm>), which is an alpha channel, opaque where the image
    /// counts (<https://rchelp.capturingreality.com/en-US/tools/mask.htm>).
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

    /// Whether the program reads pictures as they are stored, whatever their EXIF orientation says: COLMAP does
    /// (`oiio:reorient` is 0 in its `bitmap.cc`), and so wants its masks.
    pub fn as_stored(self) -> bool {
        self == Convention::Colmap
    }

    /// The mask of a picture, relative to the folder of masks: folders below a directory that `arguments` name are kept, as
    /// COLMAP asks for.
    fn mask_of(self, source: &Source, arguments: &[String]) -> PathBuf {
        let stem = source.stem();
        match source {
            Source::File(path) | Source::Unreadable(path, _) => {
                let name = path.file_name().map_or_else(|| stem.clone(), |n| n.to_string_lossy().into_owned());
                output::below(source, arguments).join(self.file_name(&name, &stem))
            }
            Source::Stdin => PathBuf::from(self.file_name(&stem, &stem)),
        }
    }

    /// The pictures without those that are the mask of another: some programs want masks beside the photographs.
    fn photographs(self, all: Vec<Source>) -> Vec<Source> {
        let beside = |source: &Source| match source {
            Source::File(path) if self != Convention::Plain => Some(path.with_file_name(self.mask_of(source, &[]))),
            _ => None,
        };
        let masks: HashSet<PathBuf> = all.iter().filter_map(beside).collect();
        all.into_iter().filter(|s| !matches!(s, Source::File(path) if masks.contains(path))).collect()
    }
}

/// Which pictures are masked, and the files that are written.
#[derive(Debug)]
pub struct Job {
    pub sources: Vec<Source>,
    /// The masks, relative to their folder.
    pub names: Vec<PathBuf>,
    /// The masks.
    pub files: Vec<PathBuf>,
    /// The previews, or none.
    pub previews: Vec<PathBuf>,
    /// Whether objects are black in the masks.
    black: bool,
    /// Whether masks lie as the pixels are stored.
    as_stored: bool,
    /// The masks to be added, or none.
    old: Vec<PathBuf>,
}

impl Job {
    /// Of the pictures that `arguments` name. Folders are made and checked; nothing that is read is written.
    pub fn new(
        arguments: &[String],
        convention: Convention,
        invert: bool,
        out: &Path,
        preview: Option<&Path>,
    ) -> Result<Self> {
        let sources = convention.photographs(batch::sources(arguments)?);
        let arguments: Vec<String> = arguments.iter().map(|n| restore_stdin(n)).collect();
        let names: Vec<PathBuf> = sources.iter().map(|s| convention.mask_of(s, &arguments)).collect();
        let mut taken = HashSet::new();
        if let Some(name) = names.iter().find(|n| !taken.insert(*n)) {
            return Err(Error::Usage(format!(
                "two pictures would have the mask {}; mask them into two folders, or use --convention colmap, which keeps \
                 the ending",
                name.display()
            )));
        }
        let files: Vec<PathBuf> = names.iter().map(|n| out.join(n)).collect();
        let folders: HashSet<&Path> = files.iter().filter_map(|f| f.parent()).collect();
        folders.into_iter().try_for_each(output::check_folder)?;
        output::check_apart(&files, &sources)?;
        let previews = output::pictures(preview, &sources)?;
        output::check_distinct(&files, &previews)?;
        let black = convention.objects_black() != invert;
        Ok(Job { sources, names, files, previews, black, as_stored: convention.as_stored(), old: Vec::new() })
    }

    /// The numbers of the pictures that have no mask yet; the others are told of.
    pub fn left(&self, as_json: bool, quiet: bool) -> Result<Vec<usize>> {
        let (left, done): (Vec<usize>, Vec<usize>) = (0..self.files.len()).partition(|&i| !self.files[i].is_file());
        if !done.is_empty() && !quiet {
            output::note(&format!("{} of {} photographs have their masks already", done.len(), self.files.len()));
        }
        for at in done.into_iter().filter(|_| as_json) {
            output::line(&json::skipped("mask", &self.sources[at].name())?)?;
        }
        Ok(left)
    }

    /// With the masks of the same names and colours in `folder` added.
    pub fn merging(self, folder: Option<&Path>) -> Result<Self> {
        let Some(folder) = folder else { return Ok(self) };
        if !folder.is_dir() {
            return Err(Error::Usage(format!("--merge {}: is not a folder", folder.display())));
        }
        let old: Vec<PathBuf> = self.names.iter().map(|n| folder.join(n)).collect();
        output::check_distinct(&old, &self.previews)?;
        Ok(Job { old, ..self })
    }

    /// Adds what the older mask of the picture numbered `at`, if there is one, has beyond `mask`, and says whether there is.
    pub fn merge(&self, at: usize, mask: &mut GrayImage, limits: Limits) -> Result<bool> {
        let Some(file) = self.old.get(at).filter(|f| f.exists()) else { return Ok(false) };
        let name = file.display().to_string();
        let bytes = Source::File(file.clone()).read()?;
        let mut old = DynamicImage::ImageLuma8(input::decode_mask(&name, &bytes, &limits)?);
        old.apply_orientation(self.turned(at));
        let (found, expected) = ((old.width(), old.height()), mask.dimensions());
        if found != expected {
            let message = format!("is {}x{}, the picture is {}x{}", found.0, found.1, expected.0, expected.1);
            return Err(Error::Image { name, message, source: None });
        }
        for (pixel, old) in mask.pixels_mut().zip(old.into_luma8().pixels()) {
            let old = if self.black { 255 - old.0[0] } else { old.0[0] };
            pixel.0[0] = pixel.0[0].max(old);
        }
        Ok(true)
    }

    /// The PNG file of the mask of the picture numbered `at`.
    pub fn png(&self, at: usize, mask: &GrayImage) -> Result<Vec<u8>> {
        let back = match self.turned(at) {
            Orientation::Rotate90 => Orientation::Rotate270,
            Orientation::Rotate270 => Orientation::Rotate90,
            // Mirrors and half turns undo themselves.
            other => other,
        };
        let mut mask = DynamicImage::ImageLuma8(mask.clone());
        mask.apply_orientation(back);
        png(mask.into_luma8(), self.black)
    }

    /// How the stored pixels of a picture are turned, where its mask has to lie as these do.
    fn turned(&self, at: usize) -> Orientation {
        match &self.sources[at] {
            Source::File(path) if self.as_stored => {
                std::fs::read(path).map_or(Orientation::NoTransforms, |bytes| input::orientation(&bytes))
            }
            // Standard input is gone once it was read.
            _ => Orientation::NoTransforms,
        }
    }
}

/// The file of a mask with white objects, or with black ones.
pub fn png(mut mask: GrayImage, black: bool) -> Result<Vec<u8>> {
    if black {
        mask.iter_mut().for_each(|v| *v = 255 - *v);
    }
    draw::gray_png(mask.as_raw(), mask.width(), mask.height())
}

/// What masks the objects of the `-seg` file `model`, or people with the embedded networks.
pub fn masker(model: Option<&str>) -> Result<Masker> {
    match model {
        Some(name) => Masker::segmenting(Detector::load(name)?),
        None => Masker::people(detection::detector(None)?, models::default_for("person-mask")?),
    }
}

/// The classes to mask: those asked for, or `person` where the detector has it, or all.
pub fn params(masker: &Masker, wanted: &Wanted) -> Result<Params> {
    let people = masker.detector().labels().iter().position(|l| l == "person");
    let mut params = wanted.params(masker.detector())?;
    if params.classes.is_none() {
        params.classes = people.map(|class| vec![class]);
    }
    if masker.people_only() && params.classes.as_ref().is_none_or(|c| c.iter().any(|c| Some(*c) != people)) {
        let message = "without --model only people can be masked; name a YOLO -seg .onnx file for other classes";
        return Err(Error::Usage(message.into()));
    }
    Ok(params)
}
