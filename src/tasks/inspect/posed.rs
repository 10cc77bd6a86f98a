//! Parts with a pose: a Gaussian a place, as in PaDiM (Defard et al. 2021), but with one covariance for all places and a
//! scale for each, since twenty good parts are too few for a covariance a place.

use super::memory::Store;
use super::places::{Grid, Samples, smooth_map};
use super::whiten::Whitening;
use crate::error::{Error, Result};
use crate::image::Gray;

/// Share of the mean variance added to each direction.
const SHRINKAGE: f64 = 0.01;
/// Share of the mean scale in the scale of each place: 20 parts measure it only roughly.
const SCALE_PRIOR: f32 = 0.3;

/// What good parts look like at each place.
#[derive(Debug)]
pub(super) struct Posed {
    mean: Grid,
    whitening: Whitening,
    /// Mean squared whitened distance of good parts, cell by cell.
    variance: Vec<f32>,
}

impl Posed {
    /// Learns from descriptions of good parts and their relit copies. Returns also the squared distances of the copies
    /// from a mean that their own part has no share in.
    pub fn learn(samples: &Samples) -> (Self, Vec<Gray>) {
        let mean = mean_of(samples);
        let (cells, dim) = (mean.width * mean.height, mean.dim);
        let part_of = |copy: usize| copy / samples.copies_each;
        let all: Vec<(&Grid, &Vec<bool>)> = samples
            .goods
            .iter()
            .zip(&samples.seen)
            .chain(samples.copies.iter().enumerate().map(|(i, g)| (g, &samples.seen[part_of(i)])))
            .collect();
        let mut differences = Vec::with_capacity(all.len() * cells * dim);
        for (grid, seen) in &all {
            for ((cell, mean), _) in grid.cells().zip(mean.cells()).zip(seen.iter()).filter(|(_, seen)| **seen) {
                differences.extend(cell.iter().zip(mean).map(|(v, m)| v - m));
            }
        }
        let whitening = Whitening::learn(&differences, dim, SHRINKAGE);
        let mut posed = Posed { mean, whitening, variance: vec![1.0; cells] };
        let mut sums = vec![0f32; cells];
        let mut counts = vec![0f32; cells];
        for (grid, seen) in &all {
            let map = posed.squares(grid);
            for i in (0..cells).filter(|&i| seen[i]) {
                sums[i] += map.data[i];
                counts[i] += 1.0;
            }
        }
        let spread: Vec<f32> = sums.iter().zip(&counts).map(|(s, n)| s / n.max(1.0)).collect();
        let shown = counts.iter().filter(|n| **n > 0.0).count().max(1);
        let overall = spread.iter().sum::<f32>() / shown as f32;
        let smooth = smooth_map(&Gray { width: posed.mean.width, height: posed.mean.height, data: spread });
        posed.variance =
            smooth.data.iter().map(|v| (SCALE_PRIOR * overall + (1.0 - SCALE_PRIOR) * v).max(1e-6)).collect();
        // Without its own part the mean would lie further away by this factor.
        let count = samples.goods.len() as f32;
        let apart = (count / (count - 1.0)).powi(2);
        let held_out = samples.copies.iter().enumerate().map(|(i, grid)| {
            let mut map = posed.squares(grid);
            for (v, seen) in map.data.iter_mut().zip(&samples.seen[part_of(i)]) {
                *v *= if *seen { apart } else { 0.0 };
            }
            map
        });
        let held_out = held_out.collect();
        (posed, held_out)
    }

    /// Squared distances from the good parts, cell by cell, in units of their variance there.
    pub fn distances(&self, grid: &Grid) -> Result<Gray> {
        let mean = &self.mean;
        if (grid.width, grid.height, grid.dim) != (mean.width, mean.height, mean.dim) {
            return Err(Error::Input(format!(
                "a view has {}x{} places of {} values, the memory {}x{} of {}; learn the recipe again",
                grid.width, grid.height, grid.dim, mean.width, mean.height, mean.dim
            )));
        }
        Ok(self.squares(grid))
    }

    fn squares(&self, grid: &Grid) -> Gray {
        let dim = grid.dim;
        let mut difference = vec![0f32; dim];
        let mut white = vec![0f32; dim];
        let data = grid
            .cells()
            .zip(self.mean.cells())
            .zip(&self.variance)
            .map(|((cell, mean), variance)| {
                difference.iter_mut().zip(cell.iter().zip(mean)).for_each(|(d, (v, m))| *d = v - m);
                self.whitening.apply(&difference, &mut white);
                white.iter().map(|v| v * v).sum::<f32>() / dim as f32 / variance
            })
            .collect();
        Gray { width: grid.width, height: grid.height, data }
    }

    pub fn write(&self, store: &mut Store, name: &str) {
        let mean = &self.mean;
        store.put(&format!("{name}.mean"), &[mean.height, mean.width, mean.dim], &mean.values);
        store.put(&format!("{name}.whitening"), &[mean.dim, mean.dim], self.whitening.values());
        store.put(&format!("{name}.variance"), &[mean.height, mean.width], &self.variance);
    }

    pub fn read(store: &Store, name: &str) -> Result<Self, String> {
        let ([height, width, dim], mean) = store.array(&format!("{name}.mean"))?;
        let ([a, b], whitening) = store.array(&format!("{name}.whitening"))?;
        let (spread, variance) = store.array::<2>(&format!("{name}.variance"))?;
        if (a, b) != (dim, dim) || spread != [height, width] || width * height * dim == 0 {
            return Err("its arrays do not fit together".into());
        }
        if variance.iter().any(|v| *v <= 0.0) {
            return Err("a variance is not positive".into());
        }
        Ok(Posed {
            mean: Grid { width, height, dim, values: mean.to_vec() },
            whitening: Whitening::from_values(dim, whitening),
            variance: variance.to_vec(),
        })
    }
}

/// The mean description of the good parts, of those that show a place; where none does, of all.
fn mean_of(samples: &Samples) -> Grid {
    let first = &samples.goods[0];
    let mut mean = Grid::zeros(first.width, first.height, first.dim);
    for (i, cell) in mean.values.chunks_exact_mut(first.dim).enumerate() {
        let showing = samples.seen.iter().filter(|s| s[i]).count();
        let counted = |good: usize| showing == 0 || samples.seen[good][i];
        let count = if showing == 0 { samples.goods.len() } else { showing } as f32;
        for (_, grid) in samples.goods.iter().enumerate().filter(|(g, _)| counted(*g)) {
            let values = &grid.values[i * first.dim..][..first.dim];
            cell.iter_mut().zip(values).for_each(|(m, v)| *m += v / count);
        }
    }
    mean
}
