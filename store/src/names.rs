//! The names of logs, and the errors of damaged ones.

use std::path::Path;

use crate::error::{Result, StoreError};

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
