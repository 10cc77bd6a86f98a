//! How good detections are: average precision, precision and recall of each class, and which class was taken for which.
//!
//! The figures are those of Ultralytics 8.4 (`ap_per_class`), so that they can be compared. Within a picture and a class
//! each detection, the surest first, takes the free object that it overlaps most, as in COCO. Precision is made to fall with
//! recall, read at 101 recalls between which it is interpolated, and integrated by trapezoids. This falls to 0 at a recall
//! of 1, so perfect detections have 0.995. Of detections with equal scores none is before the others: no threshold could
//! divide them.

use super::detection::Detection;
use crate::geometry::Rect;

/// The overlaps (IoU) at which average precision is taken: 0.5 to 0.95 in steps of 0.05, as in COCO.
const OVERLAPS: [f32; 10] = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95];
/// Recalls at which precision is read, as in COCO.
const RECALLS: usize = 101;
/// Confidences from 0 to 1 at which F1 is read, and how many of them are averaged to find the best.
const CONFIDENCES: usize = 1000;
const SMOOTHED: usize = 101;
/// Overlap above which a detection is of an object in the confusion matrix, whatever class it has; Ultralytics' value.
const CONFUSED: f32 = 0.45;

/// What is in a picture and what was found there, boxes in the same pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged<'a> {
    /// Class and box of each object.
    pub truth: &'a [(usize, Rect)],
    /// What was found, in any order. For average precision to mean anything the doubtful ones (score down to 0.001) have
    /// to be there.
    pub found: &'a [Detection],
}

/// Figures of a class that there are objects of; all 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassFigures {
    /// Number of its objects.
    pub count: u64,
    /// Share of its detections that are right, at [`Figures::confidence`] and an IoU of 0.5.
    pub precision: f64,
    /// Share of its objects that are found, at the same.
    pub recall: f64,
    /// Harmonic mean of both.
    pub f1: f64,
    /// Average precision at an IoU of 0.5.
    pub ap50: f64,
    /// Average precision, mean over an IoU of 0.5 to 0.95.
    pub ap: f64,
}

/// Figures of a set of pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// By class; `None` for classes without an object.
    pub classes: Vec<Option<ClassFigures>>,
    /// The confidence at which F1, mean of the classes and smoothed, is best.
    pub confidence: f64,
}

impl Figures {
    /// Mean of a figure over the classes that there are objects of; 0 without any.
    pub fn mean(&self, of: impl Fn(&ClassFigures) -> f64) -> f64 {
        let values: Vec<f64> = self.classes.iter().flatten().map(of).collect();
        if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
    }

    /// Mean average precision at an IoU of 0.5.
    pub fn map50(&self) -> f64 {
        self.mean(|c| c.ap50)
    }

    /// Mean average precision, mean over an IoU of 0.5 to 0.95.
    pub fn map(&self) -> f64 {
        self.mean(|c| c.ap)
    }
}

/// A detection of a class: its score, and at which of [`OVERLAPS`] it is right.
type Hit = (f32, [bool; OVERLAPS.len()]);

/// Judges detections of `classes` classes. Objects and detections of classes beyond, and detections whose numbers are no
/// numbers, are left out.
pub fn figures(pictures: &[Judged], classes: usize) -> Figures {
    let measured: Vec<Option<Measured>> = (0..classes).map(|class| Measured::of(pictures, class)).collect();
    let known: Vec<&Measured> = measured.iter().flatten().collect();
    let mean = |i: usize| known.iter().map(|m| f1(m.at(i))).sum::<f64>() / known.len().max(1) as f64;
    let at = peak(&(0..CONFIDENCES).map(mean).collect::<Vec<f64>>());
    let class = |m: &Measured| {
        let (precision, recall) = m.at(at);
        let ap = m.ap.iter().sum::<f64>() / m.ap.len() as f64;
        ClassFigures { count: m.count, precision, recall, f1: f1((precision, recall)), ap50: m.ap[0], ap }
    };
    Figures { classes: measured.iter().map(|m| m.as_ref().map(class)).collect(), confidence: confidence(at) }
}

/// One of [`CONFIDENCES`].
fn confidence(i: usize) -> f64 {
    i as f64 / (CONFIDENCES - 1) as f64
}

fn f1((precision, recall): (f64, f64)) -> f64 {
    if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 }
}

/// Where the values, averaged over [`SMOOTHED`] neighbours, are largest; beyond the ends they go on as they end.
fn peak(values: &[f64]) -> usize {
    let half = (SMOOTHED / 2) as isize;
    let last = values.len().saturating_sub(1) as isize;
    let near = |i: isize| (i - half..=i + half).map(|j| values[j.clamp(0, last) as usize]).sum::<f64>();
    let (mut best, mut most) = (0, f64::NEG_INFINITY);
    for i in 0..=last {
        // A difference of rounding is no reason to prefer the later one.
        let sum = near(i);
        if sum > most + 1e-12 {
            (best, most) = (i as usize, sum);
        }
    }
    best
}

/// What is known of a class: the number of its objects, its average precision at each of [`OVERLAPS`], and score, precision
/// and recall after each group of detections of one score, by falling score, at the first overlap.
struct Measured {
    count: u64,
    ap: [f64; OVERLAPS.len()],
    curve: Vec<(f64, f64, f64)>,
}

impl Measured {
    /// `None` without an object of the class.
    fn of(pictures: &[Judged], class: usize) -> Option<Measured> {
        let mut count = 0;
        let mut hits: Vec<Hit> = Vec::new();
        for picture in pictures {
            let truth: Vec<Rect> = picture.truth.iter().filter(|t| t.0 == class).map(|t| t.1).collect();
            count += truth.len() as u64;
            matched(&truth, &by_score(picture.found, |d| d.class == class), &mut hits);
        }
        if count == 0 {
            return None;
        }
        hits.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut ap = [0.0; OVERLAPS.len()];
        for (level, ap) in ap.iter_mut().enumerate() {
            *ap = area(&curve(&hits, level, count));
        }
        Some(Measured { count, ap, curve: curve(&hits, 0, count) })
    }

    /// Precision and recall at one of [`CONFIDENCES`], interpolated between the scores there are. Above all of them nothing
    /// is found and nothing is wrong.
    fn at(&self, i: usize) -> (f64, f64) {
        let wanted = confidence(i);
        let below = self.curve.partition_point(|c| c.0 >= wanted);
        match (below.checked_sub(1).and_then(|i| self.curve.get(i)), self.curve.get(below)) {
            (Some(a), Some(b)) => {
                let share = (a.0 - wanted) / (a.0 - b.0);
                (a.1 + (b.1 - a.1) * share, a.2 + (b.2 - a.2) * share)
            }
            (Some(a), None) => (a.1, a.2),
            (None, Some(_)) => (1.0, 0.0),
            // A class that nothing was ever taken for.
            (None, None) => (0.0, 0.0),
        }
    }
}

/// The detections that are wanted, the surest first. Equal scores are ordered by their boxes, so that the order in which
/// they were given does not matter.
fn by_score(found: &[Detection], wanted: impl Fn(&Detection) -> bool) -> Vec<&Detection> {
    let mut found: Vec<&Detection> =
        found.iter().filter(|d| d.score.is_finite() && d.is_finite() && wanted(d)).collect();
    let sides = |d: &Detection| <[f32; 4]>::from(d.rect).map(|v| v + 0.0);
    let by_sides = |a: &Detection, b: &Detection| sides(a).partial_cmp(&sides(b)).unwrap_or(std::cmp::Ordering::Equal);
    found.sort_by(|a, b| b.score.total_cmp(&a.score).then(by_sides(a, b)).then(a.class.cmp(&b.class)));
    found
}

/// Says of each detection, the surest first, at which overlaps it has an object of its own.
fn matched(truth: &[Rect], found: &[&Detection], hits: &mut Vec<Hit>) {
    let mut taken = vec![[false; OVERLAPS.len()]; truth.len()];
    for detection in found {
        let overlaps: Vec<f32> = truth.iter().map(|t| t.iou(&detection.rect)).collect();
        let mut right = [false; OVERLAPS.len()];
        for (level, &least) in OVERLAPS.iter().enumerate() {
            let free = (0..truth.len()).filter(|&t| !taken[t][level] && overlaps[t] >= least);
            // The first of several that are overlapped alike.
            let best = free.reduce(|a, b| if overlaps[b] > overlaps[a] { b } else { a });
            if let Some(t) = best {
                (taken[t][level], right[level]) = (true, true);
            }
        }
        hits.push((detection.score, right));
    }
}

/// Score, precision and recall after each group of equal scores. `hits` are sorted, the surest first.
fn curve(hits: &[Hit], level: usize, count: u64) -> Vec<(f64, f64, f64)> {
    let mut curve: Vec<(f64, f64, f64)> = Vec::new();
    let mut right = 0;
    for (i, (score, hit)) in hits.iter().enumerate() {
        right += u64::from(hit[level]);
        let score = f64::from(*score);
        if curve.last().is_some_and(|c| c.0 == score) {
            curve.pop();
        }
        curve.push((score, right as f64 / (i + 1) as f64, right as f64 / count as f64));
    }
    curve
}

/// The area under precision over recall.
fn area(curve: &[(f64, f64, f64)]) -> f64 {
    let Some(last) = curve.last() else { return 0.0 };
    let mut points = vec![(0.0, 1.0)];
    points.extend(curve.iter().map(|&(_, precision, recall)| (recall, precision)));
    // Recall never goes beyond this.
    points.extend([(last.2, 0.0), (1.0, 0.0)]);
    // Precision never rises with recall.
    for i in (1..points.len()).rev() {
        points[i - 1].1 = f64::max(points[i - 1].1, points[i].1);
    }
    let precision = |i: usize| {
        let recall = i as f64 / (RECALLS - 1) as f64;
        // Of several points at this recall it is the last that counts.
        let next = points.partition_point(|p| p.0 <= recall);
        match (next.checked_sub(1).and_then(|i| points.get(i)), points.get(next)) {
            (Some(a), Some(b)) => a.1 + (b.1 - a.1) * (recall - a.0) / (b.0 - a.0),
            (Some(a), None) => a.1,
            (None, _) => 1.0,
        }
    };
    (1..RECALLS).map(|i| (precision(i - 1) + precision(i)) / 2.0).sum::<f64>() / (RECALLS - 1) as f64
}

/// How often the class of the row was taken for that of the column, by detections above `confidence`. The last row and
/// column are the background: found where nothing is, and not found. Objects and detections are matched whatever their
/// classes, at an IoU above 0.45.
pub fn confusion(pictures: &[Judged], classes: usize, confidence: f32) -> Vec<Vec<u64>> {
    let mut counts = vec![vec![0; classes + 1]; classes + 1];
    for picture in pictures {
        let truth: Vec<&(usize, Rect)> = picture.truth.iter().filter(|t| t.0 < classes).collect();
        let mut taken = vec![false; truth.len()];
        for d in by_score(picture.found, |d| d.score > confidence && d.class < classes) {
            let overlaps = truth.iter().enumerate().filter(|(t, _)| !taken[*t]).map(|(t, (_, r))| (t, r.iou(&d.rect)));
            let best = overlaps.filter(|o| o.1 > CONFUSED).reduce(|a, b| if b.1 > a.1 { b } else { a });
            match best {
                Some((t, _)) => {
                    taken[t] = true;
                    counts[truth[t].0][d.class] += 1;
                }
                None => counts[classes][d.class] += 1,
            }
        }
        for (object, _) in truth.iter().zip(taken).filter(|(_, taken)| !taken) {
            counts[object.0][classes] += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn found(class: usize, score: f32, x: f32) -> Detection {
        Detection { class, score, rect: Rect::from_xywh(x, 0.0, 10.0, 10.0) }
    }

    fn object(class: usize, x: f32) -> (usize, Rect) {
        (class, Rect::from_xywh(x, 0.0, 10.0, 10.0))
    }

    /// tools/reference_map.py had Ultralytics judge the same boxes.
    #[test]
    fn figures_are_ultralytics() {
        let all: Value = serde_json::from_str(include_str!("../../tests/reference/map.json")).unwrap();
        let number = |v: &Value| v.as_f64().unwrap();
        let rect = |v: &Value| {
            let side = |i: usize| number(&v[i]) as f32;
            Rect { x1: side(0), y1: side(1), x2: side(2), y2: side(3) }
        };
        for case in all["cases"].as_array().unwrap() {
            let list = |v: &Value| v.as_array().unwrap().clone();
            let pictures: Vec<(Vec<(usize, Rect)>, Vec<Detection>)> = list(&case["pictures"])
                .iter()
                .map(|p| {
                    let class = |v: &Value| number(&v[0]) as usize;
                    let truth = list(&p["truth"]).iter().map(|t| (class(t), rect(&t[1]))).collect();
                    let one = |d: &Value| Detection { class: class(d), score: number(&d[1]) as f32, rect: rect(&d[2]) };
                    (truth, list(&p["found"]).iter().map(one).collect())
                })
                .collect();
            let judged: Vec<Judged> = pictures.iter().map(|(truth, found)| Judged { truth, found }).collect();
            let classes = number(&case["classes"]) as usize;
            let got = figures(&judged, classes);
            let near = |a: f64, b: &Value, what: &str| {
                assert!((a - number(b)).abs() < 1e-3, "{}: {what}: {a} instead of {b}", case["name"])
            };
            near(got.map50(), &case["map50"], "mAP50");
            near(got.map(), &case["map"], "mAP50-95");
            let known: Vec<(usize, &ClassFigures)> =
                got.classes.iter().enumerate().filter_map(|(i, c)| c.as_ref().map(|c| (i, c))).collect();
            assert_eq!(known.len(), list(&case["by_class"]).len());
            for ((i, class), expected) in known.iter().zip(list(&case["by_class"])) {
                assert_eq!(*i, number(&expected["class"]) as usize);
                near(class.precision, &expected["precision"], "precision");
                near(class.recall, &expected["recall"], "recall");
                near(class.f1, &expected["f1"], "F1");
                near(class.ap50, &expected["ap50"], "AP50");
                near(class.ap, &expected["ap"], "AP50-95");
            }
            // Theirs has the truth in columns.
            let matrix = confusion(&judged, classes, 0.25);
            for (truth, row) in matrix.iter().enumerate() {
                for (predicted, count) in row.iter().enumerate() {
                    assert_eq!(*count as f64, number(&case["confusion"][predicted][truth]), "{truth} {predicted}");
                }
            }
        }
    }

    #[test]
    fn perfect_and_nothing() {
        let truth = [object(0, 0.0), object(0, 20.0), object(2, 40.0)];
        let all = [found(0, 0.9, 0.0), found(0, 0.9, 20.0), found(2, 0.8, 40.0)];
        let perfect = figures(&[Judged { truth: &truth, found: &all }], 3);
        // The trapezoid of the last hundredth of recall falls to 0.
        assert!((perfect.map50() - 0.995).abs() < 1e-12 && (perfect.map() - 0.995).abs() < 1e-12);
        assert_eq!(perfect.classes[1], None);
        let first = perfect.classes[0].unwrap();
        assert_eq!((first.count, first.precision, first.recall, first.f1), (2, 1.0, 1.0, 1.0));
        let nothing = figures(&[Judged { truth: &truth, found: &[] }], 3);
        assert_eq!((nothing.map50(), nothing.map(), nothing.mean(|c| c.recall)), (0.0, 0.0, 0.0));
        assert_eq!(figures(&[], 2), Figures { classes: vec![None, None], confidence: 0.0 });
    }

    #[test]
    fn one_object_is_found_once() {
        let truth = [object(0, 0.0)];
        // The surer one is a little off and takes the object; the exact one comes too late.
        let twice = [found(0, 0.5, 0.0), found(0, 0.9, 1.0)];
        let pictures = [Judged { truth: &truth, found: &twice }];
        assert!((figures(&pictures, 1).map50() - 0.995).abs() < 1e-12);
        assert_eq!(confusion(&pictures, 1, 0.25), [[1, 0], [1, 0]]);
        let wrong = [found(1, 0.9, 0.0), found(0, 0.2, 0.0), found(7, 0.9, 0.0), found(0, f32::NAN, 0.0)];
        assert_eq!(confusion(&[Judged { truth: &truth, found: &wrong }], 2, 0.25), [[0, 1, 0], [0, 0, 0], [0, 0, 0]]);
        assert_eq!(confusion(&[Judged { truth: &truth, found: &[] }], 1, 0.25), [[0, 1], [0, 0]]);
    }

    fn boxes() -> impl Strategy<Value = Vec<(usize, Rect)>> {
        let one = (0usize..3, 0u8..12, 0u8..12, 5u8..15, 5u8..15);
        let rect = |(c, x, y, w, h)| (c, Rect::from_xywh(f32::from(x), f32::from(y), f32::from(w), f32::from(h)));
        prop::collection::vec(one.prop_map(rect), 0..8)
    }

    proptest! {
        #[test]
        fn order_does_not_matter(truth in boxes(), boxes in boxes(), scores in prop::collection::vec(1u8..6, 8)) {
            let of = |(&(class, rect), &s): (&(usize, Rect), &u8)| Detection { class, score: f32::from(s) / 6.0, rect };
            let mut found: Vec<Detection> = boxes.iter().zip(&scores).map(of).collect();
            let other = [(1, Rect::from_xywh(0.0, 0.0, 9.0, 9.0))];
            let empty = Judged { truth: &other, found: &[] };
            let judged = figures(&[Judged { truth: &truth, found: &found }, empty], 3);
            let matrix = confusion(&[Judged { truth: &truth, found: &found }], 3, 0.25);
            found.reverse();
            prop_assert_eq!(&judged, &figures(&[empty, Judged { truth: &truth, found: &found }], 3));
            prop_assert_eq!(&matrix, &confusion(&[Judged { truth: &truth, found: &found }], 3, 0.25));
            // Every object is in its row once.
            for class in 0..3 {
                prop_assert_eq!(matrix[class].iter().sum::<u64>(), truth.iter().filter(|t| t.0 == class).count() as u64);
            }
            for c in judged.classes.iter().flatten() {
                for v in [c.precision, c.recall, c.f1, c.ap50, c.ap] {
                    prop_assert!((0.0..=1.0).contains(&v));
                }
                prop_assert!(c.ap <= c.ap50 + 1e-9);
            }
        }
    }
}
