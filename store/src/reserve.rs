//! A file that takes up room so that a collection can write when the disk is full.

use crate::{
    Digest, Store,
    disk::{self, Existing, Found},
    error::Result,
};

/// The length of the reserve in bytes: enough for the logs of refs that a collection replaces.
const LENGTH: usize = 256 << 10;

impl Store {
    /// Frees the reserve, so that what follows can write although the disk is full.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn free_reserve(&self) -> Result<()> {
        disk::remove(&self.root().join(RESERVE)).map(drop)
    }

    /// Makes the reserve if there is none. If there is no room for it, there is none.
    pub fn keep_reserve(&self) {
        let path = self.root().join(RESERVE);
        let stands = matches!(disk::look(&path), Ok(Found::Sound(metadata)) if metadata.len() == LENGTH as u64);
        if stands {
            return;
        }
        // Bytes that do not compress, because some file systems compress.
        let blocks = (0..LENGTH / 32).flat_map(|i| *Digest::of(&i.to_le_bytes()).as_bytes());
        if let Err(error) = self.write(&blocks.collect::<Vec<_>>(), &path, Existing::Replace) {
            tracing::debug!(error = &error as &dyn std::error::Error, "there is no reserve");
        }
    }
}

/// The name of the file.
pub(crate) const RESERVE: &str = "reserve";
