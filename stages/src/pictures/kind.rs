//! What a file is, by its first bytes.

/// What a file is. See [`kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "these are names of formats")]
pub enum Kind {
    Jpeg,
    Png,
    WebP,
    Gif,
    Bmp,
    Tiff,
    Pnm,
    Heic,
    Avif,
    Jpeg2000,
    JpegXl,
    Ico,
    Svg,
    Psd,
    OpenExr,
    Radiance,
    Qoi,
    Dds,
    Xcf,
    Dicom,
    Raw,
    /// A text that is an HTML page.
    Html,
    Pdf,
    Video,
    /// A text in the place of a file that Git LFS has elsewhere.
    LfsPointer,
    /// A text of another kind.
    Text,
    /// A file without bytes.
    Empty,
    /// A file of zeros only.
    Zeros,
    /// Something else.
    Other,
}

use Kind::{
    Avif, Bmp, Dds, Dicom, Empty, Gif, Heic, Html, Ico, Jpeg, Jpeg2000, JpegXl, LfsPointer, OpenExr, Other, Pdf, Png,
    Pnm, Psd, Qoi, Radiance, Raw, Svg, Text, Tiff, Video, WebP, Xcf, Zeros,
};

/// How files begin. The first that fits counts.
const BEGINNINGS: [(&[u8], Kind); 29] = [
    (b"\xff\xd8\xff", Jpeg),
    (b"\x89PNG\r\n\x1a\n", Png),
    (b"GIF87a", Gif),
    (b"GIF89a", Gif),
    (b"II*\0\x10\0\0\0CR", Raw),
    (b"IIRO", Raw),
    (b"IIU\0", Raw),
    (b"FUJIFILMCCD-RAW", Raw),
    (b"II*\0", Tiff),
    (b"MM\0*", Tiff),
    (b"II+\0", Tiff),
    (b"MM\0+", Tiff),
    (b"\0\0\0\x0cjP  \r\n\x87\n", Jpeg2000),
    (b"\xff\x4f\xff\x51", Jpeg2000),
    (b"\0\0\0\x0cJXL \r\n\x87\n", JpegXl),
    (b"\xff\x0a", JpegXl),
    (b"\0\0\x01\0", Ico),
    (b"\0\0\x02\0", Ico),
    (b"8BPS", Psd),
    (b"v/1\x01", OpenExr),
    (b"#?RADIANCE", Radiance),
    (b"#?RGBE", Radiance),
    (b"qoif", Qoi),
    (b"DDS ", Dds),
    (b"gimp xcf", Xcf),
    (b"%PDF-", Pdf),
    (b"version https://git-lfs.github.com/", LfsPointer),
    (b"\x1a\x45\xdf\xa3", Video),
    (b"\0\0\x01\xba", Video),
];

/// Returns what a file is, by its first bytes: 4 KiB of them are enough.
pub fn kind(bytes: &[u8]) -> Kind {
    if let Some((_, kind)) = BEGINNINGS.iter().find(|(beginning, _)| bytes.starts_with(beginning)) {
        return *kind;
    }
    match bytes {
        [] => Empty,
        // A JPEG whose first marker is cut off or damaged is still one.
        [0xff, 0xd8, ..] => Jpeg,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => WebP,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => Video,
        [b'P', b'1'..=b'7', b' ' | b'\t' | b'\r' | b'\n' | b'#', ..] => Pnm,
        // The size of the header follows the size of the file, four reserved bytes and where the pixels begin.
        [b'B', b'M', ..] if bytes.get(14..18).is_some_and(|size| matches!(size, [12..=124, 0, 0, 0])) => Bmp,
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => of_brands(bytes),
        _ if bytes.get(128..132) == Some(b"DICM") => Dicom,
        _ if bytes.iter().all(|byte| *byte == 0) => Zeros,
        _ => of_text(bytes),
    }
}

/// Returns the kind of a file of ISO base media boxes, by the brands in its first box.
fn of_brands(bytes: &[u8]) -> Kind {
    let length = bytes.first_chunk().map_or(0, |length| u32::from_be_bytes(*length) as usize);
    let content = bytes.get(8..length.min(bytes.len())).unwrap_or_default();
    let of = |brand: &[u8]| match brand {
        b"avif" | b"avis" => Some(Avif),
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" => Some(Heic),
        b"crx " => Some(Raw),
        b"jp2 " | b"jpx " => Some(Jpeg2000),
        _ => None,
    };
    // Four bytes of a version, which are no brand, follow the first.
    let brand = content.chunks_exact(4).find_map(of);
    brand.unwrap_or(if content.starts_with(b"mif1") || content.starts_with(b"msf1") { Heic } else { Video })
}

fn of_text(bytes: &[u8]) -> Kind {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // A character may be cut at the end.
    let is_text = match std::str::from_utf8(text) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none() && error.valid_up_to() > 0,
    };
    if !is_text || text.iter().any(|byte| *byte < 32 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c)) {
        return Other;
    }
    let lower = text.to_ascii_lowercase();
    let has = |word: &[u8]| lower.windows(word.len()).any(|window| window == word);
    match lower.trim_ascii_start() {
        start if start.starts_with(b"<!doctype html") || start.starts_with(b"<html") => Html,
        start if start.starts_with(b"<") && has(b"<svg") => Svg,
        start if start.starts_with(b"<") && (has(b"<head") || has(b"<body")) => Html,
        _ => Text,
    }
}

impl Kind {
    /// Returns whether it is a picture, even one that cannot be read here.
    pub fn is_picture(self) -> bool {
        !matches!(self, Html | Pdf | Video | LfsPointer | Text | Empty | Zeros | Other)
    }

    /// Returns whether [`planes`](super::planes) reads pictures of this kind.
    pub fn is_readable(self) -> bool {
        matches!(self, Jpeg | Png | WebP | Gif | Bmp | Tiff | Pnm)
    }

    /// Returns the kind in words: "a JPEG picture".
    pub fn name(self) -> &'static str {
        match self {
            Jpeg => "a JPEG picture",
            Png => "a PNG picture",
            WebP => "a WebP picture",
            Gif => "a GIF picture",
            Bmp => "a BMP picture",
            Tiff => "a TIFF picture",
            Pnm => "a PNM picture",
            Heic => "a HEIC picture",
            Avif => "an AVIF picture",
            Jpeg2000 => "a JPEG 2000 picture",
            JpegXl => "a JPEG XL picture",
            Ico => "an ICO picture",
            Svg => "an SVG drawing",
            Psd => "a Photoshop picture (PSD)",
            OpenExr => "an OpenEXR picture",
            Radiance => "a Radiance HDR picture",
            Qoi => "a QOI picture",
            Dds => "a DDS picture",
            Xcf => "a GIMP picture (XCF)",
            Dicom => "a DICOM picture",
            Raw => "a camera's raw picture",
            Html => "an HTML page",
            Pdf => "a PDF document",
            Video => "a video",
            LfsPointer => "a pointer of Git LFS, not the file itself (`git lfs pull` fetches it)",
            Text => "a text",
            Empty => "empty",
            Zeros => "zeros only",
            Other => "of no known kind",
        }
    }
}
