//! An axis for the values of a column: a linear or logarithmic scale for numbers, or a list of levels. A hyperparameter that can
//! be `None` has a separate position for it below its numbers.

use serde_json::Value;

use crate::text::{cell, significant};

/// An axis for a column. Positions along it go from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ColumnAxis {
    scale: Scale,
    /// Whether `none` has a position at the low end.
    pub(crate) has_none: bool,
    /// Positions with their labels.
    pub(crate) ticks: Vec<(f64, String)>,
}

/// How the scale of an axis of numbers is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scaling {
    Linear,
    /// Logarithmic, unless a value is not above 0.
    Log,
    /// Logarithmic if the values span decades.
    Guess,
}

#[derive(Debug, Clone, PartialEq)]
enum Scale {
    Linear {
        low: f64,
        high: f64,
    },
    /// The natural logarithms of the ends.
    Log {
        low: f64,
        high: f64,
    },
    Levels(Vec<String>),
}

/// The free space at each end.
const MARGIN: f64 = 0.04;
/// The position of `none`.
const NONE: f64 = 0.05;
/// The position of the lowest number on an axis with `none`.
const AFTER_NONE: f64 = 0.17;

/// A scale that is guessed is logarithmic if the largest value is at least `LOG_FROM` times the smallest, and the median is at most
/// `LOG_MEDIAN` times the largest. The ratio alone is not enough, because uniform values can come close to 0, too.
const LOG_FROM: f64 = 50.0;
const LOG_MEDIAN: f64 = 0.25;

impl ColumnAxis {
    /// Returns an axis for these values with about `n` ticks, or None if there are no values.
    pub(crate) fn new<'a>(values: impl Iterator<Item = &'a Value>, n: f64, scaling: Scaling) -> Option<Self> {
        let values: Vec<&Value> = values.collect();
        let has_none = values.iter().any(|value| value.is_null());
        let numbers: Vec<f64> = values.iter().filter_map(|value| value.as_f64()).collect();
        if numbers.len() + values.iter().filter(|value| value.is_null()).count() < values.len() || numbers.is_empty() {
            return Self::levels(&values);
        }
        let mut sorted = numbers;
        sorted.sort_by(f64::total_cmp);
        let (low, high, median) = (sorted[0], sorted[sorted.len() - 1], sorted[sorted.len() / 2]);
        let is_log = match scaling {
            Scaling::Linear => false,
            Scaling::Log => low > 0.0,
            Scaling::Guess => low > 0.0 && high / low >= LOG_FROM && median <= LOG_MEDIAN * high,
        };
        let scale = if is_log {
            let margin = if high > low { 0.0 } else { 0.5 };
            Scale::Log { low: low.ln() - margin, high: high.ln() + margin }
        } else {
            let margin = if high > low { 0.0 } else { margin_of(low) };
            Scale::Linear { low: low - margin, high: high + margin }
        };
        let mut axis = Self { scale, has_none, ticks: Vec::new() };
        let mut distinct = sorted;
        distinct.dedup();
        let ticks = if distinct.len() <= n as usize { distinct } else { axis.round_ticks(n) };
        axis.ticks = ticks.into_iter().map(|tick| (axis.number(tick), significant(tick, 4))).collect();
        axis.thin_out(n);
        if has_none {
            axis.ticks.insert(0, (NONE, "none".to_owned()));
        }
        Some(axis)
    }

    fn levels(values: &[&Value]) -> Option<Self> {
        let mut levels: Vec<String> = Vec::new();
        let mut sorted: Vec<&Value> = values.to_vec();
        // `none` first, then numbers by size, then strings.
        sorted.sort_by(|a, b| match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => (!a.is_null(), a.as_f64().is_none(), cell(a)).cmp(&(!b.is_null(), b.as_f64().is_none(), cell(b))),
        });
        sorted.into_iter().map(cell).for_each(|level| {
            if levels.last() != Some(&level) {
                levels.push(level);
            }
        });
        let n = levels.len() as f64;
        let ticks = levels.iter().enumerate().map(|(i, level)| ((i as f64 + 0.5) / n, level.clone())).collect();
        (!levels.is_empty()).then_some(Self { scale: Scale::Levels(levels), has_none: false, ticks })
    }

    /// Returns the position of a value, or None if the axis does not contain it.
    pub(crate) fn at(&self, value: &Value) -> Option<f64> {
        match (&self.scale, value) {
            (Scale::Levels(levels), value) => {
                let level = cell(value);
                let at = levels.iter().position(|known| *known == level)?;
                Some((at as f64 + 0.5) / levels.len() as f64)
            }
            (_, Value::Null) => self.has_none.then_some(NONE),
            (_, value) => value.as_f64().map(|number| self.number(number)),
        }
    }

    /// Returns the levels if this is an axis of levels.
    pub(crate) fn level_names(&self) -> Option<&[String]> {
        match &self.scale {
            Scale::Levels(levels) => Some(levels),
            _ => None,
        }
    }

    /// Returns the number at a position, or None on an axis of levels.
    pub(crate) fn value_at(&self, position: f64) -> Option<f64> {
        let start = if self.has_none { AFTER_NONE } else { MARGIN };
        let share = (position - start) / (1.0 - MARGIN - start);
        match self.scale {
            Scale::Linear { low, high } => Some(low + share * (high - low)),
            Scale::Log { low, high } => Some((low + share * (high - low)).exp()),
            Scale::Levels(_) => None,
        }
    }

    /// Returns how far a number is from the low end to the high end of the scale, from 0 to 1.
    pub(crate) fn share(&self, number: f64) -> f64 {
        match self.scale {
            Scale::Linear { low, high } => (number - low) / (high - low),
            Scale::Log { low, high } => (number.ln() - low) / (high - low),
            Scale::Levels(_) => 0.5,
        }
    }

    /// Returns the position of a number.
    fn number(&self, number: f64) -> f64 {
        let start = if self.has_none { AFTER_NONE } else { MARGIN };
        start + self.share(number) * (1.0 - MARGIN - start)
    }

    fn round_ticks(&self, n: f64) -> Vec<f64> {
        match self.scale {
            Scale::Linear { low, high } => {
                let step = round_step((high - low) / n);
                let first = (low / step).ceil() as i64;
                let last = (high / step).floor() as i64;
                (first..=last).map(|i| i as f64 * step).collect()
            }
            Scale::Log { low, high } => {
                let decades =
                    (low / std::f64::consts::LN_10).floor() as i32..=(high / std::f64::consts::LN_10).ceil() as i32;
                let steps = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|step| step * 10f64.powi(decade)));
                let inside: Vec<f64> = steps.filter(|tick| (low - 1e-9..=high + 1e-9).contains(&tick.ln())).collect();
                let decades: Vec<f64> =
                    inside.iter().copied().filter(|tick| (tick.log10() - tick.log10().round()).abs() < 1e-9).collect();
                if inside.len() < 3 {
                    // Less than a decade. Positions are logarithmic nevertheless.
                    let (low, high) = (low.exp(), high.exp());
                    return Self { scale: Scale::Linear { low, high }, has_none: false, ticks: Vec::new() }
                        .round_ticks(1.5 * n);
                }
                if inside.len() as f64 <= n || decades.len() < 2 { inside } else { decades }
            }
            Scale::Levels(_) => Vec::new(),
        }
    }

    /// Removes ticks that are too close to the one before.
    fn thin_out(&mut self, n: f64) {
        let mut last = f64::NEG_INFINITY;
        self.ticks.retain(|(position, _)| {
            let stays = position - last >= 0.45 / n;
            if stays {
                last = *position;
            }
            stays
        });
    }
}

/// Returns how far an axis reaches below and above its only value.
pub(super) fn margin_of(value: f64) -> f64 {
    if value == 0.0 { 0.5 } else { value.abs() / 2.0 }
}

/// Returns the smallest number of the form 1, 2 or 5 times a power of 10 that is at least `step`.
pub(super) fn round_step(step: f64) -> f64 {
    let mut power = 1e-12;
    while power * 10.0 <= step {
        power *= 10.0;
    }
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|round| *round >= step * 0.999).unwrap_or(step)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(values: &[Value], expected: &[&str]) -> ColumnAxis {
        let axis = ColumnAxis::new(values.iter(), 5.0, Scaling::Guess).unwrap();
        assert_eq!(axis.ticks.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), expected);
        assert!(axis.ticks.is_sorted_by(|a, b| a.0 < b.0));
        axis
    }

    #[test]
    fn few_numbers_are_all_ticks_and_many_have_round_ticks() {
        check(&[json!(3), json!(2), json!(3.0)], &["2", "3"]);
        let many: Vec<_> = (0..40).map(|i| json!(0.13 + 0.01 * f64::from(i))).collect();
        check(&many, &["0.2", "0.3", "0.4", "0.5"]);
        check(&[json!(7)], &["7"]);
    }

    #[test]
    fn values_that_span_decades_have_a_logarithmic_axis() {
        let axis = check(&[json!(1e-4), json!(5e-4), json!(1e-3), json!(1e-2)], &["0.0001", "0.0005", "0.001", "0.01"]);
        let middle = axis.at(&json!(1e-3)).unwrap();
        assert!((middle - 0.5).abs() < 1e-9, "{middle}");
        assert!((axis.value_at(middle).unwrap() - 1e-3).abs() < 1e-12);
        let many: Vec<_> = (0..40).map(|i| json!(10f64.powf(-5.0 + f64::from(i) / 10.0))).collect();
        check(&many, &["0.00001", "0.0001", "0.001", "0.01"]);
        let uniform: Vec<_> = (1..=100).map(|i| json!(f64::from(i) / 100.0)).collect();
        check(&uniform, &["0.2", "0.4", "0.6", "0.8", "1"]);
    }

    #[test]
    fn a_declared_scale_is_kept_whatever_the_values() {
        let texts = |values: &[Value], scaling| {
            let axis = ColumnAxis::new(values.iter(), 5.0, scaling).unwrap();
            axis.ticks.into_iter().map(|(_, text)| text).collect::<Vec<_>>()
        };
        // A narrow logarithmic range, as a search that has found its place leaves it.
        let narrow: Vec<_> = [1.2e-4, 3e-4, 8e-4, 1.1e-3, 2.2e-3, 4.9e-3].map(Value::from).to_vec();
        assert_eq!(texts(&narrow, Scaling::Log), ["0.0002", "0.0005", "0.001", "0.002"]);
        let axis = ColumnAxis::new(narrow.iter(), 5.0, Scaling::Log).unwrap();
        let step = |low: f64, high: f64| axis.at(&json!(high)).unwrap() - axis.at(&json!(low)).unwrap();
        assert!((step(1e-3, 2e-3) - step(2e-3, 4e-3)).abs() < 1e-9);
        // Less than a decade, and a linear range over decades.
        let close: Vec<_> = (0..9).map(|i| json!(0.61 * 1.13_f64.powi(i))).collect();
        assert_eq!(texts(&close, Scaling::Log), ["0.8", "1", "1.2", "1.4", "1.6"]);
        let decades: Vec<_> = (0..40).map(|i| json!(10f64.powf(-5.0 + f64::from(i) / 10.0))).collect();
        assert_eq!(texts(&decades, Scaling::Linear), ["0.02", "0.04", "0.06"]);
        assert_eq!(texts(&[json!(0.01), json!(0.01)], Scaling::Log), ["0.01"]);
        // 0 has no logarithm.
        assert_eq!(texts(&[json!(0), json!(1), json!(40)], Scaling::Log), ["0", "40"]);
    }

    #[test]
    fn strings_are_levels_and_none_has_its_own_position() {
        let axis = check(&[json!("relu"), json!("elu"), json!("relu")], &["elu", "relu"]);
        assert_eq!((axis.at(&json!("elu")), axis.at(&json!("selu"))), (Some(0.25), None));
        check(&[json!(false), json!(true)], &["false", "true"]);
        check(&[json!("max"), json!(2), json!(null)], &["none", "2", "max"]);
        let axis = check(&[json!(null), json!(3), json!(4)], &["none", "3", "4"]);
        assert!(axis.at(&Value::Null).unwrap() < axis.at(&json!(3)).unwrap());
        assert!(ColumnAxis::new([].into_iter(), 5.0, Scaling::Guess).is_none());
    }
}
