//! The sampler `Grid`: every point of a space in order.

use serde::{Deserialize, Serialize};

use super::{Proposal, Space, constraint::Constraint, points};
use crate::params::is_default;

/// Settings of [`Sampler::Grid`](super::Sampler::Grid).
///
/// Trial i is repetition `i % repeats` of point `i / repeats`. Options and steps come as they are declared; the last axis
/// moves fastest. Axes are the space's keys in the alphabet's order, unless `order` says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// How often each point is trained, each time with another seed. 1 to 1000.
    #[serde(default = "repeats::value", skip_serializing_if = "repeats::is")]
    pub repeats: u32,
    /// Keys of the space that move slowest, the slowest first.
    #[serde(default, skip_serializing_if = "is_default")]
    pub order: Vec<String>,
}

crate::defaults! {
    repeats: u32 = 1;
}

impl Default for Grid {
    fn default() -> Self {
        Self { repeats: 1, order: Vec::new() }
    }
}

impl Grid {
    /// Returns the proposal for a trial; nothing beyond the last.
    pub(super) fn propose(&self, space: &Space, constraints: &[Constraint], trial_idx: u32) -> Option<Proposal> {
        let allowed = |point: &Proposal| constraints.iter().all(|constraint| constraint.holds(&point.labels));
        points::in_order(space, &self.order)?.filter(allowed).nth((trial_idx / self.repeats) as usize)
    }
}
