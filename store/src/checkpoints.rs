//! Checkpoints: states of a training from which it can continue after it was killed. Losing one costs time, but never a result.
//!
//! The bytes of a checkpoint are not objects. They are stored beside the checkpoints of the same trajectory, and nothing else refers
//! to them, so they are freed as soon as a newer checkpoint replaces them. As objects, they would stay until the next garbage
//! collection: hundreds of states after a training of eight hours.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{
    Bytes, Digest, FoundFile, Store, Tree, TreeEntry, check_path,
    disk::{self, Existing, Found},
    encoding::Encoding,
    error::{Result, StoreError},
    lay::lay_file,
    layout::{CHECKPOINTS, PARTS},
    verified,
};

/// A checkpoint in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointEntry {
    /// The digest of everything that defines the training, except its length.
    pub trajectory: Digest,
    /// The step after which the state was saved.
    pub step: u64,
    /// When the checkpoint was written.
    pub modified: SystemTime,
    /// The tree of its parts, if it can be read.
    pub tree: Option<Digest>,
    /// The size in bytes of those parts that no earlier step of the trajectory has.
    pub size: u64,
}

impl Store {
    /// Saves the complete state of a trajectory at a step. Then removes checkpoints of earlier steps, except the latest
    /// `keep_newest - 1`. Checkpoints of later steps stay, because a longer training of the same trajectory continues from them.
    ///
    /// # Errors
    /// [`StoreError::Path`] if the name of a part cannot be a path. Also if a file cannot be written or removed.
    pub fn save_checkpoint(
        &self,
        trajectory: &Digest,
        step: u64,
        parts: &BTreeMap<String, Vec<u8>>,
        keep_newest: usize,
    ) -> Result<()> {
        let tree = Tree::of(parts)?;
        let _lock = self.lock_trajectory(trajectory)?;
        parts.values().try_for_each(|bytes| self.save_part(trajectory, bytes))?;
        self.name_checkpoint(trajectory, step, &tree, keep_newest)
    }

    /// Saves a checkpoint like [`save_checkpoint`](Self::save_checkpoint), whose parts are files of this disk. However large they are,
    /// few of their bytes are in memory. Whether a file is a program is saved, too.
    ///
    /// # Errors
    /// [`StoreError::Changed`] if one is not a file or changes while it is read. Otherwise as for
    /// [`save_checkpoint`](Self::save_checkpoint).
    pub fn save_checkpoint_files(
        &self,
        trajectory: &Digest,
        step: u64,
        parts: &BTreeMap<String, PathBuf>,
        keep_newest: usize,
    ) -> Result<()> {
        parts.keys().try_for_each(|name| check_path(name))?;
        let files = parts.values().map(|path| FoundFile::look(path)).collect::<Result<Vec<_>>>()?;
        let _lock = self.lock_trajectory(trajectory)?;
        let digests = self.put_parts(trajectory, &files)?;
        let entry =
            |(file, digest): (&FoundFile, Digest)| TreeEntry { digest, executable: file.executable, size: file.size };
        let entries = files.iter().zip(digests).map(entry);
        let tree = Tree { files: parts.keys().cloned().zip(entries).collect() };
        self.name_checkpoint(trajectory, step, &tree, keep_newest)
    }

    /// Names a checkpoint, whose parts are saved, and removes those that it replaces. The caller holds the trajectory's lock.
    fn name_checkpoint(&self, trajectory: &Digest, step: u64, tree: &Tree, keep_newest: usize) -> Result<()> {
        let tree = tree.to_bytes();
        self.save_part(trajectory, &tree)?;
        let line = format!("{}\n", Digest::of(&tree));
        self.write(line.as_bytes(), &self.step_path(trajectory, step), Existing::Replace)?;
        let steps = self.steps(trajectory)?;
        let earlier = steps.iter().rev().filter(|other| **other < step);
        for old in earlier.skip(keep_newest.saturating_sub(1)) {
            disk::remove(&self.step_path(trajectory, *old))?;
        }
        self.drop_unnamed_parts(trajectory)
    }

    /// Returns the latest checkpoint that is complete and undamaged and not after step `at_most`: its step and its parts. One that is
    /// damaged or lacks a part is removed with a warning, and the one before it is tried. If checkpoints cannot be read at all there is
    /// a warning, too, and nothing is returned.
    pub fn latest_checkpoint(&self, trajectory: &Digest, at_most: u64) -> Option<(u64, BTreeMap<String, Bytes>)> {
        if !disk::is_dir(&self.trajectory_dir(trajectory)) {
            return None;
        }
        let found = self.find_checkpoint(trajectory, at_most, |step| self.read_checkpoint(trajectory, step));
        found.unwrap_or_else(|error| {
            warn_unread(trajectory, &error);
            None
        })
    }

    /// Writes the parts of the latest checkpoint to files in `folder`, which is made if there is none, and returns its step. Otherwise
    /// as [`latest_checkpoint`](Self::latest_checkpoint). However large the parts are, few of their bytes are in memory. The folder is
    /// one that only the caller uses, and the files are the caller's own to change.
    ///
    /// # Errors
    /// If a file cannot be written in `folder`, or one is there already. Then there is none of them.
    pub fn lay_latest_checkpoint(&self, trajectory: &Digest, at_most: u64, folder: &Path) -> Result<Option<u64>> {
        if !disk::is_dir(&self.trajectory_dir(trajectory)) {
            return Ok(None);
        }
        match self.find_checkpoint(trajectory, at_most, |step| self.lay_checkpoint(trajectory, step, folder)) {
            Ok(found) => Ok(found.map(|(step, ())| step)),
            Err(StoreError::Io { path, action, source }) if path.starts_with(folder) => {
                Err(StoreError::Io { path, action, source })
            }
            Err(error) => {
                warn_unread(trajectory, &error);
                Ok(None)
            }
        }
    }

    /// Writes the parts of a checkpoint to files. If that fails, none of them stays.
    fn lay_checkpoint(&self, trajectory: &Digest, step: u64, folder: &Path) -> Result<()> {
        let (_, tree) = self.checkpoint_tree(trajectory, step)?;
        let mut laid = Vec::new();
        let mut lay = |(name, part): (&String, &TreeEntry)| {
            let to = folder.join(name);
            disk::make_passing_dir(disk::folder(&to), self.0.access)?;
            let mode = if part.executable { 0o777 } else { 0o666 };
            let from = self.part_path(trajectory, &part.digest);
            if !lay_file(&from, Encoding::Raw, &part.digest, &to, mode)? {
                return Err(StoreError::Missing(part.digest));
            }
            laid.push(to);
            Ok(())
        };
        let done =
            disk::make_passing_dir(folder, self.0.access).and_then(|()| tree.files.iter().try_for_each(&mut lay));
        if done.is_err() {
            laid.iter().try_for_each(|path| disk::remove(path).map(drop))?;
        }
        done
    }

    /// Removes all checkpoints of a trajectory except the `newest` ones.
    ///
    /// # Errors
    /// If a file cannot be read or removed.
    pub fn keep_checkpoints(&self, trajectory: &Digest, newest: usize) -> Result<()> {
        if !disk::is_dir(&self.trajectory_dir(trajectory)) {
            return Ok(());
        }
        let _lock = self.lock_trajectory(trajectory)?;
        for old in self.steps(trajectory)?.iter().rev().skip(newest) {
            disk::remove(&self.step_path(trajectory, *old))?;
        }
        self.drop_unnamed_parts(trajectory)
    }

    /// Removes all checkpoints of a trajectory, unless a process is reading or writing them at this moment. Returns whether it did.
    ///
    /// # Errors
    /// If a file cannot be read or removed.
    pub fn drop_checkpoints(&self, trajectory: &Digest) -> Result<bool> {
        if !disk::is_dir(&self.trajectory_dir(trajectory)) {
            return Ok(false);
        }
        let Some(_lock) = self.try_lock_trajectory(trajectory)? else { return Ok(false) };
        for step in self.steps(trajectory)? {
            disk::remove(&self.step_path(trajectory, step))?;
        }
        self.drop_unnamed_parts(trajectory)?;
        Ok(true)
    }

    /// Returns the checkpoints of all trajectories, sorted by trajectory and step.
    ///
    /// # Errors
    /// If a folder cannot be listed or a file cannot be looked at.
    pub fn checkpoints(&self) -> Result<Vec<CheckpointEntry>> {
        let mut entries = Vec::new();
        for trajectory in self.trajectories()? {
            let mut counted = BTreeSet::new();
            for step in self.steps(&trajectory)? {
                let path = self.step_path(&trajectory, step);
                let Found::Sound(metadata) = disk::look(&path)? else { continue };
                let modified = disk::modified(&path, &metadata)?;
                let tree = self.checkpoint_tree(&trajectory, step).ok();
                let files = tree.iter().flat_map(|(_, tree)| tree.files.values());
                let size = files.filter(|part| counted.insert(part.digest)).map(|part| part.size).sum();
                entries.push(CheckpointEntry { trajectory, step, modified, tree: tree.map(|(name, _)| name), size });
            }
        }
        Ok(entries)
    }

    /// Returns the trajectories that have checkpoints, sorted.
    ///
    /// # Errors
    /// If their folder cannot be listed.
    pub fn trajectories(&self) -> Result<Vec<Digest>> {
        Ok(disk::list(&self.dir(CHECKPOINTS))?.iter().filter_map(|entry| entry.name.parse().ok()).collect())
    }

    /// Returns the steps for which a trajectory has checkpoints, in ascending order.
    pub(crate) fn steps(&self, trajectory: &Digest) -> Result<Vec<u64>> {
        let entries = disk::list(&self.trajectory_dir(trajectory))?;
        let mut steps: Vec<u64> = entries.iter().filter_map(|entry| parse_step(&entry.name)).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    pub(crate) fn step_path(&self, trajectory: &Digest, step: u64) -> PathBuf {
        self.trajectory_dir(trajectory).join(step.to_string())
    }

    pub(crate) fn part_path(&self, trajectory: &Digest, part: &Digest) -> PathBuf {
        self.trajectory_dir(trajectory).join(PARTS).join(part.to_string())
    }

    /// Returns the name and the tree of a checkpoint's parts.
    pub(crate) fn checkpoint_tree(&self, trajectory: &Digest, step: u64) -> Result<(Digest, Tree)> {
        let path = self.step_path(trajectory, step);
        let damaged = |reason: String| StoreError::Record { path: path.clone(), reason };
        let text = disk::read(&path)?.record(&path)?.ok_or_else(|| damaged("it is gone".to_owned()))?;
        let line = std::str::from_utf8(&text).ok().and_then(|text| text.strip_suffix('\n'));
        let name = line.unwrap_or_default().parse().map_err(|error| damaged(format!("{error}")))?;
        let bytes = self.part(trajectory, &name)?;
        let tree = Tree::from_bytes(&bytes).map_err(|reason| StoreError::NotATree { name, reason })?;
        Ok((name, tree))
    }

    /// Removes the parts that no checkpoint of the trajectory names, and the folder if it is empty then. The caller holds the
    /// trajectory's lock.
    pub(crate) fn drop_unnamed_parts(&self, trajectory: &Digest) -> Result<()> {
        let mut named = BTreeSet::new();
        for step in self.steps(trajectory)? {
            match self.checkpoint_tree(trajectory, step) {
                Ok((name, tree)) => {
                    named.insert(name.to_string());
                    named.extend(tree.files.values().map(|part| part.digest.to_string()));
                }
                Err(error) if error.is_damage() => self.drop_damaged(trajectory, step, &error)?,
                Err(error) => return Err(error),
            }
        }
        let folder = self.trajectory_dir(trajectory);
        let mut parts = disk::list(&folder.join(PARTS))?;
        parts.retain(|part| !named.contains(&part.name));
        if !parts.is_empty() {
            // No loss of power must bring back a checkpoint that names them.
            disk::sync_dir(&folder)?;
        }
        for part in parts {
            disk::remove(&part.path)?;
        }
        if named.is_empty() {
            disk::remove_empty_dir(&folder.join(PARTS))?;
            disk::remove_empty_dir(&folder)?;
        }
        Ok(())
    }

    /// Returns the step of the latest checkpoint that `read` can read, and what it gives.
    fn find_checkpoint<T>(
        &self,
        trajectory: &Digest,
        at_most: u64,
        read: impl Fn(u64) -> Result<T>,
    ) -> Result<Option<(u64, T)>> {
        let _lock = self.lock_trajectory(trajectory)?;
        for step in self.steps(trajectory)?.into_iter().rev().filter(|step| *step <= at_most) {
            match read(step) {
                Ok(read) => return Ok(Some((step, read))),
                Err(error) if error.is_damage() => self.drop_damaged(trajectory, step, &error)?,
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    pub(crate) fn read_checkpoint(&self, trajectory: &Digest, step: u64) -> Result<BTreeMap<String, Bytes>> {
        let (_, tree) = self.checkpoint_tree(trajectory, step)?;
        tree.files.into_iter().map(|(path, part)| Ok((path, self.part(trajectory, &part.digest)?))).collect()
    }

    fn drop_damaged(&self, trajectory: &Digest, step: u64, error: &StoreError) -> Result<()> {
        let error = error as &dyn std::error::Error;
        tracing::warn!(%trajectory, step, error, "setting aside a damaged checkpoint");
        self.set_aside(&self.relative(&self.step_path(trajectory, step))).map(drop)
    }

    /// Returns the verified bytes of a part.
    fn part(&self, trajectory: &Digest, name: &Digest) -> Result<Bytes> {
        let bytes = verified::read_once(&self.part_path(trajectory, name), name)?;
        bytes.ok_or(StoreError::Missing(*name))
    }

    fn save_part(&self, trajectory: &Digest, bytes: &[u8]) -> Result<()> {
        let name = Digest::of(bytes);
        if self.has_part(trajectory, &name)? {
            return Ok(());
        }
        let draft = self.draft()?;
        draft.write(bytes)?;
        draft.publish(&self.part_path(trajectory, &name), Existing::Replace).map(drop)
    }

    /// Returns whether there is an undamaged part of this name.
    pub(crate) fn has_part(&self, trajectory: &Digest, name: &Digest) -> Result<bool> {
        Ok(verified::check_file(&self.part_path(trajectory, name), Encoding::Raw, name)? == Some(Ok(())))
    }
}

fn warn_unread(trajectory: &Digest, error: &StoreError) {
    let error = error as &dyn std::error::Error;
    tracing::warn!(%trajectory, error, "the checkpoints cannot be read; training starts from the beginning");
}

/// Returns the step that a file is named for. The name must be the shortest form of the number.
pub(crate) fn parse_step(name: &str) -> Option<u64> {
    name.parse().ok().filter(|step: &u64| step.to_string() == name)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::testing::{files, noise, store};

    fn trajectory() -> Digest {
        Digest::of(b"a training")
    }

    fn save(store: &Store, step: u64, keep: usize) {
        let state = format!("state at {step}");
        store.save_checkpoint(&trajectory(), step, &files(&[("state", &state), ("best", "same")]), keep).unwrap();
    }

    fn latest(store: &Store, at_most: u64) -> Option<u64> {
        let (step, parts) = store.latest_checkpoint(&trajectory(), at_most)?;
        assert_eq!(*parts["state"], *format!("state at {step}").as_bytes());
        assert_eq!(*parts["best"], *b"same");
        Some(step)
    }

    fn names(store: &Store, folder: &str) -> Vec<String> {
        let folder = store.trajectory_dir(&trajectory()).join(folder);
        disk::list(&folder).unwrap().into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn the_largest_step_not_beyond_the_target_is_found() {
        let (_folder, store) = store();
        assert_eq!(latest(&store, u64::MAX), None);
        [9, 10, 100].into_iter().for_each(|step| save(&store, step, 9));
        for (at_most, expected) in [(8, None), (9, Some(9)), (99, Some(10)), (100, Some(100)), (u64::MAX, Some(100))] {
            assert_eq!(latest(&store, at_most), expected, "{at_most}");
        }
    }

    #[test]
    fn what_a_newer_checkpoint_replaces_is_freed_at_once() {
        let (_folder, store) = store();
        (1..=5).for_each(|step| save(&store, step, 2));
        assert_eq!(names(&store, ""), ["4", "5", "parts"]);
        // Two states, two trees, and one part that both share.
        assert_eq!(names(&store, "parts").len(), 5);
        save(&store, 6, 1);
        assert_eq!((names(&store, ""), names(&store, "parts").len()), (vec!["6".into(), "parts".into()], 3));
    }

    #[test]
    fn checkpoints_that_nothing_needs_are_dropped_unless_they_are_in_use() {
        let (_folder, store) = store();
        assert!(!store.drop_checkpoints(&trajectory()).unwrap(), "there are none");
        [1, 2].into_iter().for_each(|step| save(&store, step, 2));
        let in_use = store.lock_trajectory(&trajectory()).unwrap();
        assert!(!store.drop_checkpoints(&trajectory()).unwrap());
        drop(in_use);
        assert_eq!(latest(&store, u64::MAX), Some(2));
        assert!(store.drop_checkpoints(&trajectory()).unwrap());
        assert_eq!((latest(&store, u64::MAX), store.trajectories().unwrap()), (None, Vec::new()));
    }

    #[test]
    fn a_shorter_training_leaves_the_states_of_a_longer_one() {
        let (_folder, store) = store();
        for step in [1000, 2000, 10, 20, 30] {
            save(&store, step, 2);
        }
        assert_eq!(names(&store, ""), ["1000", "20", "2000", "30", "parts"]);
    }

    #[test]
    fn if_a_checkpoint_is_damaged_the_one_before_it_is_used() {
        for part in [true, false] {
            let (_folder, store) = store();
            (1..=3).for_each(|step| save(&store, step, 9));
            let path = match part {
                true => store.part_path(&trajectory(), &Digest::of(b"state at 3")),
                false => store.step_path(&trajectory(), 3),
            };
            fs::remove_file(&path).unwrap();
            fs::write(&path, "rot").unwrap();
            assert_eq!(latest(&store, 9), Some(2));
            assert_eq!(names(&store, ""), ["1", "2", "parts"], "the damaged one is dropped");
            fs::remove_file(store.part_path(&trajectory(), &Digest::of(b"state at 2"))).unwrap();
            assert_eq!(latest(&store, 9), Some(1));
            save(&store, 3, 1);
            assert_eq!((latest(&store, 9), names(&store, "parts").len()), (Some(3), 3));
        }
    }

    #[test]
    fn a_part_that_is_damaged_is_written_again() {
        let (_folder, store) = store();
        save(&store, 1, 1);
        let path = store.part_path(&trajectory(), &Digest::of(b"same"));
        fs::remove_file(&path).unwrap();
        fs::write(&path, "sane").unwrap();
        save(&store, 2, 1);
        assert_eq!(latest(&store, 9), Some(2));
    }

    #[test]
    fn large_parts_can_be_read_after_they_are_dropped() {
        let (_folder, store) = store();
        let parts = |step: u8| BTreeMap::from([("weights".to_owned(), [noise(100_000), vec![step]].concat())]);
        store.save_checkpoint(&trajectory(), 1, &parts(1), 1).unwrap();
        let (_, read) = store.latest_checkpoint(&trajectory(), 9).unwrap();
        store.save_checkpoint(&trajectory(), 2, &parts(2), 1).unwrap();
        assert_eq!(*read["weights"], *parts(1)["weights"]);
    }

    #[test]
    fn checkpoints_are_listed_with_what_each_adds() {
        let (_folder, store) = store();
        [1, 2].into_iter().for_each(|step| save(&store, step, 2));
        let list = store.checkpoints().unwrap();
        let listed: Vec<_> = list.iter().map(|entry| (entry.trajectory, entry.step, entry.size)).collect();
        assert_eq!(listed, [(trajectory(), 1, 14), (trajectory(), 2, 10)]);
    }

    /// Writes these files to a folder, and returns where they are.
    fn on_disk(folder: &Path, files: &[(&str, &[u8])]) -> BTreeMap<String, PathBuf> {
        let write = |(name, bytes): &(&str, &[u8])| {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
            ((*name).to_owned(), path)
        };
        files.iter().map(write).collect()
    }

    #[test]
    fn a_checkpoint_of_files_is_laid_out_as_it_was() {
        let (folder, store) = store();
        let large = noise(5 << 20);
        let files: &[(&str, &[u8])] =
            &[("a/b/weights", &large), ("a/empty", b""), ("log", b"one"), ("same", b"one"), ("run.sh", b"#!/bin/sh")];
        let paths = on_disk(&folder.path().join("state"), files);
        fs::set_permissions(&paths["run.sh"], fs::Permissions::from_mode(0o755)).unwrap();
        store.save_checkpoint_files(&trajectory(), 7, &paths, 1).unwrap();
        let to = folder.path().join("work/state");
        assert_eq!(store.lay_latest_checkpoint(&trajectory(), 6, &to).unwrap(), None);
        assert_eq!(store.lay_latest_checkpoint(&trajectory(), 7, &to).unwrap(), Some(7));
        for (name, bytes) in files {
            let path = to.join(name);
            assert_eq!(fs::read(&path).unwrap(), *bytes, "{name}");
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(
                mode & 0o300,
                if *name == "run.sh" { 0o300 } else { 0o200 },
                "{name}: the program may change it"
            );
            // What it does with it stays there.
            fs::write(&path, "changed").unwrap();
        }
        let (step, parts) = store.latest_checkpoint(&trajectory(), 9).unwrap();
        assert_eq!((step, parts.len(), &*parts["a/b/weights"]), (7, 5, &*large));
        // A state that was saved from memory can be laid out, too.
        save(&store, 8, 1);
        let to = folder.path().join("other");
        assert_eq!(store.lay_latest_checkpoint(&trajectory(), 9, &to).unwrap(), Some(8));
        assert_eq!(fs::read_to_string(to.join("state")).unwrap(), "state at 8");
        assert_eq!(names(&store, "parts").len(), 3, "the parts of the first are freed");
    }

    #[test]
    fn parts_that_two_checkpoints_of_files_share_are_stored_once() {
        let (folder, store) = store();
        for step in 1..=3 {
            let state = format!("state at {step}");
            let paths = on_disk(folder.path(), &[("state", state.as_bytes()), ("best", b"same")]);
            store.save_checkpoint_files(&trajectory(), step, &paths, 2).unwrap();
        }
        assert_eq!(names(&store, ""), ["2", "3", "parts"]);
        assert_eq!(names(&store, "parts").len(), 5);
        assert_eq!(latest(&store, 9), Some(3));
    }

    #[test]
    fn a_damaged_checkpoint_of_files_is_set_aside_and_leaves_no_file() {
        let (folder, store) = store();
        for (step, state) in [(1, noise(70_000)), (2, noise(70_001))] {
            let paths = on_disk(folder.path(), &[("a/first", b"first"), ("a/z", &state)]);
            store.save_checkpoint_files(&trajectory(), step, &paths, 9).unwrap();
        }
        let path = store.part_path(&trajectory(), &Digest::of(&noise(70_001)));
        fs::remove_file(&path).unwrap();
        fs::write(&path, "rot").unwrap();
        let to = folder.path().join("work");
        assert_eq!(store.lay_latest_checkpoint(&trajectory(), 9, &to).unwrap(), Some(1));
        assert_eq!(
            (names(&store, ""), fs::read(to.join("a/z")).unwrap()),
            (vec!["1".into(), "parts".into()], noise(70_000))
        );
        fs::remove_file(store.part_path(&trajectory(), &Digest::of(&noise(70_000)))).unwrap();
        let to = folder.path().join("other");
        assert_eq!(store.lay_latest_checkpoint(&trajectory(), 9, &to).unwrap(), None);
        assert_eq!(fs::read_dir(to.join("a")).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_an_error_and_no_damage() {
        let (folder, store) = store();
        save(&store, 1, 1);
        let to = folder.path().join("work");
        on_disk(&to, &[("state", b"mine")]);
        let error = store.lay_latest_checkpoint(&trajectory(), 9, &to).unwrap_err();
        assert!(matches!(&error, StoreError::Io { path, .. } if *path == to.join("state")), "{error}");
        assert_eq!((fs::read(to.join("state")).unwrap(), latest(&store, 9)), (b"mine".to_vec(), Some(1)));
        assert!(!to.join("best").exists());
        // Nor is a file in the place of a folder.
        let to = to.join("state");
        let error = store.lay_latest_checkpoint(&trajectory(), 9, &to).unwrap_err();
        assert!(matches!(&error, StoreError::Io { path, .. } if *path == to), "{error}");
        assert_eq!(latest(&store, 9), Some(1));
    }

    #[test]
    fn only_files_with_sound_names_are_saved() {
        let (folder, store) = store();
        let paths = on_disk(folder.path(), &[("x", b"x")]);
        let save = |name: &str, path: &Path| {
            let parts = [(name.to_owned(), path.to_owned())].into();
            store.save_checkpoint_files(&trajectory(), 1, &parts, 1).unwrap_err().to_string()
        };
        assert!(save("../x", &paths["x"]).contains("cannot be the path of an output file"));
        assert!(save("x", folder.path()).ends_with("it is a folder"));
        assert!(save("x", &folder.path().join("y")).ends_with("it is gone"));
        assert_eq!(latest(&store, 9), None);
    }
}
