//! Data sets of annotation tools on disk: read and written whole.

use super::folder::CLASSES;
use super::guess::Format;
use super::pictures::{self, Finder};
use super::{Located, Place, folder, saving};
use crate::cli::batch::{self, Options};
use crate::cli::output;
use crate::dataset::check::{Kind, Problem};
use crate::dataset::{Classes, DataSet, Loss, Outline, Parsed, Picture, Split};
use crate::dataset::{anylabeling, coco, label_studio, voc, yolo};
use crate::error::{Error, Result};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// Pixels that come of the six places of YOLO's shares, and are no loss.
const EXACT: f32 = 0.01;

/// Reads the data set at `path`, a file or a folder; its pictures lie below `images`, or near it if None.
pub fn read(path: &Path, format: Format, images: Option<&Path>) -> Result<Located> {
    if format == Format::Yolo {
        return match images {
            Some(_) => {
                Err(Error::Usage("--images is for other formats: YOLO data sets say where their pictures are".into()))
            }
            None => folder::read(path),
        };
    }
    let root = if path.is_dir() { path.to_path_buf() } else { path.parent().unwrap_or(Path::new("")).to_path_buf() };
    let root = if root.as_os_str().is_empty() { PathBuf::from(".") } else { root };
    // COCO files lie in a folder of their own beside that of the pictures.
    let beside = root.file_name().is_some_and(|n| n == "annotations" || n == "Annotations") && path.is_file();
    let around = if beside { root.join("..") } else { root.clone() };
    let finder = Finder::new(images.unwrap_or(&around))?;
    let list = root.join(CLASSES);
    let names = if list.is_file() { yolo::classes(&pictures::text(&list)?) } else { Vec::new() };
    let mut classes = Classes::new(names);
    let mut located = Located { description: list.display().to_string(), ..Located::default() };
    let parse = match format {
        Format::Coco => coco::parse,
        Format::Voc => voc::parse,
        Format::LabelStudio => label_studio::parse,
        _ => anylabeling::parse,
    };
    let parts = if format == Format::Voc { image_sets(&root)? } else { HashMap::new() };
    let files = annotation_files(path, format)?;
    let mut read = false;
    for file in &files {
        let parsed = pictures::text(file)
            .and_then(|text| parse(&text, &mut classes).map_err(|e| Error::Input(format!("{}: {e}", file.display()))));
        match parsed {
            Ok(parsed) => add(&mut located, parsed, file, format, &finder, &parts),
            // The only file is what was asked for.
            Err(error) if files.len() == 1 => return Err(error),
            Err(error) => {
                let (shown, text) = (file.display().to_string(), error.one_line());
                let message = text.strip_prefix(&format!("{shown}: ")).unwrap_or(&text);
                located.problems.push(Problem::new(Kind::MalformedLine, shown, None, message));
                continue;
            }
        }
        read = true;
    }
    if !read {
        return Err(Error::Input(format!("{}: no annotation files of this format", path.display())));
    }
    located.set.classes = classes.into_names();
    Ok(located)
}

fn annotation_files(path: &Path, format: Format) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let ending = if format == Format::Voc { "xml" } else { "json" };
    // Label Studio's interface is described in XML, which is no annotation.
    pictures::files(path, |p| p.extension().is_some_and(|e| e == ending))
}

/// The parts of pictures that `ImageSets/Main` of a VOC data set lists, by their name without ending.
fn image_sets(root: &Path) -> Result<HashMap<String, Split>> {
    let mut parts = HashMap::new();
    for split in Split::ALL {
        let file = root.join("ImageSets").join("Main").join(format!("{}.txt", split.name()));
        if file.is_file() {
            let text = pictures::text(&file)?;
            parts.extend(text.lines().map(|name| (name.trim().to_string(), split)));
        }
    }
    Ok(parts)
}

/// Adds what the annotation file `file` says.
fn add(
    located: &mut Located,
    parsed: Parsed,
    file: &Path,
    format: Format,
    finder: &Finder,
    parts: &HashMap<String, Split>,
) {
    let shown = file.display().to_string();
    located.loss.merge(parsed.loss);
    let fault = |message: String| Problem::new(Kind::MalformedLine, &*shown, None, message);
    located.problems.extend(parsed.faults.into_iter().map(fault));
    // Many tools name the part in the file's name or its folder's.
    let stem = file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let words = if format == Format::Coco { stem.split(|c: char| !c.is_alphanumeric()).collect() } else { Vec::new() };
    let parent = file.parent().and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let named = words.into_iter().find_map(Split::named).or_else(|| Split::named(&parent));
    for mut picture in parsed.pictures {
        let found = finder.find(&picture.file, file).and_then(|source| Ok((pictures::size(&source)?, source)));
        let (size, source) = match found {
            Ok(found) => found,
            Err(error) => {
                let text = error.one_line();
                let (of, message) = match text.strip_prefix(&format!("{shown}: ")) {
                    Some(rest) => (shown.clone(), rest.to_string()),
                    None => text.split_once(": ").map_or((shown.clone(), text.clone()), |(f, m)| (f.into(), m.into())),
                };
                located.problems.push(Problem::new(Kind::UnreadablePicture, of, None, message));
                continue;
            }
        };
        if picture.size != (0, 0) && picture.size != size {
            let ((w, h), (x, y)) = (picture.size, size);
            let message = format!("says that {} has {w} x {h} pixels, but it has {x} x {y}", picture.file);
            located.problems.push(Problem::new(Kind::MalformedLine, &*shown, None, message));
            continue;
        }
        picture.size = size;
        let own = source.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        picture.split = picture.split.or_else(|| parts.get(&own).copied()).or(named);
        picture.file = source.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let path = source.display().to_string();
        located.places.push(Place { source, path, labels: file.to_path_buf(), lines: Vec::new() });
        located.set.pictures.push(picture);
    }
}

/// What `format` cannot hold of `set`.
pub fn loss(set: &DataSet, format: Format) -> Loss {
    let mut loss = Loss::default();
    for picture in &set.pictures {
        let mut rounded = false;
        for object in &picture.objects {
            let is_box = matches!(object.outline, Outline::Box(_));
            let rect = object.outline.rect();
            match format {
                Format::Yolo => {
                    if object.score.is_some() || !object.doubt.is_empty() {
                        loss.add("scores and doubts are in ocellus.jsonl, label files have none");
                    }
                    if yolo::line(object, picture.size, false).is_none() {
                        loss.add("objects outside of their picture are left out");
                    }
                    if is_box && set.has_polygons() {
                        loss.add("boxes became polygons of four corners: trainers refuse both in one data set");
                    }
                }
                Format::Voc => {
                    if !is_box {
                        loss.add("polygons became boxes");
                    }
                    rounded |= <[f32; 4]>::from(rect).iter().any(|v| (v - v.round()).abs() > EXACT);
                    if !object.doubt.is_empty() {
                        loss.add("doubts are left out");
                    }
                }
                Format::Coco | Format::AnyLabeling | Format::LabelStudio => {}
            }
        }
        if rounded {
            loss.add("pictures have boxes that were rounded to whole pixels");
        }
    }
    loss
}

/// Writes a data set in `format` into `folder`. Returns the pictures, by their place, that could not be copied.
pub fn write(
    folder: &Path,
    format: Format,
    located: Located,
    link: bool,
    options: Options,
) -> Result<Vec<(usize, Error)>> {
    let Located { set, places, .. } = located;
    if format == Format::Yolo {
        return Ok(saving::write(folder, &set.classes, set.pictures, &places, link, options)?.troubles);
    }
    let DataSet { classes, mut pictures } = set;
    let names = pictures::unique(pictures.iter().map(|p| p.file.as_str()));
    let mut troubles = Vec::new();
    let mut copied = Vec::new();
    let progress = batch::progress(pictures.len() as u64, options.quiet, "pictures copied");
    for (i, (name, picture)) in names.into_iter().zip(&mut pictures).enumerate() {
        let part = picture.split.map(|s| format!("{}/", s.name())).unwrap_or_default();
        let images = match format {
            Format::Voc => "JPEGImages/".to_string(),
            Format::AnyLabeling => part.clone(),
            _ => format!("images/{part}"),
        };
        picture.file = match format {
            // As Label Studio wants it: below its document root.
            Format::LabelStudio => format!("{images}{name}"),
            Format::Coco => format!("{part}{name}"),
            _ => name.clone(),
        };
        output::check_folder(&folder.join(&images))?;
        match pictures::place(&places[i].source, &folder.join(format!("{images}{name}")), link) {
            Ok(()) => copied.push(i),
            Err(error) => troubles.push((i, error)),
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    let polygons = pictures.iter().flat_map(|p| &p.objects).any(|o| matches!(o.outline, Outline::Polygon(_)));
    let pictures: Vec<Picture> = copied.into_iter().map(|i| std::mem::replace(&mut pictures[i], empty())).collect();
    match format {
        Format::Voc => write_voc(folder, &pictures, &classes)?,
        Format::AnyLabeling => {
            for picture in &pictures {
                let part = picture.split.map_or("", Split::name);
                let file = folder.join(part).join(&picture.file).with_extension("json");
                output::write_file(&file, anylabeling::write(picture, &classes)?.as_bytes())?;
            }
        }
        Format::LabelStudio => {
            let config = label_studio::config(&classes, polygons);
            output::write_file(&folder.join("label_config.xml"), config.as_bytes())?;
            let tasks = label_studio::write(&pictures, &classes)?;
            output::write_file(&folder.join("tasks.json"), tasks.as_bytes())?;
        }
        _ => {
            let mut parts: BTreeMap<Option<Split>, Vec<&Picture>> = BTreeMap::new();
            pictures.iter().for_each(|p| parts.entry(p.split).or_default().push(p));
            output::check_folder(&folder.join("annotations"))?;
            for (part, pictures) in parts {
                let name = part.map_or("instances.json".into(), |p| format!("instances_{}.json", p.name()));
                let text = coco::write(pictures, &classes)?;
                output::write_file(&folder.join("annotations").join(name), text.as_bytes())?;
            }
        }
    }
    if format != Format::Coco {
        // These files do not say in which order the classes are numbered.
        output::write_file(&folder.join(CLASSES), (classes.join("\n") + "\n").as_bytes())?;
    }
    Ok(troubles)
}

fn empty() -> Picture {
    Picture { file: String::new(), size: (0, 0), split: None, objects: Vec::new() }
}

fn write_voc(folder: &Path, pictures: &[Picture], classes: &[String]) -> Result<()> {
    let (annotations, sets) = (folder.join("Annotations"), folder.join("ImageSets").join("Main"));
    output::check_folder(&annotations)?;
    let mut parts: BTreeMap<Split, String> = BTreeMap::new();
    for picture in pictures {
        let file = annotations.join(&picture.file).with_extension("xml");
        output::write_file(&file, voc::write(picture, classes).as_bytes())?;
        let stem = Path::new(&picture.file).file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(split) = picture.split {
            *parts.entry(split).or_default() += &format!("{stem}\n");
        }
    }
    if !parts.is_empty() {
        output::check_folder(&sets)?;
    }
    for (split, list) in parts {
        output::write_file(&sets.join(format!("{}.txt", split.name())), list.as_bytes())?;
    }
    Ok(())
}
