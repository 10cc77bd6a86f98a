//! A detector of one's own: an anchor-free head on the frozen maps of an embedded network.
//!
//! The trunk runs once a picture and view; what it gives is handed in by the caller, who may keep it on disk. The head learns
//! by AdamW with a cosine rate, and the weights of the best epoch on the validation pictures are kept.

pub mod copy_paste;
mod depthwise;
mod head;
mod loss;
pub mod view;
mod window;

use crate::engine::{Network, Session};
use crate::error::{Error, Result};
use crate::geometry::Rect;
use crate::image::Image;
use crate::models::Model;
use crate::models::manifest::{Fit, InputSpec, Resample};
use crate::postprocess::average_precision::{self, Figures, Judged};
use crate::postprocess::detection::{Detection, Params};
use crate::postprocess::nms::{Overlap, nms};
use crate::postprocess::yolo;
use crate::preprocess;
use crate::tensor::Tensor;
use crate::train::weights::{Gradients, Weights};
use crate::train::{Epoch, internal};
use copy_paste::Placed;
use head::{Head, Levels, MAPS, Scaling};
use loss::Targets;
use rayon::prelude::*;
use std::collections::BTreeMap;
use view::View;
use window::Window;

/// The most that gradients of a step may add up to.
const LONGEST: f64 = 10.0;
/// Steps over which the rate grows to its full size.
const WARM_UP: f64 = 50.0;
/// Sides of the input are multiples of the coarsest stride.
pub const MULTIPLE: u32 = 32;
/// The grey of Ultralytics' letterbox, which readers of the file will use.
const PAD: u8 = 114;
/// Boxes that overlap a better one of their class by more are dropped, in validation as by `detect`. Neighbouring cells answer for an
/// object each, and not all of them place it well; FCOS (Tian et al. 2019) has 0.6.
pub const IOU: f32 = 0.5;
/// Steps after which a head has learned some dozens of drawings, and passes that are too few or more than enough.
const STEPS: usize = 2500;
const EPOCHS: (usize, usize) = (20, 200);
/// The least epochs to wait for a better one.
const PATIENCE: usize = 20;
/// Pictures that the scaling of the maps is taken from.
const SCALED_BY: usize = 24;

/// How a training goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The most passes over the training pictures.
    pub epochs: usize,
    /// Passes without a better epoch after which it ends.
    pub patience: usize,
    /// Where chance begins.
    pub seed: u64,
    /// Greatest step of AdamW.
    pub rate: f64,
    /// How much AdamW pulls weights to zero.
    pub decay: f64,
    /// Channels inside the head.
    pub width: usize,
    /// Pieces of pictures a step.
    pub batch: usize,
}

impl Options {
    /// Options for `count` training pictures and inputs of `size`: as many epochs as it takes.
    pub fn usual(count: usize, size: [u32; 2]) -> Self {
        let options = Options::default();
        let epochs = STEPS.div_ceil(options.steps(count, size).max(1)).clamp(EPOCHS.0, EPOCHS.1);
        Options { epochs, ..options }.patient()
    }

    /// With the usual patience for the epochs.
    pub fn patient(self) -> Self {
        Options { patience: (self.epochs / 3).max(PATIENCE), ..self }
    }

    /// Steps an epoch.
    fn steps(&self, count: usize, size: [u32; 2]) -> usize {
        (count * Window::count(size)).div_ceil(self.batch)
    }
}

impl Default for Options {
    fn default() -> Self {
        Options { epochs: 60, patience: PATIENCE, seed: 0, rate: 1.2e-2, decay: 0.05, width: 64, batch: 4 }
    }
}

/// What is seen in one look at a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The trunk's maps at /8, /16 and /32, 1 x C x H x W.
    pub maps: Vec<Tensor>,
    /// The objects, in pixels of the network's input.
    pub boxes: Vec<Rect>,
    /// The class of each.
    pub classes: Vec<usize>,
}

impl Sample {
    /// Width and height of the network's input.
    fn size(&self) -> Result<[u32; 2]> {
        let map = self.maps.last().ok_or_else(|| Error::Internal("a sample without maps".into()))?;
        let (_, rows, columns) = map.chw()?;
        Ok([columns, rows].map(|side| side as u32 * MULTIPLE))
    }
}

/// The frozen network under the head.
#[derive(Debug)]
pub struct Trunk {
    session: Session,
    model: Model,
    input: InputSpec,
}

impl Trunk {
    /// The part of `model` that gives maps at /8, /16 and /32, for inputs of `size` (width, height).
    ///
    /// # Errors
    /// A model whose description names no such maps.
    pub fn new(model: &Model, size: [u32; 2]) -> Result<Self> {
        model.expect_task("features")?;
        let taps = &model.info.outputs.pyramid;
        if taps.len() != MAPS {
            return Err(Error::model(
                &model.info.id,
                "its description names no three maps (outputs.pyramid) to learn from",
            ));
        }
        let names: Vec<&str> = taps.iter().map(String::as_str).collect();
        // Looks at pictures lie or stand.
        let session = Session::load(model, &names)?.with_plans(2);
        let input =
            InputSpec { size, fit: Fit::Letterbox, resample: Resample::Area, pad: PAD, ..model.info.input.clone() };
        Ok(Trunk { session, model: model.clone(), input })
    }

    /// Width and height of the input.
    pub fn size(&self) -> [u32; 2] {
        self.input.size
    }

    /// What its maps depend on besides the input: SHA-256 of the network's file and the maps' names.
    pub fn identity(&self) -> String {
        format!("{} {}", self.model.info.sha256, self.model.info.outputs.pyramid.join(" "))
    }

    /// How many numbers the maps of one look are.
    pub fn values(&self) -> Result<usize> {
        let [width, height] = self.input.size.map(|s| s as usize);
        Ok(self
            .session
            .output_shapes(&[1, 3, height, width])?
            .iter()
            .map(|shape| shape.iter().product::<usize>())
            .sum())
    }

    /// What `view` of `image` gives with `more` objects set into it: the maps of [`Sample::maps`].
    pub fn maps(&self, image: &Image, view: &View, more: &[Placed]) -> Result<Vec<Tensor>> {
        let mut look = view.image(image, &self.input)?;
        more.iter().try_for_each(|object| object.draw(&mut look))?;
        self.session.run(&preprocess::normalise(&look, &self.input)?)
    }
}

/// A training on its way.
pub struct Trainer {
    options: Options,
    size: [u32; 2],
    classes: usize,
    scaling: Scaling,
    weights: Weights,
    head: Head,
    done: usize,
    /// The last epoch that was better than all before it.
    improved: usize,
    best: Option<Best>,
}

/// What a piece says of the weights.
struct Found {
    loss: f64,
    /// Cells that stand for objects.
    objects: usize,
    gradients: Gradients,
}

/// The best epoch so far.
struct Best {
    epoch: usize,
    metric: f64,
    values: BTreeMap<String, Tensor>,
}

/// What was found in validation pictures, and how good that is.
#[derive(Debug, Clone)]
pub struct Validation {
    /// Objects by picture: class and box in input pixels.
    pub truth: Vec<Vec<(usize, Rect)>>,
    /// What was found, by picture.
    pub found: Vec<Vec<Detection>>,
    /// Precision, recall and average precision.
    pub figures: Figures,
}

impl Validation {
    /// Each picture's objects beside what was found.
    pub fn judged(&self) -> Vec<Judged<'_>> {
        self.truth.iter().zip(&self.found).map(|(truth, found)| Judged { truth, found }).collect()
    }
}

/// Hands out a picture's sample by its number, as it is (`None`) or in the view of an epoch.
pub type Load<'a> = &'a (dyn Fn(usize, Option<usize>) -> Result<Sample> + Sync);

impl Trainer {
    /// Begins a training for `classes` on inputs of `size` (width, height) with `count` pictures that `load` hands out.
    pub fn new(options: Options, classes: usize, size: [u32; 2], count: usize, load: Load) -> Result<Self> {
        let scaling = scaling(count, load)?;
        let channels = [0, 1, 2].map(|i| scaling.means[i].len());
        let mut weights = Weights::default();
        let mut random = fastrand::Rng::with_seed(options.seed);
        let head = Head::new(&mut weights, classes, channels, options.width, &mut random)?;
        Ok(Trainer { options, size, classes, scaling, weights, head, done: 0, improved: 0, best: None })
    }

    /// Epochs that are done.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Whether there is nothing more to do: all epochs are done, or none was better for a while.
    pub fn finished(&self) -> bool {
        self.done >= self.options.epochs || self.done - self.improved >= self.options.patience
    }

    /// The number of the best epoch.
    pub fn best_epoch(&self) -> usize {
        self.best.as_ref().map_or(0, |b| b.epoch)
    }

    /// One pass over the `count` training pictures that `train` hands out, then a look at the `tested` ones of `test`.
    /// The result does not depend on the number of threads.
    pub fn epoch(&mut self, (count, train): (usize, Load), (tested, test): (usize, Load)) -> Result<Epoch> {
        // The order depends on the epoch alone, so that a run that is taken up again goes on as it would have.
        let mut random = fastrand::Rng::with_seed(self.options.seed ^ (self.done as u64 + 1).wrapping_mul(0x9E37_79B9));
        let mut order: Vec<usize> = (0..count).collect();
        random.shuffle(&mut order);
        let windows = Window::count(self.size);
        let steps = self.options.steps(count, self.size) as f64;
        let (mut total, mut step) = (0.0, 0.0);
        // As many pictures as fit into a step are open at a time, so that a step has pieces of several.
        for open in order.chunks(self.options.batch) {
            let load = |k: usize| train(open[k], Some(self.done));
            let samples = in_order(open.len(), load)?;
            let pieces: Vec<(usize, Window)> = (0..open.len() * windows)
                .map(|i| i % open.len())
                .map(|k| Ok((k, Window::random(samples[k].size()?, &mut random))))
                .collect::<Result<_>>()?;
            for batch in pieces.chunks(self.options.batch) {
                let results = in_order(batch.len(), |k| {
                    let (sample, window) = batch[k];
                    self.gradients(&window.of(&samples[sample])?, window.pixels())
                })?;
                let done = (self.done as f64 + step / steps) / self.options.epochs as f64;
                total += self.learn(results, done, self.done as f64 * steps + step)?;
                step += 1.0;
            }
        }
        self.done += 1;
        // What is looked at, and kept, are the running means; learning goes on from the weights themselves.
        let (values, averages) = (self.weights.values()?, self.weights.averages()?);
        self.weights.set_values(&averages)?;
        // As a state keeps it: a training that goes on must compare the same numbers.
        let metric = f64::from(self.validate((tested, test))?.figures.map50() as f32);
        self.weights.set_values(&values)?;
        // Of equals the later one has learned more, and small sets have many equals. They are no progress, though, unless nothing
        // has been found yet.
        let best = self.best.as_ref().is_none_or(|b| metric >= b.metric);
        if metric == 0.0 || self.best.as_ref().is_none_or(|b| metric > b.metric) {
            self.improved = self.done;
        }
        if best {
            self.best = Some(Best { epoch: self.done, metric, values: averages });
        }
        Ok(Epoch { number: self.done, of: self.options.epochs, loss: total / step.max(1.0), metric, best })
    }

    /// A step by what was found for the pieces of a batch; `done` is the share of the training that is done, `step` the
    /// number of steps. Returns the loss.
    fn learn(&mut self, results: Vec<Found>, done: f64, step: f64) -> Result<f64> {
        let (mut sum, mut loss, mut objects) = (Gradients::new(), 0.0, 0);
        for found in results {
            loss += found.loss;
            objects += found.objects;
            if sum.is_empty() {
                sum = found.gradients;
            } else {
                add(&mut sum, &found.gradients);
            }
        }
        // By the objects of the whole batch: a piece without any still says what is none.
        let share = 1.0 / objects.max(1) as f64;
        sum.values_mut().flatten().for_each(|g| *g *= share as f32);
        let cosine = 0.5 + 0.5 * (std::f64::consts::PI * done).cos();
        let rate = self.options.rate * ((step + 1.0) / WARM_UP).min(1.0) * cosine.max(0.01);
        self.weights.step(&sum, rate, self.options.decay, LONGEST)?;
        Ok(loss * share)
    }

    fn gradients(&self, sample: &Sample, size: [u32; 2]) -> Result<Found> {
        let targets = Targets::new(sample, size);
        let maps = self.head.forward(&Levels::new(&sample.maps, &self.scaling)?)?;
        let loss = loss::loss(&maps, &targets).map_err(internal)?;
        let value = loss.to_scalar::<f32>().map_err(internal)?;
        let gradients = self.weights.gradients(&loss.backward().map_err(internal)?)?;
        Ok(Found { loss: f64::from(value), objects: targets.count(), gradients })
    }

    /// What the weights as they are find in the `count` pictures of `load`.
    pub fn validate(&self, (count, load): (usize, Load)) -> Result<Validation> {
        // Doubtful ones count in average precision, as in Ultralytics' validation.
        let params = Params { conf: 0.001, iou: IOU, ..Params::default() };
        let one = |at: usize| {
            let sample = load(at, None)?;
            let maps = self.head.forward(&Levels::new(&sample.maps, &self.scaling)?)?;
            let found = yolo::decode(&self.head.output(&maps, self.size)?, self.classes, &params)?;
            let found = found.into_iter().map(|c| c.detection).collect();
            let found = nms(found, Overlap::Union, params.iou, false, params.max_det);
            Ok((sample.classes.into_iter().zip(sample.boxes).collect(), found))
        };
        let (truth, found): (Vec<_>, Vec<_>) = in_order(count, one)?.into_iter().unzip();
        let mut validation = Validation { truth, found, figures: average_precision::figures(&[], 0) };
        validation.figures = average_precision::figures(&validation.judged(), self.classes);
        Ok(validation)
    }

    /// Goes back to the weights of the best epoch.
    pub fn take_best(&mut self) -> Result<()> {
        match &self.best {
            Some(best) => self.weights.set_values(&best.values),
            None => Ok(()),
        }
    }

    /// The ONNX file of `trunk` with the head as it is; `metadata` beside it.
    pub fn export(&self, trunk: &Trunk, metadata: &[(&str, String)]) -> Result<Vec<u8>> {
        let taps: Vec<&str> = trunk.model.info.outputs.pyramid.iter().map(String::as_str).collect();
        let mut network = Network::on(&trunk.model, &taps, self.size)?;
        let output = self.head.export(&mut network, &taps, &self.weights.values()?, &self.scaling)?;
        network.finish(&[(&output, "output0")], metadata)
    }

    /// Everything that a later run needs to go on.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut state = self.weights.state()?;
        let best = self.best.as_ref().map_or((0.0, 0.0), |b| (b.epoch as f32, b.metric as f32));
        let progress = vec![self.done as f32, self.improved as f32, best.0, best.1];
        state.insert("progress".into(), Tensor::new(vec![progress.len()], progress)?);
        for (name, value) in self.best.iter().flat_map(|b| &b.values) {
            state.insert(format!("best/{name}"), value.clone());
        }
        Ok(state)
    }

    /// Goes on from a [`Trainer::state`].
    ///
    /// # Errors
    /// A state of another head.
    pub fn restore(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.weights.restore(state)?;
        let Some(&[done, improved, epoch, metric]) = state.get("progress").map(Tensor::data) else {
            return Err(Error::Input("the state of a training lacks its progress".into()));
        };
        (self.done, self.improved) = (done as usize, improved as usize);
        let values = state.iter().filter_map(|(n, v)| Some((n.strip_prefix("best/")?.to_string(), v.clone())));
        let values: BTreeMap<_, _> = values.collect();
        self.best = (!values.is_empty()).then_some(Best { epoch: epoch as usize, metric: f64::from(metric), values });
        Ok(())
    }
}

/// Mean and deviation of each channel over some of the pictures.
fn scaling(count: usize, load: Load) -> Result<Scaling> {
    let mut sums: [Vec<(f64, f64)>; MAPS] = Default::default();
    let mut cells = [0.0; MAPS];
    let step = count.div_ceil(SCALED_BY).max(1);
    for at in (0..count).step_by(step) {
        for (level, map) in load(at, None)?.maps.iter().enumerate().take(MAPS) {
            let (channels, h, w) = map.chw()?;
            sums[level].resize(channels, (0.0, 0.0));
            cells[level] += (h * w) as f64;
            for (sum, plane) in sums[level].iter_mut().zip(map.data().chunks_exact(h * w)) {
                for &v in plane {
                    sum.0 += f64::from(v);
                    sum.1 += f64::from(v) * f64::from(v);
                }
            }
        }
    }
    let mean = |level: usize| sums[level].iter().map(|s| (s.0 / cells[level]) as f32).collect();
    let gain = |level: usize| {
        let deviation = |s: &(f64, f64)| (s.1 / cells[level] - (s.0 / cells[level]).powi(2)).max(1e-6).sqrt();
        sums[level].iter().map(|s| (1.0 / deviation(s)) as f32).collect()
    };
    Ok(Scaling { means: [0, 1, 2].map(mean), gains: [0, 1, 2].map(gain) })
}

fn add(sum: &mut Gradients, more: &Gradients) {
    for (name, values) in sum {
        if let Some(more) = more.get(name) {
            values.iter_mut().zip(more).for_each(|(a, b)| *a += b);
        }
    }
}

/// The results of `work` for the numbers below `count`, in their order. On rayon's threads: gemm, under candle, uses them too, and
/// threads beside them would be in its way.
fn in_order<T: Send>(count: usize, work: impl Fn(usize) -> Result<T> + Sync + Send) -> Result<Vec<T>> {
    (0..count).into_par_iter().with_max_len(1).map(work).collect()
}
