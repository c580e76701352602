//! The data of a training: splits, labels and augmentation policy, checked against each other when they are read.

use std::ops::Range;

use super::{
    mixed::Others,
    order::{Draw, augmentation_seed},
};
use crate::{
    images::{
        Filler, Policy,
        dataset::{Dataset, Labels},
    },
    network::architecture::{Head, Output},
    stage::{Inputs, StageError},
};

/// The images to train on and those to validate on.
pub(crate) struct Data {
    pub(crate) heads: Vec<Head>,
    /// The names of the classes of the first head.
    pub(crate) classes: Vec<String>,
    /// The shape of an image: `[channels, height, width]`.
    pub(crate) shape: [usize; 3],
    pub(crate) policy: Policy,
    /// One or two non-empty datasets: the training split and the images added to it.
    train: Vec<Dataset>,
    validation: Option<Dataset>,
}

/// A batch: images `[n, c, h, w]`, augmented and normalised by the policy, and the labels `[n]` of each head.
pub(crate) struct Batch {
    pub(crate) n: usize,
    pub(crate) images: Vec<f32>,
    pub(crate) labels: Vec<Vec<i32>>,
    /// The second labels of the images, if they are mixed.
    pub(crate) others: Option<Others>,
}

impl Data {
    /// Reads the slots `train`, `extra`, `validation`, `labels` and `policy`.
    ///
    /// # Errors
    /// If a slot cannot be read, if they do not fit each other, or if there are no training images.
    pub(crate) fn read(inputs: &Inputs<'_>, output: Output) -> Result<Self, StageError> {
        let labels: Labels = inputs.record("labels")?;
        let policy = Policy::of_inputs(inputs, labels.image)?;
        let heads = heads(&labels, output);
        let shape = [labels.image.channels, labels.image.height, labels.image.width];
        let split =
            |slot: &str| inputs.optional(slot)?.map(|bytes| checked(Dataset::read(bytes)?, slot, &labels)).transpose();
        let train: Vec<_> =
            [split("train")?, split("extra")?].into_iter().flatten().filter(|d| !d.is_empty()).collect();
        if train.is_empty() {
            return Err(StageError::failed("there are no images to train on"));
        }
        let validation = split("validation")?.filter(|split| !split.is_empty());
        let classes = labels.heads.into_iter().next().map(|head| head.classes).unwrap_or_default();
        Ok(Self { heads, classes, shape, policy, train, validation })
    }

    /// Returns the number of training images.
    pub(crate) fn n_train(&self) -> usize {
        self.train.iter().map(Dataset::len).sum()
    }

    /// Returns the class of each training image for the first head.
    pub(crate) fn main_labels(&self) -> impl Iterator<Item = i32> {
        let head = &self.heads[0].name;
        self.train.iter().flat_map(move |of| of.labels(head).expect("the split was checked").iter().copied())
    }

    /// Returns the number of validation images, or `None` without a validation split.
    pub(crate) fn n_validation(&self) -> Option<usize> {
        self.validation.as_ref().map(Dataset::len)
    }

    /// Returns the training split and the images added to it.
    #[cfg(feature = "gpu")]
    pub(crate) fn train(&self) -> &[Dataset] {
        &self.train
    }

    /// Returns the validation split.
    #[cfg(feature = "gpu")]
    pub(crate) fn validation(&self) -> Option<&Dataset> {
        self.validation.as_ref()
    }

    #[cfg(feature = "gpu")]
    pub(crate) fn image_shape(&self) -> crate::images::dataset::ImageShape {
        self.train[0].image_shape()
    }

    /// Returns the labels of all training images for a head.
    #[cfg(feature = "gpu")]
    pub(crate) fn labels(&self, head: &str) -> impl Iterator<Item = i32> {
        self.train.iter().flat_map(move |of| of.labels(head).expect("the split was checked").iter().copied())
    }

    /// Returns the training images at `positions` of `draws`, the images that `epoch` draws, changed by `policy`. Indices beyond the
    /// training split refer to the added images. An image is mixed with one from anywhere in the epoch, so that batches do not
    /// matter.
    pub(crate) fn train_batch(
        &self,
        policy: &Policy,
        draws: &[Draw],
        positions: Range<usize>,
        epoch: u32,
        seed: u64,
    ) -> Batch {
        let shape = self.train[0].image_shape();
        let labels: Vec<_> = self.train.iter().map(|dataset| labels_of(dataset, &self.heads)).collect();
        let add_labels = |to: &mut [Vec<i32>], (split, index): (usize, u32)| {
            to.iter_mut().zip(&labels[split]).for_each(|(to, labels)| to.push(labels[index as usize]));
        };
        let mut batch = self.empty(positions.len());
        let mut others = Others { labels: vec![Vec::new(); self.heads.len()], shares: Vec::new() };
        let mut other = vec![0.0; if policy.mixes() { shape.bytes() } else { 0 }];
        let mut filler = policy.filler(shape);
        for (image, position) in batch.images.chunks_exact_mut(shape.bytes()).zip(positions) {
            let place = self.show(&mut filler, draws[position], epoch, seed, image);
            add_labels(&mut batch.labels, place);
            if !policy.mixes() {
                continue;
            }
            match policy.mixture(shape, draws.len(), position, epoch, seed) {
                Some(mixture) => {
                    let place = self.show(&mut filler, draws[mixture.partner], epoch, seed, &mut other);
                    mixture.apply(image, &other, shape);
                    add_labels(&mut others.labels, place);
                    others.shares.push(mixture.share);
                }
                None => {
                    add_labels(&mut others.labels, place);
                    others.shares.push(1.0);
                }
            }
        }
        batch.others = policy.mixes().then_some(others);
        batch
    }

    /// Fills `out` with a training image, changed by the policy of `filler`. Returns the number of its split, and its index there.
    fn show(&self, filler: &mut Filler<'_>, draw: Draw, epoch: u32, seed: u64, out: &mut [f32]) -> (usize, u32) {
        let (index, seed) = self.place(draw.image, augmentation_seed(seed, draw.repeat));
        let split = usize::from(draw.image as usize >= self.train[0].len());
        filler.fill(&self.train[split], index, Some(epoch), seed, out);
        (split, index)
    }

    /// Returns the index of an image in its split, and the seed with which it is augmented.
    ///
    /// Augmentation draws by seed and index. An added image must not draw the same numbers as the image of the training split with the
    /// same index.
    pub(crate) fn place(&self, image: u32, seed: u64) -> (u32, u64) {
        let first = self.train[0].len() as u32;
        if image < first { (image, seed) } else { (image - first, !seed) }
    }

    /// Returns the validation images `from..to`.
    ///
    /// # Panics
    /// If there is no validation split, or it has fewer than `to` images.
    pub(crate) fn validation_batch(&self, from: usize, to: usize) -> Batch {
        let dataset = self.validation.as_ref().expect("the caller checked that there is a validation split");
        plain_batch(dataset, &self.policy, &self.heads, from, to)
    }

    fn empty(&self, n: usize) -> Batch {
        Batch {
            n,
            images: vec![0.0; n * self.shape.iter().product::<usize>()],
            labels: vec![Vec::new(); self.heads.len()],
            others: None,
        }
    }
}

/// Returns the images `from..to` of a [`checked`] split, without augmentation.
pub(crate) fn plain_batch(dataset: &Dataset, policy: &Policy, heads: &[Head], from: usize, to: usize) -> Batch {
    let indices: Vec<u32> = (from as u32..to as u32).collect();
    let mut images = vec![0.0; (to - from) * dataset.image_shape().bytes()];
    policy.fill(dataset, &indices, None, 0, &mut images);
    let labels = labels_of(dataset, heads).into_iter().map(|labels| labels[from..to].to_vec()).collect();
    Batch { n: to - from, images, labels, others: None }
}

/// Returns the labels of a [`checked`] split for each head.
fn labels_of<'a>(dataset: &'a Dataset, heads: &[Head]) -> Vec<&'a [i32]> {
    heads.iter().map(|head| dataset.labels(&head.name).expect("the split was checked")).collect()
}

/// Returns one head for each kind of label.
pub(crate) fn heads(labels: &Labels, output: Output) -> Vec<Head> {
    labels.heads.iter().map(|head| Head { name: head.name.clone(), classes: head.classes.len(), output }).collect()
}

/// Returns `dataset` if its images and labels are as `labels` says. `slot` is its name in error messages.
pub(crate) fn checked(dataset: Dataset, slot: &str, labels: &Labels) -> Result<Dataset, StageError> {
    if dataset.image_shape() != labels.image {
        let (found, expected) = (dataset.image_shape(), labels.image);
        return Err(StageError::failed(format!("images of the split `{slot}` are {found:?}, expected {expected:?}")));
    }
    for head in &labels.heads {
        let found = dataset.labels(&head.name)?;
        if let Some(label) = found.iter().find(|&&label| label < 0 || label as usize >= head.classes.len()) {
            let (name, classes) = (&head.name, head.classes.len());
            let message =
                format!("the split `{slot}` has the label {label} for `{name}`, expected 0 to {}", classes - 1);
            return Err(StageError::failed(message));
        }
    }
    Ok(dataset)
}
