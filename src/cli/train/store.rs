//! Tensors on disk: features of pictures, computed once, and the state of a training.

use crate::cli::output;
use crate::error::{Error, Result};
use crate::models::sha256_hex;
use crate::tensor::Tensor;
use half::f16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The ending of all files of a store.
const ENDING: &str = "safetensors";
/// How the names of states begin in a work folder.
const STATE: &str = "state";
/// To be raised when pictures are prepared, augmented or looked at in another way, constants of `train/detect/copy_paste.rs` among
/// them: what was kept before is of no use then.
const VIEWS: &[u8] = b"2";
/// The key of the text beside the tensors.
const NOTE: &str = "note";

/// How numbers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// As they are.
    Single,
    /// Half the bytes, three digits: enough for features.
    Half,
}

/// A folder of features and states.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    /// The state of the training that this run is of.
    state: PathBuf,
    precision: Precision,
    /// Whether the folder goes when the training is done.
    passing: bool,
}

impl Store {
    /// The folder that `--cache` names, which stays, or the work folder beside the file `out`, which goes in the end.
    pub fn open(cache: Option<&Path>, out: &Path, precision: Precision) -> Result<Self> {
        let folder = cache.map_or_else(
            || out.with_file_name(format!("{}.work", out.file_name().unwrap_or_default().to_string_lossy())),
            Path::to_path_buf,
        );
        output::check_folder(&folder)?;
        // By what is written, so that trainings that share features leave one another's states alone.
        let of = std::path::absolute(out).map_err(|e| Error::io(out, "find", e))?;
        let key = Store::key(&[of.to_string_lossy().as_bytes()]);
        let state = folder.join(format!("{STATE}-{}.{ENDING}", &key[..16]));
        Ok(Store { folder, state, precision, passing: cache.is_none() })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The key of what depends on `parts`, and on how this version looks at pictures.
    pub fn key(parts: &[&[u8]]) -> String {
        let parts = [env!("CARGO_PKG_VERSION").as_bytes(), VIEWS].into_iter().chain(parts.iter().copied());
        // Lengths between the parts, so that no two lists run together.
        let bytes: Vec<u8> = parts.flat_map(|p| [&(p.len() as u64).to_le_bytes()[..], p].concat()).collect();
        sha256_hex(&bytes)
    }

    fn file(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.{ENDING}"))
    }

    /// The tensors kept under `key`; none if there are none, or if the file is damaged.
    pub fn get(&self, key: &str) -> Option<Vec<Tensor>> {
        let (tensors, _) = decode(&std::fs::read(self.file(key)).ok()?)?;
        Some(tensors.into_values().collect())
    }

    /// Whether there is something under `key`. It may still be damaged.
    pub fn has(&self, key: &str) -> bool {
        self.file(key).is_file()
    }

    /// Keeps `tensors` under `key`.
    pub fn put(&self, key: &str, tensors: &[Tensor]) -> Result<()> {
        // In their order when they are sorted by name.
        let named = tensors.iter().enumerate().map(|(i, t)| (format!("{i:04}"), t));
        output::write_file(&self.file(key), &encode(named, self.precision, "")?)
    }

    /// The state that a training left, with its note, if it is to be resumed. That there is none is told.
    pub fn state(&self, resume: bool) -> Option<(BTreeMap<String, Tensor>, String)> {
        if !resume {
            return None;
        }
        let state = std::fs::read(&self.state).ok().and_then(|bytes| decode(&bytes));
        if state.is_none() {
            let folder = self.folder.display();
            output::note(&format!("{folder}: no training to resume was left there; it begins with the first epoch"));
        }
        state
    }

    /// Keeps the state of a training with a note on what it belongs to.
    pub fn put_state(&self, state: &BTreeMap<String, Tensor>, note: &str) -> Result<()> {
        let named = state.iter().map(|(name, tensor)| (name.clone(), tensor));
        output::write_file(&self.state, &encode(named, Precision::Single, note)?)
    }

    /// Clears up after a training that is done: the state, and the whole folder unless it is to stay.
    pub fn finish(self) {
        // What cannot be removed is no reason to fail: the model is written. Files of others stay, and the folder with them.
        let _ = std::fs::remove_file(&self.state);
        let entries = std::fs::read_dir(&self.folder).ok().filter(|_| self.passing);
        for entry in entries.into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|e| e == ENDING) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        if self.passing {
            let _ = std::fs::remove_dir(&self.folder);
        }
    }
}

fn encode<'a>(
    tensors: impl Iterator<Item = (String, &'a Tensor)>,
    precision: Precision,
    note: &str,
) -> Result<Vec<u8>> {
    let bytes = |t: &Tensor| -> Vec<u8> {
        match precision {
            Precision::Single => t.data().iter().flat_map(|v| v.to_le_bytes()).collect(),
            Precision::Half => t.data().iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
        }
    };
    let kind = if precision == Precision::Half { Dtype::F16 } else { Dtype::F32 };
    let stored: Vec<(String, Vec<usize>, Vec<u8>)> = tensors.map(|(n, t)| (n, t.shape().to_vec(), bytes(t))).collect();
    let failed = |e: safetensors::SafeTensorError| Error::Internal(format!("keeping tensors: {e}"));
    let views: Vec<(&str, TensorView)> = stored
        .iter()
        .map(|(name, shape, data)| Ok((name.as_str(), TensorView::new(kind, shape.clone(), data).map_err(failed)?)))
        .collect::<Result<_>>()?;
    let notes = std::collections::HashMap::from([(NOTE.to_string(), note.to_string())]);
    safetensors::serialize(views, Some(notes)).map_err(failed)
}

fn decode(bytes: &[u8]) -> Option<(BTreeMap<String, Tensor>, String)> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).ok()?;
    let note = metadata.metadata().as_ref().and_then(|m| m.get(NOTE)).cloned().unwrap_or_default();
    let file = SafeTensors::deserialize(bytes).ok()?;
    let one = |(name, view): (String, TensorView)| {
        let data = match view.dtype() {
            Dtype::F32 => view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Dtype::F16 => view.data().chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            _ => return None,
        };
        Some((name, Tensor::new(view.shape().to_vec(), data).ok()?))
    };
    let tensors = file.tensors().into_iter().map(one).collect::<Option<_>>()?;
    Some((tensors, note))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_tensors_and_states() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("m.onnx");
        let store = Store::open(None, &out, Precision::Half).unwrap();
        let tensors: Vec<Tensor> = (0..12).map(|i| Tensor::new(vec![2, 1], vec![i as f32, -0.5]).unwrap()).collect();
        let key = Store::key(&[b"a", b"bc"]);
        assert_ne!(key, Store::key(&[b"ab", b"c"]));
        assert!(store.get(&key).is_none() && !store.has(&key));
        store.put(&key, &tensors).unwrap();
        assert_eq!(store.get(&key).unwrap(), tensors);
        std::fs::write(store.file(&key), b"damaged").unwrap();
        assert!(store.get(&key).is_none());

        let state = BTreeMap::from([("w".to_string(), Tensor::new(vec![1], vec![0.1]).unwrap())]);
        store.put_state(&state, "seed 1").unwrap();
        assert_eq!(store.state(true).unwrap(), (state, "seed 1".to_string()));
        let work = store.folder().to_path_buf();
        store.finish();
        assert!(!work.exists());
    }
}
