//! The network of a training that has not been run: from its parameters, a proposal and the labels of its data alone.

use super::params::Train;
use crate::{
    images::dataset::Labels,
    network::{Architecture, ModelError, Proposed, training::data},
};

/// Returns the network that `train` would build for images with these labels, with the hyperparameters of `proposal`.
///
/// # Errors
/// If it cannot be built: what is wrong with which hyperparameter, or with the images.
pub fn architecture(train: &Train, proposal: &Proposed, labels: &Labels) -> Result<Architecture, ModelError> {
    let shape = [labels.image.channels, labels.image.height, labels.image.width];
    train.model.family().architecture(proposal, shape, &data::heads(labels, train.head))
}
