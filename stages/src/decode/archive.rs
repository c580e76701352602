//! Reads archives from untrusted sources, one entry after the other. Nothing is unpacked to disk, and an archive that is
//! unpacked is never in memory as a whole: what is kept of an entry is for the reader of a format to say.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    io::{self, Read},
};

use flate2::bufread::GzDecoder;
use pipe_store::Digest;

use crate::stage::StageError;

/// The bytes that a file may unpack to however small it is: more than MNIST (52 MB), CIFAR (184 MB) and most other data sets of
/// small pictures have.
const UNPACKED_ALWAYS: u64 = 256 << 20;

/// The bytes that a larger file may unpack to for each of its own. Photographs shrink by less than 2, drawings such as MNIST's by
/// 4.5. Only bytes that are almost all alike shrink by more than 30, at most by 1032, and they are a mistake or an attack.
const UNPACKED_PER_BYTE: u64 = 32;

/// The most files in an archive. ImageNet has 1.3 million.
const ENTRIES: usize = 2_000_000;

/// The most bytes of a path, as in Linux.
const PATH: usize = 4096;

/// The most bytes between the content of two files: headers and long names, which the reader of tar files keeps in memory.
const BETWEEN: u64 = 1 << 20;

/// The limits of an archive. Anything beyond them is refused before it is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The most bytes in the whole unpacked stream.
    pub(super) total: u64,
    /// The most files.
    pub(super) entries: usize,
}

impl Limits {
    /// Returns the limits of a file of `packed` bytes.
    pub(super) fn of(packed: usize) -> Self {
        let total = UNPACKED_ALWAYS.max(UNPACKED_PER_BYTE.saturating_mul(packed as u64));
        Self { total, entries: ENTRIES }
    }
}

/// A file of an archive, which can be read once.
pub(super) struct Content<'a> {
    /// The normalised path.
    pub(super) path: &'a str,
    /// The number of bytes.
    pub(super) size: u64,
    /// The bytes that the archive says to unpack to, which may be wrong.
    stated: u64,
    reader: &'a mut dyn Read,
}

impl Content<'_> {
    /// Returns the bytes of the file, if there are at most `limit`.
    ///
    /// # Errors
    /// If there are more, or the archive is cut or broken.
    pub(super) fn read(self, limit: u64) -> Result<Vec<u8>, StageError> {
        let Self { path, size, stated, reader } = self;
        let shown = path.escape_debug();
        if size > limit {
            return Err(failed(format!("entry `{shown}` holds {size} bytes, expected at most {limit}")));
        }
        // The size may be a lie, so no more is reserved than the whole archive says to have.
        let mut bytes = Vec::with_capacity(size.min(stated) as usize);
        let read = reader.take(size).read_to_end(&mut bytes);
        read.map_err(|error| failed(format!("entry `{shown}` cannot be read: {error}")))?;
        if bytes.len() as u64 != size {
            return Err(failed(format!("entry `{shown}` is truncated: found {} bytes, expected {size}", bytes.len())));
        }
        Ok(bytes)
    }
}

/// Calls `take` with the regular files of a `.tar.gz` whose normalised path is `wanted`, in the order of the archive. Folders,
/// unwanted files and what macOS adds (`._x`, `.DS_Store`, `__MACOSX/`) are checked and then skipped.
///
/// # Errors
/// The first error of `take`, or if an entry is a link or a special file, has an absolute path or `..` in its path, occurs twice,
/// is truncated or is too large. The message names the entry. Also if the stream is not exactly one gzip member.
pub(super) fn untar(
    bytes: &[u8],
    limits: Limits,
    wanted: impl Fn(&str) -> bool,
    mut take: impl FnMut(Content<'_>) -> Result<(), StageError>,
) -> Result<(), StageError> {
    let gzip = Gunzip::new(bytes, limits.total)?;
    // Of the paths only the digests are kept, because paths may be long.
    let mut seen = BTreeSet::new();
    let mut archive = tar::Archive::new(&gzip);
    let broken = |error: io::Error, after: &str| {
        gzip.excess().unwrap_or_else(|| failed(format!("the archive is broken {after}: {error}")))
    };
    let mut last = "at its start".to_owned();
    let mut entries = archive.entries().map_err(|error| broken(error, "at its start"))?;
    loop {
        gzip.between.set(Some(BETWEEN));
        let Some(entry) = entries.next() else { break };
        gzip.between.set(None);
        let mut entry = entry.map_err(|error| broken(error, &last))?;
        let path = entry.path_bytes();
        if path.len() > PATH {
            let n = path.len();
            return Err(failed(format!("the entry {last} has a path of {n} bytes, expected at most {PATH}")));
        }
        let path = String::from_utf8(path.into_owned()).map_err(|error| {
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
        let size = entry.size();
        if size > limits.total {
            let limit = limits.total;
            return Err(failed_for_size(format!("entry `{shown}` holds {size} bytes, expected at most {limit}")));
        }
        if !kind.is_dir() {
            if seen.len() == limits.entries {
                let limit = limits.entries;
                return Err(failed(format!("entry `{shown}` is one too many, expected at most {limit} files")));
            }
            if !seen.insert(Digest::of(path.as_bytes())) {
                return Err(failed(format!("entry `{shown}` occurs twice")));
            }
            if !is_junk(&path) && wanted(&path) {
                take(Content { path: &path, size, stated: unpacked_length(bytes), reader: &mut entry })
                    .map_err(|error| gzip.excess().unwrap_or(error))?;
            }
        }
        // What is left is read here, so that all that comes between two files is of the format.
        io::copy(&mut entry, &mut io::sink()).map_err(|error| broken(error, &last))?;
    }
    gzip.between.set(None);
    gzip.finish(&last)
}

/// The bytes of a `.gz` while they are unpacked.
pub(super) struct Unpacked<'a>(Gunzip<'a>);

impl<'a> Unpacked<'a> {
    /// Returns the bytes of a `.gz` of one gzip member, of at most `limit` bytes.
    ///
    /// # Errors
    /// If it is not a gzip file.
    pub(super) fn new(bytes: &'a [u8], limit: u64) -> Result<Self, StageError> {
        Gunzip::new(bytes, limit).map(Self)
    }

    /// Adds the next `n` bytes to `content`, or fewer if there are no more.
    ///
    /// # Errors
    /// If the stream is broken or exceeds the limit.
    pub(super) fn read(&mut self, n: u64, content: &mut Vec<u8>) -> Result<(), StageError> {
        (&self.0).take(n).read_to_end(content).map(drop).map_err(|error| self.broken(&error))
    }

    /// Reads to the end, and returns the number of bytes that were left.
    ///
    /// # Errors
    /// If the stream is broken, exceeds the limit or is not exactly one gzip member.
    pub(super) fn finish(self) -> Result<u64, StageError> {
        let n = io::copy(&mut &self.0, &mut io::sink()).map_err(|error| self.broken(&error))?;
        self.0.finish_member().map(|()| n)
    }

    fn broken(&self, error: &io::Error) -> StageError {
        self.0.excess().unwrap_or_else(|| failed(format!("the gzip stream is broken: {error}")))
    }
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
    decoder: RefCell<GzDecoder<&'a [u8]>>,
    packed: usize,
    left: Cell<u64>,
    limit: u64,
    /// How many more bytes may come before the content of the next file, if no content is being read.
    between: Cell<Option<u64>>,
    exceeded: Cell<bool>,
}

impl<'a> Gunzip<'a> {
    fn new(bytes: &'a [u8], limit: u64) -> Result<Self, StageError> {
        if !bytes.starts_with(&[0x1f, 0x8b]) {
            let found: String = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            return Err(failed(format!("not a gzip file: it starts with `{found}`, expected `1f8b`")));
        }
        Ok(Self {
            decoder: RefCell::new(GzDecoder::new(bytes)),
            packed: bytes.len(),
            left: Cell::new(limit),
            limit,
            between: Cell::new(None),
            exceeded: Cell::new(false),
        })
    }

    /// Returns the error for a stream that unpacks to more than the limit, if it did.
    fn excess(&self) -> Option<StageError> {
        let Self { packed, limit, .. } = self;
        let message = format!("the file of {packed} bytes unpacks to more than {limit} bytes, expected at most that");
        self.exceeded.get().then(|| failed_for_size(message))
    }

    /// Checks that the rest of the stream is zeros, which pad a tar file, and that nothing follows the gzip member.
    fn finish(&self, after: &str) -> Result<(), StageError> {
        let mut buffer = [0; 8192];
        loop {
            match (&mut &*self).read(&mut buffer) {
                Ok(0) => return self.finish_member(),
                Ok(n) if buffer[..n].iter().all(|byte| *byte == 0) => {}
                Ok(_) => return Err(failed(format!("there is data past the end of the archive, {after}"))),
                Err(error) => {
                    let broken = || failed(format!("the archive is broken {after}: {error}"));
                    return Err(self.excess().unwrap_or_else(broken));
                }
            }
        }
    }

    fn finish_member(&self) -> Result<(), StageError> {
        match self.decoder.borrow().get_ref().len() {
            0 => Ok(()),
            n => Err(failed(format!("there are {n} bytes past the end of the gzip stream"))),
        }
    }
}

impl Read for &Gunzip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.decoder.borrow_mut().read(buffer)?;
        let Some(left) = self.left.get().checked_sub(n as u64) else {
            self.exceeded.set(true);
            return Err(io::Error::other(format!("it unpacks to more than {} bytes", self.limit)));
        };
        self.left.set(left);
        if let Some(between) = self.between.get() {
            let more = || io::Error::other(format!("a header is longer than {BETWEEN} bytes"));
            self.between.set(Some(between.checked_sub(n as u64).ok_or_else(more)?));
        }
        Ok(n)
    }
}

/// Returns the error for a file that unpacks to more than pictures ever do.
fn failed_for_size(message: String) -> StageError {
    StageError::failed_with_hint(
        message,
        "pictures do not shrink that much: compare the file with its publisher's, or pack it without other files",
    )
}

fn failed(message: String) -> StageError {
    StageError::failed(message)
}

#[cfg(test)]
pub(super) mod tests {
    use std::{collections::BTreeMap, io::Write};

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

    /// Reads the wanted files of an archive of at most 3 files, each of at most 1000 bytes.
    fn read(tar_gz: &[u8], total: u64, wanted: impl Fn(&str) -> bool) -> Result<BTreeMap<String, Vec<u8>>, StageError> {
        let mut files = BTreeMap::new();
        untar(tar_gz, Limits { total, entries: 3 }, wanted, |content| {
            let path = content.path.to_owned();
            files.insert(path, content.read(1000)?);
            Ok(())
        })?;
        Ok(files)
    }

    fn check_bytes(tar_gz: &[u8], expected: &str) {
        assert_eq!(read(tar_gz, 10_000, |_| true).unwrap_err().to_string(), expected);
    }

    fn check(name: &str, kind: tar::EntryType, expected: &str) {
        check_bytes(&gzip(&entry(name, kind, b"x")), expected);
    }

    #[test]
    fn files_are_found_by_their_normalised_path_and_junk_is_skipped() {
        let bytes = archive(&[("./a//b.bin", b"1"), ("a/._b.bin", b"2"), ("unwanted", b"4")]);
        let files = read(&bytes, 10_000, |path| path != "unwanted").unwrap();
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
        check_bytes(&bomb, "entry `b` holds 100000 bytes, expected at most 10000");
        check_bytes(&archive(&[("a", &[0; 10_001])]), "entry `a` holds 10001 bytes, expected at most 10000");
        let many: Vec<_> = ["a", "b", "c", "d"].map(|name| (name, &b"1"[..])).to_vec();
        check_bytes(&archive(&many), "entry `d` is one too many, expected at most 3 files");
    }

    #[test]
    fn a_header_that_does_not_end_is_refused() {
        for kind in [tar::EntryType::GNULongName, tar::EntryType::XHeader] {
            let bytes = [entry("a", kind, &vec![b'x'; 2 << 20]), entry("b", tar::EntryType::Regular, b"1")].concat();
            let error = read(&gzip(&bytes), 10 << 20, |_| true).unwrap_err().to_string();
            assert_eq!(error, "the archive is broken at its start: a header is longer than 1048576 bytes");
        }
        let long = [entry("a", tar::EntryType::GNULongName, &[b'x'; 5000]), entry("b", tar::EntryType::Regular, b"1")];
        let error = read(&gzip(&long.concat()), 10 << 20, |_| true).unwrap_err().to_string();
        assert_eq!(error, "the entry at its start has a path of 5000 bytes, expected at most 4096");
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        let with_size = |octal: &[u8]| {
            let mut bytes = entry("a", tar::EntryType::Regular, b"1");
            bytes[124..124 + octal.len()].copy_from_slice(octal);
            bytes[148..156].fill(b' ');
            let sum: u32 = bytes[..512].iter().map(|byte| u32::from(*byte)).sum();
            bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            read(&gzip(&bytes), 10_000, |_| true).unwrap_err().to_string()
        };
        assert_eq!(with_size(b"77777777777\0"), "entry `a` holds 8589934591 bytes, expected at most 10000");
        assert_eq!(with_size(b"00000001700\0"), "entry `a` is truncated: found 512 bytes, expected 960");
        for size in [&[0xff; 12], b"-0000000001\0", &[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]] {
            let error = with_size(size);
            assert!(error.contains("entry `a` holds") || error.contains("broken at its start"), "{error}");
        }
        let record = |text: &str| format!("{} {text}\n", text.len() + 4).into_bytes();
        let pax = |text: &str| {
            [entry("p", tar::EntryType::XHeader, &record(text)), entry("a", tar::EntryType::Regular, b"1")]
        };
        let error = read(&gzip(&pax("size=18446744073709551615").concat()), 10_000, |_| true).unwrap_err().to_string();
        assert!(error.contains("size overflow") || error.contains("holds 18446744073709551615 bytes"), "{error}");
    }

    #[test]
    fn a_gzip_file_ends_with_its_unpacked_length() {
        assert_eq!(unpacked_length(&gzip(&[7; 70_000])), 70_000);
        assert_eq!(unpacked_length(b"\x1f\x8b"), 0);
    }

    #[test]
    fn a_stream_that_unpacks_to_more_than_the_limit_is_refused() {
        let zeros = gzip(&vec![0; 1 << 20]);
        let more = |limit| {
            let n = zeros.len();
            format!("the file of {n} bytes unpacks to more than {limit} bytes, expected at most that")
        };
        check_bytes(&zeros, &more(10_000));
        assert_eq!(Unpacked::new(&zeros, 1000).unwrap().finish().unwrap_err().to_string(), more(1000));
        assert_eq!(Unpacked::new(&zeros, 1 << 20).unwrap().finish().unwrap(), 1 << 20);
    }

    #[test]
    fn only_one_whole_gzip_member_is_accepted() {
        let good = archive(&[("a", b"1")]);
        check_bytes(b"PK\x03\x04", "not a gzip file: it starts with `504b0304`, expected `1f8b`");
        check_bytes(&[&good[..], b"junk"].concat(), "there are 4 bytes past the end of the gzip stream");
        let cut = read(&good[..good.len() - 9], 10_000, |_| true).unwrap_err().to_string();
        assert!(cut.starts_with("the archive is broken after entry `a`: "), "{cut}");
        let mut flipped = good;
        let at = flipped.len() - 8;
        flipped[at] ^= 1;
        let corrupt = read(&flipped, 10_000, |_| true).unwrap_err().to_string();
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
