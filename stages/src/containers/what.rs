//! What a file is, judged by its first bytes.

use crate::stage::StageError;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Gzip,
    Xz,
    Zstd,
    Bzip2,
    Tar,
    Zip,
    /// A kind that cannot be read here: what it is, and what to do.
    Named(&'static str, &'static str),
    /// Anything else, such as a picture or a table.
    Plain,
}

/// What to do with an archive of a kind that is not read.
const UNPACK: &str = "unpack it, and use `Fetch(Folder(\"..\"))`";

/// What to do if a server answered with a page.
const PAGE: &str =
    "a server answered with a page instead of the file: open the address in a browser, and copy that of the download";

/// The beginnings of files that are no containers, or none that is read.
const NAMED: &[(&[u8], &str, &str)] = &[
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (b"MSCF", "a Windows cabinet", UNPACK),
    (b"xar!", "a xar archive", UNPACK),
    (b"LZIP", "an lzip file", UNPACK),
    (b"\x04\x22\x4d\x18", "an LZ4 file", UNPACK),
    (b"\x1f\x9d", "a file of `compress`", UNPACK),
    (b"!<arch>\n", "a Unix `ar` archive", UNPACK),
    (b"070701", "a cpio archive", UNPACK),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "write its pictures to a folder, and use `Fetch(Folder(\"..\"))`"),
    (b"PAR1", "a Parquet file", "write its pictures to a folder, and use `Fetch(Folder(\"..\"))`"),
    (b"\x93NUMPY", "a NumPy array", "write its pictures to a folder, and use `Fetch(Folder(\"..\"))`"),
    (b"SQLite format 3\0", "an SQLite database", "write its pictures to a folder, and use `Fetch(Folder(\"..\"))`"),
    (b"%PDF", "a PDF document", "use the archive of the pictures"),
    (b"version https://git-lfs", "a pointer of Git LFS", "fetch the file itself: `git lfs pull`"),
];

impl What {
    /// Returns what a file is that begins with `head`, up to its first 4 KiB.
    pub(super) fn of(head: &[u8]) -> Self {
        let begins = |magic: &[u8]| head.starts_with(magic);
        if begins(&[0x1f, 0x8b]) {
            Self::Gzip
        } else if begins(b"\xfd7zXZ\0") {
            Self::Xz
        } else if begins(&[0x28, 0xb5, 0x2f, 0xfd])
            || (head.len() >= 4 && head[0] & 0xf0 == 0x50 && head[1..4] == [0x2a, 0x4d, 0x18])
        {
            Self::Zstd
        } else if begins(b"BZh") && head.get(4..10).is_some_and(|magic| magic == b"1AY&SY" || magic == b"\x17rE8P\x90")
        {
            Self::Bzip2
        } else if begins(b"PK\x03\x04") || begins(b"PK\x05\x06") || begins(b"PK\x07\x08") {
            Self::Zip
        } else if is_tar(head) {
            Self::Tar
        } else if let Some((_, name, help)) = NAMED.iter().find(|(magic, ..)| begins(magic)) {
            Self::Named(name, help)
        } else if let Some(page) = page(head) {
            Self::Named(page, PAGE)
        } else if head.is_empty() {
            Self::Named("empty", "fetch it again")
        } else {
            Self::Plain
        }
    }

    /// Returns the error for a file that cannot be read, or `None`. It begins with `head`.
    pub(super) fn refusal(self, head: &[u8]) -> Option<StageError> {
        let Self::Named(name, help) = self else { return None };
        let message = if help == PAGE {
            let beginning: String = String::from_utf8_lossy(head).trim_start().chars().take(60).collect();
            format!("the file is {name} that begins `{}`", beginning.escape_debug())
        } else {
            format!("the file is {name}")
        };
        Some(StageError::failed_with_hint(message, help))
    }
}

/// Returns whether `head` begins with the header of a tar archive, or with the zeros of an empty one.
fn is_tar(head: &[u8]) -> bool {
    let Some(block) = head.first_chunk::<512>() else { return false };
    if block.iter().all(|byte| *byte == 0) {
        return head.len() >= 1024 && head[..1024].iter().all(|byte| *byte == 0);
    }
    super::tar::has_checksum(block)
}

/// Returns what kind of page a server answered with, if it did.
fn page(head: &[u8]) -> Option<&'static str> {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let begins = |tag: &str| text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()));
    if begins("<!doctype html") || begins("<html") || begins("<head") {
        Some("an HTML page")
    } else if begins("<?xml") || begins("<error") {
        Some("an XML document")
    } else {
        None
    }
}
