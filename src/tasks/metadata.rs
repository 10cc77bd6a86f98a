//! What ONNX files of training programs note of themselves, in Ultralytics' way: `task`, `names`, `imgsz`, `stride`; and
//! ocellus' own `fit`, `resample`, `region` and `iou`.

use crate::engine::Description;
use crate::models::Model;
use crate::models::manifest::{Colour, Fit, InputSpec, Layout, ModelInfo, OutputSpec, Resample};
use std::collections::BTreeMap;

/// How pictures are prepared for a kind of network whose file does not say it.
#[derive(Debug)]
pub(super) struct Usual {
    /// How they are brought to a fixed size.
    pub fit: Fit,
    /// The same where the graph leaves its sides open.
    pub open: Fit,
    /// Width and height where the file says none.
    pub side: u32,
    /// How pixels are resampled.
    pub resample: Resample,
}

/// The only input of the network, which takes RGB of 0 to 1 as 1 x 3 x H x W; or why it does not.
pub(super) fn input(described: &Description, usual: &Usual) -> Result<InputSpec, String> {
    let [value] = &described.inputs[..] else { return Err("it does not have one input".into()) };
    let &[batch, channels, height, width] = &value.shape[..] else {
        return Err("its input does not have four axes".into());
    };
    if value.kind == "float16" {
        return Err("its input is float16; export it without half precision".into());
    }
    if value.kind != "float" {
        return Err("its input is not of type float".into());
    }
    if channels.is_some_and(|c| c != 3) {
        let layout = if width == Some(3) { "its input has the colours last (NHWC)" } else { "its input is not RGB" };
        return Err(layout.into());
    }
    if batch.is_some_and(|b| b != 1) {
        return Err("it is made for batches; export it with batch=1".into());
    }
    let number = |key: &str| described.metadata.get(key).and_then(|v| v.trim().parse::<u32>().ok());
    let multiple = number("stride").filter(|s| (1..=256).contains(s)).unwrap_or(32);
    // [height, width], as Ultralytics notes it.
    let noted: Vec<u32> = described.metadata.get("imgsz").map_or_else(Vec::new, |text| numbers(text));
    let noted = match noted[..] {
        [h, w] => [w, h],
        [side] => [side, side],
        _ => [usual.side; 2],
    };
    let (size, fit) = match (width, height) {
        (Some(w), Some(h)) => ([w as u32, h as u32], usual.fit),
        _ => (noted, usual.open),
    };
    let fit = match described.metadata.get("fit").map(|f| f.trim()) {
        None => fit,
        Some("stretch") => Fit::Stretch,
        Some("letterbox") => Fit::Letterbox,
        Some("crop") => Fit::Crop,
        Some(other) => return Err(format!("its metadata says fit {other:?}, expected stretch, letterbox or crop")),
    };
    let resample = match described.metadata.get("resample").map(|r| r.trim()) {
        None => usual.resample,
        Some("area") => Resample::Area,
        Some("bilinear") => Resample::Bilinear,
        Some(other) => return Err(format!("its metadata says resample {other:?}, expected area or bilinear")),
    };
    if size.iter().any(|s| !(32..=4096).contains(s)) {
        return Err("its input is not 32 to 4096 pixels wide and high".into());
    }
    Ok(InputSpec {
        size,
        multiple,
        layout: Layout::Nchw,
        colour: Colour::Rgb,
        fit,
        resample,
        pad: 114,
        mean: [0.0; 3],
        std: [255.0; 3],
    })
}

/// The network in the file `name` that came without a description, made for `task`.
pub(super) fn model(name: &str, task: &str, bytes: Vec<u8>, input: InputSpec) -> Model {
    let info = ModelInfo {
        id: name.to_string(),
        task: task.to_string(),
        description: String::new(),
        file: name.to_string(),
        sha256: String::new(),
        licence: String::new(),
        source: String::new(),
        input,
        outputs: OutputSpec::default(),
        labels: Vec::new(),
    };
    Model { info, bytes: bytes.into() }
}

/// The names of the classes; none if the file lists none.
pub(super) fn class_names(described: &Description) -> Vec<String> {
    described.metadata.get("names").map_or_else(Vec::new, |text| names(text))
}

/// What a class without a name is called.
pub(super) fn unnamed(class: usize) -> String {
    format!("class {class}")
}

/// `names` as a Python dictionary, which is how exports note the names of their classes.
pub fn names_text(names: &[String]) -> String {
    let quote = |name: &String| name.replace('\\', "\\\\").replace('\'', "\\'").replace(char::is_control, " ");
    let entry = |(i, name): (usize, &String)| format!("{i}: '{}'", quote(name));
    format!("{{{}}}", names.iter().enumerate().map(entry).collect::<Vec<_>>().join(", "))
}

/// The whole numbers in a text such as `[640, 480]`.
fn numbers(text: &str) -> Vec<u32> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect()
}

/// The names in a Python dictionary such as `{0: 'person', 1: "driver's seat"}` or in a list, by their numbers. Numbers that
/// are left out have no name of their own; control characters, which would break lines of text, become spaces.
fn names(text: &str) -> Vec<String> {
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
        assert_eq!(names("{0: 'person', 1: \"driver's seat\"}"), ["person", "driver's seat"]);
        assert_eq!(names(r"{1: 'b\'c', 0: '\u4eba'}"), ["人", "b'c"]);
        assert_eq!(names(r#"{"0": "a", "1": "b"}"#), ["a", "b"]);
        assert_eq!(names("{0: '10', 1: 'hình vuông'}"), ["10", "hình vuông"]);
        assert!(names("").is_empty());
    }

    #[test]
    fn names_come_back() {
        let list = ["driver's seat", r"a\b", "1: 'x', \"y\"", "人", "", "{}[],:"].map(String::from);
        assert_eq!(names(&names_text(&list)), list);
    }

    #[test]
    fn other_forms_of_names() {
        assert_eq!(names("['cat', 'a 2nd dog']"), ["cat", "a 2nd dog"]);
        assert_eq!(names("{1: 'a', 3: 'b'}"), ["class 0", "a", "class 2", "b"]);
        assert_eq!(names(r"{0: 'a\nb\x1bc'}"), ["a b c"]);
        assert_eq!(names("{4000000000: 'a', 99999999999999999999: 'b'}"), [""; 0]);
    }
}
