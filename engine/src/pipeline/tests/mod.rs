//! Pipelines that are refused, each with the whole message, and plans of pipelines that are accepted.

mod command;
mod each;
mod expand;
mod fields;
mod form;
mod fuzz;
mod graph;
mod layers;
mod names;
mod ranges;
mod sampler;
mod set;
mod space;
mod studies;
mod types;

use pipe_stages::{images::Augmentation, params::Declared as _, search::Sampler, train::Train, words::one_of};

use super::{mistake::Rendering, read::read, set::Override, spec::Pipeline, stages::KINDS};

/// A pipeline with a stage of almost every kind.
const TINY: &str = r#"Study(name: "tiny", stages: [
    ("raw", Fetch(Embedded(name: "shapes100", train: 200, test: 50))),
    ("data", Decode(from: "raw", format: Cifar100)),
    ("flip", Augment(data: "data", policy: [RandomFlip(0.5)])),
    ("search", Search(
        trials: 4, lag: 2, sampler: Tpe(startup: 2), maximise: Best("valid.fine_accuracy"),
        space: {"activation": choice(["relu", "elu"]), "l2_weight_reg_mult": loguniform(-1, 1)},
        trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filters: 4), epochs: 2),
    )),
    ("best", Retrain(of: "search", epochs: 3)),
    ("test", Evaluate(of: "best", split: Test)),
    ("filters", VisualizeFilters(of: "best")),
])
"#;

/// Returns [`TINY`] with each `(old, new)` replaced once.
fn edited(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(TINY.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "`{old}` is not in the text");
        text.replacen(old, new, 1)
    })
}

/// Reads a pipeline that must be accepted.
#[track_caller]
fn accepted(text: &str) -> Pipeline {
    read("pipeline.ron", text, &[]).unwrap_or_else(|refused| panic!("{}", refused.render(Rendering::Plain)))
}

/// Checks that [`TINY`] with `edits` is refused with these messages.
#[track_caller]
fn check(edits: &[(&str, &str)], messages: &str) {
    refused(&edited(edits), &[], messages);
}

/// Checks that [`TINY`] with each of `overrides` as a `--set` is refused with these messages.
#[track_caller]
fn check_set(overrides: &[&str], messages: &str) {
    refused(TINY, overrides, messages);
}

/// Returns `text` with lists of names in place of `<kinds of stages>` and the like, so that a new name needs no change here.
fn with_lists(text: &str) -> String {
    let mut fields = [Train::NAMES, &["augment", "data"]].concat();
    fields.sort_unstable();
    text.replace("<kinds of stages>", &one_of(KINDS.iter().map(|kind| kind.name)))
        .replace("<augmentations>", &one_of(Augmentation::NAMES.iter().copied()))
        .replace("<samplers>", &one_of(Sampler::NAMES.iter().copied()))
        .replace("<fields of Train>", &one_of(fields))
}

#[track_caller]
fn refused(text: &str, overrides: &[&str], messages: &str) {
    let overrides: Vec<_> =
        overrides.iter().map(|text| Override { origin: "--set", text: (*text).to_owned() }).collect();
    let found = read("pipeline.ron", text, &overrides).expect_err("it is wrong").render(Rendering::Plain);
    let messages = with_lists(messages);
    assert!(found.trim() == messages.trim(), "found:\n{found}\nexpected:\n{messages}");
}
