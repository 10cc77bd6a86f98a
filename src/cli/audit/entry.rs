//! What an audit file says of an inspection, and of what a person said of it later.

use crate::error::{Error, Result};
use crate::report::json;
use crate::tasks::inspect::Inspection;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::time::UNIX_EPOCH;

/// A file as it was at one time. A camera that writes to one name again makes another of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Below the folder that is watched.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// When it was written, in nanoseconds since 1970.
    pub modified: i128,
}

impl Key {
    /// The file as it is now, under that path; none if it is gone.
    pub fn of_file(file: &Path, path: String) -> Option<Self> {
        let meta = std::fs::metadata(file).ok()?;
        let modified = meta.modified().ok()?;
        let modified = match modified.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_nanos() as i128,
            Err(before) => -(before.duration().as_nanos() as i128),
        };
        Some(Key { path, bytes: meta.len(), modified })
    }

    /// Whether the file is still as it was.
    pub fn is_of(&self, file: &Path) -> bool {
        Key::of_file(file, self.path.clone()).is_some_and(|now| now == *self)
    }

    /// A number that tells it from all others, for who has to remember many.
    pub fn digest(&self) -> u128 {
        let text = format!("{} {} {}", self.bytes, self.modified, self.path);
        Sha256::digest(text).iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
    }

    /// The file that a record is about; none if it is about something else.
    pub fn of(record: &Map<String, Value>) -> Option<Self> {
        let path = record.get("path")?.as_str()?.to_string();
        let modified = record.get("modified_ns")?.as_str()?.parse().ok()?;
        Some(Key { path, bytes: record.get("bytes")?.as_u64()?, modified })
    }
}

/// What an inspection was of.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The picture's file.
    pub key: &'a Key,
    /// SHA-256 of its bytes; none where it could not be read.
    pub sha256: Option<&'a str>,
    /// The part's serial number, where one is known.
    pub serial: Option<&'a str>,
    /// Name of the recipe and SHA-256 of its `recipe.toml`, which names those of its memories.
    pub recipe: (&'a str, &'a str),
    /// SHA-256 of the network, where the recipe has one.
    pub model: Option<&'a str>,
    /// Who works at the station.
    pub operator: Option<&'a str>,
    /// Its name in the store; none of a passed part that is not among those that are kept.
    pub stored: Option<&'a str>,
}

/// The members of the record of an inspection, or of why there was none: those of `inspect --json`, and what it was of.
pub fn inspection(subject: &Subject, result: Result<(&Inspection, f64), &Error>) -> Result<Map<String, Value>> {
    let record = json::inspect(&subject.key.path, result)?;
    let mut members: Map<String, Value> =
        serde_json::from_str(&record).map_err(|e| Error::Internal(format!("reading a record: {e}")))?;
    let more = json!({
        "time": Timestamp::now().to_string(), "bytes": subject.key.bytes, "modified_ns": subject.key.modified.to_string(),
        "sha256": subject.sha256, "serial": subject.serial, "recipe": subject.recipe.0,
        "recipe_sha256": subject.recipe.1, "model_sha256": subject.model, "operator": subject.operator, "stored": subject.stored,
        "kept": subject.stored.is_some(),
    });
    if let Value::Object(more) = more {
        members.extend(more);
    }
    Ok(members)
}

#[cfg(feature = "serve")]
/// The record of what a person said of a part: it amends the part's record, which stays as it is.
pub fn judgement(of: &Map<String, Value>, judged: &str, operator: &str, reason: &str) -> Map<String, Value> {
    let mut members = begun("judgement", operator, reason);
    members.insert("judged".into(), json!(judged));
    members.insert("of".into(), json!(of.get("seq")));
    for same in ["path", "serial", "sha256", "recipe"] {
        members.insert(same.into(), json!(of.get(same)));
    }
    members
}

#[cfg(feature = "serve")]
/// The record of another version of a recipe: `learn`, `rollback` or `publish`.
pub fn version(action: &str, recipe: &str, sha256: (&str, Option<&str>), who: (&str, &str)) -> Map<String, Value> {
    let mut members = begun("recipe", who.0, who.1);
    members.insert("action".into(), json!(action));
    members.insert("recipe".into(), json!(recipe));
    members.insert("recipe_sha256".into(), json!(sha256.0));
    members.insert("previous_sha256".into(), json!(sha256.1));
    members
}

#[cfg(feature = "serve")]
fn begun(kind: &str, operator: &str, reason: &str) -> Map<String, Value> {
    let record = json!({
        "schema": json::SCHEMA, "type": kind, "time": Timestamp::now().to_string(), "operator": operator, "reason": reason,
    });
    if let Value::Object(members) = record { members } else { Map::new() }
}
