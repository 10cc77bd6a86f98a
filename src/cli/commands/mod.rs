//! One file a command: parse, build the pipeline once, run the batch, report.

mod audit_report;
mod audit_verify;
mod bench;
mod classify;
mod dedup;
mod dedup_compare;
mod dedup_hash;
pub(super) mod detect;
mod embed;
mod evaluate;
mod hazard;
mod inspect;
mod label_apply;
mod label_check;
mod label_convert;
mod label_ontology;
mod label_remote;
mod label_review;
mod label_templates;
mod learn;
pub(super) mod mask;
mod models;
pub(super) mod ocr;
#[cfg(feature = "serve")]
mod serve;
#[cfg(feature = "train")]
mod train_cells;
#[cfg(feature = "train")]
mod train_classes;
#[cfg(feature = "train")]
mod train_detect;
mod watch;

use super::Outcome;
use crate::error::Result;
use argh::FromArgs;

/// A command with its arguments.
#[derive(FromArgs, Debug)]
#[argh(subcommand)]
pub enum Command {
    /// Learn good parts.
    Learn(learn::Learn),
    /// Inspect parts.
    Inspect(inspect::Inspect),
    /// Measure methods on a test set.
    Evaluate(evaluate::Evaluate),
    /// Find objects.
    Detect(detect::Detect),
    /// Say what pictures show.
    Classify(classify::Classify),
    /// Look at cells of interest.
    Hazard(hazard::HazardCommand),
    /// Find duplicate photographs.
    Dedup(dedup::Dedup),
    /// Hold two photographs against each other.
    DedupCompare(dedup_compare::DedupCompare),
    /// Print perceptual hashes.
    DedupHash(dedup_hash::DedupHash),
    /// Make an ontology of templates.
    LabelOntology(label_ontology::LabelOntology),
    /// Label by template matching.
    LabelTemplates(label_templates::LabelTemplates),
    /// Label by a server.
    LabelRemote(label_remote::LabelRemote),
    /// Check a data set.
    LabelCheck(label_check::LabelCheck),
    /// Make a page to review labels.
    LabelReview(label_review::LabelReview),
    /// Apply the decisions of a review.
    LabelApply(label_apply::LabelApply),
    /// Convert a data set.
    LabelConvert(label_convert::LabelConvert),
    /// Train a classifier.
    #[cfg(feature = "train")]
    TrainClasses(train_classes::TrainClasses),
    /// Train a detector.
    #[cfg(feature = "train")]
    TrainDetect(train_detect::TrainDetect),
    /// Train a network for cells of interest.
    #[cfg(feature = "train")]
    TrainCells(train_cells::TrainCells),
    /// Compute feature vectors.
    Embed(embed::Embed),
    /// Mask people and objects.
    Mask(mask::Mask),
    /// Read text.
    Ocr(ocr::Ocr),
    /// List the models.
    Models(models::Models),
    /// Measure networks.
    Bench(bench::Bench),
    /// Inspect what comes into a folder.
    Watch(watch::Watch),
    /// Check an audit file.
    AuditVerify(audit_verify::AuditVerify),
    /// Tables of an audit file.
    AuditReport(audit_report::AuditReport),
    /// Serve over HTTP.
    #[cfg(feature = "serve")]
    Serve(serve::Serve),
}

/// Runs `command`.
pub fn run(command: Command) -> Result<Outcome> {
    match command {
        Command::Learn(c) => c.run(),
        Command::Inspect(c) => c.run(),
        Command::Evaluate(c) => c.run(),
        Command::Detect(c) => c.run(),
        Command::Classify(c) => c.run(),
        Command::Hazard(c) => c.run(),
        Command::Dedup(c) => c.run(),
        Command::DedupCompare(c) => c.run(),
        Command::DedupHash(c) => c.run(),
        Command::LabelOntology(c) => c.run(),
        Command::LabelTemplates(c) => c.run(),
        Command::LabelRemote(c) => c.run(),
        Command::LabelCheck(c) => c.run(),
        Command::LabelReview(c) => c.run(),
        Command::LabelApply(c) => c.run(),
        Command::LabelConvert(c) => c.run(),
        #[cfg(feature = "train")]
        Command::TrainClasses(c) => c.run(),
        #[cfg(feature = "train")]
        Command::TrainDetect(c) => c.run(),
        #[cfg(feature = "train")]
        Command::TrainCells(c) => c.run(),
        Command::Embed(c) => c.run(),
        Command::Mask(c) => c.run(),
        Command::Ocr(c) => c.run(),
        Command::Models(c) => c.run(),
        Command::Bench(c) => c.run(),
        Command::Watch(c) => c.run(),
        Command::AuditVerify(c) => c.run(),
        Command::AuditReport(c) => c.run(),
        #[cfg(feature = "serve")]
        Command::Serve(c) => c.run(),
    }
}
