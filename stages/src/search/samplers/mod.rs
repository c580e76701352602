//! Samplers, which propose trials. Each has a file or a folder, and a line in `sampler.rs`.

pub(crate) mod algorithm;
mod auto;
mod branches;
pub(crate) mod draws;
mod gaussian_process;
mod grid;
mod hyperband;
mod normal;
pub(crate) mod parzen;
mod random;
mod rule;
mod rungs;
mod sampler;
mod sobol;
mod successive_halving;
pub(crate) mod tpe;

pub use algorithm::{By, Length, Past, Proposed, TrialParameters};
pub use auto::Auto;
pub use gaussian_process::GaussianProcess;
pub(crate) use gaussian_process::regret_bound;
pub use grid::Grid;
pub use hyperband::Hyperband;
pub(crate) use normal::normal_cdf;
pub use random::Random;
pub use rule::{Rule, Split};
pub use rungs::{Bracket, Rung};
pub use sampler::Sampler;
pub use sobol::Sobol;
pub use successive_halving::SuccessiveHalving;
pub use tpe::{Mode, Tpe};
