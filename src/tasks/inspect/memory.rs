//! What is remembered of a region's good parts, one kind a method, and the file that it is kept in.

use super::cosine::Cosine;
use super::features::FeatureNet;
use super::frame::{Frame, View};
use super::light::LightField;
use super::places::Places;
use crate::error::{Error, Result};
use crate::geometry::Rect;
use crate::image::Gray;
use crate::recipe::{Method, Region};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::collections::{BTreeMap, HashMap};

/// A view has at most about this many pixels a side: what a defect of a thousandth of the area still needs.
const SIDE: u32 = 384;

/// A score, and where it came from if the method can say.
#[derive(Debug, Clone)]
pub(super) struct Scored {
    /// The largest value of `map`, if there is one.
    pub score: f32,
    /// Scores place by place.
    pub map: Option<Gray>,
}

/// The learned memory of one region.
#[derive(Debug)]
pub(super) enum Memory {
    /// Place by place, with or without a network.
    Places(Places),
    /// One vector a good part.
    Cosine(Cosine),
}

impl Memory {
    /// The view in which a region is looked at.
    pub fn frame(region: Rect) -> Frame {
        Frame::limited(region, SIDE)
    }

    /// Compiles the plans that views of `frame` will need.
    pub fn prepare(&self, frame: &Frame, net: Option<&FeatureNet>) -> Result<()> {
        match self {
            Memory::Places(m) => m.prepare(frame, net),
            Memory::Cosine(_) => Cosine::prepare(frame, loaded(net)?),
        }
    }

    /// Learns from views of good parts; `posed` says whether they show the same places. Returns also the scores of good
    /// parts in other light, each held against the memory of the others.
    pub fn learn(
        method: Method,
        views: &[&View],
        posed: bool,
        net: Option<&FeatureNet>,
        seed: u64,
    ) -> Result<(Memory, Vec<f32>)> {
        Ok(match method {
            Method::Cosine => {
                let (memory, held_out) = Cosine::learn(views, posed, loaded(net)?, seed)?;
                (Memory::Cosine(memory), held_out)
            }
            Method::Text => return Err(Error::Internal("nothing is learned of a text".into())),
            Method::Patch | Method::Classical => {
                let (memory, held_out) = Places::learn(method, views, posed, net, seed)?;
                (Memory::Places(memory), held_out)
            }
        })
    }

    /// Scores the view of a new part.
    pub fn score(&self, view: &View, net: Option<&FeatureNet>) -> Result<Scored> {
        match self {
            Memory::Places(m) => m.score(view, net),
            Memory::Cosine(m) => m.score(&view.image, loaded(net)?),
        }
    }

    /// The file of this memory.
    pub fn write(&self, method: Method, frame: &Frame, net: Option<&FeatureNet>) -> Result<Vec<u8>> {
        let mut store = Store::default();
        store.note("method", method.name());
        store.note("rect", &rect_note(&frame.rect));
        store.note("view", &format!("{}x{}", frame.width, frame.height));
        store.note("model", net.filter(|_| method.needs_model()).map_or("", |n| &n.sha256));
        match self {
            Memory::Places(m) => m.write(&mut store),
            Memory::Cosine(m) => m.write(&mut store),
        }
        store.encode()
    }

    /// Reads the file of `region`'s memory; `model` is the hash of the recipe's model.
    pub fn read(region: &Region, bytes: &[u8], model: &str) -> Result<(Frame, Memory)> {
        let bad = |message: String| Error::recipe(&region.memory, message);
        let store = Store::decode(bytes).map_err(&bad)?;
        let method = store.noted("method").map_err(&bad)?;
        if method != region.method.name() {
            return Err(bad(format!(
                "it was learned with the method {method}, the recipe says {}; learn the region again",
                region.method.name()
            )));
        }
        let made_with = store.noted("model").map_err(&bad)?;
        if region.method.needs_model() && made_with != model {
            return Err(bad(format!(
                "its vectors come from the model with sha256 {made_with}, the recipe names {model}; learn the region again"
            )));
        }
        let rect = store.noted("rect").map_err(&bad)?;
        if rect != rect_note(&region.bounds()) {
            return Err(bad(format!(
                "it was learned at x,y,w,h {rect}, the recipe says {}; learn the region again",
                rect_note(&region.bounds())
            )));
        }
        let view = store.noted("view").map_err(&bad)?;
        let sides = view.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
        let (width, height): (u32, u32) = sides
            .filter(|(w, h)| (1..=4096).contains(w) && (1..=4096).contains(h))
            .ok_or_else(|| bad(format!("view {view:?} is no size")))?;
        let frame = Frame { rect: region.bounds(), width, height };
        let memory = match region.method {
            Method::Cosine => Cosine::read(&store).map(Memory::Cosine),
            Method::Text => return Err(bad("a text has no memory".into())),
            Method::Patch | Method::Classical => Places::read(&store, region.method).map(Memory::Places),
        };
        Ok((frame, memory.map_err(bad)?))
    }
}

fn rect_note(r: &Rect) -> String {
    format!("{},{},{},{}", r.x1, r.y1, r.width(), r.height())
}

pub(super) fn loaded(net: Option<&FeatureNet>) -> Result<&FeatureNet> {
    net.ok_or_else(|| Error::Internal("a region needs a network and none was loaded".into()))
}

/// The only entry in the file's metadata.
const NOTES: &str = "ocellus";

/// Named arrays and notes, kept as a safetensors file: it can be opened with the library of that name.
#[derive(Debug, Default)]
pub(super) struct Store {
    notes: BTreeMap<String, String>,
    arrays: Vec<(String, Vec<usize>, Vec<f32>)>,
}

impl Store {
    /// Keeps a short text.
    pub fn note(&mut self, key: &str, value: &str) {
        self.notes.insert(key.into(), value.into());
    }

    /// Keeps an array of `shape`.
    pub fn put(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        self.arrays.push((name.into(), shape.to_vec(), values.to_vec()));
    }

    /// Keeps the light of the good parts, if there is one.
    pub fn put_light(&mut self, light: &Option<LightField>) {
        self.note("places", if light.is_some() { "posed" } else { "texture" });
        if let Some(light) = light {
            let (columns, rows) = light.size();
            self.put("light", &[3, rows, columns], &light.values());
        }
    }

    /// The light of the good parts: one if they have a pose, none if they are a texture.
    pub fn light(&self) -> Result<Option<LightField>, String> {
        match self.noted("places")? {
            "posed" => {
                let ([_, rows, columns], values) = self.array("light")?;
                LightField::from_values(columns, rows, values).map(Some).ok_or("its light field is damaged".into())
            }
            "texture" => Ok(None),
            other => Err(format!("places {other:?} is neither posed nor texture")),
        }
    }

    /// The text kept under `key`.
    pub fn noted(&self, key: &str) -> Result<&str, String> {
        self.notes.get(key).map(String::as_str).ok_or_else(|| format!("the note {key:?} is missing"))
    }

    /// The array kept under `name`, with its shape of `N` axes.
    pub fn array<const N: usize>(&self, name: &str) -> Result<([usize; N], &[f32]), String> {
        let (_, shape, values) =
            self.arrays.iter().find(|(n, _, _)| n == name).ok_or_else(|| format!("the array {name:?} is missing"))?;
        let shape: [usize; N] =
            shape[..].try_into().map_err(|_| format!("the array {name:?} has {} axes, expected {N}", shape.len()))?;
        if values.iter().any(|v| !v.is_finite()) {
            return Err(format!("the array {name:?} holds values that are no numbers"));
        }
        Ok((shape, values))
    }

    fn encode(&self) -> Result<Vec<u8>> {
        let failed = |e: safetensors::SafeTensorError| Error::Internal(format!("writing a memory: {e}"));
        let bytes: Vec<Vec<u8>> =
            self.arrays.iter().map(|(_, _, v)| v.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
        let views = self
            .arrays
            .iter()
            .zip(&bytes)
            .map(|((name, shape, _), bytes)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed)?;
        // The library writes its notes in no fixed order: with a single one the same memory is the same file.
        let notes =
            serde_json::to_string(&self.notes).map_err(|e| Error::Internal(format!("writing a memory: {e}")))?;
        safetensors::serialize(views, Some(HashMap::from([(NOTES.to_string(), notes)]))).map_err(failed)
    }

    fn decode(bytes: &[u8]) -> Result<Store, String> {
        let damaged = |e: safetensors::SafeTensorError| format!("not a memory file, or damaged: {e}");
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let notes = header.metadata().as_ref().and_then(|m| m.get(NOTES)).ok_or("not a memory file of ocellus")?;
        let notes = serde_json::from_str(notes).map_err(|e| format!("its notes are damaged: {e}"))?;
        let mut store = Store { notes, arrays: Vec::new() };
        for (name, view) in file.tensors() {
            if view.dtype() != Dtype::F32 {
                return Err(format!("the array {name:?} is of type {:?}, expected F32", view.dtype()));
            }
            let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            store.arrays.push((name, view.shape().to_vec(), values));
        }
        Ok(store)
    }
}
