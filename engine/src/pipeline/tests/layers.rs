//! Mistakes in networks given as layers, each shown at its layer.

use super::*;

/// Returns [`TINY`] with these layers, one per line from line 9 on, in a search over `n` and the factor of the weight penalty.
fn with(layers: &str) -> String {
    let layers = format!("Layers([\n{}\n        ])", layers.trim_matches('\n'));
    edited(&[
        ("HyperCnn(base_filters: 4)", &layers),
        (r#""activation": choice(["relu", "elu"])"#, r#""n": choice([8, 16])"#),
    ])
}

#[test]
fn a_layer_takes_values_and_labels() {
    let text = with(
        r#"
            Conv(filters: hp("n"), kernel: 3), BatchNorm, Activation("elu"), As("stem"),
            MaxPool(size: 2), As("left"), From("stem"), AvgPool(size: 2), Concat("left"), GlobalAvgPool,
            Initialise("lecun_normal"), Dense(hp("n")), Activation("selu"), Dropout(0.1),
        "#,
    );
    accepted(&text);
    let alone = r#"("alone", Train(data: "data", model: Layers([Flatten]), epochs: 1)), ("test""#;
    accepted(&edited(&[(r#"("test""#, alone)]));
}

#[test]
fn a_layer_can_be_written_in_several_ways() {
    let short = with(
        r#"
            Conv(filters: hp("n"), kernel: 3), As("a"), MaxPool(size: 2, stride: 1, padding: same), BatchNorm, Concat("a"), Flatten,
        "#,
    );
    let long = with(
        r#"
            Conv(filters: hp("n"), kernel: 3, stride: 1, padding: "same"), As("a"), MaxPool(size: 2, stride: 1, padding: "same"),
            BatchNorm(epsilon: 0.001), Concat(["a"]), Flatten(),
        "#,
    );
    assert_eq!(accepted(&short).record(), accepted(&long).record());
}

#[test]
fn unknown_names_and_names_given_twice() {
    refused(
        &with(
            r#"
            Conv(filters: 8, kernel: 3), As("a"), Conv(filters: hp("n"), kernel: 3), As("a"),
            Add(["a", "b"]), Concat("c"), From("d"), As("input"),
            Flatten,
        "#,
        ),
        &[],
        r#"
error: `As`: two layers are named `a`
 --> pipeline.ron:9:89
  |
9 |             Conv(filters: 8, kernel: 3), As("a"), Conv(filters: hp("n"), kernel: 3), As("a"),
  |                                                                                         ^^^ expected different names

error: `Add[1]`: no layer is named `b`
  --> pipeline.ron:10:23
   |
10 |             Add(["a", "b"]), Concat("c"), From("d"), As("input"),
   |                       ^^^ expected the name of an earlier layer: `a` or `input`

error: `Concat[0]`: no layer is named `c`
  --> pipeline.ron:10:37
   |
10 |             Add(["a", "b"]), Concat("c"), From("d"), As("input"),
   |                                     ^^^ expected the name of an earlier layer: `a` or `input`

error: `From`: no layer is named `d`
  --> pipeline.ron:10:48
   |
10 |             Add(["a", "b"]), Concat("c"), From("d"), As("input"),
   |                                                ^^^ expected the name of an earlier layer: `a` or `input`

error: `As`: two layers are named `input`
  --> pipeline.ron:10:57
   |
10 |             Add(["a", "b"]), Concat("c"), From("d"), As("input"),
   |                                                         ^^^^^^^ expected different names
"#,
    );
}

#[test]
fn values_of_a_wrong_type() {
    refused(
        &with(
            r#"
            Conv(filters: 8, kernel: 3, padding: "full"), MaxPool(size: 2.5), Flatten,
        "#,
        ),
        &[],
        r#"
error: unknown name `full`
 --> pipeline.ron:9:50
  |
9 |             Conv(filters: 8, kernel: 3, padding: "full"), MaxPool(size: 2.5), Flatten,
  |                                                  ^^^^^^ expected `same` or `valid`

error: `size`: found `2.5`
 --> pipeline.ron:9:73
  |
9 |             Conv(filters: 8, kernel: 3, padding: "full"), MaxPool(size: 2.5), Flatten,
  |                                                                         ^^^ expected a whole number of 1 to 64, or `hp("label")` in a search
"#,
    );
    refused(
        &with("            BatchNorm(eps: 1), Softmax,"),
        &[],
        r#"
error: unknown field `eps`
 --> pipeline.ron:9:23
  |
9 |             BatchNorm(eps: 1), Softmax,
  |                       ^^^ expected `epsilon` or `momentum`

error: unknown name `Softmax`
 --> pipeline.ron:9:32
  |
9 |             BatchNorm(eps: 1), Softmax,
  |                                ^^^^^^^ expected `Conv`, `MaxPool`, `AvgPool`, `BatchNorm`, `Activation`, `Dropout`, `Flatten`, `Dense`, `Add`, `Concat`, `GlobalAvgPool`, `As`, `From` or `Initialise`
"#,
    );
}

#[test]
fn an_unknown_layer() {
    refused(
        &with("            Flaten,"),
        &[],
        r#"
error: unknown name `Flaten`
 --> pipeline.ron:9:13
  |
9 |             Flaten,
  |             ^^^^^^ expected `Conv`, `MaxPool`, `AvgPool`, `BatchNorm`, `Activation`, `Dropout`, `Flatten`, `Dense`, `Add`, `Concat`, `GlobalAvgPool`, `As`, `From` or `Initialise`
  |
  = help: did you mean `Flatten`?
"#,
    );
}

#[test]
fn a_layer_that_lacks_a_field() {
    refused(
        &with("            Flatten, Dense,"),
        &[],
        r#"
error: `Layers[1]`: found `Dense`
 --> pipeline.ron:9:22
  |
9 |             Flatten, Dense,
  |                      ^^^^^ expected `Dense(..)`
"#,
    );
}

#[test]
fn values_out_of_range_and_labels_that_can_propose_them() {
    refused(
        &with(
            r#"
            Conv(filters: 0, kernel: 3), Dropout(hp("n")),
            Dropout(1.0), MaxPool(size: 65), BatchNorm(momentum: 1), Flatten, Dense(hp("m")), Dense(10),
        "#,
        ),
        &[],
        r#"
error: `n`: found `8`
 --> pipeline.ron:7:30
  |
7 |         space: {"n": choice([8, 16]), "l2_weight_reg_mult": loguniform(-1, 1)},
  |                              ^ expected a number at least 0 and below 1

error: `n`: found `16`
 --> pipeline.ron:7:33
  |
7 |         space: {"n": choice([8, 16]), "l2_weight_reg_mult": loguniform(-1, 1)},
  |                                 ^^ expected a number at least 0 and below 1

error: `filters`: found `0`
 --> pipeline.ron:9:27
  |
9 |             Conv(filters: 0, kernel: 3), Dropout(hp("n")),
  |                           ^ expected a whole number of 1 to 65536

error: `Dropout`: found `1.0`
  --> pipeline.ron:10:21
   |
10 |             Dropout(1.0), MaxPool(size: 65), BatchNorm(momentum: 1), Flatten, Dense(hp("m")), Dense(10),
   |                     ^^^ expected a number at least 0 and below 1

error: `size`: found `65`
  --> pipeline.ron:10:41
   |
10 |             Dropout(1.0), MaxPool(size: 65), BatchNorm(momentum: 1), Flatten, Dense(hp("m")), Dense(10),
   |                                         ^^ expected a whole number of 1 to 64

error: `momentum`: found `1`
  --> pipeline.ron:10:66
   |
10 |             Dropout(1.0), MaxPool(size: 65), BatchNorm(momentum: 1), Flatten, Dense(hp("m")), Dense(10),
   |                                                                  ^ expected a number at least 0 and below 1

error: the space has no label `m`
  --> pipeline.ron:10:85
   |
10 |             Dropout(1.0), MaxPool(size: 65), BatchNorm(momentum: 1), Flatten, Dense(hp("m")), Dense(10),
   |                                                                                     ^^^^^^^ expected `l2_weight_reg_mult` or `n`
   |
   = help: did you mean `n`?
"#,
    );
}

#[test]
fn layers_that_fit_no_image() {
    refused(
        &with(
            r#"
            Dense(10),
            Flatten, Conv(filters: 8, kernel: 3), From("input"),
            Conv(filters: hp("n"), kernel: 3),
        "#,
        ),
        &[],
        r#"
error: `Layers[0]`: `Dense` reads an image
 --> pipeline.ron:9:13
  |
9 |             Dense(10),
  |             ^^^^^^^^^ expected units: a `Flatten` or `GlobalAvgPool` before it

error: `Layers[2]`: `Conv` reads units
  --> pipeline.ron:10:22
   |
10 |             Flatten, Conv(filters: 8, kernel: 3), From("input"),
   |                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected an image: put it before the `Flatten`

error: `Layers[2]`: nothing reads this `Conv`
  --> pipeline.ron:10:22
   |
10 |             Flatten, Conv(filters: 8, kernel: 3), From("input"),
   |                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected an `As` after it, and that name in an `Add`, `Concat` or `From`

error: `Layers[4]`: the network ends in an image
  --> pipeline.ron:11:13
   |
11 |             Conv(filters: hp("n"), kernel: 3),
   |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected units: a `Flatten` or `GlobalAvgPool` at the end
"#,
    );
}

#[test]
fn layers_that_do_not_fit_images_of_this_size() {
    refused(
        &with(
            r#"
            Conv(filters: hp("n"), kernel: 5, padding: "valid"),
            MaxPool(size: 4), MaxPool(size: 4), MaxPool(size: 2), Flatten,
        "#,
        ),
        &[],
        r#"
error: `Layers[3]`: a window of 2x2 does not fit the 1x1 pixels that `max_pooling2d_2` gives
  --> pipeline.ron:10:49
   |
10 |             MaxPool(size: 4), MaxPool(size: 4), MaxPool(size: 2), Flatten,
   |                                                 ^^^^^^^^^^^^^^^^ expected a window that fits
"#,
    );
    let alone = r#"("alone", Train(data: "data", model: Layers([
        Conv(filters: 8, kernel: 3, stride: 2), Add("input"), Flatten]), epochs: 1)),
    ("test""#;
    check(
        &[(r#"("test""#, alone)],
        r#"
error: `Layers[1]`: `add` cannot read [3, 32, 32] of `input` and [8, 16, 16] of `conv2d_1`
  --> pipeline.ron:12:49
   |
12 |         Conv(filters: 8, kernel: 3, stride: 2), Add("input"), Flatten]), epochs: 1)),
   |                                                 ^^^^^^^^^^^^ expected equal shapes
"#,
    );
}

#[test]
fn layers_must_be_a_list() {
    check(
        &[("HyperCnn(base_filters: 4)", "Layers")],
        r#"
error: `model`: found `Layers`
 --> pipeline.ron:8:60
  |
8 |         trial: Train(data: "data", augment: "flip", model: Layers, epochs: 2),
  |                                                            ^^^^^^ expected `Layers(..)`
"#,
    );
}

#[test]
fn a_single_layer_is_not_a_list() {
    check(
        &[("HyperCnn(base_filters: 4)", "Layers(Flatten)")],
        r#"
error: `Layers`: found `Flatten`
 --> pipeline.ron:8:67
  |
8 |         trial: Train(data: "data", augment: "flip", model: Layers(Flatten), epochs: 2),
  |                                                                   ^^^^^^^ expected a list: `[..]`
"#,
    );
}

#[test]
fn no_layers() {
    check(
        &[("HyperCnn(base_filters: 4)", "Layers([])")],
        r#"
error: label `activation` is not used
 --> pipeline.ron:7:17
  |
7 |         space: {"activation": choice(["relu", "elu"]), "l2_weight_reg_mult": loguniform(-1, 1)},
  |                 ^^^^^^^^^^^^ expected `batch_size`, `coarse_labels_weight`, `l2_weight_reg_mult`, `lr_rate_mult` or `optimizer`
  |
  = help: use it in the trial as `hp("activation")`, or remove it

error: `Layers`: the network ends in an image
 --> pipeline.ron:8:67
  |
8 |         trial: Train(data: "data", augment: "flip", model: Layers([]), epochs: 2),
  |                                                                   ^^ expected units: a `Flatten` or `GlobalAvgPool` at the end
"#,
    );
}
