//! Locks that the kernel releases when their process ends, however it ends.
//!
//! | file in `locks/` | held | for |
//! |---|---|---|
//! | `sweep` | shared | from finding or writing something until it is certain that it stays |
//! | `sweep` | exclusive | while files are removed |
//! | `gc` | exclusive | by a collection, from its first look at the roots to the end |
//! | `refs` | exclusive | while the log of a ref is replaced |
//! | `records` | exclusive | while a result that does not count is removed |
//! | `actions/<key>` | exclusive | while the action is executed |
//! | `work/<key>` | exclusive | while a program works in the folder of the action, or the folder is removed |
//! | `checkpoints/<trajectory>` | exclusive | while checkpoints are written, read or removed |
//!
//! A process that holds one of the last three may wait for those above them, and for those of the three that are further down. Nothing
//! else waits for the last three while it holds another.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use crate::{
    ActionKey, Digest, Store,
    disk::{self, Entry, Existing, Found, Handle, Lock},
    error::{Result, StoreError},
    layout::{LOCAL_LOCKS, LOCKS},
    waiting,
};

/// The folders with lock files that come and go. The other lock files stay.
const ACTION_LOCKS: &str = "actions";
const WORK_LOCKS: &str = "work";
const TRAJECTORY_LOCKS: &str = "checkpoints";

/// The folders in the folder of locks.
pub(crate) const LOCK_FOLDERS: [&str; 3] = [ACTION_LOCKS, WORK_LOCKS, TRAJECTORY_LOCKS];

/// Held while an action is executed, so that only one of several processes with the same action does the work.
#[derive(Debug)]
pub struct ActionLock {
    /// `None` if this user may not use the lock, and goes on without it.
    _file: Option<Handle>,
}

/// Keeps sweeps from starting until it is dropped. Hold it from finding or writing something until a run or a ref names it.
#[derive(Debug)]
pub struct NoSweep {
    /// `None` if this user may not use the lock, and goes on without it.
    _file: Option<Handle>,
}

/// Held by a collection, so that only one at a time decides what to remove.
#[derive(Debug)]
pub struct GcLock {
    _file: Handle,
}

impl Store {
    /// Waits for the lock of an action and takes it. If this user may not use the lock's file, there is a warning and no lock: then two
    /// processes may do the same work, and the first result counts.
    ///
    /// # Errors
    /// [`StoreError::Interrupted`] if the process is asked to stop meanwhile. Also if the lock's file cannot be made, opened or locked.
    pub fn lock_action(&self, key: &ActionKey) -> Result<ActionLock> {
        let what = "another process executes this action";
        let _file = or_pass_over(self.acquire(&self.lock_path(ACTION_LOCKS, &key.0), Some(&what)))?.flatten();
        Ok(ActionLock { _file })
    }

    /// Takes the lock of an action, unless another process holds it.
    ///
    /// # Errors
    /// If the lock's file cannot be made, opened or locked.
    pub fn try_lock_action(&self, key: &ActionKey) -> Result<Option<ActionLock>> {
        let file = self.acquire(&self.lock_path(ACTION_LOCKS, &key.0), None)?;
        Ok(file.map(|file| ActionLock { _file: Some(file) }))
    }

    /// Waits until no other collection is running.
    ///
    /// # Errors
    /// As for [`lock_action`](Self::lock_action).
    pub fn lock_gc(&self) -> Result<GcLock> {
        self.lock("gc", Lock::Exclusive, &"another `pipe gc` is running").map(|_file| GcLock { _file })
    }

    /// Waits for the lock of an action's working folder.
    pub(crate) fn lock_work(&self, key: &ActionKey) -> Result<Handle> {
        let what = "another process works in the folder of this action";
        let file = self.acquire(&self.lock_path(WORK_LOCKS, &key.0), Some(&what))?;
        Ok(file.expect("waiting ends with the lock"))
    }

    /// Takes the lock of an action's working folder, unless another process holds it.
    pub(crate) fn try_lock_work(&self, key: &ActionKey) -> Result<Option<Handle>> {
        self.acquire(&self.lock_path(WORK_LOCKS, &key.0), None)
    }

    /// Waits for the lock of a trajectory's checkpoints.
    pub(crate) fn lock_trajectory(&self, trajectory: &Digest) -> Result<Handle> {
        let what = "another process uses the checkpoints of this training";
        let file = self.acquire(&self.lock_path(TRAJECTORY_LOCKS, trajectory), Some(&what))?;
        Ok(file.expect("waiting ends with the lock"))
    }

    /// Waits for the lock of a trajectory's checkpoints, to read them. A user without permission to write gets no lock if its file
    /// does not exist: then these checkpoints were never locked, so no process is writing them.
    pub(crate) fn lock_trajectory_to_read(&self, trajectory: &Digest) -> Result<Option<Handle>> {
        match self.lock_trajectory(trajectory) {
            Err(error) if error.is_denied() => {
                let path = self.lock_path(TRAJECTORY_LOCKS, trajectory);
                let Found::Sound(file) = disk::open(&path)? else { return Ok(None) };
                waiting::lock(&file, Lock::Shared, &"another process uses the checkpoints of this training")?;
                Ok(Some(file))
            }
            locked => locked.map(Some),
        }
    }

    /// Takes the lock of a trajectory's checkpoints, unless another process holds it.
    pub(crate) fn try_lock_trajectory(&self, trajectory: &Digest) -> Result<Option<Handle>> {
        self.acquire(&self.lock_path(TRAJECTORY_LOCKS, trajectory), None)
    }

    /// Waits for the lock that is needed to remove a result that does not count.
    pub(crate) fn lock_dead_records(&self) -> Result<Handle> {
        self.lock("records", Lock::Exclusive, &"another process removes damaged results")
    }

    /// Waits for the lock that is needed to replace the log of a ref.
    pub(crate) fn lock_refs(&self) -> Result<Handle> {
        self.lock("refs", Lock::Exclusive, &"another process names a study")
    }

    /// Waits until no sweep is running, and keeps sweeps from starting until the result is dropped. Hold it from finding something
    /// until it is certain that it stays. If this user may not use the lock's file, there is a warning and no lock.
    ///
    /// # Errors
    /// As for [`lock_action`](Self::lock_action).
    pub fn hold_off_sweeps(&self) -> Result<NoSweep> {
        let locked = self.lock("sweep", Lock::Shared, &"`pipe gc` is removing files");
        or_pass_over(locked).map(|_file| NoSweep { _file })
    }

    /// Waits until no process keeps sweeps from starting. Until the file is closed, no object is freshened, no key is appended to a run
    /// and no value to a ref.
    pub(crate) fn start_sweeping(&self) -> Result<Handle> {
        self.lock("sweep", Lock::Exclusive, &"other processes are using the store")
    }

    /// Returns the lock files that may be removed while they are not locked.
    pub(crate) fn lock_files(&self) -> Result<Vec<Entry>> {
        let mut files = Vec::new();
        for folder in LOCK_FOLDERS {
            files.extend(disk::list(&self.dir(LOCKS).join(folder))?);
        }
        Ok(files)
    }

    /// Waits for a lock whose file stays.
    fn lock(&self, name: &str, kind: Lock, what: &dyn fmt::Display) -> Result<Handle> {
        let file = disk::open_lock(&self.dir(LOCKS).join(name), self.0.access)?;
        waiting::lock(&file, kind, what)?;
        Ok(file)
    }

    /// Takes the lock on the file `path`, and creates the file if it does not exist. Waits if `what` says for what.
    fn acquire(&self, path: &Path, what: Option<&dyn fmt::Display>) -> Result<Option<Handle>> {
        loop {
            let file = disk::open_lock(path, self.0.access)?;
            match what {
                Some(what) => waiting::lock(&file, Lock::Exclusive, what)?,
                None if !file.try_lock(Lock::Exclusive)? => return Ok(None),
                None => {}
            }
            // A sweep may have removed the file after we opened it and before we locked it. Others would lock its successor.
            if file.has_its_name()? {
                return Ok(Some(file));
            }
        }
    }

    fn lock_path(&self, folder: &str, digest: &Digest) -> PathBuf {
        self.dir(LOCKS).join(folder).join(digest.to_string())
    }
}

impl Store {
    /// Returns whether it was found that other machines do not see the locks of this store, or that it has none. A process that has not
    /// taken one yet cannot know the latter.
    pub fn locks_are_local(&self) -> bool {
        !disk::has_locks() || matches!(disk::exists(&self.dir(LOCAL_LOCKS)), Ok(true))
    }

    /// Notes that other machines do not see the locks of this store.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn note_local_locks(&self) -> Result<()> {
        self.draft()?.publish(&self.dir(LOCAL_LOCKS), Existing::Replace).map(drop)
    }
}

impl StoreError {
    /// Returns whether the user has no permission for what was to be done.
    pub(crate) fn is_denied(&self) -> bool {
        let kinds = [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem];
        matches!(self, Self::Io { source, .. } if kinds.contains(&source.kind()))
    }
}

/// Turns a missing permission for the file of a lock into a warning. Only what costs time without its lock may go on without it.
fn or_pass_over<T>(locked: Result<T>) -> Result<Option<T>> {
    match locked {
        Err(error) if error.is_denied() => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "a lock is passed over: this user may not use its file");
            Ok(None)
        }
        locked => locked.map(Some),
    }
}

/// Removes a lock file unless a process holds the lock. Returns whether it did.
pub(crate) fn remove_unused(path: &Path) -> Result<bool> {
    let Found::Sound(file) = disk::open(path)? else { return Ok(false) };
    // A process that waits for this lock will notice that its file was removed, and make a new one.
    if !file.try_lock(Lock::Exclusive)? || !file.has_its_name()? {
        return Ok(false);
    }
    disk::remove(path)
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;
    use crate::testing::{action, store};

    #[test]
    fn an_action_is_locked_by_one_at_a_time() {
        let (_folder, store) = store();
        let (a, b) = (action(&store, "a"), action(&store, "b"));
        let held = store.try_lock_action(&a).unwrap();
        assert!(held.is_some());
        assert!(store.try_lock_action(&a).unwrap().is_none());
        assert!(store.try_lock_action(&b).unwrap().is_some());
        drop(held);
        assert!(store.try_lock_action(&a).unwrap().is_some());
    }

    #[test]
    fn a_lock_that_is_held_is_not_removed() {
        let (_folder, store) = store();
        let key = action(&store, "a");
        let held = store.lock_action(&key).unwrap();
        let path = store.lock_path(ACTION_LOCKS, &key.0);
        assert!(!remove_unused(&path).unwrap());
        drop(held);
        assert!(remove_unused(&path).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn a_process_that_waits_for_a_removed_lock_gets_the_new_one() {
        let (_folder, store) = store();
        let key = action(&store, "a");
        let path = store.lock_path(ACTION_LOCKS, &key.0);
        let held = store.lock_action(&key).unwrap();
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let lock = store.lock_action(&key).unwrap();
                sender.send(()).unwrap();
                std::thread::sleep(Duration::from_millis(50));
                drop(lock);
            });
            std::thread::sleep(Duration::from_millis(20));
            // As a sweep does if it gets the lock first.
            std::fs::remove_file(&path).unwrap();
            drop(held);
            receiver.recv().unwrap();
            assert!(store.try_lock_action(&key).unwrap().is_none(), "two processes hold one lock");
        });
    }
}
