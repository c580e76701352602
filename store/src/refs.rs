//! Refs: names for digests. A ref can get a new value, and its history is kept.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::{
    Digest, Store,
    disk::{self, Existing, if_present},
    error::{At, FORMAT, Result, StoreError},
    layout::{APPENDED, REFS},
    lines,
};

/// The kind of thing that a ref names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefKind {
    /// Studies, by the name that the user gave them.
    Studies,
    /// Studies that stay, by their tags.
    Tags,
}

impl RefKind {
    pub(crate) const ALL: [Self; 2] = [Self::Studies, Self::Tags];

    fn folder(self) -> &'static str {
        match self {
            Self::Studies => "studies",
            Self::Tags => "tags",
        }
    }
}

/// A value in a ref's history. The fields are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RefEntry {
    /// When the ref got this value, in seconds since 1970.
    pub at: u64,
    /// The object that the ref named from then on.
    pub digest: Digest,
}

/// What was removed from a log.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct MendedRef {
    /// Values whose object is missing.
    pub(crate) forgotten: Vec<Digest>,
    /// The number of lines that could not be read. An empty log counts as one such line.
    pub(crate) unreadable: usize,
}

/// Returns a time as whole seconds since 1970, or 0 if it is earlier.
pub(crate) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

impl Store {
    /// Returns all values of a ref, oldest first. There are none if there is no such ref.
    ///
    /// # Errors
    /// [`StoreError::Name`] if there can be no such ref, [`StoreError::Record`] if its log is damaged. Also if the log cannot be read.
    pub fn ref_log(&self, kind: RefKind, name: &str) -> Result<Vec<RefEntry>> {
        lines::check_name(name)?;
        let path = self.ref_path(kind, name);
        let parse = |line: &String| serde_json::from_str(line).map_err(|error| lines::damaged(&path, &error));
        lines::read(&path)?.unwrap_or_default().iter().map(parse).collect()
    }

    /// Returns the current value of a ref, if there is such a ref.
    ///
    /// # Errors
    /// As for [`ref_log`](Self::ref_log).
    pub fn ref_latest(&self, kind: RefKind, name: &str) -> Result<Option<RefEntry>> {
        Ok(self.ref_log(kind, name)?.last().copied())
    }

    /// Returns the names of the refs of a kind, sorted.
    ///
    /// # Errors
    /// If their folder cannot be listed.
    pub fn ref_names(&self, kind: RefKind) -> Result<Vec<String>> {
        Ok(disk::list(&self.ref_dir(kind))?.into_iter().map(|entry| entry.name).collect())
    }

    /// Gives a ref a new value. Returns false, and writes nothing, if the ref has this value already.
    ///
    /// # Errors
    /// [`StoreError::Name`] if the name cannot be a ref's, [`StoreError::Missing`] if the object is not stored. Also if the log is
    /// damaged or cannot be written.
    pub fn ref_append(&self, kind: RefKind, name: &str, digest: &Digest, at: SystemTime) -> Result<bool> {
        lines::check_name(name)?;
        let line = line(&RefEntry { at: unix_seconds(at), digest: *digest });
        let _sweeps_wait = self.hold_off_sweeps()?;
        if !self.freshen_object(digest, None)? && !self.contains(digest)? {
            return Err(StoreError::Missing(*digest));
        }
        loop {
            let Some((mut file, path)) = self.lock_ref(kind, name)? else {
                // The log is published with its first line, so an empty log is one that has lost its lines.
                if self.write_log(&(line.clone() + "\n"), &self.ref_path(kind, name), Existing::Keep)? {
                    return Ok(true);
                }
                continue;
            };
            // This is checked under the lock, so if two processes append the same value at once only one of them writes.
            if self.ref_latest(kind, name)?.is_some_and(|latest| latest.digest == *digest) {
                return Ok(false);
            }
            lines::mend(&mut file, &path)?;
            lines::append(&mut file, &path, &line)?;
            file.sync_all().at("sync", &path)?;
            return Ok(true);
        }
    }

    /// Drops the values of a ref for which `keep` returns false. If none is left the ref is removed. Returns how many were dropped.
    ///
    /// # Errors
    /// [`StoreError::Name`] if there can be no such ref. Also if the log is damaged or cannot be written.
    pub fn ref_retain(&self, kind: RefKind, name: &str, mut keep: impl FnMut(&RefEntry) -> bool) -> Result<usize> {
        lines::check_name(name)?;
        let _sweeps_wait = self.hold_off_sweeps()?;
        let Some((_locked, path)) = self.lock_ref(kind, name)? else { return Ok(0) };
        let mut entries = self.ref_log(kind, name)?;
        let before = entries.len();
        entries.retain(&mut keep);
        let dropped = before - entries.len();
        if entries.is_empty() || dropped > 0 {
            self.replace_log(&entries, &path)?;
        }
        Ok(dropped)
    }

    /// Returns what is wrong with a ref's log as a whole, if anything is: a loss of power may have left it empty or cut off its last
    /// line. Readers ignore a line that is cut off.
    pub(crate) fn ref_tear(&self, kind: RefKind, name: &str) -> Result<Option<&'static str>> {
        let path = self.ref_path(kind, name);
        loop {
            let Some(file) = if_present(File::open(&path)).at("open", &path)? else { return Ok(None) };
            // Under the lock, no process is in the middle of writing a line.
            file.lock_shared().at("lock", &path)?;
            if disk::still_names(&path, &file)? {
                return Ok(lines::tear(&disk::read(&path)?.unwrap_or_default()));
            }
        }
    }

    /// Removes from a ref's log the values whose object is missing and the lines that cannot be read. Copies the log to `quarantine/`
    /// first.
    pub(crate) fn mend_ref(&self, kind: RefKind, name: &str) -> Result<MendedRef> {
        lines::check_name(name)?;
        let _sweeps_wait = self.hold_off_sweeps()?;
        let mut mended = MendedRef::default();
        let Some((_locked, path)) = self.lock_ref(kind, name)? else { return Ok(mended) };
        let bytes = disk::read(&path)?.unwrap_or_default();
        let (torn, mut kept) = (lines::tear(&bytes).is_some(), Vec::new());
        for line in lines::split(&bytes) {
            match serde_json::from_slice::<RefEntry>(line) {
                Ok(entry) if self.contains(&entry.digest)? => kept.push(entry),
                Ok(entry) => mended.forgotten.push(entry.digest),
                Err(_) => mended.unreadable += 1,
            }
        }
        mended.unreadable += usize::from(torn);
        if mended != MendedRef::default() {
            self.copy_aside(&self.relative(&path), &bytes)?;
            self.replace_log(&kept, &path)?;
        }
        Ok(mended)
    }

    pub(crate) fn ref_path(&self, kind: RefKind, name: &str) -> PathBuf {
        self.ref_dir(kind).join(name)
    }

    fn ref_dir(&self, kind: RefKind) -> PathBuf {
        self.dir(REFS).join(kind.folder())
    }

    /// Opens and locks a ref's log, if there is one.
    fn lock_ref(&self, kind: RefKind, name: &str) -> Result<Option<(File, PathBuf)>> {
        let path = self.ref_path(kind, name);
        loop {
            let Some(file) = lines::open(&path)? else { return Ok(None) };
            file.lock().at("lock", &path)?;
            // Before we got the lock, another process may have replaced the log with a shorter one.
            if disk::still_names(&path, &file)? {
                return Ok(Some((file, path)));
            }
        }
    }

    /// Replaces the log at `path` with one that has these values, or removes it if there are none.
    fn replace_log(&self, entries: &[RefEntry], path: &Path) -> Result<()> {
        if entries.is_empty() {
            return disk::remove(path).map(drop);
        }
        let text: String = entries.iter().map(|entry| line(entry) + "\n").collect();
        self.write_log(&text, path, Existing::Replace).map(drop)
    }

    /// Writes a whole log. Returns false if there is one already and `existing` says to keep it.
    fn write_log(&self, text: &str, path: &Path, existing: Existing) -> Result<bool> {
        let draft = self.draft(APPENDED)?;
        draft.file().write_all(text.as_bytes()).at("write", draft.path())?;
        Ok(draft.publish(path, existing)?.is_some())
    }
}

/// A line of a log. The fields are sorted. Readers ignore the format, because there has been only one so far.
#[derive(Serialize)]
struct Line {
    at: u64,
    digest: Digest,
    format: u32,
}

fn line(entry: &RefEntry) -> String {
    let line = Line { at: entry.at, digest: entry.digest, format: FORMAT };
    serde_json::to_string(&line).expect("a line is plain data")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::{at, store};

    const STUDIES: RefKind = RefKind::Studies;

    #[test]
    fn a_ref_remembers_the_values_it_had() {
        let (_folder, store) = store();
        let values: Vec<_> = ["a", "b", "a"].iter().map(|text| store.put(text.as_bytes()).unwrap()).collect();
        for (i, value) in values.iter().enumerate() {
            assert!(store.ref_append(STUDIES, "shapes", value, at(i as u64)).unwrap());
            assert!(!store.ref_append(STUDIES, "shapes", value, at(9)).unwrap(), "the same value twice");
        }
        let log = store.ref_log(STUDIES, "shapes").unwrap();
        assert_eq!(
            log.iter().map(|entry| (entry.digest, entry.at)).collect::<Vec<_>>(),
            [(values[0], 0), (values[1], 1), (values[2], 2)]
        );
        assert_eq!(store.ref_latest(STUDIES, "shapes").unwrap(), log.last().copied());
        assert_eq!(store.ref_names(STUDIES).unwrap(), ["shapes"]);
        assert_eq!(store.ref_log(STUDIES, "other").unwrap(), []);
        let text = fs::read_to_string(store.root().join("refs/studies/shapes")).unwrap();
        assert_eq!(text.lines().next().unwrap(), format!("{{\"at\":0,\"digest\":\"{}\",\"format\":1}}", values[0]));
    }

    #[test]
    fn a_torn_last_line_is_ignored_and_then_written_over() {
        let (_folder, store) = store();
        let (a, b) = (store.put(b"a").unwrap(), store.put(b"b").unwrap());
        store.ref_append(STUDIES, "s", &a, at(1)).unwrap();
        let path = store.ref_path(STUDIES, "s");
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, [&whole[..], &whole[..cut]].concat()).unwrap();
            assert_eq!(store.ref_log(STUDIES, "s").unwrap().len(), 1, "{cut}");
        }
        store.ref_append(STUDIES, "s", &b, at(2)).unwrap();
        assert_eq!(store.ref_log(STUDIES, "s").unwrap().iter().map(|e| e.digest).collect::<Vec<_>>(), [a, b]);
    }

    #[test]
    fn a_damaged_line_is_an_error_that_names_the_file() {
        let (_folder, store) = store();
        fs::create_dir_all(store.root().join("refs/studies")).unwrap();
        fs::write(store.ref_path(STUDIES, "s"), "nonsense\n").unwrap();
        let error = store.ref_log(STUDIES, "s").unwrap_err();
        assert!(error.to_string().contains("refs/studies/s` is damaged"), "{error}");
    }

    #[test]
    fn a_ref_cannot_name_a_missing_object() {
        let (_folder, store) = store();
        let absent = Digest::of(b"absent");
        assert!(matches!(store.ref_append(STUDIES, "s", &absent, at(0)), Err(StoreError::Missing(_))));
        assert!(store.ref_names(STUDIES).unwrap().is_empty());
    }

    #[test]
    fn names_that_cannot_be_file_names_are_refused() {
        let (_folder, store) = store();
        let digest = store.put(b"a").unwrap();
        for name in ["", ".", "..", ".hidden", "a/b", "a\nb", &"x".repeat(201)] {
            assert!(matches!(store.ref_append(STUDIES, name, &digest, at(0)), Err(StoreError::Name { .. })), "{name}");
        }
        assert!(store.ref_append(STUDIES, "Früchte 360", &digest, at(0)).unwrap());
    }

    #[test]
    fn values_can_be_dropped_from_the_history() {
        let (_folder, store) = store();
        for i in 0..5u8 {
            store.ref_append(STUDIES, "s", &store.put(&[i]).unwrap(), at(u64::from(i))).unwrap();
        }
        assert_eq!(store.ref_retain(STUDIES, "s", |entry| entry.at >= 3).unwrap(), 3);
        assert_eq!(store.ref_log(STUDIES, "s").unwrap().iter().map(|e| e.at).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(store.ref_retain(STUDIES, "s", |_| false).unwrap(), 2);
        assert!(store.ref_names(STUDIES).unwrap().is_empty());
        assert_eq!(store.ref_retain(STUDIES, "s", |_| false).unwrap(), 0);
    }

    #[test]
    fn lines_without_a_format_are_read() {
        let (_folder, store) = store();
        let digest = store.put(b"a").unwrap();
        store.ref_append(STUDIES, "s", &digest, at(3)).unwrap();
        fs::write(store.ref_path(STUDIES, "s"), format!("{{\"at\":3,\"digest\":\"{digest}\"}}\n")).unwrap();
        assert_eq!(store.ref_log(STUDIES, "s").unwrap(), [RefEntry { at: 3, digest }]);
    }

    #[test]
    fn if_many_append_the_same_value_at_once_one_of_them_writes() {
        let (_folder, store) = store();
        for round in 0..20u8 {
            let digest = store.put(&[round]).unwrap();
            let barrier = std::sync::Barrier::new(4);
            let append = || {
                barrier.wait();
                store.ref_append(STUDIES, "s", &digest, at(0)).unwrap()
            };
            let wrote: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(append)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(wrote.iter().filter(|wrote| **wrote).count(), 1);
            assert_eq!(store.ref_log(STUDIES, "s").unwrap().len(), usize::from(round) + 1);
        }
    }

    #[test]
    fn simultaneous_appends_lose_nothing() {
        let (_folder, store) = store();
        std::thread::scope(|scope| {
            for thread in 0..4u8 {
                let store = &store;
                scope.spawn(move || {
                    for i in 0..10 {
                        let digest = store.put(&[thread, i]).unwrap();
                        store.ref_append(STUDIES, "s", &digest, at(0)).unwrap();
                        store.ref_retain(STUDIES, "s", |_| true).unwrap();
                    }
                });
            }
        });
        assert_eq!(store.ref_log(STUDIES, "s").unwrap().len(), 40);
    }
}
