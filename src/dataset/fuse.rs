//! Labels of two labellers for one picture become one set; where they disagree, that is kept for a person to look at.

use super::{Object, Origin, Outline};
use crate::geometry::Rect;

/// Intersection over union from which two labels are about the same object.
const SAME: f32 = 0.5;

/// Fuses what template matching and a labelling server found in one picture. An object that both found has the origin
/// [`Origin::Both`] and the probability that not both err; one that they name differently keeps the name of the higher
/// score, one that only one of them found is kept: both with a doubt. The server's polygons win over boxes, for their
/// detail; of two boxes that of the templates does, for its fit.
pub fn fuse(templates: Vec<Object>, remote: Vec<Object>, classes: &[String]) -> Vec<Object> {
    let rects: Vec<Rect> = remote.iter().map(|o| o.outline.rect()).collect();
    let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
    for (t, object) in templates.iter().enumerate() {
        let rect = object.outline.rect();
        let near = rects.iter().enumerate().map(|(r, other)| (rect.iou(other), t, r));
        pairs.extend(near.filter(|(iou, ..)| *iou >= SAME));
    }
    // The same name first, then the better fit.
    let named_alike = |&(_, t, r): &(f32, usize, usize)| templates[t].class == remote[r].class;
    pairs.sort_by(|a, b| named_alike(b).cmp(&named_alike(a)).then(b.0.total_cmp(&a.0)));
    let (mut of_template, mut taken) = (vec![None; templates.len()], vec![false; remote.len()]);
    for (_, t, r) in pairs {
        if of_template[t].is_none() && !taken[r] {
            (of_template[t], taken[r]) = (Some(r), true);
        }
    }
    let alone = |mut object: Object, other: &str| {
        object.doubt = format!("{other} did not find it");
        object
    };
    let mut fused = Vec::new();
    for (object, partner) in templates.into_iter().zip(of_template) {
        fused.push(match partner {
            Some(r) => joined(object, remote[r].clone(), classes),
            None => alone(object, "the server"),
        });
    }
    let rest = remote.into_iter().zip(taken).filter(|(_, taken)| !taken);
    fused.extend(rest.map(|(object, _)| alone(object, "template matching")));
    fused
}

fn joined(template: Object, remote: Object, classes: &[String]) -> Object {
    let chance = |o: &Object| o.score.unwrap_or(0.5).clamp(0.0, 1.0);
    let outline = match remote.outline {
        Outline::Polygon(_) => remote.outline.clone(),
        Outline::Box(_) => template.outline.clone(),
    };
    if template.class == remote.class {
        let score = 1.0 - (1.0 - chance(&template)) * (1.0 - chance(&remote));
        return Object { outline, score: Some(score), origin: Origin::Both, ..template };
    }
    let (kept, other, who) = match chance(&template) >= chance(&remote) {
        true => (template, remote, "the server"),
        false => (remote, template, "template matching"),
    };
    let doubt = format!("{who} says {} ({:.2})", super::class_name(classes, other.class), chance(&other));
    Object { outline, doubt, ..kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(class: usize, x: f32, score: f32, origin: Origin) -> Object {
        let outline = Outline::Box(Rect::from_xywh(x, 0.0, 20.0, 20.0));
        Object { class, outline, score: Some(score), origin, doubt: String::new() }
    }

    #[test]
    fn agreement_and_doubt() {
        let classes = ["gate".to_string(), "ball".to_string()];
        let (t, r) = (Origin::Templates, Origin::Remote);
        let templates = vec![object(0, 0.0, 0.8, t), object(0, 100.0, 0.6, t), object(1, 200.0, 0.7, t)];
        // The first twice, once under another name; the second under another name; one more.
        let remote =
            vec![object(1, 0.0, 0.9, r), object(0, 2.0, 0.5, r), object(1, 101.0, 0.9, r), object(0, 300.0, 0.4, r)];
        let fused = fuse(templates, remote, &classes);
        let told: Vec<_> = fused.iter().map(|o| (o.class, o.origin, o.doubt.as_str())).collect();
        let expected = [
            (0, Origin::Both, ""),
            (1, r, "template matching says gate (0.60)"),
            (1, t, "the server did not find it"),
            (1, r, "template matching did not find it"),
            (0, r, "template matching did not find it"),
        ];
        assert_eq!(told, expected);
        assert!((fused[0].score.unwrap() - 0.9).abs() < 1e-6);
        assert_eq!(fused[0].outline.rect().x1, 0.0);
    }
}
