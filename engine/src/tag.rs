//! Tags: names that users give to studies. What a tagged study needs stays in the store.

use std::time::SystemTime;

use pipe_store::{Digest, RefEntry, RefKind, Store, StoreError};

/// Why a tag cannot be set.
#[derive(Debug, thiserror::Error)]
pub enum TagError {
    /// A study has this name.
    #[error("`{0}` is the name of a study")]
    IsStudy(String),
    /// It would mean an earlier study: `tiny~1`.
    #[error("`{0}` cannot be a tag: `~` refers to earlier studies")]
    Tilde(String),
    /// It names another study.
    #[error("the tag `{name}` names the study {study}")]
    Taken {
        /// The tag.
        name: String,
        /// The study that it names.
        study: Digest,
    },
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether a tag may be moved from one study to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It may not.
    Keep,
    /// It may.
    Replace,
}

/// Gives the study `study` the tag `name`. Nothing changes if it has the tag already.
///
/// # Errors
/// If the tag names another study and `existing` says to keep it, if a study has this name, or if it cannot be a name.
pub fn set(store: &Store, name: &str, study: &Digest, existing: Existing, now: SystemTime) -> Result<(), TagError> {
    if name.contains('~') {
        return Err(TagError::Tilde(name.to_owned()));
    }
    if store.ref_latest(RefKind::Studies, name)?.is_some() {
        return Err(TagError::IsStudy(name.to_owned()));
    }
    let taken = |log: &[RefEntry]| {
        let other = log.first().filter(|entry| entry.digest != *study)?;
        Some(TagError::Taken { name: name.to_owned(), study: other.digest })
    };
    let is_value = |entry: &RefEntry| entry.digest == *study;
    if existing == Existing::Keep {
        if let Some(error) = taken(&store.ref_log(RefKind::Tags, name)?) {
            return Err(error);
        }
        store.ref_append(RefKind::Tags, name, study, now)?;
        // If another process set the tag at the same time, the first one has it.
        if let Some(error) = taken(&store.ref_log(RefKind::Tags, name)?) {
            store.ref_retain(RefKind::Tags, name, |entry| !is_value(entry))?;
            return Err(error);
        }
        return Ok(());
    }
    store.ref_append(RefKind::Tags, name, study, now)?;
    // A tag keeps one study from being removed, and not those that it named before.
    store.ref_retain(RefKind::Tags, name, is_value)?;
    Ok(())
}

/// Removes a tag. Returns whether there was one.
///
/// # Errors
/// If the store cannot be read or written.
pub fn delete(store: &Store, name: &str) -> Result<bool, StoreError> {
    Ok(store.ref_retain(RefKind::Tags, name, |_| false)? > 0)
}

/// Returns all tags with the studies that they name, sorted by tag.
///
/// # Errors
/// If the store cannot be read.
pub fn list(store: &Store) -> Result<Vec<(String, RefEntry)>, StoreError> {
    let mut tags = Vec::new();
    for name in store.ref_names(RefKind::Tags)? {
        if let Some(entry) = store.ref_latest(RefKind::Tags, &name)? {
            tags.push((name, entry));
        }
    }
    Ok(tags)
}

/// Returns whether there is such a tag.
///
/// # Errors
/// If the store cannot be read.
pub fn exists(store: &Store, name: &str) -> Result<bool, StoreError> {
    Ok(store.ref_latest(RefKind::Tags, name)?.is_some())
}
