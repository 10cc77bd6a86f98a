//! Lines of text as pictures and files.

use super::draw::{Canvas, WHITE, class_colour};
use crate::dataset::xml::escaped;
use crate::error::Result;
use crate::image::Image;
use crate::tasks::ocr::Line;
use std::fmt::Write;

/// `photo` with a frame around each line and what was read above it.
pub fn overlay(photo: &Image, lines: &[Line]) -> Result<Image> {
    let mut canvas = Canvas::new(photo)?;
    let colour = |line: &Line| match line.matched {
        None => class_colour(2),
        Some(true) => class_colour(1),
        Some(false) => class_colour(0),
    };
    for line in lines {
        canvas.outline(&line.quad.0, colour(line));
    }
    for line in lines {
        let bounds = line.quad.bounds();
        // As high as the line where that can be read, so that neighbours stay apart.
        let size = (line.quad.height() * 0.6).clamp(11.0, canvas.letters);
        let y = bounds.y1 - Canvas::plate_height(size);
        canvas.label(size, (bounds.x1, if y < 0.0 { bounds.y2 } else { y }), &line.text, WHITE);
    }
    canvas.finish()
}

/// The texts alone, a line each.
pub fn plain(lines: &[Line]) -> String {
    lines.iter().map(|l| format!("{}\n", l.text)).collect()
}

/// An hOCR 1.2 page (<https://kba.github.io/hocr-spec/1.2/>): boxes, the quad of each line, its score as `x_wconf`.
pub fn hocr(path: &str, size: (u32, u32), lines: &[Line]) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>{name}</title>\n\
         <meta name=\"ocr-system\" content=\"ocellus {version}\">\n\
         <meta name=\"ocr-capabilities\" content=\"ocr_page ocr_line ocrx_word\"></head><body>\n\
         <div class=\"ocr_page\" title=\"image &quot;{name}&quot;; bbox 0 0 {} {}\">\n",
        size.0,
        size.1,
        name = escaped(path),
        version = env!("CARGO_PKG_VERSION"),
    );
    for line in lines {
        let r = line.quad.bounds();
        let [x1, y1, x2, y2] = [r.x1.floor(), r.y1.floor(), r.x2.ceil(), r.y2.ceil()];
        let corners: Vec<String> = line.quad.0.iter().map(|(x, y)| format!("{x:.0} {y:.0}")).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            page,
            "<span class=\"ocr_line\" title=\"bbox {x1} {y1} {x2} {y2}; poly {}\"><span class=\"ocrx_word\" \
             title=\"bbox {x1} {y1} {x2} {y2}; x_wconf {:.0}\">{}</span></span><br>",
            corners.join(" "),
            line.score * 100.0,
            escaped(&line.text)
        );
    }
    page + "</div></body></html>\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Rect;

    #[test]
    fn pages() {
        let quad = Rect::from_xywh(1.0, 2.0, 30.0, 10.0).into();
        let line = Line {
            text: "a<b & c".into(),
            score: 0.876,
            quad,
            chars: Vec::new(),
            matched: None,
            unconstrained: None,
            evidence: None,
        };
        let page = hocr("x\"y.png", (40, 20), std::slice::from_ref(&line));
        assert!(page.contains("a&lt;b &amp; c") && page.contains("bbox 1 2 31 12") && page.contains("x_wconf 88"));
        assert!(page.contains("x&quot;y.png") && page.contains("bbox 0 0 40 20"));
        assert_eq!(plain(&[line]), "a<b & c\n");
    }
}
