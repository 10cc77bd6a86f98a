//! Whitening: directions in which good parts differ count little, directions in which they never do count much.

/// A linear map `W` with `|W e|^2 = e' C^-1 e` for the covariance `C` that it was made of: the squared Mahalanobis
/// distance. It is the inverse of the Cholesky factor, lower triangular, kept column by column: applying it adds up
/// columns, which the compiler turns into vector instructions.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Whitening {
    dim: usize,
    columns: Vec<f32>,
}

impl Whitening {
    /// From vectors of length `dim`, one after the other, that are differences from their mean already. `shrinkage` is
    /// the share of the mean variance that is added to every direction, so that those seldom seen are not blown up.
    pub fn learn(differences: &[f32], dim: usize, shrinkage: f64) -> Self {
        let count = (differences.len() / dim).max(1);
        let mut covariance = vec![0f64; dim * dim];
        for e in differences.chunks_exact(dim) {
            for i in 0..dim {
                for j in 0..=i {
                    covariance[i * dim + j] += (e[i] * e[j]) as f64;
                }
            }
        }
        covariance.iter_mut().for_each(|v| *v /= count as f64);
        let mean = (0..dim).map(|i| covariance[i * dim + i]).sum::<f64>() / dim as f64;
        for i in 0..dim {
            covariance[i * dim + i] += shrinkage * mean + 1e-9;
        }
        Whitening { dim, columns: inverse_of_factor(covariance, dim) }
    }

    /// Restored from the values that [`Whitening::values`] gave.
    pub fn from_values(dim: usize, values: &[f32]) -> Self {
        Whitening { dim, columns: values.to_vec() }
    }

    /// `dim * dim` values, column by column.
    pub fn values(&self) -> &[f32] {
        &self.columns
    }

    /// Length of the vectors.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Writes `W e` to `out`; both have `dim` values.
    pub fn apply(&self, e: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        for (column, value) in self.columns.chunks_exact(self.dim).zip(e) {
            out.iter_mut().zip(column).for_each(|(sum, w)| *sum += w * value);
        }
    }
}

/// Cholesky factor of a symmetric positive matrix given by its lower half, inverted; column by column.
fn inverse_of_factor(mut m: Vec<f64>, n: usize) -> Vec<f32> {
    for i in 0..n {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| m[i * n + k] * m[j * n + k]).sum();
            let rest = m[i * n + j] - dot;
            // Rounding can take a tiny pivot below zero; the shrinkage keeps real ones well above.
            m[i * n + j] = if i == j { rest.max(1e-12).sqrt() } else { rest / m[j * n + j] };
        }
    }
    let mut inverse = vec![0f64; n * n];
    for j in 0..n {
        inverse[j * n + j] = 1.0 / m[j * n + j];
        for i in j + 1..n {
            let dot: f64 = (j..i).map(|k| m[i * n + k] * inverse[k * n + j]).sum();
            inverse[i * n + j] = -dot / m[i * n + i];
        }
    }
    (0..n * n).map(|i| inverse[i % n * n + i / n] as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whitened_differences_have_unit_covariance() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut noise = || (0..12).map(|_| rng.f32()).sum::<f32>() - 6.0;
        let data: Vec<f32> = (0..4000)
            .flat_map(|_| {
                let (a, b) = (noise(), noise());
                [3.0 * a, a + 0.1 * b, b - 2.0 * a]
            })
            .collect();
        let w = Whitening::learn(&data, 3, 0.0);
        let mut sums = [0f32; 9];
        for e in data.chunks_exact(3) {
            let mut out = [0f32; 3];
            w.apply(e, &mut out);
            for i in 0..3 {
                for j in 0..3 {
                    sums[i * 3 + j] += out[i] * out[j] / 4000.0;
                }
            }
        }
        // The three values lie in a plane: the third direction is rounding noise and left alone.
        for (i, want) in [(0, 1.0), (4, 1.0), (1, 0.0), (3, 0.0)] {
            assert!((sums[i] - want).abs() < 0.01, "{sums:?}");
        }
    }
}
