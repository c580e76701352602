//! Tests with studies that differ in known ways.

use pipe_engine::study::Outcome;
use pipe_stages::StageName;
use pipe_store::ActionResult;
use serde_json::json;

use super::*;
use crate::testing::{Builder, Trial};

fn compared(old: Builder, new: Builder) -> (Diff, String) {
    let (store, old) = old.done();
    let (_, new) = new.done();
    let diff = compare(&store, &old, &new).unwrap();
    assert_eq!(diff.is_same(), old.hash() == new.hash());
    let text = render(&diff, ["old", "new"]);
    (diff, text)
}

#[track_caller]
fn check(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
}

#[test]
fn equal_studies_do_not_differ() {
    let builder = Builder::whole(4);
    let (diff, text) = compared(builder.clone(), builder);
    assert!(diff.is_same());
    assert_eq!(text, "");
}

/// Returns a change that gives a study another augmentation, so that its policy and all trainings have other keys.
fn with_flip(p: f64) -> impl Fn(Builder) -> Builder {
    move |mut builder| {
        builder.stage("flip", json!({ "Augment": { "data": "data", "policy": [{ "RandomFlip": p }] } }));
        builder.run("flip", true);
        let trials: Vec<_> = (0..4).map(|i| Trial::completed(0.1 + p + 0.01 * f64::from(i))).collect();
        builder.search("search", &trials)
    }
}

#[test]
fn a_changed_parameter_comes_first_with_the_nodes_it_affects() {
    let builder = Builder::whole(4);
    let (old, new) = (with_flip(0.5)(builder.clone()), with_flip(0.25)(builder));
    let (diff, text) = compared(old, new);
    let question = "old  old\nnew  new\n\nInputs that differ\n  flip.policy[0].RandomFlip: 0.5 -> 0.25\n    which changes\n      \
                    flip: 1 augmentation\n      search: 4 history records, 1 selection, 4 trainings\n\nResults that differ\n";
    assert!(text.starts_with(question), "{text}");
    check(
        &text,
        &[
            "search/train/000  valid.fine_accuracy   0.6  0.35       -0.25\n",
            "best of search: trial 3 (loss -0.63) -> trial 3 (loss -0.38)\n",
            "  picture flip/preview.png: ",
            "  file search/train/*/score.json: in 4 nodes\n",
        ],
    );
    assert!(diff.divergences.iter().all(|divergence| divergence.node == "search/select"));
}

#[test]
fn more_trials_are_more_nodes_and_can_change_the_best() {
    let trials = [0.1, 0.2, 0.3, 0.4].map(Trial::completed);
    let builder = Builder::new();
    let (old, new) = (builder.clone().search("search", &trials[..2]), builder.search("search", &trials));
    let (diff, text) = compared(old, new);
    check(
        &text,
        &[
            "  search.trials: 2 -> 4\n    which changes\n      search: 2 history records added, 2 proposals added, 1 selection, 2 trainings added\n",
            "  best of search: trial 1 (loss -0.2) -> trial 3 (loss -0.4)\n    lr_rate_mult: 1.25 -> 1.75\n",
        ],
    );
    assert_eq!((diff.answer.metrics.len(), diff.divergences.len()), (0, 0));
}

#[test]
fn evaluations_are_compared_metric_by_metric() {
    let builder = Builder::whole(4);
    let mut better = builder.clone();
    better.stage("test", json!({ "Evaluate": { "of": "retrain_best", "split": "Validation" } }));
    better.evaluation(0.45);
    let (_, text) = compared(builder, better);
    check(
        &text,
        &[
            "  test.split: default -> Validation\n    which changes\n      test: 1 evaluation\n",
            "  test  fine.accuracy          0.402   0.45      +0.048\n  test  fine.correct             201    225         +24\n",
            "  file test/predictions.csv: ",
        ],
    );
}

#[test]
fn the_last_epoch_with_equal_weights_is_found() {
    let builder = Builder::new();
    let trial = |epochs| [Trial { epochs, ..Trial::completed(0.3) }];
    let (_, text) = compared(builder.clone().search("search", &trial(6)), builder.search("search", &trial(9)));
    check(&text, &["  search/train/000: weights equal until epoch 6 (6 and 9 epochs)\n"]);
}

#[test]
fn trials_with_other_proposals_do_not_hide_trials_that_differ_later() {
    let builder = Builder::new();
    let trial = |epochs: u32, value: f64| Trial { epochs, ..Trial::completed(value) };
    let old = builder.clone().search("search", &[trial(4, 0.1), trial(6, 0.2), trial(6, 0.3)]);
    let mut new = builder.search("search", &[trial(9, 0.5), trial(9, 0.2), trial(9, 0.3)]);
    let other = new.nodes["search/propose/002"].outcome.clone();
    new.outcome("search/propose/000", other);
    let (diff, _) = compared(old, new);
    let curves: Vec<_> = diff.answer.curves.iter().map(|curve| (curve.node.as_str(), curve.equal_until)).collect();
    assert_eq!(curves, [("search/train/001", 6), ("search/train/002", 6)]);
}

#[test]
fn equal_keys_with_different_outputs_are_reported_as_divergences() {
    let builder = Builder::whole(4);
    let mut other = builder.clone();
    other.evaluation(0.45);
    let node = &builder.nodes["test"];
    let provenance = json!({ "seconds": 3, "instruction_set": "x86-64 AVX2 FMA", "pipe": "0.1.0" });
    builder.store.commit(&node.key().unwrap(), &ActionResult::Tree(node.tree().unwrap()), &provenance).unwrap();
    let (diff, text) = compared(builder, other);
    check(
        &text,
        &[
            "\nAll inputs are equal.\n",
            "test  fine.accuracy          0.402   0.45      +0.048\n",
            "\n!! 1 NODE HAS EQUAL KEYS AND DIFFERENT RESULTS !!\n",
            "!   evaluation.json: ",
            "was computed by: instruction set x86-64 AVX2 FMA, pipe 0.1.0\n",
        ],
    );
    assert_eq!(diff.divergences.len(), 1);
    assert!(!text.contains("  file test/"), "{text}");
}

#[test]
fn a_crash_is_an_outcome_and_not_a_divergence() {
    let builder = Builder::whole(4);
    let mut other = builder.clone();
    other.outcome("test", Outcome::Crash);
    let (diff, text) = compared(builder, other);
    check(&text, &["  test: done -> crashed\n"]);
    assert_eq!(diff.divergences, []);
}

#[test]
fn added_and_removed_stages_are_reported() {
    let builder = Builder::whole(4);
    let mut without = builder.clone();
    without.nodes.remove("visualize_filters");
    without.pipeline["stages"].as_object_mut().unwrap().remove("visualize_filters");
    let (_, text) = compared(builder, without);
    check(
        &text,
        &[
            "  visualize_filters: VisualizeFilters(of: \"retrain_best\") -> absent\n",
            "      visualize_filters: 1 filter visualisation removed\n",
            "\nAll results are equal.\n",
        ],
    );
}

#[test]
fn another_version_or_numerics_of_a_stage_is_a_cause() {
    let builder = Builder::whole(4);
    let mut other = builder.clone();
    for node in other.nodes.values_mut().filter(|node| node.is(StageName::Train)) {
        let mut action = pipe_engine::study::action(&other.store, &node.action.unwrap()).unwrap();
        (action.version, action.numerics) = (3, Some("cuda f32".into()));
        node.action = Some(other.store.put(&action.record()).unwrap());
    }
    let (diff, text) = compared(builder, other);
    check(&text, &["  version of train: 2 -> 3\n  numerics of train: \"canonical f32, kernels-3\" -> \"cuda f32\"\n"]);
    check(&text, &["      retrain_best: 1 training\n      search: 4 trainings\n", "\nAll results are equal.\n"]);
    assert_eq!(diff.question.unexplained, []);
}

#[test]
fn a_selection_explains_missing_nodes() {
    let builder = Builder::whole(4);
    let (store, old) = builder.clone().done();
    let mut nodes = old.nodes.clone();
    nodes.remove("test");
    let new = Study::new(old.pipeline, vec!["visualize_filters".into()], nodes);
    let text = render(&compare(&store, &old, &new).unwrap(), ["a", "b"]);
    check(&text, &["  selection: everything -> visualize_filters\n", "      test: 1 evaluation removed\n"]);
}

#[test]
fn a_string_like_the_name_of_a_stage_is_not_a_dependency() {
    let shared = Builder::new();
    let study = |images: u32, validation: f64| {
        let mut builder = shared.clone();
        let embedded = json!({ "name": "shapes100", "train": images, "test": 20 });
        builder.stage("archive", json!({ "Fetch": { "Embedded": embedded } }));
        builder.run("archive", true);
        let decode = json!({ "from": "archive", "format": "Cifar100", "validation": { "Stratified": validation } });
        builder.stage("shapes100", json!({ "Decode": decode }));
        builder.run("shapes100", true);
        builder
    };
    // `archive` has the string `shapes100`, but does not read that stage: a change of `shapes100` does not affect it.
    let (_, text) = compared(study(200, 0.5), study(300, 0.25));
    let question = "old  old\nnew  new\n\nInputs that differ\n  archive.Embedded.train: 200 -> 300\n    which changes\n      \
                    archive: 1 fetch\n      shapes100: 1 decoding\n  shapes100.validation.Stratified.fraction: 0.5 -> 0.25\n    \
                    which changes\n      shapes100: 1 decoding\n\nResults that differ\n";
    assert!(text.starts_with(question), "{text}");
}
