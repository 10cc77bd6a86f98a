//! The audit file: JSON Lines that only grow. Each record carries the hash of the one before, and the last one's stands in a
//! second file, so that a change, a gap, and a cut end are found.
//!
//! A line is a JSON object whose last member is `hash`: the SHA-256, in hexadecimal digits, of the bytes of the line before
//! `,"hash":`. `seq` counts from 1 on, `previous` is the hash of the line before, 64 zeros for the first.

use crate::cli::output;
use crate::error::{Error, Result};
use crate::models::sha256_hex;
use serde_json::{Map, Value, json};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What stands before the hash of a line.
const MARK: &str = ",\"hash\":\"";
/// The digits of a hash.
const DIGITS: usize = 64;

/// The hash before the first line.
fn nothing() -> String {
    "0".repeat(DIGITS)
}

/// The file with the number and hash of the last line.
fn head_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".head");
    path.with_file_name(name)
}

/// Where a chain is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Link {
    seq: u64,
    hash: String,
}

impl Link {
    fn first() -> Self {
        Link { seq: 0, hash: nothing() }
    }

    /// The link that the head file of `path` names; none where there is no such file.
    fn head(path: &Path) -> Result<Option<Self>> {
        let file = head_of(path);
        let text = match std::fs::read_to_string(&file) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|e| Error::io(&file, "read", e))?,
        };
        let value: Option<Value> = serde_json::from_str(&text).ok();
        let link = value.and_then(|v| Some(Link { seq: v["seq"].as_u64()?, hash: v["hash"].as_str()?.to_string() }));
        link.map(Some)
            .ok_or_else(|| Error::Input(format!("{}: expected seq and hash of the last record", file.display())))
    }

    /// The next link, of `line`, and its record.
    ///
    /// # Errors
    /// In words, why the line is not the one that follows.
    fn next(&self, line: &str) -> std::result::Result<(Link, Map<String, Value>), String> {
        let (body, hash) = line.rsplit_once(MARK).ok_or("it has no hash")?;
        let hash = hash.strip_suffix("\"}").filter(|h| h.len() == DIGITS).ok_or("its hash is not whole")?;
        if sha256_hex(body.as_bytes()) != hash {
            return Err("it was changed: its hash is another".into());
        }
        let record: Map<String, Value> =
            serde_json::from_str(line).map_err(|e| format!("it is no JSON object: {e}"))?;
        let seq = record.get("seq").and_then(Value::as_u64).ok_or("it has no number")?;
        if record.get("previous").and_then(Value::as_str) != Some(&self.hash) || seq != self.seq + 1 {
            return Err(format!(
                "it is record {seq} and does not follow record {}: records are missing or were put in",
                self.seq
            ));
        }
        Ok((Link { seq, hash: hash.to_string() }, record))
    }
}

/// What is wrong with an audit file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1 on; none where it is the file as a whole.
    pub line: Option<u64>,
    /// In words.
    pub message: String,
}

/// What a look at a whole audit file found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Whole records, each of which follows the one before.
    pub records: u64,
    /// In the order of lines.
    pub faults: Vec<Fault>,
}

/// Reads the file `path` line by line and hands each whole record to `visit`.
///
/// # Errors
/// A file that cannot be read, an error of `visit`.
pub fn read(path: &Path, visit: impl FnMut(&Map<String, Value>) -> Result<()>) -> Result<Verified> {
    read_to(path, u64::MAX, visit)
}

/// Like [`read`], of the first bytes of the file.
fn read_to(path: &Path, end: u64, mut visit: impl FnMut(&Map<String, Value>) -> Result<()>) -> Result<Verified> {
    let failed = |e| Error::io(path, "read", e);
    let mut lines = BufReader::new(File::open(path).map_err(failed)?.take(end));
    let mut link = Link::first();
    let head = Link::head(path)?;
    let mut whole = 0;
    let (mut faults, mut number, mut met) = (Vec::new(), 0, head.as_ref().is_none_or(|h| h.seq == 0));
    loop {
        let mut bytes = Vec::new();
        if lines.read_until(b'\n', &mut bytes).map_err(failed)? == 0 {
            break;
        }
        number += 1;
        let mut fault = |message: String| faults.push(Fault { line: Some(number), message });
        if bytes.pop() != Some(b'\n') {
            fault("it is not whole: the file was cut, or the power failed while it was written".into());
            break;
        }
        match std::str::from_utf8(&bytes).map_err(|_| "it is not text".to_string()).and_then(|line| link.next(line)) {
            Ok((next, record)) => {
                visit(&record)?;
                whole += 1;
                link = next;
            }
            Err(message) => {
                fault(message);
                // What follows is held against this line as it claims to be: one fault is told of once.
                let record: Option<Value> = serde_json::from_slice(&bytes).ok();
                let claim =
                    record.and_then(|r| Some(Link { seq: r["seq"].as_u64()?, hash: r["hash"].as_str()?.into() }));
                link = claim.unwrap_or(Link { seq: link.seq + 1, hash: link.hash });
            }
        }
        met |= head.as_ref().is_some_and(|h| *h == link);
    }
    // The head is written when the file is begun, and anew after each record.
    if head.is_none() {
        let message = format!("{} is missing: whether the end was cut off cannot be told", head_of(path).display());
        faults.push(Fault { line: None, message });
    }
    if let Some(head) = head.filter(|_| !met) {
        let names = format!("{} names record {}", head_of(path).display(), head.seq);
        let message = match head.seq > link.seq {
            true => format!("its end is missing: {names}, the file ends with record {}", link.seq),
            false => format!("{names} with another hash: one of both was changed"),
        };
        faults.push(Fault { line: None, message });
    }
    Ok(Verified { records: whole, faults })
}

/// An audit file that is written to. One process at a time.
#[derive(Debug)]
pub struct Chain {
    path: PathBuf,
    file: File,
    link: Link,
    /// Bytes of whole lines.
    length: u64,
}

impl Chain {
    /// Opens or begins the file `path`; `visit` gets each record that is there. A last line that the power cut off while it was
    /// written was never acted on, and goes.
    ///
    /// # Errors
    /// A file that another process writes to; one that was changed: nothing is added to what an auditor would refuse.
    pub fn open(path: &Path, mut visit: impl FnMut(&Map<String, Value>)) -> Result<Self> {
        output::check_file(path)?;
        let failed = |e| Error::io(path, "open", e);
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Input(format!("{}: another process writes to it", path.display())));
            }
            Err(TryLockError::Error(e)) => return Err(Error::io(path, "lock", e)),
        }
        let whole = whole_lines(&mut file).map_err(failed)?;
        let mut link = Link::first();
        let verified = read_to(path, whole, |record| {
            visit(record);
            let hash = record.get("hash").and_then(Value::as_str).unwrap_or_default();
            link = Link { seq: link.seq + 1, hash: hash.to_string() };
            Ok(())
        })?;
        let begun = whole == 0 && Link::head(path)?.is_none();
        if let Some(fault) = verified.faults.first().filter(|_| !begun) {
            let place = fault.line.map(|l| format!(":{l}")).unwrap_or_default();
            return Err(Error::Input(format!(
                "{}{place}: {}; keep it for the auditor and name another file",
                path.display(),
                fault.message
            )));
        }
        if whole < file.metadata().map_err(failed)?.len() {
            output::note(&format!(
                "{}: its last record was cut off while it was written and is removed",
                path.display()
            ));
            file.set_len(whole).map_err(failed)?;
        }
        let chain = Chain { path: path.to_path_buf(), file, link, length: whole };
        if begun {
            chain.write_head()?;
        }
        Ok(chain)
    }

    fn write_head(&self) -> Result<()> {
        let head = json!({"seq": self.link.seq, "hash": self.link.hash}).to_string() + "\n";
        output::write_durable(&head_of(&self.path), head.as_bytes())
    }

    /// Adds a record with these members, on disk when this returns. The record with its place in the chain.
    pub fn add(&mut self, members: Map<String, Value>) -> Result<Map<String, Value>> {
        let mut record = Map::new();
        let seq = self.link.seq + 1;
        record.insert("seq".into(), json!(seq));
        record.insert("previous".into(), json!(self.link.hash));
        record.extend(members);
        let body = Value::Object(record.clone()).to_string();
        let body = body.strip_suffix('}').unwrap_or(&body);
        let hash = sha256_hex(body.as_bytes());
        let line = format!("{body}{MARK}{hash}\"}}\n");
        // What a write that failed has left would spoil what follows.
        let whole = self.file.metadata().and_then(|m| match m.len() == self.length {
            true => Ok(()),
            false => self.file.set_len(self.length),
        });
        let written = whole.and_then(|()| self.file.write_all(line.as_bytes())).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Half a line would spoil what follows.
            let _ = self.file.set_len(self.length);
            return Err(Error::io(&self.path, "write", error));
        }
        self.length += line.len() as u64;
        self.link = Link { seq, hash };
        record.insert("hash".into(), json!(self.link.hash));
        // The record is on disk: a head that cannot be written does not unmake it, and the next one names it as well.
        if let Err(error) = self.write_head() {
            output::complain(&error);
        }
        Ok(record)
    }
}

/// The length of the lines that end.
fn whole_lines(file: &mut File) -> std::io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let mut lines = BufReader::new(file);
    let (mut whole, mut bytes) = (0, Vec::new());
    loop {
        bytes.clear();
        let count = lines.read_until(b'\n', &mut bytes)? as u64;
        if bytes.last() != Some(&b'\n') {
            return Ok(whole);
        }
        whole += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: u64) -> Map<String, Value> {
        let Value::Object(map) = json!({"verdict": "pass", "path": format!("{n}.jpg"), "note": "a \",\"hash\":\" b"})
        else {
            unreachable!()
        };
        map
    }

    /// A file of five records.
    fn five() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut chain = Chain::open(&path, |_| {}).unwrap();
        (1..=5).for_each(|n| assert_eq!(chain.add(record(n)).unwrap()["seq"], n));
        (folder, path)
    }

    fn faults(path: &Path) -> Vec<Fault> {
        read(path, |_| Ok(())).unwrap().faults
    }

    #[test]
    fn it_goes_on_where_it_ended() {
        let (_folder, path) = five();
        let mut seen = Vec::new();
        let mut chain = Chain::open(&path, |r| seen.push(r["path"].clone())).unwrap();
        assert_eq!(seen, ["1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg"]);
        // One process at a time.
        let second = Chain::open(&path, |_| {}).unwrap_err();
        assert!(second.to_string().contains("another process"), "{second}");
        assert_eq!(chain.add(record(6)).unwrap()["seq"], 6);
        assert_eq!(read(&path, |_| Ok(())).unwrap(), Verified { records: 6, faults: Vec::new() });
    }

    /// Every byte that changes, every line that goes, comes or moves, and every cut is found, and told of in its place.
    #[test]
    fn whatever_is_changed_is_found() {
        let (_folder, path) = five();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            let found = faults(&path);
            let line = text[..at].matches('\n').count() as u64 + 1;
            assert_eq!(found.first().and_then(|f| f.line), Some(line), "byte {at}: {found:?}");
        }
        for (change, line) in [
            (vec![0, 1, 3, 4], Some(3)),
            (vec![1, 2, 3, 4], Some(1)),
            (vec![0, 2, 1, 3, 4], Some(2)),
            (vec![0, 1, 1, 2, 3, 4], Some(3)),
            (vec![0, 1, 2, 3], None),
            (vec![], None),
        ] {
            let changed: String = change.iter().map(|&i: &usize| format!("{}\n", lines[i])).collect();
            std::fs::write(&path, changed).unwrap();
            let found = faults(&path);
            assert_eq!(found.first().map(|f| f.line), Some(line), "{change:?}: {found:?}");
            assert!(Chain::open(&path, |_| {}).is_err(), "{change:?}");
        }
        // Written anew with right hashes: the head tells; so does its absence, also where nothing is left.
        let head = std::fs::read(head_of(&path)).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::remove_file(head_of(&path)).unwrap();
        let mut chain = Chain::open(&path, |_| {}).unwrap();
        (7..=12).for_each(|n| assert_eq!(chain.add(record(n)).unwrap()["seq"], n - 6));
        drop(chain);
        assert_eq!(faults(&path), []);
        std::fs::write(head_of(&path), head).unwrap();
        assert!(faults(&path)[0].message.contains("another hash"));
        std::fs::remove_file(head_of(&path)).unwrap();
        assert!(faults(&path)[0].message.contains("is missing"));
        assert!(Chain::open(&path, |_| {}).is_err());
        std::fs::write(&path, "").unwrap();
        assert!(faults(&path)[0].message.contains("is missing"));
    }

    #[test]
    fn a_record_that_the_power_cut_off_goes() {
        let (_folder, path) = five();
        let text = std::fs::read_to_string(&path).unwrap();
        let start = text[..text.len() - 1].rfind('\n').unwrap() + 1;
        // The head is written after the record.
        let four = Link::first().next(text.lines().next().unwrap()).unwrap();
        assert_eq!(four.0.seq, 1);
        for cut in [start + 1, text.len() - 1] {
            std::fs::write(&path, &text[..cut]).unwrap();
            assert!(!faults(&path).is_empty());
            let fourth: Value = serde_json::from_str(text.lines().nth(3).unwrap()).unwrap();
            let head = json!({"seq": 4, "hash": fourth["hash"]}).to_string();
            std::fs::write(head_of(&path), head).unwrap();
            let mut chain = Chain::open(&path, |_| {}).unwrap();
            assert_eq!(chain.add(record(5)).unwrap()["seq"], 5);
            drop(chain);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
