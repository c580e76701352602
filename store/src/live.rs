//! What a run says of itself while it runs. Each note replaces the one before, and the last one goes with the run.
//!
//! Nothing depends on these notes. They are not synced, they are in the folder of unfinished files, and a note that is damaged is none.

use std::path::PathBuf;

use crate::{
    Store,
    disk::{self, Existing, Found},
    error::Result,
    layout::TEMPORARY,
    names::check_name,
};

impl Store {
    /// Replaces what the run `id` says of itself.
    ///
    /// # Errors
    /// [`StoreError::Name`](crate::StoreError::Name) if the id cannot be a file name. Also if the file cannot be written.
    pub fn say_live(&self, id: &str, note: &[u8]) -> Result<()> {
        let path = self.live_path(id)?;
        let draft = self.draft()?;
        draft.write(note)?;
        draft.name(&path, Existing::Replace).map(drop)
    }

    /// Returns what the run `id` said of itself last, if it says something.
    ///
    /// # Errors
    /// [`StoreError::Name`](crate::StoreError::Name) if the id cannot be a file name. Also if the disk cannot be read.
    pub fn live(&self, id: &str) -> Result<Option<Vec<u8>>> {
        match disk::read(&self.live_path(id)?)? {
            Found::Sound(bytes) => Ok(Some(bytes.to_vec())),
            Found::Absent | Found::Damaged(_) => Ok(None),
        }
    }

    /// Removes what the run `id` said of itself.
    ///
    /// # Errors
    /// [`StoreError::Name`](crate::StoreError::Name) if the id cannot be a file name. Also if the file is there and cannot be removed.
    pub fn end_live(&self, id: &str) -> Result<()> {
        disk::remove(&self.live_path(id)?).map(drop)
    }

    fn live_path(&self, id: &str) -> Result<PathBuf> {
        check_name(id)?;
        Ok(self.dir(TEMPORARY).join(format!("live-{id}")))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::store;

    #[test]
    fn a_note_replaces_the_one_before_and_goes() {
        let (_folder, store) = store();
        assert_eq!(store.live("r1").unwrap(), None);
        for note in ["one", "another"] {
            store.say_live("r1", note.as_bytes()).unwrap();
            assert_eq!(store.live("r1").unwrap().as_deref(), Some(note.as_bytes()));
        }
        assert_eq!(store.live("r2").unwrap(), None);
        store.end_live("r1").unwrap();
        store.end_live("r1").unwrap();
        assert_eq!(store.live("r1").unwrap(), None);
        assert!(store.say_live("../r1", b"").is_err());
    }
}
