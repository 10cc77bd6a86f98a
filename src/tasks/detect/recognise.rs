//! Detectors in files that come without a description: the head, the classes and the input size are read from the graph.

use super::{Detector, Head};
use crate::engine::{self, Description, Session};
use crate::error::{Error, Result};
use crate::models::manifest::{Colour, Fit, InputSpec, Layout, ModelInfo, OutputSpec, Resample};
use crate::models::{Model, sha256_hex};
use std::borrow::Cow;

/// Strides of the pyramids of the YOLO family: the usual one, and those with a coarser or a finer level.
const PYRAMIDS: [&[usize]; 3] = [&[8, 16, 32], &[8, 16, 32, 64], &[4, 8, 16, 32]];
/// Ultralytics' names for what a graph is for; others are no detectors of boxes.
const TASKS: [&str; 2] = ["detect", "segment"];

/// The detector in an `.onnx` file as Ultralytics exports it; `name` is the file's path.
pub(super) fn detector(name: &str, bytes: Vec<u8>) -> Result<Detector> {
    let described = engine::describe(name, &bytes)?;
    if let Some(task) = described.metadata.get("task").filter(|t| !TASKS.contains(&t.as_str())) {
        return Err(unknown(name, &described, &format!("it is made for {task:?}")));
    }
    let input = input(name, &described)?;
    let outputs: Vec<&str> = described.outputs.iter().map(|o| o.name.as_str()).collect();
    let info = ModelInfo {
        id: name.to_string(),
        task: "detect".into(),
        description: String::new(),
        file: name.to_string(),
        sha256: sha256_hex(&bytes),
        licence: String::new(),
        source: String::new(),
        input,
        outputs: OutputSpec::default(),
        labels: Vec::new(),
    };
    let model = Model { info, bytes: Cow::Owned(bytes) };
    let session = Session::load(&model, &outputs)?;
    let input = model.info.input;
    let [width, height] = input.size.map(|s| s as usize);
    let shapes = session.output_shapes(&[1, 3, height, width])?;
    let names = described.metadata.get("names").map_or_else(Vec::new, |text| class_names(text));
    let (head, classes) = head(&shapes, (width, height), names.len())
        .ok_or_else(|| unknown(name, &described, "its outputs are none of these"))?;
    let numbered = (names.len()..classes).map(|i| format!("class {i}"));
    let labels = names.iter().cloned().chain(numbered).take(classes).collect();
    Ok(Detector { id: name.to_string(), session, input, head, labels })
}

/// What supported exports look like, and what was found.
fn unknown(name: &str, found: &Description, why: &str) -> Error {
    let list = |values: &[engine::Value]| values.iter().map(|v| v.to_string()).collect::<Vec<_>>().join(", ");
    Error::model(
        name,
        format!(
            "not a detector that is known here: {why}. Supported are ONNX exports of YOLOv8 and YOLO11 (1 x (4 + classes) x \
             cells), of their -seg variants (1 x (4 + classes + 32) x cells and prototypes 1 x 32 x H/4 x W/4), and \
             end-to-end exports (1 x objects x 6), with one float input of 1 x 3 x H x W. Found: inputs {}; outputs {}",
            list(&found.inputs),
            list(&found.outputs)
        ),
    )
}

fn input(name: &str, described: &Description) -> Result<InputSpec> {
    let wrong = |why: &str| unknown(name, described, why);
    let [value] = &described.inputs[..] else { return Err(wrong("it does not have one input")) };
    let &[batch, channels, height, width] = &value.shape[..] else {
        return Err(wrong("its input does not have four axes"));
    };
    if value.kind == "float16" {
        return Err(wrong("its input is float16; export it without half precision"));
    }
    if value.kind != "float" {
        return Err(wrong("its input is not of type float"));
    }
    if channels.is_some_and(|c| c != 3) {
        let layout = if width == Some(3) { "its input has the colours last (NHWC)" } else { "its input is not RGB" };
        return Err(wrong(layout));
    }
    if batch.is_some_and(|b| b != 1) {
        return Err(wrong("it is made for batches; export it with batch=1"));
    }
    let number = |key: &str| described.metadata.get(key).and_then(|v| v.trim().parse::<u32>().ok());
    let multiple = number("stride").filter(|s| (1..=256).contains(s)).unwrap_or(32);
    // [height, width], as Ultralytics notes it.
    let noted: Vec<u32> = described.metadata.get("imgsz").map_or_else(Vec::new, |text| numbers(text));
    let noted = match noted[..] {
        [h, w] => [w, h],
        [side] => [side, side],
        _ => [640, 640],
    };
    let (size, fit) = match (width, height) {
        (Some(w), Some(h)) => ([w as u32, h as u32], Fit::Letterbox),
        // Sides left open: as Ultralytics' `rect`, no more padding than the stride asks for.
        _ => (noted, Fit::Tight),
    };
    if size.iter().any(|s| !(32..=4096).contains(s)) {
        return Err(wrong("its input is not 32 to 4096 pixels wide and high"));
    }
    Ok(InputSpec {
        size,
        multiple,
        layout: Layout::Nchw,
        colour: Colour::Rgb,
        fit,
        resample: Resample::Bilinear,
        pad: 114,
        mean: [0.0; 3],
        std: [255.0; 3],
    })
}

/// The head that `shapes` of the outputs belong to, and its number of classes; `named` classes are known by name.
fn head(shapes: &[Vec<usize>], (width, height): (usize, usize), named: usize) -> Option<(Head, usize)> {
    let (objects, coefficients) = match shapes {
        [objects] => (objects, 0),
        [objects, prototypes] if prototypes.len() == 4 => (objects, prototypes[1]),
        _ => return None,
    };
    let masks = coefficients > 0;
    let cells = |p: &&[usize]| p.iter().map(|s| width.div_ceil(*s) * height.div_ceil(*s)).sum::<usize>();
    match objects[..] {
        [1, rows, n] if rows > 4 + coefficients && PYRAMIDS.iter().any(|p| cells(p) == n) => {
            let classes = rows - 4 - coefficients;
            // Rows beyond the classes that are named hold something else: keypoints, angles.
            (named == 0 || named == classes).then_some((Head::Yolo { masks }, classes))
        }
        // Without names the greatest class number is unknown: as many as there can be in practice.
        [1, _, n] if n == 6 + coefficients => Some((Head::EndToEnd { masks }, if named == 0 { 1000 } else { named })),
        _ => None,
    }
}

/// The whole numbers in a text such as `[640, 480]`.
fn numbers(text: &str) -> Vec<u32> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect()
}

/// The names in a Python dictionary such as `{0: 'person', 1: "driver's seat"}`, in its order of numbers.
fn class_names(text: &str) -> Vec<String> {
    let mut names: Vec<(u32, String)> = Vec::new();
    let mut rest = text.chars().peekable();
    let mut key = String::new();
    while let Some(c) = rest.next() {
        match c {
            '0'..='9' => key.push(c),
            '\'' | '"' => {
                let mut name = String::new();
                while let Some(inner) = rest.next() {
                    match inner {
                        '\\' => name.extend(escaped(&mut rest)),
                        _ if inner == c => break,
                        _ => name.push(inner),
                    }
                }
                match key.parse() {
                    Ok(number) => names.push((number, name)),
                    // JSON has its numbers in quotes too: this was the key.
                    Err(_) => {
                        key = name;
                        continue;
                    }
                }
                key.clear();
            }
            _ => {}
        }
    }
    names.sort();
    names.into_iter().map(|(_, name)| name).collect()
}

/// The character that an escape sequence of Python or JSON stands for.
fn escaped(rest: &mut std::iter::Peekable<std::str::Chars>) -> Option<char> {
    let digits = match rest.next()? {
        'n' => return Some('\n'),
        't' => return Some('\t'),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        other => return Some(other),
    };
    let code: String = rest.by_ref().take(digits).collect();
    u32::from_str_radix(&code, 16).ok().and_then(char::from_u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_classes() {
        assert_eq!(class_names("{0: 'person', 1: \"driver's seat\"}"), ["person", "driver's seat"]);
        assert_eq!(class_names(r"{1: 'b\'c', 0: '\u4eba'}"), ["人", "b'c"]);
        assert_eq!(class_names(r#"{"0": "a", "1": "b"}"#), ["a", "b"]);
        assert_eq!(class_names("{0: '10', 1: 'hình vuông'}"), ["10", "hình vuông"]);
        assert!(class_names("").is_empty());
    }

    #[test]
    fn heads() {
        let of = |shapes: &[&[usize]], named| {
            head(&shapes.iter().map(|s| s.to_vec()).collect::<Vec<_>>(), (640, 640), named)
        };
        assert_eq!(of(&[&[1, 84, 8400]], 80), Some((Head::Yolo { masks: false }, 80)));
        assert_eq!(of(&[&[1, 84, 8400]], 0), Some((Head::Yolo { masks: false }, 80)));
        assert_eq!(of(&[&[1, 116, 8400], &[1, 32, 160, 160]], 80), Some((Head::Yolo { masks: true }, 80)));
        assert_eq!(of(&[&[1, 300, 6]], 80), Some((Head::EndToEnd { masks: false }, 80)));
        assert_eq!(of(&[&[1, 300, 38], &[1, 32, 160, 160]], 80), Some((Head::EndToEnd { masks: true }, 80)));
        // YOLOv5 with anchors, a classifier, keypoints.
        assert_eq!(of(&[&[1, 25200, 85]], 80), None);
        assert_eq!(of(&[&[1, 1000]], 1000), None);
        assert_eq!(of(&[&[1, 56, 8400]], 1), None);
    }
}
