//! Why the store could not do what it was asked.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use crate::Digest;

/// The result of the store's functions.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such object.
    #[error("object {0} is missing")]
    Missing(Digest),
    /// The object is not here but at a remote.
    #[error("the file {} is at the remote `{remote}`", name.short())]
    Promised {
        /// The object.
        name: Digest,
        /// The name of the remote.
        remote: String,
    },
    /// The object's bytes do not hash to its name. They are never returned.
    #[error(
        "object {name} is corrupt: {found} (`{path}`); `pipe verify --repair` sets it aside, and the action that made it runs again"
    )]
    Corrupt {
        /// The object.
        name: Digest,
        /// What is wrong with its bytes.
        found: Damage,
        /// Its file.
        path: PathBuf,
    },
    /// A record, log or other small file of the store does not hold what the store wrote.
    #[error("`{path}` is damaged: {reason}; `pipe verify --repair` sets it aside")]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system refused an operation: the disk is full or failing, or a permission is missing.
    #[error("cannot {action} `{path}`")]
    Io {
        /// What was to be done with the file, as in "cannot open `..`".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it was refused.
        source: io::Error,
    },
    /// The folder is neither empty nor a store.
    #[error("`{0}` is not a store: it is not empty and has no file `format`")]
    Foreign(PathBuf),
    /// The store was written by a newer `pipe`.
    #[error("store `{path}` has format {found}; this build reads formats up to {FORMAT}")]
    Format {
        /// The store's folder.
        path: PathBuf,
        /// The number of its format.
        found: u32,
    },
    /// The object exists but is not a tree.
    #[error("object {name} is not a tree: {reason}")]
    NotATree {
        /// The object.
        name: Digest,
        /// What is wrong with it.
        reason: String,
    },
    /// The path of an output file leaves the folder that it is exported to, or some systems cannot write it.
    #[error("`{path}` cannot be the path of an output file: {reason}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The name of a study or the id of a run cannot be the name of a file.
    #[error("`{name}` cannot be a name: {reason}")]
    Name {
        /// The name or id.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A prefix of a digest has the wrong length, or characters that are not digits.
    #[error("`{0}` is not a prefix of a hash: expected 4 to 64 hexadecimal digits")]
    Prefix(String),
    /// No object's digest starts with the prefix.
    #[error("no object's hash starts with `{0}`")]
    UnknownPrefix(String),
    /// The digests of several objects start with the prefix.
    #[error("`{prefix}` is the start of {} hashes: {}", candidates.len(), list(candidates))]
    AmbiguousPrefix {
        /// The prefix.
        prefix: String,
        /// The objects, sorted.
        candidates: Vec<Digest>,
    },
    /// A file that was to be stored is not the one that was looked at before.
    #[error("`{path}` has changed since it was looked at: {found}")]
    Changed {
        /// The file.
        path: PathBuf,
        /// What it is now, as in "it is gone".
        found: String,
    },
    /// Another process has this run open.
    #[error("run `{0}` is open in another process")]
    RunIsOpen(String),
    /// The disk lost a page of this file while it was mapped into memory. What was computed from it may be wrong.
    #[error("`{0}` lost a page while it was read; `pipe verify` tells whether it is damaged")]
    LostPage(PathBuf),
    /// An object is too large to be what it was read as.
    #[error("object {name} has {length} bytes, and {what} has at most {limit}")]
    TooLarge {
        /// The object.
        name: Digest,
        /// Its length in bytes.
        length: u64,
        /// What it was read as, as in "a record".
        what: &'static str,
        /// The most bytes that it may have.
        limit: u64,
    },
    /// The process was asked to stop while it waited for a lock.
    #[error("interrupted")]
    Interrupted,
    /// A study was added after the plan was made. Make a new plan.
    #[error("a study was added while the collection was planned")]
    StalePlan,
}

impl StoreError {
    /// Returns whether the error says that an object is not here: it is missing, or at a remote.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Promised { .. })
    }

    /// Returns whether the error says that something in the store is missing or damaged.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Missing(_)
            | Self::Corrupt { .. }
            | Self::Record { .. }
            | Self::NotATree { .. }
            | Self::LostPage(_)
            | Self::TooLarge { .. } => true,
            Self::Promised { .. }
            | Self::Io { .. }
            | Self::Foreign(_)
            | Self::Format { .. }
            | Self::Path { .. }
            | Self::Name { .. }
            | Self::Prefix(_)
            | Self::UnknownPrefix(_)
            | Self::AmbiguousPrefix { .. }
            | Self::Changed { .. }
            | Self::RunIsOpen(_)
            | Self::Interrupted
            | Self::StalePlan => false,
        }
    }
}

/// What is wrong with an object's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// The bytes hash to another digest, which is this one.
    Hash(Digest),
    /// There are too few or too many bytes.
    Length {
        /// The number of bytes found.
        found: u64,
        /// The number of bytes expected.
        expected: u64,
    },
    /// The bytes cannot be decompressed, for this reason.
    Undecodable(String),
    /// There is no file that can be read, for this reason: "it is a folder".
    Unreadable(String),
}

/// The number of the store's format, which the file `format` holds. Format 1 had no checksums in the logs of refs and runs. It is
/// read, and the first write makes it format 2.
pub const FORMAT: u32 = 2;
/// The number of the format of trees and results.
pub(crate) const RECORD_FORMAT: u32 = 1;

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hash(found) => write!(f, "its bytes hash to {found}"),
            Self::Length { found, expected } => write!(f, "it has {found} bytes instead of {expected}"),
            Self::Undecodable(reason) => write!(f, "it does not decompress ({reason})"),
            Self::Unreadable(reason) => f.write_str(reason),
        }
    }
}

/// Returns the first few of `candidates`, to be shown to people.
fn list(candidates: &[Digest]) -> String {
    const SHOWN: usize = 8;
    let mut shown: Vec<_> = candidates.iter().take(SHOWN).map(ToString::to_string).collect();
    if candidates.len() > SHOWN {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

/// Adds the path to the error of an operation on a file.
pub(crate) trait At<T> {
    /// Turns an I/O error into "cannot `action` `path`".
    fn at(self, action: &'static str, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| StoreError::Io { action, path: path.to_owned(), source })
    }
}
