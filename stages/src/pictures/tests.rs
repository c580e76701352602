use image::{
    DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, RgbImage,
    codecs::png::PngEncoder,
    imageops::{self, FilterType},
};

use super::*;

const COLOUR: &[u8] = include_bytes!("../decode/fixtures/colour.jpg");
const GRAY: &[u8] = include_bytes!("../decode/fixtures/gray.jpg");
const PROGRESSIVE: &[u8] = include_bytes!("../decode/fixtures/progressive.jpg");

fn png(width: u32, height: u32, color: ExtendedColorType, bytes: &[u8]) -> Vec<u8> {
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(bytes, width, height, color).unwrap();
    png
}

/// Returns a picture of 5 x 3 pixels, all different, as a file.
fn sample(format: ImageFormat) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(picture(5, 3)).write_to(&mut file, format).unwrap();
    file.into_inner()
}

fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| image::Rgb([(40 * x) as u8, (80 * y) as u8, (16 * x + y) as u8]))
}

fn of(picture: &RgbImage) -> Vec<u8> {
    (0..3).flat_map(|channel| picture.pixels().map(move |pixel| pixel.0[channel])).collect()
}

#[test]
fn grey_and_16_bits_become_three_bytes() {
    let check = |bytes: &[u8], expected: &[u8]| assert_eq!(planes(bytes, &Reading::of_size(1, 2)).unwrap(), expected);
    check(&png(2, 1, ExtendedColorType::L8, &[1, 2]), &[1, 2, 1, 2, 1, 2]);
    let wide: Vec<u8> = [257_u16, 65535, 0, 514, 300, 1000].iter().flat_map(|x| x.to_ne_bytes()).collect();
    check(&png(2, 1, ExtendedColorType::Rgb16, &wide), &[1, 2, 255, 1, 0, 4]);
    let gray = planes(GRAY, &Reading::of_size(12, 20)).unwrap();
    assert_eq!(gray[..240], gray[240..480]);
    assert_eq!(gray[..240], gray[480..]);
}

#[test]
fn white_of_16_bits_may_be_another_value() {
    let samples: Vec<u8> = [0_u16, 2048, 4095, 5000].iter().flat_map(|x| x.to_ne_bytes()).collect();
    let file = png(4, 1, ExtendedColorType::L16, &samples);
    let reading = Reading { white: 4095, ..Reading::of_size(1, 4) };
    assert_eq!(planes(&file, &reading).unwrap()[..4], [0, 128, 255, 255]);
    assert_eq!(planes(&file, &Reading::of_size(1, 4)).unwrap()[..4], [0, 8, 16, 19]);
    // A PNM states it.
    let file = b"P5 2 1 4095 \x08\x00\x0f\xff";
    for white in [4095, 65535] {
        let reading = Reading { white, ..Reading::of_size(1, 2) };
        assert_eq!(planes(file, &reading).unwrap()[..2], [128, 255]);
    }
}

#[test]
fn transparent_pixels_are_laid_on_the_background() {
    let check = |file: &[u8], background, expected: &[u8]| {
        let reading = Reading { background, ..Reading::of_size(1, 2) };
        assert_eq!(planes(file, &reading).unwrap(), expected);
    };
    let grey = png(2, 1, ExtendedColorType::La8, &[100, 0, 200, 255]);
    check(&grey, [255; 3], &[255, 200, 255, 200, 255, 200]);
    check(&grey, [1, 2, 3], &[1, 200, 2, 200, 3, 200]);
    // (51 * 10 + 204 * 255) / 255 = 206, and (128 * 0 + 127 * 255) / 255 = 127.
    let colour = png(2, 1, ExtendedColorType::Rgba8, &[10, 10, 10, 51, 0, 0, 0, 128]);
    check(&colour, [255; 3], &[206, 127, 206, 127, 206, 127]);
    let wide: Vec<u8> = [65535, 0, 0, 32896, 0, 0, 0, 0].iter().flat_map(|x: &u16| x.to_ne_bytes()).collect();
    check(&png(2, 1, ExtendedColorType::Rgba16, &wide), [0, 0, 255], &[128, 0, 0, 0, 127, 255]);
}

#[test]
fn the_pixels_of_jpegs_do_not_change() {
    let pictures = [(COLOUR, 12, 20), (GRAY, 12, 20), (PROGRESSIVE, 12, 20), (COLOUR, 7, 9), (COLOUR, 30, 30)];
    let digest = |(bytes, height, width)| {
        let planes = planes(bytes, &Reading::of_size(height, width)).unwrap();
        pipe_store::Digest::of(&planes).short()
    };
    assert_eq!(pictures.map(digest), ["bd60d12901c9", "443b432f2e5b", "7281f53c3c46", "12f8ce74c009", "698df7749dc8"]);
}

#[test]
fn lossless_formats_keep_their_pixels() {
    let formats = [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::Tiff];
    for format in formats.into_iter().chain([ImageFormat::Pnm]) {
        let file = sample(format);
        assert!(kind(&file).is_readable(), "{format:?}");
        assert_eq!(planes(&file, &Reading::of_size(3, 5)).unwrap(), of(&picture(5, 3)), "{format:?}");
        assert!(memory(&file, &Reading::of_size(3, 5)) > 0);
    }
}

#[test]
fn a_truncated_picture_is_refused_or_whole() {
    for format in
        [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::Pnm]
    {
        let file = sample(format);
        for end in 0..file.len() {
            if let Ok(found) = planes(&file[..end], &Reading::of_size(3, 5)) {
                assert_eq!(found, of(&picture(5, 3)), "{format:?}: {end} of {} bytes", file.len());
            }
        }
    }
}

#[test]
fn a_png_may_lack_its_last_chunk_but_nothing_else() {
    let file = sample(ImageFormat::Png);
    let whole = planes(&file, &Reading::of_size(3, 5)).unwrap();
    for end in file.len() - 12..file.len() {
        assert_eq!(planes(&file[..end], &Reading::of_size(3, 5)).as_ref(), Ok(&whole), "{end}");
    }
    let why = planes(&file[..file.len() - 13], &Reading::of_size(3, 5)).unwrap_err();
    assert_eq!(why, "a PNG picture that is truncated");
    let mut damaged = file;
    let at = damaged.windows(4).position(|name| name == b"IDAT").unwrap();
    damaged[at + 8] ^= 1;
    let why = planes(&damaged, &Reading::of_size(3, 5)).unwrap_err();
    assert_eq!(why, "a PNG picture that is broken: the checksum of its chunk `IDAT` is wrong");
}

#[test]
fn what_is_no_picture_here_is_named() {
    let check = |file: &[u8], expected: &str| {
        let why = planes(file, &Reading::of_size(1, 1)).unwrap_err();
        assert_eq!(why, expected);
        assert!(!kind(file).is_readable());
    };
    let convert = |name: &str| format!("{name}, which cannot be read here: convert it to JPEG or PNG");
    check(b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf", &convert("a HEIC picture"));
    check(b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", &convert("an AVIF picture"));
    check(b"\0\0\0 ftypavif\0\0\0\0avifmif1miafMA1B", &convert("an AVIF picture"));
    check(b"\0\0\0\x0cjP  \r\n\x87\n\0\0", &convert("a JPEG 2000 picture"));
    check(b"\xff\x4f\xff\x51\0", &convert("a JPEG 2000 picture"));
    check(b"\xff\x0a\0", &convert("a JPEG XL picture"));
    check(b"\0\0\x01\0\x01\0", &convert("an ICO picture"));
    check(b"8BPS\0\x01", &convert("a Photoshop picture (PSD)"));
    check(b"<?xml version=\"1.0\"?>\n<svg xmlns=\"..\"/>", &convert("an SVG drawing"));
    check(b"\n<!DOCTYPE html><svg>", "an HTML page, not a picture");
    check(b"%PDF-1.4", "a PDF document, not a picture");
    check(b"cat,dog\n", "a text, not a picture");
    check(b"", "empty, not a picture");
    check(&[0; 99], "zeros only, not a picture");
    check(b"\x01\x02\x03\x04\x05", "no picture of a known kind: it begins with the bytes `01020304`");
}

#[test]
fn scaling_is_that_of_the_package_image() {
    for (width, height, to) in [(7, 5, [3, 4]), (5, 7, [20, 11]), (33, 2, [8, 9]), (1, 1, [4, 4]), (64, 64, [10, 64])] {
        let picture = picture(width, height);
        let [wide, high] = to;
        let expected = imageops::resize(&picture, wide, high, FilterType::Triangle);
        let file = png(width, height, ExtendedColorType::Rgb8, picture.as_raw());
        assert_eq!(planes(&file, &Reading::of_size(high, wide)).unwrap(), of(&expected), "{width}x{height}");
    }
}

#[test]
fn shrinking_uses_the_weights_of_a_triangle() {
    // A triangle of half-width 2 has the weights 1/4, 3/4, 3/4 and 1/4, one of which is outside the picture.
    let wide = png(4, 1, ExtendedColorType::L8, &[0, 80, 160, 240]);
    let expected = |weights: [f32; 4]| {
        let sum: f32 = weights.iter().sum();
        (weights.iter().zip([0.0, 80.0, 160.0, 240.0]).map(|(w, x)| w * x).sum::<f32>() / sum).round() as u8
    };
    let found = planes(&wide, &Reading::of_size(1, 2)).unwrap();
    assert_eq!(found[..2], [expected([0.75, 0.75, 0.25, 0.0]), expected([0.0, 0.25, 0.75, 0.75])]);
}

#[test]
fn cropping_cuts_both_sides_and_padding_fills_them() {
    let grey: Vec<u8> = (1..=6).collect();
    let check = |width, height, resize, size: [u32; 2], expected: &[u8]| {
        let file = png(width, height, ExtendedColorType::L8, &grey);
        let reading = Reading { resize, background: [9, 0, 0], ..Reading::of_size(size[0], size[1]) };
        assert_eq!(planes(&file, &reading).unwrap()[..expected.len()], *expected);
    };
    check(6, 1, Resize::Crop, [1, 2], &[3, 4]);
    check(1, 6, Resize::Crop, [2, 1], &[3, 4]);
    check(6, 1, Resize::Pad, [3, 6], &[9, 9, 9, 9, 9, 9, 1, 2, 3, 4, 5, 6, 9, 9, 9, 9, 9, 9]);
    check(1, 6, Resize::Pad, [6, 2], &[1, 9, 2, 9, 3, 9, 4, 9, 5, 9, 6, 9]);
    check(3, 2, Resize::Pad, [2, 3], &grey);
    check(3, 2, Resize::Crop, [2, 3], &grey);
    // Scaled to cover, the picture of 6 x 1 would be 24,576 pixels wide. Only the middle is computed.
    check(6, 1, Resize::Crop, [4096, 4096], &[3]);
}

/// Returns a TIFF structure with the orientation as its only tag.
fn exif(is_big_endian: bool, orientation: u16) -> Vec<u8> {
    let mut tiff = if is_big_endian { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
    let mut number = |value: u32, n: usize| {
        let bytes = value.to_be_bytes()[4 - n..].to_vec();
        tiff.extend(if is_big_endian { bytes } else { bytes.into_iter().rev().collect() });
    };
    for (value, n) in [(8, 4), (1, 2), (0x0112, 2), (3, 2), (1, 4), (u32::from(orientation), 2), (0, 2), (0, 4)] {
        number(value, n);
    }
    tiff
}

fn jpeg_with(exif: &[u8]) -> Vec<u8> {
    let segment = [b"Exif\0\0", exif].concat();
    let length = (segment.len() as u16 + 2).to_be_bytes();
    [b"\xff\xd8\xff\xe1", &length[..], &segment, &COLOUR[2..]].concat()
}

/// Returns a PNG with a chunk behind its header.
fn png_with(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let png = sample(ImageFormat::Png);
    let mut crc = flate2::Crc::new();
    crc.update(name);
    crc.update(content);
    let length = (content.len() as u32).to_be_bytes();
    [&png[..33], &length, name, content, &crc.sum().to_be_bytes(), &png[33..]].concat()
}

#[test]
fn every_orientation_gives_the_upright_picture() {
    let stored = picture(5, 3);
    let turned = |orientation| match orientation {
        2 => imageops::flip_horizontal(&stored),
        3 => imageops::rotate180(&stored),
        4 => imageops::flip_vertical(&stored),
        // Mirrored at the diagonal.
        5 => RgbImage::from_fn(3, 5, |x, y| *stored.get_pixel(y, x)),
        6 => imageops::rotate90(&stored),
        // Mirrored at the other diagonal.
        7 => RgbImage::from_fn(3, 5, |x, y| *stored.get_pixel(4 - y, 2 - x)),
        8 => imageops::rotate270(&stored),
        _ => stored.clone(),
    };
    for orientation in 0..10 {
        for is_big_endian in [false, true] {
            let file = png_with(b"eXIf", &exif(is_big_endian, orientation));
            let expected = turned(orientation);
            let reading = Reading::of_size(expected.height(), expected.width());
            assert_eq!(planes(&file, &reading).unwrap(), of(&expected), "{orientation}");
            let ignoring = Reading { orientation: Orientation::Ignore, ..Reading::of_size(3, 5) };
            assert_eq!(planes(&file, &ignoring).unwrap(), of(&stored));
        }
    }
    let upright = planes(COLOUR, &Reading::of_size(12, 20)).unwrap();
    let jpeg = planes(&jpeg_with(&exif(true, 3)), &Reading::of_size(12, 20)).unwrap();
    assert!(jpeg[..240].iter().eq(upright[..240].iter().rev()));
    let mut webp = sample(ImageFormat::WebP);
    let metadata = exif(false, 3);
    webp.extend([b"EXIF", &(metadata.len() as u32).to_le_bytes()[..], &metadata].concat());
    assert_eq!(exif::orientation(Kind::WebP, &webp).quarter_turns, 2);
}

#[test]
fn damaged_metadata_turn_nothing() {
    let upright = planes(COLOUR, &Reading::of_size(12, 20)).unwrap();
    let tiff = exif(true, 6);
    let mut far = tiff.clone();
    far[4..8].fill(0xff);
    let mut many = tiff.clone();
    many[8..10].fill(0xff);
    many[10] = 0;
    many[11] = 0;
    for metadata in [&tiff[..0], &tiff[..7], &tiff[..19], b"XX\0*\0\0\0\x08", &far, &many] {
        assert_eq!(planes(&jpeg_with(metadata), &Reading::of_size(12, 20)).unwrap(), upright, "{metadata:?}");
    }
}

#[test]
fn a_picture_that_is_too_large_is_refused_before_it_is_decoded() {
    let mut huge = COLOUR.to_vec();
    let at = huge.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    huge[at + 5..at + 9].copy_from_slice(&[0x3f, 0xff, 0x3f, 0xff]); // height, width
    let error = planes(&huge, &Reading::of_size(2, 2)).unwrap_err();
    assert_eq!(error, "16383 x 16383 pixels, expected 1 to 65535 a side and at most 67108864 in all");
    assert_eq!(memory(&huge, &Reading::of_size(2, 2)), DECODER as u64);
}

#[test]
fn a_picture_without_pixels_is_refused() {
    let mut gif = sample(ImageFormat::Gif);
    gif[6..8].fill(0); // width
    let error = planes(&gif, &Reading::of_size(2, 2)).unwrap_err();
    assert!(error.starts_with("0 x 3 pixels, expected 1 to"), "{error}");
}

#[test]
fn a_reading_is_written_without_its_defaults() {
    let reading: Reading = serde_json::from_str(r#"{"size":[2,3],"resize":"Pad","background":[0,0,0]}"#).unwrap();
    assert_eq!(reading, Reading { resize: Resize::Pad, background: [0; 3], ..Reading::of_size(2, 3) });
    assert_eq!(serde_json::to_string(&Reading::of_size(2, 3)).unwrap(), r#"{"size":[2,3]}"#);
    assert_eq!(serde_json::to_string(&reading).unwrap(), r#"{"size":[2,3],"resize":"Pad","background":[0,0,0]}"#);
}
