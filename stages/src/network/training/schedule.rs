//! How the learning rate changes while training goes on.

use serde::{Deserialize, Serialize};

/// The learning rate as a function of the step. Part of the trajectory: a schedule names its own horizon, so that a longer
/// training begins as the shorter one does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Schedule {
    /// The same at every step.
    #[default]
    Constant,
    /// Times `factor` after every so many epochs (Keras's `ExponentialDecay` with `staircase`).
    Step { every_epochs: u32, factor: f64 },
    /// From 0 in a straight line for `warmup_epochs`, then down to 0 along half a cosine, which ends `over_epochs` after the
    /// training's beginning (Loshchilov and Hutter 2017 without restarts; Keras's `CosineDecay`).
    Cosine {
        over_epochs: u32,
        #[serde(default, skip_serializing_if = "crate::params::is_default")]
        warmup_epochs: u32,
    },
}

impl Schedule {
    /// Returns the factor of the learning rate for the step after `steps` steps.
    pub(crate) fn factor(&self, steps: u64, steps_per_epoch: u64) -> f64 {
        match *self {
            Self::Constant => 1.0,
            Self::Step { every_epochs, factor } => {
                libm::pow(factor, (steps / (u64::from(every_epochs) * steps_per_epoch)) as f64)
            }
            Self::Cosine { over_epochs, warmup_epochs } => {
                let [over, warmup] = [over_epochs, warmup_epochs].map(|epochs| u64::from(epochs) * steps_per_epoch);
                if steps < warmup {
                    return steps as f64 / warmup as f64;
                }
                let done = (steps.min(over) - warmup) as f64 / (over - warmup) as f64;
                0.5 * (1.0 + libm::cos(std::f64::consts::PI * done))
            }
        }
    }

    /// Returns what is wrong with the values: (path inside the schedule, what was found and what is allowed).
    pub(crate) fn problems(&self) -> Vec<(String, String)> {
        let problem = |path: &str, message: String| vec![(path.to_owned(), message)];
        match *self {
            Self::Step { every_epochs: 0, .. } => problem("Step.every_epochs", "0, expected at least 1".into()),
            Self::Step { factor, .. } if !(factor > 0.0 && factor.is_finite()) => {
                problem("Step.factor", format!("{factor}, expected a number above 0"))
            }
            Self::Cosine { over_epochs, warmup_epochs } if over_epochs <= warmup_epochs => {
                let expected = format!("expected more epochs than the {warmup_epochs} of the warm-up");
                problem("Cosine.over_epochs", format!("{over_epochs}, {expected}"))
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by Keras 3.15.1: `CosineDecay(0, decay_steps=40, warmup_target=0.1, warmup_steps=10)`, `CosineDecay(0.1,
    /// decay_steps=50)` and `ExponentialDecay(0.1, decay_steps=20, decay_rate=0.5, staircase=True)`, at some steps.
    #[test]
    fn schedules_are_kerass() {
        let check = |schedule: Schedule, expected: &[(u64, f64)]| {
            for &(steps, expected) in expected {
                // Ten steps an epoch.
                let found = 0.1 * schedule.factor(steps, 10);
                assert!((found - expected).abs() < 1e-8, "{schedule:?} {steps}: {found} {expected}");
            }
        };
        check(
            Schedule::Cosine { over_epochs: 5, warmup_epochs: 1 },
            &[
                (0, 0.0),
                (1, 0.010000000707805157),
                (5, 0.05000000074505806),
                (9, 0.08999999612569809),
                (10, 0.10000000149011612),
                (11, 0.09984586387872696),
                (20, 0.08535534143447876),
                (30, 0.04999999701976776),
                (49, 0.00015413165965583175),
                (50, 0.0),
                (60, 0.0),
            ],
        );
        check(
            Schedule::Cosine { over_epochs: 5, warmup_epochs: 0 },
            &[
                (0, 0.10000000149011612),
                (1, 0.09990134090185165),
                (10, 0.09045084565877914),
                (25, 0.04999999701976776),
                (49, 9.866357140708715e-05),
                (60, 0.0),
            ],
        );
        check(
            Schedule::Step { every_epochs: 2, factor: 0.5 },
            &[
                (0, 0.10000000149011612),
                (19, 0.10000000149011612),
                (20, 0.05000000074505806),
                (39, 0.05000000074505806),
                (40, 0.02500000037252903),
                (100, 0.0031250000465661287),
            ],
        );
        check(Schedule::Constant, &[(0, 0.1), (1000, 0.1)]);
    }

    #[test]
    fn schedules_without_sense_are_refused() {
        let paths = |schedule: Schedule| schedule.problems().into_iter().map(|(path, _)| path).collect::<Vec<_>>();
        assert_eq!(paths(Schedule::Step { every_epochs: 0, factor: 0.5 }), ["Step.every_epochs"]);
        assert_eq!(paths(Schedule::Step { every_epochs: 1, factor: 0.0 }), ["Step.factor"]);
        assert_eq!(paths(Schedule::Cosine { over_epochs: 2, warmup_epochs: 2 }), ["Cosine.over_epochs"]);
        assert!(paths(Schedule::Cosine { over_epochs: 3, warmup_epochs: 2 }).is_empty());
    }
}
