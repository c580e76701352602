//! Tar archives: v7, ustar, GNU and pax (POSIX.1-2001; GNU tar's manual, "Basic Tar Format" and "Storing Sparse Files").

use std::io::{self, Read};

use ::tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

use super::{
    entry::{EntryKind, Visitor, excess, failed},
    names::{PATH, normal, target, text},
};
use crate::stage::StageError;

const BLOCK: u64 = 512;

/// The most bytes of what describes one entry: long names, pax records and the map of a sparse file.
const ABOUT: u64 = 1 << 20;

/// Calls the visitor with the entries of an archive.
pub(super) fn visit(reader: &mut dyn Read, visitor: &mut Visitor<'_>) -> Result<(), StageError> {
    let mut archive = Archive { reader, last: "at its start".to_owned() };
    let mut about = About::default();
    while let Some(block) = archive.block()? {
        if block.iter().all(|byte| *byte == 0) {
            return archive.end();
        }
        if !has_checksum(&block) {
            return Err(archive.broken("a header has a wrong checksum"));
        }
        let mut header = Header::new_old();
        header.as_mut_bytes().copy_from_slice(&block);
        let kind = header.entry_type();
        // A volume label has no size.
        let size = match kind.as_byte() {
            b'V' => 0,
            _ => about
                .size
                .map_or_else(|| header.entry_size(), Ok)
                .map_err(|error| archive.broken(&error.to_string()))?,
        };
        match kind {
            EntryType::GNULongName => about.path = Some(without_zero(archive.description(size)?)),
            EntryType::GNULongLink => about.link = Some(without_zero(archive.description(size)?)),
            EntryType::XHeader => {
                let records = archive.description(size)?;
                about.read_pax(&records).map_err(|why| archive.broken(&why))?;
            }
            // Of all entries, or of none: dates and comments, and the name of the archive.
            EntryType::XGlobalHeader => drop(archive.description(size)?),
            _ if matches!(kind.as_byte(), b'V' | b'M') => {
                archive.pass_over(size, size)?;
                about = About::default();
            }
            _ => archive.entry(&header, size, std::mem::take(&mut about), visitor)?,
        }
    }
    // Some programs leave out the zeros at the end.
    Ok(())
}

/// Returns whether a block has the checksum of a header.
pub(super) fn has_checksum(block: &[u8; 512]) -> bool {
    let digits = || {
        let field = std::str::from_utf8(&block[148..156]).ok()?;
        u32::from_str_radix(field.trim_matches([' ', '\0']), 8).ok()
    };
    let Some(stated) = digits() else { return false };
    let plain = |i: usize, byte: u8| if (148..156).contains(&i) { b' ' } else { byte };
    let unsigned: u32 = block.iter().enumerate().map(|(i, byte)| u32::from(plain(i, *byte))).sum();
    // Some old programs added the bytes as signed numbers.
    let signed: i64 = block.iter().enumerate().map(|(i, byte)| i64::from(plain(i, *byte) as i8)).sum();
    stated == unsigned || i64::from(stated) == signed
}

fn without_zero(mut text: Vec<u8>) -> Vec<u8> {
    text.truncate(text.iter().position(|byte| *byte == 0).unwrap_or(text.len()));
    text
}

/// What headers say about the entry that follows them.
#[derive(Default)]
struct About {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: Pax,
}

/// A sparse file in pax headers.
#[derive(Default)]
struct Pax {
    /// The path, in the versions 0.1 and 1.0.
    name: Option<Vec<u8>>,
    /// The length of the file.
    real_size: Option<u64>,
    /// The offsets and lengths of the data, one after the other, in the versions 0.0 and 0.1.
    map: Vec<u64>,
    /// The version 1.0, with the map before the data.
    has_map_in_data: bool,
}

impl About {
    /// Reads the records `length key=value\n`.
    fn read_pax(&mut self, mut records: &[u8]) -> Result<(), String> {
        while !records.is_empty() {
            let digits = records.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let length = number(&records[..digits]).and_then(|length| usize::try_from(length).ok());
            let Some(record) = length.and_then(|length| records.get(digits + 1..length.checked_sub(1)?)) else {
                // GNU tar pads with zeros.
                if records.iter().all(|byte| *byte == 0) {
                    return Ok(());
                }
                return Err("a pax header cannot be read".to_owned());
            };
            records = &records[length.expect("there is a record")..];
            let Some(equals) = record.iter().position(|byte| *byte == b'=') else {
                return Err("a pax header has a record without `=`".to_owned());
            };
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            let as_number = || number(value).ok_or_else(|| format!("a pax header says `{}`", record.escape_ascii()));
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = Some(as_number()?),
                b"GNU.sparse.name" => self.sparse.name = Some(value.to_vec()),
                b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse.real_size = Some(as_number()?),
                b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.sparse.map.push(as_number()?),
                b"GNU.sparse.map" => {
                    let numbers = value.split(|byte| *byte == b',').map(number).collect::<Option<Vec<_>>>();
                    self.sparse.map = numbers.ok_or("the map of a sparse file cannot be read")?;
                }
                b"GNU.sparse.major" => self.sparse.has_map_in_data = as_number()? >= 1,
                _ => {}
            }
        }
        Ok(())
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

struct Archive<'r> {
    reader: &'r mut dyn Read,
    /// The place after the last entry, for messages.
    last: String,
}

impl Archive<'_> {
    fn broken(&self, why: &str) -> StageError {
        failed(format!("the archive is broken {}: {why}", self.last))
    }

    fn stopped(&self, error: &io::Error) -> StageError {
        excess(error).unwrap_or_else(|| self.broken(&error.to_string()))
    }

    /// Reads the next block, or `None` at the end of the file.
    fn block(&mut self) -> Result<Option<[u8; 512]>, StageError> {
        let mut block = Vec::new();
        let read = (&mut self.reader).take(BLOCK).read_to_end(&mut block);
        read.map_err(|error| self.stopped(&error))?;
        match block.first_chunk() {
            Some(whole) => Ok(Some(*whole)),
            None if block.is_empty() => Ok(None),
            None => Err(self.broken(&format!("it ends after {} bytes of a header", block.len()))),
        }
    }

    /// Reads to the end of the file, which must be zeros.
    fn end(self) -> Result<(), StageError> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            match self.reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) if buffer[..n].iter().all(|byte| *byte == 0) => {}
                Ok(_) => return Err(failed(format!("there is data past the end of the archive, {}", self.last))),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.stopped(&error)),
            }
        }
    }

    /// Reads what describes the next entry.
    fn description(&mut self, size: u64) -> Result<Vec<u8>, StageError> {
        if size > ABOUT {
            return Err(self.broken(&format!("a header is longer than {ABOUT} bytes")));
        }
        let mut bytes = Vec::new();
        let padded = size.next_multiple_of(BLOCK);
        let read = (&mut self.reader).take(padded).read_to_end(&mut bytes);
        read.map_err(|error| self.stopped(&error))?;
        if (bytes.len() as u64) < size {
            return Err(self.broken(&format!("it ends after {} bytes of a header", bytes.len())));
        }
        bytes.truncate(size as usize);
        Ok(bytes)
    }

    /// Passes over `left` bytes of an entry, and over what fills its last block.
    fn pass_over(&mut self, left: u64, size: u64) -> Result<(), StageError> {
        let padding = size.wrapping_neg() % BLOCK;
        let copied = io::copy(&mut (&mut self.reader).take(left.saturating_add(padding)), &mut io::sink());
        let found = copied.map_err(|error| self.stopped(&error))?;
        // What fills the last block may be missing.
        if found < left {
            return Err(self.broken(&format!("it ends before {} bytes of the entry", left - found)));
        }
        Ok(())
    }

    /// Passes an entry to the visitor, whose header was read.
    fn entry(&mut self, header: &Header, size: u64, about: About, visitor: &mut Visitor<'_>) -> Result<(), StageError> {
        let written = about.sparse.name.or(about.path).unwrap_or_else(|| header.path_bytes().into_owned());
        let shown = text(&written[..written.len().min(PATH)]).escape_debug().to_string();
        let path = normal(&written).map_err(|why| match written.len() {
            0..=PATH => failed(format!("entry `{shown}` {why}")),
            _ => failed(format!("the entry {} {why}", self.last)),
        })?;
        let kind = header.entry_type();
        let link = |is_hard| {
            let link = about.link.clone().or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
            EntryKind::Link(target(&path, &link.unwrap_or_default(), is_hard))
        };
        // Its map goes on in blocks before the data.
        let gnu = (kind == EntryType::GNUSparse).then(|| self.gnu_map(header)).transpose()?;
        self.last = format!("after entry `{shown}`");
        let mut data = Data { reader: &mut *self.reader, left: size };
        let of_entry = |why: String| failed(format!("entry `{shown}`: {why}"));
        match kind {
            // In old archives the name of a folder ends in `/`. `D`: a folder and the list of its files, in incremental archives.
            _ if kind.is_dir() || kind.as_byte() == b'D' => visitor.entry(&path, EntryKind::Folder)?,
            EntryType::Regular | EntryType::Continuous if written.ends_with(b"/") => {
                visitor.entry(&path, EntryKind::Folder)?;
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let sparse = match gnu {
                    Some(sparse) => Some(sparse),
                    None if about.sparse.has_map_in_data => {
                        let map = map_before(&mut data, size).map_err(|error| {
                            excess(&error).unwrap_or_else(|| of_entry(format!("its map cannot be read: {error}")))
                        })?;
                        Some((map, about.sparse.real_size.unwrap_or(size)))
                    }
                    None if !about.sparse.map.is_empty() => {
                        Some((about.sparse.map, about.sparse.real_size.unwrap_or(size)))
                    }
                    None => None,
                };
                match sparse {
                    Some((map, real)) => {
                        let mut file = Sparse::new(&map, real, &mut data).map_err(of_entry)?;
                        visitor.file(&path, real, None, false, &mut file)?;
                    }
                    None => visitor.file(&path, size, None, false, &mut data)?,
                }
            }
            EntryType::Symlink => visitor.entry(&path, link(false))?,
            EntryType::Link => visitor.entry(&path, link(true))?,
            EntryType::Char | EntryType::Block => {
                return Err(failed(format!("entry `{shown}` is a device, expected files, folders and links")));
            }
            _ => visitor.entry(&path, EntryKind::Other)?,
        }
        let left = data.left;
        self.pass_over(left, size)
    }

    /// Returns the map and the length of a sparse file in GNU's own format.
    fn gnu_map(&mut self, header: &Header) -> Result<(Vec<u64>, u64), StageError> {
        let Some(gnu) = header.as_gnu() else { return Err(self.broken("a sparse file has no GNU header")) };
        let mut map = Vec::new();
        let mut add = |pieces: &[GnuSparseHeader]| -> io::Result<()> {
            for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
                map.extend([piece.offset()?, piece.length()?]);
            }
            Ok(())
        };
        add(&gnu.sparse).map_err(|error| self.broken(&error.to_string()))?;
        let real = gnu.real_size().map_err(|error| self.broken(&error.to_string()))?;
        let mut is_extended = gnu.is_extended();
        for _ in 0..ABOUT / BLOCK {
            if !is_extended {
                return Ok((map, real));
            }
            let Some(block) = self.block()? else { return Err(self.broken("it ends in the map of a sparse file")) };
            let mut more = GnuExtSparseHeader::new();
            more.as_mut_bytes().copy_from_slice(&block);
            add(more.sparse()).map_err(|error| self.broken(&error.to_string()))?;
            is_extended = more.is_extended();
        }
        Err(self.broken(&format!("a header is longer than {ABOUT} bytes")))
    }
}

/// The data of an entry.
struct Data<'r> {
    reader: &'r mut dyn Read,
    left: u64,
}

impl Read for Data<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = (&mut self.reader).take(self.left).read(buffer)?;
        self.left -= n as u64;
        Ok(n)
    }
}

/// Returns the map that pax archives of version 1.0 have before the data: the number of pieces, then offset and length of each, a
/// number a line, padded to a block.
fn map_before(data: &mut Data<'_>, size: u64) -> io::Result<Vec<u64>> {
    let wrong = || io::Error::other("expected numbers");
    let mut next = || {
        let (mut digits, mut byte) = (Vec::new(), [0]);
        loop {
            data.read_exact(&mut byte)?;
            match byte {
                [b'\n'] => return number(&digits).ok_or_else(wrong),
                [digit] if digit.is_ascii_digit() && digits.len() < 20 => digits.push(digit),
                _ => return Err(wrong()),
            }
        }
    };
    let pieces = next()?;
    if pieces > ABOUT / 4 {
        return Err(io::Error::other(format!("it has {pieces} pieces, expected at most {}", ABOUT / 4)));
    }
    let map = (0..2 * pieces).map(|_| next()).collect::<io::Result<_>>()?;
    let read = size - data.left;
    io::copy(&mut data.take(read.wrapping_neg() % BLOCK), &mut io::sink())?;
    Ok(map)
}

/// A file with holes, which are zeros.
struct Sparse<'m, 'd, 'r> {
    /// Offset and length of each piece that is there.
    pieces: std::slice::Iter<'m, [u64; 2]>,
    piece: Option<[u64; 2]>,
    at: u64,
    length: u64,
    data: &'d mut Data<'r>,
}

impl<'m, 'd, 'r> Sparse<'m, 'd, 'r> {
    fn new(map: &'m [u64], length: u64, data: &'d mut Data<'r>) -> Result<Self, String> {
        let (pieces, rest) = map.as_chunks::<2>();
        let (mut end, mut sum) = (0_u64, 0_u64);
        for [offset, n] in pieces {
            let ends = offset.checked_add(*n).filter(|ends| *offset >= end && *ends <= length);
            end = ends.ok_or("the pieces of the sparse file do not follow each other")?;
            sum += n;
        }
        if !rest.is_empty() || sum > data.left {
            return Err("the map of the sparse file does not fit its data".to_owned());
        }
        let mut pieces = pieces.iter();
        let piece = pieces.next().copied();
        Ok(Self { pieces, piece, at: 0, length, data })
    }
}

impl Read for Sparse<'_, '_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some([offset, n]) = self.piece
            && self.at == offset + n
        {
            self.piece = self.pieces.next().copied();
        }
        let (until, is_data) = match self.piece {
            Some([offset, _]) if self.at < offset => (offset, false),
            Some([offset, n]) => (offset + n, true),
            None => (self.length, false),
        };
        let room = buffer.len().min(usize::try_from(until - self.at).unwrap_or(usize::MAX));
        let n = if is_data {
            self.data.read(&mut buffer[..room])?
        } else {
            buffer[..room].fill(0);
            room
        };
        self.at += n as u64;
        Ok(n)
    }
}
