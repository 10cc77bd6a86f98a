//! What the label commands share: data sets on disk, in all formats.

pub mod apply;
pub mod checking;
pub mod classes;
pub mod folder;
pub mod formats;
pub mod guess;
pub mod near;
pub mod pictures;
pub mod remote;
pub mod review;
pub mod run;
pub mod saving;
pub mod shares;
pub mod templates;

use crate::dataset::check::Problem;
use crate::dataset::{DataSet, Loss};
use std::path::PathBuf;

/// A data set and where it lies.
#[derive(Debug, Default)]
pub struct Located {
    /// Classes, pictures, objects.
    pub set: DataSet,
    /// Where each of the pictures lies.
    pub places: Vec<Place>,
    /// What is wrong with it; what could not be used is not in `set`.
    pub problems: Vec<Problem>,
    /// What was left out because a data set of ours cannot hold it.
    pub loss: Loss,
    /// The file that describes the classes.
    pub description: String,
}

/// Where a picture lies.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The picture.
    pub source: PathBuf,
    /// The picture as the user named it.
    pub path: String,
    /// Its label file.
    pub labels: PathBuf,
    /// The lines of its objects in the label file, where it has lines.
    pub lines: Vec<usize>,
}
