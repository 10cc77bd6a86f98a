//! The linear equations of a least-squares step.

/// Gauss-Jordan on a symmetric positive matrix; a little is added to the diagonal so that a blank image has an inverse.
pub fn invert<const N: usize>(mut m: [[f64; N]; N]) -> [[f32; N]; N] {
    let mut inverse = [[0f64; N]; N];
    for i in 0..N {
        m[i][i] = m[i][i] * (1.0 + 1e-6) + 1e-3;
        inverse[i][i] = 1.0;
    }
    for i in 0..N {
        let pivot = m[i][i];
        for k in 0..N {
            m[i][k] /= pivot;
            inverse[i][k] /= pivot;
        }
        for j in (0..N).filter(|&j| j != i) {
            let factor = m[j][i];
            for k in 0..N {
                m[j][k] -= factor * m[i][k];
                inverse[j][k] -= factor * inverse[i][k];
            }
        }
    }
    inverse.map(|row| row.map(|v| v as f32))
}
