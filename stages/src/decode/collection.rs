//! A dataset as its publisher divides it, into training and test images. Every format is read into a [`Collection`].

use crate::images::dataset::{Head, ImageShape};

/// A dataset before it is split further.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Collection {
    pub(super) shape: ImageShape,
    /// The heads, the main one first.
    pub(super) heads: Vec<Head>,
    pub(super) train: Part,
    pub(super) test: Part,
}

/// Some labelled images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// The pixels, `[n, c, h, w]`.
    pub(super) images: Vec<u8>,
    /// The labels of all images, for each head.
    pub(super) labels: Vec<Vec<i32>>,
}

impl Part {
    /// Returns a part without images, for `heads` heads.
    pub(super) fn new(heads: usize) -> Self {
        Self { images: Vec::new(), labels: vec![Vec::new(); heads] }
    }

    /// Returns the number of images.
    pub(super) fn len(&self) -> usize {
        self.labels[0].len()
    }

    /// Returns the images at `indices`, in that order.
    pub(super) fn select(&self, shape: ImageShape, indices: &[usize]) -> Self {
        let size = shape.bytes();
        let mut images = Vec::with_capacity(indices.len() * size);
        indices.iter().for_each(|i| images.extend_from_slice(&self.images[i * size..][..size]));
        let labels = self.labels.iter().map(|values| indices.iter().map(|i| values[*i]).collect()).collect();
        Self { images, labels }
    }
}
