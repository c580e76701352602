//! Files made up for tests.

use pipe_store::Digest;

/// Returns a safetensors file with one tensor.
pub(crate) fn safetensors(content: &str) -> Vec<u8> {
    let data = Digest::of(content.as_bytes());
    let header = r#"{"fine.kernel":{"dtype":"U8","shape":[4,8],"data_offsets":[0,32]}}"#;
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data.as_bytes().as_slice()].concat()
}

/// Returns a picture: stripes in colour, stored without compression.
pub(crate) fn png(width: u32, height: u32, seed: u32) -> Vec<u8> {
    let mut pixels = Vec::new();
    for y in 0..height {
        pixels.push(0);
        pixels.extend((0..width).flat_map(|x| [(x * seed) as u8, (y * 3) as u8, ((x / 34 + y / 34) * 60) as u8]));
    }
    let mut zlib = vec![0x78, 1];
    for (i, block) in pixels.chunks(0xffff).enumerate() {
        zlib.push(u8::from((i + 1) * 0xffff >= pixels.len()));
        zlib.extend((block.len() as u16).to_le_bytes());
        zlib.extend((!(block.len() as u16)).to_le_bytes());
        zlib.extend(block);
    }
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in &pixels {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    zlib.extend((b << 16 | a).to_be_bytes());
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    for (name, data) in [(b"IHDR", header), (b"IDAT", zlib), (b"IEND", Vec::new())] {
        let chunk = [name.as_slice(), &data].concat();
        png.extend((data.len() as u32).to_be_bytes());
        png.extend(&chunk);
        png.extend(crc32(&chunk).to_be_bytes());
    }
    png
}

fn crc32(bytes: &[u8]) -> u32 {
    let shift = |crc: u32| if crc & 1 == 1 { 0xedb8_8320 ^ crc >> 1 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| shift(crc)))
}
