//! JPEG (ITU-T T.81): baseline, extended sequential and progressive, with Huffman codes and 8 bits a sample.
//!
//! Everything within that is read: any scans in any order, any whole-numbered sampling, restarts, one, three and four components.
//! The pixels are equal to those of libjpeg-turbo with its default settings. Nothing is guessed: a picture is decoded whole, or
//! not at all. What is not read is refused by its name.

mod colour;
mod dct;
mod frame;
mod huffman;
mod scan;
mod words;

use colour::{Model, Upsampled};
use frame::{Frame, Markers, Next};
use image::GrayImage;
use scan::Decoded;
use words::truncated;

use super::limits::Planes;

/// Returns the width and height of a JPEG, and the most bytes that decoding it takes, judged by its header.
///
/// # Errors
/// If it is not a JPEG that can be read. The message continues "the file is ...".
pub(super) fn size(bytes: &[u8]) -> Result<([usize; 2], usize), String> {
    match Markers::of(bytes).next(None)? {
        Next::Frame(frame) => Ok(([frame.width, frame.height], memory(&frame))),
        _ => Err(truncated("it has no frame")),
    }
}

/// Returns the most bytes that decoding takes: the samples, and with them the pixels, or the coefficients that are still needed.
fn memory(frame: &Frame) -> usize {
    let samples: usize = frame.components.iter().map(|component| 64 * component.n_blocks()).sum();
    let pixels = 3 * frame.width * frame.height;
    let rows: usize = frame.components.iter().map(|component| component.factors[0] * component.size[0]).sum();
    let coefficients = if frame.progressive { 2 * samples } else { 0 };
    (samples + pixels + rows).max(samples + coefficients)
}

/// Returns the pixels of a JPEG.
///
/// # Errors
/// If it is not a whole JPEG, or one that is not read here. The message continues "the file is ...".
pub(super) fn decode(bytes: &[u8]) -> Result<Planes, String> {
    let mut markers = Markers::of(bytes);
    let Next::Frame(frame) = markers.next(None)? else { return Err(truncated("it has no frame")) };
    let blocks: usize = frame.components.iter().map(|component| component.n_blocks()).sum();
    if bytes.len() < blocks / 8 {
        // Every block takes at least one bit.
        return Err(truncated(&format!("it has {} bytes for {blocks} blocks", bytes.len())));
    }
    let mut decoded: Vec<Decoded> = frame.components.iter().map(|_| Decoded::nothing()).collect();
    // What follows is another picture, or nothing.
    while !decoded.iter().all(Decoded::is_complete) {
        match markers.next(Some(&frame))? {
            Next::Scan(scan) => markers.at = scan::decode(bytes, &markers, &frame, &scan, &mut decoded)?,
            Next::Frame(_) | Next::End => return Err(truncated("a part of its scans is missing")),
        }
    }
    for (component, decoded) in frame.components.iter().zip(&mut decoded) {
        decoded.finish(component);
    }
    let model = Model::of(&frame, markers.is_jfif, markers.adobe_transform);
    let mut components: Vec<Upsampled<'_>> = frame
        .components
        .iter()
        .zip(&decoded)
        .map(|(component, known)| Upsampled::new(component, &known.samples))
        .collect();
    let [width, height] = [frame.width, frame.height].map(|side| side as u32);
    let mut planes = [(); 3].map(|()| GrayImage::new(width, height));
    let [red, green, blue] = planes.each_mut().map(|plane| plane.chunks_exact_mut(frame.width));
    for (y, ((red, green), blue)) in red.zip(green).zip(blue).enumerate() {
        let mut rows: [&[u8]; 4] = [&[]; 4];
        for (row, component) in rows.iter_mut().zip(&mut components) {
            *row = component.row(y);
        }
        model.write(rows, [red, green, blue]);
    }
    Ok(planes)
}

#[cfg(test)]
mod encoder;
#[cfg(test)]
mod tests;
