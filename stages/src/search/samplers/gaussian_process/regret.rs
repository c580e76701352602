//! A bound on how far the best trial is from the best value of the space.
//!
//! Source: Makarova et al., "Automatic termination for hyperparameter optimization", AutoML-Conf 2022, which is also the bound of
//! Optuna's terminator: the least upper confidence bound of the trials minus the least lower confidence bound of the space.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    super::{
        algorithm::TrialParameters,
        draws::{Chance, prior},
    },
    chosen::{MOST_TRIALS, chosen},
    fit::Data,
    layout::{Layout, Point},
    model::{Expected, Model},
    scales::Scales,
};
use crate::{network::kernels::Isa, search::spaces::Space};

/// The number of draws from the prior at which the lower confidence bound is computed, besides the trials.
const DRAWS: u32 = 1000;

/// The probability with which the bound may fail, before the width is divided as the paper does.
const DELTA: f64 = 0.1;

/// Returns the bound, in units of the losses, or `None` if less than two trials have a loss. `losses` are those of `trials`.
/// Trials without a loss are left out.
pub(crate) fn regret_bound(space: &Space, trials: &[TrialParameters], losses: &[f64]) -> Option<f64> {
    let layout = Layout::new(space);
    let point = |labels: &BTreeMap<String, Value>| layout.point(&layout.coordinates(labels));
    let seen = losses.len().min(trials.len());
    let used = chosen((0..seen).filter(|trial| losses[*trial].is_finite()).collect(), losses, MOST_TRIALS);
    let (points, losses): (Vec<Point>, Vec<f64>) =
        used.into_iter().map(|trial| (point(&trials[trial].labels), losses[trial])).unzip();
    let n = losses.len();
    if n < 2 {
        return None;
    }
    let mean = losses.iter().sum::<f64>() / n as f64;
    let unit = (losses.iter().map(|y| (y - mean) * (y - mean)).sum::<f64>() / n as f64).sqrt();
    if unit == 0.0 {
        return Some(0.0);
    }
    let values: Vec<f64> = losses.iter().map(|y| (y - mean) / unit).collect();
    let ordered = layout.ordered();
    let isa = Isa::detect();
    let scales = Data::new(isa, &ordered, &points, &values).fitted(Scales::start(ordered.len()));
    let model = Model::new(isa, &ordered, &points, values, scales, 0)?;
    // Srinivas et al., "Gaussian process optimization in the bandit setting", ICML 2010, theorem 1, a fifth of it.
    let squared = std::f64::consts::PI * std::f64::consts::PI;
    let per_trial = layout.ordered().len() as f64 * (n * n) as f64 * squared / (6.0 * DELTA);
    let width = libm::sqrt(2.0 * libm::log(per_trial) / 5.0);
    let bounds = |Expected { mean, variance }| {
        let half = width * libm::sqrt(variance);
        (mean - half, mean + half)
    };
    let draw = |trial_idx| {
        let chance = Chance { seed: 0, trial_idx, attempt: 0 };
        let labels = space.settle(&mut |label, kind| prior(kind, &mut chance.of(label))).labels;
        point(&labels)
    };
    let least = |bounds: &mut dyn Iterator<Item = f64>| bounds.fold(f64::INFINITY, f64::min);
    let draws: Vec<Point> = (0..DRAWS).map(draw).collect();
    let expected = model.expected(points.iter().chain(&draws));
    let of_trials = least(&mut expected[..n].iter().map(|expected| bounds(*expected).1));
    let of_space = least(&mut expected.iter().map(|expected| bounds(*expected).0));
    Some((of_trials - of_space) * unit)
}
