use super::super::{Object, Outline, Picture};
use super::*;
use proptest::prelude::*;

const SIZE: (u32, u32) = (1000, 500);

fn classes() -> Vec<String> {
    ["gate", "ball", "check \"x\""].map(String::from).to_vec()
}

fn decision(label: &str, sides: [f32; 4], verdict: Verdict) -> Decision {
    Decision { file: "train/a.png".into(), label: label.into(), rect: sides.into(), verdict }
}

fn to(label: &str) -> Verdict {
    Verdict::Relabel(label.into())
}

fn edit(text: &str, decisions: &[Decision]) -> (String, Vec<Fit>) {
    edit_labels(text, SIZE, &classes(), &decisions.iter().collect::<Vec<_>>())
}

/// Three boxes of 100 x 100 pixels at x = 100, 300, 500 and y = 100 with a comment, odd spaces, odd precision and a polygon.
const TEXT: &str = "# by hand\n0 0.15 0.3 0.1 0.2\r\n\n 1\t0.350000 0.30 0.1000 0.2 \nnot a line\n\
                    2 0.5 0.2 0.6 0.2 0.6 0.4 0.5 0.4";
const A: [f32; 4] = [100.0, 100.0, 200.0, 200.0];
const B: [f32; 4] = [300.0, 100.0, 400.0, 200.0];
const C: [f32; 4] = [500.0, 100.0, 600.0, 200.0];

#[test]
fn lines_that_are_not_touched_stay() {
    let (text, fits) = edit(TEXT, &[decision("gate", A, Verdict::Accept)]);
    assert_eq!((text.as_str(), fits), (TEXT, vec![Fit::Settled]));
    let near = B.map(|v| v + 1.4);
    let (text, fits) = edit(TEXT, &[decision("ball", near, to("check \"x\"")), decision("gate", A, Verdict::Reject)]);
    assert_eq!(fits, [Fit::Changes, Fit::Changes]);
    assert_eq!(text, "# by hand\n\n 2\t0.350000 0.30 0.1000 0.2 \nnot a line\n2 0.5 0.2 0.6 0.2 0.6 0.4 0.5 0.4");
    let (text, _) = edit(TEXT, &[decision("check \"x\"", C, to("gate"))]);
    assert!(text.ends_with("not a line\n0 0.5 0.2 0.6 0.2 0.6 0.4 0.5 0.4"), "{text}");
}

#[test]
fn what_is_not_there_is_said() {
    let far = B.map(|v| v + 1.6);
    for (decided, expected) in [
        (decision("ball", far, Verdict::Accept), Fit::Missing),
        (decision("ball", far, to("gate")), Fit::Missing),
        // It was moved by hand, and is still there.
        (decision("ball", far, Verdict::Reject), Fit::Missing),
        (decision("ball", B.map(|v| v + 90.0), Verdict::Reject), Fit::Settled),
        (decision("gate", B, Verdict::Accept), Fit::Missing),
        (decision("gate", B, to("ball")), Fit::Settled),
        (decision("gate", B, Verdict::Reject), Fit::Settled),
    ] {
        let (text, fits) = edit(TEXT, std::slice::from_ref(&decided));
        assert_eq!((text.as_str(), &fits[..]), (TEXT, &[expected][..]), "{decided:?}");
    }
}

/// Two labels on one place: the order of the decisions says nothing, and nothing is lost or doubled.
#[test]
fn two_labels_on_one_place() {
    let text = "0 0.15 0.3 0.1 0.2\n1 0.15 0.3 0.1 0.2\n";
    let gone = [decision("ball", A, Verdict::Reject), decision("gate", A, to("ball"))];
    assert_eq!(edit(text, &gone).0, "1 0.15 0.3 0.1 0.2\n");
    let swapped = [decision("gate", A, to("ball")), decision("ball", A, to("gate"))];
    assert_eq!(edit(text, &swapped).0, text);
    let chain = [decision("ball", A, to("check \"x\"")), decision("gate", A, to("ball"))];
    assert_eq!(
        edit(text, &chain),
        ("2 0.15 0.3 0.1 0.2\n1 0.15 0.3 0.1 0.2\n".into(), vec![Fit::Changes, Fit::Changes])
    );
    // Doubled lines are one object.
    let doubled = "0 0.15 0.3 0.1 0.2\n0 0.15 0.3 0.1 0.2\n";
    assert_eq!(edit(doubled, &[decision("gate", A, Verdict::Reject)]).0, "");
    assert_eq!(edit(doubled, &[decision("gate", A, to("ball"))]).0, "1 0.15 0.3 0.1 0.2\n");
}

#[test]
fn records_follow() {
    let object = |class, x, score, doubt: &str| Object {
        score: Some(score),
        origin: Origin::Both,
        doubt: doubt.into(),
        ..Object::new(class, Outline::Box(Rect::from_xywh(x, 100.0, 100.0, 100.0)))
    };
    let mut picture = Picture {
        file: "train/a.png".into(),
        size: SIZE,
        split: None,
        objects: vec![object(0, 100.1, 0.5, "d"), object(1, 300.0, 0.93, "")],
    };
    let line = record::line("in/a.png", &picture, &classes()).unwrap();
    let relabelled = [decision("gate", A, to("ball"))];
    let map = HashMap::from([("train/a.png", relabelled.iter().collect())]);
    let edited = edit_record(&line, &map).unwrap();
    let sure = |class, x| Object::new(class, object(class, x, 0.0, "").outline);
    picture.objects[0] = sure(1, 100.1);
    assert_eq!(edited, record::line("in/a.png", &picture, &classes()).unwrap());
    assert_eq!(edit_record(&edited, &map), None);
    assert_eq!(edit_record("{}", &map), None);
    let decided = [decision("gate", A, Verdict::Reject), decision("ball", B, Verdict::Accept)];
    let map = HashMap::from([("train/a.png", decided.iter().collect())]);
    // What others wrote into the record stays.
    let noted = line.replacen("\"file\":", "\"extra\":[1],\"file\":", 1);
    picture.objects = vec![sure(1, 300.0)];
    let expected = record::line("in/a.png", &picture, &classes()).unwrap();
    assert_eq!(edit_record(&noted, &map).unwrap(), expected.replacen("\"file\":", "\"extra\":[1],\"file\":", 1));
    let other = HashMap::from([("train/b.png", decided.iter().collect())]);
    assert_eq!(edit_record(&line, &other), None);
}

#[test]
fn files_are_checked() {
    let file =
        |decisions: &str| format!(r#"{{"schema":1,"type":"decisions","dataset":"d","decisions":[{decisions}]}}"#);
    let one = |what: &str| format!(r#"{{"file":"f","object":{{"label":"gate","box":[1,2,3,4]}},"decision":{what}}}"#);
    let good = file(&[one(r#""accept""#), one(r#""relabel","to":"gate""#)].join(","));
    let parsed = Decisions::parse("x", &good, &classes()).unwrap();
    assert_eq!((parsed.list.len(), &parsed.list[0].verdict), (1, &Verdict::Accept));
    for (text, words) in [
        (
            file(&one(r#""relabel","to":"Ball""#)),
            "x: decision 1 (f): the data set has no class \"Ball\"; it has: gate, ball",
        ),
        (file(&one(r#""relabel""#)), "needs \"to\""),
        (file(&one(r#""keep""#)), "\"keep\" is none of accept, reject, relabel"),
        (file(&[one(r#""accept""#), one(r#""reject""#)].join(",")), "decision 2 (f): contradicts"),
        (good.replace("\"schema\":1", "\"schema\":2"), "schema 2"),
        (good.replace("decisions\",", "label\","), "type \"label\""),
        ("[1".into(), "x: expected decisions"),
    ] {
        let message = Decisions::parse("x", &text, &classes()).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
}

proptest! {
    /// Applied again, nothing changes, whatever stands how close to what.
    #[test]
    fn twice_is_once(
        lines in prop::collection::vec((0usize..3, 0u32..6, 0u32..2), 0..9),
        decided in prop::collection::vec((0usize..3, 0u32..6, 0u32..2, 0usize..5), 0..9),
    ) {
        // Boxes whose neighbours in x differ by 0.9 pixels: chains of the same box.
        let text: String = lines
            .iter()
            .map(|(c, x, y)| format!("{c} {} {} 0.1 0.2\n", 0.15 + *x as f32 * 0.0009, 0.3 + *y as f32 * 0.4))
            .collect();
        let mut list: Vec<Decision> = Vec::new();
        for (c, x, y, what) in decided {
            let verdict = match what {
                0 => Verdict::Accept,
                1 => Verdict::Reject,
                n => to(&classes()[(c + n) % 3]),
            };
            let verdict = if verdict == to(&classes()[c]) { Verdict::Accept } else { verdict };
            let rect = Rect::from(A).moved(x as f32 * 0.9, y as f32 * 200.0);
            list.push(Decision { file: String::new(), label: classes()[c].clone(), rect, verdict });
        }
        let (once, _) = edit(&text, &list);
        let (twice, fits) = edit(&once, &list);
        prop_assert_eq!(&once, &twice);
        prop_assert!(!fits.contains(&Fit::Changes), "{:?}", fits);
    }
}
