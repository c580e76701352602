//! Fields that are unknown or missing.

use super::check;

#[test]
fn an_unknown_field_of_the_study() {
    check(
        &[(r#"name: "tiny""#, r#"nam: "tiny""#)],
        r#"
error: unknown field `nam`
 --> pipeline.ron:1:7
  |
1 | Study(nam: "tiny", stages: [
  |       ^^^ expected `commands`, `device`, `name`, `precision`, `seed` or `stages`
  |
  = help: did you mean `name`?
"#,
    );
}

#[test]
fn an_unknown_field_of_a_stage() {
    check(
        &[("trials: 4", "trails: 4")],
        r#"
error: unknown field `trails`
 --> pipeline.ron:6:9
  |
6 |         trails: 4, lag: 2, sampler: Tpe(startup: 2), maximise: Best("valid.fine_accuracy"),
  |         ^^^^^^ expected `constraints`, `first`, `fixed`, `imported`, `lag`, `limits`, `maximise`, `minimise`, `remember`, `repeats`, `sampler`, `space`, `stop`, `trial` or `trials`
  |
  = help: did you mean `trials`?
"#,
    );
}

#[test]
fn an_unknown_nested_field() {
    check(
        &[("startup: 2", "startups: 2")],
        r#"
error: unknown field `startups`
 --> pipeline.ron:6:41
  |
6 |         trials: 4, lag: 2, sampler: Tpe(startups: 2), maximise: Best("valid.fine_accuracy"),
  |                                         ^^^^^^^^ expected `candidates`, `forgetting`, `gamma`, `mode`, `prior_weight` or `startup`
  |
  = help: did you mean `startup`?
"#,
    );
}

#[test]
fn an_unknown_field_of_a_trial() {
    check(
        &[("epochs: 2", "epoch: 2")],
        r#"
error: unknown field `epoch`
 --> pipeline.ron:8:87
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filters: 4), epoch: 2),
  |                                                                                       ^^^^^ expected <fields of Train>
  |
  = help: did you mean `epochs`?
"#,
    );
}

#[test]
fn an_unknown_field_of_a_model() {
    check(
        &[("base_filters: 4", "base_filter: 4")],
        r#"
error: unknown field `base_filter`
 --> pipeline.ron:8:69
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filter: 4), epochs: 2),
  |                                                                     ^^^^^^^^^^^ expected `activation`, `base_filters`, `batch_size`, `bn_epsilon`, `bn_momentum`, `coarse_labels_weight`, `conv_dropout_drop_proba`, `conv_hiddn_units_mult`, `conv_kernel_size`, `conv_pool_res_start_idx`, `fc_dropout_drop_proba`, `fc_units`, `fc_units_1_mult`, `first_conv`, `first_conv_filters`, `l2_weight_reg_mult`, `lr_rate_mult`, `nb_conv_pool_layers`, `one_more_fc`, `optimizer`, `pooling_type`, `res_conv_kernel_size`, `residual` or `use_BN`
  |
  = help: did you mean `base_filters`?
"#,
    );
}

#[test]
fn a_missing_field() {
    check(
        &[(r#"of: "search", "#, ""), ("trials: 4, ", ""), (", format: Cifar100", "")],
        r#"
error: missing field `format`
 --> pipeline.ron:3:14
  |
3 |     ("data", Decode(from: "raw")),
  |              ^^^^^^ expected `format: ..` with `Cifar10`, `Cifar100`, `Idx`, `Folders`, `Labels` or `Names`

error: missing field `trials`
 --> pipeline.ron:5:16
  |
5 |     ("search", Search(
  |                ^^^^^^ expected `trials: ..` with a whole number of 1 to 100000

error: missing field `of`
  --> pipeline.ron:10:14
   |
10 |     ("best", Retrain(epochs: 3)),
   |              ^^^^^^^ expected `of: "name of a stage"`
"#,
    );
}

#[test]
fn a_field_of_the_trial_in_the_search_and_the_other_way_round() {
    check(
        &[("lag: 2,", "lag: 2, epochs: 3,")],
        r#"
error: unknown field `epochs`
 --> pipeline.ron:6:28
  |
6 |         trials: 4, lag: 2, epochs: 3, sampler: Tpe(startup: 2), maximise: Best("valid.fine_accuracy"),
  |                            ^^^^^^ expected `constraints`, `first`, `fixed`, `imported`, `lag`, `limits`, `maximise`, `minimise`, `remember`, `repeats`, `sampler`, `space`, `stop`, `trial` or `trials`
  |
  = help: did you mean `search.trial.epochs`?
"#,
    );
    check(
        &[("epochs: 2", "epochs: 2, lag: 1")],
        r#"
error: unknown field `lag`
 --> pipeline.ron:8:98
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filters: 4), epochs: 2, lag: 1),
  |                                                                                                  ^^^ expected <fields of Train>
  |
  = help: did you mean `search.lag`?
"#,
    );
}

#[test]
fn words_of_python_and_a_number_instead_of_a_pair() {
    check(
        &[("epochs: 2", "epochs: 2, nesterov: True")],
        r#"
error: `nesterov`: found `True`
 --> pipeline.ron:8:108
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filters: 4), epochs: 2, nesterov: True),
  |                                                                                                            ^^^^ expected true or false, or `hp("label")` in a search
  |
  = help: did you mean `true`?
"#,
    );
    check(
        &[("base_filters: 4", "fc_units: 32")],
        r#"
error: `fc_units`: found `32`
 --> pipeline.ron:8:79
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(fc_units: 32), epochs: 2),
  |                                                                               ^^ expected a list of 2, each a whole number of 1 to 1048576
  |
  = help: did you mean `(32, 32)`?
"#,
    );
}

#[test]
fn a_field_of_the_format_outside_of_it() {
    check(
        &[("format: Cifar100", "format: Folders(test: Share(0.2)), size: (32, 32)")],
        r#"
error: missing field `size`
 --> pipeline.ron:3:42
  |
3 |     ("data", Decode(from: "raw", format: Folders(test: Share(0.2)), size: (32, 32))),
  |                                          ^^^^^^^ expected `size: ..` with a list of 2, each a whole number of 1 to 4096

error: unknown field `size`
 --> pipeline.ron:3:69
  |
3 |     ("data", Decode(from: "raw", format: Folders(test: Share(0.2)), size: (32, 32))),
  |                                                                     ^^^^ expected `background`, `broken`, `classes`, `duplicates`, `format`, `from`, `orientation`, `resize`, `subset`, `validation` or `white`
  |
  = help: did you mean `data.format.size`?
"#,
    );
}
