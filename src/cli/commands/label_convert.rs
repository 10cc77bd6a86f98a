//! `ocellus label convert`

use crate::cli::label::guess::{self, Format};
use crate::cli::label::shares::Shares;
use crate::cli::label::{formats, saving};
use crate::cli::{Outcome, batch, output};
use crate::dataset::check::Kind;
use crate::error::{Error, Result};
use crate::input;
use crate::report::labels;
use argh::FromArgs;
use std::path::{Path, PathBuf};

/// Bring a data set into the format of another tool, its pictures with it.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "label convert")]
pub struct LabelConvert {
    /// the folder of the data set, or its file
    #[argh(positional)]
    input: String,
    /// format to write: yolo, coco, voc, anylabeling, labelstudio
    #[argh(option)]
    to: Format,
    /// folder to write to, new or empty
    #[argh(option)]
    out: PathBuf,
    /// format to read (default: by its content)
    #[argh(option)]
    from: Option<Format>,
    /// folder with the pictures, if they do not lie near the labels
    #[argh(option)]
    images: Option<PathBuf>,
    /// divide anew: shares of train, val and test, such as 0.8,0.1,0.1; near-duplicates stay together
    #[argh(option)]
    split: Option<Shares>,
    /// seed of the division (default: 0)
    #[argh(option, default = "0")]
    seed: u64,
    /// link the pictures instead of copying them, where the disk can
    #[argh(switch)]
    link: bool,
    /// write a JSON record
    #[argh(switch)]
    json: bool,
    /// pictures worked on side by side (default: one a core)
    #[argh(option)]
    threads: Option<usize>,
    /// no progress on standard error
    #[argh(switch)]
    quiet: bool,
    /// largest picture in pixels (default: 200000000)
    #[argh(option, default = "input::DEFAULT_MAX_PIXELS")]
    max_pixels: u64,
}

impl LabelConvert {
    pub fn run(self) -> Result<Outcome> {
        let options = batch::Options::new(self.threads, self.quiet, self.max_pixels)?;
        check_empty(&self.out)?;
        let path = Path::new(&self.input);
        let from = self.from.map_or_else(|| guess::guess(path), Ok)?;
        let mut located = formats::read(path, from, self.images.as_deref())?;
        // To trainers a missing label file is an empty one.
        let (empty, problems): (Vec<_>, Vec<_>) = located.problems.iter().partition(|p| p.kind == Kind::MissingLabels);
        for problem in &problems {
            output::note(&format!("error: {}: {}", problem.place(), problem.message));
        }
        let mut failed = problems.len();
        empty.iter().for_each(|_| located.loss.add("pictures without a label file have no objects"));
        if located.set.pictures.is_empty() {
            return Err(Error::Input(format!("{}: no pictures to write; nothing was written", self.input)));
        }
        let sources: Vec<String> = located.places.iter().map(|p| p.source.display().to_string()).collect();
        if let Some(Shares(shares)) = self.split {
            let troubles = saving::divide(&mut located.set.pictures, &located.places, shares, self.seed, options)?;
            failed += troubles.len();
            troubles.iter().for_each(|(_, error)| output::complain(error));
        }
        let mut loss = formats::loss(&located.set, self.to);
        loss.merge(std::mem::take(&mut located.loss));
        let mut set = located.set.clone();
        output::check_folder(&self.out)?;
        let troubles = formats::write(&self.out, self.to, located, self.link, options)?;
        failed += troubles.len();
        for (at, error) in troubles.iter().rev() {
            output::note(&format!("error: {}: {}", sources[*at], error.one_line()));
            set.pictures.remove(*at);
        }
        if let Some(text) = labels::loss(&loss) {
            output::note(&text);
        }
        let out = self.out.display().to_string();
        output::line(&match self.json {
            true => labels::convert_record(&self.input, &out, &set, failed, &loss)?,
            false => labels::converted(&out, &set),
        })?;
        Ok(if failed > 0 { Outcome::Error } else { Outcome::Pass })
    }
}

/// Makes sure that nothing is overwritten or mixed up.
fn check_empty(folder: &Path) -> Result<()> {
    match std::fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::Usage(format!("{}: is not empty; name a new folder with --out", folder.display()))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io(folder, "write to", e)),
    }
}
