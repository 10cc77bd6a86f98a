//! Templates compete for the edges of a picture: each edge is explained once.

use super::refine::{Evidence, Pose};

/// What a missing pixel of a template's edges weighs against one that is there.
const MISSING: f32 = 2.5;
/// The same of a template with texture.
const MISSING_TEXTURED: f32 = 0.5;
/// What an edge in a template's area that it does not explain weighs: pipes and letters run through symbols.
const FOREIGN: f32 = 0.6;
/// Foreign edges count up to this share of the template's own.
const MOST_FOREIGN: f32 = 0.8;
/// How much of the gain hangs on the correlation of luma, which tells filled from empty and lines from borders.
const BY_LUMA: f32 = 0.3;
/// Share of its edges that no better template may have explained already.
const FREE: f32 = 0.5;

/// A template that was laid onto the picture.
pub(super) struct Judged {
    /// Which size, turn and mirror image of which template.
    pub variant: usize,
    pub pose: Pose,
    pub evidence: Evidence,
}

impl Evidence {
    /// How much of the picture the template explains, less what speaks against it, in pixels of edges.
    pub fn gain(&self) -> f32 {
        let missing = if self.textured { MISSING_TEXTURED } else { MISSING };
        let here = self.expected * (self.recall - missing * (1.0 - self.recall));
        let foreign = FOREIGN * self.foreign.min(MOST_FOREIGN * self.expected);
        (here - foreign) * (1.0 - BY_LUMA + BY_LUMA * self.correlation.max(0.0))
    }

    /// How likely the template is right, 0 to 1. `free` is the share of its edges that nothing better explains,
    /// `commonness` how many promising places a look of it has in a megapixel: a bar is everywhere. A logistic regression
    /// on the drawings of `tools/sets/make_drawing_set.py`, fitted by `tools/peers/label_calibration.py`.
    pub fn probability(&self, free: f32, commonness: f32) -> f32 {
        let [recall, correlation, length, alone, common, offset] = CALIBRATION;
        let logit = recall * self.recall
            + correlation * self.correlation
            + length * self.expected.max(1.0).ln()
            + alone * free
            + common * (1.0 + commonness).ln()
            + offset;
        1.0 / (1.0 + (-logit).exp())
    }

    /// The score of a template with texture, 0 to 1.
    pub fn likeness(&self) -> f32 {
        let [recall, correlation, offset] = LIKENESS;
        1.0 / (1.0 + (-(recall * self.recall + correlation * self.correlation + offset)).exp())
    }
}

/// The score of a template with texture: a logistic of recall and correlation. Chosen by hand on a few photographs: what is
/// alike scores high, but it is no probability that was measured.
const LIKENESS: [f32; 3] = [6.0, 9.0, -9.5];

/// Weights of recall, correlation, logarithm of the edges' length in pixels, free share, logarithm of one more than the
/// commonness; offset.
const CALIBRATION: [f32; 6] = [42.76, 4.05, 1.12, 4.41, -0.91, -50.98];

/// Those that explain most, each with the share of its edges that none before it explains; the others explain less of
/// the same edges. `pixels` is the size of the picture.
pub(super) fn best(mut judged: Vec<Judged>, pixels: usize) -> Vec<(Judged, f32)> {
    judged.sort_by(|a, b| b.evidence.gain().total_cmp(&a.evidence.gain()));
    let mut owned = vec![false; pixels];
    let mut accepted = Vec::new();
    for j in judged {
        let claimed = &j.evidence.claimed;
        let free = claimed.iter().filter(|&&i| !owned[i as usize]).count() as f32 / claimed.len().max(1) as f32;
        if free >= FREE {
            claimed.iter().for_each(|&i| owned[i as usize] = true);
            accepted.push((j, free));
        }
    }
    accepted
}
