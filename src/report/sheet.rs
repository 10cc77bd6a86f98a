//! The contact sheet of duplicates: one HTML page with all its pictures inside.

use super::duplicates::{Group, Member, Totals, bytes, dimensions, likeness};
use crate::dataset::xml::escaped;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::preprocess;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

/// Long side of a thumbnail in pixels.
const THUMBNAIL: u32 = 240;
/// JPEG quality of a thumbnail.
const QUALITY: u8 = 78;

/// The page up to its first group.
pub fn head(totals: &Totals) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Duplicates</title>\n\
         <style>{STYLE}</style></head><body>\n<h1>{} groups of duplicates</h1>\n\
         <p>{} files compared; {} could go ({}). The picture to keep stands first. Nothing was deleted.</p>\n",
        totals.groups,
        totals.files,
        totals.spare,
        bytes(totals.spare_bytes)
    )
}

const STYLE: &str = "body{font:15px/1.4 system-ui,sans-serif;margin:1.5rem;background:#f4f4f2;color:#1b1b1b}\
h1{font-size:1.5rem;margin:0}section{background:#fff;border:1px solid #ddd;border-radius:8px;padding:.8rem 1rem;\
margin:1rem 0}h2{font-size:1rem;margin:0 0 .6rem}h2 span{font-weight:normal;color:#666}\
.files{display:flex;flex-wrap:wrap;gap:.9rem}figure{margin:0;width:240px}\
figure div{height:200px;display:flex;align-items:center;justify-content:center;background:#eee;border-radius:4px}\
figure img{max-width:240px;max-height:200px}figure.keep div{outline:3px solid #2b8a3e}\
figcaption{font-size:.82rem;overflow-wrap:anywhere;margin-top:.3rem}figcaption b{color:#2b8a3e}\
figcaption small{color:#555}";

/// The head of a group.
pub fn open_group(number: usize, group: &Group) -> String {
    let kind = if group.exact() { "exact" } else { "near" };
    let files = group.members.len();
    format!("<section><h2>Group {number} <span>{kind}, {files} files</span></h2><div class=\"files\">\n")
}

/// One file of a group with its thumbnail, or the reason why there is none.
pub fn figure(first: bool, member: &Member, thumbnail: std::result::Result<&str, &str>) -> String {
    let picture = match thumbnail {
        Ok(data) => format!("<img alt=\"\" src=\"{data}\">"),
        Err(reason) => format!("<small>{}</small>", escaped(reason)),
    };
    let (class, what) = match first {
        true => (" class=\"keep\"", "<b>keep</b>".to_string()),
        false => ("", likeness(member)),
    };
    format!(
        "<figure{class}><div>{picture}</div><figcaption>{what}<br><small>{}</small><br>{}</figcaption></figure>\n",
        dimensions(member),
        escaped(&member.path.to_string_lossy())
    )
}

/// The end of a group.
pub const CLOSE_GROUP: &str = "</div></section>\n";
/// The end of the page.
pub const FOOT: &str = "</body></html>\n";

/// A small JPEG of `photo` as a data URI.
pub fn thumbnail(photo: &Image) -> Result<String> {
    let scale = THUMBNAIL as f32 / photo.width().max(photo.height()) as f32;
    let side = |n: u32| ((n as f32 * scale.min(1.0)).round() as u32).max(1);
    let small = preprocess::resize(photo, side(photo.width()), side(photo.height()))?;
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
        .encode(small.data(), small.width(), small.height(), ExtendedColorType::Rgb8)
        .map_err(|e| Error::Internal(format!("a thumbnail: {e}")))?;
    Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)))
}
