//! Detectors in files that come without a description: the head, the classes and the input size are read from the graph.

use super::{Detector, Head};
use crate::engine::{self, Description, Session};
use crate::error::{Error, Result};
use crate::models::manifest::{Fit, Resample};
use crate::tasks::metadata::{self, Usual};

/// Strides of the pyramids of the YOLO family: the usual one, and those with a coarser or a finer level.
const PYRAMIDS: [&[usize]; 3] = [&[8, 16, 32], &[8, 16, 32, 64], &[4, 8, 16, 32]];
/// Strides of the heads that `train detect` makes.
const TRAINED: &[usize] = &[16, 32];
/// Ultralytics' names for what a graph is for; others are no detectors of boxes.
const TASKS: [&str; 2] = ["detect", "segment"];
/// How Ultralytics prepares pictures for detectors; with sides left open as its `rect`, no more padding than the stride
/// asks for.
const USUAL: Usual = Usual { fit: Fit::Letterbox, open: Fit::Tight, side: 640, resample: Resample::Bilinear };

/// The detector in an `.onnx` file as Ultralytics exports it; `name` is the file's path.
pub(super) fn detector(name: &str, bytes: Vec<u8>) -> Result<Detector> {
    let described = engine::describe(name, &bytes)?;
    if let Some(task) = described.metadata.get("task").filter(|t| !TASKS.contains(&t.as_str())) {
        return Err(unknown(name, &described, &format!("it is made for {task:?}")));
    }
    let input = metadata::input(&described, &USUAL).map_err(|why| unknown(name, &described, &why))?;
    // The objects before the prototypes, whichever is written first.
    let mut outputs: Vec<_> = described.outputs.iter().collect();
    outputs.sort_by_key(|o| o.shape.len());
    let outputs: Vec<&str> = outputs.iter().map(|o| o.name.as_str()).collect();
    let model = metadata::model(name, "detect", bytes, input);
    let session = Session::load(&model, &outputs)?;
    let input = model.info.input;
    let [width, height] = input.size.map(|s| s as usize);
    let shapes = session.output_shapes(&[1, 3, height, width])?;
    let names = metadata::class_names(&described);
    let (head, classes) = head(&shapes, (width, height), names.len()).map_err(|why| unknown(name, &described, &why))?;
    let labels = (0..classes).map(|i| names.get(i).cloned().unwrap_or_else(|| metadata::unnamed(i))).collect();
    let noted = described.metadata.get("iou").and_then(|text| text.trim().parse().ok());
    let iou = noted.filter(|iou| (0.0..=1.0).contains(iou)).unwrap_or_else(|| head.usual_iou());
    Ok(Detector { id: name.to_string(), session, input, head, labels, iou })
}

/// What supported exports look like, and what was found.
fn unknown(name: &str, found: &Description, why: &str) -> Error {
    Error::model(
        name,
        format!(
            "not a detector that is known here: {why}. Supported are ONNX exports of YOLOv8 and YOLO11 (1 x (4 + classes) x \
             cells), of their -seg variants (1 x (4 + classes + 32) x cells and prototypes 1 x 32 x H/4 x W/4), and \
             end-to-end exports (1 x objects x 6), with one float input of 1 x 3 x H x W. Found: {}",
            found.values()
        ),
    )
}

/// The head that `shapes` of the outputs belong to, and its number of classes; `named` classes are known by name. Otherwise
/// why it is none.
fn head(shapes: &[Vec<usize>], (width, height): (usize, usize), named: usize) -> Result<(Head, usize), String> {
    let none = || Err("its outputs are none of these".to_string());
    let (objects, coefficients) = match shapes {
        [objects] => (objects, 0),
        [objects, prototypes] if prototypes.len() == 4 => (objects, prototypes[1]),
        _ => return none(),
    };
    let masks = coefficients > 0;
    let cells = |p: &&[usize]| p.iter().map(|s| width.div_ceil(*s) * height.div_ceil(*s)).sum::<usize>();
    let one_a_cell = |n: usize| PYRAMIDS.iter().any(|p| cells(p) == n);
    match objects[..] {
        [1, rows, n] if rows > 4 + coefficients && (one_a_cell(n) || cells(&TRAINED) == n) => {
            let classes = rows - 4 - coefficients;
            match named == 0 || named == classes {
                true => Ok((Head::Yolo { masks }, classes)),
                // Rows beyond the classes hold something else, keypoints or angles, or the names are another network's.
                false => Err(format!("its `names` list {named} classes, its head has rows for {classes}")),
            }
        }
        [1, n, _] if one_a_cell(n) => {
            Err("rows and cells of its head are swapped (1 x cells x (4 + classes)); export it without transposing"
                .into())
        }
        // Without names the greatest class number is unknown: as many as there can be in practice.
        [1, _, n] if n == 6 + coefficients => Ok((Head::EndToEnd { masks }, if named == 0 { 1000 } else { named })),
        _ => none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let of = |shapes: &[&[usize]], named| {
            head(&shapes.iter().map(|s| s.to_vec()).collect::<Vec<_>>(), (640, 640), named)
        };
        assert_eq!(of(&[&[1, 84, 8400]], 80), Ok((Head::Yolo { masks: false }, 80)));
        assert_eq!(of(&[&[1, 84, 8400]], 0), Ok((Head::Yolo { masks: false }, 80)));
        assert_eq!(of(&[&[1, 116, 8400], &[1, 32, 160, 160]], 80), Ok((Head::Yolo { masks: true }, 80)));
        assert_eq!(of(&[&[1, 300, 6]], 80), Ok((Head::EndToEnd { masks: false }, 80)));
        assert_eq!(of(&[&[1, 300, 38], &[1, 32, 160, 160]], 80), Ok((Head::EndToEnd { masks: true }, 80)));
        let narrow = |shape: [usize; 3]| head(&[shape.to_vec()], (320, 192), 80);
        assert_eq!(narrow([1, 84, 300]), Ok((Head::Yolo { masks: false }, 80)));
        // An end-to-end head of as many objects as a trained one would have cells.
        assert_eq!(narrow([1, 300, 6]), Ok((Head::EndToEnd { masks: false }, 80)));
        // YOLOv5 with anchors, a classifier, keypoints, names of another network, a transposed head of two classes.
        for (shape, named) in [(&[1, 25200, 85][..], 80), (&[1, 1000], 1000), (&[1, 56, 8400], 1), (&[1, 8400, 6], 2)] {
            assert!(of(&[shape], named).is_err(), "{shape:?}");
        }
    }
}
