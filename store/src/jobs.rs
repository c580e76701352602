//! What a run and the jobs that it has put into the queue of a cluster leave for one another.
//!
//! | file | written by | says |
//! |---|---|---|
//! | `jobs/<batch>.keys` | the run, before it asks for the batch | a line for each job of the batch |
//! | `jobs/<batch>.<n>.log` | the cluster | what job `n` wrote |
//! | `progress/<key>` | the job, every few seconds | how far it is |
//! | `failures/<key>` | the job, if it ends without a result | why |
//!
//! No result depends on these files. They are opened by name: a shared file system may show a folder late.

use std::path::PathBuf;

use crate::{
    ActionKey, Store,
    disk::{self, Existing, Found},
    error::Result,
    layout::{FAILURES, JOBS, PROGRESS},
    names::check_name,
};

/// The end of the name of a file with the jobs of a batch.
const KEYS: &str = ".keys";

/// What a job leaves under the key of its action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobNote {
    /// How far it is.
    Progress,
    /// Why it ended without a result.
    Failure,
}

impl JobNote {
    fn folder(self) -> &'static str {
        match self {
            Self::Progress => PROGRESS,
            Self::Failure => FAILURES,
        }
    }
}

impl Store {
    /// Replaces a note of the job that executes an action.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_job_note(&self, kind: JobNote, key: &ActionKey, note: &[u8]) -> Result<()> {
        let draft = self.draft()?;
        draft.write(note)?;
        draft.name(&self.job_note_path(kind, key), Existing::Replace).map(drop)
    }

    /// Returns a note of the job that executes an action, if there is one.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn job_note(&self, kind: JobNote, key: &ActionKey) -> Result<Option<Vec<u8>>> {
        match disk::read(&self.job_note_path(kind, key))? {
            Found::Sound(bytes) => Ok(Some(bytes)),
            Found::Absent | Found::Damaged(_) => Ok(None),
        }
    }

    /// Removes a note of the job that executes an action, if there is one.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub fn remove_job_note(&self, kind: JobNote, key: &ActionKey) -> Result<()> {
        disk::remove(&self.job_note_path(kind, key)).map(drop)
    }

    /// Writes down the jobs of a batch, durably. Returns the file.
    ///
    /// # Errors
    /// [`StoreError::Name`](crate::StoreError::Name) if `batch` cannot be a file name. Also if the file cannot be written.
    pub fn write_batch(&self, batch: &str, jobs: &[u8]) -> Result<PathBuf> {
        let path = self.batch_path(batch)?;
        let draft = self.draft()?;
        draft.write(jobs)?;
        draft.publish(&path, Existing::Replace)?;
        Ok(path)
    }

    /// Returns the batches that were written down, sorted by name, each with its jobs.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn batches(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut batches = Vec::new();
        for entry in disk::list(&self.dir(JOBS))? {
            if let Some(batch) = entry.name.strip_suffix(KEYS)
                && let Found::Sound(jobs) = disk::read(&entry.path)?
            {
                batches.push((batch.to_owned(), jobs));
            }
        }
        batches.sort();
        Ok(batches)
    }

    /// Returns where the cluster is to write what job `index` of a batch says. `index` may be a placeholder of the cluster's.
    ///
    /// # Errors
    /// [`StoreError::Name`](crate::StoreError::Name) if `batch` cannot be a file name.
    pub fn job_log_path(&self, batch: &str, index: &str) -> Result<PathBuf> {
        check_name(batch)?;
        Ok(self.dir(JOBS).join(format!("{batch}.{index}.log")))
    }

    /// Returns what job `index` of a batch has said, as far as the cluster has written it.
    ///
    /// # Errors
    /// [`StoreError::Name`](crate::StoreError::Name) if `batch` cannot be a file name. Also if the disk cannot be read.
    pub fn job_log(&self, batch: &str, index: usize) -> Result<Option<Vec<u8>>> {
        match disk::read(&self.job_log_path(batch, &index.to_string())?)? {
            Found::Sound(bytes) => Ok(Some(bytes)),
            Found::Absent | Found::Damaged(_) => Ok(None),
        }
    }

    /// Removes what was written down about a batch of `jobs` jobs, and what they wrote.
    ///
    /// # Errors
    /// [`StoreError::Name`](crate::StoreError::Name) if `batch` cannot be a file name. Also if a file cannot be removed.
    pub fn remove_batch(&self, batch: &str, jobs: usize) -> Result<()> {
        for index in 0..jobs {
            disk::remove(&self.job_log_path(batch, &index.to_string())?)?;
        }
        disk::remove(&self.batch_path(batch)?).map(drop)
    }

    fn job_note_path(&self, kind: JobNote, key: &ActionKey) -> PathBuf {
        self.dir(kind.folder()).join(key.0.to_string())
    }

    fn batch_path(&self, batch: &str) -> Result<PathBuf> {
        check_name(batch)?;
        Ok(self.dir(JOBS).join(format!("{batch}{KEYS}")))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::{action, store};

    #[test]
    fn a_note_of_a_job_replaces_the_one_before_and_goes() {
        let (_folder, store) = store();
        let key = action(&store, "a");
        for kind in [JobNote::Progress, JobNote::Failure] {
            assert_eq!(store.job_note(kind, &key).unwrap(), None);
            for note in ["one", "another"] {
                store.write_job_note(kind, &key, note.as_bytes()).unwrap();
                assert_eq!(store.job_note(kind, &key).unwrap().as_deref(), Some(note.as_bytes()));
            }
        }
        store.remove_job_note(JobNote::Progress, &key).unwrap();
        store.remove_job_note(JobNote::Progress, &key).unwrap();
        assert_eq!(store.job_note(JobNote::Progress, &key).unwrap(), None);
        assert!(store.job_note(JobNote::Failure, &key).unwrap().is_some());
    }

    #[test]
    fn a_batch_is_found_again_with_what_its_jobs_wrote() {
        let (_folder, store) = store();
        assert_eq!(store.batches().unwrap(), []);
        store.write_batch("b-2", b"two\n").unwrap();
        store.write_batch("b-1", b"one\n").unwrap();
        let batches = [("b-1".to_owned(), b"one\n".to_vec()), ("b-2".to_owned(), b"two\n".to_vec())];
        assert_eq!(store.batches().unwrap(), batches);
        fs::write(store.job_log_path("b-1", "0").unwrap(), "said").unwrap();
        assert_eq!(store.job_log("b-1", 0).unwrap().unwrap(), b"said");
        assert_eq!(store.job_log("b-1", 1).unwrap(), None);
        store.remove_batch("b-1", 2).unwrap();
        assert_eq!(store.batches().unwrap(), batches[1..]);
        assert_eq!(store.job_log("b-1", 0).unwrap(), None);
        assert!(store.write_batch("../b", b"").is_err());
    }
}
