//! The search: spaces, samplers, and the light stages that make a search a graph of pure functions.
//!
//! ```text
//! score.json of trial i -> history/i -> split/i+L -> propose/i+L -> proposal.json of trial i+L -> train
//!                          (a chain)                  (a chain of parameters)
//!                          last links of both -> select -> the best trial
//! ```
//! `history` and `propose` write chains: each record names the one before it by digest, so that an action has few inputs
//! however many trials there are. A proposal is a function of the space, the sampler, the seed, the trial's index, the
//! parameters of all trials before it, and which of them are good; never of a loss.

mod chain;
pub(crate) mod cholesky;
mod constraint;
mod gaussian;
mod grid;
mod history;
mod hyperband;
mod hyperopt;
mod importance;
mod imported;
mod joint;
mod kind;
mod parse;
mod parzen;
mod points;
mod promote;
mod propose;
mod random;
mod repetition;
mod sampler;
mod select;
mod sobol;
mod space;
mod split;
#[cfg(test)]
mod tests;

pub use constraint::Constraint;
pub use gaussian::GaussianProcess;
pub use grid::Grid;
pub use history::History;
pub use hyperband::{Bracket, Hyperband, Rung, SuccessiveHalving};
pub use importance::{Importance, importances};
pub use points::count;
pub use promote::Promote;
pub use propose::Propose;
pub use repetition::student;
pub use sampler::{Mode, Past, Sampler, Tpe, TrialParameters};
pub use select::Select;
pub use sobol::DIMENSIONS as SOBOL_DIMENSIONS;
pub use space::{Space, SpaceProblem};
pub use split::{Rule, Split};

pub use crate::records::{Imported, ImportedTrials, Point, Proposal};
