//! `pipe run` as a process, with nothing to do, and with a hundred light nodes or trainings to execute.

use divan::Bencher;

use crate::{
    fabricated::Fabricated,
    studies::{DEFAULT, of_augmentations, of_trainings, of_trials},
};

#[divan::bench(sample_count = 50)]
fn nothing_to_do_default(bencher: Bencher) {
    nothing_to_do(bencher, DEFAULT);
}

#[divan::bench(sample_count = 30)]
fn nothing_to_do_1000_trials(bencher: Bencher) {
    nothing_to_do(bencher, &of_trials(1000, 7));
}

fn nothing_to_do(bencher: Bencher, text: &str) {
    let study = Fabricated::new(text);
    assert!(study.pipe("run --plan").ends_with(" 0 will run, 0 may run\n"), "all of it is known");
    bencher.bench_local(|| study.pipe("run --quiet"));
}

/// The time is for all nodes together.
#[divan::bench(sample_count = 5)]
fn first_time_100_light_nodes(bencher: Bencher) {
    first_time(bencher, |seed| of_augmentations(100, seed));
}

/// The time is for all nodes together. Each training is a process.
#[divan::bench(sample_count = 3)]
fn first_time_100_trainings_of_one_step(bencher: Bencher) {
    first_time(bencher, |seed| of_trainings(100, seed));
}

fn first_time(bencher: Bencher, study: impl Fn(u64) -> String) {
    let folder = Fabricated::new(&study(0));
    let mut seed = 0;
    let next = || {
        seed += 1;
        std::fs::write(folder.path("pipeline.ron"), study(seed)).expect("the folder can be written");
    };
    bencher.with_inputs(next).bench_local_values(|()| {
        let events = folder.pipe("run --json");
        assert_eq!(events.matches(r#""how":"executed""#).count(), 100, "{events}");
    });
}
