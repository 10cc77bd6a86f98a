//! Detections as pictures and in the file formats of annotation tools.

use super::draw::{Canvas, blend, class_colour};
use crate::dataset::xml::escaped;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::postprocess::detection::Detection;
use image::GrayImage;
use serde_json::{Value, json};
use std::fmt::Write;

/// Magenta.
const TINT: [u8; 3] = [255, 0, 220];

/// Letters of fewer pixels are hard to read.
const SMALLEST_LETTERS: f32 = 12.0;

/// `photo` with a box around each object and its label and score above it.
pub fn overlay(photo: &Image, detections: &[Detection], labels: &[String]) -> Result<Image> {
    let mut canvas = Canvas::new(photo)?;
    // Where most objects are small, as on a drawing, letters must not hide their neighbours.
    let mut sides: Vec<f32> = detections.iter().map(|d| d.rect.area().max(0.0).sqrt()).collect();
    sides.sort_by(f32::total_cmp);
    let side = sides.get(sides.len() / 2).copied().unwrap_or(f32::MAX);
    let size = (canvas.letters * 0.6).min(side * 0.3).max(SMALLEST_LETTERS);
    canvas.line = canvas.line.min((side / 24.0) as i32).max(1);
    // The best last, so that nothing covers them.
    for d in detections.iter().rev() {
        canvas.outline(&d.rect.corners(), class_colour(d.class));
    }
    for d in detections.iter().rev() {
        let text = format!("{} {:.2}", label(labels, d.class), d.score);
        let y = d.rect.y1 - Canvas::plate_height(size);
        // At the upper edge of the picture there is no room above: inside then.
        let y = if y < 0.0 { d.rect.y1 } else { y };
        canvas.label(size, (d.rect.x1, y), &text, class_colour(d.class));
    }
    canvas.finish()
}

/// `photo` tinted where `mask` is, in a colour that photographs seldom have.
pub fn tinted(photo: &Image, mask: &GrayImage) -> Result<Image> {
    let mut canvas = Canvas::new(photo)?;
    for (pixel, mask) in canvas.picture.pixels_mut().zip(mask.pixels()) {
        blend(pixel, TINT, 0.55 * f32::from(mask.0[0]) / 255.0);
    }
    canvas.finish()
}

/// The name of a class.
pub fn label(labels: &[String], class: usize) -> &str {
    labels.get(class).map_or("?", String::as_str)
}

/// The detections in one picture.
#[derive(Debug, Clone)]
pub struct Found<'a> {
    /// Path of the picture.
    pub path: &'a str,
    /// Its width and height in pixels.
    pub size: (u32, u32),
    /// What was found.
    pub detections: &'a [Detection],
}

/// Ultralytics' label file: a line an object with class, centre, width and height as shares of the picture.
pub fn yolo(found: &Found) -> String {
    let (w, h) = (found.size.0 as f32, found.size.1 as f32);
    let mut text = String::new();
    for d in found.detections {
        let r = &d.rect;
        let (x, y) = ((r.x1 + r.x2) / 2.0 / w, (r.y1 + r.y2) / 2.0 / h);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} {x:.6} {y:.6} {:.6} {:.6}", d.class, r.width() / w, r.height() / h);
    }
    text
}

/// Pascal VOC's annotation file, pixels counted from 0.
pub fn voc(found: &Found, labels: &[String]) -> String {
    let name = std::path::Path::new(found.path).file_name().map_or("".into(), |n| n.to_string_lossy());
    let (width, height) = found.size;
    let mut text = format!(
        "<annotation>\n  <folder></folder>\n  <filename>{}</filename>\n  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n",
        escaped(&name)
    );
    for d in found.detections {
        let [x1, y1, x2, y2] = <[f32; 4]>::from(d.rect).map(f32::round);
        let _ = writeln!(
            text,
            "  <object><name>{}</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>\
             <score>{:.4}</score>\
             <bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>",
            escaped(label(labels, d.class)),
            d.score
        );
    }
    text + "</annotation>\n"
}

/// The head of the CSV file that [`csv`] makes lines for.
pub const CSV_HEAD: &str = "path,label,class,score,x1,y1,x2,y2\n";

/// A line an object, in source pixels.
pub fn csv(found: &Found, labels: &[String]) -> String {
    let quoted = |text: &str| match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_string(),
    };
    let mut text = String::new();
    for d in found.detections {
        let (path, name) = (quoted(found.path), quoted(label(labels, d.class)));
        let [x1, y1, x2, y2] = <[f32; 4]>::from(d.rect);
        let _ = writeln!(text, "{path},{name},{},{:.4},{x1:.2},{y1:.2},{x2:.2},{y2:.2}", d.class, d.score);
    }
    text
}

/// A COCO data set under construction. Categories are numbered from 1: 0 is the background there.
#[derive(Debug, Default)]
pub struct Coco {
    images: Vec<Value>,
    annotations: Vec<Value>,
}

impl Coco {
    /// Adds a picture and its objects.
    pub fn add(&mut self, found: &Found) {
        let image = self.images.len() + 1;
        self.images.push(json!({
            "id": image, "file_name": found.path, "width": found.size.0, "height": found.size.1,
        }));
        for d in found.detections {
            let r = &d.rect;
            let cut = |v: f32| (f64::from(v) * 100.0).round() / 100.0;
            self.annotations.push(json!({
                "id": self.annotations.len() + 1, "image_id": image, "category_id": d.class + 1, "iscrowd": 0,
                "bbox": [cut(r.x1), cut(r.y1), cut(r.width()), cut(r.height())], "area": cut(r.area()),
                "score": (f64::from(d.score) * 1e4).round() / 1e4,
            }));
        }
    }

    /// The whole file.
    pub fn finish(self, labels: &[String]) -> Result<String> {
        let category = |(i, name): (usize, &String)| json!({ "id": i + 1, "name": name });
        let categories: Vec<Value> = labels.iter().enumerate().map(category).collect();
        let all = json!({ "images": self.images, "annotations": self.annotations, "categories": categories });
        serde_json::to_string(&all).map_err(|e| Error::Internal(format!("writing JSON: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Rect;

    #[test]
    fn formats() {
        let detections = [Detection { class: 1, score: 0.5, rect: Rect::from_xywh(10.0, 20.0, 40.0, 20.0) }];
        let found = Found { path: "a,b.jpg", size: (100, 200), detections: &detections };
        let labels = ["x".to_string(), "a<b".to_string()];
        assert_eq!(yolo(&found), "1 0.300000 0.150000 0.400000 0.100000\n");
        assert_eq!(csv(&found, &labels), "\"a,b.jpg\",a<b,1,0.5000,10.00,20.00,50.00,40.00\n");
        assert!(voc(&found, &labels).contains("<name>a&lt;b</name>"));
        let mut coco = Coco::default();
        coco.add(&found);
        let all: Value = serde_json::from_str(&coco.finish(&labels).unwrap()).unwrap();
        assert_eq!(all["annotations"][0]["bbox"], json!([10.0, 20.0, 40.0, 20.0]));
        assert_eq!(all["categories"][1]["id"], all["annotations"][0]["category_id"]);
    }
}
