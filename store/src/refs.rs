//! Refs: names for digests. A ref can get a new value, and its history is kept.
//!
//! The log of a ref is a file with a sealed line for each value, oldest first, and a last line that seals the whole. A new value
//! replaces the file, so a log that is cut off or changed is damaged, whatever happened to the process that wrote it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::{
    Digest, Store,
    disk::{self, Existing},
    error::{FORMAT, Result, StoreError},
    layout::REFS,
    names::{check_name, damaged},
    sealed,
};

/// The kind of thing that a ref names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefKind {
    /// Studies, by the name that the user gave them.
    Studies,
    /// Studies that stay, by their tags.
    Tags,
    /// The ledger of the test splits: records of readings, by the digest of the split.
    Readings,
    /// Notes: records of what users wrote, by the hash of the study.
    Notes,
}

impl RefKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Studies, Self::Tags, Self::Readings, Self::Notes];

    fn folder(self) -> &'static str {
        match self {
            Self::Studies => "studies",
            Self::Tags => "tags",
            Self::Readings => "readings",
            Self::Notes => "notes",
        }
    }
}

/// A value in a ref's history. The fields are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RefEntry {
    /// When the ref got this value, in seconds since 1970, by the clock of the machine. It is only shown.
    pub at: u64,
    /// The object that the ref named from then on.
    pub digest: Digest,
    /// The place of this value among all values of all refs of the store: later values have greater numbers. 0 in a store of format 1,
    /// which has no such numbers.
    #[serde(default)]
    pub seq: u64,
}

impl RefEntry {
    /// Returns what orders the values of all refs by when they were given.
    pub fn order(&self) -> (u64, u64) {
        (self.seq, self.at)
    }
}

/// What was removed from a log.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct MendedRef {
    /// Values whose object is missing.
    pub(crate) forgotten: Vec<Digest>,
    /// The number of lines that could not be read.
    pub(crate) unreadable: usize,
    /// Values that are in the log again.
    pub(crate) recovered: Vec<Digest>,
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
        check_name(name)?;
        let path = self.ref_path(kind, name);
        let Some(bytes) = disk::read(&path)?.record(&path)? else { return Ok(Vec::new()) };
        parse(&bytes).map_err(|reason| damaged(&path, &reason))
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
        check_name(name)?;
        let _no_sweep = self.hold_off_sweeps()?;
        if !self.freshen_object(digest, None)? && !self.contains(digest)? {
            return Err(StoreError::Missing(*digest));
        }
        let _lock = self.lock_refs()?;
        let mut entries = self.ref_log(kind, name)?;
        if entries.last().is_some_and(|latest| latest.digest == *digest) {
            return Ok(false);
        }
        entries.push(RefEntry { at: unix_seconds(at), digest: *digest, seq: self.next_seq()? });
        self.replace_log(&entries, &self.ref_path(kind, name))?;
        Ok(true)
    }

    /// Drops the values of a ref for which `keep` returns false. If none is left the ref is removed. Returns how many were dropped.
    ///
    /// # Errors
    /// [`StoreError::Name`] if there can be no such ref. Also if the log is damaged or cannot be written.
    pub fn ref_retain(&self, kind: RefKind, name: &str, mut keep: impl FnMut(&RefEntry) -> bool) -> Result<usize> {
        check_name(name)?;
        let _no_sweep = self.hold_off_sweeps()?;
        let _lock = self.lock_refs()?;
        let mut entries = self.ref_log(kind, name)?;
        let before = entries.len();
        entries.retain(&mut keep);
        let dropped = before - entries.len();
        if dropped > 0 {
            self.replace_log(&entries, &self.ref_path(kind, name))?;
        }
        Ok(dropped)
    }

    /// Removes from a ref's log the values whose object is missing and the lines that cannot be read, and adds the values `found`
    /// before the others if there were such lines. Copies the log to `quarantine/` first.
    pub(crate) fn mend_ref(&self, kind: RefKind, name: &str, found: &BTreeSet<Digest>) -> Result<MendedRef> {
        let _no_sweep = self.hold_off_sweeps()?;
        let _lock = self.lock_refs()?;
        let path = self.ref_path(kind, name);
        let mut mended = MendedRef::default();
        let (entries, aside) = match disk::read(&path)? {
            disk::Found::Absent => return Ok(mended),
            disk::Found::Sound(bytes) => {
                let (entries, unreadable) = salvage(&bytes);
                mended.unreadable = unreadable;
                (entries, Some(bytes))
            }
            disk::Found::Damaged(_) => {
                mended.unreadable = 1;
                (Vec::new(), None)
            }
        };
        let mut kept = Vec::new();
        if mended.unreadable > 0 {
            let known: BTreeSet<_> = entries.iter().map(|entry| entry.digest).collect();
            mended.recovered = found.difference(&known).copied().collect();
            kept.extend(mended.recovered.iter().map(|digest| RefEntry { at: 0, digest: *digest, seq: 0 }));
        }
        for entry in entries {
            // What cannot be looked at stays: only what is missing is forgotten.
            match self.contains(&entry.digest) {
                Ok(false) => mended.forgotten.push(entry.digest),
                Err(error) if !error.is_damage() => return Err(error),
                _ => kept.push(entry),
            }
        }
        if mended != MendedRef::default() {
            match aside {
                Some(bytes) => self.copy_aside(&self.relative(&path), &bytes)?,
                None => drop(self.set_aside(&self.relative(&path))?),
            }
            self.replace_log(&kept, &path)?;
        }
        Ok(mended)
    }

    /// Returns the values in the lines of a ref's log that are sound.
    pub(crate) fn sound_entries(&self, kind: RefKind, name: &str) -> Result<Vec<Digest>> {
        let disk::Found::Sound(bytes) = disk::read(&self.ref_path(kind, name))? else { return Ok(Vec::new()) };
        Ok(salvage(&bytes).0.iter().map(|entry| entry.digest).collect())
    }

    pub(crate) fn ref_path(&self, kind: RefKind, name: &str) -> PathBuf {
        self.ref_dir(kind).join(name)
    }

    pub(crate) fn ref_dir(&self, kind: RefKind) -> PathBuf {
        self.dir(REFS).join(kind.folder())
    }

    /// Returns a number that is greater than those of all values. The caller holds the lock of the refs.
    fn next_seq(&self) -> Result<u64> {
        let mut greatest = 0;
        for kind in RefKind::ALL {
            for name in self.ref_names(kind)? {
                // What is damaged may have had a greater number. Then the order of two values of different names is lost, but no value.
                if let disk::Found::Sound(bytes) = disk::read(&self.ref_path(kind, &name))? {
                    greatest = salvage(&bytes).0.iter().map(|entry| entry.seq).fold(greatest, u64::max);
                }
            }
        }
        Ok(greatest + 1)
    }

    /// Replaces the log at `path` with one that has these values, or removes it if there are none. The caller holds the lock of the
    /// refs.
    fn replace_log(&self, entries: &[RefEntry], path: &Path) -> Result<()> {
        if entries.is_empty() {
            disk::remove(path)?;
            return disk::sync_dir(path.parent().expect("it is in a folder"));
        }
        self.upgrade()?;
        self.write(render(entries).as_bytes(), path, Existing::Replace).map(drop)
    }
}

/// A line of a log. The fields are sorted.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    at: u64,
    digest: Digest,
    format: u32,
    seq: u64,
}

/// The last line of a log. The fields are sorted.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    /// The number of lines before it.
    entries: usize,
    format: u32,
    /// The digest of the bytes before it.
    lines: Digest,
}

/// A line of a log in a store of format 1, which ended with the last value. `format` may be missing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    at: u64,
    digest: Digest,
    #[serde(default = "first")]
    format: u32,
}

fn first() -> u32 {
    1
}

/// Returns the log of these values.
fn render(entries: &[RefEntry]) -> String {
    let mut text = String::new();
    for RefEntry { at, digest, seq } in entries {
        text += &sealed::seal(&Line { at: *at, digest: *digest, format: FORMAT, seq: *seq });
        text.push('\n');
    }
    let end = End { entries: entries.len(), format: FORMAT, lines: Digest::of(text.as_bytes()) };
    text + &sealed::seal(&end) + "\n"
}

/// Returns the value in a line, if it is sound.
fn parse_line(line: &[u8]) -> Result<RefEntry, String> {
    let Line { at, digest, format, seq } = sealed::open(line)?;
    if format == FORMAT { Ok(RefEntry { at, digest, seq }) } else { Err(format!("format {format} is not {FORMAT}")) }
}

/// Returns the value in a line of a store of format 1.
fn parse_first(line: &[u8]) -> Option<RefEntry> {
    let First { at, digest, format } = serde_json::from_slice(line).ok()?;
    (format == 1).then_some(RefEntry { at, digest, seq: 0 })
}

/// Returns the values of a log, or what is wrong with it.
fn parse(bytes: &[u8]) -> Result<Vec<RefEntry>, String> {
    let Some(whole) = bytes.strip_suffix(b"\n") else {
        return Err(if bytes.is_empty() { "it is empty" } else { "its last line is cut off" }.to_owned());
    };
    let mut lines: Vec<_> = whole.split(|byte| *byte == b'\n').collect();
    let first: Option<Vec<_>> = lines.iter().map(|line| parse_first(line)).collect();
    if let Some(entries) = first {
        return Ok(entries);
    }
    let last = lines.pop().unwrap_or_default();
    let entries =
        lines.iter().enumerate().map(|(i, line)| parse_line(line).map_err(|why| format!("line {}: {why}", i + 1)));
    let entries: Vec<_> = entries.collect::<Result<_, _>>()?;
    let end: End = sealed::open(last).map_err(|reason| format!("its last line: {reason}"))?;
    let before = Digest::of(&bytes[..bytes.len() - last.len() - 1]);
    if (end.entries, end.format, end.lines) != (entries.len(), FORMAT, before) {
        return Err("a line is missing or was added".to_owned());
    }
    Ok(entries)
}

/// Returns the values of the lines that are sound, and the number of lines that are not.
fn salvage(bytes: &[u8]) -> (Vec<RefEntry>, usize) {
    if let Ok(entries) = parse(bytes) {
        return (entries, 0);
    }
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let (mut entries, mut unreadable) = (Vec::new(), 0);
    for line in lines {
        match parse_line(line).ok().or_else(|| parse_first(line)) {
            Some(entry) => entries.push(entry),
            None if sealed::open::<End>(line).is_ok() => {}
            None => unreadable += 1,
        }
    }
    // Something is wrong with the whole: at least one line is missing.
    (entries, unreadable.max(1))
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
        let other = store.put(b"other").unwrap();
        store.ref_append(STUDIES, "other", &other, at(0)).unwrap();
        assert_eq!(store.ref_latest(STUDIES, "other").unwrap().unwrap().seq, 4, "one order for all refs");
    }

    #[test]
    fn the_bytes_of_a_log_do_not_change() {
        let digest = Digest::from_bytes([1; 32]);
        let log = render(&[RefEntry { at: 7, digest, seq: 3 }]);
        let digits = "01".repeat(32);
        let line = format!(
            "{{\"at\":7,\"check\":\"10a3122aac4a69aa3c487a656ac1d7c317d9229a581406c48940cab6e6bb086b\",\"digest\":\"{digits}\",\"format\":2,\"seq\":3}}"
        );
        assert_eq!(log.lines().next(), Some(line.as_str()));
        assert_eq!(parse(log.as_bytes()), Ok(vec![RefEntry { at: 7, digest, seq: 3 }]));
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_noticed() {
        let (_folder, store) = store();
        for text in ["a", "b", "c"] {
            store.ref_append(STUDIES, "s", &store.put(text.as_bytes()).unwrap(), at(7)).unwrap();
        }
        let path = store.ref_path(STUDIES, "s");
        let whole = fs::read(&path).unwrap();
        for i in 0..whole.len() {
            for flip in 1..=255 {
                let mut wrong = whole.clone();
                wrong[i] ^= flip;
                assert!(parse(&wrong).is_err(), "byte {i} ^ {flip}");
            }
            assert!(parse(&whole[..i]).is_err(), "cut at {i}");
        }
        let lines: Vec<_> = whole.split_inclusive(|byte| *byte == b'\n').collect();
        for (i, _) in lines.iter().enumerate() {
            assert!(parse(&[&lines[..i], &lines[i + 1..]].concat().concat()).is_err(), "without line {i}");
        }
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
    fn logs_of_format_1_are_read_and_continued() {
        let (_folder, store) = store();
        let digest = store.put(b"a").unwrap();
        store.ref_append(STUDIES, "s", &digest, at(3)).unwrap();
        fs::write(store.ref_path(STUDIES, "s"), format!("{{\"at\":3,\"digest\":\"{digest}\"}}\n")).unwrap();
        assert_eq!(store.ref_log(STUDIES, "s").unwrap(), [RefEntry { at: 3, digest, seq: 0 }]);
        let second = format!("{{\"at\":2,\"digest\":\"{digest}\",\"format\":1}}\n");
        let log = fs::read_to_string(store.ref_path(STUDIES, "s")).unwrap() + &second;
        fs::write(store.ref_path(STUDIES, "s"), log).unwrap();
        store.ref_append(STUDIES, "s", &store.put(b"b").unwrap(), at(1)).unwrap();
        let seqs: Vec<_> = store.ref_log(STUDIES, "s").unwrap().iter().map(|entry| (entry.at, entry.seq)).collect();
        assert_eq!(seqs, [(3, 0), (2, 0), (1, 1)]);
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
