//! What a family of networks is, and the hyperparameters that all families have.

use serde_json::{Map, Value};

use super::{Proposal, Row};
use crate::{
    network::{
        Architecture, ModelError,
        architecture::Head,
        training::{BATCH, OptimizerKind},
    },
    params::Domain,
    problem::Problem,
};

/// A family of networks with the user's settings.
pub trait Family {
    /// Returns the hyperparameters that a search may propose. A label of another name reaches a network only by `hp("label")`.
    fn keys(&self) -> Vec<&str>;

    /// Returns the value that the user gave the hyperparameter `key`.
    fn fixed(&self, key: &str) -> Option<&Value>;

    /// Returns the value of `key` where nobody gave one. Some hyperparameters of the training have none: there the training's
    /// own parameters count.
    fn default_of(&self, key: &str) -> Option<Value>;

    /// Returns the network for images of shape [channels, height, width]. A value of `proposal` goes before a fixed one, and
    /// that before the default.
    ///
    /// # Errors
    /// If a hyperparameter is not allowed, or the network does not fit the images.
    fn architecture(&self, proposal: &Proposal, input: [usize; 3], heads: &[Head]) -> Result<Architecture, ModelError>;

    /// Returns what is expected of `key` instead of `value`, if no network of the family can have it.
    fn refusal(&self, key: &str, value: &Value) -> Option<String>;

    /// Returns whether every value between a search's bounds of `key` must be one that a network can have.
    fn is_bounded(&self, key: &str) -> bool;

    /// Returns what fits no image of shape `input`, whatever is proposed, as far as that is known beforehand. Its place is
    /// inside the settings.
    fn misfit(&self, _input: [usize; 3]) -> Option<Problem> {
        None
    }

    /// Returns the hyperparameter `key`: of the proposal's `values`, else the user's, else the family's default.
    fn value(&self, values: &Map<String, Value>, key: &str) -> Option<Value> {
        values.get(key).or_else(|| self.fixed(key)).cloned().or_else(|| self.default_of(key))
    }
}

/// The hyperparameters of every family that steer the training.
pub const TRAINING: &[Row] = &[BATCH_SIZE, COARSE_LABELS_WEIGHT, L2_MULTIPLIER, RATE_MULTIPLIER, OPTIMIZER];

/// Images in a step.
pub(super) const BATCH_SIZE: Row =
    Row::of_training(&["batch_size"], BATCH, "Images per step, instead of the training's `batch`.");

/// Weight of the second head.
pub(super) const COARSE_LABELS_WEIGHT: Row = Row::of_training(
    &["coarse_labels_weight"],
    Domain::NotNegative,
    "Weight of the second head's loss, instead of the training's `coarse_labels_weight`.",
);

/// What the penalty of weights is multiplied by.
pub(super) const L2_MULTIPLIER: Row =
    Row::of_training(&["l2_weight_reg_mult"], Domain::NotNegative, "Multiplies the training's `l2`.");

/// What the learning rate is multiplied by.
pub(super) const RATE_MULTIPLIER: Row =
    Row::of_training(&["lr_rate_mult"], Domain::Positive, "Multiplies the training's `learning_rate`.");

/// The rule of a step.
pub(super) const OPTIMIZER: Row = Row::of_training(
    &["optimizer"],
    Domain::Word(OptimizerKind::NAMES),
    "The optimizer, instead of the training's `optimizer`.",
);
