//! Counts what a store holds, by kind.

use serde::Serialize;

use crate::{
    Store, Tally,
    disk::{self, Entry, Found},
    error::Result,
    layout::{
        ACTIONS, CHECKPOINTS, FAILURES, JOBS, LOGS, OBJECTS, PROGRESS, PROMISES, PROVENANCE, QUARANTINE, TEMPORARY,
        WORK,
    },
    reserve::RESERVE,
    work::parse_work,
};

/// The files that a store holds, and their length on the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// All objects.
    pub objects: Tally,
    /// The objects that are compressed.
    pub compressed: Tally,
    /// The results of actions.
    pub results: Tally,
    /// The provenance of results.
    pub provenance: Tally,
    /// What executions said.
    pub logs: Tally,
    /// Which remotes have objects that are not here.
    pub promises: Tally,
    /// The files of checkpoints.
    pub checkpoints: Tally,
    /// The files in the working folders of programs.
    pub work: Tally,
    /// Files that are being written, or that a killed process left, and notes of jobs.
    pub temporary: Tally,
    /// Damaged files that were set aside.
    pub quarantine: Tally,
}

impl Store {
    /// Returns the number and the length of the files that the store holds, by kind.
    ///
    /// # Errors
    /// If a folder cannot be listed or a file cannot be looked at.
    pub fn usage(&self) -> Result<Usage> {
        let mut usage = Usage {
            results: self.tally(ACTIONS)?,
            provenance: self.tally(PROVENANCE)?,
            logs: self.tally(LOGS)?,
            promises: self.tally(PROMISES)?,
            checkpoints: self.tally(CHECKPOINTS)?,
            temporary: self.tally(TEMPORARY)?,
            quarantine: self.tally(QUARANTINE)?,
            ..Usage::default()
        };
        for folder in [JOBS, PROGRESS, FAILURES] {
            usage.temporary.add_all(self.tally(folder)?);
        }
        for folder in self.work_folders()? {
            usage.work.add_all(folder.files);
        }
        for object in self.list_sharded(OBJECTS)? {
            usage.objects.add(object.length);
            if object.name.is_some_and(|(_, suffix)| !suffix.is_empty()) {
                usage.compressed.add(object.length);
            }
        }
        Ok(usage)
    }

    /// Returns the number and the length of all files in the store's folder but the reserve.
    ///
    /// # Errors
    /// If a folder cannot be listed or a file cannot be looked at.
    pub fn total(&self) -> Result<Tally> {
        let mut total = self.tally("")?;
        for folder in self.work_folders()? {
            total.add_all(folder.files);
        }
        if let Found::Sound(reserve) = disk::look(&self.root().join(RESERVE))? {
            total.count -= 1;
            total.bytes -= reserve.len();
        }
        Ok(total)
    }

    fn tally(&self, folder: &str) -> Result<Tally> {
        let (mut tally, work) = (Tally::default(), self.dir(WORK));
        let mut folders = vec![self.dir(folder)];
        while let Some(folder) = folders.pop() {
            for Entry { path, is_dir, name } in disk::list(&folder)? {
                if is_dir && folder == work && parse_work(&name).is_some() {
                    // A program may have made folders there that cannot be listed.
                } else if is_dir {
                    folders.push(path);
                } else if let Found::Sound(metadata) = disk::look(&path)? {
                    tally.add(metadata.len());
                }
            }
        }
        Ok(tally)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Digest,
        testing::{files, noise, store},
    };

    #[test]
    fn what_is_stored_is_counted() {
        let (_folder, store) = store();
        assert_eq!(store.usage().unwrap(), Usage::default());
        store.put(&noise(100)).unwrap();
        store.put(&vec![0; 100_000]).unwrap();
        store.save_checkpoint(&Digest::of(b"t"), 1, &files(&[("a", "state")]), 1).unwrap();
        store.save_log(&crate::testing::action(&store, "a"), b"said\n").unwrap();
        let usage = store.usage().unwrap();
        assert_eq!((usage.logs.count, usage.logs.bytes), (1, 5));
        assert!(store.total().unwrap().bytes > usage.objects.bytes + usage.checkpoints.bytes + usage.logs.bytes);
        assert_eq!((usage.objects.count, usage.compressed.count, usage.checkpoints.count), (3, 1, 3));
        let small = usage.objects.bytes - 100 - usage.compressed.bytes;
        assert!((1..100).contains(&small), "the action's record: {small}");
        assert!(usage.compressed.bytes < 200);
    }
}
