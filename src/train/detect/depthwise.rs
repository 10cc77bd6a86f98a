//! Depthwise convolution with its gradients, which candle splits into one convolution a channel.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Error, Layout, Result, Shape, Tensor};

/// Side of the kernel.
pub const SIDE: usize = 5;
const TAPS: usize = SIDE * SIDE;
const HALF: usize = SIDE / 2;

/// `maps` (C x H x W) convolved channel by channel with `kernels` (C x 25, row by row), zeros beyond the border, plus `bias`
/// (C); then ReLU.
pub fn depthwise_relu(maps: &Tensor, kernels: &Tensor, bias: &Tensor) -> Result<Tensor> {
    maps.apply_op3(kernels, bias, Forward)?.relu()
}

struct Forward;
/// The gradient for the maps: the same sum with the kernels turned by 180 degrees.
struct ForMaps;
/// The gradient for the kernels: each tap's product of the maps, shifted, with what comes back.
struct ForKernels;

/// The values of a tensor that lies in one piece.
fn plain<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let all = storage.as_slice::<f32>()?;
    let (start, end) = layout.contiguous_offsets().ok_or_else(|| Error::Msg("not in one piece".into()))?;
    Ok(&all[start..end])
}

/// A plane with [`HALF`] zeros around it, and its width.
fn padded(plane: &[f32], width: usize, room: &mut Vec<f32>) -> usize {
    let wide = width + 2 * HALF;
    room.clear();
    room.resize((plane.len() / width + 2 * HALF) * wide, 0.0);
    for (y, row) in plane.chunks_exact(width).enumerate() {
        let start = (y + HALF) * wide + HALF;
        room[start..start + width].copy_from_slice(row);
    }
    wide
}

/// Adds to each row of `out` the rows of the `padded` plane around it, weighted by `taps`.
fn convolve(padded: &[f32], wide: usize, width: usize, taps: &[f32], out: &mut [f32]) {
    for (y, row) in out.chunks_exact_mut(width).enumerate() {
        for (dy, taps) in taps.chunks_exact(SIDE).enumerate() {
            let source = &padded[(y + dy) * wide..(y + dy + 1) * wide];
            let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|dx| &source[dx..dx + width]);
            let [ta, tb, tc, td, te] = [0, 1, 2, 3, 4].map(|dx| taps[dx]);
            for (x, out) in row.iter_mut().enumerate() {
                *out += ta * a[x] + tb * b[x] + tc * c[x] + td * d[x] + te * e[x];
            }
        }
    }
}

fn sides(layout: &Layout) -> Result<(usize, usize, usize)> {
    layout.shape().dims3()
}

impl CustomOp3 for Forward {
    fn name(&self) -> &'static str {
        "depthwise"
    }

    fn cpu_fwd(
        &self,
        maps: &CpuStorage,
        maps_at: &Layout,
        kernels: &CpuStorage,
        kernels_at: &Layout,
        bias: &CpuStorage,
        bias_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (channels, height, width) = sides(maps_at)?;
        let (maps, kernels, bias) = (plain(maps, maps_at)?, plain(kernels, kernels_at)?, plain(bias, bias_at)?);
        let mut out = vec![0f32; maps.len()];
        let mut room = Vec::new();
        let planes = maps.chunks_exact(height * width).zip(out.chunks_exact_mut(height * width));
        for ((plane, out), (taps, bias)) in planes.zip(kernels.chunks_exact(TAPS).zip(bias)) {
            let wide = padded(plane, width, &mut room);
            out.fill(*bias);
            convolve(&room, wide, width, taps, out);
        }
        Ok((CpuStorage::F32(out), Shape::from((channels, height, width))))
    }

    fn bwd(
        &self,
        maps: &Tensor,
        kernels: &Tensor,
        _: &Tensor,
        _: &Tensor,
        back: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let back = back.contiguous()?;
        let for_maps = back.apply_op2_no_bwd(kernels, &ForMaps)?;
        let for_kernels = maps.contiguous()?.apply_op2_no_bwd(&back, &ForKernels)?;
        Ok((Some(for_maps), Some(for_kernels), Some(back.sum((1, 2))?)))
    }
}

impl CustomOp2 for ForMaps {
    fn name(&self) -> &'static str {
        "depthwise-for-maps"
    }

    fn cpu_fwd(
        &self,
        back: &CpuStorage,
        back_at: &Layout,
        kernels: &CpuStorage,
        kernels_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (channels, height, width) = sides(back_at)?;
        let (back, kernels) = (plain(back, back_at)?, plain(kernels, kernels_at)?);
        let mut out = vec![0f32; back.len()];
        let mut room = Vec::new();
        let planes = back.chunks_exact(height * width).zip(out.chunks_exact_mut(height * width));
        for ((plane, out), taps) in planes.zip(kernels.chunks_exact(TAPS)) {
            let wide = padded(plane, width, &mut room);
            let turned: Vec<f32> = taps.iter().rev().copied().collect();
            convolve(&room, wide, width, &turned, out);
        }
        Ok((CpuStorage::F32(out), Shape::from((channels, height, width))))
    }
}

impl CustomOp2 for ForKernels {
    fn name(&self) -> &'static str {
        "depthwise-for-kernels"
    }

    fn cpu_fwd(
        &self,
        maps: &CpuStorage,
        maps_at: &Layout,
        back: &CpuStorage,
        back_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (channels, height, width) = sides(maps_at)?;
        let (maps, back) = (plain(maps, maps_at)?, plain(back, back_at)?);
        let mut out = Vec::with_capacity(channels * TAPS);
        let mut room = Vec::new();
        for (plane, back) in maps.chunks_exact(height * width).zip(back.chunks_exact(height * width)) {
            let wide = padded(plane, width, &mut room);
            let mut taps = [0f32; TAPS];
            for (y, back) in back.chunks_exact(width).enumerate() {
                for (tap, sum) in taps.iter_mut().enumerate() {
                    let start = (y + tap / SIDE) * wide + tap % SIDE;
                    *sum += dot(&room[start..start + width], back);
                }
            }
            out.extend(taps);
        }
        Ok((CpuStorage::F32(out), Shape::from((channels, TAPS))))
    }
}

/// In sixteen running sums, so that the compiler can use wide registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; 16];
    let (a, b) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for i in 0..16 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    fn random(shape: &[usize], seed: u64) -> Var {
        let mut random = fastrand::Rng::with_seed(seed);
        let data: Vec<f32> = (0..shape.iter().product()).map(|_| random.f32() - 0.5).collect();
        Var::from_vec(data, shape, &Device::Cpu).unwrap()
    }

    /// Values and gradients are those of candle's own convolution.
    #[test]
    fn equals_a_grouped_convolution() {
        let (maps, kernels, bias) = (random(&[3, 7, 19], 1), random(&[3, TAPS], 2), random(&[3], 3));
        let weights = random(&[3, 7, 19], 4);
        let own = (depthwise_relu(&maps, &kernels, &bias).unwrap() * weights.as_tensor()).unwrap();
        let theirs = maps.unsqueeze(0).unwrap().conv2d(&kernels.reshape((3, 1, 5, 5)).unwrap(), HALF, 1, 1, 3).unwrap();
        let theirs = theirs.broadcast_add(&bias.reshape((1, 3, 1, 1)).unwrap()).unwrap().relu().unwrap();
        let theirs = (theirs.squeeze(0).unwrap() * weights.as_tensor()).unwrap();
        let own_grads = own.sum_all().unwrap().backward().unwrap();
        let their_grads = theirs.sum_all().unwrap().backward().unwrap();
        let near = |a: &Tensor, b: &Tensor| {
            let most = (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(most < 1e-4, "{most}");
        };
        near(&own, &theirs);
        for var in [&maps, &kernels, &bias] {
            near(own_grads.get(var).unwrap(), their_grads.get(var).unwrap());
        }
    }
}
