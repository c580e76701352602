//! A training, and what its loop asks of those who compute the steps.

use std::{collections::BTreeMap, ops::Range};

use super::{data::Data, history::Metric, order::Draw, settings::Settings, state::State};
use crate::{
    network::{Backend, Weight},
    stage::StageError,
};

/// The batch size for validation. A constant, because the last bits of a matrix product may depend on its size.
pub(crate) const EVALUATION_BATCH: usize = 250;

/// A training of `settings` on `data`.
pub(crate) struct Training<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) data: &'a Data,
    pub(crate) metric: &'a Metric,
    pub(crate) backend: Backend,
    /// Initial weights that are not drawn, by name.
    pub(crate) given: &'a BTreeMap<String, Weight>,
}

impl Training<'_> {
    /// Returns the number of steps of an epoch. The last one takes the remaining images.
    pub(super) fn steps_per_epoch(&self) -> u64 {
        self.data.n_train().div_ceil(self.settings.batch) as u64
    }
}

/// Takes the steps of a training, on the host or on a device. The loop sees no tensors.
pub(super) trait Trainer: Send + Sized {
    /// What the host prepares for a step.
    type Batch: Send;

    /// What [`prepare`](Self::prepare) must know.
    type Needs: Send + Sync;

    /// Returns what [`prepare`](Self::prepare) must know. It is the same for all steps.
    fn needs(&self) -> Self::Needs;

    /// Prepares the images of a step. Is called while the step before it is computed.
    fn prepare(needs: &Self::Needs, training: &Training<'_>, shown: &Shown<'_>) -> Self::Batch;

    /// Takes one training step and counts it in `state`. The rest of `state` may wait until [`bring`](Self::bring) or
    /// [`end_epoch`](Self::end_epoch).
    ///
    /// # Errors
    /// If a device fails.
    fn step(&mut self, state: &mut State, batch: Self::Batch) -> Result<(), StageError>;

    /// Brings everything in `state` up to date: to the step before the one whose loss was not finite, if there was one, and then it
    /// is marked as diverged.
    ///
    /// # Errors
    /// If a device fails.
    fn bring(&mut self, state: &mut State) -> Result<(), StageError>;

    /// Brings the weights and sums up to date. If `state` has not diverged, also shows `see` the labels and logits of the images to
    /// validate on, in order and [`EVALUATION_BATCH`] at a time.
    ///
    /// # Errors
    /// If a device fails.
    fn end_epoch(&mut self, state: &mut State, see: See<'_>) -> Result<(), StageError>;
}

/// Looks at the labels `[n]` of each head, and at the logits `[n, classes]` of each head, by name.
pub(super) type See<'a> = &'a mut dyn FnMut(&[Vec<i32>], &BTreeMap<String, Vec<f32>>);

/// The images of a step: those at `positions` of what `epoch` draws.
pub(super) struct Shown<'a> {
    pub(super) draws: &'a [Draw],
    pub(super) positions: Range<usize>,
    /// Counted from 1.
    pub(super) epoch: u32,
    pub(super) seed: u64,
}
