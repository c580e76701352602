//! Reads archives from untrusted sources. Nothing is unpacked to disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
};

use flate2::bufread::GzDecoder;

use crate::stage::StageError;

/// The limits of an archive. Anything beyond them is refused before it is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The most bytes in one entry.
    pub(super) entry: u64,
    /// The most bytes in the whole unpacked stream.
    pub(super) total: u64,
    /// The most files.
    pub(super) entries: usize,
}

/// 4 GiB in one entry, 16 GiB in all, two million entries.
pub(super) const LIMITS: Limits = Limits { entry: 4 << 30, total: 16 << 30, entries: 2_000_000 };

/// Returns the regular files of a `.tar.gz` whose normalised path is `wanted`, by path. Folders, unwanted files and what macOS
/// adds (`._x`, `.DS_Store`, `__MACOSX/`) are checked and then skipped.
///
/// # Errors
/// If an entry is a link or a special file, has an absolute path or `..` in its path, occurs twice, is truncated or is too large.
/// The message names the entry. Also if the stream is not exactly one gzip member.
pub(super) fn untar(
    bytes: &[u8],
    limits: Limits,
    wanted: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, Vec<u8>>, StageError> {
    let mut gzip = Gunzip::new(bytes, limits.total)?;
    let mut files = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut archive = tar::Archive::new(&mut gzip);
    let broken = |error: io::Error, after: &str| failed(format!("the archive is broken {after}: {error}"));
    let mut last = "at its start".to_owned();
    for entry in archive.entries().map_err(|error| broken(error, "at its start"))? {
        let mut entry = entry.map_err(|error| broken(error, &last))?;
        let path = String::from_utf8(entry.path_bytes().into_owned()).map_err(|error| {
            failed(format!("entry `{}` has a name that is not UTF-8", error.as_bytes().escape_ascii()))
        })?;
        let shown = path.escape_debug().to_string();
        last = format!("after entry `{shown}`");
        let kind = entry.header().entry_type();
        if kind == tar::EntryType::XGlobalHeader {
            continue;
        }
        if !kind.is_file() && !kind.is_dir() {
            let found = if kind.is_symlink() {
                "a symbolic link"
            } else if kind.is_hard_link() {
                "a hard link"
            } else {
                "a special file"
            };
            return Err(failed(format!("entry `{shown}` is {found}, expected files and folders only")));
        }
        let path = normal(&path).map_err(|why| failed(format!("entry `{shown}` {why}")))?;
        if kind.is_dir() {
            continue;
        }
        let size = entry.size();
        if size > limits.entry {
            let limit = limits.entry;
            return Err(failed(format!("entry `{shown}` holds {size} bytes, expected at most {limit}")));
        }
        if seen.len() == limits.entries {
            return Err(failed(format!("entry `{shown}` is one too many, expected at most {} files", limits.entries)));
        }
        if !seen.insert(path.clone()) {
            return Err(failed(format!("entry `{shown}` occurs twice")));
        }
        if is_junk(&path) || !wanted(&path) {
            continue;
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(|error| failed(format!("entry `{shown}` cannot be read: {error}")))?;
        if content.len() as u64 != size {
            return Err(failed(format!(
                "entry `{shown}` is truncated: found {} bytes, expected {size}",
                content.len()
            )));
        }
        files.insert(path, content);
    }
    gzip.finish(&last)?;
    Ok(files)
}

/// Returns the unpacked bytes of a `.gz`.
///
/// # Errors
/// If it is not exactly one gzip member, or unpacks to more than `limit` bytes.
pub(super) fn gunzip(bytes: &[u8], limit: u64) -> Result<Vec<u8>, StageError> {
    let mut gzip = Gunzip::new(bytes, limit)?;
    let mut content = Vec::new();
    gzip.read_to_end(&mut content).map_err(|error| failed(format!("the gzip stream is broken: {error}")))?;
    gzip.finish_member()?;
    Ok(content)
}

/// Returns the unpacked size that a `.gz` states, in bytes modulo 2^32. It may be wrong.
pub(super) fn unpacked_length(bytes: &[u8]) -> u64 {
    bytes.last_chunk().map_or(0, |length| u64::from(u32::from_le_bytes(*length)))
}

/// Returns the path without `.` and with single slashes, or the problem with it.
fn normal(path: &str) -> Result<String, &'static str> {
    if path.starts_with('/') {
        return Err("has an absolute path");
    }
    if path.contains(['\\', '\0']) {
        return Err("has a backslash or a zero byte in its path");
    }
    let parts: Vec<_> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return Err("has `..` in its path");
    }
    Ok(parts.join("/"))
}

fn is_junk(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.starts_with("._") || name == ".DS_Store" || path.split('/').any(|part| part == "__MACOSX")
}

/// A reader of one gzip member. It fails if more bytes are unpacked than a limit.
struct Gunzip<'a> {
    decoder: GzDecoder<&'a [u8]>,
    left: u64,
    limit: u64,
}

impl<'a> Gunzip<'a> {
    fn new(bytes: &'a [u8], limit: u64) -> Result<Self, StageError> {
        if !bytes.starts_with(&[0x1f, 0x8b]) {
            let found: String = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            return Err(failed(format!("not a gzip file: it starts with `{found}`, expected `1f8b`")));
        }
        Ok(Self { decoder: GzDecoder::new(bytes), left: limit, limit })
    }

    /// Checks that the rest of the stream is zeros, which pad a tar file, and that nothing follows the gzip member.
    fn finish(&mut self, after: &str) -> Result<(), StageError> {
        let mut buffer = [0; 8192];
        loop {
            match self.read(&mut buffer) {
                Ok(0) => return self.finish_member(),
                Ok(n) if buffer[..n].iter().all(|byte| *byte == 0) => {}
                Ok(_) => return Err(failed(format!("there is data past the end of the archive, {after}"))),
                Err(error) => return Err(failed(format!("the archive is broken {after}: {error}"))),
            }
        }
    }

    fn finish_member(&self) -> Result<(), StageError> {
        match self.decoder.get_ref().len() {
            0 => Ok(()),
            n => Err(failed(format!("there are {n} bytes past the end of the gzip stream"))),
        }
    }
}

impl Read for Gunzip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.decoder.read(buffer)?;
        self.left = self
            .left
            .checked_sub(n as u64)
            .ok_or_else(|| io::Error::other(format!("it unpacks to more than {} bytes", self.limit)))?;
        Ok(n)
    }
}

fn failed(message: String) -> StageError {
    StageError::failed(message)
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use super::*;

    /// Returns the gzip file of `bytes`.
    pub(in crate::decode) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Returns a tar entry without checking its name.
    fn entry(name: &str, kind: tar::EntryType, content: &[u8]) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    /// Returns a `.tar.gz` of `files`.
    pub(in crate::decode) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            files.iter().flat_map(|(name, content)| entry(name, tar::EntryType::Regular, content)).collect();
        bytes.extend([0; 1024]);
        gzip(&bytes)
    }

    fn check_bytes(tar_gz: &[u8], expected: &str) {
        let limits = Limits { entry: 1000, total: 10_000, entries: 3 };
        assert_eq!(untar(tar_gz, limits, |_| true).unwrap_err().to_string(), expected);
    }

    fn check(name: &str, kind: tar::EntryType, expected: &str) {
        check_bytes(&gzip(&entry(name, kind, b"x")), expected);
    }

    #[test]
    fn files_are_found_by_their_normalised_path_and_junk_is_skipped() {
        let bytes = archive(&[("./a//b.bin", b"1"), ("a/._b.bin", b"2"), (".DS_Store", b"3"), ("unwanted", b"4")]);
        let files = untar(&bytes, LIMITS, |path| path != "unwanted").unwrap();
        assert_eq!(files, BTreeMap::from([("a/b.bin".to_owned(), b"1".to_vec())]));
    }

    #[test]
    fn links_and_special_files_are_refused() {
        check("a", tar::EntryType::Symlink, "entry `a` is a symbolic link, expected files and folders only");
        check("a", tar::EntryType::Link, "entry `a` is a hard link, expected files and folders only");
        check("a", tar::EntryType::Char, "entry `a` is a special file, expected files and folders only");
        check("a", tar::EntryType::Fifo, "entry `a` is a special file, expected files and folders only");
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        let file = tar::EntryType::Regular;
        check("/etc/passwd", file, "entry `/etc/passwd` has an absolute path");
        check("a/../../b", file, "entry `a/../../b` has `..` in its path");
        check("..", tar::EntryType::Directory, "entry `..` has `..` in its path");
        check("a\\b", file, "entry `a\\\\b` has a backslash or a zero byte in its path");
    }

    #[test]
    fn two_spellings_of_one_path_are_refused() {
        check_bytes(&archive(&[("a/b", b"1"), ("a/./b", b"1")]), "entry `a/./b` occurs twice");
    }

    #[test]
    fn truncated_and_oversized_entries_are_refused() {
        let whole = entry("a", tar::EntryType::Regular, &[7; 600]);
        check_bytes(&gzip(&whole[..600]), "entry `a` is truncated: found 88 bytes, expected 600");
        check_bytes(&archive(&[("a", &[0; 1001])]), "entry `a` holds 1001 bytes, expected at most 1000");
        let bomb = archive(&[("a", &[0; 1000]), ("b", &[0; 100_000])]);
        check_bytes(&bomb, "entry `b` holds 100000 bytes, expected at most 1000");
        let many: Vec<_> = ["a", "b", "c", "d"].map(|name| (name, &b"1"[..])).to_vec();
        check_bytes(&archive(&many), "entry `d` is one too many, expected at most 3 files");
    }

    #[test]
    fn a_gzip_file_ends_with_its_unpacked_length() {
        assert_eq!(unpacked_length(&gzip(&[7; 70_000])), 70_000);
        assert_eq!(unpacked_length(b"\x1f\x8b"), 0);
    }

    #[test]
    fn a_stream_that_unpacks_to_more_than_the_limit_is_refused() {
        let zeros = gzip(&vec![0; 1 << 20]);
        check_bytes(&zeros, "the archive is broken at its start: it unpacks to more than 10000 bytes");
        let message = gunzip(&zeros, 1000).unwrap_err().to_string();
        assert_eq!(message, "the gzip stream is broken: it unpacks to more than 1000 bytes");
    }

    #[test]
    fn only_one_whole_gzip_member_is_accepted() {
        let good = archive(&[("a", b"1")]);
        check_bytes(b"PK\x03\x04", "not a gzip file: it starts with `504b0304`, expected `1f8b`");
        check_bytes(&[&good[..], b"junk"].concat(), "there are 4 bytes past the end of the gzip stream");
        let cut = untar(&good[..good.len() - 9], LIMITS, |_| true).unwrap_err().to_string();
        assert!(cut.starts_with("the archive is broken after entry `a`: "), "{cut}");
        let mut flipped = good;
        let at = flipped.len() - 8;
        flipped[at] ^= 1;
        let corrupt = untar(&flipped, LIMITS, |_| true).unwrap_err().to_string();
        assert!(corrupt.starts_with("the archive is broken after entry `a`: "), "{corrupt}");
    }

    #[test]
    fn bytes_after_the_end_of_the_archive_are_refused() {
        let mut bytes = entry("a", tar::EntryType::Regular, b"1");
        bytes.extend([0; 1024]);
        bytes.extend(entry("b", tar::EntryType::Regular, b"2"));
        check_bytes(&gzip(&bytes), "there is data past the end of the archive, after entry `a`");
    }
}
