//! What `ocellus train classes` says of a training: text, record, and the contents of its report.

use super::training::{Chart, ClassRow, Confusion, Curve, Mistake, Training, rounded};
use super::{json as records, sheet};
use crate::error::Result;
use crate::image::Image;
use crate::train::classes::Trained;
use crate::train::figures::{ClassFigures, Figures};
use crate::train::logistic::Step;
use serde_json::json;

/// Mistakes that are listed.
const LISTED: usize = 5;
/// Mistakes that are shown.
const SHOWN: usize = 24;

/// A training and its results.
#[derive(Debug)]
pub struct Lesson<'a> {
    /// The ONNX file.
    pub out: &'a str,
    /// The report.
    pub report: &'a str,
    /// Names of the classes.
    pub names: &'a [String],
    /// Pictures of each that were learned from.
    pub counts: Vec<usize>,
    /// What training gave.
    pub trained: &'a Trained,
    /// The figures of pictures of their own; without them those of the cross-validation count.
    pub measured: Option<&'a Figures>,
    /// The pictures that the figures are of.
    pub paths: Vec<String>,
    /// Every iteration of the minimisation.
    pub steps: &'a [Step],
    /// Settings, name and value.
    pub facts: Vec<(String, String)>,
    /// What is wrong with the pictures.
    pub notes: Vec<String>,
    /// Seconds until the features were there, and in all.
    pub seconds: [f64; 2],
}

impl Lesson<'_> {
    fn figures(&self) -> &Figures {
        self.measured.unwrap_or(&self.trained.held_out)
    }

    fn how(&self) -> String {
        match self.measured {
            Some(figures) => format!("{} other pictures", figures.answers.len()),
            None => format!("held out, {} parts", self.trained.folds),
        }
    }

    /// The pictures that are mistaken with what they were called, the surest mistakes first.
    fn mistakes(&self) -> impl Iterator<Item = (usize, &str, &str, &str, f64)> {
        self.figures().mistakes().into_iter().map(|a| {
            let (class, guess) = (&self.names[a.class], &self.names[a.guess]);
            (a.picture, self.paths[a.picture].as_str(), class.as_str(), guess.as_str(), a.probabilities[a.guess])
        })
    }
}

/// The record of an iteration, `most` at most.
pub fn epoch(step: &Step, most: usize) -> Result<String> {
    records::plain(
        "epoch",
        json!({"task": "classify", "epoch": step.iteration, "of": most, "loss": rounded(step.loss), "gradient": step.gradient}),
    )
}

/// The record of the whole.
pub fn json(lesson: &Lesson) -> Result<String> {
    let figures = lesson.figures();
    let class = |((name, &pictures), f): ((&String, &usize), ClassFigures)| {
        let (precision, recall) = (f.precision.map(rounded), f.recall.map(rounded));
        json!({"name": name, "pictures": pictures, "measured": f.pictures, "precision": precision, "recall": recall})
    };
    let classes: Vec<_> = lesson.names.iter().zip(&lesson.counts).zip(figures.classes()).map(class).collect();
    let mistakes: Vec<_> = lesson
        .mistakes()
        .map(|(_, path, class, guess, score)| json!({"path": path, "class": class, "guess": guess, "score": rounded(score)}))
        .collect();
    let body = json!({
        "task": "classify", "report": lesson.report, "classes": classes, "c": lesson.trained.c,
        "measured_by": if lesson.measured.is_some() { "val" } else { "cross-validation" },
        "accuracy": rounded(figures.accuracy()), "loss": rounded(figures.loss()), "confusion": figures.confusion,
        "mistakes": mistakes, "epochs": lesson.trained.end.iteration, "converged": lesson.trained.end.converged,
        "seconds": (lesson.seconds[1] * 100.0).round() / 100.0,
    });
    records::record("train", lesson.out, Ok(body))
}

/// A few lines for a person.
pub fn text(lesson: &Lesson) -> String {
    let (figures, trained) = (lesson.figures(), lesson.trained);
    let pictures: usize = lesson.counts.iter().sum();
    let mut text = format!(
        "{}  {} classes, {pictures} pictures, C {}, {} iterations  {:.1} s\n      accuracy {:.3} ({})",
        lesson.out,
        lesson.names.len(),
        trained.c,
        trained.end.iteration,
        lesson.seconds[1],
        figures.accuracy(),
        lesson.how()
    );
    let width = lesson.names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
    let share = |v: Option<f64>| v.map_or("    -".into(), |v| format!("{v:.3}"));
    for ((name, count), f) in lesson.names.iter().zip(&lesson.counts).zip(figures.classes()) {
        let (precision, recall) = (share(f.precision), share(f.recall));
        text.push_str(&format!("\n      {name:<width$}  {count:>4} pictures  precision {precision}  recall {recall}"));
    }
    for (_, path, class, guess, score) in lesson.mistakes().take(LISTED) {
        text.push_str(&format!("\n      {path} is {class}, taken for {guess} ({score:.2})"));
    }
    text + &format!("\n      report: {}", lesson.report)
}

/// The contents of the report; `picture` gives the picture of a number, if it can still be read.
pub fn page(lesson: &Lesson, picture: impl Fn(usize) -> Option<Image>) -> Training {
    let (figures, trained) = (lesson.figures(), lesson.trained);
    let mut facts = lesson.facts.clone();
    facts.push(("measured by".into(), lesson.how()));
    facts.push(("pictures learned from".into(), lesson.counts.iter().sum::<usize>().to_string()));
    facts.push(("C".into(), trained.c.to_string()));
    facts.push((
        "seconds".into(),
        format!("{:.1}, {:.1} of them for the features", lesson.seconds[1], lesson.seconds[0]),
    ));
    let mut notes = lesson.notes.clone();
    if !trained.end.converged {
        notes.push(format!("The minimisation ended after {} iterations and could go on.", trained.end.iteration));
    }
    let f1 = |f: &ClassFigures| {
        let (p, r) = (f.precision?, f.recall?);
        (p + r > 0.0).then(|| 2.0 * p * r / (p + r)).or(Some(0.0))
    };
    let row = |(name, f): (&String, ClassFigures)| ClassRow {
        name: name.clone(),
        count: f.pictures as u64,
        precision: f.precision,
        recall: f.recall,
        f1: f1(&f),
        ..Default::default()
    };
    let mistake = |(at, path, class, guess, score): (usize, &str, &str, &str, f64)| {
        let image = picture(at).and_then(|p| sheet::small_jpeg(&p).ok())?;
        Some(Mistake { image, caption: format!("{path} is {class}, taken for {guess} ({score:.2})") })
    };
    let curve = |name: &str, points: Vec<(f64, f64)>| Curve { name: name.into(), points, best: None };
    let loss = lesson.steps.iter().map(|s| (s.iteration as f64, s.loss)).collect();
    let mut charts = vec![Chart {
        title: "Loss by iteration".into(),
        unit: String::new(),
        over: "iteration".into(),
        curves: vec![curve("with penalty", loss)],
    }];
    if trained.tried.len() > 1 {
        let tried = trained.tried.iter().map(|(c, loss)| (c.log10(), *loss)).collect();
        let best = Some(trained.c.log10());
        let curves = vec![Curve { best, ..curve("held out", tried) }];
        charts.push(Chart { title: "Loss by C".into(), unit: String::new(), over: "log10 C".into(), curves });
    }
    let counts = figures.confusion.iter().map(|row| row.iter().map(|&n| n as u64).collect()).collect();
    Training {
        title: format!("{}: {} classes", lesson.out, lesson.names.len()),
        figures: vec![
            ("accuracy".into(), format!("{:.3}", figures.accuracy())),
            ("log loss".into(), format!("{:.3}", figures.loss())),
            ("classes".into(), lesson.names.len().to_string()),
        ],
        facts,
        notes,
        charts,
        classes: lesson.names.iter().zip(figures.classes()).map(row).collect(),
        confusion: Some(Confusion { names: lesson.names.to_vec(), counts }),
        mistakes: lesson.mistakes().filter_map(mistake).take(SHOWN).collect(),
    }
}
