//! The smallest rectangle, at any angle, around points.

/// A rectangle at any angle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TurnedRect {
    /// Its middle.
    pub centre: (f32, f32),
    /// Unit vector along its width.
    pub axis: (f32, f32),
    /// Length along `axis`.
    pub width: f32,
    /// Length across `axis`.
    pub height: f32,
}

impl TurnedRect {
    /// With `by` more on each side: the smallest rectangle around it after an offset with round corners.
    pub fn grown(&self, by: f32) -> TurnedRect {
        TurnedRect { width: self.width + 2.0 * by, height: self.height + 2.0 * by, ..*self }
    }

    /// The corners, around.
    pub fn corners(&self) -> [(f32, f32); 4] {
        let (ux, uy) = self.axis;
        let corner = |across: f32, down: f32| {
            let (a, b) = (across * self.width / 2.0, down * self.height / 2.0);
            (self.centre.0 + ux * a - uy * b, self.centre.1 + uy * a + ux * b)
        };
        [corner(-1.0, -1.0), corner(1.0, -1.0), corner(1.0, 1.0), corner(-1.0, 1.0)]
    }
}

/// The rectangle of the smallest area around `points`; one side of it lies on a side of their convex hull. `None` without
/// points.
pub fn min_area_rect(points: &[(f32, f32)]) -> Option<TurnedRect> {
    let hull = convex_hull(points);
    let first = *hull.first()?;
    let mut best = TurnedRect { centre: first, axis: (1.0, 0.0), width: 0.0, height: 0.0 };
    let mut least = f32::INFINITY;
    for (i, a) in hull.iter().enumerate() {
        let b = hull[(i + 1) % hull.len()];
        let length = (b.0 - a.0).hypot(b.1 - a.1);
        if length == 0.0 {
            continue;
        }
        let (ux, uy) = ((b.0 - a.0) / length, (b.1 - a.1) / length);
        let start = (f32::INFINITY, f32::NEG_INFINITY);
        let (mut along, mut across) = (start, start);
        for p in &hull {
            let (u, v) = (p.0 * ux + p.1 * uy, p.1 * ux - p.0 * uy);
            along = (along.0.min(u), along.1.max(u));
            across = (across.0.min(v), across.1.max(v));
        }
        let (width, height) = (along.1 - along.0, across.1 - across.0);
        if width * height < least {
            least = width * height;
            let (u, v) = ((along.0 + along.1) / 2.0, (across.0 + across.1) / 2.0);
            best = TurnedRect { centre: (u * ux - v * uy, u * uy + v * ux), axis: (ux, uy), width, height };
        }
    }
    Some(best)
}

/// The corners of the convex hull in order (Andrew's monotone chain); points on its sides are left out.
fn convex_hull(points: &[(f32, f32)]) -> Vec<(f32, f32)> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    sorted.dedup();
    if sorted.len() < 3 {
        return sorted;
    }
    let half = |points: &mut dyn Iterator<Item = &(f32, f32)>| {
        let mut chain: Vec<(f32, f32)> = Vec::new();
        for &p in points {
            while let [.., a, b] = chain[..] {
                if (b.0 - a.0) * (p.1 - a.1) - (b.1 - a.1) * (p.0 - a.0) > 0.0 {
                    break;
                }
                chain.pop();
            }
            chain.push(p);
        }
        chain.pop();
        chain
    };
    let mut hull = half(&mut sorted.iter());
    hull.extend(half(&mut sorted.iter().rev()));
    hull
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn few_points() {
        assert_eq!(min_area_rect(&[]), None);
        assert_eq!(min_area_rect(&[(3.0, 4.0)]).unwrap().centre, (3.0, 4.0));
        let line = min_area_rect(&[(0.0, 0.0), (3.0, 4.0), (1.5, 2.0)]).unwrap();
        assert_eq!((line.width, line.height), (5.0, 0.0));
    }

    proptest! {
        /// A turned rectangle comes back from its corners and points inside.
        #[test]
        fn a_rectangle_comes_back(degrees in 0f32..180.0, w in 5f32..80.0, h in 5f32..80.0, x in -50f32..50.0) {
            let (sin, cos) = degrees.to_radians().sin_cos();
            let rect = TurnedRect { centre: (x, 20.0), axis: (cos, sin), width: w, height: h };
            let mut points = rect.corners().to_vec();
            points.extend(rect.grown(-2.0).corners());
            let found = min_area_rect(&points).unwrap();
            prop_assert!((found.centre.0 - x).abs() < 0.01 && (found.centre.1 - 20.0).abs() < 0.01);
            prop_assert!((found.width * found.height - w * h).abs() < 0.01 * w * h);
            prop_assert!((found.width.max(found.height) - w.max(h)).abs() < 0.02);
        }
    }
}
