//! Containers: what data come in. An archive, a compressed file, a plain file or a folder is read one entry after the other, and
//! what it is is judged by its content, never by its name.
//!
//! Nothing is unpacked to disk, and a container is never in memory as a whole. Containers come from strangers, so everything
//! that they could make large is bounded by [`Limits`].

mod names;
mod packed;
mod tar;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod what;
mod zip;

use std::{
    collections::HashSet,
    io::{self, Read},
};

use pipe_store::{Bytes, Digest};

pub(crate) use self::names::{is_junk, nfc};
use self::{packed::Opened, what::What};
use crate::{
    records::{Listing, Record},
    stage::{Inputs, StageError},
};

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
    reader: &'e mut (dyn Read + 'e),
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
        // The size may be a lie, so memory grows with what is there.
        let mut bytes = Vec::with_capacity(self.size.min(1 << 20) as usize);
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
        let (mut hasher, mut head, mut whole) = (blake3::Hasher::new(), Vec::with_capacity(n.min(4096)), None);
        self.each(|piece| {
            if known.is_none() {
                hasher.update(piece);
            }
            // The first piece has the head, because pieces are larger.
            if head.is_empty() {
                head.extend_from_slice(&piece[..piece.len().min(n)]);
                whole = (fits && is_wanted(&head)).then(Vec::new);
            }
            if let Some(whole) = &mut whole {
                whole.extend_from_slice(piece);
            }
        })?;
        Ok((known.unwrap_or_else(|| hasher.finalize().into()), head, whole))
    }

    /// Calls `take` with each piece of the content. All but the last are 64 KiB long.
    fn each(self, mut take: impl FnMut(&[u8])) -> Result<(), ContentError> {
        let mut buffer = vec![0; self.size.clamp(1, 64 << 10) as usize];
        let mut found = 0;
        while found < self.size {
            let room = buffer.len().min((self.size - found).try_into().unwrap_or(usize::MAX));
            match fill(self.reader, &mut buffer[..room]) {
                Ok(0) => {
                    let why = format!("truncated: found {found} bytes, expected {}", self.size);
                    return Err(self.stopped(why));
                }
                Ok(n) => {
                    take(&buffer[..n]);
                    found += n as u64;
                }
                Err(error) => return Err(self.broken(&error)),
            }
        }
        if self.alone {
            // Checksums are compared at the end of the file.
            match self.reader.read(&mut [0]) {
                Ok(0) => {}
                Ok(_) => {
                    return Err(self.stopped(format!("longer than the {} bytes that it is said to have", self.size)));
                }
                Err(error) => return Err(self.broken(&error)),
            }
        }
        Ok(())
    }

    fn broken(&self, error: &io::Error) -> ContentError {
        match packed::excess(error) {
            Some(error) => ContentError::Container(error),
            None if error.kind() == io::ErrorKind::Unsupported => self.stopped(error.to_string()),
            None => self.stopped(format!("broken: {error}")),
        }
    }

    fn stopped(&self, why: String) -> ContentError {
        if self.alone {
            return ContentError::File(why);
        }
        ContentError::Container(failed(format!("entry `{}` is {why}", self.path.escape_debug())))
    }
}

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

/// The files of a fetch, whose entries are read as those of one container.
pub(crate) struct Source<'i, 'a> {
    inputs: &'i Inputs<'a>,
    files: Vec<(String, Bytes)>,
    folder: Option<Listing>,
}

impl<'i, 'a> Source<'i, 'a> {
    /// Returns the source of what is connected to `inputs`: a folder, or one or more files.
    ///
    /// # Errors
    /// If an input cannot be read.
    pub(crate) fn open(inputs: &'i Inputs<'a>) -> Result<Self, StageError> {
        let (mut files, mut folder) = (Vec::new(), None);
        for slot in inputs.slots() {
            if slot == Listing::FILE {
                folder = Some(inputs.record(slot)?);
            } else {
                files.push((slot.to_owned(), inputs.bytes(slot)?));
            }
        }
        if files.is_empty() && folder.is_none() {
            return Err(failed("no object is connected".to_owned()));
        }
        Ok(Self { inputs, files, folder })
    }

    /// Returns the bytes of the files, which is what they take while they are read.
    pub(crate) fn packed(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes.len() as u64).sum()
    }

    /// Returns an estimate of the bytes that the files unpack to.
    pub(crate) fn unpacked(&self) -> u64 {
        let folder: u64 = self.folder.iter().flat_map(|listing| &listing.files).map(|file| file.size).sum();
        let of_file = |(_, bytes): &(String, Bytes)| packed::unpacked(bytes).min(Limits::of(bytes.len()).total);
        folder + self.files.iter().map(of_file).sum::<u64>()
    }

    /// Returns the only file inside the file `name` of the source, or the file itself if it is no container. `None` if there is no
    /// file `name`.
    ///
    /// # Errors
    /// As for [`visit`](Self::visit). Also if the container does not have exactly one file. The message begins with the name.
    pub(crate) fn single(&self, name: &str) -> Result<Option<Vec<u8>>, StageError> {
        let Some((_, bytes)) = self.files.iter().find(|(known, _)| known == name) else { return Ok(None) };
        unpack(name, bytes).map(Some)
    }

    /// Calls `take` with each entry, in the order of the container. A file that is no container has one entry with its name.
    ///
    /// # Errors
    /// The first error of `take`. If the file is of a kind that cannot be read, is broken or exceeds its limits. If a path is
    /// absolute or has `..` in it, if two entries have one path, or if an entry is a device. The message names the entry.
    pub(crate) fn visit(&self, mut take: impl FnMut(Entry<'_>) -> Result<(), StageError>) -> Result<(), StageError> {
        let packed = usize::try_from(self.packed()).unwrap_or(usize::MAX);
        let mut visitor = Visitor { seen: HashSet::new(), limits: Limits::of(packed), paths: 0, take: &mut take };
        if let Some(listing) = &self.folder {
            visit_folder(listing, self.inputs, &mut visitor)?;
        }
        for (name, bytes) in &self.files {
            let visited = visit_file(name, bytes, &mut visitor);
            // With one file it is clear which is meant.
            visited.map_err(|error| if self.files.len() > 1 { within(name, error) } else { error })?;
        }
        Ok(())
    }
}

/// Returns the content of a file that may be compressed or the only one of a container.
///
/// # Errors
/// If it is broken or too large. The message begins with `name`.
pub(crate) fn unpack(name: &str, bytes: &[u8]) -> Result<Vec<u8>, StageError> {
    let mut content = None;
    let limits = Limits::of(bytes.len());
    let mut take = |entry: Entry<'_>| match entry.kind {
        EntryKind::File(_) if is_junk(entry.path) => Ok(()),
        EntryKind::File(_) if content.is_some() => Err(failed("it has several files, expected one".to_owned())),
        EntryKind::File(file) => {
            content = Some(file.read(limits.total)?);
            Ok(())
        }
        _ => Ok(()),
    };
    let mut visitor = Visitor { seen: HashSet::new(), limits, paths: 0, take: &mut take };
    visit_file(name, bytes, &mut visitor).map_err(|error| within(name, error))?;
    content.ok_or_else(|| failed(format!("`{name}`: there is no file in it")))
}

fn within(name: &str, error: StageError) -> StageError {
    match error {
        StageError::Failed { message, hint } => StageError::Failed { message: format!("`{name}`: {message}"), hint },
        error => error,
    }
}

fn visit_folder(listing: &Listing, inputs: &Inputs<'_>, visitor: &mut Visitor<'_>) -> Result<(), StageError> {
    for file in &listing.files {
        let bytes = inputs.object(&file.digest)?;
        visitor.file(&file.path, file.size, Some(file.digest), true, &mut &bytes[..])?;
    }
    for path in &listing.empty {
        visitor.entry(path, EntryKind::Folder)?;
    }
    for path in &listing.links {
        visitor.entry(path, EntryKind::Link(None))?;
    }
    for path in &listing.others {
        visitor.entry(path, EntryKind::Other)?;
    }
    Ok(())
}

/// Calls the visitor with the entries of the file `bytes`.
fn visit_file(name: &str, bytes: &[u8], visitor: &mut Visitor<'_>) -> Result<(), StageError> {
    match packed::open(bytes, visitor.limits.total)? {
        Opened::Zip(bytes) => zip::visit(bytes, visitor),
        Opened::Tar(mut reader) => tar::visit(&mut reader, visitor),
        Opened::Plain(mut reader, head) => {
            if let Some(refusal) = What::of(&head).refusal(&head) {
                return Err(refusal);
            }
            // Its length is known when it ends.
            let mut content = Vec::new();
            reader.read_to_end(&mut content).map_err(|error| {
                packed::excess(&error).unwrap_or_else(|| failed(format!("the file is broken: {error}")))
            })?;
            visitor.file(name, content.len() as u64, None, false, &mut &content[..])
        }
    }
}

/// Checks the entries of a container, and passes them on.
struct Visitor<'v> {
    /// The digests of the paths so far, because paths may be long.
    seen: HashSet<Digest>,
    limits: Limits,
    /// The bytes of the paths so far.
    paths: u64,
    take: &'v mut dyn FnMut(Entry<'_>) -> Result<(), StageError>,
}

impl Visitor<'_> {
    fn file<'e>(
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
        self.entry(path, EntryKind::File(Content { size, path, digest, alone, reader }))
    }

    /// Passes on the entry at `path`, which is normal.
    fn entry<'e>(&mut self, path: &'e str, kind: EntryKind<'e>) -> Result<(), StageError> {
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

/// Returns the error for a file that unpacks to more than pictures ever do.
fn too_large(message: String) -> StageError {
    StageError::failed_with_hint(
        message,
        "pictures do not shrink that much: compare the file with its publisher's, or pack it without other files",
    )
}

fn failed(message: String) -> StageError {
    StageError::failed(message)
}
