//! The network of a training that has not been run, built from its parameters, a proposal and the labels of its data.

use super::params::Train;
use crate::{
    images::dataset::Labels,
    network::{Architecture, ModelError, Proposed, training::data},
};

/// Returns the network that `train` would build for images with these labels, with the hyperparameters of `proposal`.
///
/// # Errors
/// If it cannot be built. The error names the hyperparameter, or says what is wrong with the images.
pub fn architecture(train: &Train, proposal: &Proposed, labels: &Labels) -> Result<Architecture, ModelError> {
    let shape = [labels.image.channels, labels.image.height, labels.image.width];
    train.model.family().architecture(proposal, shape, &data::heads(labels, train.head))
}
