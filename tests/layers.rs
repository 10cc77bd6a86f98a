//! The layer rule of src/lib.rs and the size of its files, read from the source text.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

/// Every module of the crate root with its layer: it may use those of its own layer and below.
const LAYERS: [(&str, u32); 20] = [
    ("error", 0),
    ("image", 0),
    ("geometry", 0),
    ("tensor", 0),
    ("kernels", 1),
    ("preprocess", 1),
    ("engine", 1),
    ("models", 1),
    ("postprocess", 1),
    ("recipe", 1),
    ("dataset", 1),
    ("ontology", 1),
    ("cells", 1),
    ("zones", 1),
    ("remote", 1),
    ("tasks", 2),
    ("train", 2),
    ("report", 3),
    ("input", 3),
    ("cli", 4),
];

fn layer(module: &str) -> Option<u32> {
    LAYERS.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer)
}

/// A source file: its modules from the crate root, and its text without comments.
struct File {
    path: PathBuf,
    modules: Vec<String>,
    lines: usize,
    code: String,
}

fn sources() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files: Vec<File> = walkdir::WalkDir::new(&root)
        .sort_by_file_name()
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let relative = path.strip_prefix(&root).unwrap().with_extension("");
            let mut modules: Vec<String> = relative.iter().map(|p| p.to_str().unwrap().to_string()).collect();
            if modules.last().is_some_and(|m| m == "mod") {
                modules.pop();
            }
            File { path: path.clone(), modules, lines: text.lines().count(), code: without_comments(&text) }
        })
        .collect();
    assert!(files.len() > 30, "only {} files found", files.len());
    files
}

fn without_comments(text: &str) -> String {
    let code = |line: &str| {
        let start = line.match_indices("//").map(|(i, _)| i).find(|&i| i == 0 || line[..i].ends_with(' '));
        line[..start.unwrap_or(line.len())].to_string() + "\n"
    };
    text.lines().map(code).collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `word` begins in `code`, not in the middle of a longer name.
fn word_starts<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(i, _)| i).filter(|&i| !code[..i].ends_with(is_word))
}

/// The modules of the crate root that `code`, which stands in `modules`, names: `crate::x`, `crate::{x, y::z}` and
/// `super::x` where `super` is the root.
fn used(code: &str, modules: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for at in word_starts(code, "crate::") {
        // `ocellus_crate::` and `$crate::` are not ours.
        found.extend(heads(&code[at + "crate::".len()..]));
    }
    for at in word_starts(code, "super::").filter(|&i| !code[..i].ends_with("super::")) {
        let mut rest = &code[at..];
        let mut up = 0;
        while let Some(next) = rest.strip_prefix("super::") {
            (rest, up) = (next, up + 1);
        }
        if up >= modules.len() {
            found.extend(heads(rest).into_iter().filter(|name| layer(name).is_some()));
        }
    }
    found.retain(|name| !name.starts_with(char::is_uppercase));
    found
}

/// The first names of a path or of a braced group of paths.
fn heads(rest: &str) -> Vec<String> {
    let name = |text: &str| text.trim_start().chars().take_while(|&c| is_word(c)).collect::<String>();
    let Some(group) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let (mut depth, mut heads, mut start) = (0, Vec::new(), 0);
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                heads.push(name(&group[start..i]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                heads.push(name(&group[start..i]));
                start = i + 1;
            }
            _ => {}
        }
    }
    heads.retain(|h| !h.is_empty());
    heads
}

#[test]
fn paths_are_found() {
    let module = |list: &[&str]| list.iter().map(|s| s.to_string()).collect::<Vec<_>>();
    let code =
        "use crate::{error::{Error, Result}, tasks,\n  report::json};\nfn f() { crate::cli::main(); crate::Image }";
    assert_eq!(used(code, &module(&["engine"])), ["error", "tasks", "report", "cli"]);
    assert_eq!(used("use super::cli::x; super::other", &module(&["image"])), ["cli"]);
    assert_eq!(used("use super::super::report::x;", &module(&["tasks", "embed"])), ["report"]);
    assert!(used("use super::report::x;", &module(&["tasks", "embed"])).is_empty());
    assert_eq!(without_comments("a // crate::cli\n// b\n\"https://c\""), "a \n\n\"https://c\"\n");
}

#[test]
fn nothing_points_up() {
    let mut edges = std::collections::BTreeSet::new();
    for file in sources() {
        let own = file.modules[0].as_str();
        if ["lib", "main"].contains(&own) {
            continue;
        }
        let own_layer = layer(own).unwrap_or_else(|| panic!("{own} has no layer: add it to the rule in src/lib.rs"));
        for name in used(&file.code, &file.modules) {
            let path = file.path.display();
            let used_layer = layer(&name).unwrap_or_else(|| panic!("{path} uses crate::{name}, which has no layer"));
            assert!(used_layer <= own_layer, "{path}: {own} uses {name}, which lies above it");
            assert!(
                name != "input" || own == "cli" || own == "input",
                "{path}: {own} uses input, which is cli's alone"
            );
            edges.insert((own.to_string(), name));
        }
    }
    // The search itself works: these are known to be there.
    for (from, to) in
        [("cli", "tasks"), ("cli", "input"), ("tasks", "engine"), ("report", "tasks"), ("engine", "error")]
    {
        assert!(edges.contains(&(from.to_string(), to.to_string())), "{from} -> {to} not found in {edges:?}");
    }
}

#[test]
fn tasks_open_no_files() {
    for file in sources().iter().filter(|f| ["tasks", "train"].contains(&f.modules[0].as_str())) {
        for word in ["std::fs", "File::open", "std::io::stdin"] {
            assert!(!file.code.contains(word), "{}: {word}", file.path.display());
        }
    }
}

#[test]
fn libraries_of_numbers_have_one_place() {
    for (library, place) in [("tract", "engine"), ("candle_core", "train")] {
        let names = |f: &File| word_starts(&f.code, library).next().is_some();
        let naming: Vec<File> = sources().into_iter().filter(names).collect();
        assert!(!naming.is_empty());
        for file in naming {
            assert_eq!(file.modules[0], place, "{} names {library}", file.path.display());
        }
    }
}

#[test]
fn only_kernels_are_unsafe() {
    for file in sources().iter().filter(|f| f.modules[0] != "kernels") {
        let after = |i: usize| file.code[i + "unsafe".len()..].chars().next();
        let found = word_starts(&file.code, "unsafe").any(|i| !after(i).is_some_and(is_word));
        assert!(!found, "{} has unsafe code", file.path.display());
    }
}

#[test]
fn files_hold_one_idea() {
    for file in sources() {
        let is_command = file.modules.starts_with(&["cli".to_string(), "commands".to_string()]);
        let limit = if is_command { 150 } else { 550 };
        assert!(file.lines <= limit, "{} has {} lines, limit {limit}", file.path.display(), file.lines);
    }
}
