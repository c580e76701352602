//! Containers for tests.

use std::io::Write;

use pipe_store::MemoryObjects;

use super::{EntryKind, Source};
use crate::stage::{Inputs, StageError};

/// Returns the gzip file of `bytes`.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Returns a tar entry without checking its name.
pub(crate) fn entry(name: &[u8], kind: ::tar::EntryType, content: &[u8]) -> Vec<u8> {
    let mut header = ::tar::Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    with_content(&header, content)
}

/// Returns a link in a tar archive.
pub(crate) fn link(name: &str, kind: ::tar::EntryType, target: &str) -> Vec<u8> {
    let mut bytes = entry(name.as_bytes(), kind, b"");
    bytes[157..157 + target.len()].copy_from_slice(target.as_bytes());
    let mut header = ::tar::Header::new_ustar();
    header.as_mut_bytes().copy_from_slice(&bytes);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// Returns the header and the content, filled up to a block.
pub(crate) fn with_content(header: &::tar::Header, content: &[u8]) -> Vec<u8> {
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// Returns a tar archive of `files`.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        files.iter().flat_map(|(name, content)| entry(name.as_bytes(), ::tar::EntryType::Regular, content)).collect();
    bytes.extend([0; 1024]);
    bytes
}

/// Returns a `.tar.gz` of `files`.
pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    gzip(&tar(files))
}

/// Returns a zip archive of `files`.
pub(crate) fn zip(files: &[(&str, &[u8])], method: ::zip::CompressionMethod) -> Vec<u8> {
    let mut writer = ::zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, ::zip::write::SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Calls `f` with the source of `files`, by slot.
pub(crate) fn with_source<T>(
    files: &[(&str, &[u8])],
    f: impl FnOnce(&Source<'_, '_>) -> Result<T, StageError>,
) -> Result<T, StageError> {
    let mut objects = MemoryObjects::default();
    let slots = files.iter().map(|(slot, bytes)| ((*slot).to_owned(), objects.put(bytes.to_vec()))).collect();
    let inputs = Inputs::new(&slots, &objects);
    f(&Source::open(&inputs)?)
}

/// Returns the entries of `files`, by slot, in words: path, and content or kind.
pub(crate) fn entries(files: &[(&str, &[u8])]) -> Result<Vec<(String, String)>, StageError> {
    let mut found = Vec::new();
    with_source(files, |source| {
        source.visit(|entry| {
            let what = match entry.kind {
                EntryKind::File(content) => match content.read(10_000) {
                    Ok(bytes) => bytes.escape_ascii().to_string(),
                    Err(super::ContentError::File(why)) => format!("({why})"),
                    Err(super::ContentError::Container(error)) => return Err(error),
                },
                EntryKind::Folder => "(folder)".to_owned(),
                EntryKind::Link(Some(target)) => format!("-> {target}"),
                EntryKind::Link(None) => "(link)".to_owned(),
                EntryKind::Other => "(other)".to_owned(),
            };
            found.push((entry.path.to_owned(), what));
            Ok(())
        })
    })?;
    Ok(found)
}
