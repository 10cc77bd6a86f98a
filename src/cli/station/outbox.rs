//! Telling others of each record: the audit file is the queue. How far it was told stands in a file beside it, so that what an
//! absent receiver missed is told when it is back, also after a restart. A record may come twice, never out of order.

use crate::cli::output;
use crate::error::{Error, Result};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

/// The shortest and the longest time between two tries to tell a record.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// At the end so long is waited for what is not told yet.
const FAREWELL: Duration = Duration::from_secs(10);

/// Tells one record, a JSON text, and returns when it is taken.
pub type Tell = Box<dyn FnMut(&str) -> Result<()> + Send>;

/// A thread that follows an audit file and tells each record.
#[derive(Debug)]
pub struct Outbox {
    wake: Sender<()>,
    /// How often it was woken, and how many of these wakings are dealt with.
    woken: Arc<AtomicU64>,
    dealt: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Outbox {
    /// Begins to follow `audit`. `name` tells receivers apart: the place reached is kept in `AUDIT.name`. A receiver that is new is
    /// told of what comes from now on.
    pub fn start(audit: &Path, name: &str, tell: Tell) -> Result<Self> {
        let cursor = Cursor::open(audit, name)?;
        let (wake, calls) = mpsc::channel();
        let (woken, dealt, stop) =
            (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let mut follower = Follower {
            cursor,
            tell,
            calls,
            woken: woken.clone(),
            dealt: dealt.clone(),
            stop: stop.clone(),
            away: false,
        };
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || follower.run());
        thread.map_err(|e| Error::Internal(format!("starting a thread: {e}")))?;
        Ok(Outbox { wake, woken, dealt, stop })
    }

    /// Says that there is a new record.
    pub fn wake(&self) {
        self.woken.fetch_add(1, Ordering::AcqRel);
        let _ = self.wake.send(());
    }

    /// Waits until everything is told, or for a while: what an absent receiver did not take it is told after the next start.
    pub fn finish(&self) {
        let end = Instant::now() + FAREWELL;
        let all = self.woken.load(Ordering::Acquire);
        while self.dealt.load(Ordering::Acquire) < all && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.stop.store(true, Ordering::Release);
        let _ = self.wake.send(());
    }
}

/// How far an audit file was told.
#[derive(Debug)]
struct Cursor {
    audit: PathBuf,
    file: PathBuf,
    offset: u64,
}

impl Cursor {
    fn open(audit: &Path, name: &str) -> Result<Self> {
        let mut file = audit.as_os_str().to_os_string();
        file.push(format!(".{name}"));
        let file = PathBuf::from(file);
        let length = audit.metadata().map_or(0, |m| m.len());
        let offset = match std::fs::read_to_string(&file) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => length,
            other => {
                let text = other.map_err(|e| Error::io(&file, "read", e))?;
                let value: Option<Value> = serde_json::from_str(&text).ok();
                match value.and_then(|v| v["offset"].as_u64()) {
                    // Behind the end of a file that was begun anew everything is new.
                    Some(offset) if offset > length => 0,
                    Some(offset) => offset,
                    None => {
                        output::note(&format!(
                            "{}: expected an offset; what comes from now on is told",
                            file.display()
                        ));
                        length
                    }
                }
            }
        };
        let cursor = Cursor { audit: audit.to_path_buf(), file, offset };
        // A full disk stops no inspection.
        cursor.save().unwrap_or_else(|e| output::complain(&e));
        Ok(cursor)
    }

    fn save(&self) -> Result<()> {
        output::write_durable(&self.file, (json!({"offset": self.offset}).to_string() + "\n").as_bytes())
    }

    /// The next whole line, without its end; none yet.
    fn next(&self) -> Result<Option<String>> {
        let failed = |e| Error::io(&self.audit, "read", e);
        let mut file = File::open(&self.audit).map_err(failed)?;
        file.seek(SeekFrom::Start(self.offset)).map_err(failed)?;
        let mut line = String::new();
        BufReader::new(file).read_line(&mut line).map_err(failed)?;
        Ok(line.ends_with('\n').then_some(line))
    }
}

struct Follower {
    cursor: Cursor,
    tell: Tell,
    calls: mpsc::Receiver<()>,
    woken: Arc<AtomicU64>,
    dealt: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    /// Whether it was said that the receiver is away.
    away: bool,
}

impl Follower {
    fn run(&mut self) {
        let mut pause = PAUSES.0;
        while !self.stop.load(Ordering::Acquire) {
            let woken = self.woken.load(Ordering::Acquire);
            match self.step() {
                Ok(true) => pause = PAUSES.0,
                Ok(false) => {
                    self.dealt.store(woken, Ordering::Release);
                    if self.calls.recv().is_err() {
                        return;
                    }
                }
                Err(error) => {
                    if !self.away {
                        output::note(&format!("error: {}; it is told again and again", error.one_line()));
                        self.away = true;
                    }
                    self.sleep(pause);
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    /// Waits, but not when it is to stop.
    fn sleep(&self, pause: Duration) {
        let end = Instant::now() + pause;
        while Instant::now() < end && !self.stop.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Tells the next record; whether there was one.
    fn step(&mut self) -> Result<bool> {
        let Some(line) = self.cursor.next()? else { return Ok(false) };
        (self.tell)(line.trim_end())?;
        if std::mem::take(&mut self.away) {
            output::note(&format!("{}: records are told again", self.cursor.file.display()));
        }
        self.cursor.offset += line.len() as u64;
        // If it cannot be written, records come twice after a restart.
        self.cursor.save().unwrap_or_else(|e| output::complain(&e));
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::Mutex;

    #[test]
    fn an_absent_receiver_misses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let audit = folder.path().join("audit.jsonl");
        std::fs::write(&audit, "before\n").unwrap();
        let add = |text: &str| {
            let mut file = std::fs::OpenOptions::new().append(true).open(&audit).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        let told = Arc::new(Mutex::new(Vec::new()));
        let start = |fails: usize| {
            let (told, mut left) = (told.clone(), fails);
            let tell = move |record: &str| {
                left = left.saturating_sub(1);
                if left > 0 {
                    return Err(Error::Server("away".into()));
                }
                told.lock().unwrap().push(record.to_string());
                Ok(())
            };
            Outbox::start(&audit, "test", Box::new(tell)).unwrap()
        };
        let outbox = start(2);
        add("one\nhal");
        outbox.wake();
        outbox.finish();
        add("f\n");
        // As after a restart.
        let outbox = start(0);
        outbox.wake();
        outbox.finish();
        assert_eq!(*told.lock().unwrap(), ["one", "half"]);
        // A file that was begun anew.
        std::fs::write(&audit, "new\n").unwrap();
        let outbox = start(0);
        outbox.wake();
        outbox.finish();
        assert_eq!(told.lock().unwrap().last().unwrap(), "new");
    }
}
