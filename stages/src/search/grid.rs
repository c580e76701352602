//! The sampler `Grid`: every point of a space in order.

use super::{Proposal, Space, constraint::Constraint, points};
use crate::{parameters, params::Domain};

parameters! {
    /// Settings of [`Sampler::Grid`](super::Sampler::Grid).
    ///
    /// Trial i is repetition `i % repeats` of point `i / repeats`. Options and steps come as they are declared; the last axis
    /// moves fastest. Axes are the space's keys in the alphabet's order, unless `order` says otherwise.
    #[derive(Eq)]
    pub struct Grid = defaults {
        /// How often each point is trained, each time with another seed.
        repeats: u32 [Domain::Whole(1..=1000)] = 1,
        /// Keys of the space that move slowest, the slowest first.
        order: Vec<String> = Vec::new(),
    }
}

impl Grid {
    /// Returns the proposal for a trial; nothing beyond the last.
    pub(super) fn propose(&self, space: &Space, constraints: &[Constraint], trial_idx: u32) -> Option<Proposal> {
        let allowed = |point: &Proposal| constraints.iter().all(|constraint| constraint.holds(&point.labels));
        points::in_order(space, &self.order)?.filter(allowed).nth((trial_idx / self.repeats) as usize)
    }
}
