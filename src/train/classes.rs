//! A classifier: logistic regression on the pooled features of a frozen network.

use super::figures::{Answer, Figures};
use super::logistic::{Linear, Rows, Step, Until};
use crate::engine::{Attribute, Network};
use crate::error::{Error, Result};
use crate::models::manifest::Colour;
use crate::models::{Model, sha256_hex};
use crate::preprocess::Part;
use crate::tasks::metadata::names_text;
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// A picture to learn from or to be measured on.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// Its class.
    pub class: usize,
    /// The features of its views, all of one length; the first view is the picture as it is.
    pub views: Vec<Vec<f32>>,
}

/// How to train.
#[derive(Debug, Clone, Copy)]
pub struct Params {
    /// Inverse strength of the penalty, as in scikit-learn; none: one of [`GRID`], by cross-validation.
    pub c: Option<f64>,
    /// Iterations at most.
    pub iterations: usize,
    /// For the division into folds.
    pub seed: u64,
}

/// The values of C that are tried.
pub const GRID: [f64; 7] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];
/// The parts of a cross-validation, fewer where a class has fewer pictures.
const FOLDS: usize = 5;
/// Where the last minimisation stops; scikit-learn's default is 1e-4.
const GRADIENT: f64 = 1e-5;
/// Where those of the cross-validation do.
const ROUGH: f64 = 1e-4;

/// What training gave.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The head.
    pub head: Linear,
    /// The C it was made with.
    pub c: f64,
    /// Values of C and the mean loss of the cross-validation with them; one value if C was given.
    pub tried: Vec<(f64, f64)>,
    /// Parts of the cross-validation.
    pub folds: usize,
    /// Each picture as seen by a head that was made without it.
    pub held_out: Figures,
    /// Where the minimisation ended.
    pub end: Step,
}

/// Rows of all views of some examples; every picture counts once, however many views it has.
struct Table {
    features: Array2<f64>,
    classes: Vec<usize>,
    weights: Vec<f64>,
    count: usize,
}

impl Table {
    fn new<'a>(examples: impl Iterator<Item = &'a Example> + Clone, dim: usize, count: usize) -> Self {
        let views = || examples.clone().flat_map(|e| e.views.iter().map(move |v| (e, v)));
        let mut features = Array2::zeros((views().count(), dim));
        for (mut row, (_, view)) in features.rows_mut().into_iter().zip(views()) {
            row.iter_mut().zip(view).for_each(|(to, &from)| *to = f64::from(from));
        }
        let classes = views().map(|(e, _)| e.class).collect();
        let weights = views().map(|(e, _)| 1.0 / e.views.len() as f64).collect();
        Table { features, classes, weights, count }
    }

    fn rows(&self) -> Rows<'_> {
        Rows { features: self.features.view(), classes: &self.classes, weights: &self.weights, count: self.count }
    }
}

/// How a training goes on.
#[derive(Debug, Clone, Copy)]
pub enum Event {
    /// One more of so many heads of the cross-validation is made.
    Validated(usize),
    /// An iteration of the last minimisation.
    Step(Step),
}

/// Trains a head for `count` classes; `listen` hears of it from several threads.
///
/// # Errors
/// Fewer than two classes, a class without examples, features of different lengths.
pub fn train(examples: &[Example], count: usize, params: &Params, listen: &(dyn Fn(Event) + Sync)) -> Result<Trained> {
    let dim = check(examples, count)?;
    let folds = divide(examples, count, params.seed);
    let parts = folds.iter().max().map_or(0, |last| last + 1);
    let values: Vec<f64> = params.c.map_or(GRID.to_vec(), |c| vec![c]);
    let validated = || listen(Event::Validated(parts * values.len()));
    let by_fold: Vec<Vec<Vec<Answer>>> = (0..parts)
        .into_par_iter()
        .map(|fold| validate(examples, &folds, fold, (dim, count), &values, params, &validated))
        .collect();
    let figures = |at: usize| {
        let mut answers: Vec<Answer> = by_fold.iter().flat_map(|f| f[at].iter().cloned()).collect();
        answers.sort_by_key(|a| a.picture);
        Figures::new(answers, count)
    };
    let mut all: Vec<Figures> = (0..values.len()).map(figures).collect();
    let tried: Vec<(f64, f64)> = values.iter().zip(&all).map(|(&c, f)| (c, f.loss())).collect();
    let best = choose(&values, &all);
    let table = Table::new(examples.iter(), dim, count);
    let until = Until { iterations: params.iterations, gradient: GRADIENT };
    let (head, end) =
        Linear::zero(dim, count).fit(&table.rows(), values[best], until, |step| listen(Event::Step(step)));
    Ok(Trained { head, c: values[best], tried, folds: parts, held_out: all.swap_remove(best), end })
}

/// Which of `values` of C to take: of those that are not clearly worse in cross-validation than the best (by more than one
/// standard error of the pictures' losses, Breiman et al. 1984), the nearest to 1, which is scikit-learn's own. A few
/// pictures cannot tell neighbouring values apart, and the noise should not choose.
fn choose(values: &[f64], figures: &[Figures]) -> usize {
    let loss = |at: &usize| figures[*at].loss();
    let best = (0..values.len()).min_by(|a, b| loss(a).total_cmp(&loss(b))).unwrap_or(0);
    let clearly_worse = |at: usize| {
        let pairs = figures[at].answers.iter().zip(&figures[best].answers);
        let more: Vec<f64> = pairs.map(|(a, b)| a.loss() - b.loss()).collect();
        let count = more.len().max(2) as f64;
        let mean = more.iter().sum::<f64>() / count;
        let variance = more.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / (count - 1.0);
        mean > (variance / count).sqrt()
    };
    let far = |at: &usize| values[*at].ln().abs();
    (0..values.len()).filter(|&at| !clearly_worse(at)).min_by(|a, b| far(a).total_cmp(&far(b))).unwrap_or(best)
}

/// How `head` sees pictures that it was not made with.
pub fn measure(head: &Linear, examples: &[Example]) -> Figures {
    let answers = examples.iter().enumerate().map(|(i, e)| answer(head, i, e)).collect();
    Figures::new(answers, head.bias.len())
}

fn answer(head: &Linear, picture: usize, example: &Example) -> Answer {
    let features: Vec<f64> = example.views[0].iter().map(|&v| f64::from(v)).collect();
    let row = ArrayView2::from_shape((1, features.len()), &features);
    let probabilities = row.map(|row| head.probabilities(row).index_axis(Axis(0), 0).to_vec()).unwrap_or_default();
    Answer::new(picture, example.class, probabilities)
}

fn check(examples: &[Example], count: usize) -> Result<usize> {
    if count < 2 {
        return Err(Error::Input(format!("there are {count} classes, training needs two or more")));
    }
    if let Some(empty) = (0..count).find(|c| !examples.iter().any(|e| e.class == *c)) {
        return Err(Error::Input(format!("class {empty} has no pictures")));
    }
    let dim = examples.first().and_then(|e| e.views.first()).map_or(0, Vec::len);
    let whole = |e: &Example| e.class < count && !e.views.is_empty() && e.views.iter().all(|v| v.len() == dim);
    match dim > 0 && examples.iter().all(whole) {
        true => Ok(dim),
        false => Err(Error::Internal("examples of different kinds".into())),
    }
}

/// The fold of each example: as many of each class in every fold as can be.
fn divide(examples: &[Example], count: usize, seed: u64) -> Vec<usize> {
    let mut random = fastrand::Rng::with_seed(seed);
    let members: Vec<Vec<usize>> =
        (0..count).map(|c| (0..examples.len()).filter(|&i| examples[i].class == c).collect()).collect();
    let parts = members.iter().map(Vec::len).min().unwrap_or(0).clamp(2, FOLDS);
    let mut folds = vec![0; examples.len()];
    // Classes go round one after the other, so that the folds are equally large as a whole too.
    let mut turn = 0;
    for mut list in members {
        random.shuffle(&mut list);
        for i in list {
            folds[i] = turn % parts;
            turn += 1;
        }
    }
    folds
}

/// The answers for the examples of `fold` by heads made from the others, one list for each of `values` of C; `made` hears of
/// each head.
fn validate(
    examples: &[Example],
    folds: &[usize],
    fold: usize,
    (dim, count): (usize, usize),
    values: &[f64],
    params: &Params,
    made: &(dyn Fn() + Sync),
) -> Vec<Vec<Answer>> {
    let others = examples.iter().zip(folds).filter(|(_, f)| **f != fold).map(|(e, _)| e);
    let table = Table::new(others, dim, count);
    let until = Until { iterations: params.iterations, gradient: ROUGH };
    let mut head = Linear::zero(dim, count);
    let mut lists = Vec::with_capacity(values.len());
    for &c in values {
        // From strong to weak penalties each head is a good beginning for the next.
        head = head.fit(&table.rows(), c, until, |_| {}).0;
        made();
        let held = (0..examples.len()).filter(|&i| folds[i] == fold);
        lists.push(held.map(|i| answer(&head, i, &examples[i])).collect());
    }
    lists
}

/// `trunk` as it stands in the file of [`onnx`], which takes pixels from 0 to 1: what is learned from its features is then applied
/// to the same ones. Other arithmetic on the way in moves last bits, and a network that rounds its activations makes more of that.
pub fn as_in_file(trunk: &Model) -> Result<Model> {
    let mut info = trunk.info.clone();
    let features = std::mem::replace(&mut info.outputs.features, "looked_at".to_string());
    let outputs = [(features.as_str(), info.outputs.features.as_str())];
    let bytes = Network::on(trunk, &[&features], info.input.size)?.finish(&outputs, &[])?;
    (info.input.mean, info.input.std, info.input.colour) = ([0.0; 3], [255.0; 3], Colour::Rgb);
    info.sha256 = sha256_hex(&bytes);
    Ok(Model { info, bytes: bytes.into() })
}

/// The ONNX file of `head` on `trunk` for pictures of `size` (width, height), stretched to it: `images` in, `probabilities`
/// out. `part` is what is cut out of each picture before that.
pub fn onnx(head: &Linear, trunk: &Model, size: [u32; 2], names: &[String], part: Option<&Part>) -> Result<Vec<u8>> {
    let features = trunk.info.outputs.features.clone();
    let mut network = Network::on(trunk, &[&features], size)?;
    let (dim, count) = head.weights.dim();
    let weights: Vec<f32> = head.weights.iter().map(|&w| w as f32).collect();
    let bias: Vec<f32> = head.bias.iter().map(|&b| b as f32).collect();
    let weights = network.floats(&[dim, count], &weights);
    let bias = network.floats(&[count], &bias);
    let scores = network.node("Gemm", &[&features, &weights, &bias], &[]);
    let probabilities = network.node("Softmax", &[&scores], &[("axis", Attribute::Int(1))]);
    let [width, height] = size;
    let mut metadata = vec![
        ("author", format!("ocellus {}", env!("CARGO_PKG_VERSION"))),
        ("task", "classify".to_string()),
        ("names", names_text(names)),
        ("imgsz", format!("[{height}, {width}]")),
        ("stride", trunk.info.input.multiple.to_string()),
        ("fit", "stretch".to_string()),
        ("trunk", trunk.info.id.clone()),
    ];
    if let Some(part) = part {
        metadata.push(("region", part.to_string()));
    }
    network.finish(&[(&probabilities, "probabilities")], &metadata)
}
