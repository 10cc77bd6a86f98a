//! What was worked out about files, kept between runs in one file.
//!
//! The file is a log: [`MAGIC`], then records, each with its length and checksum, written at the end and never changed. A
//! crash can only cut off the last record, which the next run drops. Records that are superseded are dropped when they are
//! more than the others, by writing the file anew beside its place and renaming it.

use super::files::File;
use crate::cli::output;
use crate::error::{Error, Result};
use crate::tasks::dedup::hash::Hash;
use crate::tasks::dedup::{Print, Small};
use std::collections::HashMap;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// First bytes of the file; the number goes up when the records change.
const MAGIC: &[u8] = b"ocellus dedup 1\n";
/// A record longer than this is damage: the longest path and a small picture are far below.
const LONGEST: usize = 1 << 20;
/// What is known is handed to the system at least this often.
const FLUSH: Duration = Duration::from_millis(500);

/// What is known of one file.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// SHA-256 of its bytes.
    Content([u8; 32]),
    /// Its perceptual hash and what belongs to it.
    Print(Print),
}

/// Where a small picture lies in the cache's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u64);

/// Path, and the algorithm of the fact.
type Key = (Vec<u8>, String);

struct Entry {
    size: u64,
    modified: i64,
    fact: Fact,
    at: u64,
    length: u64,
}

/// The open cache.
pub struct Cache {
    file: BufWriter<std::fs::File>,
    path: Option<PathBuf>,
    entries: HashMap<Key, Entry>,
    end: u64,
    flushed: Instant,
}

impl Cache {
    /// A cache that lasts as long as this run.
    pub fn temporary() -> Result<Self> {
        let file = tempfile::tempfile().map_err(|e| Error::io(std::env::temp_dir(), "write to", e))?;
        let mut cache = Cache::over(file, None);
        cache.write(MAGIC)?;
        Ok(cache)
    }

    /// Opens or makes the cache in the file `path` and keeps other runs away from it.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |e| Error::io(path, "open", e);
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "create", e))?;
        }
        let options = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        let file = options.open(path).map_err(failed)?;
        lock(&file, path)?;
        let mut cache = Cache::over(file, Some(path.to_path_buf()));
        cache.read()?;
        Ok(cache)
    }

    /// Opens the cache that the user did not name; one that cannot be written is no reason to stop.
    pub fn open_or_temporary(path: &Path) -> Result<Self> {
        match Cache::open(path) {
            Err(error @ Error::Io { .. }) => {
                output::note(&format!("{}: hashes are not kept (--cache FILE names another place)", error.one_line()));
                Cache::temporary()
            }
            opened => opened,
        }
    }

    fn over(file: std::fs::File, path: Option<PathBuf>) -> Self {
        Cache { file: BufWriter::new(file), path, entries: HashMap::new(), end: 0, flushed: Instant::now() }
    }

    fn failed(&self, action: &'static str) -> impl Fn(std::io::Error) -> Error + use<> {
        let path = self.path.clone().unwrap_or_else(std::env::temp_dir);
        move |e| Error::io(&path, action, e)
    }

    /// Reads all records; what follows the first that is damaged is cut off.
    fn read(&mut self) -> Result<()> {
        let failed = self.failed("read");
        let length = self.file.get_ref().metadata().map_err(&failed)?.len();
        if length == 0 {
            return self.write(MAGIC);
        }
        let mut reader = BufReader::with_capacity(1 << 20, self.file.get_ref());
        let mut magic = vec![0; MAGIC.len()];
        let whole = reader.read_exact(&mut magic).is_ok();
        if !whole && MAGIC.starts_with(&magic[..length as usize]) {
            // A crash within the first write.
            self.file.get_ref().set_len(0).map_err(&failed)?;
            return self.write(MAGIC);
        }
        if magic != MAGIC {
            return Err(Error::Usage(format!(
                "{}: is not a cache of this version of ocellus dedup; name another file with --cache",
                self.path.as_deref().unwrap_or(Path::new("")).display()
            )));
        }
        let (mut at, mut all, mut entries) = (MAGIC.len() as u64, 0u64, HashMap::new());
        while let Some(record) = next_record(&mut reader) {
            let length = record.len() as u64 + HEAD as u64;
            if let Some((key, mut entry)) = decode(&record) {
                (entry.at, entry.length) = (at, length);
                entries.insert(key, entry);
            }
            at += length;
            all += length;
        }
        self.entries = entries;
        if at < length {
            log::debug!("the cache's last {} bytes are damaged and dropped", length - at);
            self.file.get_ref().set_len(at).map_err(&failed)?;
        }
        self.file.seek(SeekFrom::Start(at)).map_err(&failed)?;
        self.end = at;
        let live: u64 = self.entries.values().map(|e| e.length).sum();
        if live < all / 2 { self.rewrite() } else { Ok(()) }
    }

    /// Writes the file anew with the records that still count.
    fn rewrite(&mut self) -> Result<()> {
        let Some(path) = self.path.clone() else { return Ok(()) };
        let failed = self.failed("write");
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let fresh = tempfile::Builder::new().prefix(".ocellus-").tempfile_in(folder).map_err(&failed)?;
        let mut out = BufWriter::new(fresh);
        out.write_all(MAGIC).map_err(&failed)?;
        let mut live: Vec<&mut Entry> = self.entries.values_mut().collect();
        live.sort_by_key(|e| e.at);
        let mut end = MAGIC.len() as u64;
        let old = self.file.get_mut();
        for entry in live {
            let mut record = vec![0; entry.length as usize];
            old.seek(SeekFrom::Start(entry.at)).and_then(|_| old.read_exact(&mut record)).map_err(&failed)?;
            out.write_all(&record).map_err(&failed)?;
            entry.at = end;
            end += entry.length;
        }
        let fresh = out.into_inner().map_err(|e| failed(e.into_error()))?;
        fresh.as_file().sync_data().map_err(&failed)?;
        // Locked before it has its name: no other run can come in between.
        lock(fresh.as_file(), &path)?;
        let file = fresh.persist(&path).map_err(|e| failed(e.error))?;
        self.file = BufWriter::new(file);
        self.end = end;
        Ok(())
    }

    /// What is known of `file` by `algorithm`, if it has not changed since.
    pub fn get(&self, file: &File, algorithm: &str) -> Option<&Fact> {
        let entry = self.entries.get(&(key(&file.path), algorithm.to_string()))?;
        (entry.size == file.size && entry.modified == file.modified).then_some(&entry.fact)
    }

    /// Keeps `fact`, with the small picture that belongs to a print.
    pub fn put(&mut self, file: &File, algorithm: &str, fact: Fact, small: Option<&Small>) -> Result<()> {
        let key = (key(&file.path), algorithm.to_string());
        let payload = encode(&key, file, &fact, small);
        let mut record = Vec::with_capacity(payload.len() + HEAD);
        record.extend((payload.len() as u32).to_le_bytes());
        record.extend(crc32fast::hash(&payload).to_le_bytes());
        record.extend(payload);
        let (at, length) = (self.end, record.len() as u64);
        self.write(&record)?;
        self.entries.insert(key, Entry { size: file.size, modified: file.modified, fact, at, length });
        self.flush_in_time()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(self.failed("write"))?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Hands what was put to the system if the last time was long ago.
    pub fn flush_in_time(&mut self) -> Result<()> {
        if self.flushed.elapsed() < FLUSH { Ok(()) } else { self.flush() }
    }

    /// Hands what was put to the system.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(self.failed("write"))?;
        self.flushed = Instant::now();
        Ok(())
    }

    /// Where the small picture of `file` lies.
    pub fn place(&self, file: &File, algorithm: &str) -> Option<Place> {
        let entry = self.entries.get(&(key(&file.path), algorithm.to_string()))?;
        Some(Place(entry.at + entry.length - Small::BYTES as u64))
    }

    /// Reads the small picture at `place`. All that was put must have been flushed.
    pub fn small(&self, place: Place) -> Result<Small> {
        let mut bytes = vec![0; Small::BYTES];
        read_at(self.file.get_ref(), &mut bytes, place.0).map_err(self.failed("read"))?;
        Ok(Small::from_bytes(bytes))
    }
}

/// Bytes before a record's payload: its length and its CRC-32.
const HEAD: usize = 8;

fn next_record(reader: &mut impl Read) -> Option<Vec<u8>> {
    let mut head = [0; HEAD];
    reader.read_exact(&mut head).ok()?;
    let [a, b, c, d, crc @ ..] = head;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length > LONGEST {
        return None;
    }
    let mut payload = vec![0; length];
    reader.read_exact(&mut payload).ok()?;
    (crc32fast::hash(&payload) == u32::from_le_bytes(crc)).then_some(payload)
}

/// Path, algorithm, size, time, then the fact; a print ends with its small picture.
fn encode((path, algorithm): &Key, file: &File, fact: &Fact, small: Option<&Small>) -> Vec<u8> {
    let mut out = Vec::new();
    for text in [path.as_slice(), algorithm.as_bytes()] {
        out.extend((text.len() as u32).to_le_bytes());
        out.extend(text);
    }
    out.extend(file.size.to_le_bytes());
    out.extend(file.modified.to_le_bytes());
    match fact {
        Fact::Content(hash) => out.extend(hash),
        Fact::Print(print) => {
            out.extend(print.width.to_le_bytes());
            out.extend(print.height.to_le_bytes());
            out.extend(print.detail.to_le_bytes());
            out.extend((print.hashes.len() as u32).to_le_bytes());
            print.hashes.iter().flat_map(|h| h.0).for_each(|word| out.extend(word.to_le_bytes()));
            out.extend(small.map_or(&[][..], Small::bytes));
        }
    }
    out
}

fn decode(payload: &[u8]) -> Option<(Key, Entry)> {
    let mut rest = payload;
    let mut text = || -> Option<Vec<u8>> {
        let length = u32::from_le_bytes(take(&mut rest)?) as usize;
        let (text, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(text.to_vec())
    };
    let (path, algorithm) = (text()?, String::from_utf8(text()?).ok()?);
    let size = u64::from_le_bytes(take(&mut rest)?);
    let modified = i64::from_le_bytes(take(&mut rest)?);
    let fact = if algorithm == CONTENT {
        Fact::Content(take(&mut rest)?)
    } else {
        let (width, height) = (u32::from_le_bytes(take(&mut rest)?), u32::from_le_bytes(take(&mut rest)?));
        let detail = f32::from_le_bytes(take(&mut rest)?);
        let count = u32::from_le_bytes(take(&mut rest)?);
        let mut hash = || -> Option<Hash> {
            let mut hash = Hash::default();
            for word in &mut hash.0 {
                *word = u64::from_le_bytes(take(&mut rest)?);
            }
            Some(hash)
        };
        let hashes = (0..count).map(|_| hash()).collect::<Option<_>>()?;
        if rest.len() != Small::BYTES {
            return None;
        }
        Fact::Print(Print { hashes, width, height, detail })
    };
    Some(((path, algorithm), Entry { size, modified, fact, at: 0, length: 0 }))
}

/// The algorithm of [`Fact::Content`].
pub const CONTENT: &str = "sha256";

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*head)
}

/// Files are known by their absolute path.
fn key(path: &Path) -> Vec<u8> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    path.as_os_str().as_encoded_bytes().to_vec()
}

fn lock(file: &std::fs::File, path: &Path) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::Usage(format!(
            "{}: another run uses this cache; wait for it, name another file with --cache, or use --no-cache",
            path.display()
        ))),
        // Some file systems know no locks.
        Err(std::fs::TryLockError::Error(_)) => Ok(()),
    }
}

#[cfg(unix)]
fn read_at(file: &std::fs::File, bytes: &mut [u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(windows)]
fn read_at(file: &std::fs::File, mut bytes: &mut [u8], mut at: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, at)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => (bytes, at) = (&mut bytes[n..], at + n as u64),
        }
    }
    Ok(())
}
