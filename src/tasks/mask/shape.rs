//! Growing and softening a mask.

use image::{GrayImage, imageops};
use imageproc::distance_transform::Norm;
use imageproc::morphology::dilate_mut;

/// Grows `mask` by `dilate` pixels and softens its edge over `feather` pixels outwards: COLMAP leaves out only what is fully
/// masked, so that an edge softened inwards would show a rim of the object. With `around` the left and right borders
/// are neighbours. Only the part of the picture that holds something is worked on.
pub(super) fn shape(mask: &mut GrayImage, dilate: u8, feather: u8, around: bool) {
    let reach = u32::from(dilate) + 3 * u32::from(feather);
    if reach == 0 {
        return;
    }
    let Some((left, top, right, bottom)) = bounds(mask) else { return };
    let (width, height) = mask.dimensions();
    let (top, bottom) = (top.saturating_sub(reach), (bottom + reach).min(height));
    // Around a panorama all columns are taken, with as many again of the other side as the mask can grow.
    let margin = if around { reach.min(width) } else { 0 };
    let (left, right) = if around { (0, width) } else { (left.saturating_sub(reach), (right + reach).min(width)) };
    let mut part = GrayImage::from_fn(right - left + 2 * margin, bottom - top, |x, y| {
        *mask.get_pixel((left + x + width - margin) % width, top + y)
    });
    if dilate > 0 {
        dilate_mut(&mut part, Norm::L2, dilate);
    }
    if feather > 0 {
        let core = part.clone();
        dilate_mut(&mut part, Norm::L2, feather.div_ceil(2));
        // Two standard deviations to each side hold most of a Gaussian edge.
        part = imageops::fast_blur(&part, f32::from(feather) / 4.0);
        part.iter_mut().zip(core.iter()).for_each(|(soft, core)| *soft = (*soft).max(*core));
    }
    let inner = imageops::crop_imm(&part, margin, 0, right - left, bottom - top).to_image();
    imageops::replace(mask, &inner, i64::from(left), i64::from(top));
}

/// Left, top, right, bottom of what is not 0; right and bottom lie outside.
fn bounds(mask: &GrayImage) -> Option<(u32, u32, u32, u32)> {
    mask.enumerate_pixels().filter(|(_, _, p)| p.0[0] > 0).fold(None, |bounds, (x, y, _)| {
        let (l, t, r, b) = bounds.unwrap_or((x, y, x, y));
        Some((l.min(x), t.min(y), r.max(x + 1), b.max(y + 1)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(x: u32, y: u32) -> GrayImage {
        let mut mask = GrayImage::new(60, 40);
        mask.put_pixel(x, y, image::Luma([255]));
        mask
    }

    fn set(mask: &GrayImage) -> usize {
        mask.pixels().filter(|p| p.0[0] > 127).count()
    }

    #[test]
    fn growth_is_round() {
        let mut mask = dot(30, 20);
        shape(&mut mask, 8, 0, false);
        let area = set(&mask) as f32;
        assert!((area - std::f32::consts::PI * 64.0).abs() < 25.0, "{area}");
    }

    #[test]
    fn a_panorama_has_no_border() {
        let (mut cut, mut around) = (dot(1, 20), dot(1, 20));
        shape(&mut cut, 5, 0, false);
        shape(&mut around, 5, 0, true);
        assert!(around.get_pixel(58, 20).0[0] == 255 && cut.get_pixel(58, 20).0[0] == 0);
        let mut middle = dot(30, 20);
        shape(&mut middle, 5, 0, true);
        assert_eq!(set(&around), set(&middle));
    }

    #[test]
    fn edges_soften_outwards() {
        let mut mask = GrayImage::from_fn(60, 40, |x, _| image::Luma([if x < 30 { 255 } else { 0 }]));
        shape(&mut mask, 0, 8, false);
        let row: Vec<u8> = (0..60).map(|x| mask.get_pixel(x, 20).0[0]).collect();
        assert!(row[..30].iter().all(|&v| v == 255) && row[42..].iter().all(|&v| v < 5), "{row:?}");
        assert!(row[32..37].iter().all(|&v| (5..255).contains(&v)) && row[30..].is_sorted_by(|a, b| a >= b), "{row:?}");
    }

    #[test]
    fn nothing_stays_nothing() {
        let mut mask = GrayImage::new(5, 5);
        shape(&mut mask, 3, 3, true);
        assert_eq!(set(&mask), 0);
    }
}
