//! Mistakes in spaces, and in labels that do not fit the trial.

use super::{accepted, check, edited};

#[test]
fn a_label_that_nothing_uses() {
    check(
        &[(r#""l2_weight_reg_mult""#, r#""l2_weight_rg_mult""#), (r#""activation""#, r#""moon""#)],
        r#"
error: label `moon` is not used
 --> pipeline.ron:7:17
  |
7 |         space: {"moon": choice(["relu", "elu"]), "l2_weight_rg_mult": loguniform(-1, 1)},
  |                 ^^^^^^ expected `activation`, `conv_dropout_drop_proba`, `conv_hiddn_units_mult`, `conv_kernel_size`, `conv_pool_res_start_idx`, `fc_dropout_drop_proba`, `fc_units_1_mult`, `first_conv`, `nb_conv_pool_layers`, `one_more_fc`, `pooling_type`, `res_conv_kernel_size`, `residual`, `use_BN`, `batch_size`, `coarse_labels_weight`, `l2_weight_reg_mult`, `lr_rate_mult` or `optimizer`
  |
  = help: use it in the trial as `hp("moon")`, or remove it

error: label `l2_weight_rg_mult` is not used
 --> pipeline.ron:7:50
  |
7 |         space: {"moon": choice(["relu", "elu"]), "l2_weight_rg_mult": loguniform(-1, 1)},
  |                                                  ^^^^^^^^^^^^^^^^^^^ expected `activation`, `conv_dropout_drop_proba`, `conv_hiddn_units_mult`, `conv_kernel_size`, `conv_pool_res_start_idx`, `fc_dropout_drop_proba`, `fc_units_1_mult`, `first_conv`, `nb_conv_pool_layers`, `one_more_fc`, `pooling_type`, `res_conv_kernel_size`, `residual`, `use_BN`, `batch_size`, `coarse_labels_weight`, `l2_weight_reg_mult`, `lr_rate_mult` or `optimizer`
  |
  = help: did you mean `l2_weight_reg_mult`?
"#,
    );
}

#[test]
fn a_label_used_twice() {
    check(
        &[(
            r#""activation": choice(["relu", "elu"])"#,
            r#""activation": label("a", choice(["relu", "elu"])), "use_BN": label("a", choice([true, false]))"#,
        )],
        r#"
error: label `a` is used twice
 --> pipeline.ron:7:89
  |
7 |         space: {"activation": label("a", choice(["relu", "elu"])), "use_BN": label("a", choice([true, false])), "l2_weight_reg_mult": loguniform(-1, 1)},
  |                                                                                         ^^^^^^^^^^^^^^^^^^^^^
  |
  = help: the other is at `activation.label[1]`: name one with label("another", choice(..))
"#,
    );
}

#[test]
fn a_hyperparameter_both_fixed_and_searched() {
    check(
        &[("base_filters: 4", r#"activation: "elu""#)],
        r#"
error: `activation` is fixed in the trial's model and searched as well
 --> pipeline.ron:7:17
  |
7 |         space: {"activation": choice(["relu", "elu"]), "l2_weight_reg_mult": loguniform(-1, 1)},
  |                 ^^^^^^^^^^^^
  |
  = help: remove one of the two
"#,
    );
}

#[test]
fn an_unknown_label() {
    check(
        &[("epochs: 2", r#"epochs: hp("epoch")"#), (r#"{"act"#, r#"{"epochs": quniform(1, 3, 1), "act"#)],
        r#"
error: label `epochs` is not used
 --> pipeline.ron:7:17
  |
7 |         space: {"epochs": quniform(1, 3, 1), "activation": choice(["relu", "elu"]), "l2_weight_reg_mult": loguniform(-1, 1)},
  |                 ^^^^^^^^ expected `activation`, `conv_dropout_drop_proba`, `conv_hiddn_units_mult`, `conv_kernel_size`, `conv_pool_res_start_idx`, `fc_dropout_drop_proba`, `fc_units_1_mult`, `first_conv`, `nb_conv_pool_layers`, `one_more_fc`, `pooling_type`, `res_conv_kernel_size`, `residual`, `use_BN`, `batch_size`, `coarse_labels_weight`, `l2_weight_reg_mult`, `lr_rate_mult` or `optimizer`
  |
  = help: use it in the trial as `hp("epochs")`, or remove it

error: the space has no label `epoch`
 --> pipeline.ron:8:95
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filters: 4), epochs: hp("epoch")),
  |                                                                                               ^^^^^^^^^^^ expected `activation`, `epochs` or `l2_weight_reg_mult`
  |
  = help: did you mean `epochs`?
"#,
    );
}

#[test]
fn a_label_that_some_trials_lack() {
    check(
        &[("epochs: 2", r#"epochs: hp("n")"#), ("loguniform(-1, 1)", r#"choice([1, label("n", randint(1, 3))])"#)],
        r#"
error: label `n` is not proposed in every trial
 --> pipeline.ron:8:95
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filters: 4), epochs: hp("n")),
  |                                                                                               ^^^^^^^
  |
  = help: use a label that does not depend on the option of a choice
"#,
    );
}

#[test]
fn a_label_outside_a_search() {
    check(
        &[(r#"("test""#, r#"("alone", Train(data: "data", model: HyperCnn, epochs: 2, batch: hp("b"))), ("test""#)],
        r#"
error: `hp("b")` outside a search
  --> pipeline.ron:11:70
   |
11 |     ("alone", Train(data: "data", model: HyperCnn, epochs: 2, batch: hp("b"))), ("test", Evaluate(of: "best", split: Test)),
   |                                                                      ^^^^^^^ expected a value
"#,
    );
}

#[test]
fn invalid_expressions() {
    check(
        &[(r#"choice(["relu", "elu"])"#, r#"choise(["relu", "elu"])"#), ("-1, 1", "1, -1")],
        r#"
error: there is no expression `choise`
 --> pipeline.ron:7:38
  |
7 |         space: {"activation": choise(["relu", "elu"]), "l2_weight_reg_mult": loguniform(1, -1)},
  |                                      ^^^^^^^^^^^^^^^
  |
  = help: did you mean `choice`?

error: the lower bound 1 is not below the upper bound -1
 --> pipeline.ron:7:78
  |
7 |         space: {"activation": choise(["relu", "elu"]), "l2_weight_reg_mult": loguniform(1, -1)},
  |                                                                              ^^^^^^^^^^^^^^^^^
  |
  = help: write loguniform(lo, hi)
"#,
    );
}

#[test]
fn a_search_and_its_trial_cannot_both_have_an_objective() {
    check(
        &[("epochs: 2", r#"epochs: 2, objective: (minimise: Last("train.loss"))"#)],
        r#"
error: the search already has an objective
 --> pipeline.ron:8:98
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filters: 4), epochs: 2, objective: (minimise: Last("train.loss"))),
  |                                                                                                  ^^^^^^^^^
  |
  = help: remove `objective`, or the search's `maximise` or `minimise`
"#,
    );
}

#[test]
fn a_search_cannot_both_maximise_and_minimise() {
    check(
        &[("lag: 2", r#"lag: 2, minimise: Last("train.loss")"#)],
        r#"
error: both `maximise` and `minimise`
 --> pipeline.ron:6:28
  |
6 |         trials: 4, lag: 2, minimise: Last("train.loss"), sampler: Tpe(startup: 2), maximise: Best("valid.fine_accuracy"),
  |                            ^^^^^^^^
  |
  = help: remove one of the two, or write lists to look for several at once
"#,
    );
}

#[test]
fn values_that_no_trial_can_use() {
    check(
        &[(
            r#""relu", "elu"])"#,
            r#""relu", label("a", pchoice([(0.5, "elu"), (0.5, "gelu")]))]), "batch_size": choice([0, 16]), "use_BN": choice([true, "no"]), "conv_dropout_drop_proba": uniform(0, 1), "fc_dropout_drop_proba": quniform(0, 1.5, 0.1)"#,
        )],
        r#"
error: `activation`: found `gelu`
 --> pipeline.ron:7:87
  |
7 |         space: {"activation": choice(["relu", label("a", pchoice([(0.5, "elu"), (0.5, "gelu")]))]), "batch_size": choice([0, 16]), "use_BN": choice([true, "no"]), "conv_dropout_drop_proba": uniform(0, 1), "fc_dropout_drop_proba": quniform(0, 1.5, 0.1), "l2_weight_reg_mult": loguniform(-1, 1)},
  |                                                                                       ^^^^^^ expected `relu`, `elu` or `selu`

error: `batch_size`: found `0`
 --> pipeline.ron:7:123
  |
7 |         space: {"activation": choice(["relu", label("a", pchoice([(0.5, "elu"), (0.5, "gelu")]))]), "batch_size": choice([0, 16]), "use_BN": choice([true, "no"]), "conv_dropout_drop_proba": uniform(0, 1), "fc_dropout_drop_proba": quniform(0, 1.5, 0.1), "l2_weight_reg_mult": loguniform(-1, 1)},
  |                                                                                                                           ^ expected a whole number of 1 to 65536

error: `use_BN`: found `no`
 --> pipeline.ron:7:156
  |
7 |         space: {"activation": choice(["relu", label("a", pchoice([(0.5, "elu"), (0.5, "gelu")]))]), "batch_size": choice([0, 16]), "use_BN": choice([true, "no"]), "conv_dropout_drop_proba": uniform(0, 1), "fc_dropout_drop_proba": quniform(0, 1.5, 0.1), "l2_weight_reg_mult": loguniform(-1, 1)},
  |                                                                                                                                                            ^^^^ expected true or false

error: `fc_dropout_drop_proba`: found `1.5`
 --> pipeline.ron:7:243
  |
7 |         space: {"activation": choice(["relu", label("a", pchoice([(0.5, "elu"), (0.5, "gelu")]))]), "batch_size": choice([0, 16]), "use_BN": choice([true, "no"]), "conv_dropout_drop_proba": uniform(0, 1), "fc_dropout_drop_proba": quniform(0, 1.5, 0.1), "l2_weight_reg_mult": loguniform(-1, 1)},
  |                                                                                                                                                                                                                                                   ^^^ expected a number at least 0 and below 1
"#,
    );
}

#[test]
fn each_family_has_its_own_hyperparameters() {
    check(
        &[
            ("HyperCnn(base_filters: 4)", "Mlp(units_2: 0)"),
            (
                r#"{"activation": choice(["relu", "elu"])"#,
                r#"{"layers": choice([1, 9]), "unit_1": quniform(0, 350, 50)"#,
            ),
        ],
        r#"
error: `layers`: found `9`
 --> pipeline.ron:7:38
  |
7 |         space: {"layers": choice([1, 9]), "unit_1": quniform(0, 350, 50), "l2_weight_reg_mult": loguniform(-1, 1)},
  |                                      ^ expected a whole number of 0 to 8

error: label `unit_1` is not used
 --> pipeline.ron:7:43
  |
7 |         space: {"layers": choice([1, 9]), "unit_1": quniform(0, 350, 50), "l2_weight_reg_mult": loguniform(-1, 1)},
  |                                           ^^^^^^^^ expected `layers`, `units_1`, `units_2`, `units_3`, `units_4`, `units_5`, `units_6`, `units_7`, `units_8`, `dropout_1`, `dropout_2`, `dropout_3`, `dropout_4`, `dropout_5`, `dropout_6`, `dropout_7`, `dropout_8`, `activation`, `initialiser`, `batch_size`, `coarse_labels_weight`, `l2_weight_reg_mult`, `lr_rate_mult` or `optimizer`
  |
  = help: did you mean `units_1`?

error: `units_2`: found `0`
 --> pipeline.ron:8:73
  |
8 |         trial: Train(data: "data", augment: "flip", model: Mlp(units_2: 0), epochs: 2),
  |                                                                         ^ expected a whole number of 1 to 1048576
"#,
    );
}

/// Edits with which the policy of the augmentation uses the label `degrees`, and the space has it.
const TURNED: [(&str, &str); 2] = [
    ("RandomFlip(0.5)", r#"RandomFlip(0.5), Rotation(hp("degrees"))"#),
    (r#"{"activation""#, r#"{"degrees": FloatRange(lo: 0, hi: 30), "activation""#),
];

#[test]
fn a_label_of_a_policy_is_used() {
    let pipeline = accepted(&edited(&TURNED));
    let augment = pipeline.stages.get("flip").unwrap().record();
    assert_eq!(augment["Augment"]["policy"][1]["Rotation"], serde_json::json!({ "hp": "degrees" }));
    let again = crate::pipeline::spec::Pipeline::from_record(&pipeline.record()).unwrap();
    assert_eq!(again.record(), pipeline.record());
    // The label is used only by the policy that the trial names.
    check(
        &[TURNED[0], TURNED[1], (r#"augment: "flip", "#, "")],
        r#"
error: label `degrees` is not used
 --> pipeline.ron:7:17
  |
7 |         space: {"degrees": FloatRange(lo: 0, hi: 30), "activation": choice(["relu", "elu"]), "l2_weight_reg_mult": loguniform(-1, 1)},
  |                 ^^^^^^^^^ expected `activation`, `conv_dropout_drop_proba`, `conv_hiddn_units_mult`, `conv_kernel_size`, `conv_pool_res_start_idx`, `fc_dropout_drop_proba`, `fc_units_1_mult`, `first_conv`, `nb_conv_pool_layers`, `one_more_fc`, `pooling_type`, `res_conv_kernel_size`, `residual`, `use_BN`, `batch_size`, `coarse_labels_weight`, `l2_weight_reg_mult`, `lr_rate_mult` or `optimizer`
  |
  = help: use it in the trial as `hp("degrees")`, or remove it
"#,
    );
}

#[test]
fn a_label_of_a_policy_that_the_space_lacks() {
    check(
        &[TURNED[0]],
        r#"
error: the space has no label `degrees`, which `flip` uses
 --> pipeline.ron:8:45
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filters: 4), epochs: 2),
  |                                             ^^^^^^ expected `activation` or `l2_weight_reg_mult`
"#,
    );
    check(
        &[TURNED[0], ("loguniform(-1, 1)", r#"choice([1, label("degrees", randint(3))])"#)],
        r#"
error: label `degrees`, which `flip` uses, is not proposed in every trial
 --> pipeline.ron:8:45
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filters: 4), epochs: 2),
  |                                             ^^^^^^
  |
  = help: use a label that does not depend on the option of a choice
"#,
    );
}

#[test]
fn a_range_that_its_use_never_allows() {
    check(
        &[
            TURNED[0],
            (r#"{"activation""#, r#"{"degrees": uniform(-10, 200), "rate": Choice([0.1, 0]), "activation""#),
            ("epochs: 2", r#"epochs: 2, learning_rate: hp("rate")"#),
        ],
        r#"
error: `degrees`: found `-10`
 --> pipeline.ron:7:36
  |
7 |         space: {"degrees": uniform(-10, 200), "rate": Choice([0.1, 0]), "activation": choice(["relu", "elu"]), "l2_weight_reg_mult": loguniform(-1, 1)},
  |                                    ^^^ expected a number of 0 to 180

error: `degrees`: found `200`
 --> pipeline.ron:7:41
  |
7 |         space: {"degrees": uniform(-10, 200), "rate": Choice([0.1, 0]), "activation": choice(["relu", "elu"]), "l2_weight_reg_mult": loguniform(-1, 1)},
  |                                         ^^^ expected a number of 0 to 180

error: `rate`: found `0`
 --> pipeline.ron:7:68
  |
7 |         space: {"degrees": uniform(-10, 200), "rate": Choice([0.1, 0]), "activation": choice(["relu", "elu"]), "l2_weight_reg_mult": loguniform(-1, 1)},
  |                                                                    ^ expected a number above 0
"#,
    );
    // Both ends are allowed, and a bound that is not reached.
    accepted(&edited(&[TURNED[0], (r#"{"activation""#, r#"{"degrees": uniform(0, 180), "activation""#)]));
}

#[test]
fn a_policy_with_a_label_outside_a_search() {
    check(
        &[
            TURNED[0],
            TURNED[1],
            (r#"("test""#, r#"("alone", Train(data: "data", augment: "flip", model: HyperCnn, epochs: 2)), ("test""#),
        ],
        r#"
error: `hp("degrees")` of `flip` outside a search
  --> pipeline.ron:11:44
   |
11 |     ("alone", Train(data: "data", augment: "flip", model: HyperCnn, epochs: 2)), ("test", Evaluate(of: "best", split: Test)),
   |                                            ^^^^^^ expected an `Augment` whose policy has values only
"#,
    );
}

#[test]
fn a_distribution_that_its_target_does_not_accept() {
    // Numbers between whole ones, a rate that is negative or always below 0, and a value of an inner expression.
    check(
        &[
            (
                r#"{"activation""#,
                r#"{"batch_size": uniform(8, 32), "lr_rate_mult": uniform(-0.1, 1), "rate": normal(-1, 0.01), "b": choice([1, label("c", FloatRange(1, 3))]), "activation""#,
            ),
            ("epochs: 2", r#"epochs: hp("b"), learning_rate: hp("rate")"#),
        ],
        r#"
error: `batch_size`: `uniform` proposes `8.12`
 --> pipeline.ron:7:31
  |
7 |         space: {"batch_size": uniform(8, 32), "lr_rate_mult": uniform(-0.1, 1), "rate": normal(-1, 0.01), "b": choice([1, label("c", FloatRange(1, 3))]), "activation": choice(["relu", "elu"]), "l2_weight_reg_mult": loguniform(-1, 1)},
  |                               ^^^^^^^^^^^^^^ expected a whole number of 1 to 65536
  |
  = help: for whole numbers write `IntRange(lo: .., hi: ..)`, or give `FloatRange` a whole `step`

error: `lr_rate_mult`: found `-0.1`
 --> pipeline.ron:7:71
  |
7 |         space: {"batch_size": uniform(8, 32), "lr_rate_mult": uniform(-0.1, 1), "rate": normal(-1, 0.01), "b": choice([1, label("c", FloatRange(1, 3))]), "activation": choice(["relu", "elu"]), "l2_weight_reg_mult": loguniform(-1, 1)},
  |                                                                       ^^^^ expected a number above 0

error: `rate`: `normal` proposes values like `-1.025758293035489`
 --> pipeline.ron:7:89
  |
7 |         space: {"batch_size": uniform(8, 32), "lr_rate_mult": uniform(-0.1, 1), "rate": normal(-1, 0.01), "b": choice([1, label("c", FloatRange(1, 3))]), "activation": choice(["relu", "elu"]), "l2_weight_reg_mult": loguniform(-1, 1)},
  |                                                                                         ^^^^^^^^^^^^^^^^ expected a number above 0

error: `b`: `FloatRange` proposes `1.01`
 --> pipeline.ron:7:134
  |
7 |         space: {"batch_size": uniform(8, 32), "lr_rate_mult": uniform(-0.1, 1), "rate": normal(-1, 0.01), "b": choice([1, label("c", FloatRange(1, 3))]), "activation": choice(["relu", "elu"]), "l2_weight_reg_mult": loguniform(-1, 1)},
  |                                                                                                                                      ^^^^^^^^^^^^^^^^ expected a whole number of 1 to 100000
  |
  = help: for whole numbers write `IntRange(lo: .., hi: ..)`, or give `FloatRange` a whole `step`
"#,
    );
    // Steps of whole numbers, a rate that is hardly ever negative, and a bound that is never drawn.
    accepted(&edited(&[
        (
            r#"{"activation""#,
            r#"{"batch_size": quniform(8, 32, 8), "lr_rate_mult": uniform(0, 1), "rate": normal(0.01, 0.002), "e": quniform(0.5, 4.5, 1), "activation""#,
        ),
        ("epochs: 2", r#"epochs: hp("e"), learning_rate: hp("rate")"#),
    ]));
}

#[test]
fn a_range_of_integers_is_checked_at_both_ends() {
    check(
        &[(
            r#"{"activation""#,
            r#"{"batch_size": randint(-3, 3), "lr_rate_mult": FloatRange(-0.1, -0.01), "activation""#,
        )],
        r#"
error: `batch_size`: found `-3`
 --> pipeline.ron:7:39
  |
7 |         space: {"batch_size": randint(-3, 3), "lr_rate_mult": FloatRange(-0.1, -0.01), "activation": choice(["relu", "elu"]), "l2_weight_reg_mult": loguniform(-1, 1)},
  |                                       ^^ expected a whole number of 1 to 65536

error: `lr_rate_mult`: found `-0.1`
 --> pipeline.ron:7:74
  |
7 |         space: {"batch_size": randint(-3, 3), "lr_rate_mult": FloatRange(-0.1, -0.01), "activation": choice(["relu", "elu"]), "l2_weight_reg_mult": loguniform(-1, 1)},
  |                                                                          ^^^^ expected a number above 0

error: `lr_rate_mult`: found `-0.01`
 --> pipeline.ron:7:80
  |
7 |         space: {"batch_size": randint(-3, 3), "lr_rate_mult": FloatRange(-0.1, -0.01), "activation": choice(["relu", "elu"]), "l2_weight_reg_mult": loguniform(-1, 1)},
  |                                                                                ^^^^^ expected a number above 0
"#,
    );
}

#[test]
fn what_is_probably_not_meant_is_said() {
    let edits = [
        (
            r#"maximise: Best("valid.fine_accuracy")"#,
            r#"maximise: Best("valid.loss"), constraints: [AtMost({"batch_size": 1}, 99)]"#,
        ),
        (r#"{"activation""#, r#"{"batch_size": Choice([8, 16]), "lr_rate_mult": loguniform(0.001, 0.1), "activation""#),
    ];
    let plan = crate::pipeline::expand::expand(&accepted(&edited(&edits)), &Default::default());
    assert_eq!(
        plan.notes,
        [
            "search: `maximise` of `valid.loss`, of which smaller values are better: is `minimise` meant?",
            "search: constraint 1 of 1 has no effect: the sum is never above 16",
            "search: `lr_rate_mult`: `loguniform(1e-3, 0.1)` draws from 1.00100 to 1.10517, because its arguments are logarithms: for 1e-3 to 0.1 write `FloatRange(lo: 1e-3, hi: 0.1, log: true)`",
        ]
    );
}
