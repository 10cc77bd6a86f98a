//! A station: parts are judged by a recipe, put on record, kept, and told of. `watch` and `serve` bring the parts.
//!
//! A part is judged when its record is on disk in the audit file. The sidecar and pictures are written before that, and written
//! again after a crash; what comes after it (the move, the broker, the controller) is made up for.

#[cfg(feature = "serve")]
mod history;
#[cfg(feature = "line")]
mod modbus;
mod outbox;
mod store;

#[cfg(feature = "serve")]
pub use history::Remembered;
pub use store::{Bounds, VERDICTS};

use super::audit::chain::Chain;
use super::audit::entry::{self, Key, Subject};
use super::recipes::Loaded;
use super::{Outcome, output};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::input::{self, Limits};
use crate::models::sha256_hex;
use crate::remote::Webhook;
#[cfg(feature = "line")]
use crate::remote::mqtt;
use crate::report::{draw, json, overlay};
use crate::tasks::inspect::{Inspection, Verdict};
#[cfg(feature = "serve")]
use history::History;
use outbox::Outbox;
use regex_automata::meta::Regex;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
#[cfg(feature = "serve")]
use std::sync::MutexGuard;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use store::{Files, Store};

/// What is said to be the verdict of a file that could not be inspected.
const UNREADABLE: &str = "error";

/// Where a part's serial number comes from, if nobody tells it.
#[derive(Debug, Clone, Default)]
pub struct Serial {
    /// What of a file's name: the first group of the expression, or all of it.
    pub pattern: Option<Regex>,
    /// The region of method `text` that shows it.
    pub region: Option<String>,
}

impl Serial {
    /// Of the options.
    pub fn new(pattern: Option<&str>, region: Option<String>) -> Result<Self> {
        let pattern = pattern.map(Regex::new).transpose();
        let wrong = |e: regex_automata::meta::BuildError| {
            let why = std::error::Error::source(&e).map_or(e.to_string(), |cause| cause.to_string());
            Error::Usage(format!("--serial-pattern: {}", why.split_whitespace().collect::<Vec<_>>().join(" ")))
        };
        Ok(Serial { pattern: pattern.map_err(wrong)?, region })
    }
}

/// How a station is set up.
#[derive(Debug)]
pub struct Settings {
    /// Where records and pictures are kept.
    pub out: PathBuf,
    /// The audit file; `audit.jsonl` in `out` if absent.
    pub audit: Option<PathBuf>,
    /// Who works there, if nobody says.
    pub operator: Option<String>,
    /// See there.
    pub serial: Serial,
    /// See there.
    pub bounds: Bounds,
    /// Who is told.
    pub told: Told,
}

/// Who is told of each part.
#[derive(Debug, Default)]
pub struct Told {
    /// Address that records are sent to by POST.
    pub webhook: Option<String>,
    /// Broker and topic.
    #[cfg(feature = "line")]
    pub mqtt: Option<String>,
    /// Where controllers connect to.
    #[cfg(feature = "line")]
    pub modbus: Option<std::net::SocketAddr>,
}

#[cfg(feature = "serve")]
impl Told {
    /// Whether anybody is.
    pub fn is_any(&self) -> bool {
        #[cfg(feature = "line")]
        let more = self.mqtt.is_some() || self.modbus.is_some();
        #[cfg(not(feature = "line"))]
        let more = false;
        more || self.webhook.is_some()
    }
}

/// Where the photograph of a part is.
#[derive(Debug, Clone, Copy)]
pub enum Photograph<'a> {
    /// In a file that stays.
    Stays,
    /// In a file that is taken into the store, if it is still as it was.
    Taken(&'a Path),
    /// In memory only.
    #[cfg(feature = "serve")]
    Sent(&'a [u8]),
}

/// A part that was looked at.
#[derive(Debug)]
pub struct Part<'a> {
    /// Its file.
    pub key: &'a Key,
    /// The file's name, in which the serial number may stand.
    pub name: &'a str,
    /// SHA-256 of a file that could not be inspected.
    pub sha256: Option<&'a str>,
    /// The photograph.
    pub photograph: Photograph<'a>,
    /// By what it is judged.
    pub recipe: &'a Loaded,
    /// Its serial number, if somebody told it.
    pub serial: Option<&'a str>,
    /// Who works there, if somebody told.
    pub operator: Option<&'a str>,
    /// What its sender calls the request.
    pub request: Option<&'a str>,
    /// The controller's trigger that it is inspected for.
    #[cfg_attr(not(feature = "line"), allow(dead_code))]
    pub trigger: Option<u32>,
}

/// What was found in a photograph.
#[derive(Debug)]
pub struct Looked {
    /// SHA-256 of the file.
    pub sha256: String,
    /// See there.
    pub inspection: Inspection,
    /// How long it took.
    pub ms: f64,
    /// The picture with the findings, as PNG, if it is to be kept.
    findings: Option<Vec<u8>>,
}

/// What came of a part.
#[derive(Debug)]
pub struct Judged {
    /// The record; without `seq` if it could not be put down.
    pub record: Map<String, Value>,
    /// `pass`, `fail`, `misplaced`, or `error`.
    #[cfg_attr(not(feature = "serve"), allow(dead_code))]
    pub verdict: &'static str,
    /// For the exit code.
    pub outcome: Outcome,
}

/// See the module.
#[derive(Debug)]
pub struct Station {
    operator: Option<String>,
    serial: Serial,
    store: Store,
    chain: Mutex<Chain>,
    /// Apart from the chain, whose writing waits for the disk.
    #[cfg(feature = "serve")]
    history: Mutex<History>,
    outboxes: Vec<Outbox>,
    #[cfg(feature = "line")]
    controller: Option<modbus::Controller>,
}

impl Station {
    /// Opens a station; `visit` gets each record that is there.
    ///
    /// # Errors
    /// An audit file that is not intact or in use, a folder that cannot be written, an address that is none or taken.
    pub fn open(settings: Settings, mut visit: impl FnMut(&Map<String, Value>)) -> Result<Self> {
        let Settings { out, audit, operator, serial, bounds, told } = settings;
        output::check_folder(&out)?;
        let audit = audit.unwrap_or_else(|| out.join("audit.jsonl"));
        // Asked before anything begins: an address that is none should not leave a station half open.
        let webhook = told.webhook.as_deref().map(Webhook::new).transpose()?;
        #[cfg(feature = "line")]
        let broker = told.mqtt.as_deref().map(mqtt::Address::parse).transpose()?;
        #[cfg(feature = "serve")]
        let mut history = History::default();
        let chain = Chain::open(&audit, |record| {
            #[cfg(feature = "serve")]
            history.add(record);
            visit(record);
        })?;
        let mut outboxes = Vec::new();
        if let Some(webhook) = webhook {
            outboxes.push(Outbox::start(&audit, "webhook", Box::new(move |record| webhook.send(record)))?);
        }
        #[cfg(feature = "line")]
        if let Some(broker) = broker {
            let mut publisher = mqtt::Publisher::start(broker)?;
            outboxes.push(Outbox::start(&audit, "mqtt", Box::new(move |record| publisher.tell(record)))?);
        }
        outboxes.iter().for_each(Outbox::wake);
        Ok(Station {
            operator,
            serial,
            store: Store::open(&out, bounds),
            chain: Mutex::new(chain),
            #[cfg(feature = "serve")]
            history: Mutex::new(history),
            outboxes,
            #[cfg(feature = "line")]
            controller: told.modbus.map(modbus::Controller::listen).transpose()?,
        })
    }

    /// Looks at a photograph; from any thread.
    pub fn look(&self, recipe: &Loaded, name: &str, bytes: &[u8], limits: &Limits) -> Result<Looked> {
        let photo = input::decode(name, bytes, limits)?;
        let start = Instant::now();
        let inspection = recipe.inspector.inspect(&photo)?;
        let ms = start.elapsed().as_secs_f64() * 1000.0;
        let sha256 = sha256_hex(bytes);
        let findings =
            self.store.wants(json::verdict(inspection.verdict), &sha256).then(|| findings(&photo, &inspection));
        Ok(Looked { sha256, findings: findings.transpose()?, inspection, ms })
    }

    /// Puts down what came of a part, one after the other.
    ///
    /// A full disk stops nothing but storage: the verdict is there all the same, and what could not be written is said.
    pub fn judge(&self, part: &Part, result: Result<&Looked, &Error>) -> Result<Judged> {
        let (mut outcome, verdict) = match result {
            Ok(looked) if looked.inspection.verdict == Verdict::Pass => (Outcome::Pass, "pass"),
            Ok(looked) => (Outcome::Fail, json::verdict(looked.inspection.verdict)),
            Err(_) => (Outcome::Error, UNREADABLE),
        };
        let looked = result.ok();
        let serial = part.serial.map(str::to_string).or_else(|| self.serial_of(part, looked.map(|l| &l.inspection)));
        // What could not be read is moved aside, but there is nothing to keep of it.
        let wanted = looked.is_none_or(|l| l.findings.is_some());
        let name = wanted.then(|| self.store.name(verdict, part.key));
        let subject = Subject {
            key: part.key,
            sha256: looked.map(|l| l.sha256.as_str()).or(part.sha256),
            serial: serial.as_deref(),
            recipe: (&part.recipe.name, &part.recipe.sha256),
            model: part.recipe.recipe.model.as_ref().map(|m| m.sha256.as_str()),
            operator: part.operator.or(self.operator.as_deref()),
            stored: name.as_deref(),
        };
        let mut record = entry::inspection(&subject, result.map(|l| (&l.inspection, l.ms)))?;
        record.extend(part.request.map(|request| ("request".to_string(), Value::from(request))));
        if let Some(name) = &name {
            let sidecar = Value::Object(record.clone()).to_string() + "\n";
            let photograph = match part.photograph {
                #[cfg(feature = "serve")]
                Photograph::Sent(bytes) => Some(bytes),
                Photograph::Stays | Photograph::Taken(_) => None,
            };
            let findings = looked.and_then(|l| l.findings.as_deref());
            if let Err(error) = self.store.put(name, &Files { record: sidecar.as_bytes(), findings, photograph }) {
                output::complain(&error);
                record.insert("stored".into(), Value::Null);
            }
        }
        if let Photograph::Taken(file) = part.photograph {
            // Who wrote it may not have waited until it was on disk; its record is about to be.
            let _ = std::fs::File::open(file).and_then(|f| f.sync_all());
        }
        let record = self.put_down(record);
        if let Photograph::Taken(file) = part.photograph {
            let stored = record.get("stored").and_then(Value::as_str);
            // Without room, or without a record, it stays where it is; so does another that was put in its place.
            if (stored.is_some() || !wanted) && record.contains_key("seq") && part.key.is_of(file) {
                outcome = if self.take(file, stored) { outcome } else { Outcome::Error };
            }
        }
        #[cfg(feature = "line")]
        self.controller.iter().for_each(|c| c.end(&record, part.trigger));
        Ok(Judged { record, verdict, outcome })
    }

    /// Adds a record to the audit file, and tells of it. What cannot be added is said and comes back as it was.
    pub fn put_down(&self, members: Map<String, Value>) -> Map<String, Value> {
        let mut chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        match chain.add(members.clone()) {
            Ok(record) => {
                #[cfg(feature = "serve")]
                self.history().add(&record);
                self.outboxes.iter().for_each(Outbox::wake);
                record
            }
            Err(error) => {
                output::complain(&error);
                members
            }
        }
    }

    /// Takes a photograph into the store under that name, or removes it where there is none; whether that could be done.
    pub fn take(&self, file: &Path, stored: Option<&str>) -> bool {
        self.store.take(file, stored).map_err(|e| output::complain(&e)).is_ok()
    }

    /// The serial number of a part, from the file's name or from what a region shows.
    fn serial_of(&self, part: &Part, inspection: Option<&Inspection>) -> Option<String> {
        if let Some(region) = &self.serial.region {
            let shown = inspection?.regions.iter().find(|r| r.name == *region)?;
            return shown.text.clone();
        }
        let pattern = self.serial.pattern.as_ref()?;
        let mut found = pattern.create_captures();
        pattern.captures(part.name, &mut found);
        let span = found.get_group(1).or_else(|| found.get_group(0))?;
        Some(part.name[span.range()].to_string())
    }

    #[cfg(feature = "serve")]
    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for those who are told, for a while.
    pub fn finish(&self) {
        self.outboxes.iter().for_each(Outbox::finish);
    }
}

/// For `watch`: what a controller asks for and sees.
#[cfg(feature = "line")]
impl Station {
    /// The controller, if one may connect.
    pub fn controller(&self) -> Option<&modbus::Controller> {
        self.controller.as_ref()
    }
}

/// For the kiosk: what is remembered.
#[cfg(feature = "serve")]
impl Station {
    /// See [`History::newer`].
    pub fn newer(&self, after: u64, limit: usize) -> (u64, Vec<Value>) {
        self.history().newer(after, limit)
    }

    /// See [`History::part`].
    pub fn part(&self, seq: u64) -> Option<Remembered> {
        self.history().part(seq).cloned()
    }

    /// See [`History::answered`].
    pub fn answered(&self, request: &str) -> Option<Remembered> {
        self.history().answered(request).cloned()
    }

    /// See [`History::counters`].
    pub fn counters(&self, recipe: Option<&str>) -> Value {
        self.history().counters(recipe)
    }

    /// The file of a part that is kept, with `png` or `json`, or the photograph where `ending` is empty.
    pub fn file(&self, stored: &str, ending: &str) -> PathBuf {
        self.store.file(stored, ending)
    }

    /// Bytes that are kept, the quota, and whether there was no room for the last part.
    pub fn kept(&self) -> (u64, Option<u64>, bool) {
        let (used, full) = self.store.used();
        (used, self.store.bounds().quota, full)
    }

    /// Whether the disk has room for so many bytes more.
    ///
    /// # Errors
    /// It has not.
    pub fn check_room(&self, bytes: u64) -> Result<()> {
        self.store.check_room(bytes)
    }

    /// Who works there, if nobody says.
    pub fn operator(&self) -> Option<&str> {
        self.operator.as_deref()
    }
}

fn findings(photo: &Image, inspection: &Inspection) -> Result<Vec<u8>> {
    draw::png(&overlay::inspection(photo, inspection)?)
}
