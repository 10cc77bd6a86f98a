//! Detectors in files that come without a description: the head, the classes and the input size are read from the graph.

use super::{Detector, Head};
use crate::engine::{self, Description, Session};
use crate::error::{Error, Result};
use crate::models::Model;
use crate::models::manifest::{Colour, Fit, InputSpec, Layout, ModelInfo, OutputSpec, Resample};
use std::borrow::Cow;
use std::collections::BTreeMap;

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
    // The objects before the prototypes, whichever is written first.
    let mut outputs: Vec<_> = described.outputs.iter().collect();
    outputs.sort_by_key(|o| o.shape.len());
    let outputs: Vec<&str> = outputs.iter().map(|o| o.name.as_str()).collect();
    let info = ModelInfo {
        id: name.to_string(),
        task: "detect".into(),
        description: String::new(),
        file: name.to_string(),
        sha256: String::new(),
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
    let (head, classes) = head(&shapes, (width, height), names.len()).map_err(|why| unknown(name, &described, &why))?;
    let labels = (0..classes).map(|i| names.get(i).cloned().unwrap_or_else(|| unnamed(i))).collect();
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
        [1, rows, n] if rows > 4 + coefficients && one_a_cell(n) => {
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

/// What a class without a name is called.
fn unnamed(class: usize) -> String {
    format!("class {class}")
}

/// The whole numbers in a text such as `[640, 480]`.
fn numbers(text: &str) -> Vec<u32> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect()
}

/// The names in a Python dictionary such as `{0: 'person', 1: "driver's seat"}` or in a list, by their numbers. Numbers that
/// are left out have no name of their own; control characters, which would break lines of text, become spaces.
fn class_names(text: &str) -> Vec<String> {
    const MOST: usize = 100_000;
    let list = text.trim_start().starts_with('[');
    let mut names: BTreeMap<usize, String> = BTreeMap::new();
    let mut rest = text.chars().peekable();
    let mut key = String::new();
    while let Some(c) = rest.next() {
        match c {
            '0'..='9' => key.push(c),
            '\'' | '"' => {
                let name = quoted(c, &mut rest);
                match key.parse() {
                    _ if list => drop(names.insert(names.len(), name)),
                    Ok(number) if number < MOST => drop(names.insert(number, name)),
                    Ok(_) => {}
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
    let count = names.last_key_value().map_or(0, |(last, _)| last + 1);
    (0..count).map(|i| names.remove(&i).unwrap_or_else(|| unnamed(i))).collect()
}

/// The text up to the next `end` that is not escaped.
fn quoted(end: char, rest: &mut std::iter::Peekable<std::str::Chars>) -> String {
    let mut name = String::new();
    while let Some(inner) = rest.next() {
        match inner {
            '\\' => name.extend(escaped(rest)),
            _ if inner == end => break,
            _ => name.push(inner),
        }
    }
    name.replace(char::is_control, " ")
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
    fn other_forms_of_names() {
        assert_eq!(class_names("['cat', 'a 2nd dog']"), ["cat", "a 2nd dog"]);
        assert_eq!(class_names("{1: 'a', 3: 'b'}"), ["class 0", "a", "class 2", "b"]);
        assert_eq!(class_names(r"{0: 'a\nb\x1bc'}"), ["a b c"]);
        assert_eq!(class_names("{4000000000: 'a', 99999999999999999999: 'b'}"), [""; 0]);
    }

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
        // YOLOv5 with anchors, a classifier, keypoints, names of another network, a transposed head of two classes.
        for (shape, named) in [(&[1, 25200, 85][..], 80), (&[1, 1000], 1000), (&[1, 56, 8400], 1), (&[1, 8400, 6], 2)] {
            assert!(of(&[shape], named).is_err(), "{shape:?}");
        }
    }
}
