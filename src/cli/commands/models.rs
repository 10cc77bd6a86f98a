//! `ocellus models`

use crate::cli::{Outcome, output};
use crate::error::Result;
use crate::report::json;
use argh::FromArgs;

/// List the models that this binary carries: id, size, hash, licence.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "models")]
pub struct Models {
    /// write one JSON record a model
    #[argh(switch)]
    json: bool,
}

impl Models {
    pub fn run(self) -> Result<Outcome> {
        for model in crate::models::embedded() {
            let info = &model.info;
            if self.json {
                output::line(&json::model(info, model.bytes.len())?)?;
            } else {
                let size = model.bytes.len() as f64 / 1e6;
                output::line(&format!(
                    "{:<28} {:>5.1} MB  {:<10}  sha256 {}  {}",
                    info.id,
                    size,
                    info.licence,
                    &info.sha256[..16],
                    info.description
                ))?;
            }
        }
        Ok(Outcome::Pass)
    }
}
