//! The sampler `GaussianProcess`: proposes the configuration with the greatest expected improvement.
//!
//! Sources: Rasmussen and Williams, "Gaussian processes for machine learning", 2006; Jones, Schonlau and Welch, "Efficient global
//! optimization of expensive black-box functions", 1998 (expected improvement); Ginsbourger, Le Riche and Carraro, "Kriging is
//! well-suited to parallelize optimization", 2010 (pending trials have the losses that the model predicts); Huang, Allen, Notz and Zeng,
//! "Global optimization of stochastic black-box systems via sequential kriging meta-models", 2006 (noise); Gelbart, Snoek and Adams,
//! "Bayesian optimization with unknown constraints", UAI 2014 (failures). Sums have a fixed order, and functions are those of `libm`, so
//! proposals are the same on every machine.

mod acquire;
mod chosen;
mod columns;
mod factor;
mod feasible;
mod fit;
mod kernels;
mod layout;
mod model;
mod regret;
mod scales;
mod triangular;

use std::collections::BTreeMap;

pub(crate) use self::regret::regret_bound;
use self::{
    acquire::Acquisition,
    chosen::{MOST_TRIALS, chosen},
    feasible::Feasible,
    fit::Data,
    layout::{Coordinates, Layout, Point},
    model::Model,
    scales::Scales,
};
use super::{
    algorithm::{Algorithm, Proposed, Request, STARTING_UP, STARTUP},
    branches, draws,
};
use crate::{network::kernels::Isa, parameters, params::Domain};

parameters! {
    /// Settings of the sampler `GaussianProcess`.
    #[derive(Copy)]
    pub struct GaussianProcess = defaults {
        /// The number of trials that are drawn from the prior before the model proposes.
        startup: u32 [STARTUP] = 10,
        /// The number of draws from the prior to choose from. As many are drawn near the best trials. From the best of them the search
        /// goes on.
        candidates: u32 [Domain::Whole(1..=10_000)] = 250,
    }
}

impl Algorithm for GaussianProcess {
    fn startup(&self) -> Option<u32> {
        Some(self.startup)
    }

    fn reads_losses(&self) -> bool {
        true
    }

    fn draw(&self, request: &Request<'_>, attempt: u32) -> Proposed {
        if !request.is_past(self.startup) {
            return request.draw_of_prior(attempt, STARTING_UP);
        }
        let proposed = propose(request, self.candidates as usize, attempt);
        proposed.unwrap_or_else(|| request.draw_of_prior(attempt, "prior: the process has no proposal"))
    }
}

/// The most trials that the hyperparameters are fitted to.
const MOST_FITTED: usize = 100;
/// The number of the best trials near which candidates are drawn.
const PARENTS: usize = 5;

/// Returns the proposal that follows the earlier trials, or `None` if no loss is known or nothing new is found. Trials without a loss are
/// pending.
fn propose(request: &Request<'_>, candidates: usize, attempt: u32) -> Option<Proposed> {
    let past = request.past;
    let layout = Layout::new(request.space);
    let coordinates: Vec<Coordinates> = past.trials.iter().map(|trial| layout.coordinates(&trial.labels)).collect();
    let points: Vec<Point> = coordinates.iter().map(|coordinates| layout.point(coordinates)).collect();
    let seen = past.losses.len().min(points.len());
    let ordered = layout.ordered();
    let isa = Isa::detect();

    let used = chosen((0..seen).filter(|i| past.losses[*i].is_finite()).collect(), &past.losses, MOST_TRIALS);
    let losses = standardised(&used.iter().map(|i| past.losses[*i]).collect::<Vec<_>>())?;
    let known: Vec<Point> = used.iter().map(|i| points[*i].clone()).collect();
    let few = chosen((0..used.len()).collect(), &losses, MOST_FITTED);
    let of_few = |i: &usize| (known[*i].clone(), losses[*i]);
    let (few_points, few_losses): (Vec<Point>, Vec<f64>) = few.iter().map(of_few).unzip();
    let scales = Data::new(isa, &ordered, &few_points, &few_losses).fitted(Scales::start(ordered.len()));
    let pending = &points[seen..];
    let recent = seen.saturating_sub(MOST_TRIALS);
    let failed_points: Vec<&Point> =
        (recent..seen).filter(|i| !past.losses[*i].is_finite()).map(|i| &points[i]).collect();
    let mut model = Model::new(isa, &ordered, &known, losses, scales, pending.len() + failed_points.len())?;
    let expected = model.expected(&known).into_iter().map(|expected| expected.mean);
    let least = expected.fold(f64::INFINITY, f64::min);
    // A failed trial says nothing about the surface, except that its neighbourhood is no longer unknown. Without this, the expected
    // improvement stays large where everything fails.
    for point in failed_points {
        let mean = model.expected([point])[0].mean.max(least);
        model.observe(point, mean);
    }
    for point in pending {
        let mean = model.expected([point])[0].mean;
        model.observe(point, mean);
    }
    let failed: Vec<bool> = past.losses[recent..seen].iter().map(|loss| !loss.is_finite()).collect();
    let feasible = Feasible::new(isa, &ordered, &points[recent..seen], &failed);

    let mut order = used;
    order.sort_by(|a, b| past.losses[*a].total_cmp(&past.losses[*b]).then(a.cmp(b)));
    let parents: Vec<&Coordinates> = order.iter().take(PARENTS).map(|i| &coordinates[*i]).collect();
    let proposal = |found: &Coordinates| {
        let mut active = found.iter().filter(|x| !x.is_nan());
        request.space.settle(&mut |_, _| *active.next().expect("the same labels are asked in the same order"))
    };
    let may_propose = |found: &Coordinates| {
        let same = |known: &Coordinates| known.iter().zip(found).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()));
        !coordinates.iter().any(same) && request.allows(&proposal(found))
    };
    let due = branches::due(request.space, &past.trials.iter().collect::<Vec<_>>());
    let forced: BTreeMap<usize, f64> =
        (0..ordered.len()).filter_map(|axis| Some((axis, *due.get(layout.label(axis))?))).collect();
    if !due.is_empty() {
        // What the model knows of the branch is what made it look bad. So it is not asked.
        let chance = request.chance(attempt);
        let drawn = layout.walk(&mut |axis| {
            let own = || draws::prior(layout.kind(axis), &mut chance.of(layout.label(axis)));
            forced.get(&axis).copied().unwrap_or_else(own)
        });
        if may_propose(&drawn) {
            return Some(Proposed { proposal: proposal(&drawn), by: "prior: a draw in a branch that is due" });
        }
    }
    let acquisition = Acquisition {
        layout: &layout,
        model: &model,
        feasible: feasible.as_ref(),
        least,
        forced: &forced,
        may_propose: &may_propose,
    };
    let found = acquisition.greatest(request.chance(attempt), candidates, &parents)?;
    let by = if due.is_empty() {
        "gaussian: expected improvement"
    } else {
        "gaussian: expected improvement in a branch that is due"
    };
    Some(Proposed { proposal: proposal(&found), by })
}

/// Returns the losses scaled to mean 0 and standard deviation 1, or `None` if there are none. Losses far above the median are first
/// replaced by the worst of the others.
fn standardised(losses: &[f64]) -> Option<Vec<f64>> {
    let mut sorted = losses.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (least, median, greatest) = (*sorted.first()?, sorted[sorted.len() / 2], *sorted.last()?);
    let far = if median > least { median + 3.0 * (median - least) } else { greatest };
    let worst = far.min(greatest);
    let clipped: Vec<f64> = losses.iter().map(|loss| loss.min(worst)).collect();
    let n = clipped.len() as f64;
    let mean = clipped.iter().sum::<f64>() / n;
    let variance = clipped.iter().map(|y| (y - mean) * (y - mean)).sum::<f64>() / n;
    let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
    Some(clipped.into_iter().map(|y| (y - mean) / deviation).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::search::{Past, Sampler, Space, TrialParameters};

    #[test]
    fn losses_far_above_the_median_are_replaced_by_the_worst_other_loss() {
        let found = standardised(&[1.0, 2.0, 3.0, 1e9]).unwrap();
        assert!(found[3] > found[2] && found[3] < 2.0, "{found:?}");
        assert!(found.iter().sum::<f64>().abs() < 1e-12);
        assert_eq!((standardised(&[]), standardised(&[5.0])), (None, Some(vec![0.0])));
    }

    /// Returns the share with x below 0.5 of the proposals 20 to 39.
    fn share(loss: impl Fn(f64, f64) -> f64) -> f64 {
        let space: Space = serde_json::from_value(json!({"x": {"uniform": [0, 1]}, "y": {"uniform": [0, 1]}})).unwrap();
        let sampler = Sampler::GaussianProcess(GaussianProcess::default());
        let mut past = Past::default();
        let mut below = 0;
        for id in 0..40 {
            let labels = sampler.propose(&space, &[], 2, id, &past).unwrap().proposal.labels;
            let [x, y] = ["x", "y"].map(|label| labels[label].as_f64().unwrap());
            below += u32::from(id >= 20 && x < 0.5);
            past.losses.push(loss(x, y));
            past.trials.push(TrialParameters { id, labels });
        }
        f64::from(below) / 20.0
    }

    #[test]
    fn the_search_keeps_away_from_where_trials_fail() {
        // Two bowls, the deeper one where trials may fail.
        let bowl = |x: f64, y: f64, centre: f64| (x - centre) * (x - centre) + (y - 0.5) * (y - 0.5);
        let both = |x: f64, y: f64| bowl(x, y, 0.2).min(0.05 + bowl(x, y, 0.8));
        assert!(share(both) > 0.7, "{}", share(both));
        let failing = |x: f64, y: f64| if x < 0.5 { f64::INFINITY } else { both(x, y) };
        assert!(share(failing) < 0.3, "{}", share(failing));
    }
}
