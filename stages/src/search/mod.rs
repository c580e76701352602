//! Hyperparameter search as a library: spaces, samplers and importances. It does not know of stages or pipelines.
//!
//! A proposal depends only on the space, the sampler, the seed, the trial's index, the parameters of the trials before it, and
//! their results: which of them are good, or their losses if the sampler reads those.

mod allowed;
mod front;
mod given;
mod importance;
mod imported;
mod reach;
mod repetition;
mod samplers;
mod spaces;
mod stopping;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use allowed::any_allowed;
pub(crate) use front::{front, knee};
pub use given::{given, misfits};
pub use importance::{Importance, importances};
pub use reach::{End, Reach, reaches};
pub use repetition::student;
pub(crate) use repetition::{means, points};
pub use samplers::{
    Auto, Bracket, By, GaussianProcess, Grid, Hyperband, Length, Mode, Past, Proposed, Random, Rule, Rung, Sampler,
    Sobol, Split, SuccessiveHalving, Tpe, TrialParameters,
};
pub use spaces::{Constraint, Proposal, Space, count};
pub use stopping::{NoImprovement, RegretBound, Stopping, Stoppings};

pub use crate::records::{Imported, ImportedTrials, Point};
