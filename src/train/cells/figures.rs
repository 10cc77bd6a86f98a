//! How well the labels of cells are known.

/// Counts over labels and cells of tested pictures.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// For each of the M + 1 labels, background last: rightly given, wrongly given, missed.
    pub labels: Vec<[u64; 3]>,
    /// Cells of which every bit is right.
    pub right: u64,
    /// All cells.
    pub cells: u64,
    /// (M + 1) x (M + 1), rows the truth, columns the answer: right labels on the diagonal; of a cell with mistakes, each
    /// missed label against each that was given instead, or against the background where nothing was.
    pub confusion: Vec<u64>,
}

impl Figures {
    /// For cells of `width` = M + 1 values.
    pub fn new(width: usize) -> Self {
        Figures { labels: vec![[0; 3]; width], confusion: vec![0; width * width], ..Figures::default() }
    }

    /// Counts a picture: bits as they were given and as they should be.
    pub fn add(&mut self, given: &[bool], truth: &[bool]) {
        let width = self.labels.len().max(1);
        for (given, truth) in given.chunks(width).zip(truth.chunks(width)) {
            self.cells += 1;
            self.right += u64::from(given == truth);
            let (mut missed, mut wrong) = (Vec::new(), Vec::new());
            for (i, (counts, bits)) in self.labels.iter_mut().zip(given.iter().zip(truth)).enumerate() {
                match bits {
                    (true, true) => {
                        counts[0] += 1;
                        self.confusion[i * width + i] += 1;
                    }
                    (true, false) => {
                        counts[1] += 1;
                        wrong.push(i);
                    }
                    (false, true) => {
                        counts[2] += 1;
                        missed.push(i);
                    }
                    (false, false) => {}
                }
            }
            // A label too many beside right ones was taken for the background, and one too few became it.
            let or_nothing = |list: Vec<usize>| if list.is_empty() { vec![width - 1] } else { list };
            if !missed.is_empty() || !wrong.is_empty() {
                let (missed, wrong) = (or_nothing(missed), or_nothing(wrong));
                for (&truth, &answer) in missed.iter().flat_map(|m| wrong.iter().map(move |w| (m, w))) {
                    self.confusion[truth * width + answer] += 1;
                }
            }
        }
    }

    /// F1 of a label: 0 to 1, 0 if there is none of it.
    pub fn f1(&self, label: usize) -> f64 {
        self.labels.get(label).map_or(0.0, |&counts| f1(counts))
    }

    /// F1 over all labels but the background, every bit counted alike (micro average): 0 to 1.
    pub fn micro_f1(&self) -> f64 {
        let without = self.labels.len().saturating_sub(1);
        let sum = |i: usize| self.labels.iter().take(without).map(|counts| counts[i]).sum();
        f1([sum(0), sum(1), sum(2)])
    }
}

fn f1([right, wrong, missed]: [u64; 3]) -> f64 {
    let all = 2 * right + wrong + missed;
    if all == 0 { 0.0 } else { 2.0 * right as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted() {
        let mut figures = Figures::new(3);
        let (t, f) = (true, false);
        // Right; one taken for another; one overlooked; one too many; an empty cell rightly empty.
        figures.add(&[t, f, f, f, t, f, f, f, t, t, t, f, f, f, t], &[t, f, f, t, f, f, t, f, f, t, f, f, f, f, t]);
        assert_eq!(figures.labels, [[2, 0, 2], [0, 2, 0], [1, 1, 0]]);
        assert_eq!(figures.confusion, [2, 1, 1, 0, 0, 0, 0, 1, 1]);
        assert_eq!((figures.right, figures.cells), (2, 5));
        assert!((figures.micro_f1() - 4.0 / 8.0).abs() < 1e-9);
        assert!((figures.f1(0) - 4.0 / 6.0).abs() < 1e-9);
    }
}
