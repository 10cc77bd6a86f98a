//! YOLO's label files: a line an object, its class and either centre, width and height of a box or the corners of a
//! polygon, all as shares of the upright picture.

use super::{Object, Outline, Picture, polygon};
use crate::geometry::Rect;
use std::fmt::Write;

/// Shares are written with six places; a box that reaches beyond the picture by no more than their rounding is not cut.
const ROUNDING: f64 = 2e-6;

/// What a label file holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Labels {
    /// The objects, each with the number of its line (from 1), as they stand there: not cut to the picture.
    pub objects: Vec<(usize, Object)>,
    /// Lines that cannot be used, and why.
    pub faults: Vec<(usize, String)>,
    /// Lines of a class that the data set does not have, and the class.
    pub unknown: Vec<(usize, usize)>,
}

/// Reads a label file of a picture of `size` pixels in a data set of `classes` classes.
pub fn parse(text: &str, size: (u32, u32), classes: usize) -> Labels {
    let mut labels = Labels::default();
    for (i, line) in text.trim_start_matches('\u{feff}').lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        match object(line, size) {
            Ok(object) if object.class >= classes => labels.unknown.push((i + 1, object.class)),
            Ok(object) => labels.objects.push((i + 1, object)),
            Err(message) => labels.faults.push((i + 1, message)),
        }
    }
    labels
}

fn object(line: &str, size: (u32, u32)) -> Result<Object, String> {
    let number = |word: &str| match word.parse::<f64>() {
        Ok(v) if v.is_finite() => Ok(v),
        _ => Err(format!("{word:?} is no number")),
    };
    let numbers: Vec<f64> = line.split_whitespace().map(number).collect::<Result<_, _>>()?;
    let [class, shares @ ..] = &numbers[..] else { return Err("the line is empty".into()) };
    if *class < 0.0 || class.fract() != 0.0 || *class > 1e9 {
        return Err(format!("{class} is no number of a class"));
    }
    let (w, h) = (f64::from(size.0), f64::from(size.1));
    let outline = match shares {
        [cx, cy, bw, bh] => {
            if *bw < 0.0 || *bh < 0.0 {
                return Err("width or height is negative".into());
            }
            let side = |centre: f64, half: f64, scale: f64| ((centre + half) * scale) as f32;
            let (x, y) = (bw / 2.0, bh / 2.0);
            Outline::Box(Rect { x1: side(*cx, -x, w), y1: side(*cy, -y, h), x2: side(*cx, x, w), y2: side(*cy, y, h) })
        }
        _ if shares.len() >= 6 && shares.len().is_multiple_of(2) => {
            let points = shares.chunks_exact(2).map(|p| ((p[0] * w) as f32, (p[1] * h) as f32)).collect();
            polygon(points).ok_or("the polygon has fewer than three corners")?
        }
        _ => {
            let message = "expected a class and 4 numbers of a box, or 6 and more of a polygon";
            return Err(format!("{} numbers: {message}", numbers.len()));
        }
    };
    Ok(Object::new(*class as usize, outline))
}

/// The label file of a picture. Objects are cut to the picture; what lies outside of it is left out. With `segment` all
/// objects become polygons, boxes too: trainers refuse files with both.
pub fn write(picture: &Picture, segment: bool) -> String {
    let mut text = String::new();
    for object in &picture.objects {
        if let Some(line) = line(object, picture.size, segment) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

/// The line of an object, or nothing if no part of it lies in the picture.
pub fn line(object: &Object, size: (u32, u32), segment: bool) -> Option<String> {
    let (w, h) = (f64::from(size.0), f64::from(size.1));
    let mut text = object.class.to_string();
    // Writing to a string cannot fail.
    match &object.outline {
        Outline::Box(rect) if !segment => {
            let [x1, y1, x2, y2] = shares(rect, size);
            if !(x2 > x1 && y2 > y1) {
                return None;
            }
            let (cx, cy) = ((x1 + x2) / 2.0, (y1 + y2) / 2.0);
            let _ = write!(text, " {cx:.6} {cy:.6} {:.6} {:.6}", x2 - x1, y2 - y1);
        }
        outline => {
            let corners = match outline {
                Outline::Box(rect) => rect.corners().to_vec(),
                Outline::Polygon(points) => points.clone(),
            };
            let [x1, y1, x2, y2] = shares(&outline.rect(), size);
            if !(x2 > x1 && y2 > y1) {
                return None;
            }
            for (x, y) in corners {
                let (x, y) = ((f64::from(x) / w).clamp(0.0, 1.0), (f64::from(y) / h).clamp(0.0, 1.0));
                let _ = write!(text, " {x:.6} {y:.6}");
            }
        }
    }
    Some(text)
}

/// The sides of a box as shares of the picture, cut to it.
fn shares(rect: &Rect, size: (u32, u32)) -> [f64; 4] {
    let (w, h) = (f64::from(size.0), f64::from(size.1));
    let cut = |v: f32, scale: f64| {
        let share = f64::from(v) / scale;
        if (-ROUNDING..=1.0 + ROUNDING).contains(&share) { share } else { share.clamp(0.0, 1.0) }
    };
    [cut(rect.x1, w), cut(rect.y1, h), cut(rect.x2, w), cut(rect.y2, h)]
}

/// The names in a `classes.txt`: one a line, the last lines may be empty.
pub fn classes(text: &str) -> Vec<String> {
    text.trim_start_matches('\u{feff}').trim_end().lines().map(|l| l.trim().to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: (u32, u32) = (200, 100);

    fn picture(objects: Vec<Object>, size: (u32, u32)) -> Picture {
        Picture { file: "a.png".into(), size, split: None, objects }
    }

    #[test]
    fn lines_become_objects() {
        let labels = parse("\u{feff}1 0.5 0.5 0.25 0.5\r\n\n0.0 0 0 1 0 1 1\n", SIZE, 2);
        assert_eq!(labels.faults, []);
        assert_eq!(labels.objects[0].0, 1);
        assert_eq!(labels.objects[0].1, Object::new(1, Outline::Box([75.0, 25.0, 125.0, 75.0].into())));
        assert_eq!(labels.objects[1].0, 3);
        let corners = vec![(0.0, 0.0), (200.0, 0.0), (200.0, 100.0)];
        assert_eq!(labels.objects[1].1, Object::new(0, Outline::Polygon(corners)));
    }

    #[test]
    fn bad_lines_are_told_with_their_number() {
        let text = "x 1 1 1 1\n0 0.5 0.5 0.1\n0 1 nan 1 1\n-1 0 0 1 1\n0.5 0 0 1 1\n7 0.5 0.5 0.1 0.1\n0 .5 .5 -.1 .1\n0 1 2 3 4 5\n";
        let labels = parse(text, SIZE, 2);
        assert!(labels.objects.is_empty());
        assert_eq!(labels.faults.iter().map(|f| f.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 7, 8]);
        assert_eq!(labels.unknown, [(6, 7)]);
        assert!(labels.faults[1].1.starts_with("4 numbers"), "{:?}", labels.faults);
    }

    #[test]
    fn objects_are_cut_to_the_picture() {
        let of = |x1, y1, x2, y2| Object::new(0, Outline::Box([x1, y1, x2, y2].into()));
        let text = write(&picture(vec![of(-20.0, 10.0, 50.0, 60.0), of(210.0, 10.0, 250.0, 60.0)], SIZE), false);
        assert_eq!(text, "0 0.125000 0.350000 0.250000 0.500000\n");
        let text = write(&picture(vec![of(-20.0, 10.0, 50.0, 60.0)], SIZE), true);
        assert_eq!(text, "0 0.000000 0.100000 0.250000 0.100000 0.250000 0.600000 0.000000 0.600000\n");
    }

    #[test]
    fn a_box_at_the_border_keeps_its_digits() {
        // Rounded to six places this reaches half a millionth beyond the picture.
        let text = "0 0.912346 0.500000 0.175309 1.000000\n";
        let labels = parse(text, (777, 333), 1);
        let objects = labels.objects.into_iter().map(|o| o.1).collect();
        assert_eq!(write(&picture(objects, (777, 333)), false), text);
    }

    proptest! {
        #[test]
        fn text_comes_back(w in 1u32..20000, h in 1u32..20000, x in 0u32..=999_998, y in 0u32..=999_998,
                           bw in 1u32..=999_999, bh in 1u32..=999_999) {
            let half = |v: u32, size: u32| v.min(1_000_000 - size / 2).max(size.div_ceil(2));
            let share = |v: u32| format!("{:.6}", f64::from(v) / 1e6);
            let text = format!("0 {} {} {} {}\n", share(half(x, bw)), share(half(y, bh)), share(bw), share(bh));
            let objects = parse(&text, (w, h), 1).objects.into_iter().map(|o| o.1).collect();
            prop_assert_eq!(write(&picture(objects, (w, h)), false), text);
            let text = format!("0 {} {} {} {} 0.000000 1.000000\n", share(x), share(y), share(bw), share(bh));
            let objects: Vec<Object> = parse(&text, (w, h), 1).objects.into_iter().map(|o| o.1).collect();
            let r = objects[0].outline.rect();
            if r.width() > 0.0 && r.height() > 0.0 {
                prop_assert_eq!(write(&picture(objects, (w, h)), true), text);
            }
        }

        #[test]
        fn nothing_makes_it_panic(text in "[0-9 .\\-eE\nxnaif+]{0,200}") {
            parse(&text, (10, 10), 3);
        }
    }
}
