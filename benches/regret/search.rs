//! One search for the minimum of a function, without training anything.

use std::{
    collections::BTreeSet,
    io::Write,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use pipe_stages::search::{Past, Proposed, Sampler, Space, TrialParameters};

use crate::functions::{self, Function};

/// The numbers of evaluations after which the regret is recorded.
pub(crate) const AFTER: [u32; 3] = [25, 50, 100];
pub(crate) const TRIALS: u32 = AFTER[2];

/// The results of one seed.
pub(crate) struct Outcome {
    /// The regrets after [`AFTER`] evaluations.
    pub(crate) regrets: [f64; 3],
    pub(crate) failed: u32,
    pub(crate) repeated: u32,
    /// The time of all proposals.
    pub(crate) took: Duration,
}

/// Runs one search. Each proposal sees the scores of all trials except the last `lag - 1`.
pub(crate) fn run(sampler: &Sampler, function: &Function, space: &Space, seed: u64, lag: u32, trials: u32) -> Outcome {
    let mut past = Past::default();
    let (mut losses, mut seen) = (Vec::new(), BTreeSet::new());
    let mut best = (f64::INFINITY, f64::INFINITY);
    let mut outcome = Outcome { regrets: [f64::NAN; 3], failed: 0, repeated: 0, took: Duration::ZERO };
    for trial in 0..trials {
        let visible: &[f64] = &losses[..(trial + 1).saturating_sub(lag) as usize];
        past.split = sampler.split(trial, false).map(|rule| rule.split(visible, trial, 0)).unwrap_or_default();
        past.losses = if sampler.reads_history(trial, false) { visible.to_vec() } else { Vec::new() };
        let start = Instant::now();
        let Proposed { proposal, .. } =
            sampler.propose(space, &[], seed, trial, &past).expect("these spaces are not exhausted");
        outcome.took += start.elapsed();
        outcome.repeated += u32::from(!seen.insert(proposal.to_record()));
        let loss = function.observed(&proposal.values, seed, trial);
        outcome.failed += u32::from(loss == f64::INFINITY);
        if loss < best.0 {
            best = (loss, (function.value)(&proposal.values));
        }
        losses.push(loss);
        past.trials.push(TrialParameters { id: trial, labels: proposal.labels });
        if let Some(k) = AFTER.iter().position(|after| *after == trial + 1) {
            outcome.regrets[k] = best.1 - function.least;
        }
    }
    outcome
}

/// Adds outcomes to a file of lines of JSON.
pub(crate) fn keep(file: &str, function: &str, lag: u32, outcomes: &[Outcome]) {
    let mut file = std::fs::File::options().create(true).append(true).open(file).expect("the file can be written");
    for Outcome { regrets, failed, repeated, .. } in outcomes {
        let line =
            json!({"function": function, "lag": lag, "regrets": regrets, "failed": failed, "repeated": repeated});
        writeln!(file, "{line}").expect("the file can be written");
    }
}

/// Returns the outcomes of a function and a lag in a file that [`keep`] wrote.
pub(crate) fn kept(file: &str, function: &str, lag: u32) -> Vec<Outcome> {
    let text = std::fs::read_to_string(file).expect("the file can be read");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    let of_function = lines.filter(|line| line["function"] == function && line["lag"] == lag);
    let number = |line: &Value, key: &str| line[key].as_u64().expect("an integer") as u32;
    let outcome = |line: Value| Outcome {
        regrets: [0, 1, 2].map(|k| line["regrets"][k].as_f64().expect("a number")),
        failed: number(&line, "failed"),
        repeated: number(&line, "repeated"),
        took: Duration::ZERO,
    };
    of_function.map(outcome).collect()
}

/// Returns the shortest time of the proposals of a few searches, in milliseconds.
pub(crate) fn time(sampler: &Sampler, name: &str, trials: u32) -> f64 {
    let function = functions::all().into_iter().find(|function| function.name == name).expect("it is there");
    let space: Space = serde_json::from_value(function.space.clone()).expect("it is a space");
    let searches = if trials > 100 { 1 } else { 5 };
    let once = |seed| 1e3 * run(sampler, &function, &space, seed, 1, trials).took.as_secs_f64();
    (0..searches).map(once).fold(f64::INFINITY, f64::min)
}
