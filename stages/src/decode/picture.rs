//! Decodes JPEG and PNG files to the same pixels on every processor.

use image::{DynamicImage, ImageFormat, ImageReader, RgbImage, imageops::FilterType};
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

/// The largest width and height that are accepted.
const MAX_SIDE: usize = 16_384;
/// The largest number of pixels that is accepted.
const MAX_PIXELS: usize = 1 << 26;

/// Returns the red, green and blue planes `[3, h, w]` of a picture, scaled to `height` x `width`.
///
/// Grey becomes three equal planes, alpha is dropped, 16 bits become 8, and an orientation in the metadata is ignored. The
/// aspect ratio is not kept. Pictures of another size are scaled with a triangle filter (bilinear when enlarging, wider when
/// shrinking), in 32-bit floats without fused operations.
///
/// # Errors
/// If `bytes` is not a whole JPEG or PNG file or the picture is too large. The message continues "the file is ...".
pub(super) fn planes(bytes: &[u8], height: u32, width: u32) -> Result<Vec<u8>, String> {
    let mut picture = match bytes {
        [0xff, 0xd8, ..] => jpeg(bytes, options())?,
        [0x89, b'P', b'N', b'G', ..] => png(bytes)?,
        _ => return Err("neither a JPEG nor a PNG picture".to_owned()),
    };
    if picture.dimensions() != (width, height) {
        picture = image::imageops::resize(&picture, width, height, FilterType::Triangle);
    }
    Ok((0..3).flat_map(|channel| picture.pixels().map(move |pixel| pixel.0[channel])).collect())
}

fn check_size(width: usize, height: usize) -> Result<(), String> {
    let fits = width.max(height) <= MAX_SIDE && width * height <= MAX_PIXELS;
    fits.then_some(())
        .ok_or_else(|| format!("{width} x {height} pixels, expected at most {MAX_SIDE} a side and {MAX_PIXELS} in all"))
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
    let broken = |error: zune_jpeg::errors::DecodeErrors| format!("a broken JPEG: {error}");
    decoder.decode_headers().map_err(broken)?;
    let (width, height) = decoder.dimensions().ok_or("a broken JPEG: it has no size")?;
    check_size(width, height)?;
    let pixels = decoder.decode().map_err(broken)?;
    RgbImage::from_raw(width as u32, height as u32, pixels)
        .ok_or_else(|| "a broken JPEG: it has too few pixels".to_owned())
}

fn png(bytes: &[u8]) -> Result<RgbImage, String> {
    let reader = || ImageReader::with_format(std::io::Cursor::new(bytes), ImageFormat::Png);
    let broken = |error| format!("a broken PNG: {error}");
    let (width, height) = reader().into_dimensions().map_err(broken)?;
    check_size(width as usize, height as usize)?;
    Ok(match reader().decode().map_err(broken)? {
        DynamicImage::ImageRgb8(picture) => picture,
        other => other.to_rgb8(),
    })
}
