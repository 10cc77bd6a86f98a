//! Descriptors straight from the pixels: what the eye would call colour, edges and grain. No network.

use super::align::box_mean;
use super::places::{Grid, three_tap};
use crate::error::Result;
use crate::image::{Gray, Image};
use crate::preprocess;

/// Long or short, a view is brought to about this many pixels a side first.
const SIDE: f32 = 256.0;
/// Added before the logarithm in grey levels: below it a picture is noise.
const DARK: f32 = 8.0;
/// At each scale, radii of the box blurs that take the colours from the scale before to sigmas of about 1, 2 and 4
/// pixels; those that take the gray of the scale before to about 0.7 of that, for edges; and the one that is taken off
/// that for blobs. Radius 0 stands for the kernel (1, 2, 1) / 4, finer than any box.
const SCALES: [(&[usize], &[usize], usize); 3] = [(&[0, 0], &[0], 2), (&[1, 2], &[1], 5), (&[4, 4], &[2, 2], 10)];
/// Values a cell: three colours and three filters at each of three scales.
pub(super) const DIM: usize = 18;

/// Colour (logarithmic, so that light is an offset), edge strength along both axes and blob strength at three scales,
/// averaged over cells of `cell` pixels of a view of about 256 pixels a side.
pub(super) fn describe(view: &Image, cell: usize) -> Result<Grid> {
    let gain = SIDE / ((view.width() as f32) * (view.height() as f32)).sqrt();
    let side = |length: u32| (((length as f32 * gain) / cell as f32).round() as u32).max(2) * cell as u32;
    let (width, height) = (side(view.width()), side(view.height()));
    let small = preprocess::resize(view, width, height)?;
    let (width, height) = (width as usize, height as usize);
    let logarithm: Vec<f32> = (0..256).map(|v| (v as f32 + DARK).ln()).collect();
    let mut colours: [Gray; 3] = std::array::from_fn(|c| Gray {
        width,
        height,
        data: small.data().iter().skip(c).step_by(3).map(|&v| logarithm[v as usize]).collect(),
    });
    let mut grid = Grid::zeros(width / cell, height / cell, DIM);
    for (scale, (colour, edge, blob)) in SCALES.into_iter().enumerate() {
        let first = scale * DIM / SCALES.len();
        let fine = blur(luma(&colours), edge);
        let coarse = box_mean(&fine, blob);
        for (c, channel) in colours.iter_mut().enumerate() {
            *channel = blur(std::mem::replace(channel, Gray::filled(0, 0, 0.0)), colour);
            grid.add_cells(first + c, cell, |x, y| channel.at(x, y));
        }
        let at = |x: usize, y: usize| fine.at(x.min(width - 1), y.min(height - 1));
        grid.add_cells(first + 3, cell, |x, y| (at(x + 1, y) - at(x.saturating_sub(1), y)).abs());
        grid.add_cells(first + 4, cell, |x, y| (at(x, y + 1) - at(x, y.saturating_sub(1))).abs());
        grid.add_cells(first + 5, cell, |x, y| (fine.at(x, y) - coarse.at(x, y)).abs());
    }
    Ok(grid)
}

fn luma([r, g, b]: &[Gray; 3]) -> Gray {
    let data = r.data.iter().zip(&g.data).zip(&b.data).map(|((r, g), b)| 0.299 * r + 0.587 * g + 0.114 * b).collect();
    Gray { data, ..*r }
}

fn blur(g: Gray, radii: &[usize]) -> Gray {
    radii.iter().fold(g, |g, &radius| if radius == 0 { three_tap(&g, 0.25) } else { box_mean(&g, radius) })
}
