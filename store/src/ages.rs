//! When things in a store were last written or used.

use std::time::SystemTime;

use crate::{
    ActionKey, Digest, Store,
    disk::{self, Found},
    encoding::Encoding,
    error::Result,
    layout::{ACTIONS, OBJECTS},
};

impl Store {
    /// Returns when an object was last written or used, if it exists.
    ///
    /// # Errors
    /// If its file cannot be looked at.
    pub fn object_written(&self, name: &Digest) -> Result<Option<SystemTime>> {
        for encoding in [Encoding::Raw, Encoding::Zstd] {
            let path = self.object_path(name, encoding);
            if let Found::Sound(metadata) = disk::look(&path)? {
                return disk::modified(&path, &metadata).map(Some);
            }
        }
        Ok(None)
    }

    /// Returns the actions that have a result, with the times when their results were last written or used.
    ///
    /// # Errors
    /// If a folder cannot be listed.
    pub fn results_written(&self) -> Result<Vec<(ActionKey, SystemTime)>> {
        let records = self.list_sharded(ACTIONS)?;
        Ok(records.iter().filter_map(|record| Some((record.key()?, record.modified))).collect())
    }

    /// Returns the length of each object on the disk, in bytes.
    ///
    /// # Errors
    /// If a folder cannot be listed.
    pub fn object_sizes(&self) -> Result<std::collections::BTreeMap<Digest, u64>> {
        let objects = self.list_sharded(OBJECTS)?;
        Ok(objects.into_iter().filter_map(|object| Some((object.name?.0, object.length))).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{age, noise, store};

    #[test]
    fn the_time_and_the_length_of_an_object_are_those_of_its_file() {
        let (_folder, store) = store();
        let (raw, packed) = (store.put(&noise(100)).unwrap(), store.put(&vec![0; 100_000]).unwrap());
        age(&store.object_path(&raw, Encoding::Raw), 1000);
        let old = |name| store.object_written(name).unwrap().unwrap().elapsed().unwrap() > Duration::from_secs(900);
        assert_eq!((old(&raw), old(&packed)), (true, false));
        assert_eq!(store.object_written(&Digest::of(b"absent")).unwrap(), None);
        let sizes = store.object_sizes().unwrap();
        assert_eq!((sizes.len(), sizes[&raw]), (2, 100));
        assert!(sizes[&packed] < 200);
    }
}
