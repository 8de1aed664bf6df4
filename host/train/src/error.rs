//! Why there is no model, in one line each.

use std::path::PathBuf;

use foreshade_accel::AccelError;
use foreshade_forecast::lstm::ModelError;
use foreshade_telemetry::trace::TraceError;
use thiserror::Error;

/// Why training did not begin or did not end.
#[derive(Debug, Error)]
pub enum TrainError {
    /// An option does not fit the others, or the folder.
    #[error("{0}")]
    Usage(String),
    /// An input cannot be used.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The inputs are readable, but nothing can be learnt from them.
    #[error("{0}")]
    Data(String),
    /// A text file cannot be read.
    #[error("cannot read {}: {source}; check the path and its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The weights to start from cannot be used.
    #[error("{}: {source}", path.display())]
    Init {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ModelError,
    },
    /// The training went astray.
    #[error("{0}")]
    Diverged(String),
    /// A file cannot be written. What was written before is still there.
    #[error("cannot write {}: {source}; free space or fix the permissions, then go on with --resume", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The finished model cannot be run.
    #[error(transparent)]
    Accel(#[from] AccelError),
    /// The finished model cannot be read back.
    #[error(transparent)]
    Model(#[from] ModelError),
}
