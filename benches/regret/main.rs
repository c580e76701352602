//! Measures a sampler's regret against frozen baselines of Hyperopt, Optuna and random search:
//! `cargo bench --bench regret -- [SEEDS [SAMPLER [LAG [FUNCTIONS]]]]`, SAMPLER in JSON, `"Auto"` by default, FUNCTIONS a part of their
//! names.
//!
//! Regret is the noiseless value of the trial with the least observed loss, minus the minimum of the function. What must hold is
//! in `gate.rs`. `cargo bench --bench regret -- serve` evaluates functions for `baselines.py`, which makes the baselines.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints its figures, and keeps them in files of its own"
)]

mod functions;
mod gate;
mod search;
mod serve;

use pipe_stages::search::{Sampler, Space};

fn main() {
    // `cargo bench` adds its own flag.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    // `cargo bench -- NAME` passes the filter NAME to every benchmark.
    let is_number = |argument: &String| argument.parse::<u32>().is_ok();
    match arguments.first() {
        Some(first) if first == "serve" => return serve::serve(),
        Some(first) if first != "regret" && !is_number(first) => return,
        _ => {}
    }
    let arguments: Vec<String> = arguments.into_iter().skip_while(|argument| argument == "regret").collect();
    let number = |i: usize, default: u32| arguments.get(i).map_or(default, |text| text.parse().expect("a number"));
    let (seeds, lag) = (number(0, 50), number(2, 1));
    let sampler = arguments.get(1).map_or("\"Auto\"", String::as_str);
    let sampler: Sampler = serde_json::from_str(sampler).expect("a sampler in JSON");
    let named = arguments.get(3).map_or("", String::as_str);
    // Seeds from 1000 on are for choosing settings: `REGRET_FIRST_SEED=1000`.
    let first = std::env::var("REGRET_FIRST_SEED").map_or(0, |text| text.parse().expect("a number"));

    // Long runs can be divided by functions: `REGRET_KEEP=FILE` adds the outcomes to a file, and `REGRET_KEPT=FILE` makes the table of them.
    let (keep, kept) = (std::env::var("REGRET_KEEP").ok(), std::env::var("REGRET_KEPT").ok());

    println!("{}: {seeds} seeds from {first}, lag {lag}", serde_json::to_string(&sampler).expect("it was just read"));
    println!("{}", gate::Table::head());
    let mut table = gate::Table::new(lag);
    for function in
        functions::all().into_iter().filter(|function| named.split(',').any(|part| function.name.contains(part)))
    {
        let space: Space = serde_json::from_value(function.space.clone()).expect("it is a space");
        let run = |seed| search::run(&sampler, &function, &space, u64::from(seed), lag, search::TRIALS);
        let outcomes: Vec<search::Outcome> = match &kept {
            Some(kept) => search::kept(kept, function.name, lag),
            None => (first..first + seeds).map(run).collect(),
        };
        if let Some(file) = &keep {
            search::keep(file, function.name, lag, &outcomes);
        }
        println!("{}", table.row(function.name, &outcomes));
    }
    println!("{}", table.verdict());
    if named.is_empty() && kept.is_none() {
        println!(
            "100 proposals on the space of 22 labels: {:.0} ms",
            search::time(&sampler, "hyperopt_cifar_like", 100)
        );
        println!(
            "1000 proposals on the space of 22 labels: {:.1} s",
            search::time(&sampler, "hyperopt_cifar_like", 1000) / 1e3
        );
        println!("1000 proposals on hartmann6: {:.1} s", search::time(&sampler, "hartmann6", 1000) / 1e3);
    }
}
