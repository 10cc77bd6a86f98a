//! The networks: those built into the program and those in files of the user's.

pub mod manifest;

use crate::error::{Error, Result};
use manifest::{Manifest, ModelInfo};
use sha2::{Digest, Sha256};
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, LazyLock};

include!(concat!(env!("OUT_DIR"), "/embedded_models.rs"));

/// A network with its description.
#[derive(Debug, Clone)]
pub struct Model {
    /// What it is and how pictures are prepared for it.
    pub info: ModelInfo,
    /// The ONNX file.
    pub bytes: Bytes,
}

/// The bytes of a file; a copy refers to the same ones.
#[derive(Clone)]
pub enum Bytes {
    /// Part of the program.
    Embedded(&'static [u8]),
    /// Read from a file, or made here.
    Owned(Arc<Vec<u8>>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Embedded(bytes) => bytes,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::Owned(Arc::new(bytes))
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

impl Model {
    /// An error unless the network is made for `task`.
    pub fn expect_task(&self, task: &str) -> Result<()> {
        match self.info.task == task {
            true => Ok(()),
            false => Err(Error::model(
                &self.info.id,
                format!("it is made for {:?}, expected a model for {task:?}; see `ocellus models`", self.info.task),
            )),
        }
    }
}

static REGISTRY: LazyLock<Vec<Model>> = LazyLock::new(|| {
    // build.rs has read the same text with the same schema: it cannot fail here.
    let manifest: Manifest =
        toml::from_str(include_str!("../../models/models.toml")).unwrap_or(Manifest { model: Vec::new() });
    let embedded = |info: ModelInfo| EMBEDDED.iter().find(|(id, _)| *id == info.id).map(|(_, bytes)| (info, *bytes));
    manifest
        .model
        .into_iter()
        .filter_map(embedded)
        .map(|(info, bytes)| Model { info, bytes: Bytes::Embedded(bytes) })
        .collect()
});

/// The networks that this binary carries, in the order of the manifest.
pub fn embedded() -> &'static [Model] {
    &REGISTRY
}

/// The first embedded network for `task`: what a command uses when the user names none.
pub fn default_for(task: &str) -> Result<&'static Model> {
    embedded().iter().find(|m| m.info.task == task).ok_or_else(|| {
        Error::Usage(format!(
            "this build carries no model for {task:?}; name one with --model path.onnx, or build with a feature `model-...`"
        ))
    })
}

/// What a name on the command line stands for.
#[derive(Debug)]
pub enum Found {
    /// A network with its description: embedded, or a file with a `.toml` of the same name beside it.
    Described(Box<Model>),
    /// An `.onnx` file alone. Some say enough of themselves.
    Bare(Vec<u8>),
}

/// Looks `name` up: an embedded id, or the path of an `.onnx` file.
pub fn find(name: &str) -> Result<Found> {
    if let Some(model) = embedded().iter().find(|m| m.info.id == name) {
        return Ok(Found::Described(Box::new(model.clone())));
    }
    let path = Path::new(name);
    if path.extension().is_none_or(|e| !e.eq_ignore_ascii_case("onnx")) {
        if path.is_file() {
            return Err(Error::model(name, "is not an .onnx file; export the network to ONNX first"));
        }
        let known: Vec<&str> = embedded().iter().map(|m| m.info.id.as_str()).collect();
        return Err(Error::model(
            name,
            format!("unknown; this build carries {known:?}, or give the path of an .onnx file"),
        ));
    }
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, "read", e))?;
    match path.with_extension("toml").exists() {
        true => described(path, bytes).map(|model| Found::Described(Box::new(model))),
        false => Ok(Found::Bare(bytes)),
    }
}

/// The network that `name` stands for; a file must have its description beside it.
pub fn resolve(name: &str) -> Result<Model> {
    match find(name)? {
        Found::Described(model) => Ok(*model),
        // Reading the description that is missing says so.
        Found::Bare(bytes) => described(Path::new(name), bytes),
    }
}

fn described(path: &Path, bytes: Vec<u8>) -> Result<Model> {
    let sidecar = path.with_extension("toml");
    let text = std::fs::read_to_string(&sidecar).map_err(|e| Error::Model {
        model: path.display().to_string(),
        message: format!(
            "the description {} (how pictures are prepared, which outputs to use) cannot be read",
            sidecar.display()
        ),
        source: Some(Box::new(e)),
    })?;
    let info: ModelInfo = toml::from_str(&text).map_err(|e| Error::Model {
        model: path.display().to_string(),
        message: format!("{} is not a model description", sidecar.display()),
        source: Some(Box::new(e)),
    })?;
    info.check().map_err(|message| Error::model(sidecar.display().to_string(), message))?;
    let found = sha256_hex(&bytes);
    if info.sha256 != found {
        return Err(Error::model(
            path.display().to_string(),
            format!("its sha256 is {found}, {} expects {}", sidecar.display(), info.sha256),
        ));
    }
    Ok(Model { info, bytes: bytes.into() })
}

/// SHA-256 of `bytes` in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}
