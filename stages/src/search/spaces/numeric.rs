//! Numeric kinds: distributions over numbers, on a linear or logarithmic scale, with or without steps.

use serde_json::{Value, json};

/// The least argument of a logarithm, as in Hyperopt.
const EPS: f64 = 1e-12;

/// A numeric kind. z is drawn from a distribution. The value x is z or exp(z), rounded to steps of `q` if there are steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Numeric {
    /// The distribution of z.
    pub(crate) shape: Shape,
    /// Whether x is exp(z).
    pub(crate) log: bool,
    /// The distance between steps, if there are steps.
    pub(crate) q: Option<f64>,
    /// Whether values are written as integers.
    pub(crate) whole: bool,
    /// The first and last value of an `IntRange` or `FloatRange`. Steps start at the first, and values are clipped to the range.
    /// Other kinds follow Hyperopt: steps are multiples of `q`, and values may be rounded past the bounds.
    pub(crate) range: Option<(f64, f64)>,
}

/// The distribution of z.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Shape {
    Uniform { lo: f64, hi: f64 },
    Normal { mu: f64, sigma: f64 },
}

impl Numeric {
    /// Returns the mean and the standard deviation of the prior component of a Parzen estimator over z.
    pub(crate) fn prior(&self) -> (f64, f64) {
        match self.shape {
            Shape::Uniform { lo, hi } => (0.5 * (lo + hi), hi - lo),
            Shape::Normal { mu, sigma } => (mu, sigma),
        }
    }

    /// Returns the bounds of z.
    pub(crate) fn bounds(&self) -> (f64, f64) {
        match self.shape {
            Shape::Uniform { lo, hi } => (lo, hi),
            Shape::Normal { .. } => (f64::NEG_INFINITY, f64::INFINITY),
        }
    }

    /// Returns the value x of z: exp(z) on a logarithmic scale, rounded to the nearest step, half to even. Values of a range are
    /// clipped, those of Hyperopt's kinds are not.
    pub(crate) fn value(&self, z: f64) -> f64 {
        let x = if self.log { libm::exp(z) } else { z };
        match (self.q, self.range) {
            (None, None) => x,
            (None, Some((lo, hi))) => x.clamp(lo, hi),
            (Some(q), None) => self.step((x / q).round_ties_even()),
            (Some(q), Some((lo, hi))) => self.step(((x - lo) / q).round_ties_even()).clamp(lo, hi),
        }
    }

    /// Returns the value of step `k`: k * q, or k steps from the range's first value.
    pub(crate) fn step(&self, k: f64) -> f64 {
        let q = self.q.expect("the kind has steps");
        match self.range {
            // Adding zero turns -0.0 into 0.0.
            None => k * q + 0.0,
            Some((lo, _)) => readable(lo + k * q),
        }
    }

    /// Returns the first step and the number of steps, for a kind with steps and bounds.
    pub(crate) fn steps(&self) -> Option<(f64, u64)> {
        let (q, Shape::Uniform { lo, hi }) = (self.q?, self.shape) else { return None };
        if let Some((first, last)) = self.range {
            return Some((0.0, (((last - first) / q).round() as u64).saturating_add(1)));
        }
        let (lo, hi) = if self.log { (libm::exp(lo), libm::exp(hi)) } else { (lo, hi) };
        // The upper bound is never drawn, so one that is halfway between two steps is rounded down.
        let above = hi / q;
        let last = if above.fract().abs() == 0.5 { above.floor() } else { above.round_ties_even() };
        let first = (lo / q).round_ties_even();
        Some((first, ((last - first) as u64).saturating_add(1)))
    }

    /// Returns z for an observed x. On a logarithmic scale, an x that was rounded to 0 or below the lower bound is raised first,
    /// so that it has a logarithm.
    pub(crate) fn z(&self, x: f64) -> f64 {
        match (self.log, self.q, self.shape) {
            (false, ..) => x,
            (true, None, _) => libm::log(x.max(f64::MIN_POSITIVE)),
            (true, Some(_), Shape::Uniform { lo, .. }) => libm::log(x.max(EPS.max(libm::exp(lo)))),
            (true, Some(_), Shape::Normal { .. }) => libm::log(x.max(EPS)),
        }
    }

    /// Returns the interval of z that is rounded to the value x, or `None` if there are no steps. It may be empty.
    pub(crate) fn edges(&self, x: f64) -> Option<(f64, f64)> {
        let q = self.q?;
        let (lo, hi) = self.bounds();
        let (lo, hi) = if self.log { (libm::exp(lo), libm::exp(hi)) } else { (lo, hi) };
        let z = |x: f64| if self.log { libm::log(x.max(EPS)) } else { x };
        Some((z((x - q / 2.0).max(lo)), z((x + q / 2.0).min(hi))))
    }

    /// Returns the kind as canonical JSON.
    pub(crate) fn to_json(self) -> Value {
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

/// Returns `x` rounded to 15 digits: 0.3 instead of 0.30000000000000004.
fn readable(x: f64) -> f64 {
    let digits: f64 = format!("{x:.14e}").parse().expect("a formatted number parses");
    digits + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_round_half_to_even_and_zero_is_positive() {
        let shape = Shape::Uniform { lo: -9.0, hi: 9.0 };
        let value = |z, q| Numeric { shape, log: false, q: Some(q), whole: false, range: None }.value(z);
        assert_eq!([0.5, 1.5, 2.5, -0.5, -1.5].map(|z| value(z, 1.0)), [0.0, 2.0, 2.0, 0.0, -2.0]);
        assert_eq!([15.0, 45.0, 4.9].map(|z| value(z, 10.0)), [20.0, 40.0, 0.0]);
        assert!(value(-0.3, 1.0).is_sign_positive());
    }
}
