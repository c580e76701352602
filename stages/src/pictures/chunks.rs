//! The chunks that PNG and WebP files consist of.

/// A chunk that is all there.
pub(super) struct Chunk<'a> {
    pub(super) name: [u8; 4],
    pub(super) content: &'a [u8],
    /// Where the next chunk begins.
    pub(super) end: usize,
}

/// Returns the chunks of a PNG, up to the first that is cut.
pub(super) fn png(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut at = 8;
    std::iter::from_fn(move || {
        let (length, rest) = bytes.get(at..)?.split_first_chunk()?;
        let (name, rest) = rest.split_first_chunk()?;
        let length = u32::from_be_bytes(*length) as usize;
        let content = rest.get(..length.checked_add(4)?)?;
        at += 12 + length;
        Some(Chunk { name: *name, content: &content[..length], end: at })
    })
}

/// Returns the chunks of a RIFF file, such as a WebP, up to the first that is cut.
pub(super) fn riff(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut at = 12;
    std::iter::from_fn(move || {
        let (name, rest) = bytes.get(at..)?.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = u32::from_le_bytes(*length) as usize;
        let content = rest.get(..length)?;
        at += 8 + length.next_multiple_of(2);
        Some(Chunk { name: *name, content, end: at })
    })
}
