//! Arguments: help, version, wrong usage, closed pipes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{CLASSICAL, connector, ocellus, repo, run, text};
use std::process::Stdio;

const COMMANDS: [&str; 5] = ["learn", "inspect", "evaluate", "embed", "models"];

#[test]
fn help_and_version() {
    for args in [vec!["--help"], vec!["-h"], vec!["help"]] {
        let out = run(&args);
        out.assert_quiet(0);
        for command in COMMANDS {
            assert!(out.stdout.contains(&format!("\n  {command} ")), "{args:?}: {}", out.stdout);
        }
    }
    for command in COMMANDS {
        let out = run([command, "--help"]);
        out.assert_quiet(0);
        assert!(out.stdout.starts_with(&format!("Usage: ocellus {command} ")), "{}", out.stdout);
        assert!(!out.stdout.contains('\u{1}'));
    }
    let out = run(["--version"]);
    out.assert_quiet(0);
    assert_eq!(out.stdout, format!("ocellus {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_is_one_line_and_exit_code_2() {
    let good = connector("test/good_01.jpg");
    let cases: [(&[&str], &str); 15] = [
        (&[], "--help"),
        (&["frob"], "frob"),
        (&["--frob"], "frob"),
        (&["embed"], "no pictures"),
        (&["embed", "--frob", &good], "--frob"),
        (&["embed", "--threads", "0", &good], "--threads"),
        (&["embed", "--threads=many", &good], "many"),
        (&["embed", "--threads"], "--threads"),
        (&["inspect", &good], "--recipe"),
        (&["inspect", "--recipe", text(&CLASSICAL)], "no pictures"),
        (&["learn", &good], "--out"),
        (&["learn", "--out", "/tmp/never", "--method", "magic", &good], "magic"),
        (&["learn", "--out", "/tmp/never", "--align", "maybe", &good], "maybe"),
        (&["learn", "--out", "/tmp/never", "--region", "lid=1,2,3", &good], "lid=1,2,3"),
        (&["evaluate"], "folder"),
    ];
    for (args, word) in cases {
        let out = run(args);
        out.assert_error(&[word]);
        assert_eq!(out.stdout, "", "{args:?}");
    }
}

#[test]
fn equals_signs_and_double_dash() {
    let picture = repo("tests/images/features/coffee.png");
    let plain = run(["embed", "--threads", "2", &picture]);
    plain.assert_quiet(0);
    for args in [vec!["embed", "--threads=2", &picture], vec!["embed", "--json", "--quiet", "--", &picture]] {
        let out = run(&args);
        out.assert_quiet(0);
        assert_eq!(out.stdout, plain.stdout, "{args:?}");
    }
    let recipe = format!("--recipe={}", text(&CLASSICAL));
    run(["inspect", &recipe, "--threshold=all=99", &connector("test/stain_01.jpg")]).assert_quiet(0);
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let recipe = text(&CLASSICAL).to_string();
    let (tests, goods, pictures) = (connector("test"), connector("good"), repo("tests/images/features"));
    let folder = common::temp();
    let out = common::at(&folder, "recipe");
    let runs: [&[&str]; 7] = [
        &["--help"],
        &["embed", "--help"],
        &["--version"],
        &["models"],
        &["embed", &pictures],
        &["inspect", "--json", "--recipe", &recipe, &tests],
        &["learn", "--method", "classical", "--out", &out, &goods],
    ];
    for args in runs {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = ocellus().args(args).stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
        // Results were lost: not a pass, and not killed by a signal either.
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn output_to_a_file_has_no_colours() {
    let out = run(["inspect", "--recipe", text(&CLASSICAL), &connector("test/stain_01.jpg")]);
    assert!(!out.stdout.contains('\x1b') && !out.stderr.contains('\x1b'), "{out:?}");
}
