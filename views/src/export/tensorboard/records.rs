//! TFRecord, the container of event files: each record has its length, and a masked checksum of each of the two.

use crc32c::crc32c;

/// Adds one record to a file.
pub(super) fn append(file: &mut Vec<u8>, record: &[u8]) {
    let length = (record.len() as u64).to_le_bytes();
    file.extend(length);
    file.extend(masked(crc32c(&length)).to_le_bytes());
    file.extend(record);
    file.extend(masked(crc32c(record)).to_le_bytes());
}

/// Returns a checksum in the form in which it is stored. It is masked because a checksum of data that contain their own
/// checksum is weak.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Returns the records of a file.
///
/// # Panics
/// If a checksum is wrong, or the last record is incomplete.
#[cfg(test)]
pub(super) fn read(mut file: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while !file.is_empty() {
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let record = &file[12..12 + length];
        assert_eq!([word(8), word(12 + length)], [&file[..8], record].map(|bytes| masked(crc32c(bytes))));
        records.push(record.to_vec());
        file = &file[16 + length..];
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_same_bytes_as_from_tensorboard() {
        let mut file = Vec::new();
        append(&mut file, b"abc");
        assert_eq!(file, *b"\x03\0\0\0\0\0\0\0\xb0\x99\x49\x0eabc\x6e\x57\xf1\x21");
        assert_eq!(read(&file), [b"abc"]);
    }
}
