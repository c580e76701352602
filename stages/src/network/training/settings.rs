//! Everything that one training goes by, every value filled in.

use serde_json::{Map, Value};

use super::{
    keep::Keep,
    loss::Criterion,
    objective::{EarlyStopping, Objective},
    optimizer::{OptimizerKind, Rule},
    schedule::Schedule,
};
use crate::{network::Architecture, params::Domain};

/// How many images a step may have.
pub const BATCH: Domain = Domain::Whole(1..=65_536);

/// What a training goes by beside its data.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) architecture: Architecture,
    pub(crate) epochs: u32,
    pub(crate) batch: usize,
    pub(crate) optimizer: OptimizerKind,
    /// With the learning rate that the schedule begins from.
    pub(crate) rule: Rule,
    pub(crate) criterion: Criterion,
    /// Weight of each head's loss.
    pub(crate) head_weights: Vec<f64>,
    /// Every hyperparameter of the family with the value used.
    pub(crate) hyperparameters: Map<String, Value>,
    pub(crate) schedule: Schedule,
    pub(crate) objective: Objective,
    pub(crate) early_stopping: Option<EarlyStopping>,
    pub(crate) keep: Vec<Keep>,
}
