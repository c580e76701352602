//! The data of a training on a device: all images as bytes, and their labels.

use burn::tensor::{Device, Tensor};
use burn_cubecl::tensor::CubeTensor;

use crate::{
    images::{
        Mixture, Policy,
        dataset::{Dataset, ImageShape},
    },
    network::{
        on_burn::{
            kernels::{self, images::Plan, loss},
            traffic::upload,
        },
        training::{
            data::Data,
            order::augmentation_seed,
            trainer::{Shown, Training},
        },
    },
};

/// The images of one split, on a device.
pub(super) struct Images {
    bytes: CubeTensor,
    plan: Plan,
    /// The scale of each channel, then their offsets.
    scales: Tensor<1>,
}

/// What a step needs of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// The words with which the device gathers the images.
    Words,
    /// The images, because the policy has changes that a device does not make, or the device does not hold all images. The words are for
    /// their labels.
    Images,
}

/// The images of a batch.
pub(crate) struct Batch {
    /// `[n, c, h, w]`, if the step needs them.
    pub(super) images: Option<Vec<f32>>,
    pub(super) words: Vec<u32>,
}

impl Images {
    /// Copies the images of `splits` to `device`, one after the other, if it holds them. `plan` says how they are changed there.
    pub(super) fn upload(splits: &[&Dataset], policy: &Policy, plan: Plan, device: &Device) -> Option<Self> {
        let bytes = || splits.iter().flat_map(|split| split.images());
        if !kernels::holds(device, splits.iter().map(|split| split.images().len()).sum()) {
            return None;
        }
        let scales = policy.scales();
        let n = scales.len();
        Some(Self { bytes: kernels::words(packed(bytes()), device), plan, scales: upload(scales, [n], device) })
    }

    /// Returns the normalised images `[n, c, h, w]` that `words` describes.
    pub(super) fn gather(&self, words: &CubeTensor) -> Tensor<4> {
        kernels::images::gather(&self.bytes, words, &self.scales, &self.plan)
    }
}

/// Returns bytes as words, four in each. The first one is in the lowest bits.
fn packed<'a>(bytes: impl Iterator<Item = &'a u8>) -> Vec<u32> {
    let bytes: Vec<u8> = bytes.copied().collect();
    let word = |four: &[u8]| four.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte));
    bytes.chunks(4).map(word).collect()
}

/// Returns the plan of images without changes.
pub(super) fn plain(shape: ImageShape, policy: &Policy) -> Plan {
    Plan { shape: sides(shape), edges: policy.edges(), changes: Vec::new(), mixes: false }
}

/// Returns the plan of the images to train on, and whether the device makes the changes of `policy`. If it does not, the plan is for the
/// labels alone.
pub(super) fn plan(shape: ImageShape, policy: &Policy) -> (Plan, bool) {
    let changes = policy.changes(shape);
    let is_whole = changes.is_some();
    let plan = Plan {
        shape: sides(shape),
        edges: policy.edges(),
        changes: changes.unwrap_or_default(),
        mixes: policy.mixes(),
    };
    (plan, is_whole)
}

fn sides(shape: ImageShape) -> [usize; 3] {
    [shape.channels, shape.height, shape.width]
}

/// Returns the words of the images of a step. The decisions are those of [`Data::train_batch`].
pub(super) fn words(training: &Training<'_>, shown: &Shown<'_>) -> Vec<u32> {
    let (data, policy) = (training.data, &training.settings.policy);
    let shape = data.image_shape();
    let is_whole = policy.changes(shape).is_some();
    let mut words = Vec::new();
    let show = |position: usize, words: &mut Vec<u32>| {
        let draw = shown.draws[position];
        words.push(draw.image);
        if is_whole {
            let (index, seed) = data.place(draw.image, augmentation_seed(shown.seed, draw.repeat));
            policy.write(shape, index, shown.epoch, seed, words);
        }
    };
    for position in shown.positions.clone() {
        show(position, &mut words);
        if !policy.mixes() {
            continue;
        }
        match policy.mixture(shape, shown.draws.len(), position, shown.epoch, shown.seed) {
            Some(mixture) => {
                show(mixture.partner, &mut words);
                words.extend(mixture.words());
            }
            None => {
                show(position, &mut words);
                words.extend(Mixture::NONE);
            }
        }
    }
    words
}

/// Returns the labels of all images of `data`, one head after the other, on `device`.
pub(super) fn labels(data: &Data, device: &Device) -> CubeTensor {
    let labels = data.heads.iter().flat_map(|head| data.labels(&head.name));
    kernels::words(labels.map(i32::cast_unsigned).collect(), device)
}

/// Returns how the loss finds the labels of head `index` of a batch.
pub(super) fn of_head<'a>(
    index: usize,
    n: usize,
    labels: &'a CubeTensor,
    words: &'a CubeTensor,
    plan: &Plan,
) -> loss::Shown<'a> {
    let of_image = plan.of_image();
    loss::Shown {
        labels,
        first_label: index * n,
        words,
        stride: plan.words(),
        mixed: plan.mixes.then_some([of_image, 2 * of_image]),
    }
}
