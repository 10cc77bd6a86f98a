//! Masks of people and other objects: which pixels of a photograph belong to them.

mod people;
mod shape;

use crate::error::{Error, Result};
use crate::geometry::Rect;
use crate::image::Image;
use crate::models::Model;
use crate::postprocess::detection::{Detection, Params};
use crate::postprocess::masks::Cutout;
use crate::postprocess::nms::{Overlap, better_first, nms};
use crate::tasks::detect::{Detector, SAME_ACROSS_TILES, Tiles, merge};
use image::GrayImage;
use people::Cutter;

/// A box that comes this close to the left or right border of a panorama may be cut by it, pixels.
const AT_BORDER: f32 = 2.0;

/// Boxes that overlap by more than this IoU are one look at the same person.
const SAME_BOX: f32 = 0.9;

/// What is masked, and how the mask is shaped.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Which objects.
    pub params: Params,
    /// Look at large pictures in pieces as well.
    pub tiles: Option<Tiles>,
    /// Objects of fewer pixels are left out.
    pub min_area: usize,
    /// Grow the mask by this many pixels.
    pub dilate: u8,
    /// Soften its edge over this many pixels, outwards: what is masked stays masked.
    pub feather: u8,
    /// The picture is a 360-degree panorama: its left and right borders are neighbours.
    pub equirect: bool,
}

/// An object that was masked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Object {
    /// Its class, score and box. With tiles the area is that of the mask in the box. In a panorama the box of an object across the seam ends beyond the right border.
    pub detection: Detection,
    /// Number of its pixels.
    pub area: usize,
}

/// The mask of a picture.
#[derive(Debug, Clone)]
pub struct Masked {
    /// Of the picture's size: 255 where an object is, 0 elsewhere, between on soft edges.
    pub mask: GrayImage,
    /// What was masked, best first.
    pub objects: Vec<Object>,
}

/// What is told of a mask: a batch keeps it until its turn comes, and the pixels would fill the memory.
#[derive(Debug, Clone)]
pub struct Summary {
    /// What was masked, best first.
    pub objects: Vec<Object>,
    /// The share of the picture that is masked, 0 to 1.
    pub share: f32,
    /// Whether an older mask was added.
    pub merged: bool,
}

impl Masked {
    /// Without the pixels; `merged` says whether an older mask was added.
    pub fn summary(self, merged: bool) -> Summary {
        let sum: u64 = self.mask.as_raw().iter().map(|&v| u64::from(v)).sum();
        let share = (sum as f64 / 255.0 / self.mask.as_raw().len().max(1) as f64) as f32;
        Summary { objects: self.objects, share, merged }
    }
}

/// Masks pictures; loaded once and shared by threads.
#[derive(Debug)]
pub struct Masker {
    detector: Detector,
    /// Cuts people out of the detector's boxes, where the detector draws no masks itself.
    cutter: Option<Cutter>,
}

impl Masker {
    /// From a detector that draws masks.
    pub fn segmenting(detector: Detector) -> Result<Self> {
        if !detector.has_masks() {
            let message = "it finds boxes but draws no masks; name a -seg model, or none for people";
            return Err(Error::model(detector.id(), message));
        }
        Ok(Masker { detector, cutter: None })
    }

    /// From a detector and a network that cuts a person out of its box (top-down).
    pub fn people(detector: Detector, cutter: &Model) -> Result<Self> {
        Ok(Masker { detector, cutter: Some(Cutter::new(cutter)?) })
    }

    /// The detector whose classes can be masked.
    pub fn detector(&self) -> &Detector {
        &self.detector
    }

    /// Whether it can mask people alone.
    pub fn people_only(&self) -> bool {
        self.cutter.is_some()
    }

    /// The mask of `photo`.
    pub fn mask(&self, photo: &Image, options: &Options) -> Result<Masked> {
        let (width, height) = (photo.width(), photo.height());
        let mut mask = GrayImage::new(width, height);
        let mut across: Vec<Object> = Vec::new();
        if options.equirect {
            // What the seam cuts is whole in the panorama turned by half a circle.
            let half = width / 2;
            let seam = (width - half) as f32;
            self.find(&photo.rolled(half), options, |object, cutout, _| {
                let rect = &object.detection.rect;
                if rect.x1 < seam && rect.x2 > seam {
                    paint(&mut mask, cutout, half);
                    let detection = Detection { rect: rect.moved(half as f32, 0.0), ..object.detection };
                    across.push(Object { detection, ..object });
                }
            })?;
        }
        let mut found = Vec::new();
        let mut parts = Vec::new();
        self.find(photo, options, |object, cutout, cut| {
            if !across.iter().any(|whole| is_part(&object.detection, &whole.detection, width as f32)) {
                paint(&mut mask, cutout, 0);
                found.push(object);
                parts.push((object.detection, cut));
            }
        })?;
        if options.tiles.is_some() {
            // All parts are in the mask, each object is in the list once.
            let area = |d: &Detection| count(&mask, &d.rect);
            let objects = merge(parts, false, usize::MAX);
            found = objects.into_iter().map(|detection| Object { area: area(&detection), detection }).collect();
        }
        found.extend(across);
        found.sort_by(|a, b| better_first(&a.detection, &b.detection));
        shape::shape(&mut mask, options.dilate, options.feather, options.equirect);
        Ok(Masked { mask, objects: found })
    }

    /// Hands `each` the objects of enough pixels, and whether a tile cuts them. Tiles only add to what is seen without.
    fn find(&self, photo: &Image, options: &Options, mut each: impl FnMut(Object, &Cutout, bool)) -> Result<()> {
        let mut one = |detection: Detection, cutout: &Cutout, cut: bool| {
            let area = cutout.area();
            if area >= options.min_area.max(1) {
                each(Object { detection, area }, cutout, cut);
            }
        };
        let params = &options.params;
        match &self.cutter {
            Some(cutter) => {
                let mut people = self.detector.detect(photo, params, None)?;
                if options.tiles.is_some() {
                    people.extend(self.detector.detect(photo, params, options.tiles)?);
                    // The same box twice is one cut-out.
                    people = nms(people, Overlap::Union, SAME_BOX, false, usize::MAX);
                }
                for d in people {
                    one(d, &cutter.cut(photo, &d.rect)?, false);
                }
                Ok(())
            }
            None => self.detector.segment(photo, params, options.tiles, |d, cutout, cut| one(d, &cutout, cut)),
        }
    }
}

/// Whether `part` lies at a border of a panorama and is the part of `whole` on that side. `whole` crosses the seam and so
/// ends beyond `width`.
fn is_part(part: &Detection, whole: &Detection, width: f32) -> bool {
    let inside = |rect: &Rect| rect.intersect(&whole.rect).area() > SAME_ACROSS_TILES * rect.area();
    let left = part.rect.x1 < AT_BORDER && inside(&part.rect.moved(width, 0.0));
    let right = part.rect.x2 > width - AT_BORDER && inside(&part.rect);
    part.class == whole.class && (left || right)
}

/// How many pixels of `mask` in `rect` are set.
fn count(mask: &GrayImage, rect: &Rect) -> usize {
    let r = rect.clip(mask.width(), mask.height());
    let pixels = (r.y1 as u32..r.y2 as u32).flat_map(|y| (r.x1 as u32..r.x2 as u32).map(move |x| (x, y)));
    pixels.filter(|&(x, y)| mask.get_pixel(x, y).0[0] > 0).count()
}

/// Sets the pixels of `cutout`, moved `right` by so many columns around the picture.
fn paint(mask: &mut GrayImage, cutout: &Cutout, right: u32) {
    if cutout.width == 0 {
        return;
    }
    let width = mask.width();
    for (y, row) in cutout.inside.chunks_exact(cutout.width as usize).enumerate() {
        for (x, _) in row.iter().enumerate().filter(|(_, inside)| **inside) {
            mask.put_pixel((cutout.left + x as u32 + right) % width, cutout.top + y as u32, image::Luma([255]));
        }
    }
}
