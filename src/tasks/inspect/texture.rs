//! Textures: nearest neighbours in a memory of good patches, wherever they were, as in PatchCore (Roth et al. 2022).

use super::memory::Store;
use super::places::{Grid, Samples};
use super::whiten::Whitening;
use crate::error::{Error, Result};
use crate::image::Gray;
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// Share of the mean variance added to each direction.
const SHRINKAGE: f64 = 0.01;
/// Patches kept.
const PATCHES: usize = 4000;
/// Places compared at once: their products with all patches stay within 2 MB.
const BATCH: usize = 128;
/// Share of the goods' standard deviation that is added to that of a picture, for channels that are flat in it.
const FLAT: f32 = 0.05;

/// Patches of good parts.
#[derive(Debug)]
pub(super) struct Texture {
    /// Standard deviation of each channel over the good parts.
    spread: Vec<f32>,
    whitening: Whitening,
    /// Whitened patches, one a column.
    patches: Array2<f32>,
    /// Half the squared length of each patch.
    half_norms: Vec<f32>,
}

impl Texture {
    /// Learns from descriptions of good parts and their relit copies. Returns also the squared distances of the copies
    /// from the patches of the other parts.
    pub fn learn(samples: Samples, seed: u64) -> Result<(Self, Vec<Gray>)> {
        let Samples { goods, copies, copies_each, .. } = samples;
        let dim = goods[0].dim;
        let spread = deviations(goods.iter().flat_map(Grid::cells), dim).1;
        let parts: Vec<usize> = (0..goods.len()).chain((0..copies.len()).map(|i| i / copies_each)).collect();
        let count = goods.len();
        let mut grids: Vec<Grid> = goods.into_iter().chain(copies).collect();
        grids.iter_mut().for_each(|g| standardise(g, &spread));
        let values: Vec<f32> = grids.iter().flat_map(|g| g.values.iter().copied()).collect();
        let whitening = Whitening::learn(&values, dim, SHRINKAGE);
        let cells = values.len() / dim;
        let each = cells / grids.len();
        let mut chosen: Vec<usize> = (0..cells).collect();
        fastrand::Rng::with_seed(seed).shuffle(&mut chosen);
        chosen.truncate(PATCHES);
        let white: Vec<f32> = chosen.iter().flat_map(|i| whitened(&whitening, &values[i * dim..][..dim])).collect();
        let texture = Texture::new(spread, whitening, white)?;
        let owners: Vec<usize> = chosen.iter().map(|i| parts[i / each]).collect();
        let held_out = grids[count..]
            .par_iter()
            .zip(&parts[count..])
            .map(|(grid, own)| texture.nearest(grid, |patch| owners[patch] != *own))
            .collect::<Result<_>>()?;
        Ok((texture, held_out))
    }

    /// `white`: whitened patches one after the other.
    fn new(spread: Vec<f32>, whitening: Whitening, white: Vec<f32>) -> Result<Self> {
        let dim = whitening.dim();
        let half_norms = white.chunks_exact(dim).map(|p| p.iter().map(|v| v * v).sum::<f32>() / 2.0).collect();
        let patches = Array2::from_shape_vec((white.len() / dim, dim), white)
            .map_err(|e| Error::Internal(format!("a memory of patches: {e}")))?
            .reversed_axes();
        Ok(Texture { spread, whitening, patches, half_norms })
    }

    /// Squared distances from the nearest good patch, cell by cell, a value of the whitened descriptor.
    pub fn distances(&self, mut grid: Grid) -> Result<Gray> {
        if grid.dim != self.spread.len() {
            return Err(Error::Input(format!(
                "a view has {} values a place, the memory {}; learn the recipe again",
                grid.dim,
                self.spread.len()
            )));
        }
        standardise(&mut grid, &self.spread);
        self.nearest(&grid, |_| true)
    }

    /// The same for a standardised grid and those of the patches that `counts` admits.
    fn nearest(&self, grid: &Grid, counts: impl Fn(usize) -> bool) -> Result<Gray> {
        let white: Vec<f32> = grid.cells().flat_map(|c| whitened(&self.whitening, c)).collect();
        let query = ArrayView2::from_shape((white.len() / grid.dim, grid.dim), &white)
            .map_err(|e| Error::Internal(format!("a grid of patches: {e}")))?;
        let penalty: Vec<f32> =
            self.half_norms.iter().enumerate().map(|(i, h)| if counts(i) { *h } else { f32::INFINITY }).collect();
        // |q - p|^2 / 2 = |q|^2 / 2 - (q p - |p|^2 / 2): the nearest patch has the largest bracket.
        let mut data = Vec::with_capacity(query.nrows());
        for batch in query.axis_chunks_iter(Axis(0), BATCH) {
            let products = batch.dot(&self.patches);
            for (row, q) in products.outer_iter().zip(batch.outer_iter()) {
                let best = largest_difference(
                    row.as_slice().ok_or_else(|| Error::Internal("products of patches in column order".into()))?,
                    &penalty,
                );
                let own = q.iter().map(|v| v * v).sum::<f32>();
                data.push(((own - 2.0 * best) / grid.dim as f32).max(0.0));
            }
        }
        Ok(Gray { width: grid.width, height: grid.height, data })
    }

    pub fn write(&self, store: &mut Store, name: &str) {
        let dim = self.spread.len();
        let patches: Vec<f32> = self.patches.t().iter().copied().collect();
        store.put(&format!("{name}.spread"), &[dim], &self.spread);
        store.put(&format!("{name}.whitening"), &[dim, dim], self.whitening.values());
        store.put(&format!("{name}.patches"), &[patches.len() / dim, dim], &patches);
    }

    pub fn read(store: &Store, name: &str) -> Result<Self, String> {
        let ([dim], spread) = store.array(&format!("{name}.spread"))?;
        let ([a, b], whitening) = store.array(&format!("{name}.whitening"))?;
        let ([count, length], patches) = store.array(&format!("{name}.patches"))?;
        if (a, b, length) != (dim, dim, dim) || dim * count == 0 {
            return Err("its arrays do not fit together".into());
        }
        Texture::new(spread.to_vec(), Whitening::from_values(dim, whitening), patches.to_vec())
            .map_err(|e| e.to_string())
    }
}

/// The largest `a - b`, in lanes that the compiler turns into vector instructions.
fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut best = [f32::NEG_INFINITY; LANES];
    let (a_lanes, b_lanes) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_lanes.remainder().iter().zip(b_lanes.remainder());
    let rest = rest.fold(f32::NEG_INFINITY, |best, (a, b)| best.max(a - b));
    for (a, b) in a_lanes.zip(b_lanes) {
        for lane in 0..LANES {
            let difference = a[lane] - b[lane];
            best[lane] = if difference > best[lane] { difference } else { best[lane] };
        }
    }
    best.into_iter().fold(rest, f32::max)
}

fn whitened(whitening: &Whitening, cell: &[f32]) -> Vec<f32> {
    let mut out = vec![0f32; cell.len()];
    whitening.apply(cell, &mut out);
    out
}

/// Takes the picture's own mean and spread off each channel: light moves those, a small defect does not.
fn standardise(grid: &mut Grid, spread: &[f32]) {
    let (mean, own) = deviations(grid.cells(), grid.dim);
    for cell in grid.values.chunks_exact_mut(spread.len()) {
        for (c, v) in cell.iter_mut().enumerate() {
            *v = (*v - mean[c]) / (own[c] + FLAT * spread[c]).max(1e-6);
        }
    }
}

/// Mean and standard deviation of each channel.
fn deviations<'a>(cells: impl Iterator<Item = &'a [f32]> + Clone, dim: usize) -> (Vec<f32>, Vec<f32>) {
    let mut count = 0f64;
    let mut mean = vec![0f64; dim];
    for cell in cells.clone() {
        count += 1.0;
        mean.iter_mut().zip(cell).for_each(|(m, v)| *m += *v as f64);
    }
    mean.iter_mut().for_each(|m| *m /= count.max(1.0));
    let mut variance = vec![0f64; dim];
    for cell in cells {
        for c in 0..dim {
            variance[c] += (cell[c] as f64 - mean[c]).powi(2);
        }
    }
    let deviation = variance.iter().map(|v| (v / count.max(1.0)).sqrt() as f32).collect();
    (mean.into_iter().map(|m| m as f32).collect(), deviation)
}
