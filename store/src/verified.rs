//! Reads files that are named by the hash of their bytes, and returns only bytes that match the name.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, Read, Seek, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    Bytes, Digest,
    digest::Hasher,
    disk::{self, Found, Handle},
    encoding::{Encoding, PIECE},
    error::{At, Damage, Result, StoreError},
    mapped::Mapped,
};

/// Files of at least this size are mapped. For smaller files, copying is cheaper than the page faults.
const MAP_FROM: u64 = 64 << 10;
/// Objects up to this size are kept in memory, because every proposal reads chains of thousands of tiny records again.
const REMEMBER_UP_TO: usize = 4 << 10;
/// The least room for a piece of a file that is copied.
const SMALL: usize = 4 << 10;
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
    let corrupt = |found| StoreError::Corrupt { name: *name, found, path: path.to_owned() };
    let file = match disk::open(path)? {
        Found::Sound(file) => file,
        Found::Absent => return Ok(None),
        Found::Damaged(reason) => return Err(corrupt(Damage::Unreadable(reason))),
    };
    let read = Found::Sound(&file).then(path, |file| match encoding {
        Encoding::Raw => read_raw(verified, file, name),
        Encoding::Zstd => Ok(decode(file, name).map(Bytes::from)),
    })?;
    let bytes = match read {
        Found::Sound(Ok(bytes)) => bytes,
        Found::Sound(Err(found)) => return Err(corrupt(found)),
        Found::Damaged(reason) => return Err(corrupt(Damage::Unreadable(reason))),
        Found::Absent => unreachable!("it is open"),
    };
    lock(verified).remember(*name, &bytes);
    Ok(Some(bytes))
}

/// Returns the verified bytes of a raw file. Large files are mapped.
fn read_raw(verified: &Mutex<Verified>, mut file: &Handle, name: &Digest) -> io::Result<Result<Bytes, Damage>> {
    let mut bytes = file.read_up_to(REMEMBER_UP_TO as u64 + 1)?;
    if bytes.len() > REMEMBER_UP_TO {
        if let Some(map) = map(verified, file, name)? {
            return Ok(map);
        }
        file.read_to_end(&mut bytes)?;
    }
    Ok(check(name, Digest::of(&bytes)).map(|()| bytes.into()))
}

/// Decompressed bytes are held in memory before they are verified, if there are at most this many. More are first hashed a piece at a
/// time, so that a damaged or hostile file cannot ask for memory.
const UNVERIFIED: u64 = 64 << 20;

/// Returns the verified bytes of a compressed file: as many as its header declares.
fn decode(file: &Handle, name: &Digest) -> Result<Vec<u8>, Damage> {
    let undecodable = |error: io::Error| match error.raw_os_error() {
        Some(_) => Damage::Unreadable(format!("it cannot be read: {error}")),
        None => Damage::Undecodable(error.to_string()),
    };
    let declared = Encoding::Zstd.declared_length(file, 0).map_err(undecodable)?;
    let declared = declared.ok_or_else(|| Damage::Undecodable("its header does not say how long it is".to_owned()))?;
    let decoder = || Encoding::Zstd.decoder(file).map(|decoder| decoder.take(declared.saturating_add(1)));
    if declared > UNVERIFIED {
        let hashed = decoder().and_then(|mut decoder| Digest::of_reader(&mut decoder)).map_err(undecodable)?;
        check(name, hashed)?;
        (&mut &*file).rewind().map_err(undecodable)?;
    }
    let mut bytes = Vec::new();
    let length = usize::try_from(declared).unwrap_or(usize::MAX);
    if bytes.try_reserve_exact(length).is_err() {
        return Err(Damage::Undecodable(format!("there is no memory for its {declared} bytes")));
    }
    decoder().and_then(|mut decoder| decoder.read_to_end(&mut bytes)).map_err(undecodable)?;
    if bytes.len() as u64 != declared {
        return Err(Damage::Length { found: bytes.len() as u64, expected: declared });
    }
    check(name, Digest::of(&bytes))?;
    Ok(bytes)
}

/// Returns the verified bytes of an open file without copying them, if the file is large and can be mapped.
fn map(verified: &Mutex<Verified>, file: &Handle, name: &Digest) -> io::Result<Option<Result<Bytes, Damage>>> {
    let metadata = file.metadata()?;
    if metadata.len() < MAP_FROM {
        return Ok(None);
    }
    // SAFETY: the bytes do not change while they are mapped. The store replaces and removes files but never writes to one that has
    // a name, it makes them read-only, and other programs must not change them (see the documentation of this crate).
    let Some(map) = (unsafe { file.map() })? else { return Ok(None) };
    let stamp = Stamp::of(&metadata);
    if lock(verified).mapped.get(name) != Some(&stamp) {
        if let Err(found) = check_mapped(name, &map) {
            return Ok(Some(Err(found)));
        }
        lock(verified).mapped.insert(*name, stamp);
    }
    Ok(Some(Ok(map.into())))
}

fn check_mapped(name: &Digest, map: &Mapped) -> Result<(), Damage> {
    let found = Digest::of(map);
    if map.is_lost() {
        return Err(Damage::Unreadable("the disk has lost a part of it".to_owned()));
    }
    check(name, found)
}

fn lock(verified: &Mutex<Verified>) -> MutexGuard<'_, Verified> {
    verified.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the verified bytes of a raw file that is not an object, if there is such a file. Remembers nothing.
pub(crate) fn read_once(path: &Path, name: &Digest) -> Result<Option<Bytes>> {
    read(&Mutex::default(), path, name, Encoding::Raw)
}

/// Hashes the uncompressed bytes of the file `path`, if there is such a file. Remembers nothing, and never holds the whole file in
/// memory.
pub(crate) fn check_file(path: &Path, encoding: Encoding, name: &Digest) -> Result<Option<Result<(), Damage>>> {
    match disk::open(path)? {
        Found::Sound(file) => check_open(&file, path, encoding, name).map(Some),
        Found::Absent => Ok(None),
        Found::Damaged(reason) => Ok(Some(Err(Damage::Unreadable(reason)))),
    }
}

/// Hashes the uncompressed bytes of an open file. Errors name `path`, which has these bytes.
pub(crate) fn check_open(file: &Handle, path: &Path, encoding: Encoding, name: &Digest) -> Result<Result<(), Damage>> {
    let hashed = Found::Sound(()).then(path, |()| {
        let metadata = file.metadata()?;
        if encoding == Encoding::Raw && metadata.len() >= MAP_FROM {
            // SAFETY: as in `map`; or the file is one that this process has just made, which has written all of it and does not write
            // while this function runs.
            if let Some(map) = unsafe { file.map() }? {
                return Ok(check_mapped(name, &map));
            }
        }
        match encoding.decoder(file).and_then(|mut decoder| Digest::of_reader(&mut decoder)) {
            Err(error) if encoding == Encoding::Zstd && error.raw_os_error().is_none() => {
                Ok(Err(Damage::Undecodable(error.to_string())))
            }
            digest => digest.map(|digest| check(name, digest)),
        }
    })?;
    Ok(match hashed {
        Found::Sound(checked) => checked,
        Found::Damaged(reason) => Err(Damage::Unreadable(reason)),
        Found::Absent => unreachable!("it is open"),
    })
}

/// Copies the uncompressed bytes of a file to another one, a piece at a time, and checks that they are what the name says. If they are
/// not, some of them are in the other file.
pub(crate) fn copy(from: &Handle, encoding: Encoding, name: &Digest, mut to: &Handle) -> Result<Result<(), Damage>> {
    // What the disk no longer gives and what does not decompress is damage, and what cannot be written is an error.
    let read = |done: io::Result<usize>| match done {
        Err(error) if encoding == Encoding::Zstd && error.raw_os_error().is_none() => {
            Ok(Err(Damage::Undecodable(error.to_string())))
        }
        done => Ok(match Found::Sound(()).then(from.path(), |()| done)? {
            Found::Sound(n) => Ok(n),
            Found::Damaged(reason) => Err(Damage::Unreadable(reason)),
            Found::Absent => unreachable!("it is open"),
        }),
    };
    let length = from.length()?;
    let declared = encoding.declared_length(from, length).and_then(|length| {
        // A damaged or hostile file must not fill the disk.
        length.ok_or_else(|| io::Error::other("its header does not say how long it is"))
    });
    let mut source = match declared.and_then(|length| Ok(encoding.decoder(from)?.take(length.saturating_add(1)))) {
        Ok(source) => source,
        Err(error) => return Ok(read(Err(error))?.map(drop)),
    };
    let room = usize::try_from(length).unwrap_or(PIECE).clamp(SMALL, PIECE);
    let (mut piece, mut hasher) = (vec![0; if encoding == Encoding::Raw { room } else { PIECE }], Hasher::default());
    loop {
        match read(source.read(&mut piece))? {
            Ok(0) => return Ok(check(name, hasher.finish())),
            Ok(n) => {
                to.write_all(&piece[..n]).at("write", to.path())?;
                hasher.update(&piece[..n]);
            }
            Err(damage) => return Ok(Err(damage)),
        }
    }
}

fn check(name: &Digest, found: Digest) -> Result<(), Damage> {
    if found == *name { Ok(()) } else { Err(Damage::Hash(found)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ObjectSource, Store};

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

    /// Puts a compressed file in the place of an object, and returns why it is refused.
    fn refused(compressed: &[u8]) -> String {
        let (_folder, store) = crate::testing::store();
        let bytes = vec![0; 100_000];
        let digest = store.put(&bytes).unwrap();
        let path = store.object_path(&digest, Encoding::Zstd);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, compressed).unwrap();
        match ObjectSource::read(&Store::open(store.root()).unwrap(), &digest) {
            Err(StoreError::Corrupt { found, .. }) => found.to_string(),
            read => panic!("{:?}", read.map(|bytes| bytes.len())),
        }
    }

    fn compressed(length: usize, declared: Option<u64>, window: Option<u32>) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.set_pledged_src_size(declared).unwrap();
        if let Some(window) = window {
            encoder.window_log(window).unwrap();
        }
        let zeros = vec![0; 1 << 20];
        for done in (0..length).step_by(zeros.len()) {
            std::io::Write::write_all(&mut encoder, &zeros[..zeros.len().min(length - done)]).unwrap();
        }
        encoder.finish().unwrap()
    }

    #[test]
    fn a_compressed_object_takes_no_more_memory_than_its_header_says_and_its_hash_allows() {
        assert_eq!(
            refused(&compressed(100_000, None, None)),
            "it does not decompress (its header does not say how long it is)"
        );
        // It says that it is larger than what is held before it is verified. It is hashed a piece at a time.
        let bomb = compressed(1 << 30, Some(1 << 30), None);
        assert!(bomb.len() < 200_000);
        assert!(refused(&bomb).starts_with("its bytes hash to "));
        let mut lies = compressed(1 << 20, Some(1 << 20), None);
        let at = lies.windows(4).position(|bytes| bytes == (1_u32 << 20).to_le_bytes()).unwrap();
        lies[at..at + 4].copy_from_slice(&100_000_u32.to_le_bytes());
        assert!(refused(&lies).contains("it does not decompress") || refused(&lies).contains("bytes instead of"));
        // A window of 128 MiB is what a decoder would need for itself.
        let wide = compressed(200 << 20, Some(200 << 20), Some(27));
        assert!(refused(&wide).contains("it does not decompress"), "{}", refused(&wide));
    }

    #[test]
    fn an_object_that_is_no_record_is_not_read_as_one() {
        let (_folder, store) = crate::testing::store();
        let digest = store.put(&vec![0; 257 << 20]).unwrap();
        assert!(matches!(store.tree(&digest), Err(StoreError::TooLarge { length, .. }) if length == 257 << 20));
    }

    #[test]
    fn large_objects_are_not_remembered() {
        let mut verified = Verified::default();
        verified.remember(Digest::of(b"x"), &vec![0; REMEMBER_UP_TO + 1].into());
        assert!(verified.small(&Digest::of(b"x")).is_none());
    }
}
