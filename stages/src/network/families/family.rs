//! The interface of a family of networks, and the hyperparameters that all families share.

use serde_json::{Map, Value};

use super::{Proposed, Row};
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
    /// Returns the names of the hyperparameters that a search may propose. A label with another name can be used only through
    /// `hp("label")`.
    fn keys(&self) -> Vec<&str>;

    /// Returns the user's value of the hyperparameter `key`, if the user set it.
    fn fixed(&self, key: &str) -> Option<&Value>;

    /// Returns the default of `key`. Some hyperparameters of the training have none: they default to the training's own
    /// parameters.
    fn default_of(&self, key: &str) -> Option<Value>;

    /// Returns the network for images of shape `[channels, height, width]`. A value in `proposal` overrides the user's, which
    /// overrides the default.
    ///
    /// # Errors
    /// If a hyperparameter is out of range, or the network does not fit the images.
    fn architecture(&self, proposal: &Proposed, input: [usize; 3], heads: &[Head]) -> Result<Architecture, ModelError>;

    /// Returns what is expected of `key`, if `value` is not allowed.
    fn refusal(&self, key: &str, value: &Value) -> Option<String>;

    /// Returns a setting that does not fit images of shape `input`, whatever is proposed. `None` does not mean that every
    /// network will fit. The problem's path is relative to the settings.
    fn misfit(&self, _input: [usize; 3]) -> Option<Problem> {
        None
    }

    /// Returns the value of the hyperparameter `key`: from the proposal's `values`, else the user's, else the default.
    fn value(&self, values: &Map<String, Value>, key: &str) -> Option<Value> {
        values.get(key).or_else(|| self.fixed(key)).cloned().or_else(|| self.default_of(key))
    }
}

/// The hyperparameters of the training that every family has.
pub const TRAINING: &[Row] = &[BATCH_SIZE, COARSE_LABELS_WEIGHT, L2_MULTIPLIER, RATE_MULTIPLIER, OPTIMIZER];

/// The number of images in a step.
pub(super) const BATCH_SIZE: Row =
    Row::of_training(&["batch_size"], BATCH, "Number of images in a step. Overrides the training's `batch`.");

/// The weight of the second head's loss.
pub(super) const COARSE_LABELS_WEIGHT: Row = Row::of_training(
    &["coarse_labels_weight"],
    Domain::NotNegative,
    "Weight of the second head's loss. Overrides the training's `coarse_labels_weight`.",
);

/// The factor of the L2 penalty.
pub(super) const L2_MULTIPLIER: Row =
    Row::of_training(&["l2_weight_reg_mult"], Domain::NotNegative, "Multiplies the training's `l2`.");

/// The factor of the learning rate.
pub(super) const RATE_MULTIPLIER: Row =
    Row::of_training(&["lr_rate_mult"], Domain::Positive, "Multiplies the training's `learning_rate`.");

/// The optimizer.
pub(super) const OPTIMIZER: Row = Row::of_training(
    &["optimizer"],
    Domain::Word(OptimizerKind::NAMES),
    "The optimizer. Overrides the training's `optimizer`.",
);
