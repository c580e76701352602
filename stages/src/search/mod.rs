//! Hyperparameter search as a library: spaces, samplers and importances. It does not know of stages or pipelines.
//!
//! A proposal depends only on the space, the sampler, the seed, the trial's index, the parameters of the trials before it, and
//! their results: which of them are good, or their losses if the sampler reads those.

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
pub use samplers::{
    Auto, Bracket, By, GaussianProcess, Grid, Hyperband, Length, Mode, Past, Proposed, Random, Rule, Rung, Sampler,
    Sobol, Split, SuccessiveHalving, Tpe, TrialParameters,
};
pub use spaces::{Constraint, End, Extreme, Proposal, Space, count, extremes};

pub use crate::records::{Imported, ImportedTrials, Point};
