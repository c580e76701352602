//! The importance of labels, by PED-ANOVA: how much each label matters for a trial to be among the best.
//!
//! A label is important if its values in the best trials are distributed differently from its values in all trials. The measure
//! is the Pearson divergence between Parzen estimators of the two distributions, on a grid. If a label is not active in every
//! trial, only the trials that have it are compared, and the result is weighted by how much more often the best trials have it.
//!
//! Sources: Watanabe, Bansal and Hutter, "PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary subspaces",
//! IJCAI 2023; for conditional spaces, theorem 4.2 of arXiv 2601.20800. Results equal those of Optuna 5.0.0's
//! `PedAnovaImportanceEvaluator` with its defaults.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{
    samplers::normal_cdf,
    spaces::{Axis, Kind, Numeric, Space},
};

/// The share of trials that count as the best.
const BEST: f64 = 0.1;
/// The most points of a label's grid. A label with fewer steps has a point for each.
const GRID: usize = 50;
/// The weight of the prior, as a number of trials.
const PRIOR: f64 = 1.0;
/// The importance of a label that is active in fewer trials is 0.
const FEWEST: usize = 2;

/// The importance of one label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Importance {
    /// The label.
    #[serde(rename = "hyperparameter")]
    pub label: String,
    /// The importance, at least 0. It is 0 if the values are distributed in the best trials as in all trials. Only the order and
    /// the ratios of importances have a meaning.
    pub importance: f64,
    /// The number of trials that have the label.
    pub trials: usize,
    /// The number of the best trials that have the label.
    pub best: usize,
}

/// Returns the importance of every label of `space`, the greatest first, from `trials`: (labels, loss). Trials without a finite
/// loss are left out. Returns nothing if fewer than two trials are left.
pub fn importances(space: &Space, trials: &[(&BTreeMap<String, Value>, f64)]) -> Vec<Importance> {
    let trials: Vec<_> = trials.iter().filter(|(_, loss)| loss.is_finite()).collect();
    if trials.len() < 2 {
        return Vec::new();
    }
    let mut losses: Vec<f64> = trials.iter().map(|(_, loss)| *loss).collect();
    losses.sort_by(f64::total_cmp);
    let cutoff = losses[(BEST * losses.len() as f64).ceil() as usize - 1];
    let n_best = losses.iter().filter(|loss| **loss <= cutoff).count() as f64;
    let share = n_best / losses.len() as f64;
    let of_label = |(label, kind): (&str, &Kind)| {
        let grid = Grid::new(kind, label, trials.iter().map(|(labels, _)| *labels));
        let cells = trials.iter().filter_map(|(labels, loss)| Some((grid.cell(kind.coordinate(label, labels)?), loss)));
        let cells: Vec<(usize, bool)> = cells.map(|(cell, loss)| (cell, *loss <= cutoff)).collect();
        let all = grid.counts(cells.iter().map(|(cell, _)| *cell));
        let best = grid.counts(cells.iter().filter(|(_, best)| *best).map(|(cell, _)| *cell));
        let n_of_best = cells.iter().filter(|(_, best)| *best).count();
        let mut importance = 0.0;
        if n_of_best > 0 && cells.len() >= FEWEST && all.len() > 1 {
            let (of_best, of_all) = (n_of_best as f64 / n_best, cells.len() as f64 / trials.len() as f64);
            importance = share * share * of_best * of_best / of_all * grid.divergence(&best, &all);
        }
        Importance { label: label.to_owned(), importance, trials: cells.len(), best: n_of_best }
    };
    let mut found: Vec<Importance> = space.axes().into_iter().map(of_label).collect();
    found.sort_by(|a, b| b.importance.total_cmp(&a.importance).then(a.label.cmp(&b.label)));
    found
}

/// The cells in which the values of a label are counted.
enum Grid {
    /// One cell for each option.
    Options(usize),
    /// `n` cells around evenly spaced points of z, from `lo` to `hi`, both included.
    Points { numeric: Numeric, lo: f64, hi: f64, n: usize },
}

impl Grid {
    fn new<'a>(kind: &Kind, label: &str, trials: impl Iterator<Item = &'a BTreeMap<String, Value>>) -> Self {
        let numeric = match kind.axis() {
            Axis::Options(options) => return Self::Options(options.len()),
            Axis::Numeric(numeric) => numeric,
        };
        let n = kind.count().map_or(GRID, |n| GRID.min(n as usize));
        let (lo, hi) = match (kind, kind.count()) {
            // From the first step to the last. The steps of an ordered choice are the indices of its options.
            (_, Some(count)) => (numeric.z(kind.nth(0)), numeric.z(kind.nth(count - 1))),
            (_, None) => numeric.bounds(),
        };
        if lo.is_finite() {
            return Self::Points { numeric, lo, hi, n };
        }
        // A normal prior has no bounds, so the grid spans the trials.
        let zs = trials.filter_map(|labels| Some(numeric.z(kind.coordinate(label, labels)?)));
        let (lo, hi) = zs.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), z| (lo.min(z), hi.max(z)));
        Self::Points { numeric, lo, hi, n: if lo < hi { n } else { 1 } }
    }

    fn len(&self) -> usize {
        match self {
            Self::Options(n) | Self::Points { n, .. } => *n,
        }
    }

    /// Returns the cell nearest to a coordinate, or the lower of two that are equally near.
    fn cell(&self, x: f64) -> usize {
        match self {
            Self::Options(_) => x as usize,
            Self::Points { n: 1, .. } => 0,
            Self::Points { numeric, lo, hi, n } => {
                let step = (hi - lo) / (*n as f64 - 1.0);
                ((numeric.z(x) - lo) / step - 0.5).ceil().clamp(0.0, *n as f64 - 1.0) as usize
            }
        }
    }

    fn counts(&self, cells: impl Iterator<Item = usize>) -> Vec<f64> {
        let mut counts = vec![0.0; self.len()];
        cells.for_each(|cell| counts[cell] += 1.0);
        counts
    }

    /// Returns the Pearson divergence between the densities of the counts `best` and `all`.
    fn divergence(&self, best: &[f64], all: &[f64]) -> f64 {
        let (best, all) = (self.density(best), self.density(all));
        best.iter().zip(&all).map(|(best, all)| all * (best / all - 1.0) * (best / all - 1.0)).sum()
    }

    /// Returns the mass of each cell under a Parzen estimator.
    fn density(&self, counts: &[f64]) -> Vec<f64> {
        const TINY: f64 = 1e-12;
        let observed: Vec<(f64, f64)> =
            (0..).map(f64::from).zip(counts.iter().copied()).filter(|(_, count)| *count > 0.0).collect();
        let total: f64 = observed.iter().map(|(_, count)| count).sum();
        let n = self.len() as f64;
        let mass = |cell: f64| -> f64 {
            match self {
                Self::Options(_) => {
                    // A kernel puts most of its mass on its own option and a little on every option.
                    let little = PRIOR / (observed.len() as f64 + 1.0);
                    let kernel = |own: bool| (little + f64::from(u8::from(own))) / (1.0 + n * little);
                    observed.iter().map(|(option, count)| count * kernel(*option == cell)).sum::<f64>() + PRIOR / n
                }
                Self::Points { .. } => {
                    let bandwidth = bandwidth(&observed, total);
                    let kernel = |mu: f64, sigma: f64| {
                        let below = |z: f64| normal_cdf(z, mu, sigma);
                        (below(cell + 0.5) - below(cell - 0.5)) / (below(n - 0.5) - below(-0.5))
                    };
                    observed.iter().map(|(mu, count)| count * kernel(*mu, bandwidth)).sum::<f64>()
                        + PRIOR * kernel(0.5 * (n - 1.0), n)
                }
            }
        };
        (0..counts.len()).map(|cell| mass(cell as f64) / (total + PRIOR) + TINY).collect()
    }
}

/// Returns the bandwidth of the kernels at `observed`, (cell, count), by Scott's rule ("Multivariate density estimation", 1992).
/// `total` is the sum of the counts. The bandwidth is at least the one with which 90 % of a kernel is in its own cell.
fn bandwidth(observed: &[(f64, f64)], total: f64) -> f64 {
    let mean = observed.iter().map(|(cell, count)| cell * count).sum::<f64>() / total;
    let squares: f64 = observed.iter().map(|(cell, count)| (cell - mean) * (cell - mean) * count).sum();
    let deviation = (squares / (total - 1.0).max(1.0)).sqrt();
    let mut below = 0.0;
    let sums: Vec<f64> = observed.iter().map(|(_, count)| (below += count, below).1).collect();
    let first = sums.partition_point(|sum| *sum < (total / 4.0).floor());
    let third = sums.partition_point(|sum| *sum <= (total * 3.0 / 4.0).floor()).min(observed.len() - 1);
    let quartiles = observed[third].0 - observed[first].0;
    let scott = 1.059 * (quartiles / 1.34).min(deviation) * libm::pow(total, -0.2);
    scott.max(0.5 / 1.64)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        importances: BTreeMap<String, f64>,
        trials: Vec<Trial>,
    }

    #[derive(Deserialize)]
    struct Trial {
        labels: BTreeMap<String, Value>,
        loss: f64,
    }

    /// The fixture has the results of Optuna 5.0.0's `PedAnovaImportanceEvaluator().evaluate(study)` on 60 random trials.
    #[test]
    fn importances_equal_those_of_optuna() {
        let golden: Golden = serde_json::from_str(include_str!("fixtures/ped_anova.json")).unwrap();
        let space: Space = serde_json::from_value(json!({
            "x": {"uniform": [-1, 2]},
            "lr": {"loguniform": [-5, 0]},
            "n": {"quniform": [1, 9, 1]},
            "kind": {"choice": ["a", "b", "c"]},
            "more": {"choice": [1, {"depth": {"quniform": [1, 5, 1]}}]},
        }))
        .unwrap();
        let trials: Vec<_> = golden.trials.iter().map(|trial| (&trial.labels, trial.loss)).collect();
        let found = importances(&space, &trials);
        for Importance { label, importance, trials, .. } in &found {
            let expected = golden.importances.get(label).copied().unwrap_or(0.0);
            assert!((importance - expected).abs() <= 1e-9, "{label}: {importance} instead of {expected}");
            let has = golden.trials.iter().filter(|trial| trial.labels.contains_key(label)).count();
            assert_eq!(*trials, has);
        }
        assert_eq!(found[0].label, "lr");
        let failed = BTreeMap::new();
        let with_failed: Vec<_> = trials.iter().copied().chain([(&failed, f64::INFINITY)]).collect();
        assert_eq!(importances(&space, &with_failed), found);
        assert_eq!(importances(&space, &trials[..1]), []);
    }
}
