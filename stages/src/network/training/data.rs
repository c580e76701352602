//! The data of a training: splits, labels and augmentation policy, checked against each other when they are read.

use crate::{
    images::{
        Policy,
        dataset::{Dataset, Labels},
    },
    network::architecture::{Head, Output},
    stage::{Inputs, StageError},
};

use super::order::{Draw, augmentation_seed};

/// The images to train on and those to validate on.
pub(crate) struct Data {
    pub(crate) heads: Vec<Head>,
    /// The names of the classes of the first head.
    pub(crate) classes: Vec<String>,
    /// The shape of an image: `[channels, height, width]`.
    pub(crate) shape: [usize; 3],
    policy: Policy,
    /// One or two non-empty datasets: the training split and the images added to it.
    train: Vec<Dataset>,
    validation: Option<Dataset>,
}

/// A batch: images `[n, c, h, w]`, augmented and normalised by the policy, and the labels `[n]` of each head.
pub(crate) struct Batch {
    pub(crate) n: usize,
    pub(crate) images: Vec<f32>,
    pub(crate) labels: Vec<Vec<i32>>,
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

    /// Returns the training images `draws`, augmented for `epoch`. Indices beyond the
    /// training split refer to the added images.
    pub(crate) fn train_batch(&self, draws: &[Draw], epoch: u32, seed: u64) -> Batch {
        let size = self.shape.iter().product();
        let mut batch = self.empty(draws.len());
        for (image, &Draw { image: index, repeat }) in batch.images.chunks_exact_mut(size).zip(draws) {
            let first = self.train[0].len();
            let seed = augmentation_seed(seed, repeat);
            let (dataset, index, seed) = if (index as usize) < first {
                (&self.train[0], index, seed)
            } else {
                // Augmentation draws by seed and index. An added image must not draw the same numbers as the image of the
                // training split with the same index.
                (&self.train[1], index - first as u32, !seed)
            };
            self.policy.fill(dataset, &[index], Some(epoch), seed, image);
            self.add_labels(&mut batch.labels, dataset, index);
        }
        batch
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
        }
    }

    fn add_labels(&self, labels: &mut [Vec<i32>], dataset: &Dataset, index: u32) {
        for (labels, head) in labels.iter_mut().zip(&self.heads) {
            labels.push(dataset.labels(&head.name).expect("the split was checked")[index as usize]);
        }
    }
}

/// Returns the images `from..to` of a [`checked`] split, without augmentation.
pub(crate) fn plain_batch(dataset: &Dataset, policy: &Policy, heads: &[Head], from: usize, to: usize) -> Batch {
    let indices: Vec<u32> = (from as u32..to as u32).collect();
    let mut images = vec![0.0; (to - from) * dataset.image_shape().bytes()];
    policy.fill(dataset, &indices, None, 0, &mut images);
    let labels = |head: &Head| dataset.labels(&head.name).expect("the split was checked")[from..to].to_vec();
    Batch { n: to - from, images, labels: heads.iter().map(labels).collect() }
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
