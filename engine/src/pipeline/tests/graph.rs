//! Mistakes in the graph of stages: references, kinds, cycles, splits and weights.

use super::{accepted, check, edited};
use crate::pipeline::expand::{Downloads, expand};

#[test]
fn a_reference_to_an_unknown_stage() {
    check(
        &[(r#"of: "search""#, r#"of: "serch""#)],
        r#"
error: there is no stage `serch`
  --> pipeline.ron:10:26
   |
10 |     ("best", Retrain(of: "serch", epochs: 3)),
   |                          ^^^^^^^ expected `search`
   |
   = help: did you mean `search`?
"#,
    );
}

#[test]
fn an_input_of_a_wrong_kind() {
    check(
        &[
            (r#"Augment(data: "data""#, r#"Augment(data: "raw""#),
            (r#"VisualizeFilters(of: "best""#, r#"VisualizeFilters(of: "search""#),
        ],
        r#"
error: `raw` is a `Fetch`
 --> pipeline.ron:4:28
  |
4 |     ("flip", Augment(data: "raw", policy: [RandomFlip(0.5)])),
  |                            ^^^^^ expected a stage of kind `Decode`

error: `search` is a `Search`
  --> pipeline.ron:12:38
   |
12 |     ("filters", VisualizeFilters(of: "search")),
   |                                      ^^^^^^^^ expected a stage of kind `Train` or `Retrain`
   |
   = help: a search has many networks: `Retrain(of: "search")` trains one from its best trial
"#,
    );
}

#[test]
fn a_cycle() {
    check(
        &[(r#"Decode(from: "raw""#, r#"Decode(from: "flip""#)],
        r#"
error: a cycle: `data` -> `flip` -> `data`
 --> pipeline.ron:3:6
  |
3 |     ("data", Decode(from: "flip", format: Cifar100)),
  |      ^^^^^^
  |
  = help: a stage can read only from stages that do not read from it

error: `flip` is an `Augment`
 --> pipeline.ron:3:27
  |
3 |     ("data", Decode(from: "flip", format: Cifar100)),
  |                           ^^^^^^ expected a stage of kind `Fetch`
"#,
    );
}

#[test]
fn only_evaluate_may_name_the_test_split() {
    check(
        &[
            (r#"VisualizeFilters(of: "best""#, r#"VisualizeFilters(of: "best", split: Test"#),
            ("epochs: 3", "data: Test"),
            (r#"Train(data: "data""#, r#"Train(data: "data/test""#),
        ],
        r#"
error: the test split is named by a stage other than `Evaluate`
 --> pipeline.ron:8:28
  |
8 |         trial: Train(data: "data/test", augment: "flip", model: HyperCnn(base_filters: 4), epochs: 2),
  |                            ^^^^^^^^^^^
  |
  = help: leave it out: trials are chosen on validation, and only `Evaluate` reads the test split

error: the test split is named by a stage other than `Evaluate`
  --> pipeline.ron:10:42
   |
10 |     ("best", Retrain(of: "search", data: Test)),
   |                                          ^^^^
   |
   = help: leave it out: trials are chosen on validation, and only `Evaluate` reads the test split

error: the test split is named by a stage other than `Evaluate`
  --> pipeline.ron:12:53
   |
12 |     ("filters", VisualizeFilters(of: "best", split: Test)),
   |                                                     ^^^^
   |
   = help: leave it out: trials are chosen on validation, and only `Evaluate` reads the test split
"#,
    );
}

#[test]
fn a_missing_test_split() {
    check(
        &[("Cifar100", "Cifar100, validation: OfficialTest")],
        r#"
error: the dataset has no test split
  --> pipeline.ron:11:42
   |
11 |     ("test", Evaluate(of: "best", split: Test)),
   |                                          ^^^^
   |
   = help: its `validation: OfficialTest` takes the test images for validation: use `split: Validation`, or choose another `validation`
"#,
    );
}

#[test]
fn a_missing_validation_split() {
    check(
        &[("Cifar100", "Cifar100, validation: None")],
        r#"
error: the objective `valid.fine_accuracy` on a dataset without a validation split
 --> pipeline.ron:6:64
  |
6 |         trials: 4, lag: 2, sampler: Tpe(startup: 2), maximise: Best("valid.fine_accuracy"),
  |                                                                ^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: give `Decode` a `validation`, or use a `train.` metric
"#,
    );
}

#[test]
fn weights_that_are_not_kept() {
    check(
        &[("epochs: 3", "epochs: 3, keep: [Every(2)]")],
        r#"
error: `best` keeps neither its best nor its last weights
  --> pipeline.ron:11:27
   |
11 |     ("test", Evaluate(of: "best", split: Test)),
   |                           ^^^^^^
   |
   = help: add `Best` or `Last` to the `keep` of `best`

error: `best` keeps neither its best nor its last weights
  --> pipeline.ron:12:38
   |
12 |     ("filters", VisualizeFilters(of: "best")),
   |                                      ^^^^^^
   |
   = help: add `Best` or `Last` to the `keep` of `best`
"#,
    );
}

#[test]
fn a_retraining_without_a_length() {
    check(
        &[("epochs: 3", "")],
        r#"
error: missing field `epochs`
  --> pipeline.ron:10:6
   |
10 |     ("best", Retrain(of: "search", )),
   |      ^^^^^^ expected `epochs: ..`, or `data: TrainAndValidation` to train up to the best trial's best epoch
"#,
    );
}

#[test]
fn a_reference_is_checked_however_it_is_written() {
    for written in ["serch", "'s'", "(\"serch\")", "Some(\"serch\")"] {
        let text = edited(&[("of: \"search\"", &format!("of: {written}"))]);
        assert!(super::read("pipeline.ron", &text, &[]).is_err(), "{written}");
        let text = edited(&[("Retrain(of: \"search\", epochs: 3)", &format!("Retrain((of: {written}, epochs: 3))"))]);
        assert!(super::read("pipeline.ron", &text, &[]).is_err(), "{written}");
    }
}

#[test]
fn only_a_retraining_can_train_for_as_long_as_the_best_trial() {
    check(
        &[
            ("epochs: 2", "epochs: BestEpoch"),
            ("Retrain(of: \"search\", epochs: 3)", "Train(data: \"data\", model: HyperCnn, epochs: \"BestEpoch\")"),
        ],
        r#"
error: `epochs`: found `BestEpoch`
 --> pipeline.ron:8:95
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filters: 4), epochs: BestEpoch),
  |                                                                                               ^^^^^^^^^ expected a whole number of 1 to 100000
  |
  = help: only `Retrain` takes `BestEpoch`, the best epoch of a search's best trial

error: `epochs`: found `BestEpoch`
  --> pipeline.ron:10:59
   |
10 |     ("best", Train(data: "data", model: HyperCnn, epochs: "BestEpoch")),
   |                                                           ^^^^^^^^^^^ expected a whole number of 1 to 100000
   |
   = help: only `Retrain` takes `BestEpoch`, the best epoch of a search's best trial
"#,
    );
    let plan = expand(&accepted(&edited(&[("epochs: 3", "epochs: BestEpoch")])), &Downloads::default());
    let best = plan.nodes.iter().find(|node| node.name == "best").unwrap();
    assert!(best.inputs.contains_key("best"));
}

#[test]
fn a_retraining_has_the_ranges_of_a_training() {
    check(
        &[("epochs: 3", "epochs: 0, early_stopping: (patience: 0), keep: [Best, Every(0)], histograms: 0")],
        r#"
error: `epochs`: found `0`
  --> pipeline.ron:10:44
   |
10 |     ("best", Retrain(of: "search", epochs: 0, early_stopping: (patience: 0), keep: [Best, Every(0)], histograms: 0)),
   |                                            ^ expected a whole number of 1 to 100000, or `BestEpoch`

error: `patience`: found `0`
  --> pipeline.ron:10:74
   |
10 |     ("best", Retrain(of: "search", epochs: 0, early_stopping: (patience: 0), keep: [Best, Every(0)], histograms: 0)),
   |                                                                          ^ expected a whole number of at least 1

error: `Every`: found `0`
  --> pipeline.ron:10:97
   |
10 |     ("best", Retrain(of: "search", epochs: 0, early_stopping: (patience: 0), keep: [Best, Every(0)], histograms: 0)),
   |                                                                                                 ^ expected a whole number of at least 1

error: `histograms`: found `0`
  --> pipeline.ron:10:114
   |
10 |     ("best", Retrain(of: "search", epochs: 0, early_stopping: (patience: 0), keep: [Best, Every(0)], histograms: 0)),
   |                                                                                                                  ^ expected a whole number of at least 1, or `None`
"#,
    );
}

#[test]
fn a_metric_that_is_not_measured_in_training() {
    check(
        &[
            ("valid.fine_accuracy", "train.fine_macro_f1"),
            ("epochs: 2", r#"epochs: 2, metrics: ["valid.coarse_top_5_accuracy", "valid.macro_f2"]"#),
        ],
        r#"
error: there is no metric `train.fine_macro_f1`
 --> pipeline.ron:6:64
  |
6 |         trials: 4, lag: 2, sampler: Tpe(startup: 2), maximise: Best("train.fine_macro_f1"),
  |                                                                ^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: `macro_f1` is measured on the validation split only: use `valid.fine_macro_f1`

error: `metrics[1]`: `valid.macro_f2` is not a metric
 --> pipeline.ron:8:139
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filters: 4), epochs: 2, metrics: ["valid.coarse_top_5_accuracy", "valid.macro_f2"]),
  |                                                                                                                                           ^^^^^^^^^^^^^^^^ expected `valid.` or `train.` with `loss`, `accuracy`, `<head>_loss` or `<head>_accuracy`, or `valid.` with `balanced_accuracy`, `macro_f1` or `top_3_accuracy`
"#,
    );
}

#[test]
fn a_metric_of_an_unknown_head() {
    check(
        &[("valid.fine_accuracy", "valid.fin_accuracy")],
        r#"
error: there is no metric `valid.fin_accuracy`
 --> pipeline.ron:6:64
  |
6 |         trials: 4, lag: 2, sampler: Tpe(startup: 2), maximise: Best("valid.fin_accuracy"),
  |                                                                ^^^^^^^^^^^^^^^^^^^^^^^^^^ expected `valid.loss`, `valid.accuracy`, `valid.fine_loss`, `valid.fine_accuracy`, `valid.coarse_loss`, `valid.coarse_accuracy`, `valid.balanced_accuracy`, `valid.macro_f1` or `valid.top_3_accuracy`
  |
  = help: did you mean `valid.fine_accuracy`?
"#,
    );
}

#[test]
fn a_format_whose_files_are_not_fetched() {
    check(
        &[
            (
                "Embedded(name: \"shapes100\", train: 200, test: 50)",
                "Files([(name: \"train-images\", url: \"file:///a\"), (name: \"labels\", url: \"file:///b\")])",
            ),
            ("format: Cifar100", "format: Idx"),
            ("valid.fine_accuracy", "valid.accuracy"),
        ],
        r#"
error: the format reads `train-labels`, `test-images`, `test-labels`, which `raw` does not fetch
 --> pipeline.ron:3:42
  |
3 |     ("data", Decode(from: "raw", format: Idx)),
  |                                          ^^^ expected files of these names, or one container with the four files
"#,
    );
}

#[test]
fn weights_to_start_from_come_from_a_training_or_a_file() {
    check(
        &[
            ("epochs: 2", r#"epochs: 2, init: Weights(from: "data")"#),
            ("epochs: 3", r#"epochs: 3, keep: [Every(2)]"#),
            (
                r#"("test", Evaluate(of: "best", split: Test)),"#,
                r#"("a", Train(data: "data", model: Mlp, epochs: 1, init: Weights(from: "best"))),
    ("b", Train(data: "data", model: Mlp, epochs: 1, init: Weights(from: "best", file: "epoch-0003/weights.safetensors"))),
    ("c", Train(data: "data", model: Mlp, epochs: 1, init: Weights(from: "raw", file: "weights"))),
    ("d", Train(data: "data", model: Mlp, epochs: 1, init: Weights(form: "raw"))),
    ("e", Train(data: "data", model: Mlp, epochs: 1, init: Weights(from: "search"))),"#,
            ),
            (r#"("filters", VisualizeFilters(of: "best")),"#, ""),
        ],
        r#"
error: `data` is a `Decode`
 --> pipeline.ron:8:118
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filters: 4), epochs: 2, init: Weights(from: "data")),
  |                                                                                                                      ^^^^^^ expected a stage of kind `Train`, `Retrain` or `Fetch`

error: `best` keeps neither its best nor its last weights
  --> pipeline.ron:11:74
   |
11 |     ("a", Train(data: "data", model: Mlp, epochs: 1, init: Weights(from: "best"))),
   |                                                                          ^^^^^^ expected `Best` or `Last` in the `keep` of `best`, or `file: ..`

error: `best` keeps no `epoch-0003/weights.safetensors`
  --> pipeline.ron:12:88
   |
12 |     ("b", Train(data: "data", model: Mlp, epochs: 1, init: Weights(from: "best", file: "epoch-0003/weights.safetensors"))),
   |                                                                                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected `epoch-0002/weights.safetensors`

error: `raw` has no file `weights`
  --> pipeline.ron:13:87
   |
13 |     ("c", Train(data: "data", model: Mlp, epochs: 1, init: Weights(from: "raw", file: "weights"))),
   |                                                                                       ^^^^^^^^^ expected `archive`

error: unknown field `form`
  --> pipeline.ron:14:68
   |
14 |     ("d", Train(data: "data", model: Mlp, epochs: 1, init: Weights(form: "raw"))),
   |                                                                    ^^^^ expected `file`, `from` or `strict`
   |
   = help: did you mean `from`?

error: `search` is a `Search`
  --> pipeline.ron:15:74
   |
15 |     ("e", Train(data: "data", model: Mlp, epochs: 1, init: Weights(from: "search"))),
   |                                                                          ^^^^^^^^ expected a stage of kind `Train`, `Retrain` or `Fetch`
   |
   = help: a search has many networks: `Retrain(of: "search")` trains one from its best trial
"#,
    );
}

#[test]
fn a_search_that_starts_from_its_own_retraining_is_a_cycle() {
    check(
        &[("epochs: 2", r#"epochs: 2, init: Weights(from: "best")"#)],
        r#"
error: a cycle: `best` -> `search` -> `best`
  --> pipeline.ron:10:6
   |
10 |     ("best", Retrain(of: "search", epochs: 3)),
   |      ^^^^^^
   |
   = help: a stage can read only from stages that do not read from it
"#,
    );
}

#[test]
fn initial_weights_are_an_edge_and_only_strictness_is_a_parameter() {
    let train = |init: &str| {
        let stage = format!(r#"("a", Train(data: "data", model: Mlp, epochs: 1, init: Weights({init}))),"#);
        let text = edited(&[(r#"("test", Evaluate"#, &format!("{stage}\n    (\"test\", Evaluate"))]);
        let pipeline = accepted(&text);
        let plan = expand(&pipeline, &Downloads::default());
        let again =
            expand(&crate::pipeline::spec::Pipeline::from_record(&pipeline.record()).unwrap(), &Downloads::default());
        let found = |plan: &crate::plan::Plan| {
            let node = plan.nodes.iter().find(|node| node.name == "a").unwrap();
            let edge = &node.inputs["init"];
            (plan.nodes[edge.node].name.clone(), edge.path.clone(), node.params["init"].to_string())
        };
        assert_eq!(found(&plan), found(&again));
        found(&plan)
    };
    let expected = |from: &str, path: &str, init: &str| (from.to_owned(), path.to_owned(), init.to_owned());
    let best = "best/weights.safetensors";
    assert_eq!(train(r#"from: "best""#), expected("best", best, r#"{"Weights":{}}"#));
    let loose = r#"{"Weights":{"strict":false}}"#;
    assert_eq!(train(r#"from: "raw", strict: false"#), expected("raw", "archive", loose));
    assert_eq!(
        train(r#"from: "best", file: "best/weights.safetensors", strict: true"#),
        expected("best", best, r#"{"Weights":{}}"#)
    );
}

#[test]
fn trials_and_their_retraining_start_from_the_same_weights() {
    let first = r#"("first", Train(data: "data", model: HyperCnn(base_filters: 4), epochs: 1)),"#;
    let text = edited(&[
        (r#"("search", Search"#, &format!("{first}\n    (\"search\", Search")),
        ("epochs: 2", r#"epochs: 2, init: Weights(from: "first"), freeze: ["conv2d_1"]"#),
    ]);
    let plan = expand(&accepted(&text), &Downloads::default());
    let init = |name: &str| {
        let node = plan.nodes.iter().find(|node| node.name == name).unwrap();
        (plan.nodes[node.inputs["init"].node].name.as_str(), &node.params["freeze"])
    };
    for name in ["search/train/000", "search/train/003", "best"] {
        assert_eq!(init(name), ("first", &serde_json::json!(["conv2d_1"])), "{name}");
    }
}

#[test]
fn initial_weights_do_not_come_from_the_test_split() {
    check(
        &[("epochs: 2", r#"epochs: 2, init: Weights(from: "data/test")"#)],
        r#"
error: the test split is named by a stage other than `Evaluate`
 --> pipeline.ron:8:118
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filters: 4), epochs: 2, init: Weights(from: "data/test")),
  |                                                                                                                      ^^^^^^^^^^^
  |
  = help: leave it out: trials are chosen on validation, and only `Evaluate` reads the test split
"#,
    );
}

#[test]
fn a_retraining_without_validation_measures_no_validation_metric() {
    let text = edited(&[
        ("epochs: 2", r#"epochs: 2, metrics: ["valid.macro_f1"]"#),
        ("epochs: 3", "data: TrainAndValidation"),
    ]);
    let plan = expand(&accepted(&text), &Downloads::default());
    let metrics = |name: &str| plan.nodes.iter().find(|node| node.name == name).unwrap().params.get("metrics").cloned();
    assert_eq!(metrics("search/train/000"), Some(serde_json::json!(["valid.macro_f1"])));
    assert_eq!(metrics("best"), None);
}
