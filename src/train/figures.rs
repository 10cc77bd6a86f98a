//! How good a classifier is on pictures that it has not learned from.

/// What was said of one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Its number.
    pub picture: usize,
    /// What it is.
    pub class: usize,
    /// The most probable class.
    pub guess: usize,
    /// The probability of each class.
    pub probabilities: Vec<f64>,
}

impl Answer {
    /// From the probabilities of the classes for the picture numbered `picture` of class `class`.
    pub fn new(picture: usize, class: usize, probabilities: Vec<f64>) -> Self {
        let better = |best: usize, (i, p): (usize, &f64)| if *p > probabilities[best] { i } else { best };
        let guess = probabilities.iter().enumerate().fold(0, better);
        Answer { picture, class, guess, probabilities }
    }

    /// The logarithm of the right class's probability, with a plus sign: 0 is best.
    pub fn loss(&self) -> f64 {
        -self.probabilities[self.class].max(f64::MIN_POSITIVE).ln()
    }
}

/// The figures of one class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassFigures {
    /// Its pictures.
    pub pictures: usize,
    /// Of those that were called so, the share that is; none if none was.
    pub precision: Option<f64>,
    /// Of its pictures, the share that was called so; none without pictures.
    pub recall: Option<f64>,
}

/// The figures of a set of answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// One a picture.
    pub answers: Vec<Answer>,
    /// How many of class (row) were called (column).
    pub confusion: Vec<Vec<usize>>,
}

impl Figures {
    /// Counts `answers` of `classes` classes.
    pub fn new(answers: Vec<Answer>, classes: usize) -> Self {
        let mut confusion = vec![vec![0; classes]; classes];
        answers.iter().for_each(|a| confusion[a.class][a.guess] += 1);
        Figures { answers, confusion }
    }

    /// The share that is right, 0 to 1; 0 without answers.
    pub fn accuracy(&self) -> f64 {
        let right = self.answers.iter().filter(|a| a.guess == a.class).count();
        right as f64 / self.answers.len().max(1) as f64
    }

    /// The mean loss in nats; 0 without answers.
    pub fn loss(&self) -> f64 {
        self.answers.iter().map(Answer::loss).sum::<f64>() / self.answers.len().max(1) as f64
    }

    /// By class.
    pub fn classes(&self) -> Vec<ClassFigures> {
        let share = |part: usize, of: usize| (of > 0).then(|| part as f64 / of as f64);
        let of = |class: usize| {
            let pictures = self.confusion[class].iter().sum();
            let called = self.confusion.iter().map(|row| row[class]).sum();
            let right = self.confusion[class][class];
            ClassFigures { pictures, precision: share(right, called), recall: share(right, pictures) }
        };
        (0..self.confusion.len()).map(of).collect()
    }

    /// The wrong answers, the surest first.
    pub fn mistakes(&self) -> Vec<&Answer> {
        let mut wrong: Vec<&Answer> = self.answers.iter().filter(|a| a.guess != a.class).collect();
        wrong.sort_by(|a, b| b.loss().total_cmp(&a.loss()).then(a.picture.cmp(&b.picture)));
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_five_answers() {
        let answer = |picture, class, p: [f64; 3]| Answer::new(picture, class, p.to_vec());
        let answers = vec![
            answer(0, 0, [0.8, 0.1, 0.1]),
            answer(1, 0, [0.3, 0.6, 0.1]),
            answer(2, 1, [0.1, 0.9, 0.0]),
            answer(3, 1, [0.5, 0.5, 0.0]),
            answer(4, 0, [0.0, 1.0, 0.0]),
        ];
        let figures = Figures::new(answers, 3);
        assert_eq!(figures.confusion, [[1, 2, 0], [1, 1, 0], [0, 0, 0]]);
        assert_eq!(figures.accuracy(), 0.4);
        let classes = figures.classes();
        assert_eq!((classes[0].precision, classes[0].recall), (Some(0.5), Some(1.0 / 3.0)));
        assert_eq!((classes[2].precision, classes[2].recall, classes[2].pictures), (None, None, 0));
        let worst: Vec<usize> = figures.mistakes().iter().map(|a| a.picture).collect();
        assert_eq!(worst, [4, 1, 3]);
        assert!(figures.loss().is_finite());
    }
}
