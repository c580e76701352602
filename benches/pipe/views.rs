//! `diff` and `report` of studies of 1,000 trials.

use divan::Bencher;
use pipe_engine::study;
use pipe_views::report;

use crate::{fabricated::Fabricated, studies::of_trials};

/// Returns two studies in which every trial differs.
fn two_studies() -> Fabricated {
    let folder = Fabricated::new(&of_trials(1000, 7));
    folder.run(&of_trials(1000, 8));
    folder
}

/// Measured as a process.
#[divan::bench(sample_count = 30)]
fn diff_1000_trials(bencher: Bencher) {
    let folder = two_studies();
    let diff = folder.pipe("diff many~1 many");
    assert!(diff.contains("file search/train/*/trial.json: in 1000 nodes"), "{diff}");
    bencher.bench_local(|| folder.pipe("diff many~1 many"));
}

#[divan::bench(sample_count = 20)]
fn report_1000_trials(bencher: Bencher) {
    let folder = Fabricated::new(&of_trials(1000, 7));
    let load = || {
        let store = folder.store();
        let found = study::find(&store, Some("many")).expect("the study was made");
        (store, found)
    };
    bencher
        .with_inputs(load)
        .bench_local_values(|(store, found)| report::html(&store, &found).expect("it can be shown"));
}
