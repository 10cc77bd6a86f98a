//! The wide search of the alignment: cross-correlation by FFT over all shifts and a fan of angles.

use crate::geometry::Similarity;
use crate::image::Gray;
use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};
use std::sync::Arc;

/// The fan of angles: -45 to 45 degrees.
const MAX_DEGREES: i32 = 45;
/// Gauss-Newton converges from half of this angle.
const STEP_DEGREES: i32 = 5;
/// This many of the best angles are refined.
const CANDIDATES: usize = 3;

/// A coarse golden image, ready to be correlated.
pub(super) struct CoarseSearch {
    golden: Gray,
    /// Side of the square that both pictures are padded to, so that a shift does not wrap around.
    side: usize,
    forward: Arc<dyn Fft<f32>>,
    backward: Arc<dyn Fft<f32>>,
}

impl std::fmt::Debug for CoarseSearch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CoarseSearch({}x{})", self.golden.width, self.golden.height)
    }
}

impl CoarseSearch {
    pub(super) fn new(golden: &Gray) -> Self {
        let side = (golden.width.max(golden.height) * 3 / 2).next_power_of_two();
        let mut planner = FftPlanner::new();
        CoarseSearch {
            golden: golden.clone(),
            side,
            forward: planner.plan_fft_forward(side),
            backward: planner.plan_fft_inverse(side),
        }
    }

    /// Rough poses worth refining, the most likely first, in pixels of the coarse level.
    pub(super) fn candidates(&self, photo: &Gray) -> Vec<Similarity> {
        let spectrum = self.spectrum(photo);
        let centre = (self.golden.width as f32 / 2.0, self.golden.height as f32 / 2.0);
        let mut found: Vec<(f32, Similarity)> = (-MAX_DEGREES..=MAX_DEGREES)
            .step_by(STEP_DEGREES as usize)
            .map(|degrees| {
                let turn = Similarity::about(centre, degrees as f32, 1.0, (0.0, 0.0));
                let turned = turned(&self.golden, &turn.inverse());
                let (score, shift) = self.best_shift(&spectrum, &turned);
                (score, Similarity { tx: turn.tx + shift.0, ty: turn.ty + shift.1, ..turn })
            })
            .collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        found.into_iter().take(CANDIDATES).map(|(_, pose)| pose).collect()
    }

    /// The shift (right, down) of `golden` that correlates best with the photograph, up to 40 % of a side.
    fn best_shift(&self, photo: &[Complex32], golden: &Gray) -> (f32, (f32, f32)) {
        let mut product: Vec<Complex32> = self.spectrum(golden).iter().zip(photo).map(|(g, p)| g.conj() * p).collect();
        self.transform(&mut product, &self.backward);
        let reach = |v: usize| (v * 2 / 5) as isize;
        let mut best = (f32::NEG_INFINITY, (0.0, 0.0));
        for dy in -reach(golden.height)..=reach(golden.height) {
            for dx in -reach(golden.width)..=reach(golden.width) {
                let wrap = |v: isize| v.rem_euclid(self.side as isize) as usize;
                // The fewer pixels overlap the smaller the sum: weigh it, but not so far that a sliver can win.
                let overlap = (1.0 - dx.unsigned_abs() as f32 / golden.width as f32)
                    * (1.0 - dy.unsigned_abs() as f32 / golden.height as f32);
                // The two dimensions were transformed one after the other with a transposition in between, twice:
                // the result lies in the original order.
                let score = product[wrap(dy) * self.side + wrap(dx)].re / overlap.sqrt();
                if score > best.0 {
                    best = (score, (dx as f32, dy as f32));
                }
            }
        }
        best
    }

    fn spectrum(&self, g: &Gray) -> Vec<Complex32> {
        let mut values = vec![Complex32::default(); self.side * self.side];
        for (row, line) in g.data.chunks_exact(g.width).zip(values.chunks_exact_mut(self.side)) {
            line.iter_mut().zip(row).for_each(|(c, &v)| c.re = v);
        }
        self.transform(&mut values, &self.forward);
        values
    }

    /// A two-dimensional transform: rows, transposed, rows again. The transposition stays: a transform there and back
    /// undoes it, and spectra are only multiplied with each other.
    fn transform(&self, values: &mut [Complex32], fft: &Arc<dyn Fft<f32>>) {
        fft.process(values);
        for y in 0..self.side {
            for x in y + 1..self.side {
                values.swap(y * self.side + x, x * self.side + y);
            }
        }
        fft.process(values);
    }
}

/// `g` turned about its centre; what comes from outside is 0.
fn turned(g: &Gray, back: &Similarity) -> Gray {
    let inside = |(x, y): (f32, f32)| x >= 0.0 && y >= 0.0 && x <= g.width as f32 && y <= g.height as f32;
    let value = |i: usize| {
        let p = back.apply(((i % g.width) as f32 + 0.5, (i / g.width) as f32 + 0.5));
        if inside(p) { g.sample(p.0, p.1) } else { 0.0 }
    };
    Gray { data: (0..g.data.len()).map(value).collect(), ..*g }
}
