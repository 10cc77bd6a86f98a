//! A thin layer around argh: `--conf=0.3` and a bare `-` are accepted, usage errors are told apart from help.

use super::commands::Command;
use argh::FromArgs;
use std::ffi::OsString;

/// What stands for `-` while argh parses: it takes anything that begins with `-` for an option.
const STDIN_MARK: &str = "\u{1}stdin";

/// Commands of two words. A directory of such a name is given as `./compare`.
const TWO_WORDS: &[&str] = &[
    "audit report",
    "audit verify",
    "dedup compare",
    "dedup hash",
    "label apply",
    "label check",
    "label convert",
    "label ontology",
    "label remote",
    "label review",
    "label templates",
    #[cfg(feature = "train")]
    "train cells",
    #[cfg(feature = "train")]
    "train classes",
    #[cfg(feature = "train")]
    "train detect",
];

/// What the arguments ask for.
#[derive(Debug)]
pub enum Parsed {
    /// A command to run.
    Run(Box<Command>),
    /// A text to show: help or version.
    Show(String),
    /// The arguments are wrong.
    Usage(String),
}

/// ocellus inspects, labels and compares pictures with networks of its own: one file, no GPU. It connects to nothing but
/// what label remote, --webhook and --mqtt are given; serve and --modbus answer those that connect to them.
#[derive(FromArgs, Debug)]
#[argh(
    note = "Exit codes: 0 fine or pass, 1 a fail was found, 2 an error. `ocellus COMMAND --help` tells of each command."
)]
struct TopLevel {
    #[argh(subcommand)]
    command: Command,
}

/// Parses the arguments after the program's name.
pub fn parse(args: impl Iterator<Item = OsString>) -> Parsed {
    let mut plain = Vec::new();
    for arg in args {
        match arg.into_string() {
            Ok(text) => plain.push(text),
            Err(arg) => {
                return Parsed::Usage(format!(
                    "argument {arg:?} is not valid UTF-8; name the directory that holds the file instead"
                ));
            }
        }
    }
    match plain.first().map(String::as_str) {
        Some("--version" | "-V") => return Parsed::Show(format!("ocellus {}", env!("CARGO_PKG_VERSION"))),
        Some("-h") => plain[0] = "--help".into(),
        None => return Parsed::Usage("no command given; see ocellus --help".into()),
        Some(_) => {}
    }
    if let Some(text) = group(&plain) {
        let help = plain.get(1).is_some_and(|second| ["--help", "-h", "help"].contains(&second.as_str()));
        return if help {
            Parsed::Show(text)
        } else {
            Parsed::Usage(text.split_whitespace().collect::<Vec<_>>().join(" "))
        };
    }
    let normal = normalise(joined(plain));
    let words: Vec<&str> = normal.iter().map(String::as_str).collect();
    match TopLevel::from_args(&["ocellus"], &words) {
        Ok(top) => Parsed::Run(Box::new(top.command)),
        Err(exit) if exit.status.is_ok() => Parsed::Show(exit.output.trim_end().to_string()),
        Err(exit) => {
            let message = exit.output.split_whitespace().collect::<Vec<_>>().join(" ");
            let is_command = |c: &&String| {
                TopLevel::from_args(&["ocellus"], &[c.as_str(), "--help"]).is_err_and(|e| e.status.is_ok())
            };
            let at = normal.first().filter(|c| !c.starts_with('-')).filter(is_command);
            let at = at.map(|c| format!(" {c}")).unwrap_or_default();
            Parsed::Usage(format!("{message} (see ocellus{at} --help)").replace(STDIN_MARK, "-"))
        }
    }
}

/// `dedup compare` and the like are commands of two words: argh knows positional arguments or subcommands, not both.
fn joined(mut args: Vec<String>) -> Vec<String> {
    if let [first, second, ..] = &args[..] {
        let both = format!("{first} {second}");
        if TWO_WORDS.contains(&both.as_str()) {
            args.splice(..2, [both]);
        }
    }
    args
}

/// The commands that begin with the first word, if it is none itself and the second is none of them.
fn group(args: &[String]) -> Option<String> {
    let first = args.first()?;
    let known = TopLevel::from_args(&["ocellus"], &[first, "--help"]).is_err_and(|e| e.status.is_ok());
    let commands: Vec<&str> = TWO_WORDS.iter().copied().filter(|c| c.split(' ').next() == Some(first)).collect();
    let named = args.get(1).is_some_and(|second| commands.contains(&format!("{first} {second}").as_str()));
    let list = commands.join("\n  ocellus ");
    (!known && !named && !commands.is_empty())
        .then(|| format!("{first} is one of these, each with its own --help:\n  ocellus {list}"))
}

/// `--name=value` becomes two words, `-` its mark; nothing behind `--` changes but `-`.
fn normalise(args: Vec<String>) -> Vec<String> {
    let mut out = Vec::with_capacity(args.len());
    let mut options = true;
    for arg in args {
        if arg == "-" {
            out.push(STDIN_MARK.to_string());
        } else if arg == "--" {
            options = false;
            out.push(arg);
        } else if let Some((name, value)) = arg.split_once('=').filter(|(n, _)| options && n.starts_with("--")) {
            let value = if value == "-" { STDIN_MARK } else { value };
            out.extend([name.to_string(), value.to_string()]);
        } else {
            out.push(arg);
        }
    }
    out
}

/// Gives a positional argument its `-` back.
pub fn restore_stdin(name: &str) -> String {
    if name == STDIN_MARK { "-".to_string() } else { name.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Vec<String> {
        normalise(list.iter().map(|s| s.to_string()).collect())
    }

    #[test]
    fn equals_signs_and_dashes() {
        assert_eq!(words(&["embed", "--npy=a=b", "-"]), ["embed", "--npy", "a=b", STDIN_MARK]);
        assert_eq!(words(&["a=b", "--", "--x=1"]), ["a=b", "--", "--x=1"]);
    }
}
