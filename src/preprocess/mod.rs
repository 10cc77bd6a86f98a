//! From a picture to the input tensor of a network, and coordinates back. The only place with letterbox arithmetic.

mod bilinear;
pub mod filters;
pub mod lanczos;
pub mod overview;
mod part;

use crate::error::{Error, Result};
use crate::geometry::Rect;
use crate::image::Image;
use crate::models::manifest::{Colour, Fit, InputSpec, Resample};
use crate::tensor::Tensor;
use fast_image_resize as fir;
use fir::images::{TypedImage, TypedImageRef};
use fir::pixels::U8x3;
pub use part::Part;

/// Where a picture came to lie in the network's input, and the only way back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// Input pixels per source pixel, horizontally.
    pub scale_x: f32,
    /// Input pixels per source pixel, vertically.
    pub scale_y: f32,
    /// Columns of padding left of the picture; negative where the picture is cut.
    pub pad_left: f32,
    /// Rows of padding above the picture; negative where the picture is cut.
    pub pad_top: f32,
    /// Width of the source picture.
    pub src_w: u32,
    /// Height of the source picture.
    pub src_h: u32,
}

impl Placement {
    /// A box in input pixels as a box in source pixels, cut to the source picture.
    pub fn to_source(&self, rect: &Rect) -> Rect {
        Rect {
            x1: (rect.x1 - self.pad_left) / self.scale_x,
            y1: (rect.y1 - self.pad_top) / self.scale_y,
            x2: (rect.x2 - self.pad_left) / self.scale_x,
            y2: (rect.y2 - self.pad_top) / self.scale_y,
        }
        .clip(self.src_w, self.src_h)
    }

    /// A box in source pixels as a box in input pixels.
    pub fn to_input(&self, rect: &Rect) -> Rect {
        Rect {
            x1: rect.x1 * self.scale_x + self.pad_left,
            y1: rect.y1 * self.scale_y + self.pad_top,
            x2: rect.x2 * self.scale_x + self.pad_left,
            y2: rect.y2 * self.scale_y + self.pad_top,
        }
    }
}

/// Brings `image` to `width` x `height` pixels as `spec` says: `fit`, `resample`, and `pad` for what a letterbox leaves
/// free. (`size` is the caller's business: some networks take others than their own.) The letterbox is Ultralytics': sides
/// rounded, an odd row or column of padding to the right and below.
pub fn fit(image: &Image, width: u32, height: u32, spec: &InputSpec) -> Result<(Image, Placement)> {
    let fit = spec.fit;
    let (w, h) = (image.width() as f32, image.height() as f32);
    let (gain_x, gain_y) = (width as f32 / w, height as f32 / h);
    let (inner_w, inner_h) = match fit {
        Fit::Stretch => (width, height),
        Fit::Letterbox | Fit::Tight => scaled(w, h, gain_x.min(gain_y), |v, limit| v.min(limit), (width, height)),
        Fit::Crop => scaled(w, h, gain_x.max(gain_y), |v, limit| v.max(limit), (width, height)),
    };
    let (width, height) = match fit {
        Fit::Tight => (inner_w.next_multiple_of(spec.multiple), inner_h.next_multiple_of(spec.multiple)),
        _ => (width, height),
    };
    let resized = resample(image, inner_w, inner_h, spec.resample)?;
    let placement = Placement {
        scale_x: inner_w as f32 / w,
        scale_y: inner_h as f32 / h,
        pad_left: ((width as f32 - inner_w as f32) / 2.0).floor(),
        pad_top: ((height as f32 - inner_h as f32) / 2.0).floor(),
        src_w: image.width(),
        src_h: image.height(),
    };
    let placed = match fit {
        Fit::Stretch => resized,
        Fit::Crop => resized.crop(-placement.pad_left as u32, -placement.pad_top as u32, width, height)?,
        Fit::Letterbox | Fit::Tight => {
            paste(&resized, width, height, placement.pad_left as usize, placement.pad_top as usize, spec.pad)?
        }
    };
    Ok((placed, placement))
}

fn scaled(w: f32, h: f32, gain: f32, bound: impl Fn(u32, u32) -> u32, limit: (u32, u32)) -> (u32, u32) {
    let side = |v: f32, limit| bound(((v * gain).round() as u32).max(1), limit);
    (side(w, limit.0), side(h, limit.1))
}

/// `image` in a picture of `width` x `height` pixels of the value `pad`, moved to the right and down. It has to fit.
pub fn paste(image: &Image, width: u32, height: u32, left: usize, top: usize, pad: u8) -> Result<Image> {
    let mut data = vec![pad; width as usize * height as usize * 3];
    let row = image.width() as usize * 3;
    for (y, line) in image.data().chunks_exact(row).enumerate() {
        let start = ((top + y) * width as usize + left) * 3;
        data[start..start + row].copy_from_slice(line);
    }
    Image::new(width, height, data)
}

/// Resamples `image` to `width` x `height`: bilinear, and when shrinking the filter widens so that every source pixel
/// counts (area-aware, as PIL does it).
pub fn resize(image: &Image, width: u32, height: u32) -> Result<Image> {
    resample(image, width, height, Resample::Area)
}

/// Resamples `image` to `width` x `height` in the way named.
pub fn resample(image: &Image, width: u32, height: u32, how: Resample) -> Result<Image> {
    if (width, height) == (image.width(), image.height()) {
        return Ok(image.clone());
    }
    if how == Resample::Bilinear {
        return bilinear::resize(image, width, height);
    }
    let failed = |e: &dyn std::fmt::Display| Error::Internal(format!("resizing {image:?} to {width}x{height}: {e}"));
    let source =
        TypedImageRef::<U8x3>::from_buffer(image.width(), image.height(), image.data()).map_err(|e| failed(&e))?;
    let mut data = vec![0u8; width as usize * height as usize * 3];
    let mut target = TypedImage::<U8x3>::from_buffer(width, height, &mut data).map_err(|e| failed(&e))?;
    let options = fir::ResizeOptions::new().resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::Bilinear));
    fir::Resizer::new().resize_typed(&source, &mut target, &options).map_err(|e| failed(&e))?;
    Image::new(width, height, data)
}

/// The input tensor of a picture that already has its size: `(value - mean) / std`, 1 x 3 x H x W.
pub fn normalise(image: &Image, spec: &InputSpec) -> Result<Tensor> {
    let pixels = image.width() as usize * image.height() as usize;
    let mut data = vec![0f32; 3 * pixels];
    for (slot, plane) in data.chunks_exact_mut(pixels).enumerate() {
        let channel = match spec.colour {
            Colour::Rgb => slot,
            Colour::Bgr => 2 - slot,
        };
        let (mean, gain) = (spec.mean[slot], 1.0 / spec.std[slot]);
        for (value, pixel) in plane.iter_mut().zip(image.data().chunks_exact(3)) {
            *value = (pixel[channel] as f32 - mean) * gain;
        }
    }
    Tensor::new(vec![1, 3, image.height() as usize, image.width() as usize], data)
}

/// [`fit`] and [`normalise`] as the network's description says.
pub fn prepare(image: &Image, spec: &InputSpec) -> Result<(Tensor, Placement)> {
    let [width, height] = spec.size;
    let (placed, placement) = fit(image, width, height, spec)?;
    Ok((normalise(&placed, spec)?, placement))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flat(width: u32, height: u32, value: u8) -> Image {
        Image::new(width, height, vec![value; (width * height * 3) as usize]).unwrap()
    }

    fn spec(fit: Fit) -> InputSpec {
        InputSpec {
            size: [64, 64],
            multiple: 1,
            layout: crate::models::manifest::Layout::Nchw,
            colour: Colour::Rgb,
            fit,
            resample: Resample::Bilinear,
            pad: 114,
            mean: [1.0, 2.0, 3.0],
            std: [1.0, 2.0, 1.0],
        }
    }

    #[test]
    fn letterbox_pads_and_keeps_the_picture() {
        let (image, placement) = fit(&flat(100, 50, 7), 64, 64, &spec(Fit::Letterbox)).unwrap();
        assert_eq!((placement.pad_left, placement.pad_top), (0.0, 16.0));
        assert_eq!(image.data()[0], 114);
        assert_eq!(image.data()[(32 * 64 + 32) * 3], 7);
    }

    #[test]
    fn normalise_orders_channels() {
        let image = Image::new(1, 1, vec![10, 20, 30]).unwrap();
        let mut spec = spec(Fit::Stretch);
        spec.colour = Colour::Bgr;
        assert_eq!(normalise(&image, &spec).unwrap().data(), [29.0, 9.0, 7.0]);
        spec.colour = Colour::Rgb;
        assert_eq!(normalise(&image, &spec).unwrap().data(), [9.0, 9.0, 27.0]);
    }

    /// Ultralytics' letterbox: sides rounded, `round((S - new) / 2 - 0.1)` before, the rest behind.
    #[test]
    fn letterbox_at_odd_aspect_ratios() {
        for (w, h, inner, pad) in [
            (1920, 1080, (640, 360), (0.0, 140.0)),
            (97, 411, (151, 640), (244.0, 0.0)),
            (333, 500, (426, 640), (107.0, 0.0)),
        ] {
            let (_, p) = fit(&flat(w, h, 0), 640, 640, &spec(Fit::Letterbox)).unwrap();
            assert_eq!((p.pad_left, p.pad_top), pad, "{w}x{h}");
            assert_eq!(
                ((p.scale_x * w as f32).round(), (p.scale_y * h as f32).round()),
                (inner.0 as f32, inner.1 as f32)
            );
        }
    }

    /// Shrinking by four, OpenCV's bilinear takes the middle four of sixteen pixels.
    #[test]
    fn bilinear_does_not_average() {
        let data: Vec<u8> = (0..16).flat_map(|i| [if i % 4 == 0 || i % 4 == 3 { 200 } else { 100 }; 3]).collect();
        let image = Image::new(4, 4, data).unwrap();
        assert_eq!(resample(&image, 1, 1, Resample::Bilinear).unwrap().data()[0], 100);
        assert!(resample(&image, 1, 1, Resample::Area).unwrap().data()[0] > 110);
    }

    proptest! {
        #[test]
        fn boxes_come_back(w in 1u32..300, h in 1u32..300, x in 0f32..1.0, y in 0f32..1.0, s in 0f32..1.0,
                           kind in prop::sample::select(vec![Fit::Stretch, Fit::Letterbox])) {
            let (_, placement) = fit(&flat(w, h, 0), 96, 64, &spec(kind)).unwrap();
            let rect = Rect::from_xywh(x * w as f32, y * h as f32, s * w as f32 * (1.0 - x), s * h as f32 * (1.0 - y));
            let back = placement.to_source(&placement.to_input(&rect));
            prop_assert!((back.x1 - rect.x1).abs() < 0.01 && (back.y2 - rect.y2).abs() < 0.01);
        }
    }
}
