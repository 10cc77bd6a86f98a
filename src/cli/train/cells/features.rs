//! What the trunk says of the pictures, kept on disk between runs.

use super::check::Labelled;
use crate::cli::train::store::Store;
use crate::cli::{batch, output};
use crate::error::Result;
use crate::input::{self, Source};
use crate::tensor::Tensor;
use crate::train::augment::mirrored;
use crate::train::cells::{Example, Seen, Trunk};
use fastrand::Rng;

/// The looks of each picture in `labelled`: as it is, mirrored where `mirror` says that makes sense, and `more` in other
/// light. Those in `store` are not computed again. Pictures that cannot be decoded are told of and leave `labelled`. Also the
/// hash of the others.
pub fn look(
    labelled: &mut Vec<Labelled>,
    trunk: &Trunk,
    about: &str,
    (mirror, more): (bool, usize),
    store: &Store,
    options: batch::Options,
) -> Result<(Vec<Example>, String)> {
    let sources: Vec<Source> = labelled.iter().map(|l| Source::File(l.picture.clone())).collect();
    let mut examples = Vec::new();
    let mut all = String::new();
    let mut readable = Vec::with_capacity(labelled.len());
    let work = |at: usize, source: &Source| {
        let bytes = source.read()?;
        let key = Store::key(&[about.as_bytes(), &bytes]);
        let turned: Vec<bool> = (0..1 + usize::from(mirror) + more).map(|i| mirror && i % 2 == 1).collect();
        let kept = store.get(&key).and_then(|kept| {
            let looks: Option<Vec<Seen>> = kept.chunks(3).map(Seen::from_tensors).collect();
            looks.filter(|l| l.len() == turned.len())
        });
        if let Some(looks) = kept {
            return Ok((key, looks.into_iter().zip(turned).collect()));
        }
        let image = input::decode(&source.name(), &bytes, &options.limits)?;
        // The same for a picture whatever else is in the set.
        let mut rng = Rng::with_seed(u64::from_str_radix(key.get(..16).unwrap_or_default(), 16).unwrap_or(at as u64));
        let mut looks: Vec<(Seen, bool)> = Vec::new();
        for (i, turned) in turned.into_iter().enumerate() {
            let seen = match i {
                0 => trunk.look(&image)?,
                1 if turned => trunk.look(&mirrored(&image)?)?,
                _ => trunk.look_anew(&image, turned, &mut rng)?,
            };
            looks.push((seen, turned));
        }
        let tensors: Vec<Tensor> = looks.iter().map(|(s, _)| s.tensors()).collect::<Result<Vec<_>>>()?.concat();
        store.put(&key, &tensors)?;
        Ok((key, looks))
    };
    batch::each_source(&sources, options, work, |at, result| {
        readable.push(result.is_ok());
        match result {
            Ok((key, looks)) => {
                all += &key;
                examples.push(Example { looks, bits: labelled[at].bits.clone() });
            }
            Err(error) => output::note(&format!("warning: {}; left out", error.one_line())),
        }
        Ok(())
    })?;
    let mut readable = readable.into_iter();
    labelled.retain(|_| readable.next() == Some(true));
    Ok((examples, Store::key(&[all.as_bytes()])))
}
