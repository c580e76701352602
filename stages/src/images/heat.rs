//! Heat: how much each place of a network's feature map matters, laid over the image.

use super::{dataset::ImageShape, sheet::Sheet};

/// How much each place of a feature map speaks for a class: at least 0, in units of the logit.
#[derive(Debug, Clone, PartialEq)]
pub struct Heat {
    /// The height of the feature map.
    pub height: usize,
    /// The width of the feature map.
    pub width: usize,
    /// Row by row, `[height, width]`.
    pub values: Vec<f32>,
}

/// The side that small pictures are enlarged to, in pixels, by a whole factor.
const SIDE: usize = 256;

/// The part of a pixel that is the colour of its heat. The rest is the picture, in grey.
const OPACITY: f32 = 0.55;

/// The colours of the heat from 0 to 1, in equal steps: each is lighter than the one before.
const RAMP: [[u8; 3]; 5] = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];

impl Heat {
    /// Returns the values at each pixel of an image of this size that the map covers, `[height, width]`: between the centres of the
    /// places of the map bilinearly, and beyond the outermost ones as at them.
    pub fn over(&self, height: usize, width: usize) -> Vec<f32> {
        let (rows, columns) = (between(self.height, height), between(self.width, width));
        let at = |row: usize, column: usize| self.values[row * self.width + column];
        let mut values = Vec::with_capacity(height * width);
        for &(top, bottom, down) in &rows {
            for &(left, right, across) in &columns {
                let upper = at(top, left) * (1.0 - across) + at(top, right) * across;
                let lower = at(bottom, left) * (1.0 - across) + at(bottom, right) * across;
                values.push(upper * (1.0 - down) + lower * down);
            }
        }
        values
    }
}

/// Returns, for each of `to` pixels side by side, the two of `from` places that it lies between, and how far it is from the first to
/// the second, from 0 to 1.
fn between(from: usize, to: usize) -> Vec<(usize, usize, f32)> {
    let place = |pixel: usize| {
        let centre = (pixel as f32 + 0.5) * from as f32 / to as f32 - 0.5;
        let centre = centre.clamp(0.0, (from - 1) as f32);
        let first = centre as usize;
        (first, (first + 1).min(from - 1), centre - first as f32)
    };
    (0..to).map(place).collect()
}

/// Returns the picture `pixels`, `[c, h, w]`, as a PNG, and beside it for each of `heats` the picture in grey with the heat over it. Each
/// heat is drawn up to its own largest value.
///
/// # Panics
/// If `pixels` do not have the shape.
pub fn beside(pixels: &[u8], shape: ImageShape, heats: &[Heat]) -> Vec<u8> {
    let scale = (SIDE / shape.height.max(shape.width)).max(1);
    let large = ImageShape { channels: 3, height: shape.height * scale, width: shape.width * scale };
    let plane = shape.height * shape.width;
    let at = |channel: usize, place: usize| {
        let (row, column) = (place / large.width / scale, place % large.width / scale);
        pixels[(channel % shape.channels) * plane + row * shape.width + column]
    };
    let places = || 0..large.height * large.width;
    let mut sheet = Sheet::new(large, 1 + heats.len());
    let planes: Vec<u8> =
        (0..3).flat_map(|channel| places().map(move |place| (channel, place))).map(|(c, p)| at(c, p)).collect();
    sheet.push(&planes);
    for heat in heats {
        let over = heat.over(large.height, large.width);
        let most = over.iter().copied().fold(0.0, f32::max);
        let colours = places().map(|place| {
            let grey = (0..3).map(|channel| f32::from(at(channel, place))).sum::<f32>() / 3.0;
            let share = if most > 0.0 { over[place] / most } else { 0.0 };
            ramp(share).map(|colour| (grey * (1.0 - OPACITY) + colour * OPACITY).round() as u8)
        });
        let colours: Vec<_> = colours.collect();
        let planes: Vec<u8> = (0..3).flat_map(|channel| colours.iter().map(move |colour| colour[channel])).collect();
        sheet.push(&planes);
    }
    sheet.png()
}

/// Returns the colour of a heat from 0 to 1.
fn ramp(share: f32) -> [f32; 3] {
    let place = share.clamp(0.0, 1.0) * (RAMP.len() - 1) as f32;
    let first = (place as usize).min(RAMP.len() - 2);
    let far = place - first as f32;
    [0, 1, 2].map(|c| f32::from(RAMP[first][c]) * (1.0 - far) + f32::from(RAMP[first + 1][c]) * far)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_the_heat_is_light_and_the_rest_dark() {
        let shape = ImageShape { channels: 1, height: 2, width: 4 };
        let heat = Heat { height: 1, width: 2, values: vec![0.0, 3.0] };
        let nothing = Heat { height: 1, width: 1, values: vec![0.0] };
        let png = beside(&[100, 110, 120, 130, 140, 150, 160, 170], shape, &[heat, nothing]);
        let image = image::load_from_memory(&png).unwrap().to_rgb8();
        assert_eq!(image.dimensions(), (3 * 258 + 2, 128 + 4), "enlarged 64 times");
        let pixel = |x: u32, y: u32| image.get_pixel(2 + x, 2 + y).0;
        assert_eq!([pixel(0, 0), pixel(64, 0), pixel(255, 127)], [[100; 3], [110; 3], [170; 3]]);
        assert_eq!(pixel(258, 0), [45, 45, 47], "no heat");
        assert_eq!(pixel(258 + 255, 0), [197, 199, 149], "the most heat, on 130");
        assert_eq!(pixel(2 * 258 + 255, 127), [77, 77, 79], "a heat of nothing is dark everywhere");
    }

    #[test]
    fn the_ramp_grows_lighter() {
        let light: Vec<f32> =
            (0..=100).map(|i| ramp(i as f32 / 100.0)).map(|[r, g, b]| 0.2126 * r + 0.7152 * g + 0.0722 * b).collect();
        assert!(light.is_sorted_by(|a, b| a < b), "{light:?}");
    }

    #[test]
    fn a_map_is_laid_over_an_image_bilinearly() {
        let heat = Heat { height: 1, width: 2, values: vec![0.0, 1.0] };
        assert_eq!(heat.over(2, 4), [0.0, 0.25, 0.75, 1.0, 0.0, 0.25, 0.75, 1.0]);
        let heat = Heat { height: 2, width: 2, values: vec![0.0, 1.0, 2.0, 3.0] };
        assert_eq!(heat.over(2, 2), heat.values);
        assert_eq!(heat.over(3, 3), [0.0, 0.5, 1.0, 1.0, 1.5, 2.0, 2.0, 2.5, 3.0]);
    }
}
