//! A picture as pixels, for programs that show no SVG: upright lines, boxes and text in gray. Texts are Noto Sans Mono,
//! drawn beforehand, so that no font of the machine decides on a byte.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

/// Pixels for each unit of length.
const SCALE: f64 = 2.0;
const FONT: RasterHeight = RasterHeight::Size32;
const WEIGHT: FontWeight = FontWeight::Regular;

/// A gray picture on white. Coordinates are in CSS pixels.
pub(super) struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    /// Returns a white canvas.
    pub(super) fn new(width: f64, height: f64) -> Self {
        let (width, height) = ((SCALE * width).ceil() as usize, (SCALE * height).ceil() as usize);
        Self { width, height, pixels: vec![255; width * height] }
    }

    /// Returns the width of a text.
    pub(super) fn text_width(text: &str) -> f64 {
        (get_raster_width(WEIGHT, FONT) * text.chars().count()) as f64 / SCALE
    }

    /// Writes a text with its upper left corner at (x, y). What the font has not is a question mark.
    pub(super) fn text(&mut self, x: f64, y: f64, text: &str, ink: u8) {
        let (mut left, top) = ((SCALE * x).round() as usize, (SCALE * y).round() as usize);
        for letter in text.chars() {
            let raster = get_raster(letter, WEIGHT, FONT).or_else(|| get_raster('?', WEIGHT, FONT));
            let raster = raster.expect("the font has a question mark");
            for (down, row) in raster.rows().enumerate() {
                for (along, coverage) in row.iter().enumerate() {
                    self.blend(left + along, top + down, ink, *coverage);
                }
            }
            left += get_raster_width(WEIGHT, FONT);
        }
    }

    /// Draws a box [x, y, width, height] with a border.
    pub(super) fn rectangle(&mut self, [x, y, width, height]: [f64; 4], ground: u8, border: u8) {
        let [left, top, right, bottom] = [x, y, x + width, y + height].map(|length| (SCALE * length).round() as usize);
        for row in top..bottom {
            for column in left..right {
                let is_border = row < top + 2 || row + 2 >= bottom || column < left + 2 || column + 2 >= right;
                self.blend(column, row, if is_border { border } else { ground }, 255);
            }
        }
    }

    /// Draws a line of upright and level pieces.
    pub(super) fn polyline(&mut self, corners: &[(f64, f64)], ink: u8) {
        for pair in corners.windows(2) {
            let at = |pick: fn(f64, f64) -> f64| (pick(pair[0].0, pair[1].0), pick(pair[0].1, pair[1].1));
            let ((left, top), (right, bottom)) = (at(f64::min), at(f64::max));
            let pixel = |length: f64| (SCALE * length).round() as usize;
            for row in pixel(top).saturating_sub(1)..=pixel(bottom) {
                for column in pixel(left).saturating_sub(1)..=pixel(right) {
                    self.blend(column, row, ink, 255);
                }
            }
        }
    }

    /// Fills a triangle.
    pub(super) fn triangle(&mut self, corners: [(f64, f64); 3], ink: u8) {
        let [a, b, c] = corners.map(|(x, y)| (SCALE * x, SCALE * y));
        let side = |p: (f64, f64), q: (f64, f64), x: f64, y: f64| (q.0 - p.0) * (y - p.1) - (q.1 - p.1) * (x - p.0);
        let ends = |of: fn((f64, f64)) -> f64| {
            let of = [of(a), of(b), of(c)];
            let pixel = |pick: fn(f64, f64) -> f64| of.into_iter().reduce(pick).unwrap_or(0.0).max(0.0) as usize;
            pixel(f64::min)..=pixel(f64::max)
        };
        for row in ends(|(_, y)| y) {
            for column in ends(|(x, _)| x) {
                let (at_x, at_y) = (column as f64 + 0.5, row as f64 + 0.5);
                let sides = [side(a, b, at_x, at_y), side(b, c, at_x, at_y), side(c, a, at_x, at_y)];
                if sides.iter().all(|side| *side >= 0.0) || sides.iter().all(|side| *side <= 0.0) {
                    self.blend(column, row, ink, 255);
                }
            }
        }
    }

    /// Returns the picture as PNG. Equal pictures are equal bytes.
    pub(super) fn png(&self) -> Vec<u8> {
        pipe_stages::images::sheet::encode(&self.pixels, self.width, self.height, 1)
    }

    fn blend(&mut self, column: usize, row: usize, ink: u8, coverage: u8) {
        if column < self.width && row < self.height {
            let pixel = &mut self.pixels[row * self.width + column];
            let (ground, ink, share) = (u32::from(*pixel), u32::from(ink), u32::from(coverage));
            *pixel = ((ground * (255 - share) + ink * share + 127) / 255) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_boxes_triangles_and_letters_leave_their_pixels() {
        let mut canvas = Canvas::new(20.0, 20.0);
        canvas.rectangle([2.0, 2.0, 6.0, 6.0], 200, 100);
        canvas.polyline(&[(12.0, 2.0), (12.0, 18.0)], 50);
        canvas.triangle([(4.0, 18.0), (1.0, 12.0), (7.0, 12.0)], 0);
        let at = |x: f64, y: f64| canvas.pixels[(SCALE * y) as usize * canvas.width + (SCALE * x) as usize];
        assert_eq!([at(5.0, 5.0), at(2.0, 5.0), at(12.0, 10.0), at(4.0, 14.0), at(16.0, 10.0)], [200, 100, 50, 0, 255]);
        let mut text = Canvas::new(40.0, 20.0);
        text.text(0.0, 0.0, "i→", 0);
        assert!(text.pixels.contains(&0), "a letter has a core");
        assert!((Canvas::text_width("ab") - 2.0 * Canvas::text_width("a")).abs() < 1e-9);
    }
}
