//! What a training took from the weights that it started from: a part of `trial.json`.

use serde::{Deserialize, Serialize};

/// The arrays that a training took from a file of weights, and those that it did not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// The number of arrays that were taken.
    pub taken: usize,
    /// The arrays of the network that the file lacks or has with another shape, by name. They were drawn as usual.
    pub drawn: Vec<String>,
    /// The arrays of the file that the network lacks or has with another shape, by name.
    pub unused: Vec<String>,
}
