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

    /// Returns constraints on the other labels that together mean the same, if some labels have these values in every proposal.
    #[must_use]
    pub fn with_fixed(&self, fixed: &BTreeMap<String, Value>) -> Vec<Self> {
        let number = |label: &String| fixed.get(label).and_then(Value::as_f64);
        match self {
            Self::Forbid(values) => {
                let of_fixed = values.iter().filter(|(label, _)| fixed.contains_key(*label));
                let met = |(label, value): (&String, &Value)| {
                    let alone = Self::Forbid([(label.clone(), value.clone())].into());
                    !alone.holds(fixed)
                };
                // It holds in any case if one of the fixed values is not forbidden.
                if !of_fixed.into_iter().all(met) {
                    return Vec::new();
                }
                let others = values.iter().filter(|(label, _)| !fixed.contains_key(*label));
                vec![Self::Forbid(others.map(|(label, value)| (label.clone(), value.clone())).collect())]
            }
            Self::AtMost(Weighted(factors, bound)) => {
                let known: f64 = factors.iter().filter_map(|(label, factor)| Some(factor * number(label)?)).sum();
                let others = factors.iter().filter(|(label, _)| !fixed.contains_key(*label));
                let others = others.map(|(label, factor)| (label.clone(), *factor)).collect();
                vec![Self::AtMost(Weighted(others, bound - known))]
            }
            Self::Ordered(order) => {
                let others = order.iter().filter(|label| !fixed.contains_key(*label)).cloned().collect();
                let mut all = vec![Self::Ordered(others)];
                for (at, value) in order.iter().enumerate().filter_map(|(at, label)| Some((at, number(label)?))) {
                    for (other, label) in order.iter().enumerate() {
                        let (factor, bound) = if other < at { (1.0, value) } else { (-1.0, -value) };
                        all.push(match number(label) {
                            Some(x) => Self::AtMost(Weighted(BTreeMap::new(), bound - factor * x)),
                            None => Self::AtMost(Weighted([(label.clone(), factor)].into(), bound)),
                        });
                    }
                }
                all
            }
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
            None => vec![space.no_label(at, label)],
            Some(kind) if must_be_numeric && !is_numeric(kind) => {
                vec![Problem::new(at, format!("the values of label `{label}` are not all numbers"))]
            }
            Some(kind) => match self {
                Self::Forbid(values) => never_proposed(label, kind, &values[label], &at),
                _ => Vec::new(),
            },
        };
        let problems: Vec<_> = labels.into_iter().flat_map(problem).collect();
        if !problems.is_empty() {
            return problems;
        }
        self.beyond_reach(space, &axes).into_iter().collect()
    }

    /// Returns the problem that no proposal meets the constraint, whatever the others are.
    fn beyond_reach(&self, space: &Space, axes: &BTreeMap<&str, &Kind>) -> Option<Problem> {
        let Self::AtMost(Weighted(_, bound)) = self else { return None };
        let (least, _) = self.sum(space, axes)?;
        let found = || format!("no proposal meets it: the sum is at least {least}");
        (least > *bound).then(|| Problem::new(Path::here().name("AtMost").index(1), found()))
    }

    /// Returns why every proposal of `space` meets the constraint, so that it has no effect.
    pub fn idle(&self, space: &Space) -> Option<String> {
        let axes = space.axes().into_iter().collect();
        match self {
            Self::AtMost(Weighted(_, bound)) => {
                let (_, most) = self.sum(space, &axes)?;
                (most <= *bound).then(|| format!("the sum is never above {most}"))
            }
            Self::Ordered(order) if order.len() < 2 => Some("it orders less than two labels".to_owned()),
            Self::Forbid(values) if values.is_empty() => Some("it forbids no values".to_owned()),
            Self::Ordered(_) | Self::Forbid(_) => None,
        }
    }

    /// Returns the least and the greatest sum of an `AtMost`. A label that some proposals lack may add nothing.
    fn sum(&self, space: &Space, axes: &BTreeMap<&str, &Kind>) -> Option<(f64, f64)> {
        let Self::AtMost(Weighted(factors, _)) = self else { return None };
        let always = space.unconditional_labels();
        let mut sum = (0.0, 0.0);
        for (label, factor) in factors {
            let (lo, hi) = axes.get(label.as_str())?.outermost()?;
            let (a, b) = (factor * lo, factor * hi);
            let (mut least, mut most) = (a.min(b), a.max(b));
            if !always.contains(label.as_str()) {
                (least, most) = (least.min(0.0), most.max(0.0));
            }
            sum = (sum.0 + least, sum.1 + most);
        }
        Some(sum)
    }
}

/// Returns a problem for each of the forbidden values of a label that it never has. `at` is the place of the values.
fn never_proposed(label: &str, kind: &Kind, values: &Value, at: &Path) -> Vec<Problem> {
    let problem = |at: Path, value: &Value| {
        let why = kind.never(value)?;
        let help = format!("{why}, so this forbids nothing");
        Some(Problem::new(at, format!("label `{label}` is never {value}")).help(help))
    };
    match values {
        Value::Array(any) => any.iter().enumerate().filter_map(|(i, value)| problem(at.index(i), value)).collect(),
        value => problem(at.clone(), value).into_iter().collect(),
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
    /// Returns the problems of a constraint on a space with a choice of numbers, a range and a nested choice.
    fn problems(constraint: Value) -> Vec<String> {
        let space: Space = serde_json::from_value(json!({
            "units": {"Choice": [8, 16, 32]},
            "rate": {"FloatRange": [0.5, 2]},
            "residual": {"choice": [null, {"label": ["n", {"IntRange": [1, 4]}]}]},
            "noise": {"normal": [0, 1]},
        }))
        .unwrap();
        let constraint: Constraint = serde_json::from_value(constraint).unwrap();
        let problems = constraint.validate(&space).into_iter();
        let problems = problems.map(|problem| format!("{}: {}", problem.at, problem.found));
        problems.chain(constraint.idle(&space).map(|why| format!("idle: {why}"))).collect()
    }

    #[test]
    fn a_constraint_on_values_that_are_never_proposed_is_a_problem() {
        let none: [String; 0] = [];
        assert_eq!(problems(json!({"Forbid": {"units": 9}})), ["Forbid.units: label `units` is never 9"]);
        assert_eq!(
            problems(json!({"Forbid": {"units": [8, 17], "rate": 3}})),
            ["Forbid.rate: label `rate` is never 3", "Forbid.units[1]: label `units` is never 17"]
        );
        assert_eq!(problems(json!({"Forbid": {"residual": [null, 3], "units": 8.0}})), none);
        assert_eq!(problems(json!({"Forbid": {"residual": 5}})), ["Forbid.residual: label `residual` is never 5"]);
        assert_eq!(problems(json!({"Forbid": {}})), ["idle: it forbids no values"]);
    }

    #[test]
    fn a_constraint_with_fixed_labels_means_the_same_for_the_others() {
        let values = [0, 1, 2].map(Value::from);
        for constraint in [
            json!({"Forbid": {"a": [0, 1], "b": 2}}),
            json!({"Forbid": {"b": 1}}),
            json!({"AtMost": [{"a": 1, "b": 2, "c": -1}, 3]}),
            json!({"Ordered": ["a", "b", "c"]}),
            json!({"Ordered": ["c", "a"]}),
        ] {
            let constraint: Constraint = serde_json::from_value(constraint).unwrap();
            for fixed_labels in [&["a"][..], &["b"], &["a", "c"], &["a", "b", "c"], &[]] {
                for a in &values {
                    for b in &values {
                        for c in &values {
                            let all: BTreeMap<_, _> =
                                [("a", a), ("b", b), ("c", c)].map(|(k, v)| (k.to_owned(), v.clone())).into();
                            let (fixed, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
                                all.clone().into_iter().partition(|(label, _)| fixed_labels.contains(&label.as_str()));
                            let mut same = constraint.with_fixed(&fixed);
                            assert_eq!(
                                same.iter().all(|one| one.holds(&others)),
                                constraint.holds(&all),
                                "{constraint:?} {all:?}"
                            );
                            same.retain(|one| format!("{one:?}").contains("\"a\""));
                            assert!(!fixed_labels.contains(&"a") || same.is_empty());
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_sum_that_is_always_above_or_below_its_bound_is_said() {
        let least = "AtMost[1]: no proposal meets it: the sum is at least 8.5";
        assert_eq!(problems(json!({"AtMost": [{"units": 1, "rate": 1, "n": 2}, 8]})), [least]);
        assert_eq!(problems(json!({"AtMost": [{"units": 1, "n": 2}, 40]})), ["idle: the sum is never above 40"]);
        let none: [String; 0] = [];
        assert_eq!(problems(json!({"AtMost": [{"units": -1, "n": -2}, -16]})), none);
        assert_eq!(problems(json!({"AtMost": [{"noise": 1}, -16]})), none);
        assert_eq!(problems(json!({"Ordered": ["units"]})), ["idle: it orders less than two labels"]);
    }
}
