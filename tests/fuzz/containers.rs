//! Packs bytes into formats with checksums, so that changes reach what is inside.

/// Returns the CRC-32 of gzip and PNG.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    };
    !bytes.iter().fold(!0, step)
}

/// Returns a gzip file of stored blocks.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let blocks: Vec<&[u8]> = if bytes.is_empty() { vec![bytes] } else { bytes.chunks(0xffff).collect() };
    for (at, block) in blocks.iter().enumerate() {
        let length = block.len() as u16;
        gzip.push(u8::from(at + 1 == blocks.len()));
        gzip.extend(length.to_le_bytes());
        gzip.extend((!length).to_le_bytes());
        gzip.extend(*block);
    }
    gzip.extend(crc32(bytes).to_le_bytes());
    gzip.extend((bytes.len() as u32).to_le_bytes());
    gzip
}

/// Returns a file of a tar archive.
pub(crate) fn tar_entry(path: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    bytes[..path.len()].copy_from_slice(path.as_bytes());
    bytes[100..108].copy_from_slice(b"0000644\0");
    bytes[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    bytes[156] = b'0';
    bytes[257..265].copy_from_slice(b"ustar\x0000");
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    mend_tar(&mut bytes);
    bytes
}

/// Writes the checksum of each header of a tar archive.
pub(crate) fn mend_tar(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512) {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

/// Writes the checksum of each chunk of a PNG.
pub(crate) fn mend_png(bytes: &mut [u8]) {
    let mut at = 8;
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let Some(end) = at.checked_add(8).and_then(|at| at.checked_add(length)).filter(|end| end + 4 <= bytes.len())
        else {
            return;
        };
        let crc = crc32(&bytes[at + 4..end]);
        bytes[end..end + 4].copy_from_slice(&crc.to_be_bytes());
        at = end + 4;
    }
}
