//! Heads of YOLOv8, YOLO11 and their kin: one box with class scores a cell, no objectness.

use super::detection::{Candidate, Detection, Params};
use crate::error::{Error, Result};
use crate::geometry::Rect;
use crate::tensor::Tensor;

/// Decodes a head of `1 x (4 + classes + coefficients) x cells`: centre x, centre y, width, height in input pixels, scores
/// of 0 to 1, weights of the mask prototypes. Each cell stands for its best class. Nothing is suppressed yet.
pub fn decode(head: &Tensor, classes: usize, params: &Params) -> Result<Vec<Candidate>> {
    let &[1, rows, cells] = head.shape() else { return Err(unexpected(head, "1 x (4 + classes) x cells")) };
    if classes == 0 || rows < 4 + classes {
        return Err(unexpected(head, &format!("at least 4 + {classes} rows")));
    }
    let row = |r: usize| &head.data()[r * cells..(r + 1) * cells];
    // Row by row, as the values lie in memory: the class of the highest score, the first of equal ones.
    let mut best = row(4).to_vec();
    let mut class = vec![0u32; cells];
    for c in 1..classes {
        for ((best, class), &score) in best.iter_mut().zip(&mut class).zip(row(4 + c)) {
            if score > *best {
                (*best, *class) = (score, c as u32);
            }
        }
    }
    let mut found = Vec::new();
    for (i, (&score, &class)) in best.iter().zip(&class).enumerate() {
        let class = class as usize;
        if params.wants(class, score) {
            let [x, y, w, h] = [0, 1, 2, 3].map(|r| row(r)[i]);
            found.push(Candidate {
                detection: Detection { class, score, rect: Rect::from_xywh(x - w / 2.0, y - h / 2.0, w, h) },
                coefficients: (4 + classes..rows).map(|r| row(r)[i]).collect(),
            });
        }
    }
    Ok(found)
}

/// Decodes the output of a graph that has its suppression inside: `1 x objects x (6 + coefficients)` with x1, y1, x2, y2 in
/// input pixels, score, class, weights of the mask prototypes; unused rows have a score of 0.
pub fn decode_end_to_end(rows: &Tensor, classes: usize, params: &Params) -> Result<Vec<Candidate>> {
    let &[1, _, width] = rows.shape() else { return Err(unexpected(rows, "1 x objects x 6")) };
    if width < 6 {
        return Err(unexpected(rows, "1 x objects x 6"));
    }
    let object = |row: &[f32]| {
        let (score, class) = (row[4], row[5]);
        let valid = class >= 0.0 && class < classes as f32 && params.wants(class as usize, score);
        let rect = Rect::from([row[0], row[1], row[2], row[3]]);
        let detection = Detection { class: class as usize, score, rect };
        (valid && detection.is_finite()).then(|| Candidate { detection, coefficients: row[6..].to_vec() })
    };
    Ok(rows.data().chunks_exact(width).filter_map(object).collect())
}

fn unexpected(tensor: &Tensor, expected: &str) -> Error {
    Error::Input(format!("the network's output has the shape {:?}, expected {expected}", tensor.shape()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Each candidate is a cell's best class and carries that cell's coefficients; every cell above the limit has one.
        #[test]
        fn cells_become_candidates(cells in 1usize..30, classes in 1usize..6, seed in any::<u64>(), conf in 0f32..1.0) {
            let mut random = fastrand::Rng::with_seed(seed);
            let rows = 4 + classes + 3;
            let data: Vec<f32> = (0..rows * cells).map(|_| random.f32()).collect();
            let head = Tensor::new(vec![1, rows, cells], data.clone()).unwrap();
            let found = decode(&head, classes, &Params { conf, ..Params::default() }).unwrap();
            let score = |c: usize, i: usize| data[(4 + c) * cells + i];
            let best = |i: usize| (0..classes).map(|c| score(c, i)).fold(0.0, f32::max);
            prop_assert_eq!(found.len(), (0..cells).filter(|&i| best(i) > conf).count());
            for (f, i) in found.iter().zip((0..cells).filter(|&i| best(i) > conf)) {
                prop_assert_eq!(f.detection.score, best(i));
                prop_assert_eq!(score(f.detection.class, i), best(i));
                let centre = (f.detection.rect.x1 + f.detection.rect.x2) / 2.0;
                prop_assert!((centre - data[i]).abs() < 1e-5);
                prop_assert_eq!(f.coefficients[2], data[(4 + classes + 2) * cells + i]);
            }
        }
    }

    #[test]
    fn end_to_end_rows() {
        let rows = vec![1.0, 2.0, 3.0, 4.0, 0.9, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 0.9, 7.0];
        let found = decode_end_to_end(&Tensor::new(vec![1, 3, 6], rows).unwrap(), 2, &Params::default()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].detection.class, found[0].detection.rect.y2), (1, 4.0));
    }

    #[test]
    fn wrong_shapes_are_errors() {
        let head = Tensor::new(vec![1, 6, 2], vec![0.0; 12]).unwrap();
        assert!(decode(&head, 3, &Params::default()).is_err());
        assert!(decode_end_to_end(&Tensor::new(vec![1, 2, 5], vec![0.0; 10]).unwrap(), 3, &Params::default()).is_err());
    }
}
