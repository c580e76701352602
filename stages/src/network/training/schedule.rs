//! Learning rate schedules.

use crate::{
    choices, parameters,
    params::Domain,
    problem::{Path, Problem},
};

choices! {
    /// The learning rate as a function of the step.
    ///
    /// A schedule does not depend on the length of the training, so a longer training can continue a shorter one.
    pub enum Schedule = Constant {
        /// The same at every step.
        Constant,
        /// Multiplied by `factor` after every `every_epochs` epochs (Keras's `ExponentialDecay` with `staircase`).
        Step(Staircase),
        /// Rises linearly from 0 for `warmup_epochs`, then falls along half a cosine to 0 at the end of epoch `over_epochs`
        /// (Loshchilov and Hutter 2017, without restarts; Keras's `CosineDecay`).
        Cosine(Cosine),
    }
}

parameters! {
    /// Settings of [`Schedule::Step`].
    pub struct Staircase {
        /// The number of epochs from one change to the next.
        every_epochs: u32 [Domain::Whole(1..=u32::MAX)],
        /// The factor of the learning rate at each change.
        factor: f64 [Domain::Positive],
    }
}

parameters! {
    /// Settings of [`Schedule::Cosine`].
    pub struct Cosine where ends_after_the_warmup {
        /// The epoch at whose end the learning rate reaches 0, counted from the start of the training. More than
        /// `warmup_epochs`.
        over_epochs: u32 [Domain::Whole(1..=u32::MAX)],
        /// The number of epochs in which the learning rate rises.
        warmup_epochs: u32 = 0,
    }
}

impl Cosine {
    fn ends_after_the_warmup(self, at: &Path, problems: &mut Vec<Problem>) -> Self {
        let Self { over_epochs, warmup_epochs } = self;
        if over_epochs <= warmup_epochs && over_epochs > 0 {
            let expected = format!("more epochs than the {warmup_epochs} of the warm-up");
            problems.push(Problem::new(at.name("over_epochs"), format!("found `{over_epochs}`")).expected(expected));
        }
        self
    }
}

impl Schedule {
    /// Returns the factor of the learning rate in the step that follows `steps` steps.
    pub(crate) fn factor(&self, steps: u64, steps_per_epoch: u64) -> f64 {
        match *self {
            Self::Constant => 1.0,
            Self::Step(Staircase { every_epochs, factor }) => {
                libm::pow(factor, (steps / (u64::from(every_epochs) * steps_per_epoch)) as f64)
            }
            Self::Cosine(Cosine { over_epochs, warmup_epochs }) => {
                let [over, warmup] = [over_epochs, warmup_epochs].map(|epochs| u64::from(epochs) * steps_per_epoch);
                if steps < warmup {
                    return steps as f64 / warmup as f64;
                }
                let done = (steps.min(over) - warmup) as f64 / (over - warmup) as f64;
                0.5 * (1.0 + libm::cos(std::f64::consts::PI * done))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Expected values are the output of Keras 3.15.1: `CosineDecay(0, decay_steps=40, warmup_target=0.1, warmup_steps=10)`,
    /// `CosineDecay(0.1, decay_steps=50)` and `ExponentialDecay(0.1, decay_steps=20, decay_rate=0.5, staircase=True)`.
    #[test]
    fn schedules_agree_with_keras() {
        let check = |schedule: Schedule, expected: &[(u64, f64)]| {
            for &(steps, expected) in expected {
                // Ten steps per epoch.
                let found = 0.1 * schedule.factor(steps, 10);
                assert!((found - expected).abs() < 1e-8, "{schedule:?} {steps}: {found} {expected}");
            }
        };
        check(
            Schedule::Cosine(Cosine { over_epochs: 5, warmup_epochs: 1 }),
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
            Schedule::Cosine(Cosine { over_epochs: 5, warmup_epochs: 0 }),
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
            Schedule::Step(Staircase { every_epochs: 2, factor: 0.5 }),
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
    fn invalid_schedules_are_refused() {
        let places = |schedule: serde_json::Value| match crate::params::read::<Schedule>(&schedule) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(|problem| problem.at.to_string()).collect(),
        };
        let step = |every: u32, factor: f64| json!({ "Step": { "every_epochs": every, "factor": factor } });
        assert_eq!(places(step(0, 0.5)), ["Step.every_epochs"]);
        assert_eq!(places(step(1, 0.0)), ["Step.factor"]);
        let cosine = |over: u32, warmup: u32| json!({ "Cosine": { "over_epochs": over, "warmup_epochs": warmup } });
        assert_eq!(places(cosine(2, 2)), ["Cosine.over_epochs"]);
        assert_eq!(places(cosine(0, 0)), ["Cosine.over_epochs"]);
        assert!(places(cosine(3, 2)).is_empty());
        assert_eq!(serde_json::to_value(Schedule::Constant).unwrap(), "Constant");
        let read: Schedule = serde_json::from_value(cosine(3, 0)).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), json!({ "Cosine": { "over_epochs": 3 } }));
    }
}
