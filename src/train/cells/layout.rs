//! Where the cells lie on the trunk's maps: the weights that pool a map over each cell, the squares that count, and which
//! cell is the mirror image of which.

use crate::cells::Cells;

/// Corners that differ by less than this share of the picture are the same: configurations hold rounded numbers.
const SAME_PLACE: f32 = 0.01;

/// The cells on maps of one size.
#[derive(Debug, Clone, PartialEq)]
pub struct Pooling {
    /// Squares of the map that some cell touches, as row * columns + column, ascending.
    pub used: Vec<usize>,
    /// Cells x used squares: what each square adds to the mean over the cell; a row sums to 1.
    pub weights: Vec<f32>,
    /// All squares of the map.
    pub squares: usize,
}

impl Pooling {
    /// For a map of `columns` x `rows` squares.
    pub fn new(cells: &Cells, columns: usize, rows: usize) -> Self {
        let grids: Vec<Vec<f32>> = cells.areas.iter().map(|a| a.grid(columns, rows)).collect();
        let used: Vec<usize> = (0..columns * rows).filter(|&s| grids.iter().any(|g| g[s] > 0.0)).collect();
        let row = |grid: &Vec<f32>| {
            let sum: f32 = used.iter().map(|&s| grid[s]).sum();
            used.iter().map(|&s| grid[s] / sum.max(f32::MIN_POSITIVE)).collect::<Vec<_>>()
        };
        Pooling { weights: grids.iter().flat_map(row).collect(), used, squares: columns * rows }
    }

    /// Cells x all squares of the map.
    pub fn whole(&self) -> Vec<f32> {
        let mut whole = Vec::new();
        for row in self.weights.chunks(self.used.len().max(1)) {
            let start = whole.len();
            whole.resize(start + self.squares, 0.0);
            for (&square, &weight) in self.used.iter().zip(row) {
                whole[start + square] = weight;
            }
        }
        whole
    }
}

/// For each cell the one that lies at its mirrored place, left and right exchanged; `None` if any cell has no such partner:
/// then a mirrored picture has no labels.
pub fn mirrored(cells: &Cells) -> Option<Vec<usize>> {
    // How far the corner lies that is farthest from all of the other's.
    let apart = |a: &[(f32, f32)], b: &[(f32, f32)]| {
        let between = |p: &(f32, f32), q: &(f32, f32)| (p.0 - q.0).abs().max((p.1 - q.1).abs());
        a.iter().map(|p| b.iter().map(|q| between(p, q)).fold(f32::MAX, f32::min)).fold(0.0, f32::max)
    };
    let corners: Vec<Vec<(f32, f32)>> = cells.areas.iter().map(|a| a.corners()).collect();
    let partner = |own: &Vec<(f32, f32)>| {
        let turned: Vec<(f32, f32)> = own.iter().map(|&(x, y)| (1.0 - x, y)).collect();
        let others = corners.iter().enumerate().filter(|(_, other)| other.len() == turned.len());
        let (distance, at) = others.map(|(i, other)| (apart(&turned, other), i)).min_by(|a, b| a.0.total_cmp(&b.0))?;
        (distance < SAME_PLACE).then_some(at)
    };
    let order: Vec<usize> = corners.iter().map(partner).collect::<Option<_>>()?;
    // Cells that lie close together must not share a partner.
    order.iter().enumerate().all(|(i, &other)| order[other] == i).then_some(order)
}

/// The bits of a mirrored picture.
pub fn mirror_bits(bits: &[bool], order: &[usize], width: usize) -> Vec<bool> {
    order.iter().flat_map(|&cell| bits.iter().skip(cell * width).take(width).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(areas: &str) -> Cells {
        let count = areas.matches('[').count();
        let text = format!(
            "{{\"Labels\":{{\"LabelList\":[\"a\"],\"LabelNumber\":1}},\"COIs\":{{\"COINumber\":{count},{areas}}}}}"
        );
        Cells::parse("test", &text).unwrap()
    }

    #[test]
    fn a_mean_over_each_cell() {
        let cells = cells(r#""1":["rectangle",0,0,0.5,0.5],"2":["rectangle",0.25,0,0.5,0.25]"#);
        let pooling = Pooling::new(&cells, 4, 4);
        assert_eq!(pooling.used, [0, 1, 2, 4, 5]);
        assert_eq!(pooling.weights, [0.25, 0.25, 0.0, 0.25, 0.25, 0.0, 0.5, 0.5, 0.0, 0.0]);
        let whole = pooling.whole();
        assert_eq!((whole.len(), whole[4], whole[16 + 1], whole[16 + 3]), (32, 0.25, 0.5, 0.0));
    }

    #[test]
    fn partners() {
        let pair =
            cells(r#""1":["rectangle",0,0,0.4,1],"2":["polygon",1,0,1,1,0.6,1,0.6,0],"3":["rectangle",0.4,0,0.2,1]"#);
        assert_eq!(mirrored(&pair), Some(vec![1, 0, 2]));
        assert_eq!(
            mirror_bits(&[true, false, false, true, false, false], &[1, 0, 2], 2),
            [false, true, true, false, false, false]
        );
        assert_eq!(mirrored(&cells(r#""1":["rectangle",0,0,0.4,1]"#)), None);
        // Columns narrower than what may lie between a cell and its partner.
        let column = |i: usize| format!("\"{}\":[\"rectangle\",{},0,{},1]", i + 1, i as f64 / 120.0, 1.0 / 120.0);
        let columns = cells(&(0..120).map(column).collect::<Vec<_>>().join(","));
        assert_eq!(mirrored(&columns), Some((0..120).rev().collect()));
    }
}
