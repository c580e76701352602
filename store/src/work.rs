//! The working folders of programs: one for each action, `work/KEY`. What is in it is the program's own. A part of it outlives kills, so
//! that a program that is started again goes on. It is held by one process at a time.
//!
//! A folder that is to go is renamed first. So whoever finds a folder of this name finds all that was in it.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{
    ActionKey, Store, Tally,
    disk::{self, DRAFT, Handle},
    error::Result,
    layout::WORK,
};

/// A working folder, which no other process uses until this is dropped.
#[derive(Debug)]
pub struct WorkFolder {
    path: PathBuf,
    _lock: Handle,
}

/// A working folder in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkEntry {
    /// The action whose program works there.
    pub key: ActionKey,
    /// Where it is.
    pub path: PathBuf,
    /// The files in it.
    pub files: Tally,
    /// When anything in it was last written.
    pub modified: SystemTime,
}

impl Store {
    /// Waits until no other process has the working folder of an action, and takes it. Makes it if there is none.
    ///
    /// # Errors
    /// [`StoreError::Interrupted`](crate::StoreError::Interrupted) if the process is asked to stop meanwhile. Also if the folder cannot
    /// be made or locked.
    pub fn work_folder(&self, key: &ActionKey) -> Result<WorkFolder> {
        let lock = self.lock_work(key)?;
        self.open_work(key, lock)
    }

    /// Takes the working folder of an action, unless another process has it. Makes it if there is none.
    ///
    /// # Errors
    /// If the folder cannot be made or locked.
    pub fn try_work_folder(&self, key: &ActionKey) -> Result<Option<WorkFolder>> {
        self.try_lock_work(key)?.map(|lock| self.open_work(key, lock)).transpose()
    }

    fn open_work(&self, key: &ActionKey, lock: Handle) -> Result<WorkFolder> {
        let path = self.work_path(key);
        disk::make_dir(&path, self.0.access)?;
        Ok(WorkFolder { path, _lock: lock })
    }

    /// Returns the working folders, sorted by path, with those that a killed process was about to remove. What cannot be listed in one
    /// does not count.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub fn work_folders(&self) -> Result<Vec<WorkEntry>> {
        let mut entries = Vec::new();
        for entry in disk::list(&self.dir(WORK))?.into_iter().filter(|entry| entry.is_dir) {
            let Some(key) = parse_work(&entry.name) else { continue };
            if let Some((files, modified)) = disk::measure(&entry.path)? {
                entries.push(WorkEntry { key, path: entry.path, files, modified });
            }
        }
        Ok(entries)
    }

    pub(crate) fn work_path(&self, key: &ActionKey) -> PathBuf {
        self.dir(WORK).join(key.to_string())
    }
}

impl WorkFolder {
    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes everything in it but the files and folders with these names.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn clear_except(&self, names: &[&str]) -> Result<()> {
        for entry in disk::list(&self.path)?.iter().filter(|entry| !names.contains(&entry.name.as_str())) {
            if entry.is_dir {
                disk::remove_tree(&entry.path)?;
            } else {
                disk::remove(&entry.path)?;
            }
        }
        Ok(())
    }

    /// Removes it, with everything in it.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn remove(self) -> Result<()> {
        remove_folder(&self.path)
    }
}

/// Returns the action whose working folder has this name, or had it before it was to be removed.
pub(crate) fn parse_work(name: &str) -> Option<ActionKey> {
    name.strip_prefix(DRAFT).unwrap_or(name).parse().ok()
}

/// Removes a working folder, whose lock the caller holds.
pub(crate) fn remove_folder(path: &Path) -> Result<()> {
    let name = path.file_name().expect("a working folder has a name").to_string_lossy();
    let going = if name.starts_with(DRAFT) { path.to_owned() } else { path.with_file_name(format!("{DRAFT}{name}")) };
    if going != path {
        // A process that was killed may have left one.
        disk::remove_tree(&going)?;
        disk::rename(path, &going)?;
    }
    disk::remove_tree(&going)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, sync::mpsc, time::Duration};

    use super::*;
    use crate::testing::{action, age, store};

    #[test]
    fn a_working_folder_is_made_and_one_process_has_it() {
        let (_folder, store) = store();
        let (a, b) = (action(&store, "a"), action(&store, "b"));
        let held = store.work_folder(&a).unwrap();
        assert_eq!(held.path(), store.root().join("work").join(a.to_string()));
        assert!(held.path().is_dir());
        assert!(store.try_work_folder(&a).unwrap().is_none());
        assert!(store.try_work_folder(&b).unwrap().is_some());
        fs::write(held.path().join("file"), "it stays").unwrap();
        drop(held);
        let held = store.try_work_folder(&a).unwrap().unwrap();
        assert_eq!(fs::read_to_string(held.path().join("file")).unwrap(), "it stays");
    }

    #[test]
    fn a_process_waits_for_the_one_that_has_the_folder() {
        let (_folder, store) = store();
        let key = action(&store, "a");
        let held = store.work_folder(&key).unwrap();
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let held = store.work_folder(&key).unwrap();
                sender.send(()).unwrap();
                drop(held);
            });
            assert!(receiver.recv_timeout(Duration::from_millis(30)).is_err());
            drop(held);
            receiver.recv().unwrap();
        });
    }

    /// Makes folders and files that a program may leave, some of which cannot be removed as they are.
    fn litter(folder: &Path) {
        fs::create_dir_all(folder.join("out/closed/inner")).unwrap();
        fs::write(folder.join("out/closed/inner/file"), "x").unwrap();
        fs::create_dir_all(folder.join("state")).unwrap();
        fs::write(folder.join("state/weights"), "w").unwrap();
        fs::write(folder.join("report.jsonl"), "{}").unwrap();
        std::os::unix::fs::symlink("/", folder.join("link")).unwrap();
        fs::set_permissions(folder.join("out/closed/inner"), fs::Permissions::from_mode(0o000)).unwrap();
        fs::set_permissions(folder.join("out/closed"), fs::Permissions::from_mode(0o500)).unwrap();
    }

    #[test]
    fn all_but_what_is_named_can_be_removed_and_then_all() {
        let (_folder, store) = store();
        let key = action(&store, "a");
        let held = store.work_folder(&key).unwrap();
        litter(held.path());
        held.clear_except(&["state", "report.jsonl"]).unwrap();
        let left: Vec<_> = disk::list(held.path()).unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(left, ["report.jsonl", "state"]);
        litter(held.path());
        held.remove().unwrap();
        assert_eq!(fs::read_dir(store.dir(WORK)).unwrap().count(), 0);
        assert!(Path::new("/usr").exists());
    }

    #[test]
    fn what_a_program_closed_is_opened_to_be_removed() {
        let folder = tempfile::tempdir().unwrap();
        litter(folder.path());
        disk::open_up(folder.path());
        let mode = |path: &str| fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("out/closed"), mode("out/closed/inner")), (0o700, 0o700));
    }

    #[test]
    fn folders_are_listed_with_their_files_and_the_time_of_the_latest() {
        let (_folder, store) = store();
        let key = action(&store, "a");
        let held = store.work_folder(&key).unwrap();
        litter(held.path());
        for path in ["report.jsonl", "state", "out/closed", "out", ""] {
            age(&held.path().join(path), 1000);
        }
        fs::write(store.dir(WORK).join("stray"), "").unwrap();
        let listed = store.work_folders().unwrap();
        assert_eq!((listed.len(), listed[0].key, &*listed[0].path), (1, key, held.path()));
        assert_eq!((listed[0].files.count, store.usage().unwrap().work), (4, listed[0].files));
        let old = |entry: &WorkEntry| entry.modified.elapsed().unwrap() > Duration::from_secs(900);
        assert!(!old(&listed[0]), "the weights are new");
        assert!(store.total().unwrap().count > 4);
    }
}
