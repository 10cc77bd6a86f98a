//! What became of a review's decisions.

use crate::dataset::decisions::{Decision, Verdict};
use serde::Serialize;

/// What was done, or would be.
#[derive(Debug, Default, Serialize)]
pub struct Applied {
    /// Decisions to accept that hold now.
    pub accepted: usize,
    /// Decisions to reject that hold now.
    pub rejected: usize,
    /// Decisions for another class that hold now.
    pub relabelled: usize,
    /// Of all of these the ones that held before.
    pub settled: usize,
    /// Decisions whose object is not there.
    pub missing: usize,
    /// Label files that changed.
    pub files: usize,
    /// Nothing was written.
    pub dry_run: bool,
    /// Folder with everything as it was; none if nothing changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
}

impl Applied {
    /// In one line.
    pub fn text(&self) -> String {
        let Applied { accepted, rejected, relabelled, settled, missing, files, .. } = self;
        let (would, files) = (if self.dry_run { "would be " } else { "" }, format!("{files} label files changed"));
        format!(
            "{would}accepted {accepted}, rejected {rejected}, relabelled {relabelled} ({settled} of them so already); \
             {missing} not found; {files}"
        )
    }
}

/// A decision whose object is not there.
pub fn missing(decision: &Decision, reason: &str) -> String {
    let what = match &decision.verdict {
        Verdict::Accept => "accept".to_string(),
        Verdict::Reject => "reject".to_string(),
        Verdict::Relabel(to) => format!("relabel to {to:?}"),
    };
    let [x1, y1, x2, y2] = <[f32; 4]>::from(decision.rect);
    format!("{}: {:?} at {x1:.0},{y1:.0},{x2:.0},{y2:.0}: {what}: {reason}", decision.file, decision.label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let rect = [1.2, 2.0, 30.4, 40.0].into();
        let verdict = Verdict::Relabel("b".into());
        let decision = Decision { file: "train/a.png".into(), label: "a".into(), rect, verdict };
        assert_eq!(missing(&decision, "gone"), "train/a.png: \"a\" at 1,2,30,40: relabel to \"b\": gone");
        let done = Applied { accepted: 3, rejected: 1, settled: 2, files: 1, dry_run: true, ..Applied::default() };
        assert_eq!(
            done.text(),
            "would be accepted 3, rejected 1, relabelled 0 (2 of them so already); 0 not found; 1 label files changed"
        );
    }
}
