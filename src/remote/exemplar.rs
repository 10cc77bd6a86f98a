//! Showing the server what to look for: an example pasted beside the picture.

use crate::error::{Error, Result};
use crate::geometry::Rect;
use crate::image::Image;

/// White pixels around each example, so that neither the picture nor another example touches it.
const MARGIN: u32 = 16;

/// A picture with examples beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Widened {
    /// The picture at the top left, where it keeps its coordinates; a white strip to the right or below with the examples.
    pub image: Image,
    /// Where the examples are, in pixels of `image`.
    pub marks: Vec<Rect>,
}

/// Widens `image` by a white strip with `templates` in it: to the right of a tall picture, below a wide one, so that it
/// becomes squarer, since servers scale to a square. An error without templates or if the picture would be too large.
pub fn with_exemplars(image: &Image, templates: &[Image]) -> Result<Widened> {
    if templates.is_empty() {
        return Err(Error::Input("there is no example to show to the server".into()));
    }
    let right = image.height() >= image.width();
    let mut marks = Vec::new();
    // The place of the next example, and the size of the whole.
    let (mut x, mut y) = if right { (image.width() + MARGIN, MARGIN) } else { (MARGIN, image.height() + MARGIN) };
    let (mut width, mut height) = (image.width(), image.height());
    for template in templates {
        let (w, h) = (template.width(), template.height());
        marks.push((x, y));
        let next = (x.saturating_add(w + MARGIN), y.saturating_add(h + MARGIN));
        (width, height) = (width.max(next.0), height.max(next.1));
        if right { y = next.1 } else { x = next.0 }
    }
    if width as u64 * height as u64 > u32::MAX as u64 / 3 {
        return Err(Error::Input(format!(
            "with the examples beside it the picture would have {width} x {height} pixels"
        )));
    }
    let mut wide = Image::new(width, height, vec![255; width as usize * height as usize * 3])?;
    paste(&mut wide, image, 0, 0);
    for (template, &(x, y)) in templates.iter().zip(&marks) {
        paste(&mut wide, template, x, y);
    }
    let mark = |(template, (x, y)): (&Image, (u32, u32))| {
        Rect::from_xywh(x as f32, y as f32, template.width() as f32, template.height() as f32)
    };
    Ok(Widened { image: wide, marks: templates.iter().zip(marks).map(mark).collect() })
}

/// Copies `from` into `to`, its top left pixel to (`x`, `y`); it must fit.
fn paste(to: &mut Image, from: &Image, x: u32, y: u32) {
    let (wide, row) = (to.width() as usize * 3, from.width() as usize * 3);
    for (line, pixels) in from.data().chunks_exact(row).enumerate() {
        let start = (y as usize + line) * wide + x as usize * 3;
        to.data_mut()[start..start + row].copy_from_slice(pixels);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(width: u32, height: u32, value: u8) -> Image {
        Image::new(width, height, vec![value; (width * height * 3) as usize]).unwrap()
    }

    #[test]
    fn picture_and_examples_keep_their_pixels() {
        for (width, height) in [(60, 90), (90, 60), (5, 200)] {
            let picture = plain(width, height, 10);
            let templates = [plain(30, 20, 20), plain(8, 100, 30)];
            let wide = with_exemplars(&picture, &templates).unwrap();
            assert_eq!(wide.image.crop(0, 0, width, height).unwrap(), picture);
            let mut dark = (width * height) as usize;
            for (mark, template) in wide.marks.iter().zip(&templates) {
                assert_eq!((mark.width(), mark.height()), (template.width() as f32, template.height() as f32));
                let crop = wide.image.crop(mark.x1 as u32, mark.y1 as u32, template.width(), template.height());
                assert_eq!(&crop.unwrap(), template);
                // Outside of the picture, with white between.
                assert!(mark.x1 >= (width + MARGIN) as f32 || mark.y1 >= (height + MARGIN) as f32, "{mark:?}");
                dark += (template.width() * template.height()) as usize;
            }
            // Everything else is white.
            assert_eq!(wide.image.data().chunks_exact(3).filter(|p| p[0] != 255).count(), dark);
        }
    }

    #[test]
    fn the_strip_makes_the_picture_squarer() {
        let tall = with_exemplars(&plain(60, 400, 0), &[plain(30, 20, 9)]).unwrap().image;
        assert_eq!((tall.width(), tall.height()), (60 + 16 + 30 + 16, 400));
        let wide = with_exemplars(&plain(400, 60, 0), &[plain(30, 20, 9)]).unwrap().image;
        assert_eq!((wide.width(), wide.height()), (400, 60 + 16 + 20 + 16));
        assert!(with_exemplars(&plain(4, 4, 0), &[]).is_err());
    }
}
