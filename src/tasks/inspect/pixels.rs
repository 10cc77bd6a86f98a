//! Descriptors straight from the pixels: what the eye would call colour, edges and grain. No network.

use super::places::Grid;
use crate::error::Result;
use crate::image::{Gray, Image};
use crate::preprocess;

/// Long or short, a view is brought to about this many pixels a side first.
const SIDE: f32 = 256.0;
/// Added before the logarithm in grey levels: below it a picture is noise.
const DARK: f32 = 8.0;
/// Radii of the blurs; each is applied to the result of the one before, so that the sigmas are about 1, 2 and 4 pixels.
const RADII: [usize; 3] = [1, 3, 6];
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
    for (scale, radius) in RADII.into_iter().enumerate() {
        let first = scale * 6;
        let gray = luma(&colours);
        for c in 0..3 {
            colours[c] = gray_mean(&colours[c], radius);
            grid.add_cells(first + c, cell, |x, y| colours[c].at(x, y));
        }
        // Edges and blobs of the picture as it was before this scale's blur of the colours, a little finer.
        let fine = gray_mean(&gray, radius / 2);
        let coarse = gray_mean(&gray, radius);
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

fn gray_mean(g: &Gray, radius: usize) -> Gray {
    if radius == 0 { g.clone() } else { super::align::box_mean(g, radius) }
}
