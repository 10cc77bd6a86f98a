//! What a picture shows: a probability for each class.

use super::metadata::{self, Usual};
use crate::engine::{self, Description, Session};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::models::manifest::{Fit, InputSpec, Resample};
use crate::models::{self, Found, Model};
use crate::preprocess::{self, Part};
use crate::tasks::timed;

/// How Ultralytics prepares pictures for classifiers: the shorter side to the network's size, the middle kept.
const USUAL: Usual = Usual { fit: Fit::Crop, open: Fit::Crop, side: 224, resample: Resample::Area };

/// A classifier, loaded once and shared by threads.
#[derive(Debug)]
pub struct Classifier {
    id: String,
    session: Session,
    input: InputSpec,
    /// The part of the picture that it looks at; none for all of it.
    part: Option<Part>,
    labels: Vec<String>,
    /// Whether the network leaves the softmax to us.
    logits: bool,
}

impl Classifier {
    /// Loads the classifier that `name` stands for: an embedded id, or the path of an `.onnx` file. A file without a `.toml`
    /// beside it must say in its metadata that it classifies, as `ocellus train classes` and Ultralytics write it.
    pub fn load(name: &str) -> Result<Self> {
        match models::find(name)? {
            Found::Described(model) => Classifier::new(&model),
            Found::Bare(bytes) => Classifier::bare(name, bytes),
        }
    }

    /// From a network whose description names the output.
    pub fn new(model: &Model) -> Result<Self> {
        model.expect_task("classes")?;
        let outputs = &model.info.outputs;
        let (output, logits) = match (outputs.probabilities.as_str(), outputs.class_logits.as_str()) {
            ("", "") => {
                let message = "its description names no outputs.probabilities and no outputs.class_logits";
                return Err(Error::model(&model.info.id, message));
            }
            ("", name) => (name, true),
            (name, _) => (name, false),
        };
        Classifier::build(model, output, logits, model.info.labels.clone(), None)
    }

    fn bare(name: &str, bytes: Vec<u8>) -> Result<Self> {
        let described = engine::describe(name, &bytes)?;
        let task = described.metadata.get("task").map(String::as_str);
        if task != Some("classify") {
            let found =
                task.map_or("its metadata does not say what it is for".into(), |t| format!("it is made for {t:?}"));
            return Err(unknown(name, &described, &found));
        }
        let input = metadata::input(&described, &USUAL).map_err(|why| unknown(name, &described, &why))?;
        let part = described.metadata.get("region").map(|text| text.parse()).transpose();
        let part = part.map_err(|why: String| Error::model(name, format!("its metadata `region`: {why}")))?;
        let [output] = &described.outputs[..] else {
            return Err(unknown(name, &described, "it does not have one output"));
        };
        let names = metadata::class_names(&described);
        Classifier::build(&metadata::model(name, "classes", bytes, input), &output.name, false, names, part)
    }

    /// Compiles the plan for the network's size; an error if it does not give one value for each of `labels`. Without labels
    /// the classes are numbered.
    fn build(model: &Model, output: &str, logits: bool, labels: Vec<String>, part: Option<Part>) -> Result<Self> {
        let id = model.info.id.clone();
        let session = Session::load(model, &[output])?;
        let [width, height] = model.info.input.size;
        let shapes = session.output_shapes(&[1, 3, height as usize, width as usize])?;
        let classes = match shapes.first().map(Vec::as_slice) {
            Some(&[1, classes]) if classes > 0 => classes,
            other => {
                let found = other.unwrap_or_default();
                return Err(Error::model(&id, format!("its output is {found:?}, a classifier has 1 x classes")));
            }
        };
        let labels = if labels.is_empty() { (0..classes).map(metadata::unnamed).collect() } else { labels };
        if labels.len() != classes {
            let message = format!("it has {classes} classes and names for {}", labels.len());
            return Err(Error::model(&id, message));
        }
        Ok(Classifier { id, session, input: model.info.input.clone(), part, labels, logits })
    }

    /// Its id or path.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The names of the classes, in the order of the probabilities.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The probability of each class, 0 to 1, in the order of [`Classifier::labels`].
    pub fn classify(&self, image: &Image) -> Result<Vec<f32>> {
        let (tensor, _) = timed("prepare", || match &self.part {
            Some(part) => preprocess::prepare(&part.cut(image)?, &self.input),
            None => preprocess::prepare(image, &self.input),
        })?;
        let values = timed("network", || self.session.run(&tensor))?.swap_remove(0).into_data();
        if values.iter().any(|v| !v.is_finite()) {
            return Err(Error::model(&self.id, "its output is not a number (NaN or infinite)"));
        }
        Ok(if self.logits { softmax(&values) } else { values })
    }
}

/// The `count` classes with the highest probabilities, best first; of equal ones the first.
pub fn best(probabilities: &[f32], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]).then(a.cmp(&b)));
    order.truncate(count);
    order
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|v| f64::from(v - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|p| (p / sum) as f32).collect()
}

/// What supported files look like, and what was found.
fn unknown(name: &str, found: &Description, why: &str) -> Error {
    Error::model(
        name,
        format!(
            "not a classifier that is known here: {why}. Supported are files of `ocellus train classes` and -cls exports of \
             Ultralytics, and any with 1 x 3 x H x W in and 1 x classes out with a description beside it ({}, see the \
             README); found: {}",
            std::path::Path::new(name).with_extension("toml").display(),
            found.values(),
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_of_large_values() {
        let p = softmax(&[1000.0, 1000.0, 990.0]);
        assert!((p[0] - 0.499_988_65).abs() < 1e-7 && p[0] == p[1]);
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn best_first_and_ties_in_order() {
        assert_eq!(best(&[0.1, 0.4, 0.1, 0.4], 3), [1, 3, 0]);
        assert_eq!(best(&[1.0], 5), [0]);
    }
}
