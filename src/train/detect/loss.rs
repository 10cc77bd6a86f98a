//! What the head should say about a picture, and how wrong it is.

use super::Sample;
use super::head::{Maps, STRIDES};
use candle_core::{CpuStorage, CustomOp1, Device, Error, Layout, Result, Shape, Tensor};

/// Cells whose middle lies in an object and less than this many strides from its middle stand for it: the centre sampling of
/// FCOS (Tian et al. 2019).
const RADIUS: f32 = 1.5;
/// Square roots of areas, in input pixels, from which on an object belongs to the coarser level.
const LEVELS: [f32; 1] = [192.0];
/// Weight of cells without an object and the exponent of their score: varifocal loss (Zhang et al. 2021).
const BACKGROUND: f32 = 0.75;
/// Weight of the boxes' loss against the classes'.
const BOXES: f64 = 2.0;

/// Cells that stand for objects.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Targets {
    /// Places among the cells of all levels.
    cells: Vec<u32>,
    classes: Vec<u32>,
    /// x1, y1, x2, y2 of the object of each, in input pixels.
    boxes: Vec<f32>,
    /// The middle and the stride of each cell.
    points: Vec<f32>,
    strides: Vec<f32>,
}

impl Targets {
    /// For the objects of `sample` on an input of `size` (width, height).
    pub fn new(sample: &Sample, size: [u32; 2]) -> Self {
        let mut best: std::collections::BTreeMap<u32, (f32, usize, f32, [f32; 2])> = Default::default();
        for (object, rect) in sample.boxes.iter().enumerate() {
            let side = rect.area().sqrt();
            let level = LEVELS.iter().filter(|&&limit| side >= limit).count();
            let stride = STRIDES[level] as f32;
            let [columns, rows] = size.map(|s| (s as usize / STRIDES[level]) as i64);
            let before: usize = STRIDES[..level].iter().map(|s| (size[0] as usize / s) * (size[1] as usize / s)).sum();
            let (cx, cy) = ((rect.x1 + rect.x2) / 2.0, (rect.y1 + rect.y2) / 2.0);
            // The middle may lie outside of a piece of a picture.
            let home = [(cx / stride).floor() as i64, (cy / stride).floor() as i64];
            let reach = RADIUS as i64 + 1;
            for y in (home[1] - reach).max(0)..(home[1] + reach + 1).min(rows) {
                for x in (home[0] - reach).max(0)..(home[0] + reach + 1).min(columns) {
                    let point = [(x as f32 + 0.5) * stride, (y as f32 + 0.5) * stride];
                    let near = (point[0] - cx).abs().max((point[1] - cy).abs()) < RADIUS * stride;
                    let inside = (rect.x1..rect.x2).contains(&point[0]) && (rect.y1..rect.y2).contains(&point[1]);
                    // Whatever is smaller than a cell still has the cell that its middle lies in.
                    if !(near && inside || [x, y] == home) {
                        continue;
                    }
                    // Of two objects on one cell it stands for the smaller.
                    let cell = (before as i64 + y * columns + x) as u32;
                    if best.get(&cell).is_none_or(|b| side < b.0) {
                        best.insert(cell, (side, object, stride, point));
                    }
                }
            }
        }
        let mut targets = Targets::default();
        for (cell, (_, object, stride, point)) in best {
            targets.cells.push(cell);
            targets.classes.push(sample.classes[object] as u32);
            targets.boxes.extend(<[f32; 4]>::from(sample.boxes[object]));
            targets.points.extend(point);
            targets.strides.push(stride);
        }
        targets
    }
}

impl Targets {
    /// How many cells stand for an object.
    pub fn count(&self) -> usize {
        self.cells.len()
    }
}

/// The loss of one picture, summed over its cells: varifocal loss of the classes, generalised IoU loss (Rezatofighi et al. 2019)
/// of the boxes.
pub fn loss(maps: &Maps, targets: &Targets) -> Result<Tensor> {
    let count = targets.cells.len();
    let mut ious = Vec::new();
    let mut boxes_loss = None;
    if count > 0 {
        let cells = Tensor::from_slice(&targets.cells, count, &Device::Cpu)?;
        let wanted = Tensor::from_slice(&targets.boxes, (count, 4), &Device::Cpu)?.t()?.contiguous()?;
        let points = Tensor::from_slice(&targets.points, (count, 2), &Device::Cpu)?.t()?.contiguous()?;
        let strides = Tensor::from_slice(&targets.strides, (1, count), &Device::Cpu)?;
        let sides = maps.sides.index_select(&cells, 1)?.broadcast_mul(&strides)?;
        let low = (&points - sides.narrow(0, 0, 2)?)?;
        let high = (&points + sides.narrow(0, 2, 2)?)?;
        let (iou, generalised) = overlap(&low, &high, &wanted.narrow(0, 0, 2)?, &wanted.narrow(0, 2, 2)?)?;
        ious = iou.to_vec1()?;
        boxes_loss = Some(generalised.affine(-BOXES, BOXES)?.sum_all()?);
    }
    let entries = targets.cells.iter().zip(&targets.classes).zip(ious);
    let wanted = entries.map(|((&cell, &class), iou)| (class as usize, cell as usize, iou)).collect();
    let classes = maps.classes.apply_op1(Varifocal { wanted })?;
    match boxes_loss {
        Some(boxes) => classes + boxes,
        None => Ok(classes),
    }
}

/// IoU and generalised IoU of boxes given by their corners, 2 x N each.
fn overlap(low: &Tensor, high: &Tensor, other_low: &Tensor, other_high: &Tensor) -> Result<(Tensor, Tensor)> {
    let area = |low: &Tensor, high: &Tensor| -> Result<Tensor> {
        let sides = (high - low)?.relu()?;
        sides.get(0)? * sides.get(1)?
    };
    let common = area(&low.maximum(other_low)?, &high.minimum(other_high)?)?;
    let union = ((area(low, high)? + area(other_low, other_high)?)? - &common)?.affine(1.0, 1e-6)?;
    let hull = area(&low.minimum(other_low)?, &high.maximum(other_high)?)?.affine(1.0, 1e-6)?;
    let iou = (common / &union)?;
    let generalised = (&iou - ((&hull - &union)? / &hull)?)?;
    Ok((iou, generalised))
}

/// The sum of the varifocal loss over all classes and cells of scores before the sigmoid, C x cells. Each class and cell in
/// `wanted` should give its value, 0 to 1, and counts by it; all others should give 0.
struct Varifocal {
    wanted: Vec<(usize, usize, f32)>,
}

impl Varifocal {
    /// Loss and its derivative for a score `x` where nothing is.
    fn background(x: f32) -> (f32, f32) {
        let p = sigmoid(x);
        let entropy = softplus(x);
        (BACKGROUND * p * p * entropy, BACKGROUND * p * p * (2.0 * (1.0 - p) * entropy + p))
    }

    /// Loss and its derivative for a score `x` that should be `q`.
    fn object(x: f32, q: f32) -> (f32, f32) {
        (q * (softplus(x) - q * x), q * (sigmoid(x) - q))
    }

    fn sum(&self, scores: &[f32], cells: usize) -> f32 {
        let all: f64 =
            scores.chunks(4096).map(|c| f64::from(c.iter().map(|&x| Self::background(x).0).sum::<f32>())).sum();
        let at = |&(class, cell, q): &(usize, usize, f32)| {
            let x = scores[class * cells + cell];
            f64::from(Self::object(x, q).0 - Self::background(x).0)
        };
        (all + self.wanted.iter().map(at).sum::<f64>()) as f32
    }
}

impl CustomOp1 for Varifocal {
    fn name(&self) -> &'static str {
        "varifocal"
    }

    fn cpu_fwd(&self, scores: &CpuStorage, at: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, cells) = at.shape().dims2()?;
        let (start, end) = at.contiguous_offsets().ok_or_else(|| Error::Msg("not in one piece".into()))?;
        let sum = self.sum(&scores.as_slice::<f32>()?[start..end], cells);
        Ok((CpuStorage::F32(vec![sum]), Shape::from(())))
    }

    fn bwd(&self, scores: &Tensor, _: &Tensor, back: &Tensor) -> Result<Option<Tensor>> {
        let (_, cells) = scores.dims2()?;
        let scale = back.to_scalar::<f32>()?;
        let values = scores.flatten_all()?.to_vec1::<f32>()?;
        let mut gradient: Vec<f32> = values.iter().map(|&x| scale * Self::background(x).1).collect();
        for &(class, cell, q) in &self.wanted {
            let at = class * cells + cell;
            gradient[at] = scale * Self::object(values[at], q).1;
        }
        Tensor::from_vec(gradient, scores.dims(), &Device::Cpu).map(Some)
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// log(1 + exp(x)) without overflow.
fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Rect;
    use candle_core::Var;

    #[test]
    fn the_derivative_is_that_of_the_loss() {
        let scores: Vec<f32> = (0..12).map(|i| i as f32 - 6.0).collect();
        let op = || Varifocal { wanted: vec![(0, 1, 0.8), (2, 3, 0.3)] };
        let var = Var::from_vec(scores.clone(), (3, 4), &Device::Cpu).unwrap();
        let gradient = var.apply_op1(op()).unwrap().backward().unwrap();
        let gradient: Vec<f32> = gradient.get(&var).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        for (i, found) in gradient.iter().enumerate() {
            let moved = |by: f32| {
                let mut scores = scores.clone();
                scores[i] += by;
                op().sum(&scores, 4)
            };
            let expected = (moved(0.01) - moved(-0.01)) / 0.02;
            assert!((found - expected).abs() < 2e-3 * expected.abs().max(1.0), "{i}: {found} {expected}");
        }
    }

    #[test]
    fn overlaps() {
        let corner = |v: [f32; 2]| Tensor::from_slice(&v, (2, 1), &Device::Cpu).unwrap();
        let of = |a: [f32; 4], b: [f32; 4]| {
            let (iou, generalised) =
                overlap(&corner([a[0], a[1]]), &corner([a[2], a[3]]), &corner([b[0], b[1]]), &corner([b[2], b[3]]))
                    .unwrap();
            (iou.to_vec1::<f32>().unwrap()[0], generalised.to_vec1::<f32>().unwrap()[0])
        };
        assert_eq!(of([0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 10.0]), (1.0, 1.0));
        // Apart: 200 of a hull of 300 are covered.
        let (iou, generalised) = of([0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0]);
        assert_eq!(iou, 0.0);
        assert!((generalised + 1.0 / 3.0).abs() < 1e-4, "{generalised}");
    }

    #[test]
    fn cells_stand_for_objects() {
        let sample = Sample {
            maps: Vec::new(),
            boxes: vec![Rect::from_xywh(33.0, 33.0, 4.0, 4.0), Rect::from_xywh(0.0, 0.0, 256.0, 256.0)],
            classes: vec![1, 0],
        };
        let targets = Targets::new(&sample, [256, 256]);
        // The small one has the cell that its middle lies in on the fine level, the large one four of the coarse level.
        assert_eq!(targets.cells[0], 16 * 2 + 2);
        assert_eq!(targets.classes, [1, 0, 0, 0, 0]);
        assert!(targets.cells[1..].iter().all(|&c| (256..320).contains(&c)));
        assert_eq!((targets.count(), targets.strides[0], targets.strides[1]), (5, 16.0, 32.0));
    }
}
