//! Opens a store, or makes a new one.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use crate::{
    disk::{self, Draft, Existing},
    error::{At, FORMAT, Result, StoreError},
    layout::READ_ONLY,
    verified::Verified,
};

/// A content-addressed store in a folder. Cheap to clone.
///
/// Invariants:
/// - A file is complete before it has its name.
/// - A record names only what was stored before it.
/// - A process may be killed at any instruction, and nothing needs to be cleaned up afterwards.
/// - Several processes may use the same store at once.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    root: PathBuf,
    pub(crate) verified: Mutex<Verified>,
}

/// The prefix of the file that becomes `format` when a new store is made.
pub(crate) const UNBORN: &str = "pipe-";

impl Store {
    /// Opens the store in the folder `root`. Makes a new store if the folder is empty or does not exist; otherwise writes nothing.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] if the folder holds something else, [`StoreError::Format`] if a newer `pipe` wrote the store. Also if the
    /// folder cannot be read or written.
    pub fn open(root: &Path) -> Result<Self> {
        let root = std::path::absolute(root).at("find", root)?;
        let format = root.join("format");
        match disk::read(&format) {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotADirectory => {
                return Err(StoreError::Foreign(root));
            }
            found => Self::check_format(&root, &format, found?)?,
        }
        Ok(Self(Arc::new(Inner { root, verified: Mutex::default() })))
    }

    /// Makes a store if there is no file `format`, and refuses a store of another format.
    fn check_format(root: &Path, path: &Path, found: Option<Vec<u8>>) -> Result<()> {
        match found {
            None => create(root, path),
            Some(found) if found == format!("{FORMAT}\n").as_bytes() => Ok(()),
            Some(found) => {
                let found = String::from_utf8_lossy(&found).trim().to_owned();
                Err(StoreError::Format { path: root.to_owned(), found })
            }
        }
    }

    /// Returns the store's folder, as an absolute path.
    pub fn root(&self) -> &Path {
        &self.0.root
    }
}

/// Makes a store by writing its file `format`. Until that is there the folder counts as empty, so a kill does no harm.
fn create(root: &Path, format: &Path) -> Result<()> {
    let entries = disk::list(root)?;
    if entries.iter().any(|entry| entry.is_dir || !entry.name.starts_with(UNBORN)) {
        // Another process may have made the store since we looked.
        return if format.exists() { Ok(()) } else { Err(StoreError::Foreign(root.to_owned())) };
    }
    let draft = Draft::new(root, READ_ONLY)?;
    let published = (writeln!(draft.file(), "{FORMAT}").at("write", draft.path()))
        .and_then(|()| draft.publish(format, Existing::Replace));
    match published {
        // Another process made the store at the same time and removed our draft, which it took for a leftover.
        Err(_) if format.exists() => {}
        published => drop(published?),
    }
    entries.iter().try_for_each(|entry| disk::remove(&entry.path).map(drop))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_store_is_made_in_an_absent_or_empty_folder() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a/b");
        assert_eq!(Store::open(&root).unwrap().root(), root);
        assert_eq!(fs::read(root.join("format")).unwrap(), b"1\n");
        let before = fs::metadata(&root).unwrap().modified().unwrap();
        Store::open(&root).unwrap();
        assert_eq!(fs::metadata(&root).unwrap().modified().unwrap(), before);
    }

    #[test]
    fn a_store_that_was_killed_while_it_was_made_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pipe-x7f"), "").unwrap();
        Store::open(folder.path()).unwrap();
        assert!(!folder.path().join("pipe-x7f").exists());
    }

    #[test]
    fn a_folder_with_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "").unwrap();
        assert!(matches!(Store::open(folder.path()), Err(StoreError::Foreign(_))));
        assert!(matches!(Store::open(&folder.path().join("thesis.tex")), Err(StoreError::Foreign(_))));
    }

    #[test]
    fn a_store_of_a_newer_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("format"), "2\n").unwrap();
        let error = Store::open(folder.path()).err().unwrap();
        assert!(error.to_string().contains("has format `2`; this build reads format 1"), "{error}");
    }
}
