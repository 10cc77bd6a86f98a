//! A photograph to draw on: lines, boxes, labels in any of the scripts that the embedded fonts have.

use crate::error::{Error, Result};
use crate::image::Image;
use ab_glyph::{Font, FontRef, GlyphId, Point as GlyphPoint, PxScale, ScaleFont};
use image::{ImageEncoder, Rgb, RgbImage};
use imageproc::drawing::{draw_filled_rect_mut, draw_polygon_mut};
use imageproc::point::Point;

/// Latin (with Vietnamese), Greek, Cyrillic; then Chinese and Japanese. A character of neither is drawn as the last font's
/// crossed box, so that it is seen to be missing.
static FONTS: [&[u8]; 2] = [
    include_bytes!("../../models/fonts/DejaVuSans-Bold-latin.ttf"),
    include_bytes!("../../models/fonts/DroidSansFallback-subset.ttf"),
];

/// The colour of plates' letters on dark ground.
pub const WHITE: Rgb<u8> = Rgb([255, 255, 255]);
const BLACK: Rgb<u8> = Rgb([0, 0, 0]);
/// Letters of fewer pixels cannot be read.
const SMALLEST: f32 = 9.0;

/// A photograph that is drawn on. Lines and letters grow with it, so that one of 12 megapixels is as readable as a small one.
pub struct Canvas {
    /// The picture so far.
    pub picture: RgbImage,
    /// Width of a line in pixels.
    pub line: i32,
    /// Height of ordinary letters in pixels.
    pub letters: f32,
    fonts: Vec<FontRef<'static>>,
}

impl Canvas {
    /// A copy of `photo` to draw on.
    pub fn new(photo: &Image) -> Result<Self> {
        let failed = || Error::Internal("drawing an overlay".into());
        let (width, height) = (photo.width(), photo.height());
        let picture = RgbImage::from_raw(width, height, photo.data().to_vec()).ok_or_else(failed)?;
        let fonts = FONTS.iter().map(|f| FontRef::try_from_slice(f)).collect::<Result<_, _>>().map_err(|_| failed())?;
        // By the area, but no more than a slender picture bears.
        let side = (width as f32 * height as f32).sqrt().min(3.0 * width.min(height) as f32);
        Ok(Canvas { picture, line: (side / 350.0).max(1.0) as i32, letters: (side / 26.0).clamp(12.0, 160.0), fonts })
    }

    /// The picture with what was drawn on it.
    pub fn finish(self) -> Result<Image> {
        let (width, height) = self.picture.dimensions();
        Image::new(width, height, self.picture.into_raw())
    }

    /// The sides of a polygon.
    pub fn outline(&mut self, corners: &[(f32, f32)], colour: Rgb<u8>) {
        for (&a, &b) in corners.iter().zip(corners.iter().cycle().skip(1)) {
            let (dx, dy) = (b.0 - a.0, b.1 - a.1);
            let half = self.line as f32 / 2.0 / dx.hypot(dy).max(1e-3);
            let (nx, ny) = (-dy * half, dx * half);
            let quad = [(a.0 + nx, a.1 + ny), (b.0 + nx, b.1 + ny), (b.0 - nx, b.1 - ny), (a.0 - nx, a.1 - ny)];
            let mut points: Vec<Point<i32>> =
                quad.iter().map(|p| Point::new(p.0.round() as i32, p.1.round() as i32)).collect();
            points.dedup();
            while points.len() > 1 && points.first() == points.last() {
                points.pop();
            }
            if points.len() > 1 {
                draw_polygon_mut(&mut self.picture, &points, colour);
            }
        }
    }

    /// Tints the pixels whose centres lie in a polygon (even-odd rule); `opacity` is 0 to 1.
    pub fn tint(&mut self, corners: &[(f32, f32)], colour: Rgb<u8>, opacity: f32) {
        let (width, height) = (self.picture.width() as f32, self.picture.height());
        for y in 0..height {
            let line = y as f32 + 0.5;
            let edges = corners.iter().zip(corners.iter().cycle().skip(1));
            let crossing = |(a, b): (&(f32, f32), &(f32, f32))| {
                ((a.1 > line) != (b.1 > line)).then(|| a.0 + (line - a.1) / (b.1 - a.1) * (b.0 - a.0))
            };
            let mut at: Vec<f32> = edges.filter_map(crossing).collect();
            at.sort_by(f32::total_cmp);
            for span in at.chunks_exact(2) {
                let ends = [span[0], span[1]].map(|x| (x - 0.5).ceil().clamp(0.0, width) as u32);
                (ends[0]..ends[1]).for_each(|x| blend(self.picture.get_pixel_mut(x, y), colour.0, opacity));
            }
        }
    }

    /// Letters of `size` pixels on a plate of `colour` with its upper left corner at `at`, moved inside the picture if need
    /// be; black or white, whichever is read more easily.
    /// What is wider than the picture is written smaller, and cut if it still is.
    pub fn label(&mut self, size: f32, at: (f32, f32), text: &str, colour: Rgb<u8>) {
        let room = self.picture.width() as f32;
        let share = room / (self.text_width(size, text) + size / 2.0);
        let size = if share < 1.0 { (size * share).max(SMALLEST).min(size) } else { size };
        let cut: String;
        let mut text = text;
        if self.text_width(size, text) + size / 2.0 > room {
            let fits = |n: &usize| self.text_width(size, &shortened(text, *n)) + size / 2.0 <= room;
            cut = shortened(text, (0..text.chars().count()).rev().find(fits).unwrap_or(0));
            text = &cut;
        }
        let pad = (size / 6.0).ceil() as u32;
        let (plate_w, plate_h) = (self.text_width(size, text).ceil() as u32 + 2 * pad, size as u32 + pad);
        let x = (at.0.max(0.0) as u32).min(self.picture.width().saturating_sub(plate_w)) as i32;
        let y = (at.1.max(0.0) as u32).min(self.picture.height().saturating_sub(plate_h)) as i32;
        draw_filled_rect_mut(&mut self.picture, imageproc::rect::Rect::at(x, y).of_size(plate_w, plate_h), colour);
        // Luma of ITU-R BT.601.
        let [r, g, b] = colour.0.map(u32::from);
        let letters = if 299 * r + 587 * g + 114 * b > 150_000 { BLACK } else { WHITE };
        self.text(size, (x as f32 + pad as f32, y as f32 + pad as f32 / 2.0), text, letters);
    }

    /// The height of a plate that [`Canvas::label`] draws.
    pub fn plate_height(size: f32) -> f32 {
        size + (size / 6.0).ceil()
    }

    /// The first font that has `c`, and the glyph; the last font's sign for missing ones if none has it.
    fn glyph(&self, c: char) -> (&FontRef<'static>, GlyphId) {
        let found = self.fonts.iter().map(|f| (f, f.glyph_id(c))).find(|(_, id)| id.0 != 0);
        found.unwrap_or((&self.fonts[self.fonts.len() - 1], GlyphId(0)))
    }

    /// The width of a text in letters of `size` pixels.
    pub fn text_width(&self, size: f32, text: &str) -> f32 {
        let advance = |c| {
            let (font, id) = self.glyph(c);
            font.as_scaled(PxScale::from(size)).h_advance(id)
        };
        text.chars().map(advance).sum()
    }

    fn text(&mut self, size: f32, at: (f32, f32), text: &str, colour: Rgb<u8>) {
        let scale = PxScale::from(size);
        let baseline = at.1 + self.fonts[0].as_scaled(scale).ascent();
        let mut x = at.0;
        let mut outlines = Vec::new();
        for c in text.chars() {
            let (font, id) = self.glyph(c);
            let scaled = font.as_scaled(scale);
            outlines.extend(scaled.outline_glyph(id.with_scale_and_position(scale, GlyphPoint { x, y: baseline })));
            x += scaled.h_advance(id);
        }
        for outline in outlines {
            let corner = outline.px_bounds().min;
            outline.draw(|dx, dy, coverage| {
                let (x, y) = (corner.x as i64 + i64::from(dx), corner.y as i64 + i64::from(dy));
                let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
                if let Some(pixel) = self.picture.get_pixel_mut_checked(x, y) {
                    blend(pixel, colour.0, coverage.min(1.0));
                }
            });
        }
    }
}

/// The first `n` characters, and a sign that there are more.
fn shortened(text: &str, n: usize) -> String {
    text.chars().take(n).chain(['…']).collect()
}

/// Mixes `colour` into a pixel; `opacity` is 0 to 1.
pub fn blend(pixel: &mut Rgb<u8>, colour: [u8; 3], opacity: f32) {
    for (value, new) in pixel.0.iter_mut().zip(colour) {
        *value = (f32::from(*value) * (1.0 - opacity) + f32::from(new) * opacity) as u8;
    }
}

/// A colour for the class of this number: neighbouring numbers lie far apart on the circle of hues (golden angle), and a
/// class has the same colour in every picture.
pub fn class_colour(class: usize) -> Rgb<u8> {
    let hue = (class as f32 * 137.508 + 10.0) % 360.0;
    // Every third class is darker, so that hues that come close differ by lightness.
    let value = [0.95, 0.75, 0.55][class % 3];
    let channel = |offset: f32| {
        let k = (offset + hue / 60.0) % 6.0;
        let share = k.min(4.0 - k).clamp(0.0, 1.0);
        ((value - value * 0.85 * share) * 255.0) as u8
    };
    Rgb([channel(5.0), channel(3.0), channel(1.0)])
}

/// Encodes a picture as PNG.
pub fn png(image: &Image) -> Result<Vec<u8>> {
    encode(image.data(), image.width(), image.height(), image::ExtendedColorType::Rgb8)
}

/// Encodes one byte a pixel as a gray PNG.
pub fn gray_png(data: &[u8], width: u32, height: u32) -> Result<Vec<u8>> {
    encode(data, width, height, image::ExtendedColorType::L8)
}

fn encode(data: &[u8], width: u32, height: u32, kind: image::ExtendedColorType) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    image::codecs::png::PngEncoder::new(&mut bytes)
        .write_image(data, width, height, kind)
        .map_err(|e| Error::Internal(format!("writing PNG: {e}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Rect;

    #[test]
    fn scripts_have_glyphs() {
        let canvas = Canvas::new(&Image::new(8, 8, vec![0; 192]).unwrap()).unwrap();
        for c in "Ad hình vuông Độ 人员 螺絲 ひカ Ω Ж".chars().filter(|c| !c.is_whitespace()) {
            assert_ne!(canvas.glyph(c).1.0, 0, "{c}");
        }
        // Missing: drawn, and as something.
        assert_eq!(canvas.glyph('\u{1F600}').1.0, 0);
        let mut canvas = Canvas::new(&Image::new(60, 30, vec![0; 5400]).unwrap()).unwrap();
        canvas.text(20.0, (5.0, 5.0), "한\u{1F600}", WHITE);
        assert!(canvas.picture.pixels().filter(|p| p.0[0] > 128).count() > 20);
    }

    #[test]
    fn colours_of_neighbours_differ() {
        let far = |a: Rgb<u8>, b: Rgb<u8>| a.0.iter().zip(b.0).map(|(x, y)| u32::from(x.abs_diff(y))).sum::<u32>() > 90;
        assert!(
            (0..80).all(|i| far(class_colour(i), class_colour(i + 1)) && far(class_colour(i), class_colour(i + 2)))
        );
    }

    #[test]
    fn labels_at_the_border_do_not_panic() {
        for side in [1, 3, 40] {
            let mut canvas =
                Canvas::new(&Image::new(side, side, vec![9; (side * side * 3) as usize]).unwrap()).unwrap();
            canvas.label(30.0, (-5.0, 1e6), "nhãn 标签", WHITE);
            canvas.outline(&Rect::from_xywh(-10.0, -10.0, 500.0, 2.0).corners(), WHITE);
        }
    }
}
