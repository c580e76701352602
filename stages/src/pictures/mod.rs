//! Pictures: what a file is, and its pixels, which are the same on every processor.

mod chunks;
mod exif;
mod formats;
mod jpeg;
mod kind;
mod limits;
mod reading;
mod resample;

use exif::Upright;
use image::{GrayImage, Luma, imageops};
pub use kind::{Kind, kind};
pub use limits::MAX_FILE;
use limits::{DECODER, fitting};
pub use reading::{Orientation, Reading, Resize};
use resample::{Window, triangle};

/// Returns the red, green and blue planes `[3, height, width]` of a picture: a JPEG, PNG, WebP, GIF, BMP, TIFF or PNM, of several
/// the first. Grey becomes three equal planes, transparent pixels are laid on the background, and 16 bits become 8.
///
/// # Errors
/// If `bytes` is not a whole picture, one that is not read here, or too large. The message continues "the file is ...".
pub fn planes(bytes: &[u8], reading: &Reading) -> Result<Vec<u8>, String> {
    let kind = kind(bytes);
    let mut planes = match kind {
        Kind::Jpeg => {
            fitting(jpeg::size(bytes)?.0)?;
            jpeg::decode(bytes)?
        }
        readable if readable.is_readable() => formats::decode(kind, bytes, reading)?,
        _ => return Err(unreadable(kind, bytes)),
    };
    if reading.orientation == Orientation::Exif {
        let upright = exif::orientation(kind, bytes);
        planes = planes.map(|plane| turned(plane, upright));
    }
    let size = [planes[0].width(), planes[0].height()].map(|side| side as usize);
    let (window, place) = reading.window(size);
    if window != (Window { whole: size, origin: [0, 0], size }) {
        planes = planes.map(|plane| triangle(&plane, window));
    }
    let [height, width] = reading.size;
    if planes[0].dimensions() != (width, height) {
        let mut background = reading.background.into_iter();
        planes = planes.map(|plane| {
            let mut padded = GrayImage::from_pixel(width, height, Luma([background.next().unwrap_or_default()]));
            imageops::replace(&mut padded, &plane, place[0] as i64, place[1] as i64);
            padded
        });
    }
    Ok(planes.map(GrayImage::into_raw).concat())
}

/// Returns the most bytes that [`planes`] takes for a picture, judged by its header. Pictures that will be refused take next to
/// none.
pub fn memory(bytes: &[u8], reading: &Reading) -> u64 {
    let kind = kind(bytes);
    let size = match kind {
        Kind::Jpeg => jpeg::size(bytes),
        readable if readable.is_readable() => formats::size(kind, bytes),
        _ => return DECODER as u64,
    };
    let Some(([width, height], decoding)) = size.ok().filter(|(size, _)| fitting(*size).is_ok()) else {
        return DECODER as u64;
    };
    // A picture exists twice while it is turned. Scaling takes a row of floats and the weights of each of its pixels.
    let upright = 6 * width * height;
    let scaling = 32 * width.max(height);
    let result = reading.size.iter().map(|side| *side as usize).product::<usize>();
    (DECODER + decoding.max(upright) + scaling + 9 * result) as u64
}

/// Returns what a file is that cannot be read, by its first bytes: "a HEIC picture, which cannot be read here: ..".
pub(crate) fn unreadable(kind: Kind, bytes: &[u8]) -> String {
    let name = kind.name();
    match kind {
        kind if kind.is_picture() => format!("{name}, which cannot be read here: convert it to JPEG or PNG"),
        Kind::Empty | Kind::Zeros => format!("{name}, not a picture"),
        Kind::Other => {
            let beginning: String = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            format!("no picture of a known kind: it begins with the bytes `{beginning}`")
        }
        _ => format!("{name}, not a picture"),
    }
}

fn turned(mut plane: GrayImage, Upright { mirrored, quarter_turns }: Upright) -> GrayImage {
    if mirrored {
        imageops::flip_horizontal_in_place(&mut plane);
    }
    match quarter_turns {
        1 => imageops::rotate90(&plane),
        2 => {
            imageops::rotate180_in_place(&mut plane);
            plane
        }
        3 => imageops::rotate270(&plane),
        _ => plane,
    }
}

#[cfg(test)]
mod tests;
