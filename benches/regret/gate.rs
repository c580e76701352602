//! What must hold, and the table that shows it.
//!
//! With the medians of the regret after 100 evaluations:
//!
//! - On every function, ours is at most that of Optuna's default and that of Hyperopt.
//! - On every function, the upper 95 % bound of our ratio to the best baseline of all (with at least [`FEWEST_SEEDS`]) is below 1.25. Ours
//!   and the baseline are both resampled.
//! - The geometric mean of our ratios to Optuna's default is below 0.7.
//! - Nothing is proposed twice.
//!
//! With a lag of 8, the baselines are Optuna's in batches of 8. A regret below a thousandth of that of random search counts as that
//! thousandth: smaller differences mean nothing to a user, and a ratio to zero means nothing at all.

use pipe_stages::philox::{Purpose, Stream};
use serde::Deserialize;

use crate::search::Outcome;

/// `baselines.json`.
#[derive(Deserialize)]
struct Baselines {
    rows: Vec<Baseline>,
}

#[derive(Deserialize)]
struct Baseline {
    function: String,
    sampler: String,
    lag: u32,
    /// The regrets after 25, 50 and 100 evaluations, for each seed.
    regrets: Vec<[f64; 3]>,
}

/// The fewest seeds of a baseline that can be the best of all. Optuna's Gaussian process takes up to minutes for a search, so it has fewer:
/// its median is only shown.
const FEWEST_SEEDS: usize = 10;

/// The table of all functions.
pub(crate) struct Table {
    /// 1, or 8 for any other lag: the baselines know no others.
    lag: u32,
    baselines: Vec<Baseline>,
    /// The logarithms of the ratios to Optuna's default after 25, 50 and 100 evaluations, by function.
    ln_ratios: Vec<[f64; 3]>,
    missed: Vec<String>,
}

impl Table {
    /// Reads the baselines for searches with this lag.
    pub(crate) fn new(lag: u32) -> Self {
        let Baselines { rows } =
            serde_json::from_str(include_str!("baselines.json")).expect("it is part of the benchmark");
        Self { lag: if lag == 1 { 1 } else { 8 }, baselines: rows, ln_ratios: Vec::new(), missed: Vec::new() }
    }

    /// Returns the lines above the rows.
    pub(crate) fn head() -> &'static str {
        "| function | @25 | @50 | @100 | Optuna | Hyperopt | GPSampler | ratio to Optuna | best of all | ratio | bound | failed |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|"
    }

    /// Returns the regrets of a baseline, for each seed. Empty if there is no such baseline.
    fn regrets(&self, function: &str, sampler: &str, lag: u32) -> &[[f64; 3]] {
        let is_it = |row: &&Baseline| row.function == function && row.sampler == sampler && row.lag == lag;
        self.baselines.iter().find(is_it).map_or(&[], |row| &row.regrets)
    }

    /// Returns the row of a function, and remembers what it misses.
    pub(crate) fn row(&mut self, function: &str, outcomes: &[Outcome]) -> String {
        let at = |regrets: &[[f64; 3]], k: usize| regrets.iter().map(|regrets| regrets[k]).collect::<Vec<f64>>();
        let floor = 1e-3 * median(at(self.regrets(function, "random", 1), 2));
        let ours: Vec<[f64; 3]> = outcomes.iter().map(|outcome| outcome.regrets).collect();
        let ratio = |theirs: &[[f64; 3]], k: usize| median(at(&ours, k)).max(floor) / median(at(theirs, k)).max(floor);
        let of = |sampler: &str| self.regrets(function, sampler, self.lag);
        let optuna = of("optuna");
        let many = ["optuna", "hyperopt", "gp", "auto"].into_iter().filter(|name| of(name).len() >= FEWEST_SEEDS);
        let end = |name: &str| median(at(of(name), 2));
        let best = many.min_by(|a, b| end(a).total_cmp(&end(b))).expect("there are baselines with many seeds");
        let raised = |regrets: &[[f64; 3]]| at(regrets, 2).iter().map(|x| x.max(floor)).collect::<Vec<f64>>();
        let bound = upper_bound(&raised(&ours), &raised(of(best)));
        let all = (outcomes.len() as u32 * crate::search::TRIALS) as f64;
        let failed = outcomes.iter().map(|outcome| f64::from(outcome.failed)).sum::<f64>() / all;
        let repeated: u32 = outcomes.iter().map(|outcome| outcome.repeated).sum();

        let behind = ["optuna", "hyperopt"].into_iter().any(|name| !of(name).is_empty() && ratio(of(name), 2) > 1.0);
        let misses = [("median", behind), ("bound", bound >= 1.25), ("repeated", repeated > 0)];
        let missed: Vec<&str> = misses.into_iter().filter_map(|(what, misses)| misses.then_some(what)).collect();
        let ln_ratios = [0, 1, 2].map(|k| libm::log(ratio(optuna, k)));
        let cell = |name: &str| if of(name).is_empty() { "-".to_owned() } else { figures(end(name)) };
        let cells = [
            function.to_owned(),
            figures(median(at(&ours, 0))),
            figures(median(at(&ours, 1))),
            figures(median(at(&ours, 2))),
            cell("optuna"),
            cell("hyperopt"),
            cell("gp"),
            format!("{:.2}", ratio(optuna, 2)),
            best.to_owned(),
            format!("{:.2}", ratio(of(best), 2)),
            format!("{bound:.2}{}", missed.iter().map(|what| format!(" **{what}**")).collect::<String>()),
            format!("{:.0} %", 100.0 * failed),
        ];
        self.missed.extend(missed.iter().map(|what| format!("{function}: {what}")));
        self.ln_ratios.push(ln_ratios);
        format!("| {} |", cells.join(" | "))
    }

    /// Returns whether the gate holds, in words.
    pub(crate) fn verdict(&self) -> String {
        let n = self.ln_ratios.len() as f64;
        let mean = |k: usize| libm::exp(self.ln_ratios.iter().map(|ratios| ratios[k]).sum::<f64>() / n);
        let [early, half, end] = [0, 1, 2].map(mean);
        let mut missed = self.missed.clone();
        if end >= 0.7 {
            missed.push("the geometric mean".to_owned());
        }
        let verdict =
            if missed.is_empty() { "the gate holds".to_owned() } else { format!("missed: {}", missed.join("; ")) };
        let means = format!("{early:.2} after 25, {half:.2} after 50, {end:.3} after 100 evaluations");
        format!("geometric mean of the ratios to Optuna's default: {means}\n{verdict}")
    }
}

/// Returns the number with three figures.
fn figures(x: f64) -> String {
    if x != 0.0 && x < 1e-3 {
        return format!("{x:.1e}");
    }
    let digits = (2.0 - libm::floor(libm::log10(x.max(1e-3)))).max(0.0) as usize;
    format!("{x:.digits$}")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    0.5 * (values[(values.len() - 1) / 2] + values[values.len() / 2])
}

/// Returns the upper bound of 95 % of the ratios of the medians of resamples.
fn upper_bound(ours: &[f64], theirs: &[f64]) -> f64 {
    const RESAMPLES: u32 = 2000;
    let resampled = |values: &[f64], i: u32, which: u32| {
        let stream = Stream::new(0, Purpose::Split, i, which);
        let n = values.len() as u32;
        median((0..n).map(|j| values[stream.below(u64::from(j), n) as usize]).collect())
    };
    let ratio = |i: u32| resampled(ours, i, 0) / resampled(theirs, i, 1);
    let mut ratios: Vec<f64> = (0..RESAMPLES).map(ratio).collect();
    ratios.sort_by(f64::total_cmp);
    ratios[(0.95 * f64::from(RESAMPLES)) as usize]
}
