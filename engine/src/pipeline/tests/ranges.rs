//! Values out of range.

use super::check;

#[test]
fn numbers_out_of_range() {
    check(
        &[
            ("lag: 2", "lag: 0"),
            ("0.5", "1.5"),
            ("train: 200", "train: 0"),
            ("epochs: 2", "epochs: 0, learning_rate: -1, keep: [Best, Best]"),
            (r#"VisualizeFilters(of: "best""#, r#"VisualizeFilters(of: "best", steps: 0"#),
        ],
        r#"
error: `train`: found `0`
 --> pipeline.ron:2:54
  |
2 |     ("raw", Fetch(Embedded(name: "shapes100", train: 0, test: 50))),
  |                                                      ^ expected a whole number of 1 to 1000000

error: `RandomFlip`: found `1.5`
 --> pipeline.ron:4:56
  |
4 |     ("flip", Augment(data: "data", policy: [RandomFlip(1.5)])),
  |                                                        ^^^ expected a number of 0 to 1

error: `lag`: found `0`
 --> pipeline.ron:6:25
  |
6 |         trials: 4, lag: 0, sampler: Tpe(startup: 2), maximise: Best("valid.fine_accuracy"),
  |                         ^ expected a whole number of 1 to 1000

error: `epochs`: found `0`
 --> pipeline.ron:8:95
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filters: 4), epochs: 0, learning_rate: -1, keep: [Best, Best]),
  |                                                                                               ^ expected a whole number of 1 to 100000

error: `learning_rate`: found `-1`
 --> pipeline.ron:8:113
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filters: 4), epochs: 0, learning_rate: -1, keep: [Best, Best]),
  |                                                                                                                 ^^ expected a number above 0

error: `keep[1]`: `Best` is listed twice
 --> pipeline.ron:8:130
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filters: 4), epochs: 0, learning_rate: -1, keep: [Best, Best]),
  |                                                                                                                                  ^^^^

error: `steps`: found `0`
  --> pipeline.ron:12:53
   |
12 |     ("filters", VisualizeFilters(of: "best", steps: 0)),
   |                                                     ^ expected a whole number of 1 to 10000
"#,
    );
}

#[test]
fn an_unknown_metric() {
    check(
        &[("valid.fine_accuracy", "accuracy")],
        r#"
error: `Best`: `accuracy` is not a metric
 --> pipeline.ron:6:69
  |
6 |         trials: 4, lag: 2, sampler: Tpe(startup: 2), maximise: Best("accuracy"),
  |                                                                     ^^^^^^^^^^ expected `valid.` or `train.` with `loss`, `accuracy`, `<head>_loss` or `<head>_accuracy`, or `valid.` with `balanced_accuracy`, `macro_f1` or `top_3_accuracy`
"#,
    );
}

#[test]
fn a_fixed_value_of_a_model() {
    check(
        &[("base_filters: 4", r#"base_filters: 0, pooling_type: "mix""#)],
        r#"
error: `base_filters`: found `0`
 --> pipeline.ron:8:83
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filters: 0, pooling_type: "mix"), epochs: 2),
  |                                                                                   ^ expected a whole number of 1 to 65536

error: `pooling_type`: found `mix`
 --> pipeline.ron:8:100
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filters: 0, pooling_type: "mix"), epochs: 2),
  |                                                                                                    ^^^^^ expected `max`, `avg`, `all_conv` or `inception`
"#,
    );
}

#[test]
fn a_fraction_out_of_range() {
    check(
        &[("Cifar100", "Cifar100, validation: Stratified(2)")],
        r#"
error: `fraction`: found `2`
 --> pipeline.ron:3:75
  |
3 |     ("data", Decode(from: "raw", format: Cifar100, validation: Stratified(2))),
  |                                                                           ^ expected a number above 0 and below 1
"#,
    );
}

#[test]
fn parameters_of_a_sampler_out_of_range() {
    check(
        &[("startup: 2", "gamma: -1")],
        r#"
error: `gamma`: found `-1`
 --> pipeline.ron:6:48
  |
6 |         trials: 4, lag: 2, sampler: Tpe(gamma: -1), maximise: Best("valid.fine_accuracy"),
  |                                                ^^ expected a number above 0
"#,
    );
}
