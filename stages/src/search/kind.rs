//! The kinds of expressions: what a label may be, and the numbers that samplers model.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::space::Expr;

/// What a label may be. Its *coordinate* is the number that is sampled and modelled: the option's index, the integer's
/// offset from the lower bound, or the numeric value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// `probabilities` are given by `pchoice` alone.
    Choice {
        options: Vec<Expr>,
        probabilities: Option<Vec<f64>>,
    },
    Randint {
        lo: i64,
        hi: i64,
    },
    Numeric(Numeric),
}

/// A numeric kind: a distribution of z, then x = z or exp(z), then perhaps rounding to a multiple of `q`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Numeric {
    pub(super) shape: Shape,
    pub(super) log: bool,
    pub(super) q: Option<f64>,
    /// The value is written as an integer.
    pub(super) whole: bool,
}

/// The distribution of z.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Shape {
    Uniform { lo: f64, hi: f64 },
    Normal { mu: f64, sigma: f64 },
}

impl Kind {
    /// Returns the coordinate that `label` had in the trial with these `labels`; nothing if it was not active.
    pub(super) fn coordinate(&self, label: &str, labels: &BTreeMap<String, Value>) -> Option<f64> {
        let value = labels.get(label)?;
        match self {
            Self::Choice { options, .. } => {
                // Options with labels first: a constant may equal what a nested expression gave.
                let chosen = |constant: bool| {
                    options.iter().position(|option| {
                        matches!(option, Expr::Constant(_)) == constant && option.was_chosen(value, labels)
                    })
                };
                chosen(false).or_else(|| chosen(true)).map(|index| index as f64)
            }
            Self::Randint { lo, hi } => value.as_i64().filter(|x| (lo..hi).contains(&x)).map(|x| (x - lo) as f64),
            Self::Numeric(_) => value.as_f64(),
        }
    }

    /// Returns the prior probabilities of the coordinates 0, 1, ..; nothing for a numeric kind.
    pub(super) fn probabilities(&self) -> Option<Vec<f64>> {
        let equal = |n: usize| vec![1.0 / n as f64; n];
        match self {
            Self::Choice { probabilities: Some(probabilities), .. } => Some(probabilities.clone()),
            Self::Choice { options, .. } => Some(equal(options.len())),
            Self::Randint { lo, hi } => Some(equal((hi - lo) as usize)),
            Self::Numeric(_) => None,
        }
    }

    /// Returns the kind as canonical JSON.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Choice { options, probabilities: None } => {
                json!({ "choice": options.iter().map(|option| option.to_json(None)).collect::<Vec<_>>() })
            }
            Self::Choice { options, probabilities: Some(probabilities) } => {
                let pairs = probabilities.iter().zip(options).map(|(p, option)| json!([p, option.to_json(None)]));
                json!({ "pchoice": pairs.collect::<Vec<_>>() })
            }
            Self::Randint { lo, hi } => json!({ "randint": [lo, hi] }),
            Self::Numeric(numeric) => numeric.to_json(),
        }
    }
}

impl Numeric {
    /// Returns mean and deviation of the prior's component of a Parzen mixture over z.
    pub(super) fn prior(&self) -> (f64, f64) {
        match self.shape {
            Shape::Uniform { lo, hi } => (0.5 * (lo + hi), hi - lo),
            Shape::Normal { mu, sigma } => (mu, sigma),
        }
    }

    /// Returns the bounds of z.
    pub(super) fn bounds(&self) -> (f64, f64) {
        match self.shape {
            Shape::Uniform { lo, hi } => (lo, hi),
            Shape::Normal { .. } => (f64::NEG_INFINITY, f64::INFINITY),
        }
    }

    /// Returns x for a z: `exp` for the logarithmic kinds, then rounding half to even. Never clipped.
    pub(super) fn value(&self, z: f64) -> f64 {
        let x = if self.log { libm::exp(z) } else { z };
        // Adding zero turns -0.0 into 0.0.
        self.q.map_or(x, |q| (x / q).round_ties_even() * q) + 0.0
    }

    fn to_json(self) -> Value {
        let quantised = if self.q.is_some() && !self.whole { "q" } else { "" };
        let log = if self.log { "log" } else { "" };
        let (shape, a, b) = match self.shape {
            Shape::Uniform { lo, hi } if self.whole => ("uniformint", lo, hi),
            Shape::Uniform { lo, hi } => ("uniform", lo, hi),
            Shape::Normal { mu, sigma } => ("normal", mu, sigma),
        };
        let arguments: Vec<f64> = [a, b].into_iter().chain(self.q.filter(|_| !self.whole)).collect();
        json!({ format!("{quantised}{log}{shape}"): arguments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_round_half_to_even_and_know_no_negative_zero() {
        let shape = Shape::Uniform { lo: -9.0, hi: 9.0 };
        let value = |z, q| Numeric { shape, log: false, q: Some(q), whole: false }.value(z);
        assert_eq!([0.5, 1.5, 2.5, -0.5, -1.5].map(|z| value(z, 1.0)), [0.0, 2.0, 2.0, 0.0, -2.0]);
        assert_eq!([15.0, 45.0, 4.9].map(|z| value(z, 10.0)), [20.0, 40.0, 0.0]);
        assert!(value(-0.3, 1.0).is_sign_positive());
    }
}
