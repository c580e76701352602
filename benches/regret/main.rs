//! Measures a sampler's regret on eight functions against frozen baselines of Hyperopt and Optuna:
//! `cargo bench --bench regret -- [SEEDS [SAMPLER [LAG]]]`, SAMPLER in JSON, `"Tpe"` by default.
//!
//! Regret is the noiseless value of the trial with the least observed loss, minus the minimum of the function. The requirements
//! are: the median after 100 evaluations is at most that of Hyperopt; the upper 95 % bound of its ratio to the median of the
//! best baseline, by bootstrap over the seeds, is below 1.25; at most 5 % of trials fail; nothing is proposed twice.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod functions;

use std::{collections::BTreeSet, time::Instant};

use functions::Function;
use pipe_stages::{
    philox::{Purpose, Stream},
    search::{Past, Sampler, Space, TrialParameters},
};
use serde::Deserialize;

/// The numbers of evaluations after which the regret is recorded.
const AFTER: [u32; 3] = [25, 50, 100];
const TRIALS: u32 = AFTER[2];

#[derive(Deserialize)]
struct Baselines {
    rows: Vec<Baseline>,
}

#[derive(Deserialize)]
struct Baseline {
    function: String,
    sampler: String,
    medians: [f64; 3],
}

/// The results of one seed.
struct Outcome {
    regrets: [f64; 3],
    failed: u32,
    repeated: u32,
}

fn main() {
    // `cargo bench` adds its own flag.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    // `cargo bench -- NAME` passes the filter NAME to every benchmark.
    let is_number = |argument: &String| argument.parse::<u32>().is_ok();
    if arguments.first().is_some_and(|argument| argument != "regret" && !is_number(argument)) {
        return;
    }
    let arguments: Vec<String> = arguments.into_iter().skip_while(|argument| argument == "regret").collect();
    let number = |i: usize, default: u32| arguments.get(i).map_or(default, |text| text.parse().expect("a number"));
    let (seeds, lag) = (u64::from(number(0, 100)), number(2, 1));
    let sampler = arguments.get(1).map_or("\"Tpe\"", String::as_str);
    let sampler: Sampler = serde_json::from_str(sampler).expect("a sampler in JSON");
    let baselines: Baselines =
        serde_json::from_str(include_str!("baselines.json")).expect("it is part of the benchmark");

    println!("{}: {seeds} seeds, lag {lag}", serde_json::to_string(&sampler).expect("it was just read"));
    println!("| function | @25 | @50 | @100 | Hyperopt | best baseline | ratio | upper 95 % | failed | repeated |");
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let mut sound = true;
    for function in functions::all() {
        let space: Space = serde_json::from_value(function.space.clone()).expect("it is a space");
        let outcomes: Vec<Outcome> = (0..seeds).map(|seed| run(&sampler, &function, &space, seed, lag)).collect();
        let at = |k: usize| outcomes.iter().map(|outcome| outcome.regrets[k]).collect::<Vec<f64>>();
        let medians = [0, 1, 2].map(|k| median(at(k)));
        let of_function = || baselines.rows.iter().filter(|row| row.function == function.name);
        let hyperopt = of_function().find(|row| row.sampler == "ho_tpe").expect("it is there").medians[2];
        let best = of_function().map(|row| row.medians[2]).fold(f64::INFINITY, f64::min);
        let upper = upper_bound(&at(2)) / best;
        let all = (seeds as u32 * TRIALS) as f64;
        let failed = outcomes.iter().map(|outcome| f64::from(outcome.failed)).sum::<f64>() / all;
        let repeated: u32 = outcomes.iter().map(|outcome| outcome.repeated).sum();
        let holds = medians[2] <= hyperopt && upper < 1.25 && failed <= 0.05 && repeated == 0;
        sound &= holds;
        println!(
            "| {} | {:.4} | {:.4} | {:.5} | {hyperopt:.5} | {best:.5} | {:.3} | {upper:.3}{} | {:.1} % | {repeated} |",
            function.name,
            medians[0],
            medians[1],
            medians[2],
            medians[2] / best,
            if holds { "" } else { " MISSED" },
            100.0 * failed,
        );
    }
    println!("{}", if sound { "the gate holds" } else { "the gate does not hold" });
    println!("100 proposals on the space of 22 labels: {:.0} ms", time(&sampler));
}

/// Runs one search. Each proposal sees the scores of all trials except the last `lag - 1`.
fn run(sampler: &Sampler, function: &Function, space: &Space, seed: u64, lag: u32) -> Outcome {
    let mut past = Past::default();
    let (mut losses, mut seen) = (Vec::new(), BTreeSet::new());
    let mut best = (f64::INFINITY, f64::INFINITY);
    let mut outcome = Outcome { regrets: [f64::NAN; 3], failed: 0, repeated: 0 };
    for trial in 0..TRIALS {
        let visible: &[f64] = &losses[..(trial + 1).saturating_sub(lag) as usize];
        past.good = sampler.split(trial, false).map(|rule| rule.good(visible, trial)).unwrap_or_default();
        past.losses = if sampler.reads_history(trial, false) { visible.to_vec() } else { Vec::new() };
        let proposal = sampler.propose(space, &[], seed, trial, &past).expect("these spaces are not exhausted");
        outcome.repeated += u32::from(!seen.insert(proposal.to_record()));
        let value = (function.value)(&proposal.values);
        let failed = (function.fails)(&proposal.values);
        outcome.failed += u32::from(failed);
        let loss = if failed { f64::INFINITY } else { value + (function.noise)(seed, trial) };
        if loss < best.0 {
            best = (loss, value);
        }
        losses.push(loss);
        past.trials.push(TrialParameters { id: trial, labels: proposal.labels });
        if let Some(k) = AFTER.iter().position(|after| *after == trial + 1) {
            outcome.regrets[k] = best.1 - function.least;
        }
    }
    outcome
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    0.5 * (values[(values.len() - 1) / 2] + values[values.len() / 2])
}

/// Returns the upper bound of 95 % of the medians of resamples.
fn upper_bound(values: &[f64]) -> f64 {
    const RESAMPLES: u32 = 2000;
    let n = values.len() as u32;
    let resampled = |i: u32| {
        let stream = Stream::new(0, Purpose::Split, i, 0);
        median((0..n).map(|j| values[stream.below(u64::from(j), n) as usize]).collect())
    };
    let mut medians: Vec<f64> = (0..RESAMPLES).map(resampled).collect();
    medians.sort_by(f64::total_cmp);
    medians[(0.95 * f64::from(RESAMPLES)) as usize]
}

/// Returns the shortest time of several searches over the space of 22 labels, in milliseconds.
fn time(sampler: &Sampler) -> f64 {
    let function =
        functions::all().into_iter().find(|function| function.name == "hyperopt_cifar_like").expect("it is there");
    let space: Space = serde_json::from_value(function.space.clone()).expect("it is a space");
    let once = |seed| {
        let start = Instant::now();
        run(sampler, &function, &space, seed, 1);
        1e3 * start.elapsed().as_secs_f64()
    };
    (0..5).map(once).fold(f64::INFINITY, f64::min)
}
