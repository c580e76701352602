//! The random numbers of a proposal, one stream for each label, and draws from the prior.

use pipe_store::Digest;

use super::normal::normal_quantile;
use crate::{
    network::kernels::{Isa, lanes::kernel},
    philox::{Purpose, Stream, unit_f64},
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
        Draws { stream: Stream::new(self.seed, Purpose::Propose, self.trial_idx, minor), next: 0, ahead: None }
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
    ahead: Option<Ahead>,
}

/// Numbers that were made before they were asked for.
struct Ahead {
    isa: Isa,
    /// The place of the first of them, or nothing if there are none yet.
    first: Option<u64>,
    numbers: Numbers,
}

/// The number of blocks of a stream that are made at a time. A block has two numbers.
const BLOCKS: usize = 16;
type Numbers = [f64; 2 * BLOCKS];

kernel! {
    /// Writes the numbers of consecutive blocks, from block `first` on.
    fn numbers_of(stream: &Stream, first: u32, to: &mut Numbers) {
        let [a, b, c, d] = stream.blocks::<BLOCKS>(first);
        for lane in 0..BLOCKS {
            to[2 * lane] = unit_f64(a[lane], b[lane]);
            to[2 * lane + 1] = unit_f64(c[lane], d[lane]);
        }
    }
}

impl Draws {
    /// Returns the same numbers, made many at a time.
    pub(crate) fn many(self, isa: Isa) -> Self {
        Self { ahead: Some(Ahead { isa, first: None, numbers: [0.0; 2 * BLOCKS] }), ..self }
    }

    /// Returns how many numbers were drawn.
    pub(crate) fn drawn(&self) -> u64 {
        self.next
    }

    /// Goes back to where this many numbers were drawn.
    pub(crate) fn go_back(&mut self, drawn: u64) {
        self.next = drawn;
    }

    /// Returns a number in [0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        let i = self.next;
        self.next += 1;
        let Some(Ahead { isa, first, numbers }) = &mut self.ahead else { return self.stream.f64(i) };
        let at = i % numbers.len() as u64;
        if *first != Some(i - at) {
            *first = Some(i - at);
            numbers_of(*isa, &self.stream, ((i - at) / 2) as u32, numbers);
        }
        numbers[at as usize]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_made_ahead_are_the_same() {
        let chance = Chance { seed: 5, trial_idx: 3, attempt: 0 };
        let mut one = chance.of("x");
        let expected: Vec<f64> = (0..100).map(|_| one.uniform()).collect();
        for isa in Isa::available() {
            let mut many = chance.of("x").many(*isa);
            assert_eq!((0..100).map(|_| many.uniform()).collect::<Vec<_>>(), expected, "{isa}");
            many.go_back(30);
            assert_eq!((30..100).map(|_| many.uniform()).collect::<Vec<_>>(), expected[30..], "{isa}");
        }
    }
}
