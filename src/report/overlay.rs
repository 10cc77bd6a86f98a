//! Draws an inspection over its photograph: heat, regions, defects, verdict.

use crate::error::{Error, Result};
use crate::geometry::Rect;
use crate::image::Image;
use crate::report::{heat, json};
use crate::tasks::inspect::{Inspection, RegionResult, Verdict};
use ab_glyph::{FontRef, PxScale};
use image::{ImageEncoder, Rgb, RgbImage};
use imageproc::drawing::{draw_filled_rect_mut, draw_polygon_mut, draw_text_mut, text_size};
use imageproc::point::Point;

static FONT: &[u8] = include_bytes!("../../models/fonts/DejaVuSans-Bold-latin.ttf");

const GREEN: Rgb<u8> = Rgb([30, 170, 60]);
const RED: Rgb<u8> = Rgb([225, 30, 30]);
const WHITE: Rgb<u8> = Rgb([255, 255, 255]);

/// `photo` with the heat map of each region, its outline and name, a box around each defect, and the verdict on top.
pub fn inspection(photo: &Image, result: &Inspection) -> Result<Image> {
    let failed = || Error::Internal("drawing an overlay".into());
    let (width, height) = (photo.width(), photo.height());
    let mut canvas = RgbImage::from_raw(width, height, photo.data().to_vec()).ok_or_else(failed)?;
    let font = FontRef::try_from_slice(FONT).map_err(|_| failed())?;
    // Lines and letters grow with the picture, so that a 12-megapixel photograph is as readable as a small one.
    let line = (width.max(height) / 400).max(1) as i32;
    let letters = (height as f32 / 24.0).clamp(12.0, 160.0);
    for region in &result.regions {
        draw_heat(&mut canvas, result, region);
    }
    for region in &result.regions {
        let colour = if region.verdict == Verdict::Pass { GREEN } else { RED };
        outline(&mut canvas, &region.outline, line, colour);
        for defect in &region.defects {
            outline(&mut canvas, &grown(&defect.rect, line as f32 * 2.0).corners(), line, WHITE);
            outline(&mut canvas, &grown(&defect.rect, line as f32).corners(), line, RED);
        }
    }
    // Names after all lines, so that none is crossed out.
    for region in &result.regions {
        let colour = if region.verdict == Verdict::Pass { GREEN } else { RED };
        let text = format!("{} {:.2}/{:.2}", region.name, region.score, region.threshold);
        let at = region.outline.iter().fold((f32::MAX, f32::MIN), |(x, y), p| (x.min(p.0), y.max(p.1)));
        let size = PxScale::from(letters * 0.7);
        // Below the region, where it hides nothing of it; at the lower edge of the picture it moves up.
        label(&mut canvas, &font, size, (at.0, at.1 + line as f32), &text, colour);
    }
    let colour = if result.verdict == Verdict::Pass { GREEN } else { RED };
    let banner = json::verdict(result.verdict).to_uppercase();
    label(&mut canvas, &font, PxScale::from(letters * 1.4), (line as f32, line as f32), &banner, colour);
    Image::new(width, height, canvas.into_raw())
}

/// Encodes a picture as PNG.
pub fn png(image: &Image) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    image::codecs::png::PngEncoder::new(&mut bytes)
        .write_image(image.data(), image.width(), image.height(), image::ExtendedColorType::Rgb8)
        .map_err(|e| Error::Internal(format!("writing PNG: {e}")))?;
    Ok(bytes)
}

/// Tints the pixels of a region by their score; the threshold is where the colour begins to be red.
fn draw_heat(canvas: &mut RgbImage, result: &Inspection, region: &RegionResult) {
    let Some(map) = &region.heat else { return };
    let back = result.transform().inverse();
    let bounds = result.transform().map_rect(&map.rect).clip(canvas.width(), canvas.height());
    let (gain_x, gain_y) = (map.cells.width as f32 / map.rect.width(), map.cells.height as f32 / map.rect.height());
    for y in bounds.y1 as u32..bounds.y2 as u32 {
        for x in bounds.x1 as u32..bounds.x2 as u32 {
            let (u, v) = back.apply((x as f32 + 0.5, y as f32 + 0.5));
            if u < map.rect.x1 || v < map.rect.y1 || u > map.rect.x2 || v > map.rect.y2 {
                continue;
            }
            let score = map.cells.sample((u - map.rect.x1) * gain_x, (v - map.rect.y1) * gain_y);
            let (colour, opacity) = heat::colour(score / (1.25 * region.threshold).max(f32::MIN_POSITIVE));
            if opacity > 0.0 {
                let pixel = canvas.get_pixel_mut(x, y);
                for (value, heat) in pixel.0.iter_mut().zip(colour) {
                    *value = (*value as f32 * (1.0 - opacity) + heat as f32 * opacity) as u8;
                }
            }
        }
    }
}

fn grown(r: &Rect, by: f32) -> Rect {
    Rect { x1: r.x1 - by, y1: r.y1 - by, x2: r.x2 + by, y2: r.y2 + by }
}

/// The sides of a quadrilateral, `line` pixels wide.
fn outline(canvas: &mut RgbImage, corners: &[(f32, f32); 4], line: i32, colour: Rgb<u8>) {
    for i in 0..4 {
        let (a, b) = (corners[i], corners[(i + 1) % 4]);
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        let half = line as f32 / 2.0 / dx.hypot(dy).max(1e-3);
        let (nx, ny) = (-dy * half, dx * half);
        let quad = [(a.0 + nx, a.1 + ny), (b.0 + nx, b.1 + ny), (b.0 - nx, b.1 - ny), (a.0 - nx, a.1 - ny)];
        let mut points: Vec<Point<i32>> =
            quad.iter().map(|p| Point::new(p.0.round() as i32, p.1.round() as i32)).collect();
        points.dedup();
        while points.len() > 1 && points.first() == points.last() {
            points.pop();
        }
        if points.len() > 1 {
            draw_polygon_mut(canvas, &points, colour);
        }
    }
}

/// White letters on a plate of `colour`, moved inside the picture if need be.
fn label(canvas: &mut RgbImage, font: &FontRef, size: PxScale, at: (f32, f32), text: &str, colour: Rgb<u8>) {
    let (w, h) = text_size(size, font, text);
    let pad = (size.y / 6.0).ceil() as u32;
    let (plate_w, plate_h) = (w + 2 * pad, (h.max(size.y as u32)) + pad);
    let x = (at.0.max(0.0) as u32).min(canvas.width().saturating_sub(plate_w)) as i32;
    let y = (at.1.max(0.0) as u32).min(canvas.height().saturating_sub(plate_h)) as i32;
    draw_filled_rect_mut(canvas, imageproc::rect::Rect::at(x, y).of_size(plate_w, plate_h), colour);
    draw_text_mut(canvas, WHITE, x + pad as i32, y + pad as i32 / 2, size, font, text);
}
