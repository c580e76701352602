//! Pictures of all formats but JPEG, read by the package `image`.

use std::{borrow::Cow, error::Error, io::Cursor};

use image::{DynamicImage, ExtendedColorType, GrayImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::{
    chunks, exif,
    kind::Kind,
    limits::{DECODER, Planes, fitting},
    reading::Reading,
};

/// Returns the width and height of a picture, and the most bytes that decoding it takes, judged by its header.
///
/// # Errors
/// If it has no header. The message continues "the file is ...".
pub(super) fn size(kind: Kind, bytes: &[u8]) -> Result<([usize; 2], usize), String> {
    let (width, height) = match kind {
        Kind::Png => {
            let number = |at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
            // The file of an iPhone is refused by its name later.
            let at = if bytes.get(12..16) == Some(b"CgBI") { 16 } else { 0 };
            let size =
                (bytes.get(at + 12..at + 16) == Some(b"IHDR")).then(|| Some((number(at + 16)?, number(at + 20)?)));
            size.flatten().ok_or("a broken PNG: it does not begin with a header")?
        }
        _ => decoder(kind, bytes, DECODER as u64)?.dimensions(),
    };
    let size = [width, height].map(|side| side as usize);
    Ok((size, size[0].saturating_mul(size[1]).saturating_mul(bytes_per_pixel(kind))))
}

/// Returns the most bytes that decoding takes for each pixel: four channels, the same while they are put together, and the three
/// bytes that are left.
fn bytes_per_pixel(kind: Kind) -> usize {
    match kind {
        // 16 bits, decoded in place.
        Kind::Png | Kind::Pnm => 12,
        Kind::Tiff => 24,
        // 8 bits.
        _ => 12,
    }
}

/// Returns the pixels of a picture.
///
/// # Errors
/// If it is not a whole picture or too large. The message continues "the file is ...".
pub(super) fn decode(kind: Kind, bytes: &[u8], reading: &Reading) -> Result<Planes, String> {
    let (size, memory) = size(kind, bytes)?;
    fitting(size)?;
    check(kind, bytes)?;
    let bytes = match kind {
        Kind::Png => with_end(bytes),
        _ => Cow::Borrowed(bytes),
    };
    // Compressed metadata count too.
    let decoder = decoder(kind, &bytes, (memory + DECODER) as u64)?;
    if let ExtendedColorType::Cmyk8 | ExtendedColorType::Cmyk16 = decoder.original_color_type() {
        return Err(format!(
            "{} of printing inks (CMYK), which cannot be read here: convert it to JPEG or PNG",
            kind.name()
        ));
    }
    let picture = DynamicImage::from_decoder(decoder).map_err(|error| refusal(kind, &bytes, error))?;
    let premultiplied = kind == Kind::Tiff && exif::tag(&bytes, EXTRA_SAMPLES) == Some(ASSOCIATED_ALPHA);
    let [width, height] = [picture.width(), picture.height()];
    let planes = flat(kind, picture, reading, premultiplied).ok_or_else(|| {
        format!("{} of floating-point samples, which cannot be read here: convert it to JPEG or PNG", kind.name())
    })?;
    Ok(planes.map(|plane| GrayImage::from_raw(width, height, plane).expect("there is a sample of each pixel")))
}

fn decoder(kind: Kind, bytes: &[u8], memory: u64) -> Result<impl ImageDecoder, String> {
    let format = match kind {
        Kind::Png => ImageFormat::Png,
        Kind::WebP => ImageFormat::WebP,
        Kind::Gif => ImageFormat::Gif,
        Kind::Bmp => ImageFormat::Bmp,
        Kind::Tiff => ImageFormat::Tiff,
        _ => ImageFormat::Pnm,
    };
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(memory);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    reader.into_decoder().map_err(|error| refusal(kind, bytes, error))
}

/// Returns why a picture cannot be decoded.
fn refusal(kind: Kind, bytes: &[u8], error: ImageError) -> String {
    let name = kind.name();
    if let Some(damaged) = (kind == Kind::Png).then(|| damaged_chunk(bytes)).flatten() {
        return format!("{name} that is broken: the checksum of its chunk `{damaged}` is wrong");
    }
    let mut cause: &dyn Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let ended = |error: &std::io::Error| error.kind() == std::io::ErrorKind::UnexpectedEof;
    let is_cut = match kind {
        Kind::Png => chunks::png(bytes).all(|chunk| chunk.name != *b"IEND"),
        _ => cause.downcast_ref().is_some_and(ended),
    };
    match &error {
        ImageError::Unsupported(_) => {
            format!("{name} of a form that cannot be read here ({cause}): convert it to JPEG or PNG")
        }
        ImageError::Limits(_) => format!("{name} that takes more memory than its size allows ({cause})"),
        _ if is_cut => format!("{name} that is truncated"),
        _ => format!("{name} that is broken: {cause}"),
    }
}

/// Returns the name of the first chunk of a PNG with a wrong checksum.
fn damaged_chunk(bytes: &[u8]) -> Option<String> {
    let damaged = chunks::png(bytes).find(|chunk| {
        let mut crc = flate2::Crc::new();
        crc.update(&chunk.name);
        crc.update(chunk.content);
        bytes[chunk.end - 4..chunk.end] != crc.sum().to_be_bytes()
    })?;
    Some(damaged.name.escape_ascii().to_string())
}

const COMPRESSION: u64 = 0x0103;
const EXTRA_SAMPLES: u64 = 0x0152;
const ASSOCIATED_ALPHA: u16 = 1;

/// Refuses what the decoders would take without noticing, or in a way that nobody has checked.
fn check(kind: Kind, bytes: &[u8]) -> Result<(), String> {
    let name = kind.name();
    match kind {
        Kind::Png if chunks::png(bytes).next().is_some_and(|chunk| chunk.name == *b"CgBI") => {
            Err("a PNG changed for iPhones (CgBI), which cannot be read here: convert it to PNG".to_owned())
        }
        Kind::WebP => {
            let length = bytes.get(4..).and_then(|rest| rest.first_chunk()).map(|length| u32::from_le_bytes(*length));
            let is_whole = length.is_some_and(|length| length as usize <= bytes.len().saturating_sub(8));
            is_whole.then_some(()).ok_or_else(|| format!("{name} that is truncated"))
        }
        Kind::Tiff if matches!(exif::tag(bytes, COMPRESSION), Some(6 | 7 | 34892)) => {
            Err(format!("{name} compressed as JPEG, which cannot be read here: convert it to JPEG or PNG"))
        }
        _ => Ok(()),
    }
}

/// Returns a PNG with its last chunk, which has no content. Some files lack it, or end in the middle of it.
fn with_end(bytes: &[u8]) -> Cow<'_, [u8]> {
    let (mut end, mut has_end) = (8, false);
    for chunk in chunks::png(bytes) {
        (end, has_end) = (chunk.end, chunk.name == *b"IEND");
        if has_end {
            break;
        }
    }
    let rest = bytes.get(end..).unwrap_or_default();
    if has_end || !END[..rest.len().min(END.len())].starts_with(rest) {
        return Cow::Borrowed(bytes);
    }
    Cow::Owned([&bytes[..end], END].concat())
}

const END: &[u8] = b"\0\0\0\0IEND\xae\x42\x60\x82";

/// Returns the red, green and blue of each pixel, or `None` if they are floating-point numbers.
fn flat(kind: Kind, picture: DynamicImage, reading: &Reading, premultiplied: bool) -> Option<[Vec<u8>; 3]> {
    // A PNM states its white itself, and its samples were scaled by it.
    let white = if kind == Kind::Pnm { 65535 } else { reading.white };
    let byte = |sample: u8| sample;
    let colour = move |sample: u16| ((u32::from(sample) * 255 + white / 2) / white).min(255) as u8;
    let alpha = |sample: u16| ((u32::from(sample) + 128) / 257) as u8;
    let paper = Paper { background: reading.background, premultiplied };
    Some(match picture {
        DynamicImage::ImageLuma8(picture) => paper.under::<1, _>(picture.as_raw(), byte, byte),
        DynamicImage::ImageLumaA8(picture) => paper.under::<2, _>(picture.as_raw(), byte, byte),
        DynamicImage::ImageRgb8(picture) => paper.under::<3, _>(picture.as_raw(), byte, byte),
        DynamicImage::ImageRgba8(picture) => paper.under::<4, _>(picture.as_raw(), byte, byte),
        DynamicImage::ImageLuma16(picture) => paper.under::<1, _>(picture.as_raw(), colour, alpha),
        DynamicImage::ImageLumaA16(picture) => paper.under::<2, _>(picture.as_raw(), colour, alpha),
        DynamicImage::ImageRgb16(picture) => paper.under::<3, _>(picture.as_raw(), colour, alpha),
        DynamicImage::ImageRgba16(picture) => paper.under::<4, _>(picture.as_raw(), colour, alpha),
        _ => return None,
    })
}

/// What lies under transparent pixels.
struct Paper {
    background: [u8; 3],
    /// Whether the colours of pixels were multiplied by their alpha.
    premultiplied: bool,
}

impl Paper {
    /// Returns the colours of pixels with `N` samples: grey or three colours, and possibly alpha.
    fn under<const N: usize, T: Copy>(
        &self,
        samples: &[T],
        colour: impl Fn(T) -> u8,
        alpha: impl Fn(T) -> u8,
    ) -> [Vec<u8>; 3] {
        let pixels = samples.as_chunks::<N>().0;
        [0, 1, 2].map(|channel| {
            let colour = |pixel: &[T; N]| colour(pixel[if N < 3 { 0 } else { channel }]);
            let blend = |pixel| self.blend(colour(pixel), alpha(pixel[N - 1]), self.background[channel]);
            if N.is_multiple_of(2) { pixels.iter().map(blend).collect() } else { pixels.iter().map(colour).collect() }
        })
    }

    /// Returns `(a c + (255 - a) b) / 255`, rounded to the nearest.
    #[inline]
    fn blend(&self, colour: u8, alpha: u8, background: u8) -> u8 {
        let [colour, alpha, background] = [colour, alpha, background].map(u32::from);
        let share = if self.premultiplied { 255 * colour } else { alpha * colour };
        ((share + (255 - alpha) * background + 127) / 255).min(255) as u8
    }
}
