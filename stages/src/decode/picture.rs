//! Decodes JPEG and PNG files to the same pixels on every processor.

use image::{DynamicImage, ImageFormat, ImageReader, Limits, RgbImage, imageops::FilterType};
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

/// The largest width and height that are accepted.
const MAX_SIDE: usize = 16_384;
/// The largest number of pixels that is accepted, 67 million: more than most cameras take. Together with the memory that a
/// decoder needs for a pixel, this bounds the memory for one picture to 0.8 GB and for scaling it to 1.3 GB more.
const MAX_PIXELS: usize = 1 << 26;
/// The most bytes in the file of a picture: what the largest picture takes that is not compressed at all.
pub(crate) const MAX_FILE: u64 = 8 * MAX_PIXELS as u64;

/// The most bytes that decoding takes for each pixel. PNG: four channels of 16 bits, then three of 8. JPEG: a 16-bit coefficient
/// for each of three or four components, those that are being put together, and three bytes.
const BYTES_PER_PIXEL: u64 = 12;
/// The bytes that scaling takes for each pixel of a picture that has only its new height yet: four floats.
const BYTES_PER_SCALED_PIXEL: u64 = 16;
/// What a decoder takes besides.
const DECODER: u64 = 1 << 20;

/// Returns the most bytes that [`planes`] takes for a picture, judged by the size in its header. Pictures that will be refused
/// take none.
pub(super) fn memory(bytes: &[u8], height: u32, width: u32) -> u64 {
    let Ok((w, h)) = size(bytes) else { return DECODER };
    let (w, h, width, height) = (w as u64, h as u64, u64::from(width), u64::from(height));
    let scaling = if (w, h) == (width, height) { 0 } else { BYTES_PER_SCALED_PIXEL * w * height };
    DECODER + BYTES_PER_PIXEL * w * h + scaling + 6 * width * height
}

/// Returns the red, green and blue planes `[3, h, w]` of a picture, scaled to `height` x `width`.
///
/// Grey becomes three equal planes, alpha is dropped, 16 bits become 8, and an orientation in the metadata is ignored. The
/// aspect ratio is not kept. Pictures of another size are scaled with a triangle filter (bilinear when enlarging, wider when
/// shrinking), in 32-bit floats without fused operations.
///
/// # Errors
/// If `bytes` is not a whole JPEG or PNG file or the picture is too large. The message continues "the file is ...".
pub(super) fn planes(bytes: &[u8], height: u32, width: u32) -> Result<Vec<u8>, String> {
    let (w, h) = size(bytes)?;
    let mut picture = match bytes {
        [0xff, 0xd8, ..] => jpeg(bytes, options())?,
        _ => png(bytes, w, h)?,
    };
    if picture.dimensions() != (width, height) {
        picture = image::imageops::resize(&picture, width, height, FilterType::Triangle);
    }
    let mut planes = Vec::with_capacity(3 * picture.pixels().len());
    (0..3).for_each(|channel| planes.extend(picture.pixels().map(|pixel| pixel.0[channel])));
    Ok(planes)
}

/// Returns the width and the height that the header of a JPEG or PNG file says.
///
/// # Errors
/// If there is none, or the picture is too large.
fn size(bytes: &[u8]) -> Result<(usize, usize), String> {
    let (width, height) = match bytes {
        [0xff, 0xd8, ..] => {
            let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options());
            decoder.decode_headers().map_err(broken_jpeg)?;
            decoder.dimensions().ok_or("a broken JPEG: it has no size")?
        }
        [0x89, b'P', b'N', b'G', ..] => {
            let number = |at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?) as usize);
            let size = (bytes.get(12..16) == Some(b"IHDR")).then(|| Some((number(16)?, number(20)?))).flatten();
            size.ok_or("a broken PNG: it does not begin with a header")?
        }
        _ => return Err("neither a JPEG nor a PNG picture".to_owned()),
    };
    let fits = width.max(height) <= MAX_SIDE && width * height <= MAX_PIXELS;
    fits.then_some((width, height))
        .ok_or_else(|| format!("{width} x {height} pixels, expected at most {MAX_SIDE} a side and {MAX_PIXELS} in all"))
}

fn broken_jpeg(error: zune_jpeg::errors::DecodeErrors) -> String {
    format!("a broken JPEG: {error}")
}

/// Returns the options of the JPEG decoder. Without `unsafe` there is no SIMD, even if another package enables that feature of
/// the decoder. In strict mode a truncated picture is an error. Otherwise a part of it would be grey.
pub(super) fn options() -> DecoderOptions {
    DecoderOptions::default()
        .set_use_unsafe(false)
        .set_strict_mode(true)
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        .jpeg_set_out_colorspace(ColorSpace::RGB)
}

pub(super) fn jpeg(bytes: &[u8], options: DecoderOptions) -> Result<RgbImage, String> {
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let pixels = decoder.decode().map_err(broken_jpeg)?;
    let (width, height) = decoder.dimensions().ok_or("a broken JPEG: it has no size")?;
    RgbImage::from_raw(width as u32, height as u32, pixels)
        .ok_or_else(|| "a broken JPEG: it has too few pixels".to_owned())
}

/// Decodes a PNG of `width` x `height` pixels.
fn png(bytes: &[u8], width: usize, height: usize) -> Result<RgbImage, String> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(width as u32);
    limits.max_image_height = Some(height as u32);
    // Compressed metadata count too.
    limits.max_alloc = Some(BYTES_PER_PIXEL * (width * height) as u64 + DECODER);
    let mut reader = ImageReader::with_format(std::io::Cursor::new(bytes), ImageFormat::Png);
    reader.limits(limits);
    Ok(match reader.decode().map_err(|error| format!("a broken PNG: {error}"))? {
        DynamicImage::ImageRgb8(picture) => picture,
        other => other.to_rgb8(),
    })
}
