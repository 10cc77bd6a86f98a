//! The state of a training that can go on: named arrays and notes, as a safetensors file.

use crate::error::{Error, Result};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::collections::HashMap;

/// The only entry in the file's metadata.
const NOTES: &str = "ocellus";

/// The file of `arrays` and of `notes`, a text.
pub fn encode(notes: String, arrays: &[(String, Vec<f32>)]) -> Result<Vec<u8>> {
    let failed = |e: safetensors::SafeTensorError| Error::Internal(format!("writing a training's state: {e}"));
    let bytes: Vec<Vec<u8>> = arrays.iter().map(|(_, v)| v.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let view = |((name, values), bytes): (&(String, Vec<f32>), _)| {
        Ok((name.clone(), TensorView::new(Dtype::F32, vec![values.len()], bytes)?))
    };
    let views = arrays.iter().zip(bytes.iter().map(Vec::as_slice)).map(view).collect::<Result<Vec<_>, _>>();
    safetensors::serialize(views.map_err(failed)?, Some(HashMap::from([(NOTES.to_string(), notes)]))).map_err(failed)
}

/// Notes and arrays of a file, or why it is none.
pub fn decode(bytes: &[u8]) -> Result<(String, HashMap<String, Vec<f32>>), String> {
    let damaged = |e: safetensors::SafeTensorError| format!("damaged: {e}");
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let notes = header.metadata().as_ref().and_then(|m| m.get(NOTES)).ok_or("not written by ocellus")?;
    let floats = |data: &[u8]| data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Ok((notes.clone(), file.tensors().into_iter().map(|(name, view)| (name, floats(view.data()))).collect()))
}
