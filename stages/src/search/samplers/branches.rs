//! A floor of exploration for the branches of a tree.
//!
//! A branch that a few unlucky trials made look bad has no good trial, so the estimators never choose it again, whatever its
//! other trials would have shown. So every branch keeps a share of the trials that the estimators cannot argue away.

use std::collections::BTreeMap;

use super::algorithm::TrialParameters;
use crate::search::spaces::{Branch, Space};

/// A branch has at least this share of what the prior would give it of the trials that made its choice.
const FLOOR: f64 = 0.6;

/// One in this many proposals may be in a branch because it is below its floor.
const EVERY: usize = 3;

/// Returns the coordinates of choices that lead into the branch that is farthest below its floor, or nothing if there is none or it
/// is not its turn. Trials that are pending count too.
pub(super) fn due(space: &Space, trials: &[&TrialParameters]) -> BTreeMap<String, f64> {
    if !trials.len().is_multiple_of(EVERY) {
        return BTreeMap::new();
    }
    let mut farthest: Option<(f64, &Branch<'_>)> = None;
    let branches = space.branches();
    for branch in &branches {
        let coordinates = trials.iter().filter_map(|trial| branch.kind.coordinate(branch.label, &trial.labels));
        let mut made = 0;
        let mut count = 0;
        for coordinate in coordinates {
            made += 1;
            count += u32::from(coordinate == branch.option as f64);
        }
        let below = FLOOR * branch.probability * f64::from(made) - f64::from(count);
        if below > 0.0 && farthest.as_ref().is_none_or(|(most, _)| below > *most) {
            farthest = Some((below, branch));
        }
    }
    farthest.map(|(_, branch)| branch.path.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_branch_that_is_farthest_below_its_floor_is_due() {
        let space: Space = serde_json::from_value(json!({"a": {"choice": [
            "plain",
            {"b": {"uniform": [0, 1]}},
            {"c": {"choice": [{"d": {"uniform": [0, 1]}}, {"e": {"uniform": [0, 1]}}]}},
        ]}}))
        .unwrap();
        let plain = || json!({"a": "plain"});
        let b = || json!({"a": {"b": 0.5}, "b": 0.5});
        let d = || json!({"a": {"c": {"d": 0.5}}, "c": {"d": 0.5}, "d": 0.5});
        let due = |labels: Vec<Value>| {
            let trial = |(id, labels)| TrialParameters { id, labels: serde_json::from_value(labels).unwrap() };
            let trials: Vec<TrialParameters> = (0..).zip(labels).map(trial).collect();
            super::due(&space, &trials.iter().collect::<Vec<_>>())
        };
        let path = |pairs: &[(&str, f64)]| pairs.iter().map(|(label, x)| ((*label).to_owned(), *x)).collect();
        // `b` and `c` are both due, and the first is taken. `plain` is no branch.
        assert_eq!(due(vec![plain(); 9]), path(&[("a", 1.0)]));
        assert_eq!(due((0..9).map(|i| if i < 6 { b() } else { plain() }).collect()), path(&[("a", 2.0)]));
        // All of the trials in `c` are in `d`, so `e` is due, with the choice that leads to it.
        assert_eq!(due((0..9).map(|i| if i < 3 { b() } else { d() }).collect()), path(&[("a", 2.0), ("c", 1.0)]));
        // It is not its turn.
        assert_eq!(due(vec![plain(); 10]), path(&[]));
    }
}
