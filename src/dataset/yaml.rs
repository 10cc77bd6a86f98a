//! `data.yaml`, the description of a YOLO data set: where its pictures are and what its classes are called.

use super::Split;
use serde_json::Value;
use std::collections::BTreeMap;
use yaml_rust2::parser::{Event, Parser};

/// What a `data.yaml` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    /// The folder that the others lie below; the file's own if absent.
    pub path: Option<String>,
    /// The folders, or lists of files, of each part.
    pub parts: BTreeMap<Split, Vec<String>>,
    /// Names of the classes.
    pub names: Vec<String>,
}

/// Nesting that no data set needs, far below what a parser's stack holds.
const DEEPEST: usize = 100;

/// Reads the text of a `data.yaml`. Only what is wanted is looked at: aliases are not followed, other keys are skipped.
pub fn parse(text: &str) -> Result<Layout, String> {
    let mut reader = Reader { parser: Parser::new_from_str(text) };
    let mut layout = Layout::default();
    let mut count = None;
    let mut names: Option<BTreeMap<usize, String>> = None;
    loop {
        match reader.next()? {
            Event::MappingStart(..) => break,
            Event::StreamStart | Event::DocumentStart => {}
            _ => return Err("expected keys such as train:, val: and names:".into()),
        }
    }
    loop {
        let key = match reader.next()? {
            Event::Scalar(key, ..) => key,
            Event::MappingEnd => break,
            _ => return Err("expected keys such as train:, val: and names:".into()),
        };
        let first = reader.next()?;
        let part = if key == "minival" { None } else { Split::named(&key) };
        match (key.as_str(), part) {
            ("path", _) => layout.path = reader.texts(first)?.into_iter().map(|(_, text)| text).find(|t| !t.is_empty()),
            ("nc", _) => count = reader.texts(first)?.first().and_then(|(_, text)| text.parse::<usize>().ok()),
            ("names", _) => {
                let listed = reader.texts(first)?;
                let numbered = listed.into_iter().enumerate().map(|(i, (key, name))| match key {
                    None => Ok((i, name)),
                    Some(key) => match key.parse::<usize>() {
                        Ok(number) => Ok((number, name)),
                        Err(_) => Err(format!("names: the key {key:?} is no number of a class")),
                    },
                });
                names = Some(numbered.collect::<Result<_, _>>()?);
            }
            (_, Some(part)) => {
                let folders = reader.texts(first)?.into_iter().map(|(_, text)| text);
                layout.parts.insert(part, folders.filter(|f| !f.is_empty() && f != "null" && f != "~").collect());
            }
            _ => reader.skip(first)?,
        }
    }
    layout.names = match (names, count) {
        (Some(names), _) => dense(names)?,
        (None, Some(count)) if count <= 100_000 => (0..count).map(|i| format!("class_{i}")).collect(),
        _ => return Err("names: is missing: it lists the classes".into()),
    };
    Ok(layout)
}

fn dense(names: BTreeMap<usize, String>) -> Result<Vec<String>, String> {
    match names.keys().enumerate().find(|(i, number)| i != *number) {
        Some((i, _)) => Err(format!("names: class {i} is missing: classes are numbered from 0 without gaps")),
        None => Ok(names.into_values().collect()),
    }
}

/// The text of a `data.yaml` beside the folder `images`. It has no `path:`, so that it holds wherever the folder is moved
/// to and from wherever it is used.
pub fn write(names: &[String], parts: &[Split]) -> String {
    let mut text = String::new();
    for part in Split::ALL {
        let name = part.name();
        match parts.contains(&part) {
            true => text += &format!("{name}: images/{name}\n"),
            false if part == Split::Val => text += "# No pictures were set aside.\nval: images/train\n",
            false => {}
        }
    }
    text += if names.is_empty() { "names: {}\n" } else { "names:\n" };
    for (i, name) in names.iter().enumerate() {
        // A JSON text is a YAML text.
        text += &format!("  {i}: {}\n", Value::from(name.as_str()));
    }
    text
}

struct Reader<'a> {
    parser: Parser<std::str::Chars<'a>>,
}

impl Reader<'_> {
    fn next(&mut self) -> Result<Event, String> {
        match self.parser.next_token() {
            Ok((Event::StreamEnd, _)) => Err("ends early".into()),
            Ok((event, _)) => Ok(event),
            Err(e) => Err(format!("is no YAML: {e}")),
        }
    }

    /// The texts of a value: one, a list, or a map with its keys. `first` is the value's first event.
    fn texts(&mut self, first: Event) -> Result<Vec<(Option<String>, String)>, String> {
        let mut found = Vec::new();
        match first {
            Event::Scalar(text, ..) => found.push((None, text)),
            Event::SequenceStart(..) => loop {
                match self.next()? {
                    Event::Scalar(text, ..) => found.push((None, text)),
                    Event::SequenceEnd => break,
                    _ => return Err("a list holds something else than texts".into()),
                }
            },
            Event::MappingStart(..) => loop {
                match self.next()? {
                    Event::MappingEnd => break,
                    Event::Scalar(key, ..) => match self.next()? {
                        Event::Scalar(text, ..) => found.push((Some(key), text)),
                        _ => return Err(format!("the value of {key:?} is no text")),
                    },
                    _ => return Err("a key is no text".into()),
                }
            },
            _ => return Err("aliases are not read".into()),
        }
        Ok(found)
    }

    fn skip(&mut self, first: Event) -> Result<(), String> {
        let mut depth = 0usize;
        let mut event = first;
        loop {
            match event {
                Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
                Event::SequenceEnd | Event::MappingEnd => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > DEEPEST {
                return Err("is nested too deeply".into());
            }
            if depth == 0 {
                return Ok(());
            }
            event = self.next()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| s.to_string()).collect()
    }

    #[test]
    fn names_as_list_and_map() {
        let names = texts(&["gate valve", "yes", "a: b", "3"]);
        for text in [
            "train: a\nval: b\nnames: [gate valve, yes, 'a: b', 3]\n",
            "train: a\nval: b\nnames:\n- gate valve\n- yes\n- \"a: b\"\n- 3\n",
            "train: a\nval: b\nnames:\n  3: 3\n  0: gate valve\n  1: yes\n  2: 'a: b'\n",
            "train: a\nval: b\nnames: {0: gate valve, 1: yes, 2: \"a: b\", 3: 3}\nnc: 4\nroboflow:\n  x: [1, {y: 2}]\n",
        ] {
            let layout = parse(text).unwrap();
            assert_eq!(layout.names, names, "{text}");
            assert_eq!(layout.parts[&Split::Train], ["a"], "{text}");
            assert_eq!(layout.parts[&Split::Val], ["b"], "{text}");
        }
        let layout = parse("path: ../data\ntrain: [a, b]\nval:\ntest: null\nnc: 2\n").unwrap();
        assert_eq!(layout.path.as_deref(), Some("../data"));
        assert_eq!(layout.parts[&Split::Train], ["a", "b"]);
        assert!(layout.parts[&Split::Val].is_empty() && layout.parts[&Split::Test].is_empty());
        assert_eq!(layout.names, ["class_0", "class_1"]);
    }

    #[test]
    fn what_is_written_is_read() {
        let names = texts(&["gate \"valve\"", "#1", "ünï: x", "no", "tab\there", "\u{1f600}"]);
        let layout = parse(&write(&names, &[Split::Train, Split::Test])).unwrap();
        assert_eq!(layout.names, names);
        assert_eq!(layout.parts[&Split::Test], ["images/test"]);
        assert_eq!(layout.parts[&Split::Val], ["images/train"]);
        assert!(parse(&write(&[], &[Split::Train])).unwrap().names.is_empty());
    }

    #[test]
    fn nonsense_is_refused() {
        for (text, words) in [
            ("", "ends early"),
            ("- a\n- b\n", "expected keys"),
            ("train: a\n", "names: is missing"),
            ("names: {0: a, 2: b}", "class 1 is missing"),
            ("names: {a: b}", "no number"),
            ("names: [a, [b]]", "something else"),
            ("names: [a, b", "no YAML"),
            ("x: &x [1]\nnames: *x\n", "aliases"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words), "{text:?}: {error}");
        }
        // Deep nesting and aliases that multiply cost nothing.
        assert!(parse(&format!("x:\n{}a\nnames: [a]\n", "- ".repeat(100_000))).is_err());
        assert!(parse(&format!("x: {}", "[".repeat(100_000))).is_err());
        let laughs = "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nnames: [n]\n";
        assert_eq!(parse(laughs).unwrap().names, ["n"]);
    }
}
