//! Tests of networks that are written out: they equal the networks of families, and problems are reported.

use serde_json::json;

use super::*;
use crate::network::{
    Initialiser, LayerKind, Padding, TABLES, TableFamily,
    architecture::Output,
    families,
    layers::{Activation, BatchNorm, Conv, Dense, Dropout, MaxPool},
};

fn read(layers: Value) -> Layers {
    Layers(crate::params::read(&layers).unwrap_or_else(|problems| panic!("{problems:?}")))
}

/// Returns the paths of the problems.
fn places(layers: &Value) -> Vec<String> {
    let problems = crate::params::read::<Layers>(layers).err().unwrap_or_default();
    problems.iter().map(|problem| problem.at.to_string()).collect()
}

fn built(layers: Value, labels: Value, input: [usize; 3]) -> Result<Architecture, ModelError> {
    of_family(&read(layers), labels, input)
}

fn of_family(family: &dyn Family, values: Value, input: [usize; 3]) -> Result<Architecture, ModelError> {
    let values = values.as_object().unwrap().clone();
    let head = Head { name: "class".into(), classes: 10, output: Output::Softmax };
    family.architecture(&Proposed { values: values.clone(), labels: values }, input, &[head])
}

#[test]
fn a_familys_network_can_be_written_out() {
    let table = |name: &str| TableFamily::new(TABLES.iter().find(|table| table.name == name).unwrap());
    let baseline = json!([
        { "Conv": { "filters": 32, "kernel": 3, "padding": "valid" } }, { "Activation": "relu" }, { "MaxPool": { "size": 2 } },
        "Flatten", { "Dense": 100 }, { "Activation": "relu" },
    ]);
    let grey = [1, 28, 28];
    assert_eq!(built(baseline, json!({}), grey), of_family(&table("Cnn"), json!({}), grey));

    let selu = json!({ "activation": "selu", "layers": 2, "units_1": 50, "units_2": 30, "dropout_1": 0.25 });
    let mlp = json!([
        { "Initialise": "lecun_normal" }, "Flatten", { "Dense": { "hp": "units_1" } }, { "Activation": { "hp": "activation" } },
        { "Dropout": { "hp": "dropout_1" } }, { "Dense": { "hp": "units_2" } }, { "Activation": { "hp": "activation" } },
    ]);
    assert_eq!(built(mlp, selu.clone(), grey), of_family(&table("Mlp"), selu, grey));

    let etha_net = json!([
        { "Conv": { "filters": 12, "kernel": 4, "stride": 2 } }, { "Activation": "relu" }, { "MaxPool": { "size": 2 } },
        { "Conv": { "filters": 24, "kernel": 4, "stride": 2 } }, { "Activation": "relu" }, { "MaxPool": { "size": 2 } },
        { "Conv": { "filters": 48, "kernel": 4, "stride": 2 } }, { "Activation": "relu" }, { "MaxPool": { "size": 2 } },
        "Flatten", { "Dense": 20 }, { "Activation": "relu" }, { "Dropout": 0.05 },
    ]);
    let pictures = [3, 100, 100];
    assert_eq!(built(etha_net, json!({}), pictures), of_family(&table("EthaNet"), json!({}), pictures));
}

/// A residual block with normalisation and an inception pooling, as `HyperCnn` makes them.
#[test]
fn branches_can_be_written_out_as_a_family_builds_them() {
    let values = json!({
        "residual": 4, "use_BN": true, "nb_conv_pool_layers": 1, "conv_pool_res_start_idx": 0, "first_conv": null,
        "pooling_type": "inception", "activation": "elu", "one_more_fc": null, "conv_kernel_size": 3,
        "res_conv_kernel_size": 3, "conv_dropout_drop_proba": 0.25, "fc_dropout_drop_proba": 0.5,
    });
    let family = families::named("HyperCnn", &json!({ "base_filters": 4, "fc_units": [6, 6] })).unwrap();
    let expected = of_family(&family, values, [3, 8, 8]).unwrap();
    let named = |kind: &str| expected.layers.iter().filter(|layer| layer.kind.prefix() == kind).count();
    assert!(named("add") > 0 && named("concatenate") > 0 && named("batch_normalization") > 0, "{expected:#?}");

    // Each layer gets its name in the family, so that `From` can refer to it.
    let mut steps = Vec::new();
    for layer in expected.layers.iter().filter(|layer| layer.name != "class") {
        let last = layer.inputs.last().unwrap();
        steps.push(json!({ "From": last }));
        let others = &layer.inputs[..layer.inputs.len() - 1];
        steps.push(match layer.kind.clone() {
            LayerKind::Conv(Conv { filters, kernel, stride, padding }) => {
                json!({ "Conv": { "filters": filters, "kernel": kernel, "stride": stride, "padding": padding } })
            }
            LayerKind::MaxPool(MaxPool { size, stride, padding }) => {
                json!({ "MaxPool": { "size": size, "stride": stride, "padding": padding } })
            }
            LayerKind::AvgPool(AvgPool { size, stride, padding }) => {
                json!({ "AvgPool": { "size": size, "stride": stride, "padding": padding } })
            }
            LayerKind::BatchNorm(_) => json!("BatchNorm"),
            LayerKind::Activation(Activation { function }) => json!({ "Activation": function }),
            LayerKind::Dropout(Dropout { p }) => json!({ "Dropout": p }),
            LayerKind::Add(_) => json!({ "Add": others }),
            LayerKind::Concat(_) => json!({ "Concat": others }),
            LayerKind::Dense(Dense { units }) => json!({ "Dense": units }),
            _ => json!("Flatten"),
        });
        steps.push(json!({ "As": layer.name }));
    }
    let layers = read(steps.into());
    assert_eq!(of_family(&layers, json!({}), [3, 8, 8]).unwrap(), expected);
}

#[test]
fn branches_start_at_named_layers_and_are_joined_again() {
    let layers = json!([
        { "Conv": { "filters": 4, "kernel": 3 } }, { "As": "stem" },
        { "Initialise": "he_normal" }, { "Conv": { "filters": { "hp": "filters" }, "kernel": 1 } }, { "As": "left" },
        { "From": "stem" }, { "Conv": { "filters": { "hp": "filters" }, "kernel": 3 } }, { "Activation": "selu" },
        { "Add": "left" }, { "Concat": ["stem"] }, { "BatchNorm": { "momentum": 0.9 } }, { "MaxPool": { "size": 2, "stride": 1 } },
        "GlobalAvgPool", { "Dense": 7 }, { "Dropout": { "hp": "p" } },
    ]);
    let network = built(layers.clone(), json!({ "filters": 6.0, "p": 0.0 }), [3, 8, 8]).unwrap();
    assert_eq!(network.layer("add_1").unwrap().inputs, ["conv2d_2", "activation_1"]);
    assert_eq!(network.layer("concatenate_1").unwrap().inputs, ["conv2d_1", "add_1"]);
    assert_eq!(
        network.layer("batch_normalization_1").unwrap().kind,
        BatchNorm { momentum: 0.9, epsilon: 0.001 }.into()
    );
    assert_eq!(network.layer("max_pooling2d_1").unwrap().shape, [10, 7, 7]);
    let pool = network.layer("average_pooling2d_1").unwrap();
    assert_eq!(pool.kind, AvgPool { size: 7, stride: 7, padding: Padding::Valid }.into());
    assert_eq!(network.layer("flatten_1").unwrap().shape, [10]);
    assert_eq!(network.layer("class").unwrap().inputs, ["dense_1"]);
    let initialisers = ["conv2d_1", "conv2d_2", "class"].map(|name| network.layer(name).unwrap().initialiser);
    assert_eq!(initialisers, [Initialiser::GlorotUniform, Initialiser::HeNormal, Initialiser::GlorotUniform]);
    let dropped = built(layers, json!({ "filters": 6, "p": 0.5 }), [3, 8, 8]).unwrap();
    assert_eq!(dropped.layer("class").unwrap().inputs, ["dropout_1"]);
}

#[test]
fn a_layer_that_cannot_be_built_is_reported_with_its_index() {
    for (layers, expected) in [
        (
            json!([{ "Dense": 3 }]),
            "`Layers[0].Dense`: `dense` cannot read [3, 8, 6] of `input`, expected [units]: a `flatten` comes before it",
        ),
        (json!([]), "`dense` cannot read [3, 8, 6] of `input`, expected [units]: a `flatten` comes before it"),
        (
            json!(["Flatten", { "Dense": { "hp": "n" } }]),
            "`Layers[1].Dense` is 0 by label `n`, expected a whole number of 1 to 1048576",
        ),
        (
            json!(["Flatten", { "Dense": { "hp": "m" } }]),
            "`Layers[1].Dense` is label `m`, which is not proposed, expected a whole number of 1 to 1048576",
        ),
        (
            json!([{ "Conv": { "filters": 2, "kernel": 3 } }, { "Add": ["input"] }]),
            "`Layers[1].Add`: `add` cannot read [3, 8, 6] of `input` and [2, 8, 6] of `conv2d_1`, expected equal shapes",
        ),
        (
            json!([{ "MaxPool": { "size": 7 } }]),
            "`Layers[0].MaxPool`: a window of 7x7 does not fit the 6x8 pixels that `input` gives",
        ),
        (json!([{ "From": "a" }]), "`Layers[0].From` is `a`, expected the name of an earlier layer"),
        (
            json!(["GlobalAvgPool"]),
            "`Layers[0].GlobalAvgPool`: `global_average_pooling2d` cannot read [3, 8, 6] of `input`, expected [channels, side, side]: an image that is square",
        ),
    ] {
        assert_eq!(built(layers, json!({ "n": 0 }), [3, 8, 6]).unwrap_err().to_string(), expected);
    }
}

#[test]
fn mistakes_are_found_before_the_images_are_known() {
    let conv = |filters: Value| json!({ "Conv": { "filters": filters, "kernel": { "hp": "k" } } });
    for (layers, expected) in [
        (json!([conv(json!(0)), "Flatten"]), vec!["[0].Conv.filters"]),
        (json!([conv(json!({ "hp": "n" })), { "Dropout": 1.0 }, "Flatten"]), vec!["[1].Dropout"]),
        (json!([{ "As": "a" }, { "As": "a" }, { "As": "input" }, "Flatten"]), vec!["[1].As", "[2].As"]),
        (json!(["Flatten", { "From": "b" }, { "Dense": 3 }]), vec!["[1].From"]),
        (
            json!([{ "As": "a" }, { "Add": ["a", "c"] }, { "Concat": "d" }, "Flatten"]),
            vec!["[1].Add[1]", "[2].Concat[0]"],
        ),
        (json!([{ "Add": [] }, "Flatten"]), vec!["[0]"]),
        (json!([{ "Dense": 3 }]), vec!["[0]"]),
        (json!(["GlobalAvgPool", "BatchNorm"]), vec!["[1]", "[1]"]),
        (json!([{ "As": "a" }, "Flatten", { "Add": "a" }, { "Concat": "a" }, "Flatten"]), vec!["[2]"]),
        (json!([conv(json!(3)), { "From": "input" }, "Flatten"]), vec!["[0]"]),
        (json!([conv(json!(3))]), vec!["[0]"]),
        (json!([]), vec![""]),
    ] {
        assert_eq!(places(&layers), expected, "{layers}");
    }
}

#[test]
fn layers_that_no_proposal_can_make_fit_are_found_before_a_run() {
    let conv =
        |filters: Value, kernel: Value| json!({ "Conv": { "filters": filters, "kernel": kernel, "padding": "valid" } });
    let n = json!({ "hp": "n" });
    for (layers, expected) in [
        (
            json!([conv(n.clone(), 5.into()), { "MaxPool": { "size": 4 } }, "BatchNorm", { "MaxPool": { "size": 2 } }, "Flatten"]),
            Some("[3]"),
        ),
        // Whether these fit depends on a label.
        (json!([conv(3.into(), n.clone()), { "MaxPool": { "size": 64 } }, "Flatten"]), None),
        (json!([{ "As": "a" }, conv(n.clone(), 1.into()), { "Add": "a" }, "Flatten"]), None),
        (json!([{ "As": "a" }, conv(2.into(), 1.into()), { "Add": "a" }, "Flatten"]), Some("[2]")),
        // This ends in an image, which is reported elsewhere.
        (json!([conv(2.into(), 9.into())]), None),
    ] {
        let misfit = read(layers.clone()).misfit([3, 8, 8]);
        assert_eq!(misfit.map(|problem| problem.at.to_string()).as_deref(), expected, "{layers}");
    }
}

#[test]
fn labels_are_hyperparameters_with_the_domain_of_their_setting() {
    let layers = read(json!([
        { "Conv": { "filters": { "hp": "n" }, "kernel": { "hp": "k" } } }, { "Activation": { "hp": "f" } }, "Flatten",
        { "Dense": { "hp": "n" } },
    ]));
    assert_eq!(layers.keys()[..4], ["f", "k", "n", "batch_size"]);
    let whole = Some("a whole number of 1 to 65536".to_owned());
    assert_eq!(
        [16.into(), 0.into(), 16.5.into()].map(|n: Value| layers.refusal("n", &n)),
        [None, whole.clone(), whole]
    );
    assert_eq!(layers.refusal("f", &"tanh".into()), Some("`relu`, `elu` or `selu`".to_owned()));
    assert!(layers.refusal("batch_size", &0.into()).is_some() && layers.refusal("other", &0.into()).is_none());
}

#[test]
fn a_default_written_out_is_left_out() {
    let long = json!([
        { "Conv": { "filters": 1, "kernel": 3, "stride": 1, "padding": "same" } },
        { "MaxPool": { "size": 2, "stride": 2, "padding": "valid" } },
        { "BatchNorm": { "momentum": 0.99, "epsilon": 0.001 } }, "BatchNorm", { "Flatten": {} }, { "Add": "a" },
    ]);
    let short = json!([
        { "Conv": { "filters": 1, "kernel": 3 } }, { "MaxPool": { "size": 2 } }, { "BatchNorm": {} }, { "BatchNorm": {} }, "Flatten",
        { "Add": ["a"] },
    ]);
    assert_eq!(serde_json::to_value(read(long)).unwrap(), short);
    assert_eq!(serde_json::to_value(read(short.clone())).unwrap(), short);
    for unknown in
        [json!([{ "Conv": { "filters": 1, "kernel": 3, "size": 3 } }]), json!([{ "Flatten": 1 }]), json!(["Conv"])]
    {
        assert_ne!(places(&unknown), Vec::<String>::new());
    }
}
