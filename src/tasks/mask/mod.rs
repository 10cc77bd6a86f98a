//! Masks of people and other objects: which pixels of a photograph belong to them.

mod people;
mod shape;

use crate::error::{Error, Result};
use crate::geometry::Rect;
use crate::image::Image;
use crate::models::Model;
use crate::postprocess::detection::{Detection, Params};
use crate::postprocess::masks::Cutout;
use crate::postprocess::nms::{Overlap, Scored, better_first, nms};
use crate::tasks::detect::{Detector, SAME_ACROSS_TILES, Tiles};
use image::GrayImage;
use people::Cutter;

/// A box that comes this close to the left or right border of a panorama may be cut by it, pixels.
const AT_BORDER: f32 = 2.0;

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
    /// Soften its edge over this many pixels.
    pub feather: u8,
    /// The picture is a 360-degree panorama: its left and right borders are neighbours.
    pub equirect: bool,
}

/// An object that was masked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Object {
    /// Its class, score and box. In a panorama the box of an object across the seam ends beyond the right border.
    pub detection: Detection,
    /// Number of its pixels.
    pub area: usize,
}

impl Scored for Object {
    fn detection(&self) -> &Detection {
        &self.detection
    }
}

/// The mask of a picture.
#[derive(Debug, Clone)]
pub struct Masked {
    /// Of the picture's size: 255 where an object is, 0 elsewhere, between on soft edges.
    pub mask: GrayImage,
    /// What was masked, best first.
    pub objects: Vec<Object>,
}

impl Masked {
    /// The share of the picture that is masked, 0 to 1.
    pub fn share(&self) -> f32 {
        let sum: u64 = self.mask.as_raw().iter().map(|&v| u64::from(v)).sum();
        (sum as f64 / 255.0 / self.mask.as_raw().len().max(1) as f64) as f32
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
        let mut found = self.find(photo, options)?;
        found.iter().for_each(|(_, cutout)| paint(&mut mask, cutout, 0));
        if options.equirect {
            // What the seam cuts is whole in the panorama turned by half a circle.
            let half = width / 2;
            let mut across = self.find(&photo.rolled(half), options)?;
            across.retain(|(d, _)| d.rect.x1 < (width - half) as f32 && d.rect.x2 > (width - half) as f32);
            for (detection, cutout) in &mut across {
                paint(&mut mask, cutout, half);
                detection.rect = detection.rect.moved(half as f32, 0.0);
            }
            found.retain(|(d, _)| !across.iter().any(|(whole, _)| is_part(&d.rect, &whole.rect, width as f32)));
            found.extend(across);
        }
        let objects = found.iter().map(|(detection, cutout)| Object { detection: *detection, area: cutout.area() });
        // Parts of one object in neighbouring tiles are all in the mask, and one object in the list.
        let objects = match options.tiles {
            Some(_) => nms(objects.collect(), Overlap::Smaller, SAME_ACROSS_TILES, false, options.params.max_det),
            None => {
                let mut objects: Vec<Object> = objects.collect();
                objects.sort_by(|a, b| better_first(&a.detection, &b.detection));
                objects
            }
        };
        shape::shape(&mut mask, options.dilate, options.feather, options.equirect);
        Ok(Masked { mask, objects })
    }

    fn find(&self, photo: &Image, options: &Options) -> Result<Vec<(Detection, Cutout)>> {
        let mut found = match &self.cutter {
            Some(cutter) => {
                let people = self.detector.detect(photo, &options.params, options.tiles)?;
                people.into_iter().map(|d| Ok((d, cutter.cut(photo, &d.rect)?))).collect::<Result<Vec<_>>>()?
            }
            None => self.detector.segment(photo, &options.params, options.tiles)?,
        };
        found.retain(|(_, cutout)| cutout.area() >= options.min_area.max(1));
        Ok(found)
    }
}

/// Whether `part` lies at a border of a panorama and mostly inside `whole`, which crosses the seam and so ends beyond `width`.
fn is_part(part: &Rect, whole: &Rect, width: f32) -> bool {
    let left = part.x1 < AT_BORDER && Overlap::Smaller.of(&part.moved(width, 0.0), whole) > SAME_ACROSS_TILES;
    let right = part.x2 > width - AT_BORDER && Overlap::Smaller.of(part, whole) > SAME_ACROSS_TILES;
    left || right
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
