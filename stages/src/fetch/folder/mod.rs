//! A folder of this disk: its files with their digests, as they are when a pipeline is planned.

mod look;
mod project;
mod seen;
mod walk;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

pub use look::{DiskError, Look};
use pipe_store::{Digest, KnownFile, check_path};
pub use project::ProjectError;
use rayon::prelude::*;
use seen::{Seen, Stamp};

use crate::{
    records::{ListedFile, Listing, Record, Version},
    stage::{Outputs, Progress},
};

/// The files of a folder with their digests, as they were when it was looked at.
#[derive(Debug)]
pub struct Snapshot {
    listing: Listing,
    digest: Digest,
    /// Where each file of the listing is.
    paths: Vec<PathBuf>,
    seen: Seen,
}

/// The bytes that are hashed before what is known is saved.
const SAVE_EVERY: u64 = 8 << 30;

impl Snapshot {
    /// Returns what is in the folder `root`.
    ///
    /// # Errors
    /// See [`DiskError`].
    pub fn of(root: &Path, look: &Look<'_>) -> Result<Self, DiskError> {
        let walked = walk::walk(root, look, &|_| false)?;
        let seen = Seen::load(look.notes, &walked.root);
        Self::of_walked(walked, seen, look, false)
    }

    /// Hashes the files that were found. `seen` is what is known about them, and `programs` says whether to tell programs from other
    /// files.
    fn of_walked(walked: walk::Walked, seen: Seen, look: &Look<'_>, programs: bool) -> Result<Self, DiskError> {
        let known: Vec<_> = walked.files.iter().map(|file| seen.digest(&file.name, &file.stamp)).collect();
        let total = walked.files.iter().zip(&known).filter(|(_, known)| known.is_none());
        let total: u64 = total.map(|(file, _)| file.stamp.size).sum();
        let done = AtomicU64::new(0);
        let report = |bytes: u64| {
            let done = done.fetch_add(bytes, Ordering::Relaxed) + bytes;
            // A file that grew is counted as long as it is, and no more than everything is done.
            (look.tell)(&Progress { done: done.min(total), total, unit: "bytes".to_owned(), ..Progress::default() });
        };
        let mut digests: Vec<Option<(Digest, u64)>> =
            walked.files.iter().zip(known).map(|(file, known)| Some((known?, file.stamp.size))).collect();
        let unchanged = digests.iter().all(Option::is_some) && seen.len() == digests.len();
        let mut kept = if unchanged { seen } else { seen.emptied() };
        if !unchanged {
            for (file, digest) in walked.files.iter().zip(&digests) {
                if let Some((digest, _)) = digest {
                    kept.insert(&file.name, &file.stamp, *digest, None);
                }
            }
        }
        let mut at = 0;
        while at < digests.len() {
            let (mut bytes, mut batch) = (0, Vec::new());
            while at < digests.len() && bytes < SAVE_EVERY {
                if digests[at].is_none() {
                    bytes += walked.files[at].stamp.size;
                    batch.push(at);
                }
                at += 1;
            }
            let hashed: Vec<_> =
                batch.par_iter().map(|&index| (index, hash(&walked.files[index].path, &report))).collect();
            let mut refused = Vec::new();
            for (index, hashed) in hashed {
                let file = &walked.files[index];
                match hashed {
                    Ok(Hashed { digest, stamp }) => {
                        kept.insert(&file.name, &stamp, digest, Some(look.now));
                        digests[index] = Some((digest, stamp.size));
                    }
                    Err(HashError::Busy) => return Err(DiskError::Busy(file.name.clone())),
                    Err(HashError::Io(error)) => refused.push(format!("`{}`: {error}", file.name)),
                }
            }
            if !refused.is_empty() {
                return Err(DiskError::Unreadable(refused));
            }
            if !batch.is_empty() {
                kept.save(look.notes);
            }
        }
        let mut listing = Listing {
            format: Version,
            files: Vec::with_capacity(walked.files.len()),
            empty: walked.empty,
            links: walked.links,
            others: walked.others,
        };
        let mut paths = Vec::with_capacity(walked.files.len());
        for (file, digest) in walked.files.into_iter().zip(digests) {
            let (digest, size) = digest.expect("every file was hashed");
            listing.files.push(ListedFile { path: file.name, digest, size, executable: programs && file.executable });
            paths.push(file.path);
        }
        Ok(Self { digest: crate::params::digest_of_sorted_record(&listing), listing, paths, seen: kept })
    }

    /// Returns the listing.
    pub fn listing(&self) -> &Listing {
        &self.listing
    }

    /// Returns the digest of `listing.json`.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns the listing and the files as outputs. What is known about the files is kept in the folder `notes`.
    pub(super) fn outputs(&self, notes: &Path) -> Outputs {
        self.seen.save(notes);
        let mut outputs = Outputs::default().with_record(&self.listing);
        for (path, index) in tree_paths(&self.listing.files) {
            let ListedFile { digest, size, .. } = self.listing.files[index];
            outputs.insert_known(path, KnownFile { path: self.paths[index].clone(), digest, size });
        }
        outputs
    }

    /// Forgets what is known about the files.
    pub(super) fn forget(&self, notes: &Path) {
        self.seen.remove(notes);
    }
}

/// Returns the paths of the files in an output tree, each with its index: `files/` and the path in the folder. If that cannot be
/// written everywhere, or is the same as another one where upper and lower case do not differ, it is `files/` and the digest.
fn tree_paths(files: &[ListedFile]) -> BTreeMap<String, usize> {
    // Each folder and file in lower case, with the ways in which it is written.
    let mut spellings: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let parts = |path: &'_ str| -> Vec<usize> {
        path.char_indices().filter(|(_, c)| *c == '/').map(|(at, _)| at).chain([path.len()]).collect()
    };
    for file in files {
        for end in parts(&file.path) {
            let part = &file.path[..end];
            spellings.entry(part.to_lowercase()).or_default().insert(part);
        }
    }
    let is_plain = |path: &str| {
        let first = path.split('/').next().unwrap_or_default();
        check_path(path).is_ok()
            && first.parse::<Digest>().is_err()
            && parts(path).into_iter().all(|end| spellings[&path[..end].to_lowercase()].len() == 1)
    };
    let path = |file: &ListedFile| if is_plain(&file.path) { file.path.clone() } else { file.digest.to_string() };
    files.iter().enumerate().map(|(index, file)| (format!("files/{}", path(file)), index)).collect()
}

/// Returns the file at `path` of this disk with its digest.
///
/// # Errors
/// See [`DiskError`].
pub(super) fn known_file(path: &Path, look: &Look<'_>) -> Result<KnownFile, DiskError> {
    let cannot = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => DiskError::Absent,
        _ => DiskError::Unreadable(vec![error.to_string()]),
    };
    let metadata = fs::metadata(path).map_err(cannot)?;
    match () {
        () if metadata.is_dir() => return Err(DiskError::NotAFile),
        () if !metadata.is_file() => return Err(DiskError::Other),
        () => {}
    }
    let whole = fs::canonicalize(path).map_err(cannot)?;
    let stamp = Stamp::of(&metadata);
    let known = |digest, size| KnownFile { path: whole.clone(), digest, size };
    if let Some(digest) = Seen::load(look.notes, &whole).digest("", &stamp) {
        return Ok(known(digest, stamp.size));
    }
    let done = AtomicU64::new(0);
    let report = |bytes: u64| {
        let done = done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let total = stamp.size;
        (look.tell)(&Progress { done: done.min(total), total, unit: "bytes".to_owned(), ..Progress::default() });
    };
    let Hashed { digest, stamp } = hash(&whole, &report).map_err(|error| match error {
        HashError::Io(error) => cannot(error),
        HashError::Busy => DiskError::Busy(path.display().to_string()),
    })?;
    let mut seen = Seen::new(&whole);
    seen.insert("", &stamp, digest, Some(look.now));
    seen.save(look.notes);
    Ok(known(digest, stamp.size))
}

/// Forgets what is known about the file at `path`.
pub(super) fn forget_file(path: &Path, notes: &Path) {
    Seen::new(path).remove(notes);
}

struct Hashed {
    digest: Digest,
    stamp: Stamp,
}

enum HashError {
    Io(io::Error),
    /// It was written meanwhile.
    Busy,
}

impl From<io::Error> for HashError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The bytes that are read at once. On one core, more are hashed no faster.
const PIECE: usize = 1 << 20;
/// How often a file that is being written is read.
const ATTEMPTS: usize = 3;

/// Reads a file. `report` is called with the number of bytes of each piece.
fn hash(path: &Path, report: &(dyn Fn(u64) + Sync)) -> Result<Hashed, HashError> {
    for _ in 0..ATTEMPTS {
        // In place of the file there may be a pipe by now, and opening one waits.
        let mut file = OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path)?;
        let before = file.metadata()?;
        if !before.is_file() {
            return Err(HashError::Busy);
        }
        let stamp = Stamp::of(&before);
        let digest = digest(&mut file, stamp.size, report)?;
        // What was written while it was read has another time, or it is written so late that its time is not yet trusted.
        if Stamp::of(&file.metadata()?) == stamp {
            return Ok(Hashed { digest, stamp });
        }
    }
    Err(HashError::Busy)
}

/// `O_NONBLOCK`
const NONBLOCK: i32 = if cfg!(target_os = "linux") { 0o4000 } else { 4 };

fn digest(file: &mut File, size: u64, report: &(dyn Fn(u64) + Sync)) -> io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; usize::try_from(size).unwrap_or(PIECE).clamp(1, PIECE)];
    loop {
        let n = match file.read(&mut piece) {
            Ok(0) => return Ok(hasher.finalize().into()),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if n < PIECE {
            hasher.update(&piece[..n]);
        } else {
            hasher.update_rayon(&piece[..n]);
        }
        report(n as u64);
    }
}

/// Returns the output files of a folder's action.
pub(super) const OUTPUT: &str = Listing::FILE;

#[cfg(test)]
mod tests;
