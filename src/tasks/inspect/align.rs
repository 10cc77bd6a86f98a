//! Finds where the golden part lies in a photograph: shift, angle and scale.
//!
//! Both pictures are brought to about 256 pixels, freed of light by local contrast normalisation, and registered with
//! the inverse compositional form of Lucas-Kanade (Baker and Matthews, "Lucas-Kanade 20 Years On", IJCV 2004) on a
//! pyramid. If that ends in a poor match, a wide search by FFT cross-correlation over many angles gives a second start.

use super::search::CoarseSearch;
use crate::error::{Error, Result};
use crate::geometry::Similarity;
use crate::image::{Gray, Image};
use crate::preprocess;
use crate::preprocess::filters::{halve, normalise_contrast};
use crate::tasks::normal_equations::invert;

/// Long side of the finest level in pixels; the accuracy is about a tenth of a pixel there.
const FINE_SIDE: f32 = 256.0;
/// The short side is given this many pixels at least, as long as the long one stays below [`LONGEST_SIDE`].
const SHORT_SIDE: f32 = 48.0;
const LONGEST_SIDE: f32 = 1024.0;
/// Less than this leaves nothing to match on the coarsest level.
const MIN_FINE_SIDE: u32 = 24;
/// Levels of the pyramid, each half the size of the one before.
const LEVELS: usize = 3;
/// Radius of the local contrast normalisation in pixels of each level.
const CONTRAST_RADIUS: usize = 8;
/// Contrast in grey levels below which a place counts as flat: that of sensor noise.
const FLAT: f32 = 6.0;
/// Gauss-Newton steps per level; it converges in three to six.
const MAX_STEPS: usize = 12;
/// A step that moves the corners by less than this many pixels of the level is the last.
const STEP_TOLERANCE: f32 = 0.02;
/// Border that is left out, as a share of the side: pixels that come and go with the shift carry no pose.
const BORDER: f32 = 0.04;
/// Below this correlation the result of the direct start is doubted and the wide search runs.
const DOUBTFUL: f32 = 0.6;

/// Where the golden part lies in a photograph.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pose {
    /// Takes golden pixels to photograph pixels.
    pub transform: Similarity,
    /// How far the centre of the golden image moved, in pixels right and down.
    pub shift_px: (f32, f32),
    /// Normalised correlation of the photograph with the golden image there, -1 to 1.
    pub correlation: f32,
}

/// A golden image made ready to be found in photographs of the same size.
#[derive(Debug)]
pub struct Aligner {
    /// From coarse to fine.
    levels: Vec<Level>,
    search: CoarseSearch,
    /// Pixels of the finest level per pixel of the golden image, across and down: alike but for rounding.
    scale: (f32, f32),
    /// The middle of the golden image.
    centre: (f32, f32),
}

/// One level of the pyramid with what Gauss-Newton needs of the golden image.
#[derive(Debug)]
struct Level {
    golden: Gray,
    /// Per pixel inside the border: how the value changes with a shift right, down, with scale and with rotation.
    steepest: Vec<[f32; 4]>,
    /// Inverse of the 4x4 Gauss-Newton matrix.
    inverse_hessian: [[f32; 4]; 4],
    border: (usize, usize),
}

impl Aligner {
    /// Prepares `golden`.
    pub fn new(golden: &Image) -> Result<Self> {
        let (width, height) = fine_size(golden)?;
        let scale = (width as f32 / golden.width() as f32, height as f32 / golden.height() as f32);
        let pyramid = pyramid(golden)?;
        let search = CoarseSearch::new(&pyramid[0]);
        let levels = pyramid.into_iter().map(Level::new).collect();
        let centre = (golden.width() as f32 / 2.0, golden.height() as f32 / 2.0);
        Ok(Aligner { levels, search, scale, centre })
    }

    /// Finds the golden part in `photo`, which has the size of the golden image.
    pub fn find(&self, photo: &Image) -> Result<Pose> {
        let pyramid = pyramid(photo)?;
        let direct = self.refine(&pyramid, Similarity::IDENTITY);
        if direct.1 >= DOUBTFUL {
            return Ok(self.in_source_pixels(direct));
        }
        let starts = self.search.candidates(&pyramid[0]);
        let best = starts
            .into_iter()
            .map(|start| self.refine(&pyramid, start))
            .fold(direct, |best, next| if next.1 > best.1 { next } else { best });
        Ok(self.in_source_pixels(best))
    }

    /// Coarse to fine from `start`, given in pixels of the coarsest level.
    fn refine(&self, photo: &[Gray], start: Similarity) -> (Similarity, f32) {
        let mut transform = start;
        let mut correlation = -1.0;
        for (i, (level, photo)) in self.levels.iter().zip(photo).enumerate() {
            if i > 0 {
                transform = transform.rescaled(2.0);
            }
            (transform, correlation) = level.register(photo, transform);
        }
        (transform, correlation)
    }

    fn in_source_pixels(&self, (transform, correlation): (Similarity, f32)) -> Pose {
        let transform = Similarity { tx: transform.tx / self.scale.0, ty: transform.ty / self.scale.1, ..transform };
        let moved = transform.apply(self.centre);
        Pose { transform, shift_px: (moved.0 - self.centre.0, moved.1 - self.centre.1), correlation }
    }
}

/// Size of the finest level before it is cut to whole steps: the shape of the image, its long side [`FINE_SIDE`], more if
/// the short side would be too short to show a pose.
fn fine_size(image: &Image) -> Result<(u32, u32)> {
    let (w, h) = (image.width() as f32, image.height() as f32);
    let gain = (FINE_SIDE / w.max(h)).max(SHORT_SIDE / w.min(h)).min(LONGEST_SIDE / w.max(h));
    let (width, height) = ((w * gain).round() as u32, (h * gain).round() as u32);
    if width.min(height) < MIN_FINE_SIDE {
        return Err(Error::Input(format!(
            "{w}x{h} pixels are too long and narrow to find a pose in; use --align none"
        )));
    }
    Ok((width, height))
}

/// Contrast-normalised levels from coarse to fine, the sides of each exactly half of the next.
fn pyramid(image: &Image) -> Result<Vec<Gray>> {
    let (width, height) = fine_size(image)?;
    let small = preprocess::resize(image, width, height)?;
    // Up to three columns and rows are cut off, so that each level is exactly half of the next.
    let step = 1 << (LEVELS - 1);
    let mut gray = small.crop(0, 0, width / step * step, height / step * step)?.to_gray();
    let mut levels = vec![];
    for _ in 1..LEVELS {
        let half = halve(&gray);
        levels.push(normalise_contrast(&gray, CONTRAST_RADIUS, FLAT));
        gray = half;
    }
    levels.push(normalise_contrast(&gray, CONTRAST_RADIUS, FLAT));
    levels.reverse();
    Ok(levels)
}

impl Level {
    fn new(golden: Gray) -> Self {
        let border =
            (((golden.width as f32 * BORDER) as usize).max(1), ((golden.height as f32 * BORDER) as usize).max(1));
        let (cx, cy) = (golden.width as f32 / 2.0, golden.height as f32 / 2.0);
        let mut steepest = Vec::new();
        let mut hessian = [[0f64; 4]; 4];
        for y in border.1..golden.height - border.1 {
            for x in border.0..golden.width - border.0 {
                let gx = (golden.at(x + 1, y) - golden.at(x - 1, y)) / 2.0;
                let gy = (golden.at(x, y + 1) - golden.at(x, y - 1)) / 2.0;
                let (u, v) = (x as f32 + 0.5 - cx, y as f32 + 0.5 - cy);
                let d = [gx, gy, gx * u + gy * v, gy * u - gx * v];
                for i in 0..4 {
                    for j in 0..4 {
                        hessian[i][j] += (d[i] * d[j]) as f64;
                    }
                }
                steepest.push(d);
            }
        }
        Level { inverse_hessian: invert(hessian), steepest, border, golden }
    }

    /// Gauss-Newton from `start`; returns the transform and the correlation there.
    fn register(&self, photo: &Gray, start: Similarity) -> (Similarity, f32) {
        let centre = (self.golden.width as f32 / 2.0, self.golden.height as f32 / 2.0);
        let (mut best, mut best_correlation) = (start, -1.0);
        let mut transform = start;
        for _ in 0..MAX_STEPS {
            let (gradient, correlation) = self.gradient(photo, &transform);
            if correlation <= best_correlation {
                break;
            }
            (best, best_correlation) = (transform, correlation);
            let step = self.inverse_hessian.map(|row| row.iter().zip(gradient).map(|(h, g)| h * g).sum::<f32>());
            let [tx, ty, scale, turn] = step;
            let update = Similarity {
                a: 1.0 + scale,
                b: turn,
                tx: tx - scale * centre.0 + turn * centre.1,
                ty: ty - turn * centre.0 - scale * centre.1,
            };
            transform = transform.after(&update.inverse());
            if !(0.5..2.0).contains(&transform.scale()) {
                break;
            }
            let corner = centre.0.hypot(centre.1);
            if tx.hypot(ty) + scale.hypot(turn) * corner < STEP_TOLERANCE {
                break;
            }
        }
        (best, best_correlation)
    }

    /// Right side of the normal equations and the correlation, both for values brought to the same gain and offset.
    fn gradient(&self, photo: &Gray, transform: &Similarity) -> ([f32; 4], f32) {
        let (left, top) = self.border;
        let (right, bottom) = (self.golden.width - left, self.golden.height - top);
        let mut warped = Vec::with_capacity(self.steepest.len());
        for y in top..bottom {
            for x in left..right {
                let (u, v) = transform.apply((x as f32 + 0.5, y as f32 + 0.5));
                let inside = u >= 0.0 && v >= 0.0 && u <= photo.width as f32 && v <= photo.height as f32;
                warped.push(if inside { photo.sample(u, v) } else { 0.0 });
            }
        }
        let golden = (top..bottom).flat_map(|y| &self.golden.data[y * self.golden.width + left..][..right - left]);
        let (mut gg, mut ww, mut gw) = (0f32, 0f32, 0f32);
        for (g, w) in golden.clone().zip(&warped) {
            gg += g * g;
            ww += w * w;
            gw += g * w;
        }
        let correlation = gw / (gg * ww).sqrt().max(1e-6);
        // Contrast normalisation leaves the mean at zero, so one gain brings the photograph to the golden image.
        let gain = (gg / ww.max(1e-6)).sqrt().min(4.0);
        let mut gradient = [0f32; 4];
        for ((g, w), d) in golden.zip(&warped).zip(&self.steepest) {
            let difference = w * gain - g;
            for k in 0..4 {
                gradient[k] += d[k] * difference;
            }
        }
        (gradient, correlation)
    }
}
