//! Pascal VOC's annotation files: an XML file a picture, boxes in whole pixels. Pixels are counted from 0 here, as most
//! tools do today; the corners of the original data sets are counted from 1, which is half a pixel to a pixel off.

use super::xml::escaped;
use super::{Classes, Object, Outline, Parsed, Picture, between, class_name};
use roxmltree::{Document, Node};
use std::fmt::Write;

/// Nesting that no annotation file needs.
const DEEPEST: usize = 100;

/// Reads an annotation file. Parts of objects and poses are not looked at.
pub fn parse(text: &str, classes: &mut Classes) -> Result<Parsed, String> {
    // Some writers put an empty line or a byte order mark before the declaration.
    let text = text.trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace());
    if depth(text) > DEEPEST {
        return Err("is no XML of annotations: it is nested too deeply".into());
    }
    let document = Document::parse(text).map_err(|e| format!("is no XML: {e}"))?;
    let root = document.root_element();
    if !root.has_tag_name("annotation") {
        let name = root.tag_name().name();
        return Err(format!("expected <annotation> as Pascal VOC has it, found <{name}>"));
    }
    let file = value(root, "filename").or_else(|| value(root, "path")).unwrap_or_default().to_string();
    let side = |name| number(child(root, "size")?, name).filter(|v| (1.0..1e9).contains(v)).map(|v| v as u32);
    let size = side("width").zip(side("height")).unwrap_or_default();
    let mut parsed = Parsed::default();
    let mut objects = Vec::new();
    for (i, node) in root.children().filter(|n| n.has_tag_name("object")).enumerate() {
        let Some(name) = value(node, "name").filter(|n| !n.is_empty()) else {
            parsed.faults.push(format!("object {}: has no name", i + 1));
            continue;
        };
        let Some(outline) = outline(node) else {
            parsed.faults.push(format!("object {}: has no box with xmin, ymin, xmax and ymax", i + 1));
            continue;
        };
        let score = ["score", "confidence"].iter().find_map(|n| number(node, n)).filter(|s| (0.0..=1.0).contains(s));
        objects.push(Object { score, ..Object::new(classes.place(name), outline) });
    }
    parsed.pictures.push(Picture { file, size, split: None, objects });
    Ok(parsed)
}

/// The deepest nesting of elements in `text`, up to where it is no XML any more. The parser goes down by recursion and
/// would exhaust the stack.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut rest) = (0usize, 0, text);
    // What is between two marks, or nothing if the second is missing.
    let after = |text: &'_ str, mark: &str| text.find(mark).map(|at| at + mark.len());
    while let Some(at) = rest.find('<') {
        rest = &rest[at..];
        let closed = match () {
            _ if rest.starts_with("<!--") => after(&rest[4..], "-->").map(|n| n + 4),
            _ if rest.starts_with("<![CDATA[") => after(rest, "]]>"),
            _ if rest.starts_with("<?") => after(rest, "?>"),
            _ => end_of_tag(rest),
        };
        let Some(end) = closed else { break };
        if rest.starts_with("</") {
            depth = depth.saturating_sub(1);
        } else if !rest.starts_with("<!") && !rest.starts_with("<?") && !rest[..end].ends_with("/>") {
            depth += 1;
            deepest = deepest.max(depth);
        }
        rest = &rest[end..];
    }
    deepest
}

/// The place behind the `>` of the tag that `text` begins with; one in quotes does not count.
fn end_of_tag(text: &str) -> Option<usize> {
    let mut quote = None;
    let ends = |c: char| match quote {
        Some(q) => {
            if c == q {
                quote = None;
            }
            false
        }
        None => {
            if c == '"' || c == '\'' {
                quote = Some(c);
            }
            c == '>'
        }
    };
    text.find(ends).map(|at| at + 1)
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|n| n.has_tag_name(name))
}

fn value<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    child(node, name)?.text().map(str::trim)
}

fn number(node: Node, name: &str) -> Option<f32> {
    value(node, name)?.parse().ok().filter(|v: &f32| v.is_finite())
}

fn outline(node: Node) -> Option<Outline> {
    let bounds = child(node, "bndbox")?;
    let side = |name| number(bounds, name);
    between((side("xmin")?, side("ymin")?), (side("xmax")?, side("ymax")?))
}

/// The annotation file of a picture, corners rounded to whole pixels, polygons as the boxes around them.
pub fn write(picture: &Picture, classes: &[String]) -> String {
    let name = picture.file.rsplit('/').next().unwrap_or_default();
    let (width, height) = picture.size;
    let mut text = format!(
        "<annotation>\n  <folder></folder>\n  <filename>{}</filename>\n  \
         <size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n",
        escaped(name)
    );
    for object in &picture.objects {
        let [x1, y1, x2, y2] = <[f32; 4]>::from(object.outline.rect()).map(|v| v.round() as i64);
        let score = object.score.map(|s| format!("<score>{s:.4}</score>")).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  <object><name>{}</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>{score}\
             <bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>",
            escaped(&class_name(classes, object.class)),
        );
    }
    text + "</annotation>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut object = Object::new(1, Outline::Box([10.0, 20.0, 50.0, 41.0].into()));
        object.score = Some(0.5);
        let objects = vec![object, Object::new(0, Outline::Polygon(vec![(1.0, 2.0), (9.0, 3.0), (4.0, 8.0)]))];
        let mut picture = Picture { file: "a<b>&.png".into(), size: (100, 200), split: None, objects };
        let names = ["x".to_string(), "gate & <valve>".to_string()];
        let mut classes = Classes::new(names.to_vec());
        let parsed = parse(&write(&picture, &names), &mut classes).unwrap();
        picture.objects[1].outline = Outline::Box([1.0, 2.0, 9.0, 8.0].into());
        assert_eq!(parsed.pictures, [picture]);
        assert_eq!(classes.into_names(), names);
    }

    #[test]
    fn files_of_other_tools() {
        let text = "\u{feff}\n<?xml version=\"1.0\" encoding=\"utf-8\"?><!-- x --><annotation verified=\"yes\">\n\
            <path>/home/x/pump 1.jpg</path><size>\n<width> 640 </width><height>480</height></size><segmented>0</segmented>\
            <object><part><name>hand</name><bndbox><xmin>1</xmin></bndbox></part><name>\n pump\n</name><occluded/>\
            <bndbox><ymax>30.5</ymax><xmax>5</xmax><ymin>10</ymin><xmin>20.25</xmin></bndbox></object>\
            <object><name>pump</name></object><object><name/></object></annotation>";
        let mut classes = Classes::default();
        let parsed = parse(text, &mut classes).unwrap();
        let picture = &parsed.pictures[0];
        assert_eq!((picture.file.as_str(), picture.size), ("/home/x/pump 1.jpg", (640, 480)));
        assert_eq!(picture.objects, [Object::new(0, Outline::Box([5.0, 10.0, 20.25, 30.5].into()))]);
        assert_eq!(classes.into_names(), ["pump"]);
        assert_eq!(parsed.faults.len(), 2, "{:?}", parsed.faults);
        for (text, words) in [("<a>", "no XML"), ("<a/>", "found <a>"), ("", "no XML")] {
            assert!(parse(text, &mut Classes::default()).unwrap_err().contains(words), "{text}");
        }
        // Neither depth nor entities that multiply do any harm.
        for nested in
            ["<a>", "<a b='/>'>", "<a><!-- </a> -->", "<a><![CDATA[</a>]]>", "<a><?b </a>?>", "<a b=\">'/>\">"]
        {
            let text = format!("<annotation>{}", nested.repeat(200_000));
            assert!(parse(&text, &mut Classes::default()).unwrap_err().contains("too deeply"), "{nested}");
        }
        let entities = "<!DOCTYPE a [<!ENTITY b \"xx\">]><annotation>&b;</annotation>";
        assert!(parse(entities, &mut Classes::default()).is_err());
    }
}
