//! What is accepted of a picture.

use image::GrayImage;

/// The red, green and blue of a picture.
pub(super) type Planes = [GrayImage; 3];

/// The largest width and height that are accepted, the most that a JPEG can have.
const MAX_SIDE: usize = 65_535;
/// The largest number of pixels that is accepted, 67 million: more than most cameras take. Together with the memory that a
/// decoder needs for a pixel, this bounds the memory for one picture.
const MAX_PIXELS: usize = 1 << 26;
/// The most bytes in the file of a picture: what the largest picture takes that is not compressed at all.
pub const MAX_FILE: u64 = 8 * MAX_PIXELS as u64;
/// What a decoder takes besides.
pub(super) const DECODER: usize = 1 << 20;

/// Refuses pictures without pixels and those that are too large, (width, height).
pub(super) fn fitting([width, height]: [usize; 2]) -> Result<(), String> {
    let fits = width.min(height) > 0 && width.max(height) <= MAX_SIDE && width * height <= MAX_PIXELS;
    fits.then_some(()).ok_or_else(|| {
        format!("{width} x {height} pixels, expected 1 to {MAX_SIDE} a side and at most {MAX_PIXELS} in all")
    })
}
