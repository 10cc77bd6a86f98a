//! The ontology of a labelling job: which classes there are, what they look like and what they are called to a model that
//! knows words. A text made to be edited by hand, so everything in it is checked when it is read.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::{Component, Path};

/// The only version of the format so far.
pub const VERSION: u32 = 1;

/// `ontology.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ontology {
    /// Version of this format.
    pub version: u32,
    /// The folder that templates are named below; from the ontology's own folder unless it is absolute.
    pub templates: String,
    /// The classes, in the order in which data sets number them.
    #[serde(rename = "class", default)]
    pub classes: Vec<Class>,
}

/// A kind of thing that is labelled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// The name that labels have.
    pub name: String,
    /// What a labelling server is asked for; empty to leave the class to the templates.
    #[serde(default)]
    pub prompt: String,
    /// The kind of symbol: the sub-folder that its templates lie in. Only for the reader.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Pictures of it, one symbol or object each; none to leave the class to the server.
    #[serde(default)]
    pub templates: Vec<String>,
}

impl Ontology {
    /// One class for each of `files`, pictures named below the folder `templates` with `/` between folders.
    pub fn from_files(templates: &str, files: &[String]) -> Self {
        let stem = |file: &str| {
            let name = file.rsplit('/').next().unwrap_or(file);
            name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_string()
        };
        let mut taken: HashSet<String> = HashSet::new();
        let class = |file: &String| {
            let group = file.rsplit_once('/').map_or("", |(folder, _)| folder).to_string();
            let stem = stem(file);
            // The file's own name; with its folder where another folder has the same.
            let longer = [stem.clone(), format!("{}_{stem}", group.replace('/', "_"))].into_iter();
            let names = longer.chain((2u32..).map(|n| format!("{stem}_{n}")));
            let name = names.into_iter().find(|n| taken.insert(n.to_lowercase())).unwrap_or_default();
            let kind = group.rsplit('/').next().unwrap_or_default();
            Class { name, prompt: prompt(&stem, kind), group, templates: vec![file.clone()] }
        };
        let classes = files.iter().map(class).collect();
        Ontology { version: VERSION, templates: templates.to_string(), classes }
    }

    /// Reads `text`, the content of `file`.
    pub fn parse(file: &Path, text: &str) -> Result<Self> {
        let bad = |message: String| Error::Input(format!("{}: {message}", file.display()));
        let ontology: Ontology = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            bad(format!("line {line}: {}", e.message().trim()))
        })?;
        if ontology.version != VERSION {
            return Err(bad(format!("is of version {}, expected {VERSION}", ontology.version)));
        }
        if ontology.classes.is_empty() {
            return Err(bad("has no [[class]]; `ocellus label ontology` makes one from a folder of templates".into()));
        }
        let mut names = HashSet::new();
        for class in &ontology.classes {
            if class.name.trim().is_empty() || class.name.contains(char::is_control) {
                return Err(bad(format!("a class is named {:?}, expected a name in one line", class.name)));
            }
            if !names.insert(class.name.to_lowercase()) {
                return Err(bad(format!("two classes are named {:?}; join them or rename one", class.name)));
            }
            let beyond = |t: &&String| {
                t.is_empty()
                    || Path::new(t).components().any(|c| !matches!(c, Component::Normal(_) | Component::CurDir))
            };
            if let Some(template) = class.templates.iter().find(beyond) {
                let message =
                    format!("class {:?}: template {template:?} is not below the templates' folder", class.name);
                return Err(bad(message));
            }
            if class.templates.is_empty() && class.prompt.trim().is_empty() {
                return Err(bad(format!("class {:?} has neither a prompt nor a template", class.name)));
            }
        }
        Ok(ontology)
    }

    /// The text of `ontology.toml`.
    pub fn to_text(&self) -> Result<String> {
        let body = toml::to_string_pretty(self).map_err(|e| Error::Internal(format!("writing an ontology: {e}")))?;
        Ok(format!("{HEAD}{body}"))
    }

    /// The names of the classes, in order.
    pub fn names(&self) -> Vec<String> {
        self.classes.iter().map(|c| c.name.clone()).collect()
    }
}

const HEAD: &str = "# Classes to be labelled, made to be edited: rename, regroup, delete, or give a class several templates.\n\
# `prompt` is what a labelling server is asked for; `templates` are what template matching looks for.\n\n";

/// Words for a model that reads: the file's name, and what kind of thing it is.
fn prompt(stem: &str, group: &str) -> String {
    let words = |text: &str| {
        let plain: String = text.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
        plain.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
    };
    let (name, group) = (words(stem), words(group));
    let kind = group.strip_suffix("ies").map(|g| format!("{g}y")).unwrap_or_else(|| {
        let plural = group.ends_with('s') && !group.ends_with("ss");
        group[..group.len() - usize::from(plural)].to_string()
    });
    match kind.is_empty() || name.contains(&kind) {
        true => name,
        false => format!("{name} {kind}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_become_classes_and_come_back() {
        let files = ["hand.png", "signals/FT.png", "valves/gate_valve.png", "valves/hand.png", "valves/needle-2.png"];
        let made = Ontology::from_files("templates", &files.map(String::from));
        let names: Vec<_> = made.classes.iter().map(|c| (c.name.as_str(), c.prompt.as_str())).collect();
        let expected = [
            ("hand", "hand"),
            ("FT", "ft signal"),
            ("gate_valve", "gate valve"),
            ("valves_hand", "hand valve"),
            ("needle-2", "needle 2 valve"),
        ];
        assert_eq!(names, expected);
        let text = made.to_text().unwrap();
        assert_eq!(Ontology::parse(Path::new("o.toml"), &text).unwrap(), made);
    }

    #[test]
    fn slips_are_told() {
        let head = "version = 1\ntemplates = \"t\"\n";
        for (text, words) in [
            ("version = 1\n".to_string(), "templates"),
            (head.to_string(), "no [[class]]"),
            (format!("{head}[[class]]\nname = \"a\"\nprompts = \"a\"\n"), "line 5"),
            (format!("{head}[[class]]\nname = \"a\"\n"), "neither"),
            (format!("{head}[[class]]\nname = \"a\"\ntemplates = [\"../x.png\"]\n"), "not below"),
            (
                format!("{head}[[class]]\nname = \"a\"\nprompt = \"a\"\n[[class]]\nname = \"A\"\nprompt = \"b\"\n"),
                "two",
            ),
            ("version = 9\ntemplates = \"t\"\n".to_string(), "version 9"),
        ] {
            let error = Ontology::parse(Path::new("o.toml"), &text).unwrap_err().one_line();
            assert!(error.starts_with("o.toml: ") && error.contains(words), "{words}: {error}");
        }
    }
}
