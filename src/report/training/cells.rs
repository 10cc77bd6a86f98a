//! What is told of a training of cells: the record, the summary, the page.

use super::{Chart, ClassRow, Confusion, Curve, Mistake, Training, rounded};
use crate::cells::Cells;
use crate::error::Result;
use crate::image::Image;
use crate::preprocess;
use crate::report::{draw, json};
use crate::train::cells::{Epoch, Figures};
use image::Rgb;
use serde_json::{Value, json};

/// Longest side of a mistake in the page, in pixels.
const SIDE: u32 = 480;
/// A cell with a label too many, and one with a label too few.
const TOO_MANY: Rgb<u8> = Rgb([255, 140, 0]);
const TOO_FEW: Rgb<u8> = Rgb([230, 30, 60]);

/// A training that is done.
#[derive(Debug)]
pub struct Done<'a> {
    /// The network's file and the report's.
    pub files: [String; 2],
    /// What was to be learned.
    pub cells: &'a Cells,
    /// On the pictures held back.
    pub figures: &'a Figures,
    /// The epochs, and the one whose head was kept.
    pub epochs: (usize, Option<Epoch>),
    /// All pictures.
    pub pictures: usize,
    /// From the beginning.
    pub seconds: f64,
}

/// The record of a training that is done.
pub fn record(done: &Done) -> Result<String> {
    let class = |row: ClassRow| {
        let [precision, recall, f1] = [row.precision, row.recall, row.f1].map(|v| v.map(rounded));
        json!({"name": row.name, "cells": row.count, "precision": precision, "recall": recall, "f1": f1})
    };
    let (figures, (epochs, best)) = (done.figures, done.epochs);
    let right = share(figures.right, figures.cells).map(rounded);
    let body = json!({
        "task": "cells", "report": done.files[1], "pictures": done.pictures, "epochs": epochs,
        "best_epoch": best.map(|e| e.epoch), "f1": rounded(figures.micro_f1()), "cells_right": right,
        "classes": rows(done.cells, figures).into_iter().map(class).collect::<Vec<Value>>(),
        "seconds": (done.seconds * 10.0).round() / 10.0,
    });
    json::record("train", &done.files[0], Ok(body))
}

/// The same for people.
pub fn summary(done: &Done) -> String {
    let Done { files: [out, _], cells, figures, epochs: (_, best), .. } = done;
    let epoch = best.map_or(0, |e| e.epoch);
    let right = share(figures.right, figures.cells).unwrap_or(0.0) * 100.0;
    let mut text = format!(
        "{out}  F1 {:.3}, {right:.1} % of the cells right, on pictures held back (epoch {epoch})",
        figures.micro_f1()
    );
    let width = cells.labels.iter().map(|l| l.chars().count()).max().unwrap_or(0);
    let shown = |v: Option<f64>| v.map_or("    -".into(), |v| format!("{v:.3}"));
    for ClassRow { name, count, precision, recall, f1, .. } in rows(cells, figures) {
        text += &format!(
            "\n  {name:width$}  precision {}  recall {}  F1 {}  of {count}",
            shown(precision),
            shown(recall),
            shown(f1)
        );
    }
    text
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn rows(cells: &Cells, figures: &Figures) -> Vec<ClassRow> {
    let row = |(i, (name, &[right, wrong, missed])): (usize, (&String, &[u64; 3]))| ClassRow {
        name: name.clone(),
        count: right + missed,
        precision: share(right, right + wrong),
        recall: share(right, right + missed),
        f1: (right + wrong + missed > 0).then(|| figures.f1(i)),
        ..ClassRow::default()
    };
    cells.labels.iter().zip(&figures.labels).enumerate().map(row).collect()
}

/// What the page shows.
pub fn training(
    cells: &Cells,
    epochs: &[Epoch],
    best: usize,
    figures: &Figures,
    facts: Vec<(String, String)>,
    mistakes: Vec<Mistake>,
) -> Training {
    let curve = |name: &str, value: fn(&Epoch) -> f64, marked: bool| Curve {
        name: name.into(),
        points: epochs.iter().map(|e| (e.epoch as f64, value(e))).collect(),
        best: marked.then_some(best as f64),
    };
    let loss = vec![curve("learned from", |e| e.loss, false), curve("held back", |e| e.held_back_loss, false)];
    let right = share(figures.right, figures.cells).unwrap_or(0.0);
    let charts = vec![
        Chart { title: "Loss".into(), unit: String::new(), over: "epoch".into(), curves: loss },
        Chart {
            title: "F1".into(),
            unit: String::new(),
            over: "epoch".into(),
            curves: vec![curve("held back", |e| e.f1, true)],
        },
    ];
    Training {
        title: "Training of cells".into(),
        figures: vec![
            ("F1".into(), format!("{:.3}", figures.micro_f1())),
            ("cells right".into(), format!("{:.1} %", 100.0 * right)),
            ("epoch".into(), best.to_string()),
        ],
        facts,
        notes: vec!["All figures are on the pictures held back, which were not learned from.".into()],
        charts,
        classes: rows(cells, figures),
        confusion: Some(Confusion {
            names: cells.labels.clone(),
            counts: figures.confusion.chunks(cells.width()).map(<[u64]>::to_vec).collect(),
        }),
        mistakes,
    }
}

/// A picture with the cells that were judged wrongly outlined, and what is wrong in words. `given` and `truth` are bits.
pub fn mistake(name: &str, image: &Image, cells: &Cells, given: &[bool], truth: &[bool]) -> Result<Mistake> {
    let scale = (SIDE as f32 / image.width().max(image.height()) as f32).min(1.0);
    let side = |full: u32| ((full as f32 * scale).round() as u32).max(1);
    let small = preprocess::resize(image, side(image.width()), side(image.height()))?;
    let mut canvas = draw::Canvas::new(&small)?;
    let mut words = Vec::new();
    let width = cells.width();
    for (i, (area, (given, truth))) in cells.areas.iter().zip(given.chunks(width).zip(truth.chunks(width))).enumerate()
    {
        let of = |keep: fn(bool, bool) -> bool| {
            let bits = given.iter().zip(truth).zip(&cells.labels);
            bits.filter(|((g, t), _)| keep(**g, **t)).map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let (many, few) = (of(|g, t| g && !t), of(|g, t| t && !g));
        if many.is_empty() && few.is_empty() {
            continue;
        }
        canvas.outline(&area.pixels(small.width(), small.height()), if few.is_empty() { TOO_MANY } else { TOO_FEW });
        words.push(match (few.is_empty(), many.is_empty()) {
            (false, false) => format!("{few} in cell {} taken for {many}", i + 1),
            (false, true) => format!("{few} in cell {} overlooked", i + 1),
            _ => format!("{many} seen in cell {}", i + 1),
        });
    }
    Ok(Mistake { image: draw::png(&canvas.finish()?)?, caption: format!("{name}: {}", words.join("; ")) })
}
