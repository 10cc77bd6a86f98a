//! Non-maximum suppression: of boxes that show the same object, the best.

use super::detection::{Candidate, Detection};
use crate::geometry::Rect;
use std::cmp::Ordering;

/// How much two boxes show the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// Intersection over union: boxes of one look at a picture.
    Union,
    /// Intersection over the smaller box: boxes of tiles, where an object can be cut and its part lies in the whole.
    Smaller,
}

impl Overlap {
    /// 0 to 1; 0 for empty boxes.
    pub fn of(self, a: &Rect, b: &Rect) -> f32 {
        match self {
            Overlap::Union => a.iou(b),
            Overlap::Smaller => {
                let smaller = a.area().min(b.area());
                if smaller > 0.0 { a.intersect(b).area() / smaller } else { 0.0 }
            }
        }
    }
}

/// Anything with a class, a score and a box.
pub trait Scored {
    /// Class, score and box.
    fn detection(&self) -> &Detection;
}

impl Scored for Detection {
    fn detection(&self) -> &Detection {
        self
    }
}

impl Scored for Candidate {
    fn detection(&self) -> &Detection {
        &self.detection
    }
}

/// The best `max` of `items`, best first, without those that overlap a better one by more than `limit`; boxes of
/// different classes do not suppress one another unless `agnostic`. The order of `items` does not matter: equal scores
/// are ordered by class and place. Scores and sides that are no numbers are dropped.
pub fn nms<T: Scored>(mut items: Vec<T>, overlap: Overlap, limit: f32, agnostic: bool, max: usize) -> Vec<T> {
    items.retain(|i| !i.detection().score.is_nan() && i.detection().is_finite());
    items.sort_by(|a, b| better_first(a.detection(), b.detection()));
    let mut kept: Vec<T> = Vec::new();
    for item in items {
        if kept.len() == max {
            break;
        }
        let d = item.detection();
        let same = |k: &T| {
            let k = k.detection();
            (agnostic || k.class == d.class) && overlap.of(&k.rect, &d.rect) > limit
        };
        if !kept.iter().any(same) {
            kept.push(item);
        }
    }
    kept
}

/// Highest score first; ties by class and box, so that the result does not depend on the order of the network's cells.
pub fn better_first(a: &Detection, b: &Detection) -> Ordering {
    let sides = |d: &Detection| <[f32; 4]>::from(d.rect);
    b.score.total_cmp(&a.score).then(a.class.cmp(&b.class)).then_with(|| {
        let pairs = sides(a).into_iter().zip(sides(b));
        pairs.map(|(x, y)| x.total_cmp(&y)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn detections() -> impl Strategy<Value = Vec<Detection>> {
        let one = (0usize..3, 0u8..20, 0f32..50.0, 0f32..50.0, 0.5f32..40.0, 0.5f32..40.0).prop_map(
            // Few different scores, so that ties are common.
            |(class, score, x, y, w, h)| Detection {
                class,
                score: f32::from(score) / 20.0,
                rect: Rect::from_xywh(x, y, w, h),
            },
        );
        prop::collection::vec(one, 0..40)
    }

    proptest! {
        #[test]
        fn order_does_not_matter(mut list in detections(), seed in any::<u64>(), agnostic in any::<bool>()) {
            let first = nms(list.clone(), Overlap::Union, 0.5, agnostic, 300);
            fastrand::Rng::with_seed(seed).shuffle(&mut list);
            prop_assert_eq!(first, nms(list, Overlap::Union, 0.5, agnostic, 300));
        }

        #[test]
        fn best_survive_and_others_have_a_better_one(list in detections(), limit in 0.1f32..0.9) {
            let kept = nms(list.clone(), Overlap::Union, limit, false, usize::MAX);
            for d in &list {
                if !kept.contains(d) {
                    prop_assert!(kept.iter().any(|k| k.class == d.class && k.score >= d.score && k.rect.iou(&d.rect) > limit));
                }
            }
            for (i, a) in kept.iter().enumerate() {
                prop_assert!(kept[..i].iter().all(|b| a.class != b.class || a.rect.iou(&b.rect) <= limit));
            }
            if let Some(best) = list.iter().map(|d| d.score).reduce(f32::max) {
                prop_assert_eq!(kept[0].score, best);
            }
            prop_assert_eq!(&nms(list, Overlap::Union, limit, false, 2)[..], &kept[..kept.len().min(2)]);
        }
    }

    #[test]
    fn a_part_lies_in_the_whole() {
        let whole = Detection { class: 0, score: 0.9, rect: Rect::from_xywh(0.0, 0.0, 100.0, 100.0) };
        let part = Detection { class: 0, score: 0.8, rect: Rect::from_xywh(0.0, 0.0, 20.0, 20.0) };
        assert_eq!(nms(vec![part, whole], Overlap::Union, 0.5, false, 300).len(), 2);
        assert_eq!(nms(vec![part, whole], Overlap::Smaller, 0.5, false, 300), [whole]);
    }
}
