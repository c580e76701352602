//! How an object's bytes are stored on the disk: raw or compressed.

use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::disk::Handle;

/// How an object's bytes are stored on the disk. In both cases its name is the digest of the uncompressed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encoding {
    /// As they are.
    Raw,
    /// Compressed, as one frame of Zstandard that says how long the bytes are.
    Zstd,
}

/// Objects up to this size stay raw. They take one block of the disk in any case, and raw files can be read by any tool.
const RAW_UP_TO: u64 = 4 << 10;
/// A sample consists of this many windows of this many bytes, spread evenly. An object that is not longer is its own sample.
const WINDOWS: u64 = 4;
const WINDOW: u64 = 16 << 10;
const LEVEL: i32 = 3;
/// The logarithm of the bytes that a decoder may need for itself: 8 MiB. At [`LEVEL`] a file asks for 2 MiB.
const WINDOW_LOG: u32 = 23;

impl Encoding {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Raw, Self::Zstd];

    /// Returns what follows the digest in the name of the file.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Raw => "",
            Self::Zstd => ".zst",
        }
    }

    pub(crate) fn from_suffix(suffix: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| encoding.suffix() == suffix)
    }

    /// Returns how to store `source`: compressed if a sample of it shrinks by more than an eighth.
    ///
    /// Why an eighth: float weights shrink by about 7 % because of their exponents, and being able to map them is worth more than that.
    pub(crate) fn judge(source: &mut (impl Read + Seek), length: u64) -> io::Result<Self> {
        if length <= RAW_UP_TO {
            return Ok(Self::Raw);
        }
        let mut sample = Vec::new();
        if length <= WINDOWS * WINDOW {
            source.read_to_end(&mut sample)?;
        } else {
            for window in 0..WINDOWS {
                source.seek(SeekFrom::Start((length - WINDOW) / (WINDOWS - 1) * window))?;
                source.take(WINDOW).read_to_end(&mut sample)?;
            }
        }
        source.rewind()?;
        let compressed = zstd::bulk::compress(&sample, LEVEL)?;
        Ok(if compressed.len() < sample.len() / 8 * 7 { Self::Zstd } else { Self::Raw })
    }

    /// Returns a reader of the uncompressed bytes. It needs at most [`WINDOW_LOG`] for itself.
    pub(crate) fn decoder<'a>(self, file: &'a Handle) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Raw => Box::new(file),
            Self::Zstd => {
                let mut decoder = zstd::Decoder::new(file)?;
                decoder.window_log_max(WINDOW_LOG)?;
                Box::new(decoder)
            }
        })
    }

    /// Returns the length of the uncompressed bytes, if the file says what it is. Afterwards the file is at its beginning.
    pub(crate) fn declared_length(self, mut file: &Handle, on_disk: u64) -> io::Result<Option<u64>> {
        if self == Self::Raw {
            return Ok(Some(on_disk));
        }
        let mut header = Vec::new();
        file.take(18).read_to_end(&mut header)?;
        file.rewind()?;
        Ok(zstd::zstd_safe::get_frame_content_size(&header).unwrap_or(None))
    }

    /// Writes `bytes` to `file`.
    pub(crate) fn encode(self, bytes: &[u8], mut file: &Handle) -> io::Result<()> {
        if self == Self::Raw {
            return file.write_all(bytes);
        }
        let mut encoder = Self::encoder(file, bytes.len() as u64)?;
        encoder.write_all(bytes)?;
        encoder.finish().map(drop)
    }

    /// Writes the `length` bytes of `source` to `file`, a piece at a time.
    pub(crate) fn encode_file(self, mut source: impl Read, length: u64, mut file: &Handle) -> io::Result<()> {
        if self == Self::Raw {
            return copy(&mut source, &mut file);
        }
        let mut encoder = Self::encoder(file, length)?;
        copy(&mut source, &mut encoder)?;
        encoder.finish().map(drop)
    }

    fn encoder(file: &Handle, length: u64) -> io::Result<zstd::Encoder<'static, &Handle>> {
        let mut encoder = zstd::Encoder::new(file, LEVEL)?;
        encoder.set_pledged_src_size(Some(length))?;
        Ok(encoder)
    }
}

/// Bytes are copied in pieces of this length.
pub(crate) const PIECE: usize = 1 << 20;

/// Copies what `source` yields. Unlike [`io::copy`], it asks for a megabyte at a time, which can be hashed on all cores.
fn copy(source: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        match source.read(&mut piece)? {
            0 => return Ok(()),
            n => to.write_all(&piece[..n])?,
        }
    }
}
