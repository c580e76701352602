//! Zip archives: stored, deflate, deflate64 and bzip2, also zip64.

use std::io::Cursor;

use ::zip::{ZipArchive, result::ZipError};

use super::{
    entry::{EntryKind, Visitor, failed, too_large},
    names::{normal, target, text},
};
use crate::stage::StageError;

/// Calls the visitor with the entries of the archive `bytes`.
pub(super) fn visit(bytes: &[u8], visitor: &mut Visitor<'_>) -> Result<(), StageError> {
    let broken = |error: ZipError| match error {
        ZipError::UnsupportedArchive(why) => failed(format!("the zip archive cannot be read here: {why}")),
        error => failed(format!("the zip archive is broken: {error}")),
    };
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    if archive.has_duplicate_names() {
        return Err(failed("the zip archive has two entries with one name".to_owned()));
    }
    // Entries may share their data, so the sizes that they state are added before any is unpacked.
    let mut left = visitor.limits.total;
    for index in 0..archive.len() {
        if let Some(error) = archive.by_index(index).err() {
            // Encrypted, or packed in a way that is not known: the other entries can be read.
            let raw = archive.by_index_raw(index).map_err(broken)?;
            let path = path_of(raw.name_raw())?;
            let why = match error {
                ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => "encrypted".to_owned(),
                ZipError::CompressionMethodNotSupported(method) => {
                    format!("packed with the method {method} of zip, which cannot be read here")
                }
                error => format!("broken: {error}"),
            };
            visitor.file(&path, raw.size(), None, true, &mut Unreadable(why))?;
            continue;
        }
        let file = archive.by_index(index).map_err(broken)?;
        let path = path_of(file.name_raw())?;
        let size = file.size();
        left = left.checked_sub(size).ok_or_else(|| {
            let limit = visitor.limits.total;
            too_large(format!(
                "the file of {} bytes unpacks to more than {limit} bytes, expected at most that",
                bytes.len()
            ))
        })?;
        if file.is_dir() {
            visitor.entry(&path, EntryKind::Folder)?;
        } else if file.is_symlink() {
            let mut link = Vec::new();
            let mut file = std::io::Read::take(file, 4097);
            let read = std::io::Read::read_to_end(&mut file, &mut link);
            read.map_err(|error| failed(format!("entry `{}` is broken: {error}", path.escape_debug())))?;
            visitor.entry(&path, EntryKind::Link(target(&path, &link, false)))?;
        } else {
            let mut file = file;
            visitor.file(&path, size, None, true, &mut file)?;
        }
    }
    Ok(())
}

/// Returns the normal path of a name. Some programs of Windows write backslashes, and old ones write names in code page 437,
/// whose letters are then shown as bytes.
fn path_of(name: &[u8]) -> Result<String, StageError> {
    let name: Vec<u8> = name.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect();
    normal(&name).map_err(|why| failed(format!("entry `{}` {why}", text(&name).escape_debug())))
}

/// The content of a file that cannot be read.
struct Unreadable(String);

impl std::io::Read for Unreadable {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::new(std::io::ErrorKind::Unsupported, self.0.clone()))
    }
}
