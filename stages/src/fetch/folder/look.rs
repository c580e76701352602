//! How folders and files of this disk are looked at, and why they cannot be used.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::stage::Progress;

/// Why a folder or a file of this disk cannot be used. The text follows the path, as in "`../pictures` is not there".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// There is nothing at the path.
    #[error("is not there")]
    Absent,
    /// A folder was expected.
    #[error("is a file, not a folder")]
    NotAFolder,
    /// A file was expected.
    #[error("is a folder, not a file")]
    NotAFile,
    /// It is a pipe, a socket or a device.
    #[error("is neither a file nor a folder")]
    Other,
    /// Files or folders cannot be read.
    #[error("{}", unreadable(.0))]
    Unreadable(Vec<String>),
    /// Names that differ in bytes are the same text.
    #[error("has names that are the same text in Unicode's form NFC: {}", .0.join("; "))]
    SameNames(Vec<String>),
    /// A file was written while it was read.
    #[error("is being written: `{0}` changed each time that it was read")]
    Busy(String),
}

/// The most files that an error names.
const NAMED: usize = 100;

fn unreadable(files: &[String]) -> String {
    let more = files.len().saturating_sub(NAMED);
    let named = files.iter().take(NAMED).map(|file| format!("\n  {file}")).collect::<String>();
    let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
    match files {
        [file] => format!("cannot be read: {file}"),
        files => format!("has {} files and folders that cannot be read:{named}{more}", files.len()),
    }
}

/// How folders and files are looked at.
pub struct Look<'a> {
    /// What is passed over: the store, and what `pipe` writes beside the pipeline file.
    pub skip: &'a [PathBuf],
    /// The folder with the notes about files that were hashed before.
    pub notes: &'a Path,
    /// The present time, at the latest when looking begins.
    pub now: SystemTime,
    /// Is told of the progress.
    pub tell: &'a (dyn Fn(&Progress) + Sync),
}
