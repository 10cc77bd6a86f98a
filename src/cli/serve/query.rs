//! Parameters of requests: they are the options of the command of that name, with `_` for `-`, and are read by the very code that
//! reads those. They are made anew for each request, so nothing of one reaches the next.

use crate::error::{Error, Result};
use argh::FromArgs;

/// A parameter that a route knows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Param {
    /// Its name in a query.
    pub name: &'static str,
    /// What is behind it.
    pub kind: Kind,
    /// What it is for, in a few words.
    pub about: &'static str,
}

/// What is behind a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// An option with a number in these bounds.
    Number(f64, f64),
    /// An option with a whole number in these bounds.
    Integer(u32, u32),
    /// An option with a text.
    Text,
    /// An option with a text that may be given several times.
    Texts,
    /// An option without a value: `true` or `false` here.
    Switch,
    /// No option: a picture to be answered with instead of the record.
    Picture,
}

const fn param(name: &'static str, kind: Kind, about: &'static str) -> Param {
    Param { name, kind, about }
}

/// The picture as `--annotate` writes it.
pub const ANNOTATE: &str = "annotate";
/// The mask itself.
pub const MASK_ITSELF: &str = "mask";
/// What a picture is called in its record.
pub const NAME: &str = "name";

const SHARE: Kind = Kind::Number(0.0, 1.0);
const CONF: Param = param("conf", SHARE, "least score (default: 0.25)");
const IOU: Param =
    param("iou", SHARE, "of boxes that overlap by more than this the best is kept (default: the model's)");
const CLASSES: Param = param("classes", Kind::Text, "names or numbers of the classes wanted, with commas between");
const TILE: Param =
    param("tile", Kind::Integer(32, 65_535), "look at large pictures in pieces of this many pixels as well");
const OVERLAP: Param =
    param("overlap", Kind::Number(0.0, 0.9), "share of a piece that its neighbour covers too (default: 0.2)");
const ANNOTATED: Param = param(ANNOTATE, Kind::Picture, "answer with the picture and what was found in it, as PNG");

/// Of `POST /v1/detect`.
pub const DETECT: &[Param] = &[
    CONF,
    param("class_conf", Kind::Texts, "CLASS=SCORE: another least score for this class"),
    IOU,
    param("max_det", Kind::Integer(1, 100_000), "at most so many objects (default: 300)"),
    CLASSES,
    param("agnostic_nms", Kind::Switch, "boxes of different classes suppress one another too"),
    TILE,
    OVERLAP,
    ANNOTATED,
];
/// Of `POST /v1/mask`.
pub const MASK: &[Param] = &[
    CONF,
    IOU,
    CLASSES,
    TILE,
    OVERLAP,
    param("min_area", Kind::Integer(0, u32::MAX), "leave out objects of fewer pixels"),
    param("dilate", Kind::Integer(0, 255), "grow the mask by this many pixels"),
    param("feather", Kind::Integer(0, 255), "soften its edge outwards over this many pixels"),
    param("invert", Kind::Switch, "swap black and white of the mask"),
    param("equirect", Kind::Switch, "the picture is a 360-degree panorama"),
    ANNOTATED,
    param(MASK_ITSELF, Kind::Picture, "answer with the mask, as PNG: objects white"),
];
/// Of `POST /v1/ocr`.
pub const OCR: &[Param] = &[
    param("region", Kind::Text, "x,y,width,height: read this part only"),
    param("no_detect", Kind::Switch, "the picture, or its region, is one line of text"),
    param("no_orient", Kind::Switch, "lines never stand upside down"),
    param("charset", Kind::Text, "read only these characters"),
    param("pattern", Kind::Text, "regular expression that lines are to match as a whole"),
    param("check", Kind::Text, "check digit that must be right, such as ean13"),
    param("min_score", SHARE, "drop lines of a lower score (default: 0.5)"),
    param("pixel_threshold", SHARE, "a pixel is text above this probability (default: 0.3)"),
    param("box_threshold", SHARE, "a box is a line of text from this mean probability on (default: 0.5)"),
    param("unclip_ratio", Kind::Number(0.0, 10.0), "how much boxes grow (default: 1.6)"),
    ANNOTATED,
];
/// Of `POST /v1/inspect/{recipe}`.
pub const INSPECT: &[Param] = &[ANNOTATED];
/// Who works there, for the record.
pub const OPERATOR: &str = "operator";
/// The part's serial number, for the record.
pub const SERIAL: &str = "serial";
/// What tells a request that is sent again.
pub const REQUEST: &str = "request";
/// The number of the last record that is known.
pub const AFTER: &str = "after";
/// How many at most.
pub const LIMIT: &str = "limit";
/// A recipe's name.
pub const RECIPE: &str = "recipe";
/// Of `POST /v1/parts/{recipe}`.
pub const PART: &[Param] = &[
    param(SERIAL, Kind::Text, "the part's serial number (default: by --serial-pattern or --serial-region)"),
    param(OPERATOR, Kind::Text, "who works there (default: --operator)"),
    param(REQUEST, Kind::Text, "any text; a picture that is sent again with the same one is counted once"),
];
/// Of `GET /v1/parts`.
pub const PARTS: &[Param] = &[
    param(AFTER, Kind::Integer(0, u32::MAX), "only parts that are newer than this record, or were judged later"),
    param(LIMIT, Kind::Integer(0, 200), "so many at most, the newest first (default: 50)"),
];
/// Of `GET /v1/counters`.
pub const COUNTERS: &[Param] = &[param(RECIPE, Kind::Text, "the recipe that is counted (default: all)")];
/// Of `POST /v1/embed`.
pub const EMBED: &[Param] = &[];

/// The parameters of a request, taken apart.
#[derive(Debug, Default, PartialEq)]
pub struct Query {
    /// What the command's options would be.
    pub arguments: Vec<String>,
    /// Parameters with a value, as they came.
    values: Vec<(String, String)>,
    /// The picture to answer with, if any.
    pub picture: Option<&'static str>,
    /// The picture's name in the record.
    pub name: Option<String>,
}

fn option(name: &str) -> String {
    format!("--{}", name.replace('_', "-"))
}

impl Query {
    /// The value of a parameter that is given.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Of the part of an address behind the question mark.
    ///
    /// # Errors
    /// A parameter that the route does not know, one that is given twice, a switch that is neither true nor false.
    pub fn new(text: Option<&str>, known: &[Param]) -> Result<Self> {
        let mut query = Query::default();
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(text.unwrap_or_default().as_bytes()) {
            let switch = || match &*value {
                "true" | "1" | "" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err(Error::Usage(format!("{name}={value}: expected true or false"))),
            };
            let kind = known.iter().find(|p| p.name == name).map(|p| (p.kind, p.name));
            if seen.contains(&name) && !matches!(kind, Some((Kind::Texts, _))) {
                return Err(Error::Usage(format!("{name} is given twice")));
            }
            match kind {
                Some((Kind::Switch, _)) => query.arguments.extend(switch()?.then(|| option(&name))),
                Some((Kind::Picture, picture)) => query.picture = switch()?.then_some(picture).or(query.picture),
                Some(_) => {
                    query.arguments.extend([option(&name), value.to_string()]);
                    query.values.push((name.to_string(), value.to_string()));
                }
                None if name == NAME => query.name = Some(value.to_string()),
                None => {
                    let known: Vec<&str> = known.iter().map(|p| p.name).chain([NAME]).collect();
                    return Err(Error::Usage(format!("unknown parameter {name:?}; known are {}", known.join(", "))));
                }
            }
            seen.push(name);
        }
        Ok(query)
    }

    /// The command that the parameters are of; `more` are arguments that it needs besides.
    pub fn command<T: FromArgs>(&self, name: &str, more: &[&str]) -> Result<T> {
        let arguments: Vec<&str> = more.iter().copied().chain(self.arguments.iter().map(String::as_str)).collect();
        let one_line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        T::from_args(&[name], &arguments).map_err(|exit| Error::Usage(one_line(exit.output)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_become_options() {
        let query = Query::new(
            Some("conf=0.5&class_conf=person%3D0.4&class_conf=car=0.2&agnostic_nms=true&name=a%20b.jpg"),
            DETECT,
        );
        let query = query.unwrap();
        let words = ["--conf", "0.5", "--class-conf", "person=0.4", "--class-conf", "car=0.2", "--agnostic-nms"];
        assert_eq!(query.arguments, words);
        assert_eq!((query.picture, query.name.as_deref()), (None, Some("a b.jpg")));
        let picture = Query::new(Some("agnostic_nms=false&annotate="), DETECT).unwrap();
        assert_eq!(picture, Query { picture: Some(ANNOTATE), ..Query::default() });
        assert_eq!(Query::new(None, EMBED).unwrap(), Query::default());
    }

    #[test]
    fn what_a_route_does_not_know_is_refused() {
        for (text, word) in [
            ("model=/etc/passwd", "unknown parameter \"model\""),
            ("out=x", "unknown"),
            ("conf=0.1&conf=0.2", "conf is given twice"),
            ("annotate=maybe", "expected true or false"),
            ("annotate=1&annotate=0", "twice"),
        ] {
            let error = Query::new(Some(text), DETECT).unwrap_err();
            assert!(matches!(&error, Error::Usage(m) if m.contains(word)), "{text}: {error}");
        }
    }
}
