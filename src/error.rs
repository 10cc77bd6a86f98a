//! The one error type. `Display` says one level in one line: which file, what was expected, what was found, what to do;
//! the cause, where there is one, is in `source()`.

use std::path::{Path, PathBuf};

/// What every fallible function of the crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A boxed cause of another library.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Everything that can go wrong, by what the user can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A flag or a value on the command line is not usable.
    #[error("{0}")]
    Usage(String),
    /// A file or directory could not be read or written.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried, as a verb: "read", "write", "create".
        action: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file is not a picture that can be used: damaged, of an unknown format, too large.
    #[error("{name}: {message}")]
    Image {
        /// File name or `<stdin>`.
        name: String,
        /// What was expected and found.
        message: String,
        /// The decoder's own error.
        source: Option<Cause>,
    },
    /// A recipe folder cannot be used.
    #[error("{}: {message}", path.display())]
    Recipe {
        /// The file in the recipe folder that is at fault.
        path: PathBuf,
        /// What was expected and found.
        message: String,
    },
    /// A model is missing from this build, unknown, or its graph cannot be used.
    #[error("model {model}: {message}")]
    Model {
        /// Model id or path.
        model: String,
        /// What was expected and found.
        message: String,
        /// The engine's own error.
        source: Option<Cause>,
    },
    /// The data handed to a pipeline do not fit: a region outside the image, too few good images.
    #[error("{0}")]
    Input(String),
    /// A labelling server cannot be reached, or refuses.
    #[error("{0}")]
    Server(String),
    /// Standard output was closed by its reader. Not reported, only obeyed.
    #[error("standard output is closed")]
    ClosedPipe,
    /// A defect of ocellus itself, such as a panic outside of a batch.
    #[error("internal error: {0}; please report it")]
    Internal(String),
}

impl Error {
    /// An [`Error::Io`] about `path`.
    pub fn io(path: impl AsRef<Path>, action: &'static str, source: std::io::Error) -> Self {
        Error::Io { path: path.as_ref().to_path_buf(), action, source }
    }

    /// An [`Error::Recipe`] about the file `path` of a recipe folder.
    pub fn recipe(path: impl AsRef<Path>, message: impl Into<String>) -> Self {
        Error::Recipe { path: path.as_ref().to_path_buf(), message: message.into() }
    }

    /// An [`Error::Model`] without a cause.
    pub fn model(model: impl Into<String>, message: impl Into<String>) -> Self {
        Error::Model { model: model.into(), message: message.into(), source: None }
    }

    /// The message with all its causes, in one line.
    pub fn one_line(&self) -> String {
        let mut text = self.to_string();
        // The system's answer is already part of the message of an I/O error.
        let mut cause = match self {
            Error::Io { .. } => None,
            _ => std::error::Error::source(self),
        };
        while let Some(next) = cause {
            let message = next.to_string();
            if !text.contains(&message) {
                text.push_str(": ");
                text.push_str(&message);
            }
            cause = next.source();
        }
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}
