//! When a search is stopped before its last trial.
//!
//! A rule is asked at declared points, once for each trial that may be left out, and sees the scores of a fixed number of trials. So
//! it does not matter which trial ends first, or how many run at a time.

use serde::Serialize;
use serde_json::Value;

use super::{front::front, repetition::means, samplers::regret_bound, spaces::Space};
use crate::{
    choices, parameters,
    params::{Domain, Read},
    problem::{Path, Problem},
    search::samplers::Past,
};

choices! {
    /// A reason to stop a search.
    pub enum Stopping {
        /// The last trials have not improved on the best one before them. With several objectives, none of them is on the front.
        NoImprovement(NoImprovement),
        /// A trial has reached this value of the metric, or a better one.
        Reached(f64),
        /// The best trial is probably close to the best that the space has.
        RegretBound(RegretBound),
    }
}

parameters! {
    /// Stops a search whose last trials have not improved on the best one before them. A trial without a score is no improvement.
    #[derive(Copy)]
    pub struct NoImprovement {
        /// The number of trials without improvement after which the search stops.
        trials: u32 [Domain::Whole(1..=100_000)],
        /// The metric must change by more than this to have improved.
        min_delta: f64 [Domain::NotNegative] = 0.0,
    }
}

parameters! {
    /// Stops a search when a Gaussian process expects the best trial to be within `at_most` of the best value of the space, with
    /// high probability. Trials without a score are left out of the process.
    #[derive(Copy)]
    pub struct RegretBound {
        /// The difference that is small enough, in units of the metric.
        at_most: f64 [Domain::Positive],
        /// The least number of trials with a score before the bound is computed.
        startup: u32 [Domain::Whole(2..=100_000)] = 20,
        /// The bound is computed every so many trials.
        every: u32 [Domain::Whole(1..=1000)] = 5,
    }
}

/// The reasons to stop a search, one of which is enough. One reason is written without a list.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stoppings(pub Vec<Stopping>);

impl Read for Stoppings {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        match value {
            Value::Array(_) => Vec::read(value, domain, at, problems).map(Self),
            one => Stopping::read(one, domain, at, problems).map(|one| Self(vec![one])),
        }
    }

    fn expected(domain: &Domain) -> String {
        format!("{}, or a list of these", Stopping::expected(domain))
    }

    fn brief(_: &Domain) -> String {
        format!("{}, or a list of these", Stopping::brief(&Domain::Any))
    }
}

impl Serialize for Stoppings {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Stoppings {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::params::deserialize(deserializer)
    }
}

impl Stopping {
    /// Returns whether the rule is meant for several objectives too.
    pub fn takes_several(&self) -> bool {
        matches!(self, Self::NoImprovement(NoImprovement { min_delta, .. }) if *min_delta == 0.0)
    }

    /// Returns why a search with several objectives stops, as [`reason`](Self::reason) does, or `None` if it goes on or the rule is not
    /// meant for several. `points` has the losses of each point that was trained, one for each objective.
    pub fn reason_of_several(&self, points: &[Vec<f64>]) -> Option<String> {
        let Self::NoImprovement(NoImprovement { trials, .. }) = self else { return None };
        let before = points.len().checked_sub(*trials as usize)?;
        let front_before = front(&points[..before]);
        if front_before.is_empty() {
            return None;
        }
        // A point that equals one before it is on the front, and no improvement.
        let is_new = |at: &usize| *at >= before && !points[..before].contains(&points[*at]);
        let stops = !front(points).iter().any(is_new);
        stops.then(|| format!("none of the last {trials} trials is on the front"))
    }

    /// Returns why the search stops, in words that follow "stopped after n trials: ", or `None` if it goes on.
    ///
    /// `past` has the trials whose scores are known, and their losses, which the search minimises. `repeats` trials in a row train the
    /// same point, and their mean is what counts. `sign` is -1 if the metric is maximised, and 1 otherwise.
    pub fn reason(&self, space: &Space, past: &Past, repeats: u32, sign: f64) -> Option<String> {
        let losses = means(&past.losses, repeats);
        let best = |losses: &[f64]| {
            // The first of equal losses.
            let finite = losses.iter().enumerate().filter(|(_, loss)| loss.is_finite());
            finite.min_by(|a, b| a.1.total_cmp(b.1)).map(|(at, loss)| (at, *loss))
        };
        let (at, least) = best(&losses)?;
        let trial = format!("{:03}", at * repeats as usize);
        match self {
            Self::NoImprovement(NoImprovement { trials, min_delta }) => {
                let before = losses.len().checked_sub(*trials as usize)?;
                let (at, least_before) = best(&losses[..before])?;
                let trial = format!("{:03}", at * repeats as usize);
                (least >= least_before - min_delta)
                    .then(|| format!("{trials} trials have not improved on trial {trial}"))
            }
            Self::Reached(value) => {
                (least <= sign * value).then(|| format!("trial {trial} has reached {}", sign * least))
            }
            Self::RegretBound(RegretBound { at_most, startup, every }) => {
                let n = losses.len() as u32;
                if n < *startup || !n.is_multiple_of(*every) {
                    return None;
                }
                let first = past.trials.iter().step_by(repeats as usize).take(losses.len());
                let trials = first.cloned().collect::<Vec<_>>();
                let bound = regret_bound(space, &trials, &losses)?;
                (bound <= *at_most).then(|| format!("trial {trial} is expected to be within {bound:.2e} of the best"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::search::TrialParameters;

    fn reason(rule: Value, losses: &[f64], repeats: u32, sign: f64) -> Option<String> {
        let rule: Stopping = serde_json::from_value(rule).unwrap();
        let space: Space = serde_json::from_value(json!({"x": {"uniform": [0, 1]}})).unwrap();
        let trial = |id: usize| TrialParameters {
            id: id as u32,
            labels: [("x".to_owned(), json!((0.37 + 0.618 * (id as u32 / repeats) as f64).fract()))].into(),
        };
        let past = Past { losses: losses.to_vec(), trials: (0..losses.len()).map(trial).collect(), ..Past::default() };
        rule.reason(&space, &past, repeats, sign)
    }

    #[test]
    fn a_search_of_several_stops_when_its_front_does_not_change() {
        let rule: Stopping = serde_json::from_value(json!({"NoImprovement": {"trials": 2}})).unwrap();
        let reason = |points: &[[f64; 2]]| {
            rule.reason_of_several(&points.iter().map(|point| point.to_vec()).collect::<Vec<_>>())
        };
        let known = [[1.0, 5.0], [2.0, 2.0]];
        let with = |more: &[[f64; 2]]| known.iter().chain(more).copied().collect::<Vec<_>>();
        assert_eq!(reason(&with(&[[3.0, 3.0], [2.0, 2.0]])).unwrap(), "none of the last 2 trials is on the front");
        // It is best in one objective, or better than another in all.
        assert_eq!(reason(&with(&[[3.0, 3.0], [9.0, 1.0]])), None);
        assert_eq!(reason(&with(&[[1.0, 1.0], [2.0, 2.0]])), None);
        assert_eq!(reason(&known), None);
        assert!(rule.takes_several());
        let other = |json: Value| serde_json::from_value::<Stopping>(json).unwrap().takes_several();
        assert!(!other(json!({"Reached": 0.5})) && !other(json!({"NoImprovement": {"trials": 2, "min_delta": 0.1}})));
    }

    #[test]
    fn a_search_without_improvement_stops() {
        let rule = || json!({"NoImprovement": {"trials": 2}});
        let stops = |losses: &[f64]| reason(rule(), losses, 1, 1.0).is_some();
        assert_eq!(reason(rule(), &[0.5, 0.4, 0.6, 0.4], 1, 1.0).unwrap(), "2 trials have not improved on trial 001");
        assert!(!stops(&[0.5, 0.4, 0.6, 0.3]));
        assert!(!stops(&[0.5, 0.4]));
        // Trials without a score are no improvement, and nothing improves on no score.
        assert!(stops(&[0.5, f64::INFINITY, f64::INFINITY]));
        assert!(!stops(&[f64::INFINITY, f64::INFINITY, f64::INFINITY, 0.5]));
        let delta = json!({"NoImprovement": {"trials": 2, "min_delta": 0.05}});
        assert!(reason(delta.clone(), &[0.5, 0.46, 0.47], 1, 1.0).is_some());
        assert!(reason(delta, &[0.5, 0.44, 0.47], 1, 1.0).is_none());
        // With repetitions, points count and not trials.
        assert!(reason(rule(), &[0.5, 0.5, 0.1, 0.9, 0.6, 0.6], 2, 1.0).is_some());
        assert!(reason(rule(), &[0.5, 0.5, 0.1, 0.8, 0.6, 0.6], 2, 1.0).is_none());
        assert!(reason(rule(), &[0.5, 0.5, 0.1, 0.9, 0.6], 2, 1.0).is_none());
    }

    #[test]
    fn a_search_that_has_reached_a_value_stops() {
        let rule = || json!({"Reached": 0.9});
        // Accuracies are maximised: their losses are negative.
        assert_eq!(reason(rule(), &[-0.5, -0.91], 1, -1.0).unwrap(), "trial 001 has reached 0.91");
        assert_eq!(reason(rule(), &[-0.5, -0.89], 1, -1.0), None);
        assert_eq!(reason(rule(), &[1.5, 0.9], 1, 1.0).unwrap(), "trial 001 has reached 0.9");
        assert_eq!(reason(rule(), &[1.5, 0.95], 1, 1.0), None);
        assert_eq!(reason(rule(), &[f64::INFINITY], 1, 1.0), None);
        // The mean of the repetitions counts.
        assert_eq!(reason(rule(), &[0.8, 1.1], 2, 1.0), None);
    }

    #[test]
    fn a_smooth_function_that_is_known_everywhere_has_a_small_regret() {
        let rule = |at_most: f64| json!({"RegretBound": {"at_most": at_most, "startup": 10}});
        let losses = |n: u32| -> Vec<f64> {
            let x = (0..n).map(|id| (0.37 + 0.618 * f64::from(id)).fract());
            x.map(|x| (x - 0.3) * (x - 0.3)).collect()
        };
        assert!(reason(rule(0.01), &losses(30), 1, 1.0).is_some());
        assert!(reason(rule(1e-9), &losses(30), 1, 1.0).is_none());
        // Not yet enough trials, and not one of the points at which it is asked.
        assert!(reason(rule(10.0), &losses(9), 1, 1.0).is_none());
        assert!(reason(rule(10.0), &losses(11), 1, 1.0).is_none());
        assert!(reason(rule(10.0), &losses(15), 1, 1.0).is_some());
    }

    #[test]
    fn one_reason_is_written_without_a_list() {
        for json in [json!({"Reached": 0.5}), json!([{"Reached": 0.5}, {"NoImprovement": {"trials": 3}}])] {
            let read: Stoppings = serde_json::from_value(json.clone()).unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), json);
        }
        let one: Stoppings = serde_json::from_value(json!([{"Reached": 0.5}])).unwrap();
        assert_eq!(serde_json::to_value(&one).unwrap(), json!({"Reached": 0.5}));
    }
}
