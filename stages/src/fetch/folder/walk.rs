//! Walks a folder and finds what is in it. No file is read.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs::{self, DirEntry, Metadata},
    io,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

use unicode_normalization::UnicodeNormalization;

use super::{
    look::{DiskError, Look},
    seen::Stamp,
};
use crate::stage::Progress;

/// What is in a folder. Everything is sorted.
pub(super) struct Walked {
    /// The folder, without links on the way to it.
    pub(super) root: PathBuf,
    pub(super) files: Vec<Found>,
    pub(super) empty: Vec<String>,
    pub(super) links: Vec<String>,
    pub(super) others: Vec<String>,
}

/// A file.
pub(super) struct Found {
    /// Its path in the folder, as a listing has it.
    pub(super) name: String,
    /// Where it is. For a link, where that leads.
    pub(super) path: PathBuf,
    pub(super) stamp: Stamp,
    /// Whether it may be executed.
    pub(super) executable: bool,
}

impl Found {
    pub(super) fn of(name: String, path: PathBuf, metadata: &Metadata) -> Self {
        Self { name, path, stamp: Stamp::of(metadata), executable: metadata.permissions().mode() & 0o111 != 0 }
    }
}

/// How many entries are found between two reports.
const REPORT_EVERY: u64 = 1000;

/// Finds what is in the folder `root`. Entries whose names are `ignored` are passed over.
pub(super) fn walk(root: &Path, look: &Look<'_>, ignored: &dyn Fn(&str) -> bool) -> Result<Walked, DiskError> {
    let cannot = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => DiskError::Absent,
        io::ErrorKind::NotADirectory => DiskError::NotAFolder,
        _ => DiskError::Unreadable(vec![error.to_string()]),
    };
    let root = fs::canonicalize(root).map_err(cannot)?;
    let metadata = fs::metadata(&root).map_err(cannot)?;
    if !metadata.is_dir() {
        return Err(if metadata.is_file() { DiskError::NotAFolder } else { DiskError::Other });
    }
    let walked = Walked { root, files: Vec::new(), empty: Vec::new(), links: Vec::new(), others: Vec::new() };
    let skip = look.skip.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    let mut walk = Walk { walked, skip, look, ignored, n: 0, unreadable: Vec::new(), same: Vec::new() };
    let mut open = vec![(walk.walked.root.clone(), String::new())];
    while let Some((folder, name)) = open.pop() {
        if let Err(error) = walk.folder(&folder, &name, &mut open) {
            let name = if name.is_empty() { "." } else { &name };
            walk.unreadable.push(format!("`{name}`: {error}"));
        }
    }
    let Walk { mut walked, mut unreadable, mut same, .. } = walk;
    if !unreadable.is_empty() {
        unreadable.sort();
        return Err(DiskError::Unreadable(unreadable));
    }
    if !same.is_empty() {
        same.sort();
        return Err(DiskError::SameNames(same));
    }
    walked.files.sort_by(|a, b| a.name.cmp(&b.name));
    [&mut walked.empty, &mut walked.links, &mut walked.others].into_iter().for_each(|names| names.sort());
    Ok(walked)
}

struct Walk<'a> {
    walked: Walked,
    skip: Vec<PathBuf>,
    look: &'a Look<'a>,
    ignored: &'a dyn Fn(&str) -> bool,
    n: u64,
    unreadable: Vec<String>,
    same: Vec<String>,
}

impl Walk<'_> {
    /// Adds what is in `folder`, and to `open` the folders in it.
    fn folder(&mut self, folder: &Path, name: &str, open: &mut Vec<(PathBuf, String)>) -> io::Result<()> {
        let mut names: BTreeMap<String, OsString> = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (path, part) = (entry.path(), entry.file_name());
            if self.skip.contains(&path) {
                continue;
            }
            let plain = normalised(&part);
            if (self.ignored)(&plain) {
                continue;
            }
            let inner = if name.is_empty() { plain.clone() } else { format!("{name}/{plain}") };
            if let Some(other) = names.insert(plain, part.clone()) {
                self.same.push(format!("`{inner}` is both {} and {}", bytes(&other), bytes(&part)));
            }
            self.n += 1;
            if self.n.is_multiple_of(REPORT_EVERY) {
                let unit = "files".to_owned();
                (self.look.tell)(&Progress { done: self.n, total: 0, unit, ..Progress::default() });
            }
            if let Err(error) = self.entry(&entry, path, &inner, open) {
                self.unreadable.push(format!("`{inner}`: {error}"));
            }
        }
        if names.is_empty() && !name.is_empty() {
            self.walked.empty.push(name.to_owned());
        }
        Ok(())
    }

    fn entry(
        &mut self,
        entry: &DirEntry,
        path: PathBuf,
        name: &str,
        open: &mut Vec<(PathBuf, String)>,
    ) -> io::Result<()> {
        let name = name.to_owned();
        let kind = entry.file_type()?;
        match () {
            () if kind.is_dir() => open.push((path, name)),
            () if kind.is_file() => {
                let metadata = entry.metadata()?;
                self.walked.files.push(Found::of(name, path, &metadata));
            }
            () if kind.is_symlink() => match self.target(&path) {
                Some((path, metadata)) => self.walked.files.push(Found::of(name, path, &metadata)),
                None => self.walked.links.push(name),
            },
            () => self.walked.others.push(name),
        }
        Ok(())
    }

    /// Returns the file of this folder to which a link leads, if it leads to one.
    fn target(&self, link: &Path) -> Option<(PathBuf, Metadata)> {
        let target = fs::canonicalize(link).ok()?;
        let is_inside = target.starts_with(&self.walked.root) && !self.skip.iter().any(|skip| target.starts_with(skip));
        let metadata = fs::metadata(&target).ok()?;
        (is_inside && metadata.is_file()).then_some((target, metadata))
    }
}

/// Returns a name in Unicode's form NFC. Bytes that are not UTF-8 are written as `\xe9`.
fn normalised(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        text.extend(chunk.valid().nfc());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

/// Returns the bytes of a name, with those that are not ASCII escaped.
fn bytes(name: &OsStr) -> String {
    format!("`{}`", name.as_bytes().escape_ascii())
}
