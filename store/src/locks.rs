//! Locks that the kernel releases when their process ends, however it ends.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use crate::{
    ActionKey, Digest, Store,
    disk::{self, Entry, if_present},
    error::{At, Result, StoreError},
    layout::LOCKS,
};

/// The folders with lock files that come and go. The other lock files stay.
const ACTION_LOCKS: &str = "actions";
const TRAJECTORY_LOCKS: &str = "checkpoints";

/// Held while an action is executed, so that only one of several processes with the same action does the work.
#[derive(Debug)]
pub struct ActionLock {
    _file: File,
}

/// Whether to wait for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    Wait,
    Try,
}

impl Store {
    /// Waits for the lock of an action and takes it.
    ///
    /// # Errors
    /// If the lock's file cannot be made, opened or locked.
    pub fn lock_action(&self, key: &ActionKey) -> Result<ActionLock> {
        let file = acquire(&self.lock_path(ACTION_LOCKS, &key.0), Patience::Wait)?;
        Ok(ActionLock { _file: file.expect("waiting ends with the lock") })
    }

    /// Takes the lock of an action, unless another process holds it.
    ///
    /// # Errors
    /// If the lock's file cannot be made, opened or locked.
    pub fn try_lock_action(&self, key: &ActionKey) -> Result<Option<ActionLock>> {
        Ok(acquire(&self.lock_path(ACTION_LOCKS, &key.0), Patience::Try)?.map(|_file| ActionLock { _file }))
    }

    /// Waits for the lock of a trajectory's checkpoints.
    pub(crate) fn lock_trajectory(&self, trajectory: &Digest) -> Result<File> {
        let file = acquire(&self.lock_path(TRAJECTORY_LOCKS, trajectory), Patience::Wait)?;
        Ok(file.expect("waiting ends with the lock"))
    }

    /// Waits for the lock of a trajectory's checkpoints, to read them. A user without permission to write gets no lock if its file
    /// does not exist: then these checkpoints were never locked, so no process is writing them.
    pub(crate) fn lock_trajectory_to_read(&self, trajectory: &Digest) -> Result<Option<File>> {
        match self.lock_trajectory(trajectory) {
            Err(StoreError::Io { source, .. })
                if matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) =>
            {
                let path = self.lock_path(TRAJECTORY_LOCKS, trajectory);
                let file = if_present(File::open(&path)).at("open", &path)?;
                file.map(|file| file.lock_shared().at("lock", &path).map(|()| file)).transpose()
            }
            locked => locked.map(Some),
        }
    }

    /// Takes the lock of a trajectory's checkpoints, unless another process holds it.
    pub(crate) fn try_lock_trajectory(&self, trajectory: &Digest) -> Result<Option<File>> {
        acquire(&self.lock_path(TRAJECTORY_LOCKS, trajectory), Patience::Try)
    }

    /// Waits for the lock that is needed to remove a result that does not count.
    pub(crate) fn lock_dead_records(&self) -> Result<File> {
        let path = self.dir(LOCKS).join("records");
        let file = open(&path)?;
        file.lock().at("lock", &path)?;
        Ok(file)
    }

    /// Waits until no sweep is running, and keeps sweeps from starting until the file is closed. Hold it from finding something until
    /// it is certain that it stays.
    pub(crate) fn hold_off_sweeps(&self) -> Result<File> {
        let path = self.dir(LOCKS).join("sweep");
        let file = open(&path)?;
        file.lock_shared().at("lock", &path)?;
        Ok(file)
    }

    /// Waits until no process keeps sweeps from starting. Until the file is closed, no object is freshened, no key is appended to a run and no value
    /// to a ref.
    pub(crate) fn start_sweeping(&self) -> Result<File> {
        let path = self.dir(LOCKS).join("sweep");
        let file = open(&path)?;
        file.lock().at("lock", &path)?;
        Ok(file)
    }

    /// Returns the lock files that may be removed while they are not locked.
    pub(crate) fn lock_files(&self) -> Result<Vec<Entry>> {
        let mut files = Vec::new();
        for folder in [ACTION_LOCKS, TRAJECTORY_LOCKS] {
            files.extend(disk::list(&self.dir(LOCKS).join(folder))?);
        }
        Ok(files)
    }

    fn lock_path(&self, folder: &str, digest: &Digest) -> PathBuf {
        self.dir(LOCKS).join(folder).join(digest.to_string())
    }
}

/// Removes a lock file unless a process holds the lock. Returns whether it did.
pub(crate) fn remove_unused(path: &Path) -> Result<bool> {
    let Some(file) = if_present(File::open(path)).at("open", path)? else { return Ok(false) };
    // A process that waits for this lock will notice that its file was removed, and make a new one.
    if !try_lock(&file, path)? || !disk::still_names(path, &file)? {
        return Ok(false);
    }
    disk::remove(path)
}

/// Takes the lock on the file `path`. Creates the file if it does not exist.
fn acquire(path: &Path, patience: Patience) -> Result<Option<File>> {
    loop {
        let file = open(path)?;
        match patience {
            Patience::Wait => file.lock().at("lock", path)?,
            Patience::Try if !try_lock(&file, path)? => return Ok(None),
            Patience::Try => {}
        }
        // A sweep may have removed the file after we opened it and before we locked it. Others would lock its successor.
        if disk::still_names(path, &file)? {
            return Ok(Some(file));
        }
    }
}

/// Takes the lock on an open file, unless another process holds it. Returns whether it did.
pub(crate) fn try_lock(file: &File, path: &Path) -> Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(source)) => Err(StoreError::Io { action: "lock", path: path.to_owned(), source }),
    }
}

#[expect(clippy::disallowed_methods, reason = "a lock file is empty, so it is always whole")]
fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            disk::make_dir(path.parent().expect("every lock file is in a folder"))?;
            options.open(path).at("create", path)
        }
        opened => opened.at("open", path),
    }
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
