//! What a training reads: splits, labels and policy, checked against each other once.

use crate::{
    images::{
        Policy,
        dataset::{Dataset, Labels},
    },
    network::architecture::{Head, Output},
    stage::{Inputs, StageError},
};

/// The images to train on and those to validate on.
pub(crate) struct Data {
    pub(crate) heads: Vec<Head>,
    pub(crate) shape: [usize; 3],
    policy: Policy,
    /// The training split, and the images added to it, if any.
    train: Vec<Dataset>,
    validation: Option<Dataset>,
}

/// A batch: images [n, c, h, w] as the policy gives them, and the labels of each head [n].
pub(crate) struct Batch {
    pub(crate) n: usize,
    pub(crate) images: Vec<f32>,
    pub(crate) labels: Vec<Vec<i32>>,
}

impl Data {
    /// Returns the data in the slots `train`, `extra`, `validation`, `labels` and `policy`.
    ///
    /// # Errors
    /// If one cannot be read, or they do not fit each other.
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
        Ok(Self { heads, shape, policy, train, validation })
    }

    /// Returns how many images there are to train on.
    pub(crate) fn n_train(&self) -> usize {
        self.train.iter().map(Dataset::len).sum()
    }

    /// Returns how many images there are to validate on, or nothing without a validation split.
    pub(crate) fn n_validation(&self) -> Option<usize> {
        self.validation.as_ref().map(Dataset::len)
    }

    /// Returns the training images `indices` as they are in `epoch`.
    pub(crate) fn train_batch(&self, indices: &[u32], epoch: u32, seed: u64) -> Batch {
        let size = self.shape.iter().product();
        let mut batch = self.empty(indices.len());
        for (image, &index) in batch.images.chunks_exact_mut(size).zip(indices) {
            let first = self.train[0].len();
            let (dataset, index, seed) = if (index as usize) < first {
                (&self.train[0], index, seed)
            } else {
                // Added images draw numbers of their own, not those of the images whose index they share.
                (&self.train[1], index - first as u32, !seed)
            };
            self.policy.fill(dataset, &[index], Some(epoch), seed, image);
            self.add_labels(&mut batch.labels, dataset, index);
        }
        batch
    }

    /// Returns the validation images `from` to `to`.
    ///
    /// # Panics
    /// If there is no validation split, or it has fewer images.
    pub(crate) fn validation_batch(&self, from: usize, to: usize) -> Batch {
        let dataset = self.validation.as_ref().expect("the caller asked how many images there are");
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

/// Returns images `from` to `to` of a checked split, without augmentation.
pub(crate) fn plain_batch(dataset: &Dataset, policy: &Policy, heads: &[Head], from: usize, to: usize) -> Batch {
    let indices: Vec<u32> = (from as u32..to as u32).collect();
    let mut images = vec![0.0; (to - from) * dataset.image_shape().bytes()];
    policy.fill(dataset, &indices, None, 0, &mut images);
    let labels = |head: &Head| dataset.labels(&head.name).expect("the split was checked")[from..to].to_vec();
    Batch { n: to - from, images, labels: heads.iter().map(labels).collect() }
}

/// Returns the heads of a network for these labels.
pub(crate) fn heads(labels: &Labels, output: Output) -> Vec<Head> {
    labels.heads.iter().map(|head| Head { name: head.name.clone(), classes: head.classes.len(), output }).collect()
}

/// Returns the split after checking its images and labels against `labels`.
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
