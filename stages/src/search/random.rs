//! Draws from the prior of each kind, one stream of numbers per label.

use pipe_store::Digest;

use super::kind::{Kind, Shape};
use crate::philox::{Purpose, Stream};

/// The random numbers of one label in one trial. A label's numbers depend on its name alone, so another label in the
/// space does not change what this one draws.
pub(super) struct Draws {
    stream: Stream,
    next: u64,
}

impl Draws {
    /// Returns the numbers of `label` in trial `trial_idx`.
    pub(super) fn new(seed: u64, trial_idx: u32, label: &str) -> Self {
        let [a, b, c, d, ..] = *Digest::of(label.as_bytes()).as_bytes();
        let stream = Stream::new(seed, Purpose::Propose, trial_idx, u32::from_le_bytes([a, b, c, d]));
        Self { stream, next: 0 }
    }

    /// Returns a number in [0, 1).
    pub(super) fn uniform(&mut self) -> f64 {
        self.next += 1;
        self.stream.f64(self.next - 1)
    }

    /// Returns a standard normal deviate (Box and Muller, "A note on the generation of random normal deviates", 1958; the
    /// cosine alone, so that each deviate has its own two numbers).
    pub(super) fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.uniform()));
        radius * libm::cos(2.0 * std::f64::consts::PI * self.uniform())
    }

    /// Returns an index, each with its probability; they sum to 1 but for rounding.
    pub(super) fn index(&mut self, probabilities: &[f64]) -> usize {
        let u = self.uniform();
        let mut below = 0.0;
        let found = probabilities.iter().position(|p| {
            below += p;
            u < below
        });
        // Where rounding leaves the sum below `u`: the last that is possible at all.
        found.or_else(|| probabilities.iter().rposition(|p| *p > 0.0)).unwrap_or(0)
    }
}

/// Returns a coordinate of `kind` drawn from its prior (Hyperopt's `pyll/stochastic.py`).
pub(super) fn prior(kind: &Kind, draws: &mut Draws) -> f64 {
    match kind {
        Kind::Choice { options, probabilities: None } => below(options.len() as i64, draws),
        Kind::Choice { probabilities: Some(probabilities), .. } => draws.index(probabilities) as f64,
        Kind::Randint { lo, hi } => below(hi - lo, draws),
        Kind::Numeric(numeric) => numeric.value(match numeric.shape {
            Shape::Uniform { lo, hi } => lo + draws.uniform() * (hi - lo),
            Shape::Normal { mu, sigma } => mu + sigma * draws.normal(),
        }),
    }
}

/// Returns an integer in 0..n, where n is at least 1 and far below 2^53.
fn below(n: i64, draws: &mut Draws) -> f64 {
    (draws.uniform() * n as f64).floor()
}
