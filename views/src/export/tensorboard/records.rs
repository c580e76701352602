//! The container of event files, TFRecord: each record with its length, and masked checksums of both.

/// Adds one record to a file.
pub(super) fn append(file: &mut Vec<u8>, record: &[u8]) {
    let length = (record.len() as u64).to_le_bytes();
    file.extend(length);
    file.extend(masked(crc32c(&length)).to_le_bytes());
    file.extend(record);
    file.extend(masked(crc32c(record)).to_le_bytes());
}

/// Returns a checksum as it is stored: rotated and moved, since one of bytes that hold checksums would be weak.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Returns the CRC-32C of bytes (Castagnoli's polynomial, reflected; RFC 3720).
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| TABLE[usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { 0x82f6_3b78 ^ crc >> 1 } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_rfc_3720() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn a_record_stands_between_its_checksums() {
        let mut file = Vec::new();
        append(&mut file, b"abc");
        assert_eq!(
            (file.len(), &file[..8], &file[12..15]),
            (8 + 4 + 3 + 4, &[3, 0, 0, 0, 0, 0, 0, 0][..], &b"abc"[..])
        );
    }
}
