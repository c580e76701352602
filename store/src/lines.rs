//! Logs to which lines are appended. A last line without a line feed was cut off when a process was killed, and is ignored.

use std::{
    fs::{File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::Path,
};

use crate::{
    disk::{self, if_present},
    error::{At, Result, StoreError},
};

/// Returns the complete lines of a log, if there is such a log.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<String>>> {
    let Some(bytes) = disk::read(path)? else { return Ok(None) };
    let complete = &bytes[..complete(&bytes)];
    let text = std::str::from_utf8(complete).map_err(|error| damaged(path, &error))?;
    Ok(Some(text.lines().map(str::to_owned).collect()))
}

/// Returns the complete lines in the bytes of a log. They need not be text.
pub(crate) fn split(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes[..complete(bytes)].split_inclusive(|byte| *byte == b'\n')
}

/// Returns what is wrong with the bytes of a log, if it is empty or its last line is cut off. This is for logs that are published
/// together with their first line.
pub(crate) fn tear(bytes: &[u8]) -> Option<&'static str> {
    if bytes.is_empty() {
        return Some("it is empty");
    }
    (complete(bytes) < bytes.len()).then_some("its last line is cut off")
}

/// Opens a log to append to it, if there is such a log.
#[expect(clippy::disallowed_methods, reason = "a log grows line by line, and a line that was cut off is removed")]
pub(crate) fn open(path: &Path) -> Result<Option<File>> {
    if_present(OpenOptions::new().read(true).write(true).open(path)).at("open", path)
}

/// Removes a last line that was cut off, and moves to the end of the file. The caller holds the log's lock.
pub(crate) fn mend(file: &mut File, path: &Path) -> Result<()> {
    let bytes = disk::read(path)?.unwrap_or_default();
    let end = complete(&bytes);
    if end < bytes.len() {
        file.set_len(end as u64).at("truncate", path)?;
    }
    file.seek(SeekFrom::Start(end as u64)).at("seek in", path).map(drop)
}

/// Appends a line with a single write.
pub(crate) fn append(file: &mut File, path: &Path, line: &str) -> Result<()> {
    file.write_all(format!("{line}\n").as_bytes()).at("append to", path)
}

/// Returns the error for a damaged log.
pub(crate) fn damaged(path: &Path, reason: &dyn ToString) -> StoreError {
    StoreError::Record { path: path.to_owned(), reason: reason.to_string() }
}

/// Checks the name of a log.
///
/// # Errors
/// [`StoreError::Name`] if it cannot be the name of a file everywhere.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.len() > 200 {
        "it is longer than 200 bytes"
    } else if name.starts_with('.') {
        "it starts with a dot"
    } else if name.contains(|c: char| c.is_control() || matches!(c, '/' | '\\' | ':')) {
        "it contains a control character, `/`, `\\` or `:`"
    } else {
        return Ok(());
    };
    Err(StoreError::Name { name: name.to_owned(), reason })
}

/// Returns the length of the complete lines in bytes.
fn complete(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1)
}
