use super::*;

/// White, with `ink` black where it says so.
fn drawn(width: u32, height: u32, ink: impl Fn(f32, f32) -> bool) -> Image {
    let mut data = Vec::new();
    for i in 0..width * height {
        // Four by four samples a pixel.
        let sample = |k: u32| {
            let (x, y) =
                ((i % width) as f32 + (k % 4) as f32 / 4.0 + 0.125, (i / width) as f32 + (k / 4) as f32 / 4.0 + 0.125);
            u32::from(ink(x, y))
        };
        data.extend([255 - (0..16).map(sample).sum::<u32>() as u8 * 15; 3]);
    }
    Image::new(width, height, data).unwrap()
}

fn near(a: f32, b: f32) -> bool {
    (a - b).abs() < 1.25
}

/// A circle of radius 24 about the centre, with a bar across it or not.
fn circle(x: f32, y: f32, bar: bool) -> bool {
    near(x.hypot(y), 24.0) || (bar && near(y, 0.0) && x.abs() < 24.0)
}

/// A flag: no turn and no mirror image is like another.
fn flag(x: f32, y: f32) -> bool {
    (near(x, -25.0) && y.abs() < 30.0)
        || (near(y, -28.0) && x.abs() < 26.0)
        || (near(x - y, 20.0) && x.abs() < 25.0 && y.abs() < 30.0)
}

fn template(ink: impl Fn(f32, f32) -> bool) -> Template {
    Template::new(&drawn(80, 80, |x, y| ink(x - 40.0, y - 40.0))).unwrap()
}

#[test]
fn looks_that_are_the_same_are_searched_once() {
    let all = Search::default();
    let count = |ink: &dyn Fn(f32, f32) -> bool| looks(&template(ink), &all).len();
    assert_eq!(count(&|x, y| circle(x, y, false)), 1);
    assert_eq!(count(&|x, y| circle(x, y, true)), 2);
    assert_eq!(count(&|x, y| flag(x, y)), 8);
    let upright = Search { rotation_step: 0.0, mirrored: false, ..all };
    assert_eq!(looks(&template(flag), &upright), [(0.0, false)]);
}

#[test]
fn a_stretched_turned_mirrored_symbol_is_found() {
    // Mirrored, turned clockwise by 90 degrees, 1.1 times the size, 3 % wider than high.
    let (cx, cy, sx, sy) = (233.3, 171.8, 1.1 * 1.015, 1.1 / 1.015);
    let sheet = drawn(500, 400, |x, y| {
        let (u, v) = ((x - cx) / sx, (y - cy) / sy);
        flag(-v, -u)
    });
    let found = Matcher::new(vec![template(flag)], &Search::default()).unwrap().find(&sheet);
    assert_eq!(found.len(), 1, "{found:?}");
    let m = &found[0];
    // Turned: its height lies along x.
    let (rx, ry) = (30.1 * sx, 26.1 * sy);
    let expected = [cx - rx, cy - ry, cx + rx, cy + ry];
    // A line has two edges, and one may be taken for the other: to the width of a line, 2.75 pixels.
    assert!(<[f32; 4]>::from(m.rect).iter().zip(expected).all(|(a, b)| (a - b).abs() < 3.0), "{m:?} {expected:?}");
    assert!((m.scale - 1.1).abs() < 0.05 && m.score > 0.9, "{m:?}");
    assert!((m.degrees, m.mirrored) == (90.0, true) || (m.degrees, m.mirrored) == (270.0, true), "{m:?}");
}

#[test]
fn each_line_is_explained_once_by_what_explains_most() {
    let sheet = drawn(600, 300, |x, y| circle(x - 150.0, y - 150.0, true) || circle(x - 420.0, y - 150.0, false));
    let templates = vec![template(|x, y| circle(x, y, false)), template(|x, y| circle(x, y, true))];
    let mut found = Matcher::new(templates, &Search::default()).unwrap().find(&sheet);
    found.sort_by(|a, b| a.rect.x1.total_cmp(&b.rect.x1));
    assert_eq!(found.iter().map(|m| m.template).collect::<Vec<_>>(), [1, 0], "{found:?}");
}

#[test]
fn templates_that_cannot_be_told_apart() {
    let turned = template(|x, y| flag(y, -x));
    assert!(same(&template(flag), &turned));
    assert!(same(&template(flag), &template(|x, y| flag(x / 0.8, y / 0.8))));
    assert!(!same(&template(flag), &template(|x, y| circle(x, y, false))));
    // The edges of a disc and of an empty circle agree.
    assert!(!same(&template(|x, y| circle(x, y, false)), &template(|x, y| x.hypot(y) < 24.0)));
}

#[test]
fn pictures_of_nothing() {
    let matcher = Matcher::new(vec![template(flag)], &Search::default()).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let noise = Image::new(400, 300, (0..360_000).map(|_| random.u8(..)).collect()).unwrap();
    for picture in [drawn(400, 300, |_, _| false), drawn(1, 1, |_, _| true), drawn(3, 900, |x, _| x < 1.0), noise] {
        assert_eq!(matcher.find(&picture), [], "{picture:?}");
    }
    assert!(Template::new(&drawn(40, 40, |_, _| false)).is_err());
    assert!(Template::new(&drawn(1, 1, |_, _| true)).is_err());
}

#[test]
fn tiles_own_each_place_once() {
    for (width, height, reach) in [(1, 1, 5.0), (2048, 2049, 40.0), (5000, 100, 300.0), (4097, 6200, 77.7)] {
        let tiles = tiles(width, height, reach);
        for (x, y) in [0, 1, 7].into_iter().flat_map(|i| [(width * i / 7, height * i / 7), (width * i / 7, height / 3)])
        {
            let place = |t: &&Tile| t.owns(x as f32 - t.left as f32 + 0.1, y as f32 - t.top as f32 + 0.1);
            let owners: Vec<_> = tiles.iter().filter(place).collect();
            assert_eq!(owners.len(), 1, "{x},{y} of {width}x{height}");
            let t = owners[0];
            let room = |at: usize, first: usize, length: usize, side: usize| {
                (first == 0 || at >= first + reach as usize)
                    && (first + length == side || at + reach as usize <= first + length)
            };
            assert!(room(x, t.left, t.width, width) && room(y, t.top, t.height, height));
        }
        assert!(tiles.iter().all(|t| t.left % ALIGNED == 0 && t.top % ALIGNED == 0));
    }
}
