//! Containers: what data come in. An archive, a compressed file, a plain file or a folder is read one entry after the other, and
//! what it is is judged by its content, never by its name.
//!
//! Nothing is unpacked to disk, and a container is never in memory as a whole. Containers come from strangers, so everything
//! that they could make large is bounded by [`Limits`].

mod entry;
mod names;
mod packed;
mod tar;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod what;
mod zip;

use std::cell::Cell;

use pipe_store::Bytes;

pub(crate) use self::{
    entry::{Content, ContentError, Entry, EntryKind, Limits},
    names::{is_junk, nfc},
};
use self::{
    entry::{Visitor, excess, failed},
    packed::Opened,
    what::What,
};
use crate::{
    records::{Listing, Record},
    stage::{Inputs, StageError},
};

/// The files of a fetch, whose entries are read as those of one container.
pub(crate) struct Source<'i, 'a> {
    inputs: &'i Inputs<'a>,
    files: Vec<(String, Bytes)>,
    folder: Option<Listing>,
    /// Whether something behind the end of a gzip file was passed over.
    behind: Cell<bool>,
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
        Ok(Self { inputs, files, folder, behind: Cell::new(false) })
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

    /// Tells what was passed over while the source was read.
    pub(crate) fn tell(&self) {
        if self.behind.get() {
            tracing::warn!("there are data behind the end of a gzip file, which are passed over");
        }
    }

    /// Calls `take` with each entry, in the order of the container. A file that is no container has one entry with its name.
    ///
    /// # Errors
    /// The first error of `take`. If the file is of a kind that cannot be read, is broken or exceeds its limits. If a path is
    /// absolute or has `..` in it, if two entries have one path, or if an entry is a device. The message names the entry.
    pub(crate) fn visit(&self, mut take: impl FnMut(Entry<'_>) -> Result<(), StageError>) -> Result<(), StageError> {
        let packed = usize::try_from(self.packed()).unwrap_or(usize::MAX);
        let limits = Limits::of(packed);
        let mut visitor = Visitor::new(limits, &self.behind, &mut take);
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
    let behind = Cell::new(false);
    let mut visitor = Visitor::new(limits, &behind, &mut take);
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
    visitor.stated = packed::unpacked(bytes).min(visitor.limits.total);
    match packed::open(bytes, visitor.limits.total, visitor.behind)? {
        Opened::Zip(bytes) => zip::visit(bytes, visitor),
        Opened::Tar(mut reader) => tar::visit(&mut reader, visitor),
        Opened::Plain(mut reader, head) => {
            if let Some(refusal) = What::of(&head).refusal(&head) {
                return Err(refusal);
            }
            // Its length is known when it ends.
            let mut content = Vec::with_capacity(visitor.stated as usize);
            reader
                .read_to_end(&mut content)
                .map_err(|error| excess(&error).unwrap_or_else(|| failed(format!("the file is broken: {error}"))))?;
            visitor.whole(name, content)
        }
    }
}
