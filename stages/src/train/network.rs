//! The network of a training that has not been run: from its parameters, a proposal and the labels of its data alone.

use serde_json::{Map, Value};

use super::{data, params::Train};
use crate::{
    dataset::Labels,
    model::{Architecture, ModelError, Proposal},
};

/// Returns the network that `train` would build for images with these labels, with the hyperparameters `values`.
///
/// # Errors
/// If it cannot be built: what is wrong with which hyperparameter, or with the images.
pub fn architecture(train: &Train, values: &Map<String, Value>, labels: &Labels) -> Result<Architecture, ModelError> {
    let shape = [labels.image.channels, labels.image.height, labels.image.width];
    let proposal = Proposal { values: values.clone(), ..Proposal::default() };
    train.model.family().architecture(&proposal, shape, &data::heads(labels, train.head))
}
