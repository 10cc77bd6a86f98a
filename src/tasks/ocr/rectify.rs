//! A line of text cut out of its quad and laid flat.

use crate::error::Result;
use crate::geometry::Quad;
use crate::image::Image;

/// Crops this many times as high as wide hold vertical lines: they are turned by a quarter, counter-clockwise.
const VERTICAL: f32 = 1.5;

/// The pixels of `image` in `quad`, as a rectangle with the quad's sides; vertical lines lie. Bicubic, the border repeated.
pub(super) fn rectify(image: &Image, quad: &Quad) -> Result<Image> {
    let flat = flattened(image, quad)?;
    if flat.height() as f32 >= VERTICAL * flat.width() as f32 { quarter_turn(&flat) } else { Ok(flat) }
}

/// The pixels of `image` in `quad`, as a rectangle with the quad's sides.
pub(super) fn flattened(image: &Image, quad: &Quad) -> Result<Image> {
    let (width, height) = ((quad.width() as u32).max(1), (quad.height() as u32).max(1));
    let map = quad.projection(width as f32, height as f32);
    let mut data = Vec::with_capacity(width as usize * height as usize * 3);
    for y in 0..height {
        for x in 0..width {
            let (u, v) = map.apply(f64::from(x), f64::from(y));
            data.extend(bicubic(image, u, v));
        }
    }
    Image::new(width, height, data)
}

/// The colour between pixels, which lie at whole numbers, by cubic convolution over 4x4 of them (Keys 1981) with OpenCV's
/// constant of -0.75.
fn bicubic(image: &Image, x: f64, y: f64) -> [u8; 3] {
    let limit = |v: f64, side: u32| v.clamp(-2.0, f64::from(side) + 1.0);
    let (x, y) = (limit(x, image.width()), limit(y, image.height()));
    let (left, top) = (x.floor() as i64 - 1, y.floor() as i64 - 1);
    let (across, down) = (weights((x - x.floor()) as f32), weights((y - y.floor()) as f32));
    let place = |first: i64, i: usize, side: u32| (first + i as i64).clamp(0, i64::from(side) - 1) as usize;
    let columns: [usize; 4] = std::array::from_fn(|i| 3 * place(left, i, image.width()));
    let row_length = 3 * image.width() as usize;
    let mut sum = [0f32; 3];
    for (i, down) in down.into_iter().enumerate() {
        let row = &image.data()[place(top, i, image.height()) * row_length..][..row_length];
        for (column, across) in columns.into_iter().zip(across) {
            let weight = across * down;
            for (sum, value) in sum.iter_mut().zip(&row[column..column + 3]) {
                *sum += weight * f32::from(*value);
            }
        }
    }
    sum.map(|v| v.round().clamp(0.0, 255.0) as u8)
}

/// Weights of the four pixels around a place that lies `t` (0 to 1) behind the second.
fn weights(t: f32) -> [f32; 4] {
    const A: f32 = -0.75;
    let far = |d: f32| ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A;
    let near = |d: f32| ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0;
    [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)]
}

/// Turned by 90 degrees, counter-clockwise.
fn quarter_turn(image: &Image) -> Result<Image> {
    let (w, h) = (image.width() as usize, image.height() as usize);
    let pixel = |x: usize, y: usize| &image.data()[(y * w + x) * 3..][..3];
    let data = (0..w).rev().flat_map(|x| (0..h).flat_map(move |y| pixel(x, y))).copied().collect();
    Image::new(image.height(), image.width(), data)
}

/// Turned by 180 degrees.
pub(super) fn half_turn(image: &Image) -> Result<Image> {
    let data = image.data().chunks_exact(3).rev().flatten().copied().collect();
    Image::new(image.width(), image.height(), data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Rect;

    fn numbered(width: u32, height: u32) -> Image {
        let data = (0..height).flat_map(|y| (0..width).flat_map(move |x| [x as u8, y as u8, 9])).collect();
        Image::new(width, height, data).unwrap()
    }

    #[test]
    fn upright_quads_are_crops() {
        let image = numbered(60, 40);
        let crop = rectify(&image, &Rect::from_xywh(10.0, 20.0, 30.0, 12.0).into()).unwrap();
        assert_eq!(crop, image.crop(10, 20, 30, 12).unwrap());
    }

    #[test]
    fn vertical_lines_lie() {
        let crop = rectify(&numbered(60, 40), &Rect::from_xywh(10.0, 5.0, 6.0, 30.0).into()).unwrap();
        assert_eq!((crop.width(), crop.height()), (30, 6));
        // What was at the upper right is at the upper left.
        assert_eq!(crop.data()[..3], [15, 5, 9]);
    }

    #[test]
    fn turned_twice_is_as_before() {
        let image = numbered(7, 5);
        assert_eq!(half_turn(&half_turn(&image).unwrap()).unwrap(), image);
        assert_eq!(half_turn(&image).unwrap().data()[..3], [6, 4, 9]);
    }

    #[test]
    fn quads_beyond_the_picture_repeat_its_border() {
        let crop = rectify(&numbered(20, 20), &Rect::from_xywh(-50.0, -50.0, 120.0, 120.0).into()).unwrap();
        assert_eq!((crop.width(), crop.data()[..3].to_vec()), (120, vec![0, 0, 9]));
    }
}
