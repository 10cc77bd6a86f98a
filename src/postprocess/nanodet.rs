//! The head of NanoDet: class scores and, for each side of the box, a distribution of its distance from the cell
//! (generalised focal loss, Li et al. 2020, as NanoDet uses it: <https://github.com/RangiLyu/nanodet>).

use super::detection::{Candidate, Detection, Params};
use crate::error::{Error, Result};
use crate::geometry::Rect;
use crate::tensor::Tensor;

/// Decodes one level of the pyramid: `scores` is `1 x cells x classes` (0 to 1), `distances` `1 x cells x (4 * bins)`
/// (logits; left, top, right, bottom), the cells row by row over an input of `width` x `height` pixels. Boxes are in input
/// pixels, cut to the input as the original does. Nothing is suppressed yet.
pub fn decode(
    scores: &Tensor,
    distances: &Tensor,
    stride: u32,
    (width, height): (u32, u32),
    params: &Params,
) -> Result<Vec<Candidate>> {
    let (columns, rows) = (width.div_ceil(stride) as usize, height.div_ceil(stride) as usize);
    let (&[1, cells, classes], &[1, same, sides]) = (scores.shape(), distances.shape()) else {
        return Err(unexpected(scores, distances, columns * rows));
    };
    if cells != columns * rows || same != cells || classes == 0 || sides == 0 || sides % 4 != 0 {
        return Err(unexpected(scores, distances, columns * rows));
    }
    let mut found = Vec::new();
    for (i, row) in scores.data().chunks_exact(classes).enumerate() {
        let (class, score) = best(row);
        if params.wants(class, score) {
            let logits = &distances.data()[i * sides..(i + 1) * sides];
            let mut reach = logits.chunks_exact(sides / 4).map(|bins| expectation(bins) * stride as f32);
            let [left, top, right, bottom] = std::array::from_fn(|_| reach.next().unwrap_or_default());
            let (x, y) = ((i % columns) as f32 + 0.5, (i / columns) as f32 + 0.5);
            let (x, y) = (x * stride as f32, y * stride as f32);
            let rect = Rect { x1: x - left, y1: y - top, x2: x + right, y2: y + bottom }.clip(width, height);
            found.push(Candidate { detection: Detection { class, score, rect }, coefficients: Vec::new() });
        }
    }
    Ok(found)
}

fn best(scores: &[f32]) -> (usize, f32) {
    scores.iter().copied().enumerate().fold((0, f32::MIN), |best, (i, s)| if s > best.1 { (i, s) } else { best })
}

/// The mean of the bins' numbers under their softmax.
fn expectation(logits: &[f32]) -> f32 {
    let top = logits.iter().copied().fold(f32::MIN, f32::max);
    let (mut sum, mut weighted) = (0.0, 0.0);
    for (bin, logit) in logits.iter().enumerate() {
        let weight = (logit - top).exp();
        sum += weight;
        weighted += weight * bin as f32;
    }
    weighted / sum
}

fn unexpected(scores: &Tensor, distances: &Tensor, cells: usize) -> Error {
    Error::Input(format!(
        "the network's outputs have the shapes {:?} and {:?}, expected {cells} cells with class scores and four sides",
        scores.shape(),
        distances.shape()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A level of 4 x 3 cells and stride 8 in which cell 6 holds an object of class 1.
    fn level(bins: [usize; 4]) -> (Tensor, Tensor) {
        let mut scores = vec![0.0; 12 * 2];
        scores[6 * 2 + 1] = 0.8;
        let mut distances = vec![0.0; 12 * 44];
        for (side, bin) in bins.into_iter().enumerate() {
            distances[6 * 44 + side * 11 + bin] = 50.0;
        }
        (Tensor::new(vec![1, 12, 2], scores).unwrap(), Tensor::new(vec![1, 12, 44], distances).unwrap())
    }

    #[test]
    fn sides_are_counted_from_the_middle_of_the_cell() {
        let (scores, distances) = level([1, 0, 1, 1]);
        let found = decode(&scores, &distances, 8, (32, 24), &Params::default()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].detection.class, found[0].detection.score), (1, 0.8));
        assert_eq!(<[f32; 4]>::from(found[0].detection.rect), [12.0, 12.0, 28.0, 20.0]);
    }

    proptest! {
        #[test]
        fn boxes_stay_inside(bins in prop::array::uniform4(0usize..11)) {
            let (scores, distances) = level(bins);
            let rect = decode(&scores, &distances, 8, (32, 24), &Params::default()).unwrap()[0].detection.rect;
            prop_assert!(rect.x1 >= 0.0 && rect.y1 >= 0.0 && rect.x2 <= 32.0 && rect.y2 <= 24.0);
            prop_assert!(rect.x1 <= rect.x2 && rect.y1 <= rect.y2);
        }
    }

    #[test]
    fn wrong_shapes_are_errors() {
        let (scores, distances) = level([0; 4]);
        assert!(decode(&scores, &distances, 16, (32, 24), &Params::default()).is_err());
        assert!(
            decode(&distances, &scores, 8, (32, 24), &Params::default())
                .is_err_and(|e| e.to_string().contains("12 cells"))
        );
    }
}
