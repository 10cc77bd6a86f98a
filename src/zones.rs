//! The rules of a site: these labels in these cells mean stop, or warn. A text made to be edited by hand, so everything in it
//! is checked when it is read, against the configuration of the cells too.

use crate::cells::Cells;
use crate::error::{Error, Result};
use crate::postprocess::yolic::Seen;
use serde::Deserialize;
use std::collections::{BTreeSet, HashSet};
use toml::Value;

/// The rules, in the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Zones {
    /// At least one.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The name that records and pictures show.
    pub name: String,
    /// What it asks for.
    pub action: Action,
    /// Numbers of the cells, from 1.
    pub cells: BTreeSet<usize>,
    /// Numbers of the labels, from 0.
    pub labels: BTreeSet<usize>,
    /// The least score of a label, 0 to 1; without it the labels are those that the cells were found to have.
    pub min_score: Option<f32>,
    /// In how many of the cells a label must be seen, at least 1.
    pub min_cells: usize,
}

/// What a rule asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Somebody should look.
    Warn,
    /// The machine must stand still.
    Stop,
}

/// What the rules say of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// No rule fired.
    Clear,
    /// A rule that warns fired, none that stops.
    Warn,
    /// A rule that stops fired.
    Stop,
}

/// A rule that fired, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Fired {
    /// The rule's name.
    pub name: String,
    /// What it asks for.
    pub action: Action,
    /// What was seen where.
    pub hits: Vec<Hit>,
}

/// A label in a cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Number of the cell, from 1.
    pub cell: usize,
    /// The label and its score.
    pub seen: Seen,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    cells: Option<Value>,
    ranges: Option<Value>,
    labels: Value,
    action: Action,
    min_score: Option<f32>,
    #[serde(default = "one")]
    min_cells: usize,
}

fn one() -> usize {
    1
}

impl Zones {
    /// Reads `text`, which messages call `name`, for the cells and labels of `cells`.
    pub fn parse(name: &str, text: &str, cells: &Cells) -> Result<Self> {
        let bad = |message: String| Error::Input(format!("{name}: {message}"));
        let file: File = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            bad(format!("line {line}: {}", e.message().trim()))
        })?;
        if file.rule.is_empty() {
            return Err(bad("has no [[rule]]".into()));
        }
        let mut names = HashSet::new();
        let mut rules = Vec::new();
        for entry in file.rule {
            let name = entry.name.clone();
            if name.trim().is_empty() || name.contains(char::is_control) {
                return Err(bad(format!("a rule is named {name:?}, expected a name in one line")));
            }
            if !names.insert(name.clone()) {
                return Err(bad(format!("two rules are named {name:?}")));
            }
            rules.push(entry.check(cells).map_err(|why| bad(format!("rule {name:?}: {why}")))?);
        }
        Ok(Zones { rules })
    }

    /// The rules that fire: `scores` are a picture's M + 1 values a cell, `found` the labels that its cells were found to have.
    pub fn judge(&self, scores: &[f32], found: &[Vec<Seen>], labels: usize) -> Vec<Fired> {
        let hits = |rule: &Rule| {
            let in_cell = |(i, (cell, found)): (usize, (&[f32], &Vec<Seen>))| {
                let all = cell.iter().take(labels).enumerate().map(|(label, &score)| Seen { label, score });
                let seen: Vec<Seen> = match rule.min_score {
                    Some(least) => all.filter(|s| s.score >= least).collect(),
                    None => found.clone(),
                };
                let hit = move |seen: Seen| Hit { cell: i + 1, seen };
                seen.into_iter().filter(|s| rule.labels.contains(&s.label)).map(hit).collect::<Vec<_>>()
            };
            let all = scores.chunks(labels + 1).zip(found).enumerate();
            all.filter(|(i, _)| rule.cells.contains(&(i + 1)))
                .map(in_cell)
                .filter(|h| !h.is_empty())
                .collect::<Vec<_>>()
        };
        let fired = |rule: &Rule| {
            let hits = hits(rule);
            let fires = hits.len() >= rule.min_cells;
            fires.then(|| Fired { name: rule.name.clone(), action: rule.action, hits: hits.concat() })
        };
        self.rules.iter().filter_map(fired).collect()
    }
}

/// What `fired` means as a whole.
pub fn verdict(fired: &[Fired]) -> Verdict {
    match fired.iter().map(|f| f.action).max() {
        None => Verdict::Clear,
        Some(Action::Warn) => Verdict::Warn,
        Some(Action::Stop) => Verdict::Stop,
    }
}

impl Entry {
    fn check(self, cells: &Cells) -> Result<Rule, String> {
        let count = cells.areas.len();
        let numbers = match (&self.cells, &self.ranges) {
            (Some(value), None) | (None, Some(value)) => numbers(value, count)?,
            (Some(_), Some(_)) => return Err("has both cells and ranges, expected one of them".into()),
            (None, None) => return Err("names no cells; give cells = [1, 2], \"1-8\" or \"all\"".into()),
        };
        let labels = labels(&self.labels, cells)?;
        if let Some(score) = self.min_score.filter(|s| !(0.0..=1.0).contains(s)) {
            return Err(format!("min_score is {score}, expected 0 to 1"));
        }
        if !(1..=numbers.len()).contains(&self.min_cells) {
            return Err(format!(
                "min_cells is {}, expected 1 to {}, the number of its cells",
                self.min_cells,
                numbers.len()
            ));
        }
        let Entry { name, action, min_score, min_cells, .. } = self;
        Ok(Rule { name, action, cells: numbers, labels, min_score, min_cells })
    }
}

/// The cells of `[1, 2]`, `"1-8, 12"`, `["1-8", 12]` or `"all"`.
fn numbers(value: &Value, count: usize) -> Result<BTreeSet<usize>, String> {
    let one = |n: i64| match usize::try_from(n) {
        Ok(n) if (1..=count).contains(&n) => Ok(n),
        _ => Err(format!("has cell {n}, but the cells are 1 to {count}")),
    };
    let odd = |found: &dyn std::fmt::Display| {
        format!("has {found} for cells, expected numbers, ranges such as \"1-8\", or \"all\"")
    };
    let mut found = BTreeSet::new();
    match value {
        Value::Integer(n) => drop(found.insert(one(*n)?)),
        Value::String(text) if text.trim() == "all" => found.extend(1..=count),
        Value::String(text) => {
            for part in text.split(',').map(str::trim) {
                let (from, to) = part.split_once('-').unwrap_or((part, part));
                let number = |t: &str| t.trim().parse::<i64>().map_err(|_| odd(&format!("{part:?}")));
                let (from, to) = (one(number(from)?)?, one(number(to)?)?);
                if from > to {
                    return Err(format!("has the range {part:?}, expected the smaller number first"));
                }
                found.extend(from..=to);
            }
        }
        Value::Array(list) => {
            for value in list.iter() {
                if value.is_array() {
                    return Err(odd(value));
                }
                found.extend(numbers(value, count)?);
            }
        }
        other => return Err(odd(other)),
    }
    match found.is_empty() {
        true => Err("names no cells; give cells = [1, 2], \"1-8\" or \"all\"".into()),
        false => Ok(found),
    }
}

/// The labels of `["car"]`, `"car"` or `"any"`, by name or abbreviation.
fn labels(value: &Value, cells: &Cells) -> Result<BTreeSet<usize>, String> {
    let known = || cells.labels.join(", ");
    let one = |name: &str| {
        let by = |list: &[String]| list.iter().position(|l| l.eq_ignore_ascii_case(name));
        by(&cells.labels)
            .or_else(|| by(&cells.abbreviations))
            .ok_or_else(|| format!("has the label {name:?}, but the labels are {}", known()))
    };
    let found: BTreeSet<usize> = match value {
        Value::String(any) if any == "any" && one(any).is_err() => (0..cells.labels.len()).collect(),
        Value::String(name) => BTreeSet::from([one(name)?]),
        Value::Array(list) => {
            let name = |v: &Value| v.as_str().map_or_else(|| Err(format!("has {v} for a label, expected a name")), one);
            list.iter().map(name).collect::<Result<_, _>>()?
        }
        other => return Err(format!("has {other} for labels, expected a list of names or \"any\"")),
    };
    match found.is_empty() {
        true => Err(format!("names no labels; the labels are {}, or \"any\"", known())),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postprocess::yolic::{self, decode};

    const CELLS: &str = r#"{"Labels": {"LabelList": ["Car", "Human"], "LabelAbbreviation": ["Ca", "Hu"], "LabelNumber": 2},
        "COIs": {"COINumber": 3, "1": ["rectangle", 0, 0, 0.2, 0.2], "2": ["rectangle", 0.2, 0, 0.2, 0.2],
        "3": ["rectangle", 0.4, 0, 0.2, 0.2]}}"#;

    fn zones(text: &str) -> Result<Zones> {
        Zones::parse("z.toml", text, &Cells::parse("c", CELLS).unwrap())
    }

    #[test]
    fn rules_fire() {
        let text = r#"
            [[rule]]
            name = "press"
            cells = "1-2"
            labels = ["human"]
            action = "stop"

            [[rule]]
            name = "traffic"
            ranges = ["2", 3]
            labels = "any"
            action = "warn"
            min_score = 0.3
            min_cells = 2
        "#;
        let zones = zones(text).unwrap();
        let fired = |scores: [f32; 9]| {
            let fired = zones.judge(&scores, &decode(&scores, 2, yolic::Rule::default()), 2);
            let names: Vec<_> = fired.iter().map(|f| (f.name.clone(), f.hits.len())).collect();
            (names, verdict(&fired))
        };
        let named = |list: &[(&str, usize)]| list.iter().map(|(n, h)| (n.to_string(), *h)).collect::<Vec<_>>();
        // A car in cell 1 is nobody's business.
        assert_eq!(fired([0.9, 0.1, 0.1, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0]), (named(&[]), Verdict::Clear));
        assert_eq!(fired([0.9, 0.7, 0.1, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0]), (named(&[("press", 1)]), Verdict::Stop));
        // Below the threshold of the decode but not of the rule; in both cells, two labels in one.
        assert_eq!(fired([0.0, 0.0, 1.0, 0.3, 0.4, 0.9, 0.35, 0.1, 0.9]), (named(&[("traffic", 3)]), Verdict::Warn));
        assert_eq!(fired([0.0, 0.0, 1.0, 0.3, 0.4, 0.9, 0.2, 0.1, 0.9]), (named(&[]), Verdict::Clear));
        let both = fired([0.0, 0.0, 1.0, 0.1, 0.8, 0.1, 0.8, 0.1, 0.1]);
        assert_eq!(both, (named(&[("press", 1), ("traffic", 2)]), Verdict::Stop));
    }

    #[test]
    fn slips_are_told() {
        const GOOD: &str =
            "[[rule]]\nname = \"a\"\ncells = [1, 2]\nlabels = [\"Car\"]\naction = \"stop\"\nmin_cells = 2\n";
        assert!(zones(GOOD).is_ok());
        for (from, to, words) in [
            (GOOD, "", "has no [[rule]]"),
            ("\"stop\"", "\"halt\"", "line 5"),
            ("labels", "label", "line 4"),
            ("name = \"a\"", "name = \"\"", "is named \"\""),
            (GOOD, &format!("{GOOD}{GOOD}"), "two rules are named \"a\""),
            ("[1, 2]", "[1, 4]", "rule \"a\": has cell 4, but the cells are 1 to 3"),
            ("[1, 2]", "[0]", "has cell 0"),
            ("[1, 2]", "[]", "names no cells"),
            ("[1, 2]", "\"3-1\"", "smaller number first"),
            ("[1, 2]", "\"1-x\"", "\"1-x\" for cells"),
            ("[1, 2]", "[1.5]", "1.5 for cells"),
            ("[1, 2]", "[1, 2]\nranges = \"all\"", "both cells and ranges"),
            ("cells = [1, 2]\n", "", "names no cells"),
            ("\"Car\"", "\"Bus\"", "has the label \"Bus\", but the labels are Car, Human"),
            ("[\"Car\"]", "[]", "names no labels"),
            ("[\"Car\"]", "3", "3 for labels"),
            ("min_cells = 2", "min_cells = 3", "min_cells is 3, expected 1 to 2"),
            ("min_cells = 2", "min_score = 1.5", "min_score is 1.5"),
        ] {
            let error = zones(&GOOD.replace(from, to)).unwrap_err().one_line();
            assert!(error.starts_with("z.toml: ") && error.contains(words), "{words}: {error}");
        }
        for cells in ["\"all\"", "\"1, 2-3\"", "[\"1-2\", 3]"] {
            assert_eq!(zones(&GOOD.replace("[1, 2]", cells)).unwrap().rules[0].cells.len(), 3);
        }
        let short = zones(&GOOD.replace("[\"Car\"]", "\"hu\"")).unwrap();
        assert_eq!(short.rules[0].labels, BTreeSet::from([1]));
    }
}
