//! Regions whose printed text is verified: a lot code that must match a pattern, or a text that must stand there.

use crate::error::{Error, Result};
use crate::geometry::{Quad, Similarity};
use crate::image::Image;
use crate::postprocess::pattern::Pattern;
use crate::recipe::Region;
use crate::tasks::ocr::{Line, Options, Reader};

/// What the text of a region must be.
#[derive(Debug)]
pub struct Printed {
    options: Options,
    exact: bool,
}

/// What was read.
pub(super) struct Read {
    /// 0 if the text is surely right, 1 if it is not there.
    pub score: f32,
    /// The line that comes closest, as it is read freely if it is not right.
    pub text: String,
}

impl Printed {
    /// As the recipe's `region` says.
    pub fn new(region: &Region, reader: &Reader) -> Result<Self> {
        let wrong = |message: String| Error::Input(format!("region {:?}: {message}", region.name));
        let expression = match (&region.pattern, &region.expected) {
            (Some(pattern), None) => pattern.clone(),
            (None, Some(text)) => literal(text),
            _ => return Err(wrong("one of `pattern` and `expected` is needed".into())),
        };
        let check = region.check.as_deref().map(str::parse).transpose().map_err(wrong)?;
        let pattern = Pattern::new(&expression, check, reader.characters(), None).map_err(wrong)?;
        let options = Options { pattern: Some(pattern), least_score: 0.0, parallel: false, ..Options::default() };
        Ok(Printed { options, exact: region.expected.is_some() })
    }

    /// Reads the region of a part that lies in `photo` as `transform` says.
    pub(super) fn read(&self, reader: &Reader, photo: &Image, transform: &Similarity, region: &Region) -> Result<Read> {
        let quad = Quad(region.bounds().corners().map(|p| transform.apply(p)));
        let part = crate::tasks::ocr::upright(photo, &quad)?;
        // Most such regions are one line, and to look for lines takes ten times as long.
        let mut lines = reader.read(&part, &Options { detect: false, ..self.options.clone() })?;
        if !lines.iter().any(|l| self.score(l) <= region.threshold) {
            lines = reader.read(&part, &self.options)?.into_iter().chain(lines).collect();
        }
        let best = lines.iter().min_by(|a, b| self.score(a).total_cmp(&self.score(b)));
        Ok(match best {
            Some(line) if line.matched == Some(true) => {
                let score = self.score(line);
                // Where the text is not right, what is printed is told, not what was forced upon it.
                let free = line.unconstrained.as_ref().filter(|_| score > region.threshold);
                Read { score, text: free.unwrap_or(&line.text).clone() }
            }
            _ => {
                // What was found as lines says more than the region read as one; that is last.
                let found = if lines.len() > 1 { &lines[..lines.len() - 1] } else { &lines[..] };
                let free: Vec<&str> = found.iter().map(|l| l.text.as_str()).collect();
                Read { score: 1.0, text: free.join(" / ") }
            }
        })
    }

    /// 0 for a line that is surely right. A text that was expected is held against all that could stand there instead: a
    /// single wrong character makes it wrong, however long it is. A pattern asks for any text of its kind.
    fn score(&self, line: &Line) -> f32 {
        match (line.matched, line.evidence) {
            (Some(true), Some(evidence)) if self.exact => {
                1.0 - evidence.powi(line.chars.len() as i32) * mean(&line.chars)
            }
            (Some(true), _) => 1.0 - line.score,
            _ => 1.0,
        }
    }
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len().max(1) as f32
}

/// A regular expression for `text` alone.
fn literal(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_alphanumeric() || c == ' ' { vec![c] } else { vec!['\\', c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postprocess::ctc::Columns;

    #[test]
    fn literals_are_literal() {
        let characters: Vec<String> = ["", "A", ".", "*", "é"].map(String::from).to_vec();
        let pattern = Pattern::new(&literal("A.*é"), None, &characters, None).unwrap();
        let logits: Vec<f32> =
            [1, 2, 3, 4].iter().flat_map(|&c| (0..5).map(move |k| f32::from(u8::from(k == c)))).collect();
        assert_eq!(pattern.best(&Columns::new(&logits, 5)).unwrap().reading.classes, [1, 2, 3, 4]);
    }
}
