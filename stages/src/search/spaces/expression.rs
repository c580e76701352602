//! Expressions: the parts of a space, and the coordinates that samplers draw and model.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::numeric::{Numeric, Shape};

/// A part of a space.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    /// A value without expressions.
    Constant(Value),
    /// An expression with its label: a hyperparameter.
    Labelled { label: String, kind: Kind },
    /// An object with expressions somewhere in it.
    Object(BTreeMap<String, Expression>),
    /// An array with expressions somewhere in it.
    Array(Vec<Expression>),
}

/// The values that a label may have. Samplers draw and model its *coordinate*: the index of an option, the offset of an integer
/// from the lower bound, or the number itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// One of several options. A `pchoice` has `probabilities`. A `Choice` of ascending or descending numbers is `ordered`.
    Choice { options: Vec<Expression>, probabilities: Option<Vec<f64>>, ordered: bool },
    /// An integer from `lo` to below `hi`, modelled without order.
    Randint { lo: i64, hi: i64 },
    /// A number.
    Numeric(Numeric),
}

/// How a sampler models a label.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Axis {
    /// Ordered coordinates.
    Numeric(Numeric),
    /// Unordered coordinates 0, 1, .. with their prior probabilities.
    Options(Vec<f64>),
}

impl Expression {
    /// Returns the expression's value. Calls `choose` for the coordinate of each active label, and adds the labels' values to
    /// `labels`.
    pub(crate) fn settle(
        &self,
        choose: &mut dyn FnMut(&str, &Kind) -> f64,
        labels: &mut BTreeMap<String, Value>,
    ) -> Value {
        match self {
            Self::Constant(value) => value.clone(),
            Self::Object(items) => items.iter().map(|(key, expr)| (key.clone(), expr.settle(choose, labels))).collect(),
            Self::Array(items) => items.iter().map(|expr| expr.settle(choose, labels)).collect(),
            Self::Labelled { label, kind } => {
                let coordinate = choose(label, kind);
                let value = match kind {
                    Kind::Choice { options, .. } => options[coordinate as usize].settle(choose, labels),
                    Kind::Randint { lo, .. } => Value::from(lo + coordinate as i64),
                    Kind::Numeric(numeric) if numeric.whole => Value::from(coordinate as i64),
                    // `exp` can overflow to infinity, which JSON does not have.
                    Kind::Numeric(_) => Value::from(coordinate.clamp(f64::MIN, f64::MAX)),
                };
                labels.insert(label.clone(), value.clone());
                value
            }
        }
    }

    /// Calls `choose` for the labels that [`settle`](Self::settle) would ask for.
    pub(crate) fn walk(&self, choose: &mut dyn FnMut(&str, &Kind) -> f64) {
        match self {
            Self::Constant(_) => {}
            Self::Object(items) => items.values().for_each(|expr| expr.walk(choose)),
            Self::Array(items) => items.iter().for_each(|expr| expr.walk(choose)),
            Self::Labelled { label, kind } => {
                let coordinate = choose(label, kind);
                if let Kind::Choice { options, .. } = kind {
                    options[coordinate as usize].walk(choose);
                }
            }
        }
    }

    /// Returns the expression with each label in `values` replaced by its value.
    pub(crate) fn with_fixed(&self, values: &BTreeMap<&str, Value>) -> Self {
        match self {
            Self::Constant(value) => Self::Constant(value.clone()),
            Self::Object(items) => {
                Self::Object(items.iter().map(|(key, expr)| (key.clone(), expr.with_fixed(values))).collect())
            }
            Self::Array(items) => Self::Array(items.iter().map(|expr| expr.with_fixed(values)).collect()),
            Self::Labelled { label, kind } => match (values.get(label.as_str()), kind) {
                (Some(value), _) => Self::Constant(value.clone()),
                (None, Kind::Choice { options, probabilities, ordered }) => {
                    let options = options.iter().map(|option| option.with_fixed(values)).collect();
                    let kind = Kind::Choice { options, probabilities: probabilities.clone(), ordered: *ordered };
                    Self::Labelled { label: label.clone(), kind }
                }
                (None, kind) => Self::Labelled { label: label.clone(), kind: kind.clone() },
            },
        }
    }

    /// Adds the labels in this expression with their kinds, each choice before the labels of its options.
    pub(crate) fn collect_axes<'a>(&'a self, axes: &mut Vec<(&'a str, &'a Kind)>) {
        match self {
            Self::Constant(_) => {}
            Self::Object(items) => items.values().for_each(|expr| expr.collect_axes(axes)),
            Self::Array(items) => items.iter().for_each(|expr| expr.collect_axes(axes)),
            Self::Labelled { label, kind } => {
                axes.push((label, kind));
                if let Kind::Choice { options, .. } = kind {
                    options.iter().for_each(|expr| expr.collect_axes(axes));
                }
            }
        }
    }

    /// Adds the labels in this expression to `labels`. Labels inside the options of choices are added only if `conditional`.
    pub(crate) fn collect_labels<'a>(&'a self, conditional: bool, labels: &mut BTreeSet<&'a str>) {
        match self {
            Self::Constant(_) => {}
            Self::Object(items) => items.values().for_each(|expr| expr.collect_labels(conditional, labels)),
            Self::Array(items) => items.iter().for_each(|expr| expr.collect_labels(conditional, labels)),
            Self::Labelled { label, kind } => {
                labels.insert(label);
                if let (true, Kind::Choice { options, .. }) = (conditional, kind) {
                    options.iter().for_each(|expr| expr.collect_labels(conditional, labels));
                }
            }
        }
    }

    /// Returns whether this option of a choice was chosen in a trial with these `labels`. `value` is the value of the choice. A
    /// constant was chosen if it equals `value`. An option with labels was chosen if its labels are active: labels are unique.
    fn was_chosen(&self, value: &Value, labels: &BTreeMap<String, Value>) -> bool {
        match self {
            Self::Constant(constant) => constant == value,
            _ => self.is_active(labels),
        }
    }

    /// Returns whether a trial has all labels of this expression, but for those inside the options of choices.
    fn is_active(&self, labels: &BTreeMap<String, Value>) -> bool {
        match self {
            Self::Constant(_) => true,
            Self::Object(items) => items.values().all(|expr| expr.is_active(labels)),
            Self::Array(items) => items.iter().all(|expr| expr.is_active(labels)),
            Self::Labelled { label, .. } => labels.contains_key(label),
        }
    }

    /// Returns the expression as canonical JSON. Under `key`, a label that equals the key is left out.
    pub(crate) fn to_json(&self, key: Option<&str>) -> Value {
        match self {
            Self::Constant(value) => value.clone(),
            Self::Object(items) => items.iter().map(|(key, expr)| (key.clone(), expr.to_json(Some(key)))).collect(),
            Self::Array(items) => items.iter().map(|expr| expr.to_json(None)).collect(),
            Self::Labelled { label, kind } if key == Some(label) => kind.to_json(),
            Self::Labelled { label, kind } => json!({ "label": [label, kind.to_json()] }),
        }
    }
}

impl Kind {
    /// Returns the coordinate of `label` in a trial with these `labels`, or `None` if it is not active there.
    pub(crate) fn coordinate(&self, label: &str, labels: &BTreeMap<String, Value>) -> Option<f64> {
        let value = labels.get(label)?;
        match self {
            Self::Choice { options, .. } => {
                // Options with labels come first, because the value of a nested expression may equal a constant.
                let chosen = |constant: bool| {
                    options.iter().position(|option| {
                        matches!(option, Expression::Constant(_)) == constant && option.was_chosen(value, labels)
                    })
                };
                chosen(false).or_else(|| chosen(true)).map(|index| index as f64)
            }
            Self::Randint { lo, hi } => value.as_i64().filter(|x| (lo..hi).contains(&x)).map(|x| (x - lo) as f64),
            Self::Numeric(_) => value.as_f64(),
        }
    }

    /// Returns `value` as a proposal would have it. For floating-point kinds, 250 becomes 250.0.
    ///
    /// # Errors
    /// If the kind never proposes the value. The message says which values it proposes.
    pub(crate) fn constant(&self, value: &Value) -> Result<Value, String> {
        let refused = |allowed: String| Err(format!("it must be {allowed}"));
        match self {
            Self::Choice { options, .. } => {
                let constants = || {
                    options.iter().filter_map(|option| match option {
                        Expression::Constant(constant) => Some(constant),
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

    /// Returns which values the kind has, if it never has `value`.
    pub(crate) fn never(&self, value: &Value) -> Option<String> {
        let Err(allowed) = self.constant(value) else { return None };
        let Self::Choice { options, .. } = self else { return Some(allowed) };
        let may_be = |option: &Expression| match option {
            Expression::Constant(_) => false,
            Expression::Labelled { kind, .. } => kind.never(value).is_none(),
            // Which values it has depends on several labels.
            Expression::Object(_) | Expression::Array(_) => true,
        };
        (!options.iter().any(may_be)).then_some(allowed)
    }

    /// Returns the least and the greatest value, if all values are numbers. They are infinite for a kind without bounds.
    pub(super) fn outermost(&self) -> Option<(f64, f64)> {
        match self {
            Self::Choice { options, .. } => {
                let range = |option: &Expression| match option {
                    Expression::Constant(value) => value.as_f64().map(|x| (x, x)),
                    Expression::Labelled { kind, .. } => kind.outermost(),
                    Expression::Object(_) | Expression::Array(_) => None,
                };
                let ranges = options.iter().map(range).collect::<Option<Vec<_>>>()?;
                ranges.into_iter().reduce(|(a, b), (c, d)| (a.min(c), b.max(d)))
            }
            Self::Randint { lo, hi } => Some((*lo as f64, (*hi - 1) as f64)),
            Self::Numeric(numeric) => {
                let (lo, hi) = numeric.bounds();
                Some((numeric.value(lo), numeric.value(hi)))
            }
        }
    }

    /// Returns the coordinate for the number that Hyperopt records for a label: the index of an option, an integer or a number.
    pub(crate) fn coordinate_of_hyperopt(&self, x: f64) -> f64 {
        match self {
            Self::Randint { lo, .. } => x - *lo as f64,
            _ => x,
        }
    }

    /// Returns whether the prior can draw the coordinate `x`, up to rounding.
    pub(crate) fn contains(&self, x: f64) -> bool {
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

    /// Returns some coordinate that the prior can draw.
    pub(crate) fn any(&self) -> f64 {
        match self {
            Self::Choice { .. } | Self::Randint { .. } => 0.0,
            Self::Numeric(numeric) => numeric.value(numeric.prior().0),
        }
    }

    /// Returns the axis for models that use the order of values.
    pub(crate) fn axis(&self) -> Axis {
        match self {
            Self::Choice { options, ordered: true, .. } => {
                let last = options.len() as f64 - 1.0;
                let shape = Shape::Uniform { lo: -0.5, hi: last + 0.5 };
                Axis::Numeric(Numeric { shape, log: false, q: Some(1.0), whole: true, range: Some((0.0, last)) })
            }
            Self::Numeric(numeric) => Axis::Numeric(*numeric),
            _ => Axis::Options(self.probabilities().expect("only numeric kinds have no probabilities")),
        }
    }

    /// Returns the number of coordinates, or `None` if it is infinite.
    pub(crate) fn count(&self) -> Option<u64> {
        match self {
            Self::Choice { options, .. } => Some(options.len() as u64),
            Self::Randint { lo, hi } => Some((hi - lo) as u64),
            Self::Numeric(numeric) => numeric.steps().map(|(_, n)| n),
        }
    }

    /// Returns coordinate number `index` in ascending order. `index` must be below [`count`](Self::count).
    pub(crate) fn nth(&self, index: u64) -> f64 {
        match self {
            Self::Numeric(numeric) => {
                let (first, _) = numeric.steps().expect("the kind can be counted");
                numeric.step(first + index as f64)
            }
            _ => index as f64,
        }
    }

    /// Returns the prior probabilities of the coordinates 0, 1, .., or `None` for a numeric kind.
    pub(crate) fn probabilities(&self) -> Option<Vec<f64>> {
        let equal = |n: usize| vec![1.0 / n as f64; n];
        match self {
            Self::Choice { probabilities: Some(probabilities), .. } => Some(probabilities.clone()),
            Self::Choice { options, .. } => Some(equal(options.len())),
            Self::Randint { lo, hi } => Some(equal((hi - lo) as usize)),
            Self::Numeric(_) => None,
        }
    }

    /// Returns the kind as canonical JSON.
    pub(crate) fn to_json(&self) -> Value {
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

/// Returns the value with all numbers converted to floating-point numbers, so that 3 equals 3.0.
pub(crate) fn comparable(value: &Value) -> Value {
    match value {
        Value::Number(x) => x.as_f64().map_or_else(|| value.clone(), Value::from),
        Value::Array(items) => items.iter().map(comparable).collect(),
        Value::Object(items) => items.iter().map(|(key, value)| (key.clone(), comparable(value))).collect(),
        other => other.clone(),
    }
}
