//! The kinds of expressions: what a label may be, and the numbers that samplers model.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::space::Expr;

/// What a label may be. Its *coordinate* is the number that is sampled and modelled: the option's index, the integer's
/// offset from the lower bound, or the numeric value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// `probabilities` are given by `pchoice` alone; the options are `ordered` if they are numbers that rise or fall in a
    /// `Choice`.
    Choice {
        options: Vec<Expr>,
        probabilities: Option<Vec<f64>>,
        ordered: bool,
    },
    Randint {
        lo: i64,
        hi: i64,
    },
    Numeric(Numeric),
}

/// What a model sees of a label.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Axis {
    /// Coordinates with an order.
    Numeric(Numeric),
    /// Coordinates 0, 1, .. without one: their prior probabilities.
    Options(Vec<f64>),
}

/// A numeric kind: a distribution of z, then x = z or exp(z), then perhaps rounding to steps of `q`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Numeric {
    pub(super) shape: Shape,
    pub(super) log: bool,
    pub(super) q: Option<f64>,
    /// The value is written as an integer.
    pub(super) whole: bool,
    /// First and last value of the range-respecting kinds, whose steps start at the first. Without: Hyperopt's steps are
    /// multiples of `q`, and values may lie beyond the bounds.
    pub(super) range: Option<(f64, f64)>,
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

    /// Returns `value` as a proposal would have it.
    ///
    /// # Errors
    /// If the kind never proposes it: what it may be.
    pub(super) fn constant(&self, value: &Value) -> Result<Value, String> {
        let refused = |allowed: String| Err(format!("it must be {allowed}"));
        match self {
            Self::Choice { options, .. } => {
                let constants = || {
                    options.iter().filter_map(|option| match option {
                        Expr::Constant(constant) => Some(constant),
                        _ => None,
                    })
                };
                let found = constants().find(|constant| comparable(constant) == comparable(value));
                let list = || constants().map(Value::to_string).collect::<Vec<_>>().join(", ");
                found.cloned().map_or_else(|| refused(format!("one of its options without labels: {}", list())), Ok)
            }
            Self::Randint { lo, hi } => match value.as_f64() {
                Some(x) if x.fract() == 0.0 && (*lo as f64..*hi as f64).contains(&x) => Ok(Value::from(x as i64)),
                _ => refused(format!("an integer from {lo} to {}", hi - 1)),
            },
            Self::Numeric(numeric) => {
                let Some(x) = value.as_f64() else { return refused("a number".to_owned()) };
                let (lo, hi) = numeric.bounds();
                let (lo, hi) = (numeric.value(lo), numeric.value(hi));
                let nearest = numeric.q.map_or(x, |_| numeric.value(if numeric.log { libm::log(x) } else { x }));
                if x.is_finite() && (lo..=hi).contains(&x) && (nearest - x).abs() <= 1e-9 * x.abs() {
                    return Ok(if numeric.whole { Value::from(nearest as i64) } else { Value::from(nearest) });
                }
                let steps = numeric.q.map_or_else(String::new, |q| format!(" in steps of {q}"));
                refused(format!("from {lo} to {hi}{steps}"))
            }
        }
    }

    /// Returns the coordinate for what Hyperopt keeps of a label: an option's index, an integer, a number.
    pub(super) fn coordinate_of_hyperopt(&self, x: f64) -> f64 {
        match self {
            Self::Randint { lo, .. } => x - *lo as f64,
            _ => x,
        }
    }

    /// Returns whether the prior could have given the coordinate `x`, but for rounding.
    pub(super) fn contains(&self, x: f64) -> bool {
        match self {
            Self::Choice { options, .. } => x >= 0.0 && x < options.len() as f64 && x.fract() == 0.0,
            Self::Randint { lo, hi } => (0.0..(hi - lo) as f64).contains(&x),
            Self::Numeric(numeric) => {
                let (lo, hi) = numeric.bounds();
                let (lo, hi) = (numeric.value(lo), numeric.value(hi));
                let slack = 1e-9 * x.abs();
                (lo - slack..=hi + slack).contains(&x)
            }
        }
    }

    /// Returns some coordinate that the prior can give.
    pub(super) fn any(&self) -> f64 {
        match self {
            Self::Choice { .. } | Self::Randint { .. } => 0.0,
            Self::Numeric(numeric) => numeric.value(numeric.prior().0),
        }
    }

    /// Returns what a model that knows of order sees of the label.
    pub(super) fn axis(&self) -> Axis {
        match self {
            Self::Choice { options, ordered: true, .. } => {
                let last = options.len() as f64 - 1.0;
                let shape = Shape::Uniform { lo: -0.5, hi: last + 0.5 };
                Axis::Numeric(Numeric { shape, log: false, q: Some(1.0), whole: true, range: Some((0.0, last)) })
            }
            Self::Numeric(numeric) => Axis::Numeric(*numeric),
            _ => Axis::Options(self.probabilities().expect("these kinds have options")),
        }
    }

    /// Returns how many coordinates there are; nothing if that is without end.
    pub(super) fn count(&self) -> Option<u64> {
        match self {
            Self::Choice { options, .. } => Some(options.len() as u64),
            Self::Randint { lo, hi } => Some((hi - lo) as u64),
            Self::Numeric(numeric) => numeric.steps().map(|(_, n)| n),
        }
    }

    /// Returns the coordinate at `index` below [`count`](Self::count), in rising order.
    pub(super) fn nth(&self, index: u64) -> f64 {
        match self {
            Self::Numeric(numeric) => {
                let (first, _) = numeric.steps().expect("only what can be counted has an n-th");
                numeric.step(first + index as f64)
            }
            _ => index as f64,
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
            Self::Choice { options, probabilities: None, ordered } => {
                let name = if *ordered { "Choice" } else { "choice" };
                json!({ name: options.iter().map(|option| option.to_json(None)).collect::<Vec<_>>() })
            }
            Self::Choice { options, probabilities: Some(probabilities), .. } => {
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

    /// Returns x for a z: `exp` for the logarithmic kinds, then the nearest step, half to even. Hyperopt's kinds are never
    /// clipped, the others always.
    pub(super) fn value(&self, z: f64) -> f64 {
        let x = if self.log { libm::exp(z) } else { z };
        match (self.q, self.range) {
            (None, None) => x,
            (None, Some((lo, hi))) => x.clamp(lo, hi),
            (Some(q), None) => self.step((x / q).round_ties_even()),
            (Some(q), Some((lo, hi))) => self.step(((x - lo) / q).round_ties_even()).clamp(lo, hi),
        }
    }

    /// Returns the value of step `k`: k * q, or k steps from the range's first value.
    fn step(&self, k: f64) -> f64 {
        let q = self.q.expect("only kinds with steps are asked");
        match self.range {
            // Adding zero turns -0.0 into 0.0.
            None => k * q + 0.0,
            Some((lo, _)) => readable(lo + k * q),
        }
    }

    /// Returns the first step and how many there are, if the kind has steps and bounds.
    fn steps(&self) -> Option<(f64, u64)> {
        let (q, Shape::Uniform { lo, hi }) = (self.q?, self.shape) else { return None };
        if let Some((first, last)) = self.range {
            return Some((0.0, ((last - first) / q).round() as u64 + 1));
        }
        let (lo, hi) = if self.log { (libm::exp(lo), libm::exp(hi)) } else { (lo, hi) };
        // The upper bound itself is never drawn: where it would just round up, it does not.
        let above = hi / q;
        let last = if above.fract().abs() == 0.5 { above.floor() } else { above.round_ties_even() };
        let first = (lo / q).round_ties_even();
        Some((first, (last - first) as u64 + 1))
    }

    /// Returns the interval of z that gives the value x, for a kind with steps; it may be empty.
    pub(super) fn edges(&self, x: f64) -> Option<(f64, f64)> {
        /// What Hyperopt keeps arguments of logarithms above.
        const EPS: f64 = 1e-12;
        let q = self.q?;
        let (lo, hi) = self.bounds();
        let (lo, hi) = if self.log { (libm::exp(lo), libm::exp(hi)) } else { (lo, hi) };
        let z = |x: f64| if self.log { libm::log(x.max(EPS)) } else { x };
        Some((z((x - q / 2.0).max(lo)), z((x + q / 2.0).min(hi))))
    }

    fn to_json(self) -> Value {
        if let Some((lo, hi)) = self.range {
            let name = if self.whole { "IntRange" } else { "FloatRange" };
            let number = |x: f64| if self.whole { json!(x as i64) } else { json!(x) };
            let mut arguments = json!({ "lo": number(lo), "hi": number(hi) });
            match self.q {
                Some(q) if !self.whole || q != 1.0 => arguments["step"] = number(q),
                _ => {}
            }
            if self.log {
                arguments["log"] = json!(true);
            }
            return json!({ name: arguments });
        }
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

/// Returns the value with its numbers as floats: 3 and 3.0 are the same option.
pub(super) fn comparable(value: &Value) -> Value {
    match value {
        Value::Number(x) => x.as_f64().map_or_else(|| value.clone(), Value::from),
        Value::Array(items) => items.iter().map(comparable).collect(),
        Value::Object(items) => items.iter().map(|(key, value)| (key.clone(), comparable(value))).collect(),
        other => other.clone(),
    }
}

/// Returns the number of 15 digits nearest to `x`: 0.3 where sums of 0.1 give 0.30000000000000004.
fn readable(x: f64) -> f64 {
    let digits: f64 = format!("{x:.14e}").parse().expect("a number was just written");
    digits + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_round_half_to_even_and_know_no_negative_zero() {
        let shape = Shape::Uniform { lo: -9.0, hi: 9.0 };
        let value = |z, q| Numeric { shape, log: false, q: Some(q), whole: false, range: None }.value(z);
        assert_eq!([0.5, 1.5, 2.5, -0.5, -1.5].map(|z| value(z, 1.0)), [0.0, 2.0, 2.0, 0.0, -2.0]);
        assert_eq!([15.0, 45.0, 4.9].map(|z| value(z, 10.0)), [20.0, 40.0, 0.0]);
        assert!(value(-0.3, 1.0).is_sign_positive());
    }
}
