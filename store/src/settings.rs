//! The file `remotes.ron`, in which people and programs write which other stores there are. The store does not read what is in it.

use std::path::PathBuf;

use crate::{
    Store,
    disk::{self, Existing},
    error::Result,
    layout::REMOTES,
};

impl Store {
    /// Returns the path of the file `remotes.ron`, which may not exist.
    pub fn remotes_path(&self) -> PathBuf {
        self.dir(REMOTES)
    }

    /// Returns what the file `remotes.ron` says, if there is one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn remotes_file(&self) -> Result<Option<Vec<u8>>> {
        let path = self.remotes_path();
        disk::read(&path)?.record(&path)
    }

    /// Replaces the file `remotes.ron` with what `change` makes of it. No other process changes it meanwhile.
    ///
    /// # Errors
    /// If `change` fails, or the file cannot be read or written.
    pub fn change_remotes<E: From<crate::StoreError>>(
        &self,
        change: impl FnOnce(Option<Vec<u8>>) -> Result<Vec<u8>, E>,
    ) -> Result<(), E> {
        let _lock = self.lock_refs()?;
        let bytes = change(self.remotes_file()?)?;
        let path = self.remotes_path();
        // People may edit it.
        let draft = self.draft_of(self.0.access.appended)?;
        draft.write(&bytes)?;
        draft.publish(&path, Existing::Replace)?;
        Ok(())
    }
}
