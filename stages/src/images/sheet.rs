//! Contact sheets: pictures of one shape in a grid with gaps, as one PNG.

use image::{
    ExtendedColorType, ImageEncoder,
    codecs::png::{CompressionType, FilterType, PngEncoder},
};

use crate::images::dataset::ImageShape;

/// The pixels between pictures and around the grid.
pub const GAP: usize = 2;

/// The light grey between pictures and in empty places.
pub const GROUND: u8 = 224;

/// A grid of pictures of one shape, filled row by row.
#[derive(Debug, Clone)]
pub struct Sheet {
    shape: ImageShape,
    columns: usize,
    /// The pictures, each `[c, h, w]`. `None` is an empty place.
    pictures: Vec<Option<Vec<u8>>>,
}

impl Sheet {
    /// Returns an empty sheet for pictures of `shape` (1 or 3 channels), `columns` side by side.
    ///
    /// # Panics
    /// Panics if `columns` is 0.
    pub fn new(shape: ImageShape, columns: usize) -> Self {
        assert!(columns > 0, "a sheet must have columns");
        Self { shape, columns, pictures: Vec::new() }
    }

    /// Adds a picture, `[c, h, w]`.
    ///
    /// # Panics
    /// Panics if the picture does not have the sheet's shape.
    pub fn push(&mut self, picture: &[u8]) {
        assert_eq!(picture.len(), self.shape.bytes(), "a picture must have the sheet's shape");
        self.pictures.push(Some(picture.to_vec()));
    }

    /// Leaves the rest of the current row empty. Does nothing if the row has no picture yet.
    pub fn end_row(&mut self) {
        let rows = self.pictures.len().div_ceil(self.columns);
        self.pictures.resize(rows * self.columns, None);
    }

    /// Returns the sheet as a PNG, grey if there is one channel. Equal sheets have equal bytes.
    pub fn png(&self) -> Vec<u8> {
        let ImageShape { height, width, .. } = self.shape;
        let rows = self.pictures.len().div_ceil(self.columns).max(1);
        let size = (self.columns * (width + GAP) + GAP, rows * (height + GAP) + GAP);
        let mut canvas = Canvas::new(self.shape, size, GROUND);
        for (at, picture) in self.pictures.iter().enumerate() {
            let Some(picture) = picture else { continue };
            canvas.put(picture, GAP + at % self.columns * (width + GAP), GAP + at / self.columns * (height + GAP));
        }
        canvas.png()
    }
}

/// An area on which pictures of one shape are placed.
#[derive(Debug, Clone)]
pub struct Canvas {
    shape: ImageShape,
    width: usize,
    height: usize,
    /// `[height, width, channels]`
    pixels: Vec<u8>,
}

impl Canvas {
    /// Returns a canvas for pictures of `shape` (1 or 3 channels), filled with the grey level `ground`.
    pub fn new(shape: ImageShape, (width, height): (usize, usize), ground: u8) -> Self {
        Self { shape, width, height, pixels: vec![ground; width * height * shape.channels] }
    }

    /// Places a picture, `[c, h, w]`, with its upper left corner at (`left`, `top`). It must be within the canvas.
    ///
    /// # Panics
    /// Panics if the picture reaches below the lower edge.
    pub fn put(&mut self, picture: &[u8], left: usize, top: usize) {
        let ImageShape { channels, height, width } = self.shape;
        for (plane, values) in picture.chunks_exact(height * width).enumerate() {
            for (i, value) in values.iter().enumerate() {
                let (y, x) = (top + i / width, left + i % width);
                self.pixels[(y * self.width + x) * channels + plane] = *value;
            }
        }
    }

    /// Returns the canvas as a PNG, grey if there is one channel. Equal canvases have equal bytes.
    pub fn png(&self) -> Vec<u8> {
        encode(&self.pixels, self.width, self.height, self.shape.channels)
    }
}

/// Returns `pixels`, `[height, width, channels]`, as a PNG, grey if there is one channel. Equal pixels have equal bytes.
///
/// # Panics
/// Panics if the number of pixels does not fit, or `channels` is not 1 or 3.
pub fn encode(pixels: &[u8], width: usize, height: usize, channels: usize) -> Vec<u8> {
    let color = if channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let mut png = Vec::new();
    let size = |pixels: usize| u32::try_from(pixels).expect("a sheet has fewer than 2^32 pixels a side");
    PngEncoder::new_with_quality(&mut png, CompressionType::Default, FilterType::Adaptive)
        .write_image(pixels, size(width), size(height), color)
        .expect("the buffer has the size of the image, and writing to memory cannot fail");
    png
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_in_rows_with_gaps() {
        let shape = ImageShape { channels: 3, height: 1, width: 1 };
        let mut sheet = Sheet::new(shape, 2);
        sheet.push(&[1, 2, 3]);
        sheet.end_row();
        sheet.end_row();
        sheet.push(&[4, 5, 6]);
        sheet.push(&[7, 8, 9]);
        let image = image::load_from_memory(&sheet.png()).unwrap().to_rgb8();
        assert_eq!(image.dimensions(), (8, 8));
        assert_eq!(image.get_pixel(2, 2).0, [1, 2, 3]);
        assert_eq!(image.get_pixel(5, 2).0, [GROUND; 3]);
        assert_eq!(image.get_pixel(2, 5).0, [4, 5, 6]);
        assert_eq!(image.get_pixel(5, 5).0, [7, 8, 9]);
        assert_eq!(image.pixels().filter(|pixel| pixel.0 != [GROUND; 3]).count(), 3);
    }

    #[test]
    fn grey_pictures_make_a_grey_sheet() {
        let mut sheet = Sheet::new(ImageShape { channels: 1, height: 2, width: 1 }, 1);
        sheet.push(&[0, 255]);
        let image = image::load_from_memory(&sheet.png()).unwrap();
        assert_eq!(image.color(), image::ColorType::L8);
        assert_eq!(image.to_luma8().get_pixel(2, 3).0, [255]);
    }
}
