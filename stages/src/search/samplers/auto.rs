//! The sampler `Auto`, the default: `GaussianProcess` where it is better, and `Tpe` elsewhere.

use super::{
    algorithm::{Algorithm, Past, Proposed, Request, STARTING_UP},
    gaussian_process::GaussianProcess,
    tpe::Tpe,
};
use crate::parameters;

parameters! {
    /// The sampler `Auto`. It has no settings.
    ///
    /// The first 10 trials are drawn from the prior. A later one is proposed by `GaussianProcess` if
    ///
    /// - at most 500 trials have a loss,
    /// - at most half of those that have ended failed,
    /// - and the space has at most 60 labels.
    ///
    /// All others are proposed by `Tpe`. Both know all trials, whoever proposed them.
    #[derive(Copy, Eq)]
    pub struct Auto;
}

/// The most trials with a loss with which it proposes. It takes longer with every trial, and learns less from each.
const MOST: usize = 500;
/// The most labels of the space.
const LABELS: usize = 60;

impl Algorithm for Auto {
    fn startup(&self) -> Option<u32> {
        Algorithm::startup(&Tpe::default())
    }

    fn reads_losses(&self) -> bool {
        true
    }

    fn draw(&self, request: &Request<'_>, attempt: u32) -> Proposed {
        let tpe = Tpe::default();
        if !request.is_past(tpe.startup()) {
            return request.draw_of_prior(attempt, STARTING_UP);
        }
        if is_for_the_process(request) {
            return GaussianProcess::default().draw(request, attempt);
        }
        let trials = request.past.trials.len() as u32;
        let split = tpe.rule().split(&request.past.losses, trials, 0);
        let past = Past { split, ..request.past.clone() };
        tpe.draw(&Request { past: &past, ..*request }, attempt)
    }
}

/// Returns whether the Gaussian process proposes the trial.
fn is_for_the_process(request: &Request<'_>) -> bool {
    let losses = &request.past.losses;
    let completed = losses.iter().filter(|loss| loss.is_finite()).count();
    let n_labels = request.space.labels().len();
    completed > 0 && completed <= MOST && 2 * completed >= losses.len() && n_labels <= LABELS
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::search::{Past, Sampler, Space, TrialParameters};

    /// Returns who proposes trial `n`, with these losses of the first trials.
    fn by(n_labels: usize, n: u32, loss: impl Fn(u32) -> f64) -> &'static str {
        let keys = (0..n_labels).map(|i| (format!("x{i:02}"), json!({"uniform": [0, 1]})));
        let space: Space = serde_json::from_value(keys.collect()).unwrap();
        let mut past = Past::default();
        for id in 0..n {
            let proposed = Sampler::Random(crate::search::Random).propose(&space, &[], 1, id, &past).unwrap();
            past.trials.push(TrialParameters { id, labels: proposed.proposal.labels });
            past.losses.push(loss(id));
        }
        let by = Sampler::Auto(Auto).propose(&space, &[], 1, n, &past).unwrap().by;
        by.split(':').next().unwrap()
    }

    #[test]
    fn the_process_proposes_where_the_rule_says_so() {
        let rising = |id: u32| f64::from(id);
        assert_eq!([9, 10].map(|n| by(2, n, rising)), ["prior", "gaussian"]);
        assert_eq!([500, 501].map(|n| by(2, n, rising)), ["gaussian", "tpe"]);
        assert_eq!([60, 61].map(|n_labels| by(n_labels, 24, rising)), ["gaussian", "tpe"]);
        let failing = |least: u32| move |id: u32| if id < least { f64::INFINITY } else { 1.0 };
        assert_eq!([12, 13].map(|failed| by(2, 24, failing(failed))), ["gaussian", "tpe"]);
    }
}
