//! The settings of one training, with all defaults filled in.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    history::Metric,
    keep::Keep,
    loss::{Criterion, Loss},
    objective::{EarlyStopping, Objective},
    optimizer::{OptimizerKind, UpdateRule},
    order::Sampling,
    schedule::Schedule,
};
use crate::{
    images::Policy,
    network::{Architecture, architecture::ParameterShape},
    params::Domain,
};

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
    pub(crate) loss: Loss,
    pub(crate) label_smoothing: f64,
    /// The names of the classes of the first head.
    pub(crate) classes: Vec<String>,
    /// The weight of each class of the first head. `None` if all are 1.
    pub(crate) class_weights: Option<Vec<f64>>,
    pub(crate) sampling: Sampling,
    /// The weight of each head's loss, in the order of the heads.
    pub(crate) head_weights: Vec<f64>,
    /// All hyperparameters of the family, with the values used.
    pub(crate) hyperparameters: Map<String, Value>,
    pub(crate) schedule: Schedule,
    pub(crate) objective: Objective,
    pub(crate) early_stopping: Option<EarlyStopping>,
    pub(crate) keep: Vec<Keep>,
    /// The metrics that the history has because they are asked for.
    pub(crate) asked: Vec<Metric>,
    /// The names of the layers whose weights stay as they are.
    pub(crate) frozen: BTreeSet<String>,
}

impl Settings {
    /// Returns the loss that is measured: without weights of classes, so that it can be compared between trainings.
    pub(crate) fn criterion(&self) -> Criterion<'static> {
        Criterion { loss: self.loss, smoothing: self.label_smoothing, class_weights: None }
    }

    /// Returns the arrays that the optimizer updates.
    pub(crate) fn trained(&self) -> impl Iterator<Item = ParameterShape> {
        let is_frozen = |name: &str| name.rsplit_once('.').is_some_and(|(layer, _)| self.frozen.contains(layer));
        let shapes = self.architecture.parameter_shapes().into_iter();
        shapes.filter(move |parameter| parameter.trained && !is_frozen(&parameter.name))
    }

    /// Returns the loss that head `index` is trained with. Only the first head has weights of classes.
    pub(crate) fn criterion_of(&self, index: usize) -> Criterion<'_> {
        Criterion { class_weights: self.class_weights.as_deref().filter(|_| index == 0), ..self.criterion() }
    }
}
