//! Values of a wrong type.

use super::check;

#[test]
fn a_string_for_a_number() {
    check(
        &[("trials: 4", r#"trials: "4""#), ("epochs: 2", r#"epochs: "two""#), ("epochs: 3", "epochs: [3]")],
        r#"
error: `trials`: found `"4"`
 --> pipeline.ron:6:17
  |
6 |         trials: "4", lag: 2, sampler: Tpe(startup: 2), maximise: Best("valid.fine_accuracy"),
  |                 ^^^ expected a whole number of 1 to 100000

error: `epochs`: found `two`
 --> pipeline.ron:8:95
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filters: 4), epochs: "two"),
  |                                                                                               ^^^^^ expected a whole number of 1 to 100000, or `hp("label")` in a search

error: `epochs`: found a list of 1
  --> pipeline.ron:10:44
   |
10 |     ("best", Retrain(of: "search", epochs: [3])),
   |                                            ^^^ expected a whole number of 1 to 100000, or `BestEpoch`
"#,
    );
}

#[test]
fn a_number_for_a_name() {
    check(
        &[("Cifar100", "100")],
        r#"
error: `format`: found `100`
 --> pipeline.ron:3:42
  |
3 |     ("data", Decode(from: "raw", format: 100)),
  |                                          ^^^ expected `Cifar10`, `Cifar100`, `Idx`, `Folders`, `Labels` or `Names`
"#,
    );
}

#[test]
fn a_number_for_a_string() {
    check(
        &[(r#""tiny""#, "7"), (r#"of: "search""#, "of: 7")],
        r#"
error: `name`: found `7`
 --> pipeline.ron:1:13
  |
1 | Study(name: 7, stages: [
  |             ^ expected a string

error: `of`: found a number
  --> pipeline.ron:10:26
   |
10 |     ("best", Retrain(of: 7, epochs: 3)),
   |                          ^ expected the name of a stage, as a string
"#,
    );
}

#[test]
fn a_wrong_value_in_a_model() {
    check(
        &[("base_filters: 4", r#"base_filters: "4", fc_units: (1, 2, 3), bn_momentum: None"#)],
        r#"
error: `base_filters`: found `"4"`
 --> pipeline.ron:8:83
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filters: "4", fc_units: (1, 2, 3), bn_momentum: None), epochs: 2),
  |                                                                                   ^^^ expected a whole number of 1 to 65536

error: `fc_units`: found a list of 3
 --> pipeline.ron:8:98
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filters: "4", fc_units: (1, 2, 3), bn_momentum: None), epochs: 2),
  |                                                                                                  ^^^^^^^^^ expected a list of 2, each a whole number of 1 to 1048576

error: `bn_momentum`: found None
 --> pipeline.ron:8:122
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filters: "4", fc_units: (1, 2, 3), bn_momentum: None), epochs: 2),
  |                                                                                                                          ^^^^ expected a number at least 0 and below 1
"#,
    );
}

#[test]
fn a_wrong_value_in_a_list() {
    check(
        &[("RandomFlip(0.5)", r#"RandomFlip("often"), RandomFlip, Cutout(1.5)"#)],
        r#"
error: `RandomFlip`: found `often`
 --> pipeline.ron:4:56
  |
4 |     ("flip", Augment(data: "data", policy: [RandomFlip("often"), RandomFlip, Cutout(1.5)])),
  |                                                        ^^^^^^^ expected a number of 0 to 1, or `hp("label")` in a search

error: `policy[1]`: found `RandomFlip`
 --> pipeline.ron:4:66
  |
4 |     ("flip", Augment(data: "data", policy: [RandomFlip("often"), RandomFlip, Cutout(1.5)])),
  |                                                                  ^^^^^^^^^^ expected `RandomFlip(..)`

error: `Cutout`: found `1.5`
 --> pipeline.ron:4:85
  |
4 |     ("flip", Augment(data: "data", policy: [RandomFlip("often"), RandomFlip, Cutout(1.5)])),
  |                                                                                     ^^^ expected a whole number of 0 to 4096, or `hp("label")` in a search
"#,
    );
}

#[test]
fn a_negative_number() {
    check(
        &[("lag: 2", "lag: -2"), (r#"name: "tiny""#, r#"name: "tiny", seed: -1"#), ("epochs: 3", "epochs: -3")],
        r#"
error: `seed`: found `-1`
 --> pipeline.ron:1:27
  |
1 | Study(name: "tiny", seed: -1, stages: [
  |                           ^^ expected a whole number of at least 0

error: `lag`: found `-2`
 --> pipeline.ron:6:25
  |
6 |         trials: 4, lag: -2, sampler: Tpe(startup: 2), maximise: Best("valid.fine_accuracy"),
  |                         ^^ expected a whole number of 1 to 1000

error: `epochs`: found `-3`
  --> pipeline.ron:10:44
   |
10 |     ("best", Retrain(of: "search", epochs: -3)),
   |                                            ^^ expected a whole number of 1 to 100000, or `BestEpoch`
"#,
    );
}

#[test]
fn a_number_that_is_too_large() {
    check(
        &[("lag: 2", "lag: 5000000000")],
        r#"
error: `lag`: found `5000000000`
 --> pipeline.ron:6:25
  |
6 |         trials: 4, lag: 5000000000, sampler: Tpe(startup: 2), maximise: Best("valid.fine_accuracy"),
  |                         ^^^^^^^^^^ expected a whole number of 1 to 1000
"#,
    );
}

#[test]
fn a_fraction() {
    check(
        &[("Cifar100", r#"Cifar100, subset: "half""#)],
        r#"
error: `subset`: found `half`
 --> pipeline.ron:3:60
  |
3 |     ("data", Decode(from: "raw", format: Cifar100, subset: "half")),
  |                                                            ^^^^^^ expected a fraction such as 0.1 or (fraction: 0.1, seed: 3)
"#,
    );
}

#[test]
fn a_variant_with_content_that_takes_none_and_one_without_that_needs_some() {
    check(
        &[("Cifar100", "Cifar100(1), validation: Stratified")],
        r#"
error: `Cifar100`: found `1`
 --> pipeline.ron:3:51
  |
3 |     ("data", Decode(from: "raw", format: Cifar100(1), validation: Stratified)),
  |                                                   ^ expected `Cifar100` without parentheses

error: `validation`: found `Stratified`
 --> pipeline.ron:3:67
  |
3 |     ("data", Decode(from: "raw", format: Cifar100(1), validation: Stratified)),
  |                                                                   ^^^^^^^^^^ expected `Stratified(..)`
"#,
    );
}

#[test]
fn an_objective_of_a_wrong_type() {
    check(
        &[(r#"Best("valid.fine_accuracy")"#, r#""valid.fine_accuracy""#)],
        r#"
error: unknown name `valid.fine_accuracy`
 --> pipeline.ron:6:64
  |
6 |         trials: 4, lag: 2, sampler: Tpe(startup: 2), maximise: "valid.fine_accuracy",
  |                                                                ^^^^^^^^^^^^^^^^^^^^^ expected `Best` or `Last`
"#,
    );
}

#[test]
fn a_label_is_offered_where_one_is_allowed() {
    check(
        &[("epochs: 2", r#"epochs: 2, batch: "many""#)],
        r#"
error: `batch`: found `many`
 --> pipeline.ron:8:105
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filters: 4), epochs: 2, batch: "many"),
  |                                                                                                         ^^^^^^ expected a whole number of 1 to 65536, or `hp("label")` in a search
"#,
    );
}
