//! The review page: one HTML file with a small picture of every labelled object, on which a person decides about each.
//!
//! The page comes in pieces, a picture's objects at a time, in the order of the pictures; grouping by class and sorting by
//! doubt is done by the page itself, so that nothing piles up here.

use crate::dataset::{Object, Outline};
use crate::error::{Error, Result};
use crate::geometry::Rect;
use crate::image::Image;
use crate::preprocess;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use serde::Serialize;
use serde_json::{Value, json};

const PAGE: &str = include_str!("review/page.html");
const STYLE: &str = include_str!("review/review.css");
const SCRIPT: &str = include_str!("review/review.js");

/// Long side of an object's picture in pixels.
const CROP: u32 = 240;
/// Most bytes of an object's picture, before base64 makes a third more of them.
const CROP_BYTES: usize = 4000;
/// Long sides in which a whole picture is tried, and bytes that each of its objects gives to it.
const WHOLE: [u32; 6] = [1600, 1200, 900, 640, 420, 240];
const WHOLE_BYTES: usize = 1200;
/// A whole picture may always have this many bytes, and never more than that.
const WHOLE_BOUNDS: (usize, usize) = (6000, 150_000);
/// Pixels around an object that are shown with it: a share of its longer side, and at least so many.
const AROUND: (f32, f32) = (0.5, 24.0);
/// JPEG quality.
const QUALITY: u8 = 70;
/// Distance of the levels of gray in PNG: sixteen of them are enough for line drawings and pack well.
const LEVELS: u32 = 17;
/// Channels that differ by less are noise of a gray picture.
const COLOURLESS: u8 = 24;

/// What the page knows of the data set.
#[derive(Debug, Serialize)]
pub struct Head<'a> {
    /// Its name, for the title.
    pub name: &'a str,
    /// Its fingerprint: decisions are kept under it.
    pub dataset: &'a str,
    /// Names of the classes.
    pub classes: &'a [String],
    /// The folder as it is named on the command line.
    pub folder: &'a str,
}

/// The page up to its first picture.
pub fn head(head: &Head) -> Result<String> {
    let before = PAGE.split_once(DATA).map_or(PAGE, |(before, _)| before);
    let page = before.replace("/* style */", STYLE);
    Ok(format!("{page}{}", data("head", &json!(head))))
}

/// The end of the page.
pub fn foot() -> String {
    PAGE.split_once(DATA).map_or("", |(_, after)| after).replace("/* script */", SCRIPT)
}

/// Where the data stand in the page.
const DATA: &str = "<!-- data -->\n";

/// A value that the script reads. Nothing in it can end the element: `<` is written as an escape.
fn data(kind: &str, value: &Value) -> String {
    format!(
        "<script type=\"application/json\" class=\"{kind}\">{}</script>\n",
        value.to_string().replace('<', "\\u003c")
    )
}

/// What the page shows.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Objects.
    pub objects: usize,
    /// Classes that these are of.
    pub classes: usize,
    /// Pictures that these are in.
    pub pictures: usize,
    /// Objects with a doubt.
    pub doubts: usize,
    /// Pictures that could not be read; their objects are on the page without a picture.
    pub failed: usize,
}

impl Shown {
    /// In one line, for the page at `path`.
    pub fn text(&self, path: &str) -> String {
        let Shown { objects, classes, pictures, doubts, failed } = self;
        let failed = if *failed > 0 { format!("; {failed} pictures could not be read") } else { String::new() };
        format!("{path}: {objects} objects of {classes} classes in {pictures} pictures, {doubts} doubted{failed}")
    }
}

/// What is shown of a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Views {
    /// The whole picture as a data URI.
    pub whole: String,
    /// For each object what part of the picture is shown, in pixels, and that part as a data URI.
    pub crops: Vec<(Rect, String)>,
}

/// Pictures of `objects`, and of all of `photo`.
pub fn views(photo: &Image, objects: &[&Object]) -> Result<Views> {
    let crops = objects.iter().map(|o| crop(photo, &o.outline.rect())).collect::<Result<_>>()?;
    let most = (objects.len() * WHOLE_BYTES).clamp(WHOLE_BOUNDS.0, WHOLE_BOUNDS.1);
    let mut whole = Vec::new();
    for side in WHOLE {
        // A longer side is not worth trying where the picture has fewer pixels.
        if side / 2 < photo.width().max(photo.height()) || whole.is_empty() {
            whole = encode(&shrunk(photo, side)?)?;
        }
        if !whole.is_empty() && whole.len() <= most {
            break;
        }
    }
    Ok(Views { whole: uri(&whole), crops })
}

/// The surroundings of `rect`, which are shown, and a picture of them.
fn crop(photo: &Image, rect: &Rect) -> Result<(Rect, String)> {
    let (width, height) = (photo.width(), photo.height());
    let by = (rect.width().max(rect.height()) * AROUND.0).max(AROUND.1);
    // Something of the picture is shown of a box that lies outside of it, too.
    let low = |v: f32, most: u32| (v - by).floor().clamp(0.0, (most - 1) as f32) as u32;
    let high = |v: f32, from: u32, most: u32| ((v + by).ceil().clamp(0.0, most as f32) as u32).max(from + 1);
    let (x, y) = (low(rect.x1, width), low(rect.y1, height));
    let (w, h) = (high(rect.x2, x, width) - x, high(rect.y2, y, height) - y);
    let part = photo.crop(x, y, w, h)?;
    let mut side = CROP;
    let mut bytes = encode(&shrunk(&part, side)?)?;
    while bytes.len() > CROP_BYTES && side > CROP / 4 {
        side = side * 4 / 5;
        bytes = encode(&shrunk(&part, side)?)?;
    }
    Ok((Rect::from_xywh(x as f32, y as f32, w as f32, h as f32), uri(&bytes)))
}

/// The picture with its longer side at most `side`.
fn shrunk(image: &Image, side: u32) -> Result<Image> {
    let scale = (side as f32 / image.width().max(image.height()) as f32).min(1.0);
    let of = |n: u32| ((n as f32 * scale).round() as u32).max(1);
    preprocess::resize(image, of(image.width()), of(image.height()))
}

/// As PNG with few levels or as JPEG, whichever is smaller; in gray where there is no colour.
fn encode(image: &Image) -> Result<Vec<u8>> {
    let failed = |e: image::ImageError| Error::Internal(format!("a picture of the review page: {e}"));
    let (width, height) = (image.width(), image.height());
    let coloured = |p: &&[u8]| p.iter().max().unwrap_or(&0) - p.iter().min().unwrap_or(&0) > COLOURLESS;
    let gray = image.data().chunks_exact(3).filter(coloured).count() * 500 < image.data().len() / 3;
    let (data, kind) = match gray {
        true => (image.to_gray().data.iter().map(|v| v.round() as u8).collect(), ExtendedColorType::L8),
        false => (image.data().to_vec(), ExtendedColorType::Rgb8),
    };
    let levels: Vec<u8> = data.iter().map(|&v| ((u32::from(v) + LEVELS / 2) / LEVELS * LEVELS) as u8).collect();
    let mut png = Vec::new();
    PngEncoder::new_with_quality(&mut png, CompressionType::Default, FilterType::NoFilter)
        .write_image(&levels, width, height, kind)
        .map_err(failed)?;
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode(&data, width, height, kind).map_err(failed)?;
    Ok(if png.len() <= jpeg.len() { png } else { jpeg })
}

fn uri(bytes: &[u8]) -> String {
    let kind = if bytes.starts_with(&[0xff, 0xd8]) { "jpeg" } else { "png" };
    format!("data:image/{kind};base64,{}", STANDARD.encode(bytes))
}

/// A picture with the objects to decide about; `others` are boxes that are only drawn, or the reason why there is nothing to
/// be seen.
pub fn picture(
    file: &str,
    size: (u32, u32),
    objects: &[&Object],
    others: &[Rect],
    views: std::result::Result<&Views, &str>,
) -> String {
    let shown = |(i, o): (usize, &&Object)| {
        let mut value = json!({ "class": o.class, "box": sides(&o.outline.rect()), "origin": o.origin.name() });
        if let Outline::Polygon(points) = &o.outline {
            value["polygon"] = points.iter().map(|&(x, y)| json!([hundredths(x), hundredths(y)])).collect();
        }
        if let Some(score) = o.score {
            value["score"] = json!((f64::from(score) * 1e4).round() / 1e4);
        }
        if !o.doubt.is_empty() {
            value["doubt"] = json!(o.doubt);
        }
        if let Some((part, picture)) = views.ok().and_then(|v| v.crops.get(i)) {
            value["crop"] = json!(sides(part));
            value["picture"] = json!(picture);
        }
        value
    };
    let mut value = json!({
        "file": file, "size": [size.0, size.1],
        "objects": objects.iter().enumerate().map(shown).collect::<Vec<_>>(),
        "others": others.iter().map(sides).collect::<Vec<_>>(),
    });
    match views {
        Ok(views) => value["whole"] = json!(views.whole),
        Err(reason) => value["error"] = json!(reason),
    }
    data("picture", &value)
}

fn sides(rect: &Rect) -> [f64; 4] {
    <[f32; 4]>::from(*rect).map(hundredths)
}

fn hundredths(v: f32) -> f64 {
    (f64::from(v) * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sheet with thin lines, or noise, which no encoder makes small.
    fn sheet(width: u32, height: u32, noise: bool) -> Image {
        let mut state = 1u32;
        let data = (0..width * height * 3).map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (x, y) = (i / 3 % width, i / 3 / width);
            match noise {
                true => (state >> 24) as u8,
                false => {
                    if x % 40 == 0 || y % 40 < 2 {
                        30
                    } else {
                        255
                    }
                }
            }
        });
        Image::new(width, height, data.collect()).unwrap()
    }

    fn boxed(sides: [f32; 4]) -> Object {
        Object::new(0, Outline::Box(sides.into()))
    }

    #[test]
    fn pictures_stay_small() {
        for noise in [false, true] {
            let photo = sheet(1000, 700, noise);
            let objects =
                [[100.0, 100.0, 160.0, 150.0], [0.0, 0.0, 1000.0, 700.0], [500.0, 300.0, 502.0, 300.0]].map(boxed);
            let views = views(&photo, &objects.each_ref()).unwrap();
            assert!(views.whole.len() < if noise { 40_000 } else { 8200 }, "{}", views.whole.len());
            for (_, picture) in &views.crops {
                assert!(picture.len() < 6000, "{}", picture.len());
                assert_eq!(picture.starts_with("data:image/jpeg"), noise);
            }
            assert_eq!(views.crops[0].0, [70.0, 70.0, 190.0, 180.0].into());
        }
    }

    #[test]
    fn boxes_outside_of_the_picture_are_shown_somehow() {
        let photo = sheet(50, 40, false);
        let far =
            [[-90.0, -90.0, -80.0, -80.0], [400.0, 300.0, 500.0, 400.0], [1e9, -1e9, 1e9, 1e9], [9.0, 9.0, 8.0, 8.0]];
        let objects = far.map(boxed);
        let views = views(&photo, &objects.each_ref()).unwrap();
        for (part, _) in &views.crops {
            assert!(part.width() >= 1.0 && part.height() >= 1.0 && part.clip(50, 40) == *part, "{part:?}");
        }
        let tiny = Image::new(1, 1, vec![9; 3]).unwrap();
        assert!(super::views(&tiny, &objects.each_ref()).is_ok());
    }

    #[test]
    fn no_name_breaks_out_of_the_page() {
        let classes = ["</script><b>\"'&\u{1F600}".to_string()];
        let head = head(&Head { name: "</title>", dataset: "0", classes: &classes, folder: "<!--<script>" }).unwrap();
        let part = picture("<!--<script>.png", (1, 1), &[&boxed([0.0; 4])], &[], Err("</script>"));
        let page = format!("{head}{part}{}", foot());
        let opened = page.matches("<script").count();
        assert_eq!((opened, page.matches("</script>").count()), (3, 3), "{part}");
        assert!(!page.contains("<!--") && page.trim_end().ends_with("</html>"));
        let json = part.split_once('>').unwrap().1.trim_end().strip_suffix("</script>").unwrap();
        let value: Value = serde_json::from_str(json).unwrap();
        assert_eq!(value["file"], "<!--<script>.png");
        // Nothing is fetched from anywhere; the address of SVG is but a name.
        let page = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("url("), "an address");
    }
}
