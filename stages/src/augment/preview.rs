//! The preview of a policy: some images, and below each what the network sees of it in several epochs.

use crate::images::{Policy, dataset::Dataset, sheet::Sheet};

const COLUMNS: u32 = 10;
const EPOCHS: u32 = 5;

/// The preview has a seed of its own, because it shows what a policy can do and not what happens in a study.
const SEED: u64 = 0;

/// Returns the preview as a PNG. The first row has evenly spaced images of `train`, followed by a row for each epoch.
pub(super) fn sheet(policy: &Policy, train: &Dataset) -> Vec<u8> {
    let n = u32::try_from(train.len()).expect("a split has fewer than 2^32 images");
    let columns = n.min(COLUMNS);
    let size = train.image_shape().bytes();
    let images: Vec<u32> = (0..columns).map(|i| (u64::from(i) * u64::from(n) / u64::from(columns)) as u32).collect();
    let mut values = vec![0.0; images.len() * size];
    let mut sheet = Sheet::new(train.image_shape(), columns as usize);
    for epoch in std::iter::once(None).chain((0..EPOCHS).map(Some)) {
        policy.fill(train, &images, epoch, SEED, &mut values);
        if let Some(epoch) = epoch {
            mix(policy, train, &images, epoch, &mut values);
        }
        values.chunks_exact(size).for_each(|image| sheet.push(&policy.denormalise(image)));
    }
    sheet.png()
}

/// Mixes `images` of `train`, whose values are given, with others. The order of an epoch is that of the split.
fn mix(policy: &Policy, train: &Dataset, images: &[u32], epoch: u32, values: &mut [f32]) {
    let shape = train.image_shape();
    let mut other = vec![0.0; shape.bytes()];
    for (image, values) in images.iter().zip(values.chunks_exact_mut(shape.bytes())) {
        if let Some(mixture) = policy.mixture(shape, train.len(), *image as usize, epoch, SEED) {
            policy.fill(train, &[mixture.partner as u32], Some(epoch), SEED, &mut other);
            mixture.apply(values, &other, shape);
        }
    }
}
