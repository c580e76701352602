//! Pictures: what a file is, and its pixels, which are the same on every processor.

mod chunks;
mod exif;
mod formats;
mod jpeg;
mod kind;
mod resample;

use exif::Upright;
use image::{GrayImage, Luma, imageops};
pub use kind::{Kind, kind};
use resample::{Window, triangle};

use crate::{choices, parameters, params::Domain};

parameters! {
    /// How the files of pictures become pixels.
    #[derive(Eq)]
    pub struct Reading {
        /// The size that pictures are scaled to, [height, width].
        size: [u32; 2] [Domain::Whole(1..=4096)],
        /// What becomes of pictures of another shape.
        resize: Resize = Resize::Stretch,
        /// The colour under transparent pixels and beside padded pictures, [red, green, blue].
        background: [u8; 3] = [255; 3],
        /// Whether pictures are turned as their metadata say.
        orientation: Orientation = Orientation::Exif,
        /// The value of white in samples of 16 bits of PNG and TIFF, for example 4095. What is larger is white, too.
        white: u32 [Domain::Whole(1..=65535)] = 65535,
    }
}

choices! {
    /// What becomes of pictures of another shape.
    #[derive(Eq)]
    pub enum Resize {
        /// They are stretched.
        Stretch,
        /// They are scaled to cover the size, and what juts out is cut off on both sides.
        Crop,
        /// They are scaled to fit into the size, and get a margin of the background on both sides.
        Pad,
    }
}

choices! {
    /// Whether pictures are turned as their metadata say.
    #[derive(Eq)]
    pub enum Orientation {
        /// They are turned and mirrored as Exif says, so that they are upright.
        Exif,
        /// They stay as they are stored.
        Ignore,
    }
}

/// The red, green and blue of a picture.
type Planes = [GrayImage; 3];

/// The largest width and height that are accepted, the most that a JPEG can have.
const MAX_SIDE: usize = 65_535;
/// The largest number of pixels that is accepted, 67 million: more than most cameras take. Together with the memory that a
/// decoder needs for a pixel, this bounds the memory for one picture.
const MAX_PIXELS: usize = 1 << 26;
/// The most bytes in the file of a picture: what the largest picture takes that is not compressed at all.
pub const MAX_FILE: u64 = 8 * MAX_PIXELS as u64;
/// What a decoder takes besides.
const DECODER: usize = 1 << 20;

impl Reading {
    /// Returns the reading at its defaults.
    pub fn of_size(height: u32, width: u32) -> Self {
        Self {
            size: [height, width],
            resize: Resize::Stretch,
            background: [255; 3],
            orientation: Orientation::Exif,
            white: 65535,
        }
    }

    /// Returns the part of a scaled picture that is wanted, and its place in the result, both as (width, height).
    fn window(&self, [width, height]: [usize; 2]) -> (Window, [usize; 2]) {
        let [high, wide] = self.size.map(|side| side as usize);
        let is_wider = width * high >= height * wide;
        // One side fits. The other follows, rounded to the nearest, but is at least 1.
        let follows = |side: usize, by: usize, of: usize| ((side * by + of / 2) / of).max(1);
        let whole = match (&self.resize, is_wider) {
            (Resize::Stretch, _) => [wide, high],
            (Resize::Crop, true) | (Resize::Pad, false) => [follows(width, high, height), high],
            (Resize::Crop, false) | (Resize::Pad, true) => [wide, follows(height, wide, width)],
        };
        let size = [whole[0].min(wide), whole[1].min(high)];
        let origin = [0, 1].map(|i| (whole[i] - size[i]) / 2);
        (Window { whole, origin, size }, [(wide - size[0]) / 2, (high - size[1]) / 2])
    }
}

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

/// Refuses pictures without pixels and those that are too large, (width, height).
fn fitting([width, height]: [usize; 2]) -> Result<(), String> {
    let fits = width.min(height) > 0 && width.max(height) <= MAX_SIDE && width * height <= MAX_PIXELS;
    fits.then_some(()).ok_or_else(|| {
        format!("{width} x {height} pixels, expected 1 to {MAX_SIDE} a side and at most {MAX_PIXELS} in all")
    })
}

/// Returns what a file is that cannot be read.
fn unreadable(kind: Kind, bytes: &[u8]) -> String {
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
