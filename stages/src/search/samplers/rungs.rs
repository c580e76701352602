//! The rungs of successive halving.

use crate::params::Domain;

/// The factors that are allowed from rung to rung.
pub(super) const FACTOR: Domain = Domain::Whole(2..=100);

/// Trials that are trained for the same number of epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung {
    /// The number of trials.
    pub trials: u32,
    /// The number of epochs of each trial, including those of earlier rungs.
    pub epochs: u32,
}

/// The rungs of one cohort of trials. The trials of a rung are the best trials of the rung before.
pub type Bracket = Vec<Rung>;
