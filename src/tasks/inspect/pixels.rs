//! Descriptors straight from the pixels: what the eye would call colour, edges and grain. No network.

use super::places::{Grid, three_tap};
use crate::error::Result;
use crate::image::{Gray, Image};
use crate::preprocess;
use crate::preprocess::filters::{box_mean, halve};

/// Long or short, a view is brought to about this many pixels a side first.
const SIDE: f32 = 256.0;
/// Added before the logarithm in grey levels: below it a picture is noise.
const DARK: f32 = 8.0;
/// Each scale is half the size of the one before.
const SCALES: usize = 3;
/// Three colours, edge strength along both axes, blob strength.
const FILTERS: usize = 6;

/// Colour (logarithmic, so that light is an offset), edge strength along both axes and blob strength at three scales,
/// averaged over cells of `cell` pixels (4 or more, a power of two) of a view of about 256 pixels a side.
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
    let mut grid = Grid::zeros(width / cell, height / cell, SCALES * FILTERS);
    for scale in 0..SCALES {
        let (first, cell) = (scale * FILTERS, cell >> scale);
        let fine = three_tap(&luma(&colours), BINOMIAL);
        let coarse = box_mean(&fine, BLOB_RADIUS);
        let (w, h) = (fine.width, fine.height);
        grid.add_cells(first + 3, cell, |x, y| {
            (fine.at((x + 1).min(w - 1), y) - fine.at(x.saturating_sub(1), y)).abs()
        });
        grid.add_cells(first + 4, cell, |x, y| {
            (fine.at(x, (y + 1).min(h - 1)) - fine.at(x, y.saturating_sub(1))).abs()
        });
        grid.add_cells(first + 5, cell, |x, y| (fine.at(x, y) - coarse.at(x, y)).abs());
        for (c, channel) in colours.iter_mut().enumerate() {
            let smooth = three_tap(&three_tap(channel, BINOMIAL), BINOMIAL);
            grid.add_cells(first + c, cell, |x, y| smooth.at(x, y));
            *channel = halve(&smooth);
        }
    }
    Ok(grid)
}

/// The kernel (1, 2, 1) / 4.
const BINOMIAL: f32 = 0.25;
/// A blob is what the mean over five pixels a side does not hold.
const BLOB_RADIUS: usize = 2;

fn luma([r, g, b]: &[Gray; 3]) -> Gray {
    let data = r.data.iter().zip(&g.data).zip(&b.data).map(|((r, g), b)| 0.299 * r + 0.587 * g + 0.114 * b).collect();
    Gray { data, ..*r }
}
