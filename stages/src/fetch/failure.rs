//! Why a source did not have a file, and where an interrupted download is kept.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::verify::Mismatch;

/// The bytes that are read at once.
pub(super) const CHUNK: usize = 1 << 16;

/// Returns the file of an interrupted download of the file with this digest.
pub(super) fn partial(folder: &Path, digest: &str) -> PathBuf {
    folder.join(format!("{digest}.partial"))
}

/// Why a source did not have the file.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error("{0}")]
    Absent(String),
    #[error("{0}")]
    Unreachable(String),
    #[error(transparent)]
    Wrong(#[from] Mismatch),
    #[error("`{path}` cannot be used")]
    Disk { path: PathBuf, source: io::Error },
    #[error("interrupted")]
    Interrupted,
}

impl SourceError {
    pub(super) fn into_cause(self) -> Option<Box<dyn std::error::Error + Send + Sync>> {
        match self {
            Self::Disk { source, .. } => Some(Box::new(source)),
            _ => None,
        }
    }
}

/// Why one request did not end with the file, if another one may.
pub(super) struct Passing {
    pub(super) why: String,
    /// Whether any bytes came.
    pub(super) came: bool,
    /// Whether the server has too much to do, or broke off, and how long it asks to wait.
    pub(super) busy: Option<Option<Duration>>,
}
