//! The random numbers of a proposal, one stream for each label, and draws from the prior.

use pipe_store::Digest;

use super::normal::normal_quantile;
use crate::{
    philox::{Purpose, Stream},
    search::spaces::{Kind, Shape},
};

/// The source of the random numbers of one proposal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chance {
    pub(crate) seed: u64,
    pub(crate) trial_idx: u32,
    /// The number of draws for this trial that were rejected before.
    pub(crate) attempt: u32,
}

impl Chance {
    /// Returns the random numbers of `label`. They do not depend on the other labels of the space.
    pub(crate) fn of(&self, label: &str) -> Draws {
        let minor = match self.attempt {
            0 => hash(label),
            attempt => hash(&format!("{label}\0{attempt}")),
        };
        Draws { stream: Stream::new(self.seed, Purpose::Propose, self.trial_idx, minor), next: 0 }
    }
}

/// Returns the number that identifies a name in a stream.
pub(crate) fn hash(name: &str) -> u32 {
    let [a, b, c, d, ..] = *Digest::of(name.as_bytes()).as_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// A sequence of random numbers.
pub(crate) struct Draws {
    stream: Stream,
    next: u64,
}

impl Draws {
    /// Returns a number in [0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        self.next += 1;
        self.stream.f64(self.next - 1)
    }

    /// Returns a standard normal deviate (Box and Muller, "A note on the generation of random normal deviates", 1958). Each
    /// deviate takes two uniform numbers. The second deviate of the method, from the sine, is not used.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.uniform()));
        radius * libm::cos(2.0 * std::f64::consts::PI * self.uniform())
    }

    /// Returns an index drawn with these probabilities, which must sum to 1 up to rounding.
    pub(crate) fn index(&mut self, probabilities: &[f64]) -> usize {
        index_at(probabilities, self.uniform())
    }
}

/// Returns a coordinate of `kind` drawn from its prior (Hyperopt's `pyll/stochastic.py`).
pub(crate) fn prior(kind: &Kind, draws: &mut Draws) -> f64 {
    match kind {
        Kind::Choice { options, probabilities: None, .. } => below(options.len() as i64, draws),
        Kind::Choice { probabilities: Some(probabilities), .. } => draws.index(probabilities) as f64,
        Kind::Randint { lo, hi } => below(hi - lo, draws),
        Kind::Numeric(numeric) => numeric.value(match numeric.shape {
            Shape::Uniform { lo, hi } => lo + draws.uniform() * (hi - lo),
            Shape::Normal { mu, sigma } => mu + sigma * draws.normal(),
        }),
    }
}

/// Returns the quantile of the prior at `u`, in (0, 1), as a coordinate.
pub(crate) fn quantile(kind: &Kind, u: f64) -> f64 {
    match kind {
        Kind::Choice { options, probabilities: None, .. } => (u * options.len() as f64).floor(),
        Kind::Choice { probabilities: Some(probabilities), .. } => index_at(probabilities, u) as f64,
        Kind::Randint { lo, hi } => (u * (hi - lo) as f64).floor(),
        Kind::Numeric(numeric) => numeric.value(match numeric.shape {
            Shape::Uniform { lo, hi } => lo + u * (hi - lo),
            Shape::Normal { mu, sigma } => mu + sigma * normal_quantile(u),
        }),
    }
}

/// Returns the first index at which the cumulative probability is above `u`.
fn index_at(probabilities: &[f64], u: f64) -> usize {
    let mut below = 0.0;
    let found = probabilities.iter().position(|p| {
        below += p;
        u < below
    });
    // Rounding may leave the sum below `u`. The last index with a probability above 0 is taken then.
    found.or_else(|| probabilities.iter().rposition(|p| *p > 0.0)).unwrap_or(0)
}

/// Returns an integer in 0..n. `n` must be at least 1 and far below 2^53.
fn below(n: i64, draws: &mut Draws) -> f64 {
    (draws.uniform() * n as f64).floor()
}
