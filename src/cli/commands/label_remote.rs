//! `ocellus label remote`

use crate::cli::detection::share;
use crate::cli::label::classes::Known;
use crate::cli::label::remote::{self, Fallback, Labeller, Service, Team};
use crate::cli::label::run::{self, Job};
use crate::cli::label::shares::Shares;
use crate::cli::{Outcome, output};
use crate::error::Result;
use crate::input;
use crate::remote::{Prompts, Wanted};
use crate::tasks::label::Search;
use argh::FromArgs;
use std::path::PathBuf;
use std::sync::Once;

/// Label pictures by a labelling server (X-AnyLabeling-Server) that you name. The pictures are sent there and nowhere else.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "label remote")]
pub struct LabelRemote {
    /// file or directory of pictures; several can be given
    #[argh(option)]
    images: Vec<String>,
    /// classes and how to find them
    #[argh(option)]
    ontology: PathBuf,
    /// the data set to write, a folder
    #[argh(option)]
    out: PathBuf,
    /// address of the server, http://HOST:PORT or https://HOST:PORT
    #[argh(option)]
    server: String,
    /// the server's model (default: segment_anything_3)
    #[argh(option, default = "\"segment_anything_3\".into()")]
    model: String,
    /// the server's key; better in the variable OCELLUS_LABEL_KEY
    #[argh(option)]
    key: Option<String>,
    /// PEM file of the authorities to trust for https instead of the public ones
    #[argh(option)]
    ca: Option<PathBuf>,
    /// seconds that one request may take (default: 120)
    #[argh(option, default = "120")]
    timeout: u64,
    /// how often a request is tried again (default: 5)
    #[argh(option, default = "5")]
    retries: u32,
    /// requests side by side (default: 2)
    #[argh(option, default = "2")]
    jobs: usize,
    /// least score (default: 0.3)
    #[argh(option, default = "0.3", from_str_fn(share))]
    conf: f32,
    /// polygons instead of boxes
    #[argh(switch)]
    segment: bool,
    /// show the ontology's templates to the server instead of prompts
    #[argh(switch)]
    exemplars: bool,
    /// look for the ontology's templates on this machine too, join what both find and note where they disagree
    #[argh(switch)]
    merge: bool,
    /// templates: where the server is away, label by template matching on this machine
    #[argh(option)]
    fallback: Option<Fallback>,
    /// shares of train, val and test; near-duplicates stay together (default: 0.8,0.1,0.1)
    #[argh(option, default = "Shares::default()")]
    split: Shares,
    /// seed of the division (default: 0)
    #[argh(option, default = "0")]
    seed: u64,
    /// link the pictures instead of copying them, where the disk can
    #[argh(switch)]
    link: bool,
    /// write each picture with its labels into this folder
    #[argh(option)]
    annotate: Option<PathBuf>,
    /// largest picture in pixels (default: 200000000)
    #[argh(option, default = "input::DEFAULT_MAX_PIXELS")]
    max_pixels: u64,
    /// go on with an interrupted run
    #[argh(switch)]
    resume: bool,
    /// no progress line
    #[argh(switch)]
    quiet: bool,
    /// write one JSON record a picture
    #[argh(switch)]
    json: bool,
}

impl LabelRemote {
    pub fn run(self) -> Result<Outcome> {
        let options = remote::options(self.jobs, self.quiet, self.max_pixels)?;
        let service = Service {
            server: &self.server,
            key: self.key.as_deref(),
            ca: self.ca.as_deref(),
            timeout: self.timeout,
            retries: self.retries,
        };
        let client = service.client()?;
        let known = Known::read(&self.ontology, options.limits)?;
        let wanted = Wanted { model: self.model.clone(), conf: self.conf, outlines: self.segment };
        let search = match self.exemplars {
            true => remote::Search::Examples(known.examples()?),
            false => remote::Search::Words(Prompts::new(known.prompts())?),
        };
        let templates = self.merge || self.fallback.is_some();
        let symbols =
            templates.then(|| known.symbols(&Search { least: self.conf, ..Search::default() })).transpose()?;
        let classes = known.ontology.names();
        let labeller = Labeller::new(client, wanted, search, options.limits);
        let team = Team {
            symbols,
            merge: self.merge,
            fallback: self.fallback.is_some(),
            classes: &classes,
            away: Once::new(),
        };
        let job = Job {
            sources: run::sources(&self.images, &self.out, self.annotate.as_deref())?,
            out: &self.out,
            classes: &classes,
            how: format!(
                "remote {} {} {:?} {}",
                self.model,
                self.conf,
                (self.segment, self.exemplars, self.merge),
                known.hash()?
            ),
            resume: self.resume,
            division: (self.split.0, self.seed),
            link: self.link,
            annotate: self.annotate.as_deref(),
            json: self.json,
            options,
        };
        let labeller = team.engage(labeller)?;
        let outcome = run::label(
            &job,
            |source| team.label(labeller.as_ref(), source, &options.limits),
            || labeller.as_ref().is_some_and(Labeller::has_stopped),
        );
        if let Some(note) = labeller.and_then(|l| l.left_out()) {
            output::note(&note);
        }
        outcome
    }
}
