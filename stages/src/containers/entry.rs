//! The entries of a container, and the limits within which they are read.

use std::{
    cell::Cell,
    collections::BTreeSet,
    io::{self, Read},
};

use pipe_store::Digest;

use crate::stage::StageError;

/// The bytes that a file may unpack to however small it is: more than MNIST (52 MB), CIFAR (184 MB) and most other data sets of
/// small pictures have.
const UNPACKED_ALWAYS: u64 = 256 << 20;

/// The bytes that a larger file may unpack to for each of its own. Photographs shrink by less than 2, drawings such as MNIST's by
/// 4.5. Only bytes that are almost all alike shrink by more than 30, and they are a mistake or an attack.
const UNPACKED_PER_BYTE: u64 = 32;

/// The most entries in a container. ImageNet has 1.3 million.
const ENTRIES: usize = 2_000_000;

/// The most bytes of all paths together: 128 for each of 2 million entries.
const PATHS: u64 = 256 << 20;

/// The limits of a container. Anything beyond them is refused before it is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The most unpacked bytes.
    pub(crate) total: u64,
    /// The most entries.
    pub(crate) entries: usize,
    /// The most bytes of all paths.
    pub(crate) paths: u64,
}

impl Limits {
    /// Returns the limits of a file of `packed` bytes.
    pub(crate) fn of(packed: usize) -> Self {
        let total = UNPACKED_ALWAYS.max(UNPACKED_PER_BYTE.saturating_mul(packed as u64));
        Self { total, entries: ENTRIES, paths: PATHS }
    }
}

/// One entry of a container.
pub(crate) struct Entry<'e> {
    /// The path inside the container: parts with single slashes between them, in Unicode's form NFC. A byte that is not UTF-8 is
    /// written as `\xe9`.
    pub(crate) path: &'e str,
    /// What is there.
    pub(crate) kind: EntryKind<'e>,
}

/// What an entry is.
pub(crate) enum EntryKind<'e> {
    /// A file.
    File(Content<'e>),
    /// A folder.
    Folder,
    /// A link, with the path that it leads to. `None` if that is outside.
    Link(Option<String>),
    /// Neither: a pipe, say.
    Other,
}

/// The content of a file, which can be read once.
pub(crate) struct Content<'e> {
    /// The number of bytes that the container says.
    pub(crate) size: u64,
    /// The path, for messages.
    path: &'e str,
    /// The digest, if it is known without reading.
    digest: Option<Digest>,
    /// Whether the file may be broken while the rest of the container is sound.
    alone: bool,
    /// The bytes that the container says to unpack to, which may be wrong.
    stated: u64,
    data: Data<'e>,
}

/// Where the content of a file comes from.
enum Data<'e> {
    Stream(&'e mut (dyn Read + 'e)),
    Whole(Vec<u8>),
}

/// The digest of a file, its first bytes, and perhaps all of them.
pub(crate) type Looked = (Digest, Vec<u8>, Option<Vec<u8>>);

/// Why the content of a file could not be read.
#[derive(Debug)]
pub(crate) enum ContentError {
    /// This file cannot be read, but the others can. The message continues "the file is ..".
    File(String),
    /// The container cannot be read further.
    Container(StageError),
}

impl ContentError {
    /// Returns the error for a file at `path` without which the container is of no use.
    pub(crate) fn of_entry(self, path: &str) -> StageError {
        match self {
            Self::File(why) => failed(format!("entry `{}` is {why}", path.escape_debug())),
            Self::Container(error) => error,
        }
    }
}

impl From<ContentError> for StageError {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::File(why) => failed(format!("the file is {why}")),
            ContentError::Container(error) => error,
        }
    }
}

impl Content<'_> {
    /// Returns the bytes, if there are at most `limit`.
    ///
    /// # Errors
    /// If there are more, or the file cannot be read.
    pub(crate) fn read(self, limit: u64) -> Result<Vec<u8>, ContentError> {
        if self.size > limit {
            return Err(ContentError::File(format!("{} bytes long, expected at most {limit}", self.size)));
        }
        if let Data::Whole(bytes) = self.data {
            return Ok(bytes);
        }
        // The size may be a lie, so no more is reserved than the whole container says to have.
        let mut bytes = Vec::with_capacity(self.size.min(self.stated) as usize);
        self.each(|piece| bytes.extend_from_slice(piece))?;
        Ok(bytes)
    }

    /// Returns the digest of the bytes and the first `n` of them, and all of them if there are at most `most` and `is_wanted`
    /// says so of the first.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn digest(self, n: usize, is_wanted: impl Fn(&[u8]) -> bool, most: u64) -> Result<Looked, ContentError> {
        let (known, fits) = (self.digest, self.size <= most);
        let room = self.size.min(self.stated) as usize;
        let (mut hasher, mut head, mut whole) = (blake3::Hasher::new(), Vec::with_capacity(n.min(4096)), None);
        self.each(|piece| {
            if known.is_none() {
                hasher.update(piece);
            }
            // The first piece has the head, because pieces are larger.
            if head.is_empty() {
                head.extend_from_slice(&piece[..piece.len().min(n)]);
                whole = (fits && is_wanted(&head)).then(|| Vec::with_capacity(room));
            }
            if let Some(whole) = &mut whole {
                whole.extend_from_slice(piece);
            }
        })?;
        Ok((known.unwrap_or_else(|| hasher.finalize().into()), head, whole))
    }

    /// Calls `take` with each piece of the content. All but the last are 64 KiB long.
    fn each(self, mut take: impl FnMut(&[u8])) -> Result<(), ContentError> {
        let path = self.path;
        let stopped = |why: String| stopped(path, self.alone, why);
        let reader = match self.data {
            Data::Whole(bytes) => {
                bytes.chunks(PIECE).for_each(take);
                return Ok(());
            }
            Data::Stream(reader) => reader,
        };
        let mut buffer = vec![0; self.size.clamp(1, PIECE as u64) as usize];
        let mut found = 0;
        while found < self.size {
            let room = buffer.len().min((self.size - found).try_into().unwrap_or(usize::MAX));
            match fill(reader, &mut buffer[..room]) {
                Ok(0) => {
                    let why = format!("truncated: found {found} bytes, expected {}", self.size);
                    return Err(stopped(why));
                }
                Ok(n) => {
                    take(&buffer[..n]);
                    found += n as u64;
                }
                Err(error) => return Err(broken(&error, stopped)),
            }
        }
        if self.alone {
            // Checksums are compared at the end of the file.
            match reader.read(&mut [0]) {
                Ok(0) => {}
                Ok(_) => {
                    return Err(stopped(format!("longer than the {} bytes that it is said to have", self.size)));
                }
                Err(error) => return Err(broken(&error, stopped)),
            }
        }
        Ok(())
    }
}

fn broken(error: &io::Error, stopped: impl Fn(String) -> ContentError) -> ContentError {
    match excess(error) {
        Some(error) => ContentError::Container(error),
        None if error.kind() == io::ErrorKind::Unsupported => stopped(error.to_string()),
        None => stopped(format!("broken: {error}")),
    }
}

fn stopped(path: &str, alone: bool, why: String) -> ContentError {
    if alone {
        return ContentError::File(why);
    }
    ContentError::Container(failed(format!("entry `{}` is {why}", path.escape_debug())))
}

/// The bytes of a piece of content.
const PIECE: usize = 64 << 10;

/// Reads until `buffer` is full or there is no more. Returns the number of bytes.
fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while n < buffer.len() {
        match reader.read(&mut buffer[n..]) {
            Ok(0) => break,
            Ok(more) => n += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(n)
}

/// Checks the entries of a container, and passes them on.
pub(super) struct Visitor<'v> {
    /// The digests of the paths so far, because paths may be long.
    seen: BTreeSet<Digest>,
    pub(super) limits: Limits,
    /// The bytes of the paths so far.
    paths: u64,
    /// The bytes that the container says to unpack to.
    pub(super) stated: u64,
    pub(super) behind: &'v Cell<bool>,
    take: &'v mut dyn FnMut(Entry<'_>) -> Result<(), StageError>,
}

impl<'v> Visitor<'v> {
    /// Returns a visitor that has seen nothing.
    pub(super) fn new(
        limits: Limits,
        behind: &'v Cell<bool>,
        take: &'v mut dyn FnMut(Entry<'_>) -> Result<(), StageError>,
    ) -> Self {
        Self { seen: BTreeSet::new(), limits, paths: 0, stated: u64::MAX, behind, take }
    }

    pub(super) fn file<'e>(
        &mut self,
        path: &'e str,
        size: u64,
        digest: Option<Digest>,
        alone: bool,
        reader: &'e mut (dyn Read + 'e),
    ) -> Result<(), StageError> {
        if digest.is_none() && size > self.limits.total {
            let limit = self.limits.total;
            let message = format!("entry `{}` is {size} bytes long, expected at most {limit}", path.escape_debug());
            return Err(too_large(message));
        }
        let stated = self.stated;
        self.entry(path, EntryKind::File(Content { size, path, digest, alone, stated, data: Data::Stream(reader) }))
    }

    /// Passes on a file that was read as a whole.
    pub(super) fn whole(&mut self, path: &str, bytes: Vec<u8>) -> Result<(), StageError> {
        let size = bytes.len() as u64;
        let content = Content { size, path, digest: None, alone: false, stated: size, data: Data::Whole(bytes) };
        self.entry(path, EntryKind::File(content))
    }

    /// Passes on the entry at `path`, which is normal.
    pub(super) fn entry<'e>(&mut self, path: &'e str, kind: EntryKind<'e>) -> Result<(), StageError> {
        let shown = path.escape_debug();
        if !matches!(kind, EntryKind::Folder) {
            if self.seen.len() == self.limits.entries {
                let limit = self.limits.entries;
                return Err(failed(format!("entry `{shown}` is one too many, expected at most {limit}")));
            }
            self.paths += path.len() as u64;
            if self.paths > self.limits.paths {
                let limit = self.limits.paths;
                return Err(failed(format!("the paths up to `{shown}` have more than {limit} bytes")));
            }
            if !self.seen.insert(Digest::of(path.as_bytes())) {
                return Err(failed(format!("entry `{shown}` occurs twice")));
            }
        }
        (self.take)(Entry { path, kind })
    }
}

/// A file unpacks to more than its limit.
#[derive(Debug, thiserror::Error)]
#[error("the file of {packed} bytes unpacks to more than {limit} bytes, expected at most that")]
pub(super) struct Excess {
    pub(super) limit: u64,
    pub(super) packed: usize,
}

/// Returns the error for a file that unpacks to more than its limit, if that is the reason of `error`.
pub(super) fn excess(error: &io::Error) -> Option<StageError> {
    let excess = error.get_ref()?.downcast_ref::<Excess>()?;
    Some(too_large(excess.to_string()))
}

/// Returns the error for a file that unpacks to more than pictures ever do.
pub(super) fn too_large(message: String) -> StageError {
    StageError::failed_with_hint(
        message,
        "pictures do not shrink that much: compare the file with its publisher's, or pack it without other files",
    )
}

pub(super) fn failed(message: String) -> StageError {
    StageError::failed(message)
}
