//! Objects in a picture: class, score and box of each.

mod recognise;
mod tiles;

use crate::engine::Session;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::models::manifest::{InputSpec, NanodetLevel};
use crate::models::{self, Found, Model};
use crate::postprocess::detection::{Candidate, Detection, Params};
use crate::postprocess::masks::{Cutout, Prototypes};
use crate::postprocess::nms::{Overlap, better_first, nms};
use crate::postprocess::{nanodet, yolo};
use crate::preprocess::{self, Placement};
use crate::tasks::timed;
use crate::tensor::Tensor;
pub use tiles::Tiles;
pub(super) use tiles::{SAME_ACROSS_TILES, merge};

/// How a network says what it sees.
#[derive(Debug, Clone, PartialEq)]
enum Head {
    /// YOLOv8 and YOLO11, with mask prototypes or without.
    Yolo { masks: bool },
    /// A graph that suppresses by itself, with mask prototypes or without.
    EndToEnd { masks: bool },
    /// NanoDet, by levels.
    Nanodet(Vec<NanodetLevel>),
}

impl Head {
    /// The IoU of the original's non-maximum suppression.
    fn usual_iou(&self) -> f32 {
        if matches!(self, Head::Nanodet(_)) { 0.6 } else { 0.7 }
    }
}

/// A detector, loaded once and shared by threads.
#[derive(Debug)]
pub struct Detector {
    id: String,
    session: Session,
    input: InputSpec,
    head: Head,
    labels: Vec<String>,
    iou: f32,
}

/// What one look at a picture gave, before masks are assembled.
struct Look {
    objects: Vec<Candidate>,
    placement: Placement,
    /// Width and height of the network's input.
    input: (u32, u32),
    prototypes: Option<Tensor>,
}

impl Detector {
    /// Loads the detector that `name` stands for: an embedded id, or the path of an `.onnx` file. What a file does not say
    /// in a `.toml` beside it is read from the graph.
    ///
    /// # Errors
    /// A file that is no detector that is known here; the text lists what is, and what was found.
    pub fn load(name: &str) -> Result<Self> {
        match models::find(name)? {
            Found::Described(model) => Detector::new(&model),
            Found::Bare(bytes) => recognise::detector(name, bytes),
        }
    }

    /// From a network whose description names the outputs.
    pub fn new(model: &Model) -> Result<Self> {
        model.expect_task("detect")?;
        let info = &model.info;
        let outputs = &info.outputs;
        let masks = !outputs.prototypes.is_empty();
        let mut names: Vec<&str> = Vec::new();
        let head = if !outputs.nanodet.is_empty() {
            names.extend(outputs.nanodet.iter().flat_map(|l| [l.scores.as_str(), l.distances.as_str()]));
            Head::Nanodet(outputs.nanodet.clone())
        } else if !outputs.yolo.is_empty() {
            names.push(&outputs.yolo);
            Head::Yolo { masks }
        } else if !outputs.end_to_end.is_empty() {
            names.push(&outputs.end_to_end);
            Head::EndToEnd { masks }
        } else {
            return Err(Error::model(
                &info.id,
                "its description names no head (outputs.nanodet, .yolo or .end_to_end)",
            ));
        };
        if masks {
            names.push(&outputs.prototypes);
        }
        let session = Session::load(model, &names)?;
        let detector = Detector {
            id: info.id.clone(),
            session,
            input: info.input.clone(),
            iou: head.usual_iou(),
            head,
            labels: info.labels.clone(),
        };
        detector.check()?;
        Ok(detector)
    }

    /// Whether the network's outputs are what its description says; compiles the plan for its size.
    fn check(&self) -> Result<()> {
        let [width, height] = self.input.size;
        let shapes = self.session.output_shapes(&[1, 3, height as usize, width as usize])?;
        let classes = self.labels.len();
        let coefficients = if self.has_masks() { shapes[1].get(1).copied().unwrap_or(0) } else { 0 };
        let (expected, fits) = match &self.head {
            Head::Yolo { .. } => {
                let rows = 4 + classes + coefficients;
                (format!("1 x {rows} x cells for {classes} labels"), matches!(shapes[0][..], [1, r, _] if r == rows))
            }
            Head::EndToEnd { .. } => {
                let width = 6 + coefficients;
                (format!("1 x objects x {width}"), matches!(shapes[0][..], [1, _, w] if w == width))
            }
            Head::Nanodet(_) => {
                let fits = shapes.iter().step_by(2).all(|s| matches!(s[..], [1, _, c] if c == classes));
                (format!("1 x cells x {classes} for {classes} labels"), fits)
            }
        };
        match fits {
            true => Ok(()),
            false => Err(Error::model(
                &self.id,
                format!("its outputs have the shapes {shapes:?}, its description asks for {expected}"),
            )),
        }
    }

    /// The model's id, or the path of its file.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The names of the classes, by number.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Whether it draws masks too.
    pub fn has_masks(&self) -> bool {
        matches!(self.head, Head::Yolo { masks: true } | Head::EndToEnd { masks: true })
    }

    /// The IoU above which the worse of two boxes is dropped: what the file notes as `iou`, or that of the original, 0.6 in
    /// NanoDet's configuration, 0.7 in Ultralytics' `predict`.
    pub fn default_iou(&self) -> f32 {
        self.iou
    }

    /// The objects of `image`, best first, boxes in its pixels. With `tiles` the picture is looked at in pieces as well as
    /// whole, for objects that are small in it.
    pub fn detect(&self, image: &Image, params: &Params, tiles: Option<Tiles>) -> Result<Vec<Detection>> {
        let one = |part: &Image| -> Result<Vec<Detection>> {
            let look = self.look(part, params)?;
            let prototypes = self.prototypes(&look)?;
            let mut objects = Vec::new();
            for o in &look.objects {
                let d = placed(&o.detection, &look.placement);
                let shown = match &prototypes {
                    // As in Ultralytics, what has not one pixel is no object.
                    Some(p) => p.shows(&o.coefficients, &d.rect)?,
                    // Boxes in the padding of a letterbox have nothing left in the picture.
                    None => d.rect.area() > 0.0,
                };
                objects.extend(shown.then_some(d));
            }
            Ok(objects)
        };
        let size = (image.width(), image.height());
        let whole = one(image)?;
        let parts = tiles.map_or_else(Vec::new, |t| t.cover(size.0, size.1));
        if parts.is_empty() {
            return Ok(whole);
        }
        let mut seen: Vec<(Detection, bool)> = whole.into_iter().map(|d| (d, false)).collect();
        for tile @ (x, y, w, h) in parts {
            for d in one(&image.crop(x, y, w, h)?)? {
                let cut = Tiles::cuts(&d.rect, tile, size);
                seen.push((Detection { rect: d.rect.moved(x as f32, y as f32), ..d }, cut));
            }
        }
        Ok(merge(seen, params.agnostic, params.max_det))
    }

    /// Hands `each` the objects of `image` with the pixels of each, for networks that draw masks, and whether the border of a
    /// tile cuts it: with `tiles` an object can come in several parts, nothing is suppressed between pieces.
    pub fn segment(
        &self,
        image: &Image,
        params: &Params,
        tiles: Option<Tiles>,
        mut each: impl FnMut(Detection, Cutout, bool),
    ) -> Result<()> {
        let size = (image.width(), image.height());
        self.segment_one(image, params, |d, cutout| each(d, cutout, false))?;
        for tile @ (x, y, w, h) in tiles.map_or_else(Vec::new, |t| t.cover(size.0, size.1)) {
            self.segment_one(&image.crop(x, y, w, h)?, params, |d, cutout| {
                let cut = Tiles::cuts(&d.rect, tile, size);
                let cutout = Cutout { left: cutout.left + x, top: cutout.top + y, ..cutout };
                each(Detection { rect: d.rect.moved(x as f32, y as f32), ..d }, cutout, cut);
            })?;
        }
        Ok(())
    }

    fn segment_one(&self, image: &Image, params: &Params, mut each: impl FnMut(Detection, Cutout)) -> Result<()> {
        let look = self.look(image, params)?;
        let prototypes = self.prototypes(&look)?.ok_or_else(|| Error::model(&self.id, "it draws no masks"))?;
        timed("masks", || {
            for o in &look.objects {
                let detection = placed(&o.detection, &look.placement);
                let cutout = prototypes.assemble(&o.coefficients, &detection.rect)?;
                if cutout.inside.contains(&true) {
                    each(detection, cutout);
                }
            }
            Ok(())
        })
    }

    fn prototypes<'a>(&self, look: &'a Look) -> Result<Option<Prototypes<'a>>> {
        look.prototypes.as_ref().map(|maps| Prototypes::new(maps, look.input, &look.placement)).transpose()
    }

    fn look(&self, image: &Image, params: &Params) -> Result<Look> {
        let (input, placement) = timed("prepare", || preprocess::prepare(image, &self.input))?;
        let &[_, _, height, width] = input.shape() else { return Err(Error::Internal("input shape".into())) };
        let size = (width as u32, height as u32);
        let mut outputs = timed("network", || self.session.run(&input))?;
        let objects = timed("decode", || self.decode(&outputs, size, params)).map_err(|e| match e {
            Error::Input(message) => Error::model(&self.id, message),
            other => other,
        })?;
        let prototypes = if self.has_masks() { outputs.pop() } else { None };
        Ok(Look { objects, placement, input: size, prototypes })
    }

    /// The objects that the head's `outputs` for an input of `size` (width, height) say, suppressed, boxes in input pixels.
    fn decode(&self, outputs: &[Tensor], size: (u32, u32), params: &Params) -> Result<Vec<Candidate>> {
        let found = match &self.head {
            Head::EndToEnd { .. } => {
                let mut found = yolo::decode_end_to_end(&outputs[0], self.labels.len(), params)?;
                found.sort_by(|a, b| better_first(&a.detection, &b.detection));
                found.truncate(params.max_det);
                return Ok(found);
            }
            Head::Yolo { .. } => yolo::decode(&outputs[0], self.labels.len(), params)?,
            Head::Nanodet(levels) => {
                let mut found = Vec::new();
                for (level, maps) in levels.iter().zip(outputs.chunks_exact(2)) {
                    found.extend(nanodet::decode(&maps[0], &maps[1], level.stride, size, params)?);
                }
                found
            }
        };
        Ok(nms(found, Overlap::Union, params.iou, params.agnostic, params.max_det))
    }
}

fn placed(d: &Detection, placement: &Placement) -> Detection {
    Detection { rect: placement.to_source(&d.rect), ..*d }
}
