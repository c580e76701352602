//! Proposals that a user gives, whole or in part.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    samplers::draws::{Chance, prior},
    spaces::{Constraint, Expression, Kind, Proposal, Space, comparable},
};
use crate::problem::{Path, Problem};

/// The draws of the labels that are not given, before it is said that none is allowed.
const DRAWS: u32 = 120;

/// Returns the problems of the values in `given`, by label, as a proposal of the space. Paths start at the values.
pub fn misfits(space: &Space, given: &BTreeMap<String, Value>) -> Vec<Problem> {
    let axes: BTreeMap<&str, &Kind> = space.axes().into_iter().collect();
    let problem = |(label, value): (&String, &Value)| {
        let at = Path::here().name(label);
        let Some(kind) = axes.get(label.as_str()) else { return Some(space.no_label(at, label)) };
        let allowed = kind.never(value)?;
        Some(Problem::new(at, format!("label `{label}` cannot be {value}")).help(allowed))
    };
    let mut problems: Vec<_> = given.iter().filter_map(problem).collect();
    if problems.is_empty() {
        let settled = settled(space, given, Chance { seed: 0, trial_idx: 0, attempt: 0 });
        let is_kept = |(label, value): &(&String, &Value)| {
            settled.labels.get(*label).is_some_and(|found| comparable(found) == comparable(value))
        };
        problems.extend(given.iter().filter(|pair| !is_kept(pair)).map(|(label, value)| {
            let found = format!("label `{label}` is not {value} in a proposal with the other values");
            Problem::new(Path::here().name(label), found).help("give the choices around it values that fit")
        }));
    }
    problems
}

/// Returns the proposal with the values in `given`. The other labels are drawn from the prior, until `limits` and `constraints` allow
/// the proposal and it is none of `known`. `None` if no draw is.
pub fn given(
    space: &Space,
    constraints: &[Constraint],
    limits: &dyn Fn(&Proposal) -> bool,
    (seed, trial_idx): (u64, u32),
    given: &BTreeMap<String, Value>,
    known: &[&BTreeMap<String, Value>],
) -> Option<Proposal> {
    let mut drawn = (0..DRAWS).map(|attempt| settled(space, given, Chance { seed, trial_idx, attempt }));
    drawn.find(|proposal| {
        let is_allowed = constraints.iter().all(|constraint| constraint.holds(&proposal.labels));
        is_allowed && !known.contains(&&proposal.labels) && limits(proposal)
    })
}

fn settled(space: &Space, given: &BTreeMap<String, Value>, chance: Chance) -> Proposal {
    space.settle(&mut |label, kind| {
        let own = given.get(label);
        let by_value = || own.and_then(|value| coordinate(kind, value));
        inner(kind, given).or_else(by_value).unwrap_or_else(|| prior(kind, &mut chance.of(label)))
    })
}

/// Returns the option of a choice that has one of the given labels inside.
fn inner(kind: &Kind, given: &BTreeMap<String, Value>) -> Option<f64> {
    let Kind::Choice { options, .. } = kind else { return None };
    let has_given = |option: &Expression| {
        let mut labels = BTreeSet::new();
        option.collect_labels(true, &mut labels);
        labels.iter().any(|label| given.contains_key(*label))
    };
    options.iter().position(has_given).map(|index| index as f64)
}

fn coordinate(kind: &Kind, value: &Value) -> Option<f64> {
    let value = kind.constant(value).ok()?;
    match kind {
        Kind::Choice { options, .. } => {
            let is = |option: &Expression| matches!(option, Expression::Constant(constant) if *constant == value);
            options.iter().position(is).map(|index| index as f64)
        }
        Kind::Randint { lo, .. } => Some((value.as_i64()? - lo) as f64),
        Kind::Numeric(_) => value.as_f64(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn space() -> Space {
        serde_json::from_value(json!({
            "optimizer": {"choice": ["Adam", "SGD"]},
            "units": {"IntRange": {"lo": 8, "hi": 64, "step": 8}},
            "rate": {"FloatRange": {"lo": 1e-4, "hi": 1e-1, "log": true}},
            "residual": {"choice": [null, {"label": ["n", {"quniform": [0.5, 4.5, 1]}]}]},
            "k": {"randint": [-3, 3]},
        }))
        .unwrap()
    }

    fn labels(json: Value) -> BTreeMap<String, Value> {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn given_values_are_proposed_and_the_others_drawn() {
        let written = labels(json!({"optimizer": "SGD", "units": 16.0, "n": 2, "k": -1}));
        assert!(misfits(&space(), &written).is_empty());
        let propose = |trial, known: &[&BTreeMap<String, Value>]| {
            given(&space(), &[], &|_| true, (7, trial), &written, known).unwrap().labels
        };
        let first = propose(0, &[]);
        let expected = [
            ("optimizer", json!("SGD")),
            ("units", json!(16)),
            ("n", json!(2.0)),
            ("residual", json!(2.0)),
            ("k", json!(-1)),
        ];
        for (label, value) in expected {
            assert_eq!(first[label], value, "{label}");
        }
        assert_eq!(propose(0, &[]), first);
        // The rest is drawn: another trial, or one that is known, has another rate.
        assert_ne!(propose(1, &[])["rate"], first["rate"]);
        assert_ne!(propose(0, &[&first])["rate"], first["rate"]);
    }

    #[test]
    fn values_that_the_space_never_proposes_are_problems() {
        let found = |json: Value| {
            let problems = misfits(&space(), &labels(json)).into_iter();
            problems.map(|problem| problem.found).collect::<Vec<_>>()
        };
        assert_eq!(
            found(json!({"units": 12, "momentum": 0.9, "rate": 1})),
            ["the space has no label `momentum`", "label `rate` cannot be 1", "label `units` cannot be 12"]
        );
        assert_eq!(
            found(json!({"residual": null, "n": 3})),
            ["label `residual` is not null in a proposal with the other values"]
        );
        assert_eq!(found(json!({"residual": 3, "n": 3})), [""; 0]);
    }

    #[test]
    fn what_is_given_must_be_allowed() {
        let forbid: Constraint = serde_json::from_value(json!({"Forbid": {"optimizer": "SGD"}})).unwrap();
        let of = |optimizer: &str| {
            let given_labels = labels(json!({ "optimizer": optimizer }));
            given(&space(), std::slice::from_ref(&forbid), &|_| true, (7, 0), &given_labels, &[])
        };
        assert!(of("Adam").is_some() && of("SGD").is_none());
    }
}
