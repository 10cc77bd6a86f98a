//! Cells of interest: the scores of each, by a network in the manner of YOLIC (see [`crate::cells`]).

use crate::cells::Cells;
use crate::engine::{self, Description, Session};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::models::manifest::{Colour, Fit, InputSpec, Resample};
use crate::models::{self, Found};
use crate::preprocess;
use crate::tasks::metadata::{self, Usual};
use crate::tasks::timed;

/// What networks for this are called in descriptions and metadata.
const TASK: &str = "cells";
/// The side that YOLIC's published scripts feed.
const USUAL_SIDE: u32 = 224;
/// Scores may leave 0 to 1 by so much: the last digits of a sigmoid.
const SLACK: f32 = 1e-4;

/// How a network wants its pictures, where that is said on the command line. What is `None` comes from the `.toml` beside
/// the file, from the file's metadata, or else is as in YOLIC's published prediction: BGR, values of 0 to 1, 224 x 224.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Convention {
    /// Order of the colours.
    pub colour: Option<Colour>,
    /// Width and height.
    pub size: Option<[u32; 2]>,
    /// Mean per channel, in the order of the colours, on values of 0 to 1.
    pub mean: Option<[f32; 3]>,
    /// Divisor per channel, likewise.
    pub std: Option<[f32; 3]>,
    /// The network gives values before the sigmoid. Otherwise that is found out.
    pub logits: bool,
}

/// A network with its cells, loaded once and shared by threads.
#[derive(Debug)]
pub struct Hazard {
    id: String,
    session: Session,
    input: InputSpec,
    cells: Cells,
    /// The sigmoid is left to do.
    logits: bool,
}

impl Hazard {
    /// Loads the network that `name` stands for: the path of an `.onnx` file. `config` is the configuration of its cells; it
    /// can be left out where the file carries one.
    ///
    /// # Errors
    /// A network for something else, one whose outputs do not fit the configuration, no configuration or two that differ.
    pub fn load(name: &str, config: Option<Cells>, convention: &Convention) -> Result<Self> {
        let (model, described) = match models::find(name)? {
            Found::Described(model) => {
                model.expect_task(TASK)?;
                let described = engine::describe(&model.info.id, &model.bytes)?;
                (*model, described)
            }
            Found::Bare(bytes) => {
                let described = engine::describe(name, &bytes)?;
                if let Some(task) = described.metadata.get("task").filter(|t| *t != TASK) {
                    return Err(unknown(name, &described, &format!("it is made for {task:?}")));
                }
                let input = bare(&described).map_err(|why| unknown(name, &described, &why))?;
                (metadata::model(name, TASK, bytes, input), described)
            }
        };
        let id = model.info.id.clone();
        let cells = configuration(&id, &described, config)?;
        let input = convention.apply(model.info.input.clone(), &described).map_err(|why| Error::model(&id, why))?;
        let output = match (model.info.outputs.cells.as_str(), &described.outputs[..]) {
            ("", [one]) => one.name.clone(),
            ("", _) => return Err(unknown(&id, &described, "it does not have one output")),
            (named, _) => named.to_string(),
        };
        let session = Session::load(&model, &[&output])?;
        let [width, height] = input.size.map(|s| s as usize);
        let shapes = session.output_shapes(&[1, 3, height, width])?;
        let shape = shapes.first().map_or(&[][..], Vec::as_slice);
        let found: usize = shape.iter().product();
        if found != cells.values() {
            let message = format!(
                "gives {found} values ({}), but {} cells of {} labels and the background need {}; is it made for another \
                 configuration?",
                shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x "),
                cells.areas.len(),
                cells.labels.len(),
                cells.values()
            );
            return Err(Error::model(&id, message));
        }
        let mut hazard = Hazard { id, session, input, cells, logits: convention.logits };
        // Exports of a module end before its sigmoid, which is the loss's business. A gray picture tells which it is.
        hazard.logits = hazard.logits || hazard.raw(&gray(hazard.input.size)?)?.iter().any(|v| !is_share(*v));
        Ok(hazard)
    }

    /// The labels and areas.
    pub fn cells(&self) -> &Cells {
        &self.cells
    }

    /// The scores of a picture, 0 to 1: for each cell one a label and the background's, [`Cells::values`] in all.
    ///
    /// # Errors
    /// A network whose values are no numbers, or no scores although they were on a gray picture.
    pub fn look(&self, image: &Image) -> Result<Vec<f32>> {
        let raw = self.raw(image)?;
        if raw.iter().any(|v| !v.is_finite()) {
            return Err(Error::model(&self.id, "gives values that are no numbers"));
        }
        if self.logits {
            return Ok(raw.into_iter().map(|v| 1.0 / (1.0 + (-v).exp())).collect());
        }
        match raw.iter().find(|v| !is_share(**v)) {
            Some(v) => Err(Error::model(&self.id, format!("gives the score {v}, expected 0 to 1; try --logits"))),
            None => Ok(raw.into_iter().map(|v| v.clamp(0.0, 1.0)).collect()),
        }
    }

    fn raw(&self, image: &Image) -> Result<Vec<f32>> {
        let [width, height] = self.input.size;
        let tensor = timed("hazard: preprocess", || {
            let (fitted, _) = preprocess::fit(image, width, height, &self.input)?;
            preprocess::normalise(&fitted, &self.input)
        })?;
        let outputs = timed("hazard: network", || self.session.run(&tensor))?;
        Ok(outputs.first().map_or_else(Vec::new, |o| o.data().to_vec()))
    }
}

impl Convention {
    /// `input` with what was said on the command line; an error if the graph fixes another size.
    fn apply(&self, mut input: InputSpec, described: &Description) -> Result<InputSpec, String> {
        if let Some(size) = self.size {
            let sides = described.inputs.first().map_or(&[][..], |i| &i.shape);
            if let &[_, _, Some(h), Some(w)] = sides
                && [w, h] != size.map(|s| s as usize)
            {
                return Err(format!("its input is fixed to {w}x{h}, --size says {}x{}", size[0], size[1]));
            }
            input.size = size;
        }
        input.colour = self.colour.unwrap_or(input.colour);
        // Descriptions count from 0 to 255.
        input.mean = self.mean.map_or(input.mean, |m| m.map(|v| v * 255.0));
        input.std = self.std.map_or(input.std, |s| s.map(|v| v * 255.0));
        Ok(input)
    }
}

fn is_share(v: f32) -> bool {
    (-SLACK..=1.0 + SLACK).contains(&v)
}

fn gray([width, height]: [u32; 2]) -> Result<Image> {
    Image::new(width, height, vec![128; width as usize * height as usize * 3])
}

/// The configuration in the metadata or the one given; they must be the same if there are both.
fn configuration(id: &str, described: &Description, given: Option<Cells>) -> Result<Cells> {
    let own = described.metadata.get("cells").map(|text| Cells::parse(&format!("model {id}, its metadata"), text));
    match (own.transpose()?, given) {
        (None, None) => Err(Error::Usage(format!(
            "model {id} does not say what its cells are; give YOLIC's configuration with --config cells.json"
        ))),
        (Some(own), Some(given)) => match difference(&own, &given) {
            Some(what) => Err(Error::Usage(format!(
                "--config is not the configuration that model {id} was made for: {what}; leave --config out"
            ))),
            None => Ok(given),
        },
        (Some(cells), None) | (None, Some(cells)) => Ok(cells),
    }
}

/// What differs between two configurations beyond rounding.
fn difference(own: &Cells, given: &Cells) -> Option<String> {
    if own.labels != given.labels {
        return Some(format!("its labels are {}, --config has {}", own.labels.join(", "), given.labels.join(", ")));
    }
    if own.areas.len() != given.areas.len() {
        return Some(format!("it has {} cells, --config has {}", own.areas.len(), given.areas.len()));
    }
    let near = |a: &(f32, f32), b: &(f32, f32)| (a.0 - b.0).abs() < 1e-3 && (a.1 - b.1).abs() < 1e-3;
    let same = |(a, b): (Vec<_>, Vec<_>)| a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| near(a, b));
    let differ = own.areas.iter().zip(&given.areas).position(|(a, b)| !same((a.corners(), b.corners())));
    differ.map(|at| format!("cell {} lies elsewhere", at + 1))
}

/// How a file without a description wants its pictures: as its metadata says where it is ours, else as YOLIC published it.
fn bare(described: &Description) -> Result<InputSpec, String> {
    // Networks of ours say what they are for. The published scripts resize as OpenCV does.
    let ours = described.metadata.contains_key("task");
    let (colour, resample) = if ours { (Colour::Rgb, Resample::Area) } else { (Colour::Bgr, Resample::Bilinear) };
    let usual = Usual { fit: Fit::Stretch, open: Fit::Stretch, side: USUAL_SIDE, resample };
    let input = metadata::input(described, &usual)?;
    match input.fit {
        // Cells lie in shares of the whole picture.
        Fit::Stretch => Ok(InputSpec { colour, multiple: 1, ..input }),
        _ => Err("its metadata says another fit than stretch".into()),
    }
}

/// What networks for cells look like, and what was found.
fn unknown(name: &str, found: &Description, why: &str) -> Error {
    let list = |values: &[engine::Value]| values.iter().map(|v| v.to_string()).collect::<Vec<_>>().join(", ");
    Error::model(
        name,
        format!(
            "not a network for cells of interest: {why}. Expected is one float input of 1 x 3 x H x W and one output of \
             1 x (cells x (labels + 1)), as YOLIC's exports and `ocellus train cells` have it. Found: inputs {}; outputs {}",
            list(&found.inputs),
            list(&found.outputs)
        ),
    )
}
