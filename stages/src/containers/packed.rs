//! Compressed files, which are unpacked while they are read.

use std::{
    cell::Cell,
    io::{self, BufRead, BufReader, Cursor, Read},
};

use flate2::bufread::GzDecoder;

use super::{
    entry::{Excess, excess, failed},
    what::What,
};
use crate::stage::StageError;

/// How often a file may be packed: an archive that was compressed twice by mistake is read.
const LAYERS: usize = 3;

/// The first bytes of a file, by which it is judged.
const HEAD: u64 = 4096;

/// The most memory of a dictionary: 128 MiB, what `xz -9` and `zstd --long` take.
const WINDOW_LOG: u32 = 27;

/// A file without its compression.
pub(super) enum Opened<'a> {
    /// A zip archive, which is read from its end.
    Zip(&'a [u8]),
    /// A tar archive.
    Tar(Box<dyn Read + 'a>),
    /// Anything else, with its first bytes.
    Plain(Box<dyn Read + 'a>, Vec<u8>),
}

/// Opens a file. It may unpack to `limit` bytes. Sets `behind` if there is something behind the end of gzip data.
///
/// # Errors
/// If its beginning cannot be unpacked, or it is packed too often.
pub(super) fn open<'a>(bytes: &'a [u8], limit: u64, behind: &'a Cell<bool>) -> Result<Opened<'a>, StageError> {
    let mut reader: Box<dyn Read + 'a> = Box::new(bytes);
    let packed = bytes.len();
    for layer in 0..=LAYERS {
        let mut head = Vec::new();
        let read = (&mut reader).take(HEAD).read_to_end(&mut head);
        read.map_err(|error| excess(&error).unwrap_or_else(|| failed(format!("the file is broken: {error}"))))?;
        let what = What::of(&head);
        let whole: Box<dyn Read + 'a> = Box::new(Cursor::new(head.clone()).chain(reader));
        let buffered = |whole| BufReader::with_capacity(64 << 10, whole);
        let unpacked: Box<dyn Read + 'a> = match what {
            // From the bytes themselves no copy is made.
            What::Gzip if layer == 0 => Box::new(Members::new(bytes, behind)),
            What::Gzip => Box::new(Members::new(buffered(whole), behind)),
            What::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(whole, true, (1 << (WINDOW_LOG - 10)) + 1024)),
            What::Zstd => {
                let mut decoder =
                    zstd::stream::read::Decoder::with_buffer(buffered(whole)).map_err(|e| failed(e.to_string()))?;
                decoder.window_log_max(WINDOW_LOG).map_err(|error| failed(error.to_string()))?;
                Box::new(decoder)
            }
            What::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(buffered(whole))),
            What::Tar => return Ok(Opened::Tar(whole)),
            What::Zip if layer == 0 => return Ok(Opened::Zip(bytes)),
            What::Zip => {
                let hint = "unpack it once, and fetch the zip archive";
                return Err(StageError::failed_with_hint("the file is a zip archive inside another container", hint));
            }
            What::Named(..) | What::Plain => return Ok(Opened::Plain(whole, head)),
        };
        if layer == LAYERS {
            break;
        }
        reader = Box::new(Bounded { inner: unpacked, left: limit, limit, packed });
    }
    Err(failed(format!("the file is packed more than {LAYERS} times")))
}

/// Returns an estimate of the bytes that a file unpacks to.
pub(super) fn unpacked(bytes: &[u8]) -> u64 {
    let packed = bytes.len() as u64;
    match What::of(&bytes[..bytes.len().min(HEAD as usize)]) {
        // The last four bytes are the length, modulo 2^32, of the last member.
        What::Gzip => bytes.last_chunk().map_or(0, |length| u64::from(u32::from_le_bytes(*length))).max(packed),
        What::Xz | What::Zstd | What::Bzip2 | What::Zip => packed.saturating_mul(4),
        What::Tar | What::Named(..) | What::Plain => packed,
    }
}

/// A reader of the members of a gzip file, one after the other, as `gzip` reads it. What is behind the last is passed over.
struct Members<'a, R> {
    /// The member that is being read. `None` at the end.
    decoder: Option<GzDecoder<R>>,
    /// Whether something was passed over.
    behind: &'a Cell<bool>,
}

impl<'a, R: BufRead> Members<'a, R> {
    fn new(inner: R, behind: &'a Cell<bool>) -> Self {
        Self { decoder: Some(GzDecoder::new(inner)), behind }
    }

    /// Goes to the next member, if there is one. Between members there may be zeros, which tapes and disks add.
    fn next(&mut self) -> io::Result<()> {
        let Some(decoder) = self.decoder.take() else { return Ok(()) };
        let mut inner = decoder.into_inner();
        loop {
            let rest = inner.fill_buf()?;
            let Some(at) = rest.iter().position(|byte| *byte != 0) else {
                if rest.is_empty() {
                    return Ok(());
                }
                let n = rest.len();
                inner.consume(n);
                continue;
            };
            if rest[at..].starts_with(&[0x1f]) && rest.get(at + 1).is_none_or(|byte| *byte == 0x8b) {
                inner.consume(at);
                self.decoder = Some(GzDecoder::new(inner));
            } else {
                self.behind.set(true);
            }
            return Ok(());
        }
    }
}

impl<R: BufRead> Read for Members<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.decoder {
            let n = decoder.read(buffer)?;
            if n > 0 || buffer.is_empty() {
                return Ok(n);
            }
            self.next()?;
        }
        Ok(0)
    }
}

/// A reader that fails if more than `limit` bytes come from it.
struct Bounded<R> {
    inner: R,
    left: u64,
    limit: u64,
    packed: usize,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        match self.left.checked_sub(n as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other(Excess { limit: self.limit, packed: self.packed })),
        }
        Ok(n)
    }
}
