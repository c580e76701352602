//! For each filter, the images of the validation split that excite it most: those with the highest mean activation, the
//! same quantity that the climbs maximise.

use std::collections::BTreeMap;

use super::{picture::FilterSheet, target::Target};
use crate::{
    images::{
        Policy,
        dataset::{Dataset, Head, Labels},
        sheet::{Canvas, GAP, GROUND},
    },
    network::{Pass, Predictor},
    params::Float,
    records::{Example, ExamplesRecord, FilterExamples, LayerExamples, Version},
    stage::StageError,
};

/// The most bytes that the images of one batch may take.
const BATCH_BYTES: u64 = 256 << 20;
/// The most images in one batch.
const BATCH: usize = 250;

/// Pixels between a filter's picture and its images, and between blocks.
const SPACE: usize = 4 * GAP;
/// The most pixels that blocks take side by side: about the width of a page. A block is a filter's picture and its images.
const WIDTH: usize = 1000;

/// The validation split, and what its labels mean.
pub(super) struct Validation {
    pub(super) data: Dataset,
    pub(super) labels: Labels,
}

/// An image that excites a filter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    /// Its index in the split.
    pub(super) image: usize,
    /// The filter's mean activation for it.
    pub(super) activation: f64,
}

/// The images that excite each filter of some layers most.
pub(super) struct Examples {
    validation: Validation,
    /// The most images that a filter has.
    n: usize,
    /// Layer -> filter -> images, the most exciting first. Equally exciting images keep the order of the split.
    of_layers: BTreeMap<String, Vec<Vec<Found>>>,
}

/// Returns the number of images that go through the network at once. It depends only on the network.
pub(super) fn batch(targets: &[Target]) -> usize {
    // An overestimate: `bytes_per_image` is for a climb, which keeps every output and its gradient.
    let bytes = targets.iter().map(|target| target.bytes_per_image).max().unwrap_or(1).max(1);
    usize::try_from(BATCH_BYTES / bytes).unwrap_or(BATCH).clamp(1, BATCH)
}

impl Examples {
    /// Finds, for each filter of `targets`, the `n` images of `validation` that excite it most. `n` is at least 1. Calls
    /// `at_image` with the number of images done before each batch. Leaves out images whose activation is NaN.
    ///
    /// # Errors
    /// Returns the errors of `at_image`.
    pub(super) fn find(
        predictor: &Predictor,
        targets: &[Target],
        validation: Validation,
        policy: &Policy,
        n: usize,
        at_image: &mut dyn FnMut(usize) -> Result<(), StageError>,
    ) -> Result<Self, StageError> {
        let data = &validation.data;
        let names: Vec<&str> = targets.iter().map(|target| target.layer.as_str()).collect();
        let mut network = predictor.network(Pass::Inference, &names);
        let mut of_layers: BTreeMap<String, Vec<Vec<Found>>> =
            targets.iter().map(|target| (target.layer.clone(), vec![Vec::new(); target.filters])).collect();
        let indices: Vec<u32> = (0..data.len() as u32).collect();
        for batch in indices.chunks(batch(targets)) {
            let first = batch[0] as usize;
            at_image(first)?;
            let mut images = vec![0.0; batch.len() * data.image_shape().bytes()];
            policy.fill(data, batch, None, 0, &mut images);
            let means = network.channel_means(&images); // layer -> [n, filters]
            for (layer, of_filters) in &mut of_layers {
                let n_filters = of_filters.len();
                for (i, &activation) in means[layer].iter().enumerate() {
                    let example = Found { image: first + i / n_filters, activation };
                    put(&mut of_filters[i % n_filters], example, n);
                }
            }
        }
        Ok(Self { validation, n, of_layers })
    }

    /// Returns the examples of the filters on `sheet`, as a record and as a PNG with a row for each filter.
    pub(super) fn of_sheet(&self, target: &Target, sheet: &FilterSheet) -> (LayerExamples, Vec<u8>) {
        let of_filters = &self.of_layers[&target.layer];
        let record = |(filter, _): &(usize, Vec<u8>)| FilterExamples {
            filter: *filter,
            images: of_filters[*filter].iter().map(|example| self.record(*example)).collect(),
        };
        let record = LayerExamples {
            layer: target.layer.clone(),
            sheet: format!("{}_examples.png", target.layer),
            filters: sheet.filters.iter().map(record).collect(),
        };
        let rows = sheet.filters.iter().map(|(filter, picture)| {
            let images = of_filters[*filter].iter().map(|example| self.validation.data.image(example.image));
            std::iter::once(picture.as_slice()).chain(images).collect()
        });
        (record, png(&self.validation.data, &rows.collect::<Vec<Vec<&[u8]>>>(), self.n))
    }

    /// Returns the record of all layers.
    pub(super) fn whole(&self, layers: Vec<LayerExamples>) -> ExamplesRecord {
        ExamplesRecord { format: Version, images: self.validation.data.len(), layers }
    }

    fn record(&self, example: Found) -> Example {
        let Validation { data, labels } = &self.validation;
        let class = |head: &Head| {
            let label = data.labels(&head.name).expect("the split was checked")[example.image];
            (head.name.clone(), head.classes[label as usize].clone())
        };
        Example {
            image: example.image,
            activation: Float(example.activation),
            labels: labels.heads.iter().map(class).collect(),
        }
    }
}

/// Inserts `example` into `best` if it is among the `n` best. `example` comes after all of `best` in the split.
fn put(best: &mut Vec<Found>, example: Found, n: usize) {
    if example.activation.is_nan() {
        return;
    }
    let at = best.partition_point(|other| other.activation >= example.activation);
    if at < n {
        best.truncate(n - 1);
        best.insert(at, example);
    }
}

/// Returns `rows` as a PNG. A row is a filter's picture, a space, and up to `n` images. As many rows go side by side as fit
/// the width of a page.
fn png(data: &Dataset, rows: &[Vec<&[u8]>], n: usize) -> Vec<u8> {
    let shape = data.image_shape();
    let n = n.min(data.len());
    let (across, down) = (shape.width + GAP, shape.height + GAP);
    let block = (n + 1) * across + SPACE;
    let blocks = (WIDTH / (block + SPACE)).clamp(1, rows.len());
    let size = (blocks * (block + SPACE) - SPACE + GAP, rows.len().div_ceil(blocks) * down + GAP);
    let mut canvas = Canvas::new(shape, size, GROUND);
    for (i, row) in rows.iter().enumerate() {
        let (left, top) = (GAP + i % blocks * (block + SPACE), GAP + i / blocks * down);
        for (at, picture) in row.iter().enumerate() {
            canvas.put(picture, left + at * across + if at > 0 { SPACE } else { 0 }, top);
        }
    }
    canvas.png()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::dataset::{self, ImageShape};

    #[test]
    fn the_best_are_kept_in_order_and_the_first_of_equal_ones_wins() {
        let activations = [0.5, f64::NAN, 2.0, 0.5, -1.0, 2.0, 0.5, 3.0];
        for n in 1..=9 {
            let mut best = Vec::new();
            for (image, activation) in activations.into_iter().enumerate() {
                put(&mut best, Found { image, activation }, n);
            }
            // All but NaN, sorted.
            let expected = [7, 2, 5, 0, 3, 6, 4];
            let found: Vec<_> = best.iter().map(|example| example.image).collect();
            assert_eq!(found, expected[..n.min(7)], "{n}");
        }
    }

    #[test]
    fn a_filter_is_separate_from_its_images_and_blocks_fill_a_page() {
        let shape = ImageShape { channels: 1, height: 20, width: 30 };
        let data = Dataset::read(dataset::write(shape, vec![7; 5 * 600], &[("class", &[0; 5])]).into()).unwrap();
        let (filter, image) = (vec![100; 600], vec![200; 600]);
        let row: Vec<&[u8]> = vec![&filter, &image, &image, &image];
        let sheet = image::load_from_memory(&png(&data, &vec![row.clone(); 8], 3)).unwrap().to_luma8();
        // A block is 4 * 32 + 8 pixels wide. 6 of them, 8 pixels apart, fit in 1000 pixels.
        assert_eq!(sheet.dimensions(), (6 * 144 - 8 + 2, 2 * 22 + 2));
        let at = |x, y| sheet.get_pixel(x, y).0[0];
        assert_eq!(
            [at(2, 2), at(31, 21), at(32, 2), at(41, 2), at(42, 2), at(71, 2), at(72, 2), at(74, 2)],
            [100, 100, GROUND, GROUND, 200, 200, GROUND, 200]
        );
        // The seventh row is the first of the second line.
        assert_eq!([at(144 + 2, 2), at(2, 24), at(2 * 144 + 2, 24)], [100, 100, GROUND]);
        // 60 images are asked for, the split has fewer.
        let small = image::load_from_memory(&png(&data, &[row[..1].to_vec()], 60)).unwrap();
        assert_eq!((small.width(), small.height()), (6 * 32 + 8 + 2, 24));
    }
}
