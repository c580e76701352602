//! The rungs of successive halving.

use crate::params::Domain;

/// What the factor from rung to rung may be.
pub(super) const FACTOR: Domain = Domain::Whole(2..=100);

/// Trials that are trained for the same number of epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung {
    /// How many trials it has.
    pub trials: u32,
    /// How many epochs they are trained for in all, those of earlier rungs included.
    pub epochs: u32,
}

/// The rungs of one cohort of trials: those of each rung are the best of the rung before.
pub type Bracket = Vec<Rung>;
