//! Hyperparameter search as a library: spaces, samplers, importances. It knows no stage and no pipeline.
//!
//! A proposal is a function of the space, the sampler, the seed, the trial's index, the parameters of all trials before it, and
//! either which of them are good or, for a sampler that reads them, their losses.

mod importance;
mod imported;
mod repetition;
mod samplers;
mod spaces;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use importance::{Importance, importances};
pub(crate) use repetition::points;
pub use repetition::student;
pub(crate) use samplers::cholesky::Cholesky;
pub use samplers::{
    Bracket, GaussianProcess, Grid, Hyperband, Length, Mode, Past, Random, Rule, Rung, Sampler, Sobol,
    SuccessiveHalving, Tpe, TrialParameters,
};
pub use spaces::{Constraint, Proposal, Space, count};

pub use crate::records::{Imported, ImportedTrials, Point};
