//! What proposals may not be.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{
    kind::{Kind, comparable},
    space::{Expr, Space, SpaceProblem},
};
use crate::{
    choices,
    params::{Domain, Read},
    problem::{Path, Problem},
};

choices! {
    /// Something that holds of every proposal. A label that is not active is not compared.
    pub enum Constraint {
        /// Not all of these labels have their value at once; a list is any of its values.
        Forbid(BTreeMap<String, Value>),
        /// The sum of the labels, each times its factor, is at most the bound.
        AtMost(Weighted),
        /// The labels' values do not fall.
        Ordered(Vec<String>),
    }
}

/// A factor for each of some labels, and the bound of their sum.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Weighted(pub BTreeMap<String, f64>, pub f64);

impl Read for Weighted {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        let Some([factors, bound]) = value.as_array().map(Vec::as_slice) else {
            problems.push(Problem::found(at, value).expected(Self::expected(domain)));
            return None;
        };
        let factors = Read::read(factors, domain, &at.index(0), problems);
        Some(Self(factors?, Read::read(bound, domain, &at.index(1), problems)?))
    }

    fn expected(_: &Domain) -> String {
        "factors of labels and a bound: `({\"label\": 1}, 5)`".to_owned()
    }
}

impl Constraint {
    /// Returns whether it holds of a proposal with these labels.
    pub(super) fn holds(&self, labels: &BTreeMap<String, Value>) -> bool {
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

    /// Returns what is wrong with it in `space`; `path` is within its JSON.
    pub fn validate(&self, space: &Space) -> Vec<SpaceProblem> {
        let axes: BTreeMap<&str, &Kind> = space.axes().into_iter().collect();
        let (labels, numeric): (Vec<(&String, String)>, bool) = match self {
            Self::Forbid(values) => (values.keys().map(|label| (label, format!("Forbid.{label}"))).collect(), false),
            Self::AtMost(Weighted(factors, _)) => {
                (factors.keys().map(|label| (label, format!("AtMost[0].{label}"))).collect(), true)
            }
            Self::Ordered(order) => {
                (order.iter().enumerate().map(|(i, label)| (label, format!("Ordered[{i}]"))).collect(), true)
            }
        };
        let mut problems = Vec::new();
        for (label, path) in labels {
            let mut problem = |message: String, hint: Option<String>| {
                problems.push(SpaceProblem { path: path.clone(), message, hint });
            };
            match axes.get(label.as_str()) {
                None => {
                    let known: Vec<&str> = axes.keys().copied().collect();
                    let message = format!("the space has no label `{label}`");
                    problem(message, Some(format!("its labels are {}", known.join(", "))));
                }
                Some(kind) if numeric && !is_numeric(kind) => {
                    problem(format!("the values of label `{label}` are not all numbers"), None);
                }
                Some(_) => {}
            }
        }
        problems
    }
}

fn is_numeric(kind: &Kind) -> bool {
    let Kind::Choice { options, .. } = kind else { return true };
    options.iter().all(|option| match option {
        Expr::Constant(value) => value.is_number(),
        Expr::Labelled { kind, .. } => is_numeric(kind),
        Expr::Object(_) | Expr::Array(_) => false,
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
    fn constraints_hold_or_not() {
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
