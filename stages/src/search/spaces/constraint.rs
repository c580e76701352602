//! Constraints on proposals.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{
    expression::{Expression, Kind, comparable},
    space::Space,
};
use crate::{
    choices,
    params::{Domain, Read},
    problem::{Path, Problem},
};

choices! {
    /// A condition that every proposal must meet. Labels that are not active are ignored.
    pub enum Constraint {
        /// The labels must not all have these values at once. A list means any of its values.
        Forbid(BTreeMap<String, Value>),
        /// The sum of the labels' values, each times its factor, must be at most the bound.
        AtMost(Weighted),
        /// The value of each label must be at least the value of the label before it.
        Ordered(Vec<String>),
    }
}

/// The factors of some labels, and the bound of their weighted sum.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Weighted(pub BTreeMap<String, f64>, pub f64);

impl Read for Weighted {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        let Some([factors, bound]) = value.as_array().map(Vec::as_slice) else {
            problems.push(Problem::found(at, value).expected(Self::expected(domain)));
            return None;
        };
        let factors = Read::read(factors, domain, &at.index(0), problems);
        let bound = Read::read(bound, domain, &at.index(1), problems);
        Some(Self(factors?, bound?))
    }

    fn expected(_: &Domain) -> String {
        "factors of labels and a bound: `({\"label\": 1}, 5)`".to_owned()
    }
}

impl Constraint {
    /// Returns whether a proposal with these labels meets the constraint.
    pub(crate) fn holds(&self, labels: &BTreeMap<String, Value>) -> bool {
        let number = |label: &String| labels.get(label).and_then(Value::as_f64);
        match self {
            Self::Forbid(values) => !values.iter().all(|(label, value)| {
                let is = |found: &Value, value: &Value| comparable(found) == comparable(value);
                labels.get(label).is_some_and(|found| match value {
                    Value::Array(any) => any.iter().any(|value| is(found, value)),
                    value => is(found, value),
                })
            }),
            Self::AtMost(Weighted(factors, bound)) => {
                let terms = factors.iter().filter_map(|(label, factor)| Some(factor * number(label)?));
                terms.sum::<f64>() <= *bound
            }
            Self::Ordered(order) => order.iter().filter_map(number).is_sorted(),
        }
    }

    /// Returns the problems of the constraint if it is used with `space`. Paths start at the constraint.
    pub fn validate(&self, space: &Space) -> Vec<Problem> {
        let axes: BTreeMap<&str, &Kind> = space.axes().into_iter().collect();
        let at = |variant: &str| Path::here().name(variant);
        let (labels, must_be_numeric): (Vec<(&String, Path)>, bool) = match self {
            Self::Forbid(values) => (values.keys().map(|label| (label, at("Forbid").name(label))).collect(), false),
            Self::AtMost(Weighted(factors, _)) => {
                (factors.keys().map(|label| (label, at("AtMost").index(0).name(label))).collect(), true)
            }
            Self::Ordered(order) => {
                (order.iter().enumerate().map(|(i, label)| (label, at("Ordered").index(i))).collect(), true)
            }
        };
        let problem = |(label, at): (&String, Path)| match axes.get(label.as_str()) {
            None => Some(space.no_label(at, label)),
            Some(kind) if must_be_numeric && !is_numeric(kind) => {
                Some(Problem::new(at, format!("the values of label `{label}` are not all numbers")))
            }
            Some(_) => None,
        };
        labels.into_iter().filter_map(problem).collect()
    }
}

/// Returns whether all values of a label are numbers.
fn is_numeric(kind: &Kind) -> bool {
    let Kind::Choice { options, .. } = kind else { return true };
    options.iter().all(|option| match option {
        Expression::Constant(value) => value.is_number(),
        Expression::Labelled { kind, .. } => is_numeric(kind),
        Expression::Object(_) | Expression::Array(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(constraint: Value, labels: Value, holds: bool) {
        let constraint: Constraint = serde_json::from_value(constraint).unwrap();
        assert_eq!(constraint.holds(&serde_json::from_value(labels).unwrap()), holds, "{constraint:?}");
    }

    #[test]
    fn constraints_hold_for_some_labels_and_not_for_others() {
        let forbid = json!({"Forbid": {"a": "sgd", "n": [1, 2]}});
        check(forbid.clone(), json!({"a": "sgd", "n": 2.0}), false);
        check(forbid.clone(), json!({"a": "sgd", "n": 3}), true);
        check(forbid, json!({"a": "sgd"}), true);
        let at_most = json!({"AtMost": [{"a": 1, "b": 2}, 5]});
        check(at_most.clone(), json!({"a": 1, "b": 2}), true);
        check(at_most.clone(), json!({"a": 1.5, "b": 2}), false);
        check(at_most, json!({"a": 5}), true);
        check(json!({"Ordered": ["a", "b", "c"]}), json!({"a": 1, "c": 1.0}), true);
        check(json!({"Ordered": ["a", "b", "c"]}), json!({"a": 1, "b": 3, "c": 2}), false);
    }
}
