//! `label remote`: pictures from files to the labelling server.

use super::classes::Symbols;
use super::run::Labelled;
use crate::cli::{batch, output};
use crate::dataset::Object;
use crate::dataset::fuse::fuse;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::input::{self, Limits, Source};
use crate::remote::{Ask, Client, Found, Key, LeftOut, Options, Picture, Prompts, Wanted, mime, with_exemplars};
use crate::report::draw;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

/// The variable that a key may be in; unlike an argument it is not shown in the list of processes.
const KEY_VARIABLE: &str = "OCELLUS_LABEL_KEY";

/// What the arguments say of the server.
#[derive(Debug)]
pub struct Service<'a> {
    /// `--server`
    pub server: &'a str,
    /// `--key`
    pub key: Option<&'a str>,
    /// `--ca`
    pub ca: Option<&'a Path>,
    /// `--timeout`, in seconds.
    pub timeout: u64,
    /// `--retries`
    pub retries: u32,
}

impl Service<'_> {
    /// A client of it; nothing is sent yet.
    pub fn client(&self) -> Result<Client> {
        if !(1..=86_400).contains(&self.timeout) {
            return Err(Error::Usage(format!("--timeout is {}, expected 1 to 86400 seconds", self.timeout)));
        }
        if self.retries > 100 {
            return Err(Error::Usage(format!("--retries is {}, expected 0 to 100", self.retries)));
        }
        let variable = std::env::var(KEY_VARIABLE).ok().filter(|key| !key.is_empty());
        let key = self.key.map(str::to_string).or(variable);
        let read = |path| std::fs::read(path).map_err(|e| Error::io(path, "read", e));
        Client::new(Options {
            key: key.as_deref().map(Key::new).transpose()?,
            ca: self.ca.map(read).transpose()?,
            timeout: Duration::from_secs(self.timeout),
            retries: self.retries,
            ..Options::new(self.server)
        })
    }
}

/// What is looked for.
#[derive(Debug)]
pub enum Search {
    /// Prompts, all in one request a picture.
    Words(Prompts),
    /// Classes with their examples; a request a class and picture.
    Examples(Vec<(usize, Vec<Image>)>),
}

/// Labels pictures by a server. Shared by threads.
#[derive(Debug)]
pub struct Labeller {
    client: Client,
    wanted: Wanted,
    search: Search,
    limits: Limits,
    left_out: Mutex<LeftOut>,
}

impl Labeller {
    /// Makes sure that the server is there and has the model, and says which prompts are not sent as they were given.
    pub fn new(client: Client, wanted: Wanted, search: Search, limits: Limits) -> Result<Self> {
        if let Search::Words(prompts) = &search {
            for (given, sent) in prompts.changed() {
                output::note(&format!("the prompt {given:?} is sent as {sent:?}, since the server would split it"));
            }
        }
        client.check(&wanted.model)?;
        Ok(Labeller { client, wanted, search, limits, left_out: Mutex::default() })
    }

    /// A picture and the objects in it. [`Error::Server`] if it was not looked at and is to be asked for again; other errors are
    /// the picture's own.
    pub fn label(&self, source: &Source) -> Result<(Image, Vec<Object>)> {
        let bytes = source.read()?;
        // Decoded here too: what is no picture does not leave the house, and boxes are cut to the upright picture.
        let image = input::decode(&source.name(), &bytes, &self.limits)?;
        let size = (image.width(), image.height());
        let objects = match &self.search {
            Search::Words(prompts) => {
                let ask = Ask::Text(prompts);
                match mime(&bytes) {
                    Some(mime) => self.ask(&Picture { mime, bytes: &bytes, size }, &ask)?,
                    None => self.ask(&Picture { mime: "image/png", bytes: &draw::png(&image)?, size }, &ask)?,
                }
            }
            Search::Examples(classes) => {
                let mut objects = Vec::new();
                for (class, templates) in classes {
                    let wide = with_exemplars(&image, templates)?;
                    let sent = (wide.image.width(), wide.image.height());
                    let ask = Ask::Exemplars { class: *class, marks: &wide.marks, sent };
                    let picture = Picture { mime: "image/png", bytes: &draw::png(&wide.image)?, size };
                    objects.extend(self.ask(&picture, &ask)?);
                }
                objects
            }
        };
        Ok((image, objects))
    }

    fn ask(&self, picture: &Picture, ask: &Ask) -> Result<Vec<Object>> {
        let Found { objects, left_out } = self.client.predict(picture, ask, &self.wanted)?;
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner).add(&left_out);
        Ok(objects)
    }

    /// Whether no further picture will be answered, so that the run should end.
    pub fn has_stopped(&self) -> bool {
        self.client.has_stopped()
    }

    /// What came from the server and could not become an object, in words; none if there is nothing.
    pub fn left_out(&self) -> Option<String> {
        let left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        (!left_out.is_empty()).then(|| format!("left out of the server's answers: {left_out}"))
    }
}

/// How a batch runs that has `jobs` requests side by side; template matching beside it has all cores.
pub fn options(jobs: usize, quiet: bool, max_pixels: u64) -> Result<batch::Options> {
    match jobs {
        1..=64 => Ok(batch::Options { threads: jobs, ..batch::Options::new(None, quiet, max_pixels)? }),
        _ => Err(Error::Usage(format!("--jobs is {jobs}, expected 1 to 64"))),
    }
}

/// `--fallback`
#[derive(Debug)]
pub struct Fallback;

impl FromStr for Fallback {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        (text == "templates").then_some(Fallback).ok_or_else(|| format!("{text:?}: expected templates"))
    }
}

/// The server, and template matching beside it or in its place.
#[derive(Debug)]
pub struct Team<'a> {
    /// Template matching, for `merge` and `fallback`.
    pub symbols: Option<Symbols>,
    /// Join what both find.
    pub merge: bool,
    /// Do without the server where it is away.
    pub fallback: bool,
    /// Names of the classes.
    pub classes: &'a [String],
    /// Said once.
    pub away: Once,
}

impl Team<'_> {
    /// The labeller, or none if the server is away from the beginning and that is to be borne.
    pub fn engage(&self, labeller: Result<Labeller>) -> Result<Option<Labeller>> {
        match labeller {
            Ok(labeller) => Ok(Some(labeller)),
            Err(Error::Server(message)) if self.fallback => {
                output::note(&format!("{message}; labelling by templates on this machine"));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Labels a picture.
    pub fn label(&self, labeller: Option<&Labeller>, source: &Source, limits: &Limits) -> Result<Labelled> {
        let found = match labeller {
            Some(labeller) => labeller.label(source),
            None => Err(Error::Server(String::new())),
        };
        let find = |image: &Image| self.symbols.as_ref().map(|s| s.find(image)).unwrap_or_default();
        let (image, objects) = match found {
            Ok((image, remote)) if self.merge => {
                let both = fuse(find(&image), remote, self.classes);
                (image, both)
            }
            Ok(found) => found,
            Err(Error::Server(message)) if self.fallback => {
                if labeller.is_some() {
                    self.away.call_once(|| output::note(&format!("{message}; by templates on this machine then")));
                }
                let image = source.load(limits)?;
                let objects = find(&image);
                (image, objects)
            }
            Err(error) => return Err(error),
        };
        Ok(Labelled { size: (image.width(), image.height()), objects })
    }
}
