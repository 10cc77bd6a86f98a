//! The decode of YOLIC (Su et al., "YOLIC: An efficient method for object localization and classification on edge devices",
//! Image and Vision Computing 2024): which labels each cell of interest has.
//!
//! Of a cell's M + 1 scores those above the threshold count, each on its own; the last is the background.
//!
//! - The background alone: the cell is empty.
//! - Labels: the cell has them. The background beside them says nothing, as in the authors' published code, which passes over it.
//! - Nothing at all: the best score decides, and the cell is empty if that is the background's. Of equal scores the first is
//!   the best (numpy's argmax), so a label wins against the background, which comes last; the paper has it the other way round.

/// How scores become labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// A score above this counts; 0.5 in the published code.
    pub threshold: f32,
    /// Where no score counts and the background's equals the best label's, the cell is empty.
    pub background_wins: bool,
}

impl Default for Rule {
    fn default() -> Self {
        Rule { threshold: 0.5, background_wins: false }
    }
}

/// A label that a cell has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Its number, from 0.
    pub label: usize,
    /// Its score, 0 to 1; not above the threshold where it was only the best of the cell.
    pub score: f32,
}

/// The labels of each cell, in the order of the labels; none for an empty cell. `scores` holds `labels` + 1 values a cell,
/// 0 to 1, the cells one after the other, the background last in each.
pub fn decode(scores: &[f32], labels: usize, rule: Rule) -> Vec<Vec<Seen>> {
    scores.chunks_exact(labels + 1).map(|cell| seen(cell, rule)).collect()
}

fn seen(cell: &[f32], rule: Rule) -> Vec<Seen> {
    let Some((&background, labels)) = cell.split_last() else { return Vec::new() };
    let all = || labels.iter().enumerate().map(|(label, &score)| Seen { label, score });
    let above: Vec<Seen> = all().filter(|s| s.score > rule.threshold).collect();
    if !above.is_empty() || background > rule.threshold {
        return above;
    }
    // The first of equals.
    let best = all().reduce(|best, s| if s.score > best.score { s } else { best });
    let wins = |s: &Seen| s.score > background || (s.score == background && !rule.background_wins);
    best.filter(wins).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    /// The published decode written out step by step, on bits and an argmax over all M + 1 scores.
    fn reference(scores: &[f32], labels: usize, rule: Rule) -> Vec<Vec<usize>> {
        let mut cells = Vec::new();
        for cell in 0..scores.len() / (labels + 1) {
            let own = &scores[cell * (labels + 1)..(cell + 1) * (labels + 1)];
            let bits: Vec<bool> = own.iter().map(|s| *s > rule.threshold).collect();
            let mut normal = vec![false; labels];
            normal.push(true);
            let mut index: Vec<usize> = (0..=labels).filter(|&i| bits[i]).collect();
            if bits == normal {
                index.clear();
            } else if index.is_empty() {
                let greatest = own.iter().copied().fold(f32::MIN, f32::max);
                let mut best: Vec<usize> = (0..=labels).filter(|&i| own[i] == greatest).collect();
                if rule.background_wins && best.contains(&labels) {
                    best = vec![labels];
                }
                index.push(best[0]);
            }
            index.retain(|&i| i != labels);
            cells.push(index);
        }
        cells
    }

    fn numbers(found: &[Vec<Seen>]) -> Vec<Vec<usize>> {
        found.iter().map(|cell| cell.iter().map(|s| s.label).collect()).collect()
    }

    proptest! {
        /// Coarse values, so that equal scores and scores at the threshold are frequent.
        #[test]
        fn as_written_out(
            values in prop::collection::vec(0u8..=10, 0..200), labels in 1usize..6, threshold in 0u8..=10, background_wins: bool,
        ) {
            let rule = Rule { threshold: f32::from(threshold) / 10.0, background_wins };
            let scores: Vec<f32> = values.iter().map(|v| f32::from(*v) / 10.0).collect();
            let scores = &scores[..scores.len() / (labels + 1) * (labels + 1)];
            let found = decode(scores, labels, rule);
            prop_assert_eq!(numbers(&found), reference(scores, labels, rule));
            for (cell, seen) in found.iter().enumerate() {
                prop_assert!(seen.iter().all(|s| s.score == scores[cell * (labels + 1) + s.label]));
            }
        }

        #[test]
        fn as_written_out_on_any_scores(
            scores in prop::collection::vec(0f32..1.0, 60), labels in prop::sample::select(vec![1usize, 2, 3, 4, 5, 9]),
            background_wins: bool,
        ) {
            let rule = Rule { background_wins, ..Rule::default() };
            prop_assert_eq!(numbers(&decode(&scores, labels, rule)), reference(&scores, labels, rule));
        }
    }

    /// What numpy gives (tools/reference_yolic.py), with either rule for ties.
    #[test]
    fn as_numpy() {
        let text = include_str!("../../tests/reference/yolic-decode.json");
        let file: Value = serde_json::from_str(text).unwrap();
        let cases = file["cases"].as_array().unwrap();
        let mut differ = 0;
        for case in cases {
            let labels = case["labels"].as_u64().unwrap() as usize;
            let scores: Vec<f32> =
                case["scores"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
            for (key, background_wins) in [("first_wins", false), ("background_wins", true)] {
                let found = numbers(&decode(&scores, labels, Rule { background_wins, ..Rule::default() }));
                assert_eq!(serde_json::json!(found), case[key], "{labels} labels, {key}");
            }
            differ += usize::from(case["first_wins"] != case["background_wins"]);
        }
        assert!(cases.len() >= 20 && differ >= 5, "{} cases, {differ} with ties", cases.len());
    }
}
