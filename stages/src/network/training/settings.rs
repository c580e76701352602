//! The settings of one training, with all defaults filled in.

use serde_json::{Map, Value};

use super::{
    keep::Keep,
    loss::Criterion,
    objective::{EarlyStopping, Objective},
    optimizer::{OptimizerKind, UpdateRule},
    schedule::Schedule,
};
use crate::{images::Policy, network::Architecture, params::Domain};

/// The allowed batch sizes.
pub const BATCH: Domain = Domain::Whole(1..=65_536);

/// The settings of one training: everything it depends on except for data and seed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) architecture: Architecture,
    /// How images are normalised and changed. Without labels.
    pub(crate) policy: Policy,
    pub(crate) epochs: u32,
    pub(crate) batch: usize,
    pub(crate) optimizer: OptimizerKind,
    /// Its learning rate is the one that the schedule multiplies.
    pub(crate) rule: UpdateRule,
    pub(crate) criterion: Criterion,
    /// The weight of each head's loss, in the order of the heads.
    pub(crate) head_weights: Vec<f64>,
    /// All hyperparameters of the family, with the values used.
    pub(crate) hyperparameters: Map<String, Value>,
    pub(crate) schedule: Schedule,
    pub(crate) objective: Objective,
    pub(crate) early_stopping: Option<EarlyStopping>,
    pub(crate) keep: Vec<Keep>,
}
