//! What the training loop asks of those who compute the steps.

use std::{collections::BTreeMap, ops::Range};

use super::{order::Draw, run::Training, state::State};
use crate::stage::StageError;

/// Takes the steps of a training, on the host or on a device. The loop sees no tensors.
pub(super) trait Trainer: Send + Sized {
    /// What a step needs of the host.
    type Batch: Send;

    /// Prepares the images of a step. Is called while the step before it is computed.
    fn prepare(training: &Training<'_>, shown: &Shown<'_>) -> Self::Batch;

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
    /// validate on, in order and [`EVALUATION_BATCH`](super::run::EVALUATION_BATCH) at a time.
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
