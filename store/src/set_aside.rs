//! Moves damaged files out of the way, to `quarantine/`, without losing them.

use std::path::{Component, Path, PathBuf};

use crate::{
    Digest, Store,
    disk::{self, Existing},
    encoding::Encoding,
    error::{Result, StoreError},
    layout::QUARANTINE,
};

impl Store {
    /// Moves the files of a damaged object to `quarantine/`. The object is missing afterwards, so results that name it no longer
    /// count and their actions run again. Returns the new paths.
    ///
    /// # Errors
    /// If a file cannot be moved.
    pub fn quarantine(&self, digest: &Digest) -> Result<Vec<PathBuf>> {
        let mut moved = Vec::new();
        for encoding in Encoding::ALL {
            let path = self.object_path(digest, encoding);
            moved.extend(self.set_aside(&self.relative(&path))?);
        }
        Ok(moved)
    }

    /// Moves a file, or whatever is in its place, to `quarantine/`. `path` is relative to the store's folder, as in a [`VerifyReport`](crate::VerifyReport).
    /// Returns the new path, or nothing if there is no such file.
    ///
    /// # Errors
    /// [`StoreError::Path`] if `path` leaves the store's folder. Also if the file cannot be moved.
    pub fn set_aside(&self, path: &Path) -> Result<Option<PathBuf>> {
        if path.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(StoreError::Path { path: path.display().to_string(), reason: "it is not within the store" });
        }
        let from = self.root().join(path);
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent.filter(|parent| !disk::is_dir(&self.root().join(parent))) {
            // What is in the place of the folder is what is damaged.
            return self.set_aside(parent);
        }
        if path == Path::new(QUARANTINE) {
            // It is in the place of the folder that it would be moved to.
            let to = self.root().join("quarantine-damaged");
            return Ok(disk::rename(&from, &to)?.then_some(to));
        }
        disk::make_dir(&self.dir(QUARANTINE), self.0.access)?;
        let to = self.free_place(path)?;
        let moved = disk::exists(&from)? && disk::rename(&from, &to)?;
        Ok(moved.then_some(to))
    }

    /// Writes a copy of the file `path`, which holds `bytes`, to `quarantine/`. `path` is relative to the store's folder.
    pub(crate) fn copy_aside(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        while !self.write(bytes, &self.free_place(path)?, Existing::Keep)? {}
        Ok(())
    }

    /// Returns a path in `quarantine/` for a file. If files of this name were set aside before, it ends with a number.
    fn free_place(&self, path: &Path) -> Result<PathBuf> {
        let name = path.to_string_lossy().replace('/', "-");
        let mut to = self.dir(QUARANTINE).join(&name);
        for n in 1_u32.. {
            if !disk::exists(&to)? {
                break;
            }
            to = self.dir(QUARANTINE).join(format!("{name}.{n}"));
        }
        Ok(to)
    }
}

#[cfg(test)]
mod tests {
    use crate::{ObjectSource, StoreError, testing::store};

    #[test]
    fn a_quarantined_object_is_missing_and_can_be_put_again() {
        let (_folder, store) = store();
        let digest = store.put(b"x").unwrap();
        for n in 0..2 {
            let moved = store.quarantine(&digest).unwrap();
            assert_eq!(moved.len(), 1);
            assert_eq!(moved[0].extension().is_some(), n > 0, "{moved:?}");
            assert!(matches!(store.read(&digest), Err(StoreError::Missing(_))));
            assert!(store.quarantine(&digest).unwrap().is_empty());
            store.put(b"x").unwrap();
        }
    }

    #[test]
    fn nothing_outside_the_store_is_set_aside() {
        let (folder, store) = store();
        std::fs::write(folder.path().join("thesis.tex"), "").unwrap();
        assert!(store.set_aside("../thesis.tex".as_ref()).is_err());
        assert!(store.set_aside(&folder.path().join("thesis.tex")).is_err());
    }
}
