//! Reads files that are named by the hash of their bytes, and returns only bytes that match the name.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    Bytes, Digest,
    disk::{self, if_present},
    encoding::Encoding,
    error::{At, Damage, Result, StoreError},
};

/// Files of at least this size are mapped. For smaller files, copying is cheaper than the page faults.
const MAP_FROM: u64 = 64 << 10;
/// Objects up to this size are kept in memory, because every proposal reads chains of thousands of tiny records again.
const REMEMBER_UP_TO: usize = 4 << 10;
/// The most bytes of small objects that are kept in memory.
const MEMORY: usize = 64 << 20;

/// What this process has read and verified.
#[derive(Default)]
pub(crate) struct Verified {
    small: BTreeMap<Digest, Bytes>,
    /// The small objects, oldest first.
    order: VecDeque<Digest>,
    size: usize,
    /// For each mapped object that was hashed, the file that it was in.
    mapped: BTreeMap<Digest, Stamp>,
}

/// Distinguishes a file from another one that replaces it under the same path.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        // This is not the time of the last status change, which freshening moves, too: the object would be hashed again.
        let changed = (metadata.mtime(), metadata.mtime_nsec());
        Self { device: metadata.dev(), inode: metadata.ino(), length: metadata.len(), changed }
    }
}

impl Verified {
    pub(crate) fn small(&self, digest: &Digest) -> Option<Bytes> {
        self.small.get(digest).cloned()
    }

    fn remember(&mut self, digest: Digest, bytes: &Bytes) {
        if bytes.len() > REMEMBER_UP_TO || self.small.contains_key(&digest) {
            return;
        }
        self.size += bytes.len();
        self.order.push_back(digest);
        self.small.insert(digest, bytes.clone());
        while self.size > MEMORY {
            let oldest = self.order.pop_front().expect("there are entries as long as there is a size");
            self.size -= self.small.remove(&oldest).expect("every entry is in the order once").len();
        }
    }
}

/// Returns the verified bytes of the file `path`, if there is such a file.
pub(crate) fn read(
    verified: &Mutex<Verified>,
    path: &Path,
    name: &Digest,
    encoding: Encoding,
) -> Result<Option<Bytes>> {
    let Some(file) = if_present(File::open(path)).at("open", path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    match encoding {
        Encoding::Raw => {
            bytes = disk::read_up_to(&file, REMEMBER_UP_TO as u64 + 1).at("read", path)?;
            if bytes.len() > REMEMBER_UP_TO {
                if let Some(map) = map(verified, path, &file, name)? {
                    return Ok(Some(map));
                }
                (&file).read_to_end(&mut bytes).at("read", path)?;
            }
        }
        Encoding::Zstd => match encoding.decoder(&file).and_then(|mut decoder| decoder.read_to_end(&mut bytes)) {
            Err(error) if is_damage(&error) => {
                let found = Damage::Undecodable(error.to_string());
                return Err(StoreError::Corrupt { name: *name, found, path: path.to_owned() });
            }
            read => drop(read.at("read", path)?),
        },
    }
    check(name, Digest::of(&bytes), path)?;
    let bytes = Bytes::from(bytes);
    lock(verified).remember(*name, &bytes);
    Ok(Some(bytes))
}

/// Returns the verified bytes of an open file without copying them, if the file is large.
fn map(verified: &Mutex<Verified>, path: &Path, file: &File, name: &Digest) -> Result<Option<Bytes>> {
    let metadata = file.metadata().at("look at", path)?;
    if metadata.len() < MAP_FROM {
        return Ok(None);
    }
    // SAFETY: the bytes do not change while they are mapped. The store replaces and removes files but never writes to one that has
    // a name, it makes them read-only, and other programs must not change them (see the documentation of this crate).
    let map = unsafe { memmap2::Mmap::map(file) }.at("map", path)?;
    let stamp = Stamp::of(&metadata);
    if lock(verified).mapped.get(name) != Some(&stamp) {
        check(name, Digest::of(&map), path)?;
        lock(verified).mapped.insert(*name, stamp);
    }
    Ok(Some(map.into()))
}

fn lock(verified: &Mutex<Verified>) -> MutexGuard<'_, Verified> {
    verified.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the verified bytes of a raw file that is not an object, if there is such a file. Remembers nothing.
pub(crate) fn read_once(path: &Path, name: &Digest) -> Result<Option<Bytes>> {
    read(&Mutex::default(), path, name, Encoding::Raw)
}

/// Returns the digest of the uncompressed bytes of the file `path`, if there is such a file. Remembers nothing, and never holds the
/// whole file in memory.
pub(crate) fn digest_of_file(path: &Path, encoding: Encoding) -> Result<Option<Result<Digest, Damage>>> {
    let Some(file) = if_present(File::open(path)).at("open", path)? else { return Ok(None) };
    if encoding == Encoding::Raw && file.metadata().at("look at", path)?.len() >= MAP_FROM {
        // SAFETY: as in `map`; or the file is a draft of this process, which has written all of it and does not write while this
        // function runs.
        let map = unsafe { memmap2::Mmap::map(&file) }.at("map", path)?;
        return Ok(Some(Ok(Digest::of(&map))));
    }
    match encoding.decoder(&file).and_then(|mut decoder| Digest::of_reader(&mut decoder)) {
        Err(error) if encoding == Encoding::Zstd && is_damage(&error) => {
            Ok(Some(Err(Damage::Undecodable(error.to_string()))))
        }
        digest => digest.at("read", path).map(|digest| Some(Ok(digest))),
    }
}

/// Returns whether an error of a decoder is about the bytes rather than the disk.
fn is_damage(error: &io::Error) -> bool {
    error.raw_os_error().is_none()
}

fn check(name: &Digest, found: Digest, path: &Path) -> Result<()> {
    if found == *name {
        return Ok(());
    }
    Err(StoreError::Corrupt { name: *name, found: Damage::Hash(found), path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_objects_are_remembered_up_to_the_memory_set_aside() {
        let mut verified = Verified::default();
        let objects = MEMORY / REMEMBER_UP_TO;
        let digest = |i: usize| Digest::of(&i.to_le_bytes());
        for i in 0..objects + 10 {
            verified.remember(digest(i), &vec![0; REMEMBER_UP_TO].into());
        }
        verified.remember(digest(objects), &vec![0; REMEMBER_UP_TO].into());
        assert_eq!((verified.size, verified.small.len()), (MEMORY, objects));
        assert!(verified.small(&digest(9)).is_none() && verified.small(&digest(10)).is_some());
    }

    #[test]
    fn large_objects_are_not_remembered() {
        let mut verified = Verified::default();
        verified.remember(Digest::of(b"x"), &vec![0; REMEMBER_UP_TO + 1].into());
        assert!(verified.small(&Digest::of(b"x")).is_none());
    }
}
