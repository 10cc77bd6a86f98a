//! Draws an inspection over its photograph: heat, regions, defects, verdict.

use crate::error::Result;
use crate::image::Image;
use crate::report::draw::{Canvas, WHITE, blend};
use crate::report::{heat, json};
use crate::tasks::inspect::{Inspection, RegionResult, Verdict};
use image::Rgb;

const GREEN: Rgb<u8> = Rgb([30, 170, 60]);
const RED: Rgb<u8> = Rgb([225, 30, 30]);

/// `photo` with the heat map of each region, its outline and name, a box around each defect, and the verdict on top.
pub fn inspection(photo: &Image, result: &Inspection) -> Result<Image> {
    let mut canvas = Canvas::new(photo)?;
    let (line, letters) = (canvas.line as f32, canvas.letters);
    for region in &result.regions {
        draw_heat(&mut canvas, result, region);
    }
    for region in &result.regions {
        let colour = if region.verdict == Verdict::Pass { GREEN } else { RED };
        canvas.outline(&region.outline, colour);
        for defect in &region.defects {
            canvas.outline(&defect.rect.grown(line * 2.0).corners(), WHITE);
            canvas.outline(&defect.rect.grown(line).corners(), RED);
        }
    }
    // Names after all lines, so that none is crossed out.
    for region in &result.regions {
        let colour = if region.verdict == Verdict::Pass { GREEN } else { RED };
        let text = format!("{} {:.2}/{:.2}", region.name, region.score, region.threshold);
        let at = region.outline.iter().fold((f32::MAX, f32::MIN), |(x, y), p| (x.min(p.0), y.max(p.1)));
        // Below the region, where it hides nothing of it; at the lower edge of the picture it moves up.
        canvas.label(letters * 0.7, (at.0, at.1 + line), &text, colour);
    }
    let colour = if result.verdict == Verdict::Pass { GREEN } else { RED };
    let banner = json::verdict(result.verdict).to_uppercase();
    canvas.label(letters * 1.4, (line, line), &banner, colour);
    canvas.finish()
}

/// Tints the pixels of a region by their score; the threshold is where the colour begins to be red.
fn draw_heat(canvas: &mut Canvas, result: &Inspection, region: &RegionResult) {
    let Some(map) = &region.heat else { return };
    let back = result.transform().inverse();
    let bounds = result.transform().map_rect(&map.rect).clip(canvas.picture.width(), canvas.picture.height());
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
                blend(canvas.picture.get_pixel_mut(x, y), colour, opacity);
            }
        }
    }
}
