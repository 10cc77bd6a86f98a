use super::*;
use proptest::prelude::*;

fn text(t: &str) -> String {
    t.to_string()
}

fn class(name: &str, ap50: Option<f64>) -> ClassRow {
    ClassRow { name: text(name), count: 3, ap50, ..ClassRow::default() }
}

fn chart(points: &[(f64, f64)], best: Option<f64>) -> Chart {
    let curve = Curve { name: text("val"), points: points.to_vec(), best };
    Chart { title: text("Loss"), unit: String::new(), over: text("epoch"), curves: vec![curve] }
}

/// The elements of the page; that it can be parsed at all says that every tag is closed.
fn count(page: &str, tag: &str, class: &str) -> usize {
    // The head is HTML's, where some elements are never closed.
    let body = page.split_once("<body>").unwrap().1.replace("&nbsp;", " ").replace("<img alt=\"\"", "<img");
    let closed = body.split("<img").enumerate().map(|(i, part)| match i {
        0 => part.to_string(),
        _ => format!("<img{}", part.replacen("\">", "\"/>", 1)),
    });
    let xml = format!("<body>{}", closed.collect::<String>().replace("</html>", ""));
    let document = roxmltree::Document::parse(&xml).unwrap_or_else(|e| panic!("{e}\n{xml}"));
    let is = |n: &roxmltree::Node| {
        n.has_tag_name(tag)
            && (class.is_empty() || n.attribute("class").is_some_and(|c| c.split(' ').any(|c| c == class)))
    };
    document.descendants().filter(is).count()
}

#[test]
fn empty_parts_are_left_out() {
    let mut training = Training { title: text("Gates"), ..Training::default() };
    training.confusion = Some(Confusion { names: vec![text("a")], counts: vec![vec![0]] });
    training.charts = vec![chart(&[], None), chart(&[(1.0, f64::NAN), (f64::NAN, 2.0)], Some(1.0))];
    let page = page(&training);
    for tag in ["section", "dl", "ul", "table", "svg", "figure"] {
        assert_eq!(count(&page, tag, ""), 0, "{tag}");
    }
    assert_eq!(count(&page, "h1", ""), 1);
    assert!(page.contains("<title>Gates</title>"));
}

#[test]
fn all_parts_are_there_and_names_are_escaped() {
    let bad = "<b>\"R&D\"</b>\n";
    let training = Training {
        title: text(bad),
        figures: vec![(text(bad), text(bad))],
        facts: vec![(text(bad), text(bad))],
        notes: vec![text(bad)],
        charts: vec![Chart {
            title: text(bad),
            unit: text(bad),
            over: text(bad),
            curves: vec![Curve { name: text(bad), points: vec![(1.0, 1.0), (2.0, 0.5)], best: Some(2.0) }],
        }],
        classes: vec![class(bad, Some(0.5)), class("x", None)],
        confusion: Some(Confusion { names: vec![text(bad), text("x")], counts: vec![vec![1, 2], vec![0, 3]] }),
        mistakes: vec![Mistake { image: b"\x89PNG..".to_vec(), caption: text(bad) }],
    };
    let page = page(&training);
    assert_eq!(count(&page, "section", ""), 4);
    assert_eq!(count(&page, "b", ""), 1, "only the title of the chart is bold");
    assert!(page.contains("&lt;b&gt;&quot;R&amp;D&quot;&lt;/b&gt;"));
    assert!(page.contains("data:image/png;base64,iVBORy4u"));
    assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"));
}

#[test]
fn a_gap_breaks_the_line() {
    let points = [(1.0, 4.0), (2.0, 3.0), (3.0, f64::NAN), (4.0, 2.0), (5.0, f64::INFINITY), (6.0, 1.0), (7.0, 1.5)];
    let svg = chart::svg(&chart(&points, Some(6.0))).unwrap();
    let path = svg.split("class=\"line c0\" d=\"").nth(2).unwrap().split('"').next().unwrap();
    assert_eq!((path.matches('M').count(), path.matches('L').count()), (3, 2), "{path}");
    assert_eq!(svg.matches("class=\"alone").count(), 1);
    assert!(svg.contains("kept: epoch 6: 1<"));
    assert!(svg.contains("1 at epoch 6, kept"));
}

#[test]
fn the_worst_class_stands_first() {
    let row = |name: &str, ap50| class(name, ap50);
    let training = Training {
        classes: vec![row("good", Some(0.9)), row("absent", None), row("bad", Some(0.1)), row("odd", Some(f64::NAN))],
        ..Training::default()
    };
    let page = page(&training);
    let at = |name: &str| page.find(&format!("\"row\">{name}<")).unwrap();
    assert!(at("bad") < at("good") && at("good") < at("absent") && at("absent") < at("odd"));
    // Means are over what has a value; columns without any are left out.
    assert!(page.contains("<td>12</td><td class=\"bar\" style=\"--v:0.500\">0.500</td></tr></tfoot>"));
    assert_eq!(page.matches("scope=\"col\"").count(), 3);
}

#[test]
fn the_matrix_says_what_its_cells_mean() {
    let counts = vec![vec![5, 1, 2], vec![0, 0, 4], vec![3, 0, 0]];
    let confusion = Confusion { names: vec![text("pump"), text("gate")], counts };
    let html = matrix::html(&confusion);
    for said in ["pump recognised: 5 of 8", "pump taken for gate: 1 of 8", "gate not found: 4 of 4"] {
        assert!(html.contains(&format!("title=\"{said}\"")), "{said}");
    }
    assert!(html.contains("title=\"pump found where nothing is: 3 of 3\""));
    // Zeros are empty, a class that was never hit is marked.
    assert!(html.contains("<td class=\"missed\"></td>") && !html.contains(">0<"));
    assert!(html.find("gate not found <small>").unwrap() < html.find("pump not found <small>").unwrap());
    let perfect = Confusion { names: vec![text("a")], counts: vec![vec![7]] };
    assert!(matrix::html(&perfect).contains("every example was taken for what it is"));
    // Rows of different lengths do not break the table.
    let ragged = Confusion { names: vec![text("a")], counts: vec![vec![1, 2, 3], vec![]] };
    assert_eq!(matrix::html(&ragged).matches("<td").count(), 6);
}

#[test]
fn numbers_are_short() {
    let cases = [(0.0, "0"), (1.0, "1"), (0.12345, "0.1235"), (12.5, "12.5"), (1234.56, "1235"), (100.0, "100")];
    for (value, expected) in cases {
        assert_eq!(short(value), expected);
    }
    assert_eq!((short(-0.5), short(f64::NAN), short(2.345e-5)), (text("-0.5"), text("–"), text("2.35e-5")));
}

proptest! {
    /// Whatever the values are, the page stays a page and no coordinate of it is "NaN" or "inf".
    #[test]
    fn no_value_breaks_a_chart(points in prop::collection::vec((any::<f64>(), any::<f64>()), 0..20), best in any::<f64>()) {
        if let Some(svg) = chart::svg(&chart(&points, Some(best))) {
            prop_assert!(!svg.contains("NaN") && !svg.contains("inf"), "{}", svg);
            prop_assert!(roxmltree::Document::parse(&svg).is_ok());
        }
    }

    #[test]
    fn usual_charts_have_some_ticks(low in -1e6f64..1e6, span in 1e-3f64..1e6, epochs in 2u32..400) {
        let svg = chart::svg(&chart(&[(1.0, low), (f64::from(epochs), low + span)], None)).unwrap();
        for class in ["y", "x"] {
            let n = svg.matches(&format!("<text class=\"{class}\"")).count();
            prop_assert!((if class == "x" { 1 } else { 3 }..=12).contains(&n), "{} ticks at {}", n, class);
        }
    }
}
