//! Images as pictures, and the sheet of a layer's best filters.

use super::{ascent::Climb, look::Look, target::Target};
use crate::images::{Normalisation, dataset::ImageShape, sheet::Canvas};

/// Pixels between pictures. They are black.
const GAP: usize = 5;

/// How images are drawn.
pub(super) struct Pictures<'a> {
    pub(super) shape: ImageShape,
    pub(super) normalisation: &'a Normalisation,
    pub(super) look: Look,
    /// What they are called in a sheet's file name.
    pub(super) called: &'static str,
    /// The most pictures side by side.
    pub(super) columns: Option<u32>,
}

/// The best filters of a layer in a square, row by row, the strongest first.
pub(super) struct FilterSheet {
    shape: ImageShape,
    called: &'static str,
    side: usize,
    /// Each filter's index in the layer, and its picture, `[c, h, w]`.
    pub(super) filters: Vec<(usize, Vec<u8>)>,
}

impl Pictures<'_> {
    /// Returns the sheet of the largest square that the living filters fill, or `None` if no filter lives. Filters are ordered
    /// by their activation at the end, then by their index.
    pub(super) fn sheet(&self, climbs: &[Climb]) -> Option<FilterSheet> {
        let mut alive: Vec<&Climb> = climbs.iter().filter(|climb| climb.is_alive()).collect();
        alive.sort_by(|a, b| b.end.total_cmp(&a.end).then(a.filter.cmp(&b.filter)));
        let side = alive.len().isqrt().min(self.columns.map_or(usize::MAX, |columns| columns as usize));
        let filters = alive[..side * side].iter().map(|climb| (climb.filter, self.picture(&climb.image))).collect();
        (side > 0).then_some(FilterSheet { shape: self.shape, called: self.called, side, filters })
    }

    /// Returns an image's bytes, `[c, h, w]`.
    fn picture(&self, image: &[f32]) -> Vec<u8> {
        let plane = self.shape.height * self.shape.width;
        let Normalisation { scale, offset } = self.normalisation;
        let byte = |(e, x): (usize, &f32)| f64::from((x - offset[e / plane]) / scale[e / plane]);
        let bytes: Vec<f64> = image.iter().enumerate().map(byte).collect();
        match self.look {
            Look::Classic => classic(&bytes),
            Look::Plain => bytes.into_iter().map(|byte| byte.round() as u8).collect(),
        }
    }
}

/// Returns `values` as bytes, scaled to mean 0.5 and standard deviation 0.1 and clamped to 0 and 1. The scale of `values`
/// does not matter, except for the small number that avoids a division by 0 for a constant image.
fn classic(values: &[f64]) -> Vec<u8> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let deviation = (values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n).sqrt();
    let byte = |x: &f64| ((x - mean) / (deviation + 1e-5) * 0.1 + 0.5).clamp(0.0, 1.0) * 255.0;
    values.iter().map(|x| byte(x) as u8).collect()
}

impl FilterSheet {
    /// Returns the number of filters on the sheet.
    pub(super) fn drawn(&self) -> usize {
        self.filters.len()
    }

    /// Returns the name of the sheet's file.
    pub(super) fn name(&self, target: &Target) -> String {
        let (layer, filters, drawn, side) = (&target.layer, target.filters, self.drawn(), self.side);
        let called = self.called;
        format!("{layer}_{called}_{drawn}_({side}x{side})_out_of_{filters}.png")
    }

    /// Returns the sheet as a PNG.
    pub(super) fn png(&self) -> Vec<u8> {
        let ImageShape { height, width, .. } = self.shape;
        let along = |pixels: usize| pixels * self.side + GAP * (self.side - 1);
        let mut canvas = Canvas::new(self.shape, (along(width), along(height)), 0);
        for (at, (_, picture)) in self.filters.iter().enumerate() {
            canvas.put(picture, at % self.side * (width + GAP), at / self.side * (height + GAP));
        }
        canvas.png()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn climb(filter: usize, end: f64, values: &[f32]) -> Climb {
        Climb { filter, image: values.to_vec(), start: 0.0, end }
    }

    fn check(climbs: &[Climb], columns: Option<u32>, expected: &[&[u8]]) {
        let normalisation = Normalisation { scale: vec![0.5], offset: vec![-1.0] };
        let shape = ImageShape { channels: 1, height: 1, width: 2 };
        let pictures = Pictures { shape, normalisation: &normalisation, look: Look::Plain, called: "filters", columns };
        let sheet = pictures.sheet(climbs);
        let found: Vec<Vec<u8>> =
            sheet.into_iter().flat_map(|sheet| sheet.filters).map(|(_, picture)| picture).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_strongest_filters_come_first_and_dead_ones_are_left_out() {
        let climbs = [
            climb(0, 2.0, &[-1.0, -0.5]),
            climb(1, 3.0, &[0.0, 1.0]),
            climb(2, 0.0, &[0.5, 0.5]),
            climb(3, 3.0, &[1.0, 126.5]),
            climb(4, f64::NAN, &[0.5, 0.5]),
            climb(5, 1.0, &[1.5, 1.5]),
            climb(6, 0.5, &[1.5, 1.5]),
        ];
        check(&climbs, None, &[&[2, 4], &[4, 255], &[0, 1], &[5, 5]]);
        check(&climbs, Some(1), &[&[2, 4]]);
        check(&climbs, Some(9), &[&[2, 4], &[4, 255], &[0, 1], &[5, 5]]);
        check(&climbs[2..3], None, &[]);
    }

    #[test]
    fn a_sheet_is_a_square_with_black_gaps_of_five() {
        let shape = ImageShape { channels: 3, height: 2, width: 3 };
        let picture = |grey: u8| (usize::from(grey), (0..18).map(|e| grey + e).collect::<Vec<u8>>());
        let filters = [10, 40, 70, 100].map(picture).to_vec();
        let sheet = FilterSheet { shape, called: "best_filters", side: 2, filters };
        let target = Target { layer: "add_1".into(), kind: "add", index: 4, filters: 7, bytes_per_image: 1 };
        assert_eq!(sheet.name(&target), "add_1_best_filters_4_(2x2)_out_of_7.png");
        let image = image::load_from_memory(&sheet.png()).unwrap().to_rgb8();
        assert_eq!(image.dimensions(), (3 * 2 + 5, 2 * 2 + 5));
        assert_eq!(image.get_pixel(0, 0).0, [10, 16, 22]);
        assert_eq!(image.get_pixel(8, 0).0, [40, 46, 52]);
        assert_eq!(image.get_pixel(2, 8).0, [75, 81, 87]);
        assert_eq!(image.get_pixel(10, 8).0, [105, 111, 117]);
        assert_eq!(image.pixels().filter(|pixel| pixel.0 == [0; 3]).count(), 11 * 9 - 4 * 6);
    }

    /// The expected bytes were worked out by hand from `deprocess_image` of the original script.
    #[test]
    fn the_classic_look_matches_the_original_script() {
        assert_eq!(classic(&[0.0, 1.0, 2.0, 3.0]), [93, 116, 138, 161]);
        let mut outlier = vec![0.0; 100];
        outlier[0] = 1e6;
        assert_eq!(classic(&outlier)[..2], [255, 124]);
        assert_eq!(classic(&[7.0; 3]), [127; 3]);
    }
}
