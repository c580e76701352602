//! What is known about files that were hashed before: notes that spare time. A file is hashed again unless its size, its times and
//! its number are those of the note.

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use pipe_store::Digest;
use serde::{Deserialize, Serialize};

/// Distinguishes a file from another one, or from itself when its bytes were others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    pub(super) size: u64,
    /// When it was last written, in nanoseconds since 1970.
    modified: i64,
    /// When its bytes or its attributes last changed. Programs cannot set this time.
    changed: i64,
    inode: u64,
    device: u64,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let time = |seconds: i64, nanoseconds: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds);
        Self {
            size: metadata.len(),
            modified: time(metadata.mtime(), metadata.mtime_nsec()),
            changed: time(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
            device: metadata.dev(),
        }
    }

    /// Returns whether the file was last changed so long before it was looked at that a change since then has another time.
    fn is_settled(&self, looked: SystemTime) -> bool {
        let looked = looked.checked_sub(MARGIN).and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let looked = looked.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX));
        self.modified.max(self.changed) < looked
    }
}

/// The coarsest clock of a file system, and a little more.
const MARGIN: Duration = Duration::from_secs(3);

/// Notes about the files below one path.
#[derive(Debug)]
pub(super) struct Seen {
    /// The name of the file with the notes.
    name: String,
    files: BTreeMap<String, (Stamp, Digest)>,
}

/// The version of the notes.
const FORMAT: u32 = 1;

impl Seen {
    /// Returns no notes about `path`.
    pub(super) fn new(path: &Path) -> Self {
        Self { name: format!("{}.seen", Digest::of(path.as_os_str().as_bytes())), files: BTreeMap::new() }
    }

    /// Returns the notes about `path` in the folder `notes`. Notes that are absent, damaged or of another version are none.
    pub(super) fn load(notes: &Path, path: &Path) -> Self {
        let mut seen = Self::new(path);
        if let Some(files) = fs::read(notes.join(&seen.name)).ok().and_then(|bytes| parse(&bytes)) {
            seen.files = files;
        }
        seen
    }

    /// Returns no notes about the same path.
    pub(super) fn emptied(&self) -> Self {
        Self { name: self.name.clone(), files: BTreeMap::new() }
    }

    /// Returns the number of files that there are notes about.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Returns the digest of a file, if there is a note about it as it is.
    pub(super) fn digest(&self, name: &str, stamp: &Stamp) -> Option<Digest> {
        self.files.get(name).filter(|(known, _)| known == stamp).map(|(_, digest)| *digest)
    }

    /// Adds a note, unless the file was changed shortly before it was hashed. `looked` is when that was, and `None` if there was such
    /// a note before.
    pub(super) fn insert(&mut self, name: &str, stamp: &Stamp, digest: Digest, looked: Option<SystemTime>) {
        if looked.is_none_or(|looked| stamp.is_settled(looked)) {
            self.files.insert(name.to_owned(), (stamp.clone(), digest));
        }
    }

    /// Saves the notes in the folder `notes` of a store. Without a store, or if they cannot be written, hashing takes time again.
    pub(super) fn save(&self, notes: &Path) {
        let is_store = notes.parent().is_some_and(|store| store.join("format").exists());
        if !is_store || self.files.is_empty() {
            return;
        }
        let body = serde_json::to_vec(&(FORMAT, &self.files)).expect("notes are plain data");
        let mut bytes = Digest::of(&body).to_string().into_bytes();
        bytes.push(b'\n');
        bytes.extend(body);
        let draft = notes.join(format!("{}.new", self.name));
        let saved = fs::create_dir_all(notes)
            .and_then(|()| fs::write(&draft, bytes))
            .and_then(|()| fs::rename(&draft, self.place(notes)));
        if let Err(error) = saved {
            tracing::debug!("`{}` is not saved: {error}", self.place(notes).display());
        }
    }

    /// Removes the notes from the folder `notes`.
    pub(super) fn remove(&self, notes: &Path) {
        if let Err(error) = fs::remove_file(self.place(notes)) {
            tracing::debug!("`{}` is not removed: {error}", self.place(notes).display());
        }
    }

    fn place(&self, notes: &Path) -> PathBuf {
        notes.join(&self.name)
    }
}

/// Reads notes, if they are whole.
fn parse(bytes: &[u8]) -> Option<BTreeMap<String, (Stamp, Digest)>> {
    let (check, body) = bytes.split_at_checked(65)?;
    if *check != *format!("{}\n", Digest::of(body)).as_bytes() {
        return None;
    }
    let (format, files): (u32, _) = serde_json::from_slice(body).ok()?;
    (format == FORMAT).then_some(files)
}
