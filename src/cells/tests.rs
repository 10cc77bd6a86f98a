use super::*;
use proptest::prelude::*;

const GOOD: &str = r#"{
  "Labels": {"LabelList": ["Car", "Human"], "LabelAbbreviation": ["Ca", "Hu"], "LabelNumber": 2},
  "COIs": {
    "COINumber": 3,
    "1": ["rectangle", 0, 0.5, 0.25, 0.50001],
    "2": ["polygon", 0.5, 0.5, 1, 0.5, 1, 1],
    "3": ["rectangle", 0.1, 0.1, 0.1, 0.1]
  }
}"#;

fn good() -> Cells {
    Cells::parse("c.json", GOOD).unwrap()
}

#[test]
fn a_configuration_comes_back() {
    let cells = good();
    assert_eq!((cells.labels.len(), cells.areas.len(), cells.values()), (2, 3, 9));
    assert_eq!(cells.areas[0], Area::Rectangle { x: 0.0, y: 0.5, width: 0.25, height: 0.5 });
    // (0.50001 reaches a hair beyond the border.)
    assert_eq!(cells.areas[1], Area::Polygon(vec![(0.5, 0.5), (1.0, 0.5), (1.0, 1.0)]));
    assert_eq!(Cells::parse("again", &cells.to_json()).unwrap(), cells);
    let plain = GOOD.replace("\"LabelAbbreviation\": [\"Ca\", \"Hu\"], ", "");
    assert_eq!(Cells::parse("c.json", &plain).unwrap().abbreviations, ["Car", "Human"]);
}

#[test]
fn slips_are_told() {
    for (from, to, words) in [
        (GOOD, "[1", "is no JSON"),
        ("\"Labels\"", "\"labels\"", "no object \"Labels\""),
        ("\"COIs\"", "\"cois\"", "no object \"COIs\""),
        ("\"LabelNumber\": 2", "\"LabelNumber\": 3", "is 3, but \"LabelList\" has 2"),
        ("\"LabelNumber\": 2", "\"LabelNumber\": -1", "is -1, expected a whole number"),
        ("\"Human\"", "\"car\"", "\"car\" is in \"LabelList\" twice"),
        ("\"Human\"", "7", "holds 7"),
        ("\"Human\"", "\"a\\nb\"", "in one line"),
        ("[\"Ca\", \"Hu\"]", "[\"Ca\"]", "1 entries for 2"),
        ("\"COINumber\": 3", "\"COINumber\": 4", "has no cell 4; \"COINumber\" is 4"),
        ("\"COINumber\": 3", "\"COINumber\": 2", "has \"3\", but \"COINumber\" is 2"),
        ("\"COINumber\": 3", "\"COINumber\": 9000000000", "has no cell 4"),
        ("\"2\":", "\"7\":", "has \"7\""),
        ("\"polygon\", 0.5, ", "\"polygon\", ", "cell 2 is a polygon with an odd number of values (5)"),
        ("0.5, 0.5, 1, 0.5, 1, 1", "0.5, 0.5, 1, 0.5", "cell 2 is a polygon of 2 corners"),
        ("0.5, 0.5, 1, 0.5, 1, 1", "0.5, 0.5, 1, 0.5, 0.75, 0.5", "cell 2 encloses no area"),
        ("0.25, 0.50001", "0.25, 0.7", "cell 1 ends at (0.25, 1.2)"),
        ("0.25, 0.50001", "1.25, 0.5", "cell 1 has the value 1.25"),
        ("0.25, 0.50001", "0.25", "cell 1 is a rectangle of 3 values"),
        ("0.25, 0.50001", "0, 0.5", "cell 1 encloses no area"),
        ("0.25, 0.50001", "NaN, 0.5", "is no JSON"),
        ("0.25, 0.50001", "null, 0.5", "cell 1 has null where"),
        ("\"polygon\"", "\"circle\"", "cell 2 has the shape \"circle\""),
        ("[\"rectangle\", 0.1, 0.1, 0.1, 0.1]", "[]", "cell 3 is empty"),
    ] {
        let error = Cells::parse("c.json", &GOOD.replace(from, to)).unwrap_err().one_line();
        assert!(error.starts_with("c.json: ") && error.contains(words), "{words}: {error}");
    }
}

#[test]
fn label_files() {
    let cells = good();
    let bits = cells.read_bits("l.txt", "[1, 0 0\n0;0,1\r\n1.0 1.0e+00 0]\n").unwrap();
    assert_eq!(bits, [true, false, false, false, false, true, true, true, false]);
    assert!(cells.faults(&bits).is_empty());
    let error = |text: &str| cells.read_bits("l.txt", text).unwrap_err().one_line();
    assert_eq!(error("1 0 0"), "l.txt: has 3 values, expected 9 (3 cells x 2 labels and background)");
    assert_eq!(error("1 0 0 0 2 1 0 0 1"), "l.txt: value 5 (in cell 2) is \"2\", expected 0 or 1");
    let bits = cells.read_bits("l.txt", "1 0 1 0 0 0 0 0 1").unwrap();
    assert_eq!(cells.faults(&bits), [Fault::BackgroundBeside { cell: 1 }, Fault::Nothing { cell: 2 }]);
}

/// Whether a point, in shares of the picture, lies inside (even-odd rule).
fn contains(area: &Area, x: f32, y: f32) -> bool {
    let points = area.corners();
    let edges = points.iter().zip(points.iter().cycle().skip(1));
    let crossed = |&(&(x1, y1), &(x2, y2)): &(&(f32, f32), &(f32, f32))| {
        (y1 > y) != (y2 > y) && x < x1 + (y - y1) / (y2 - y1) * (x2 - x1)
    };
    edges.filter(crossed).count() % 2 == 1
}

#[test]
fn geometry() {
    let cells = good();
    assert!(contains(&cells.areas[1], 0.9, 0.6) && !contains(&cells.areas[1], 0.6, 0.9));
    assert_eq!(cells.areas[1].pixels(200, 100), [(100.0, 50.0), (200.0, 50.0), (200.0, 100.0)]);
    // The triangle is half of the lower right quarter.
    assert_eq!(cells.areas[1].grid(2, 2), [0.0, 0.0, 0.0, 0.5]);
    let hollow = Area::Polygon(vec![(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.25), (0.0, 1.0)]);
    // A notch from below: the clipped outline falls apart, its surface stays exact.
    assert!((hollow.covers(Rect { x1: 0.0, y1: 0.25, x2: 1.0, y2: 1.0 }) - 0.5).abs() < 1e-6);
    assert_eq!(hollow.covers(Rect { x1: 2.0, y1: 0.0, x2: 3.0, y2: 1.0 }), 0.0);
}

proptest! {
    #[test]
    fn the_grid_sums_to_the_surface(
        corners in prop::collection::vec(0.1f32..1.0, 3..9), columns in 1usize..9, rows in 1usize..9,
    ) {
        // A star around the middle: no outline crosses itself.
        let turn = |i: usize| i as f32 / corners.len() as f32 * std::f32::consts::TAU;
        let point = |(i, r): (usize, &f32)| (0.5 + 0.5 * r * turn(i).cos(), 0.5 + 0.5 * r * turn(i).sin());
        let area = Area::Polygon(corners.iter().enumerate().map(point).collect());
        let sum: f32 = area.grid(columns, rows).iter().sum::<f32>() / (columns * rows) as f32;
        prop_assert!((sum - surface(&area.corners())).abs() < 1e-4);
        // As many points of a fine raster lie inside.
        let raster = (0..10_000).filter(|i| contains(&area, (i % 100) as f32 / 100.0 + 0.005, (i / 100) as f32 / 100.0 + 0.005));
        prop_assert!((raster.count() as f32 / 10_000.0 - sum).abs() < 0.02);
    }
}
