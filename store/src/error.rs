//! Why the store could not do what it was asked.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use crate::Digest;

/// What the store's functions return.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The object is not there.
    #[error("object {0} is missing")]
    Missing(Digest),
    /// The object is there, but is not what its name says. It is never handed out.
    #[error(
        "object {name} is corrupt: {found} (`{path}`); `pipe verify --repair` sets it aside, and what gave it runs again"
    )]
    Corrupt { name: Digest, found: Damage, path: PathBuf },
    /// A record, log or other small file of the store is not what the store wrote.
    #[error("`{path}` is damaged: {reason}; `pipe verify --repair` sets it aside")]
    Record { path: PathBuf, reason: String },
    /// The operating system refused: the disk is full, a permission is missing, the disk fails.
    #[error("cannot {action} `{path}`")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    /// The folder holds something, and that is not a store.
    #[error("`{0}` is not a store: it is not empty and has no file `format`")]
    Foreign(PathBuf),
    /// The store was written by a newer `pipe`, or its file `format` is damaged.
    #[error("store `{path}` has format `{found}`; this build reads format {FORMAT}")]
    Format { path: PathBuf, found: String },
    /// The object is no tree.
    #[error("object {name} is not a tree: {reason}")]
    NotATree { name: Digest, reason: String },
    /// An output path that could leave the folder it is exported to, or that some system cannot write.
    #[error("`{path}` is no path of an output file: {reason}")]
    Path { path: String, reason: &'static str },
    /// A study name or run id that cannot be a file name.
    #[error("`{name}` cannot be a name: {reason}")]
    Name { name: String, reason: &'static str },
    /// Too few digits, or something else than digits.
    #[error("`{0}` is no prefix of a hash: expected 4 to 64 hexadecimal digits")]
    Prefix(String),
    /// No object's name starts so.
    #[error("no object's hash starts with `{0}`")]
    UnknownPrefix(String),
    /// Several objects' names start so.
    #[error("`{prefix}` is the start of {} hashes: {}", candidates.len(), list(candidates))]
    AmbiguousPrefix { prefix: String, candidates: Vec<Digest> },
    /// Another process has this run open.
    #[error("run `{0}` is open in another process")]
    RunIsOpen(String),
    /// A study was added after the plan was made: plan again.
    #[error("a study was added while the collection was planned")]
    StalePlan,
}

impl StoreError {
    /// Returns whether the store's contents are not what they should be, rather than out of reach.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Corrupt { .. } | Self::Record { .. } | Self::NotATree { .. })
    }
}

/// What is wrong with an object's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// They have another name.
    Hash(Digest),
    /// They are too few or too many, in bytes.
    Length { found: u64, expected: u64 },
    /// They do not decompress.
    Undecodable(String),
}

/// The store's format, the content of its file `format`.
pub const FORMAT: u32 = 1;

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hash(found) => write!(f, "its bytes hash to {found}"),
            Self::Length { found, expected } => write!(f, "it has {found} bytes instead of {expected}"),
            Self::Undecodable(reason) => write!(f, "it does not decompress ({reason})"),
        }
    }
}

/// Returns the first few of `candidates`, for people.
fn list(candidates: &[Digest]) -> String {
    const SHOWN: usize = 8;
    let mut shown: Vec<_> = candidates.iter().take(SHOWN).map(ToString::to_string).collect();
    if candidates.len() > SHOWN {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

/// Names the path that an operation of the file system was about.
pub(crate) trait At<T> {
    /// Turns an I/O error into "cannot `action` `path`".
    fn at(self, action: &'static str, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| StoreError::Io { action, path: path.to_owned(), source })
    }
}
