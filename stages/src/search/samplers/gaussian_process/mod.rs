//! The sampler `GaussianProcess`: proposes the candidate with the greatest expected improvement.
//!
//! Sources: Rasmussen and Williams, "Gaussian processes for machine learning", 2006; Jones, Schonlau and Welch, "Efficient global
//! optimization of expensive black-box functions", 1998 (expected improvement); Ginsbourger, Le Riche and Carraro, "Kriging is
//! well-suited to parallelize optimization", 2010 (pending trials have the losses that the model predicts). Sums have a fixed
//! order, and functions are those of `libm`, so proposals are the same on every machine.

mod layout;
mod model;

use std::collections::BTreeMap;

use self::{
    layout::{Layout, Point},
    model::Model,
};
use super::{
    algorithm::{Algorithm, Past, Request, STARTUP},
    draws::{self, Chance, Draws},
};
use crate::{
    parameters,
    params::Domain,
    search::spaces::{Axis, Kind, Proposal, Space},
};

parameters! {
    /// Settings of the sampler `GaussianProcess`.
    #[derive(Copy)]
    pub struct GaussianProcess = defaults {
        /// The number of trials that are drawn from the prior before the model proposes.
        startup: u32 [STARTUP] = 10,
        /// The number of draws from the prior to choose from. As many are drawn near the best trials. The best is proposed.
        candidates: u32 [Domain::Whole(1..=10_000)] = 500,
    }
}

impl Algorithm for GaussianProcess {
    fn startup(&self) -> Option<u32> {
        Some(self.startup)
    }

    fn reads_losses(&self) -> bool {
        true
    }

    fn draw(&self, request: &Request<'_>, attempt: u32) -> Proposal {
        if !request.is_past(self.startup) {
            return request.drawn_from_prior(attempt);
        }
        propose(request.space, self.candidates as usize, request.chance(attempt), request.past)
    }
}

/// The most trials with a loss in the model: the newest ones. The cost grows with the cube of their number.
const MOST_TRIALS: usize = 200;
/// The number of the best trials near which candidates are drawn.
const PARENTS: usize = 5;

/// Returns the proposal that follows `past`. Trials without a loss are pending.
fn propose(space: &Space, candidates: usize, chance: Chance, past: &Past) -> Proposal {
    let layout = Layout::new(space);
    let points: Vec<Point> =
        past.trials.iter().map(|trial| layout.of(&|label, kind| kind.coordinate(label, &trial.labels))).collect();
    let seen = past.losses.len().min(points.len());
    let oldest = seen.saturating_sub(MOST_TRIALS);
    let Some(losses) = standardised(&past.losses[oldest..seen]) else {
        return space.settle(&mut |label, kind| draws::prior(kind, &mut chance.of(label)));
    };
    let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let model = Model::fitted(layout.n_labels(), points[oldest..seen].to_vec(), losses).with_pending(&points[seen..]);

    let mut order: Vec<usize> = (0..seen).collect();
    order.sort_by(|a, b| past.losses[*a].total_cmp(&past.losses[*b]).then(a.cmp(b)));
    order.truncate(PARENTS);
    let mut streams = Streams { chance, of: BTreeMap::new() };
    let mut best: Option<(f64, Vec<f64>)> = None;
    for candidate in 0..2 * candidates {
        let parent = (candidate >= candidates).then(|| &past.trials[order[candidate % order.len()]]);
        let mut coordinates = Vec::new();
        let mut chosen = BTreeMap::new();
        space.walk(&mut |label, kind| {
            let of_parent = parent.and_then(|parent| kind.coordinate(label, &parent.labels));
            let x = streams.near(label, kind, of_parent);
            coordinates.push(x);
            chosen.insert(label.to_owned(), x);
            x
        });
        let point = layout.of(&|label, _| chosen.get(label).copied());
        let score = model.ln_expected_improvement(&point, least);
        if best.as_ref().is_none_or(|(greatest, _)| score > *greatest) {
            best = Some((score, coordinates));
        }
    }
    let mut coordinates = best.expect("at least one candidate is drawn").1.into_iter();
    space.settle(&mut |_, _| coordinates.next().expect("the same labels are asked in the same order"))
}

/// A stream of random numbers for each label, for all candidates.
struct Streams {
    chance: Chance,
    of: BTreeMap<String, Draws>,
}

impl Streams {
    /// Returns a coordinate that is the parent's or close to it, or sometimes any. Without a parent, it is drawn from the prior.
    fn near(&mut self, label: &str, kind: &Kind, parent: Option<f64>) -> f64 {
        let draws = self.of.entry(label.to_owned()).or_insert_with(|| self.chance.of(label));
        let Some(parent) = parent else { return draws::prior(kind, draws) };
        let u = draws.uniform();
        match kind.axis() {
            _ if u < 0.15 => draws::prior(kind, draws),
            Axis::Numeric(numeric) if u < 0.65 => {
                let (_, range) = numeric.prior();
                let (lo, hi) = numeric.bounds();
                let width = range * if u < 0.4 { 0.2 } else { 0.02 };
                let z = numeric.z(parent) + width * draws.normal();
                // Below the upper bound, which could be rounded up to a step beyond the last value.
                numeric.value(z.clamp(lo, hi - 1e-9 * (hi - lo).min(1.0)))
            }
            _ => parent,
        }
    }
}

/// Returns the losses scaled to mean 0 and standard deviation 1, or `None` if no loss is finite. Infinite losses and losses far
/// above the median are first replaced by the worst of the others.
fn standardised(losses: &[f64]) -> Option<Vec<f64>> {
    let mut sorted: Vec<f64> = losses.iter().copied().filter(|loss| loss.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let (least, median, greatest) = (*sorted.first()?, sorted[sorted.len() / 2], *sorted.last()?);
    let far = if median > least { median + 3.0 * (median - least) } else { greatest };
    let worst = far.min(greatest);
    // `min` of NaN and a number is the number.
    let clipped: Vec<f64> = losses.iter().map(|loss| loss.min(worst)).collect();
    let n = clipped.len() as f64;
    let mean = clipped.iter().sum::<f64>() / n;
    let variance = clipped.iter().map(|y| (y - mean) * (y - mean)).sum::<f64>() / n;
    let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
    Some(clipped.into_iter().map(|y| (y - mean) / deviation).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_of_failed_trials_and_outliers_are_replaced_by_the_worst_other_loss() {
        let found = standardised(&[1.0, 2.0, 3.0, f64::INFINITY, f64::NAN, 1e9]).unwrap();
        assert!(found[3..].iter().all(|loss| *loss == found[3]) && found[3] > found[2]);
        assert!((found.iter().sum::<f64>()).abs() < 1e-12);
        assert_eq!((standardised(&[f64::INFINITY]), standardised(&[5.0])), (None, Some(vec![0.0])));
    }
}
