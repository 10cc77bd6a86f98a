//! Reading under a constraint: the most probable text that matches a pattern, found inside the CTC search.
//!
//! The pattern is an automaton over the recogniser's characters; its product with CTC's blanks and repetitions and with the
//! automaton of a check digit is searched for the best path (Viterbi) over the columns, so that a text is found whatever the
//! free reading was.

use super::check_digit::Check;
use super::ctc::{BLANK, Columns, Reading, log_sum_exp};
use regex_automata::dfa::{Automaton, dense};
use regex_automata::util::{primitives::StateID, start, syntax};
use regex_automata::{Anchored, MatchKind};
use std::collections::{HashMap, HashSet};

/// Automata of more steps than this (states times characters) are refused.
const MOST_STEPS: usize = 20_000_000;
/// The automaton over bytes may take this much memory.
const MOST_BYTES: usize = 16 << 20;
/// States from which more characters lead on than this are followed along characters that the columns make likely at all.
const MANY: usize = 256;
/// Likely at all: no more than so many nats below the best of a column.
const LIKELY: f32 = 12.0;
/// Ways that are so many nats worse than the best are given up: a text forced so far against the columns is no reading.
const BEAM: f32 = 50.0;
/// The search over states of pattern and check digit together is given up beyond this many.
const MOST_STATES: usize = 200_000;

/// A pattern that texts must match as a whole, and a check digit that must be right.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// Of each state, the classes that lead on and where to.
    steps: Vec<Vec<(u32, u32)>>,
    /// Whether a text may end in the state.
    ends: Vec<bool>,
    check: Option<Check>,
    /// First character of each class, for the check digit.
    characters: Vec<char>,
}

/// A text that matches, and how the columns like it.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// The characters; a score is the greatest probability among the columns that a character takes.
    pub reading: Reading,
    /// The probability of its path by that of the best path of all, to the power of one by its length: 1 if the free reading
    /// matches, near 0 if the columns say something else. What is read, left out or put in against them lowers it.
    pub evidence: f32,
}

impl Pattern {
    /// From a regular expression (the syntax of Rust's regex crate) that the whole text must match. `characters` are what the
    /// classes stand for, the blank empty; with `allowed`, only these classes are read.
    ///
    /// # Errors
    /// What is wrong with the expression.
    pub fn new(
        expression: &str,
        check: Option<Check>,
        characters: &[String],
        allowed: Option<&[bool]>,
    ) -> Result<Self, String> {
        // All ways to match are kept: an early end must not hide a longer text.
        let config = dense::Config::new()
            .match_kind(MatchKind::All)
            .dfa_size_limit(Some(MOST_BYTES))
            .determinize_size_limit(Some(MOST_BYTES));
        let dfa = dense::Builder::new().syntax(syntax::Config::new()).configure(config).build(expression);
        let dfa = dfa.map_err(|e| format!("pattern {expression:?}: {}", deepest(&e)))?;
        let begin = dfa.start_state(&start::Config::new().anchored(Anchored::Yes));
        let begin = begin.map_err(|e| format!("pattern {expression:?}: {e}"))?;
        let usable = |c: usize| c != BLANK && !characters[c].is_empty() && allowed.is_none_or(|a| a[c]);
        let classes: Vec<usize> = (0..characters.len()).filter(|&c| usable(c)).collect();
        let mut numbers: HashMap<StateID, u32> = HashMap::from([(begin, 0)]);
        let mut open = vec![begin];
        let (mut steps, mut ends) = (Vec::new(), Vec::new());
        let mut total = 0;
        while let Some(&state) = open.get(steps.len()) {
            let mut on = Vec::new();
            for &class in &classes {
                let mut next = state;
                for &byte in characters[class].as_bytes() {
                    next = dfa.next_state(next, byte);
                    if dfa.is_dead_state(next) {
                        break;
                    }
                }
                if dfa.is_dead_state(next) || dfa.is_quit_state(next) {
                    continue;
                }
                let number = *numbers.entry(next).or_insert_with(|| {
                    open.push(next);
                    open.len() as u32 - 1
                });
                on.push((class as u32, number));
            }
            total += on.len();
            if total > MOST_STEPS {
                return Err(format!("pattern {expression:?} is too large: limit its repetitions and its classes"));
            }
            steps.push(on);
            ends.push(dfa.is_match_state(dfa.next_eoi_state(state)));
        }
        let characters = characters.iter().map(|c| c.chars().next().unwrap_or('\0')).collect();
        Ok(Pattern { steps, ends, check, characters })
    }

    /// The most probable text that matches; `None` if there is none that has room in the columns.
    pub fn best(&self, columns: &Columns) -> Option<Match> {
        let columns: Vec<&[f32]> = columns.iter().collect();
        let norms: Vec<f32> = columns.iter().map(|c| log_sum_exp(c)).collect();
        let likely = likely(&columns);
        let graph = self.graph(&likely)?;
        let (end, path) = search(&graph, &columns)?;
        let free: f32 = columns.iter().map(|c| c.iter().copied().fold(f32::NEG_INFINITY, f32::max)).sum();
        let mut reading = Reading::default();
        let mut last = BLANK;
        for ((&class, column), norm) in path.iter().zip(&columns).zip(&norms) {
            if class != BLANK {
                let probability = (column[class] - norm).exp();
                match reading.scores.last_mut() {
                    Some(score) if class == last => *score = score.max(probability),
                    _ => {
                        reading.classes.push(class);
                        reading.scores.push(probability);
                    }
                }
            }
            last = class;
        }
        let evidence = ((end - free) / reading.classes.len().max(1) as f32).exp().min(1.0);
        Some(Match { reading, evidence })
    }

    /// The states of pattern and check digit together that can be reached.
    fn graph(&self, likely: &HashSet<u32>) -> Option<Graph> {
        let begin = (0u32, Check::START);
        let mut numbers = HashMap::from([(begin, 0u32)]);
        let mut open = vec![begin];
        let mut graph = Graph::default();
        while let Some(&(state, check)) = open.get(graph.steps.len()) {
            let all = &self.steps[state as usize];
            let many = all.len() > MANY;
            let mut steps = Vec::new();
            for &(class, next) in all.iter().filter(|(class, _)| !many || likely.contains(class)) {
                let check = match self.check {
                    None => Some(check),
                    Some(rule) => rule.step(check, self.characters[class as usize]),
                };
                let Some(check) = check else { continue };
                let number = *numbers.entry((next, check)).or_insert_with(|| {
                    open.push((next, check));
                    open.len() as u32 - 1
                });
                steps.push((class, number));
            }
            if open.len() > MOST_STATES {
                return None;
            }
            graph.ends.push(self.ends[state as usize] && self.check.is_none_or(|rule| rule.accepts(check)));
            graph.steps.push(steps);
        }
        Some(graph)
    }
}

/// What went wrong at the bottom of a chain of errors, in one line.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    // regex-syntax draws the place over several lines; its last one says what is wrong.
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_string()
}

/// The classes that some column does not rule out.
fn likely(columns: &[&[f32]]) -> HashSet<u32> {
    let mut found = HashSet::new();
    for column in columns {
        let best = column.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        found.extend((0u32..).zip(*column).filter(|(_, v)| **v > best - LIKELY).map(|(c, _)| c));
    }
    found
}

/// An automaton over classes.
#[derive(Debug, Default)]
struct Graph {
    steps: Vec<Vec<(u32, u32)>>,
    ends: Vec<bool>,
}

/// The best way to be in a state of the graph with the same last class, and how it came there.
#[derive(Debug, Clone, Copy)]
struct Way {
    score: f32,
    last: u32,
    trace: u32,
}

/// No step before this one.
const NONE: u32 = u32::MAX;

/// The best path through the columns that ends where a text may: its logarithm, up to the columns' norms, and its classes,
/// one a column, blanks among them.
///
/// A state of the graph is entered by characters, stayed in by blanks and repetitions. Of the ways into a state only the best
/// for each last class can become the best path.
fn search(graph: &Graph, columns: &[&[f32]]) -> Option<(f32, Vec<usize>)> {
    // Each entry of the trace: the class of a column and the entry before.
    let mut trace: Vec<(u32, u32)> = Vec::new();
    let mut ways: Vec<Vec<Way>> = vec![Vec::new(); graph.steps.len()];
    ways[0].push(Way { score: 0.0, last: BLANK as u32, trace: NONE });
    let mut reached = vec![0usize];
    for column in columns {
        let mut next: HashMap<(u32, u32), Way> = HashMap::new();
        let mut offer = |state: u32, class: u32, from: &Way| {
            let score = from.score + column[class as usize];
            let way = next.entry((state, class)).or_insert(Way { score: f32::NEG_INFINITY, last: class, trace: NONE });
            if score > way.score {
                *way = Way { score, last: class, trace: from.trace };
            }
        };
        for &state in &reached {
            let here = &ways[state];
            // The best way, and the best with another last class than it.
            let Some(best) = here.iter().max_by(|a, b| a.score.total_cmp(&b.score)) else { continue };
            let other = here.iter().filter(|w| w.last != best.last).max_by(|a, b| a.score.total_cmp(&b.score));
            offer(state as u32, BLANK as u32, best);
            for way in here.iter().filter(|w| w.last != BLANK as u32) {
                offer(state as u32, way.last, way);
            }
            for &(class, to) in &graph.steps[state] {
                // The same class again would be a repetition: between two equal characters there is a blank.
                let from = if best.last == class { other } else { Some(best) };
                if let Some(from) = from {
                    offer(to, class, from);
                }
            }
        }
        for state in reached.drain(..) {
            ways[state].clear();
        }
        let top = next.values().map(|w| w.score).fold(f32::NEG_INFINITY, f32::max);
        for ((state, class), way) in next.into_iter().filter(|(_, w)| w.score > top - BEAM) {
            trace.push((class, way.trace));
            let state = state as usize;
            if ways[state].is_empty() {
                reached.push(state);
            }
            ways[state].push(Way { trace: trace.len() as u32 - 1, ..way });
        }
        reached.sort_unstable();
    }
    let ends = reached.iter().filter(|s| graph.ends[**s]).flat_map(|s| &ways[*s]);
    let best = ends.max_by(|a, b| a.score.total_cmp(&b.score))?;
    let mut classes = Vec::new();
    let mut at = best.trace;
    while at != NONE {
        let (class, before) = trace[at as usize];
        classes.push(class as usize);
        at = before;
    }
    classes.reverse();
    Some((best.score, classes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The blank, then the characters of `set`.
    fn alphabet(set: &str) -> Vec<String> {
        std::iter::once(String::new()).chain(set.chars().map(String::from)).collect()
    }

    fn text(found: &Match, characters: &[String]) -> String {
        found.reading.classes.iter().map(|c| characters[*c].as_str()).collect()
    }

    /// All texts of up to `length` characters.
    fn texts(classes: usize, length: usize) -> Vec<Vec<usize>> {
        let mut all = vec![Vec::new()];
        let mut from = 0;
        for _ in 0..length {
            let end = all.len();
            for i in from..end {
                for c in 1..classes {
                    let text: Vec<usize> = all[i].iter().copied().chain([c]).collect();
                    all.push(text);
                }
            }
            from = end;
        }
        all
    }

    /// The best path of a given text, by the textbook: states are the characters with blanks around.
    fn path_score(text: &[usize], columns: &Columns) -> f32 {
        let states: Vec<usize> = std::iter::once(BLANK).chain(text.iter().flat_map(|c| [*c, BLANK])).collect();
        let mut scores = vec![f32::NEG_INFINITY; states.len()];
        for (t, column) in columns.iter().enumerate() {
            let before = scores.clone();
            for (s, &class) in states.iter().enumerate() {
                let mut best = if t == 0 { if s < 2 { 0.0 } else { f32::NEG_INFINITY } } else { before[s] };
                if t > 0 && s > 0 {
                    best = best.max(before[s - 1]);
                    if s > 1 && class != BLANK && class != states[s - 2] {
                        best = best.max(before[s - 2]);
                    }
                }
                scores[s] = best + column[class];
            }
        }
        let last = states.len() - 1;
        if last == 0 { scores[0] } else { scores[last].max(scores[last - 1]) }
    }

    proptest! {
        /// Of all texts that match, the search finds the one with the best path.
        #[test]
        fn the_best_of_all(logits in prop::collection::vec(-3f32..3.0, 5 * 4), which in 0usize..4) {
            let (expression, check): (&str, fn(&str) -> bool) = [
                ("[ab]{2}", (|t: &str| t.len() == 2 && !t.contains('c')) as fn(&str) -> bool),
                ("a.*", |t: &str| t.starts_with('a')),
                ("(ab)+|c{1,3}", |t: &str| ["ab", "abab", "c", "cc", "ccc"].contains(&t)),
                ("a|ab|b*", |t: &str| t == "a" || t == "ab" || t.bytes().all(|b| b == b'b')),
            ][which];
            let characters = alphabet("abc");
            let columns = Columns::new(&logits, 4);
            let found = Pattern::new(expression, None, &characters, None).unwrap().best(&columns).unwrap();
            let all = texts(4, 5);
            let name = |t: &[usize]| t.iter().map(|c| characters[*c].as_str()).collect::<String>();
            let best = all.iter().filter(|t| check(&name(t))).max_by(|a, b| {
                path_score(a, &columns).total_cmp(&path_score(b, &columns))
            }).unwrap();
            prop_assert!(check(&text(&found, &characters)));
            prop_assert!((path_score(&found.reading.classes, &columns) - path_score(best, &columns)).abs() < 1e-4);
            let free = columns.greedy(None);
            if check(&name(&free.classes)) {
                prop_assert!(found.evidence > 0.999, "{}", found.evidence);
            }
        }
    }

    #[test]
    fn check_digits_are_right() {
        let characters = alphabet("0123456789");
        // Each digit twice, the last one a seven, which is wrong: 4006381333931 is right.
        let digits = "4006381333937".bytes().flat_map(|b| [0, usize::from(b - b'0') + 1]);
        let mut logits: Vec<f32> = digits.flat_map(|d| (0..11).map(move |c| if c == d { 6.0 } else { 0.0 })).collect();
        let rows = logits.len();
        logits[rows - 11 + 2] = 5.0;
        let columns = Columns::new(&logits, 11);
        let read = |check| Pattern::new("[0-9]{13}", check, &characters, None).unwrap().best(&columns).unwrap();
        assert_eq!(text(&read(None), &characters), "4006381333937");
        let found = read(Some(Check::Gs1(13)));
        assert_eq!(text(&found, &characters), "4006381333931");
        assert!(found.evidence < 0.99 && found.evidence > 0.8 && read(None).evidence > 0.999);
        let none = Pattern::new("[0-9]{40}", None, &characters, None).unwrap().best(&columns);
        assert_eq!(none, None);
    }

    #[test]
    fn wrong_patterns_are_explained() {
        let new = |expression| Pattern::new(expression, None, &alphabet("ab"), None).unwrap_err();
        assert!(new("[a").contains("unclosed"), "{}", new("[a"));
        assert!(new("(a{1000}){1000}").contains("(a{1000}){1000}"), "{}", new("(a{1000}){1000}"));
        let allowed = [true, true, false];
        let only = Pattern::new("[ab]", None, &alphabet("ab"), Some(&allowed)).unwrap();
        let found = only.best(&Columns::new(&[0.0, 0.0, 9.0], 3)).unwrap();
        assert_eq!(found.reading.classes, [1]);
    }
}
