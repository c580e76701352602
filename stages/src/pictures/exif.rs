//! The orientation that a camera noted in a picture's metadata.

use super::{Kind, chunks};

/// How the rows of a file become an upright picture: first mirrored left to right, then turned clockwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Upright {
    pub(super) mirrored: bool,
    pub(super) quarter_turns: u8,
}

impl Upright {
    /// Nothing is to be done.
    pub(super) const ALREADY: Self = Self { mirrored: false, quarter_turns: 0 };

    fn of_tag(orientation: u16) -> Self {
        let (mirrored, quarter_turns) = match orientation {
            2 => (true, 0),
            3 => (false, 2),
            4 => (true, 2),
            5 => (true, 3),
            6 => (false, 1),
            7 => (true, 1),
            8 => (false, 3),
            _ => (false, 0),
        };
        Self { mirrored, quarter_turns }
    }
}

/// Returns the orientation in the metadata of a picture. Those that are damaged are as good as none.
pub(super) fn orientation(kind: Kind, bytes: &[u8]) -> Upright {
    let metadata = match kind {
        Kind::Jpeg => in_jpeg(bytes),
        Kind::Png => chunks::png(bytes).find(|chunk| chunk.name == *b"eXIf").map(|chunk| chunk.content),
        Kind::WebP => chunks::riff(bytes).find(|chunk| chunk.name == *b"EXIF").map(|chunk| chunk.content),
        Kind::Tiff => Some(bytes),
        _ => None,
    };
    // Some programs write the prefix that JPEG needs in other files, too.
    let metadata = metadata.map(|metadata| metadata.strip_prefix(PREFIX).unwrap_or(metadata));
    metadata.and_then(|tiff| tag(tiff, ORIENTATION)).map_or(Upright::ALREADY, Upright::of_tag)
}

const PREFIX: &[u8] = b"Exif\0\0";
const ORIENTATION: u64 = 0x0112;

/// Returns the first segment of Exif metadata before the pixels.
fn in_jpeg(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 2;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == 0xff)?;
        at += bytes[at..].iter().position(|byte| *byte != 0xff)?;
        let marker = bytes[at];
        at += 1;
        match marker {
            0x00 | 0x01 | 0xd0..=0xd8 => continue,
            0xd9 | 0xda => return None,
            _ => {}
        }
        let length = usize::from(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
        let segment = bytes.get(at + 2..at + length)?;
        if marker == 0xe1 && segment.starts_with(PREFIX) {
            return Some(segment);
        }
        at += length;
    }
}

/// Returns the value of a tag in the first directory of a TIFF structure, in either byte order, also of BigTIFF.
pub(super) fn tag(tiff: &[u8], wanted: u64) -> Option<u16> {
    let is_big_endian = match tiff.first_chunk()? {
        b"II" => false,
        b"MM" => true,
        _ => return None,
    };
    let number = |at: u64, n: usize| {
        let at = usize::try_from(at).ok()?;
        let bytes = tiff.get(at..at.checked_add(n)?)?.iter();
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if is_big_endian { bytes.fold(0, add) } else { bytes.rev().fold(0, add) })
    };
    let (directory, of_count, of_entry) = match number(2, 2)? {
        42 => (number(4, 4)?, 2, 12),
        43 => (number(8, 8)?, 8, 20),
        _ => return None,
    };
    // A directory has at most 65535 entries, whatever BigTIFF allows.
    for i in 0..number(directory, of_count)?.min(0xffff) {
        let entry = directory.checked_add(of_count as u64 + of_entry * i)?;
        if number(entry, 2)? == wanted {
            let value = entry + of_entry - if of_entry == 12 { 4 } else { 8 };
            // A short, or a long as some programs write it.
            return number(value, if number(entry + 2, 2)? == 4 { 4 } else { 2 })?.try_into().ok();
        }
    }
    None
}
