//! A network whose layers are written out in the pipeline can be used like any other.

use std::fs;

use crate::sandbox::{Sandbox, TINY, names};

/// The tiny study with a network of two branches, searched over their filters, units and dropout.
fn written_out() -> Sandbox {
    let sandbox = Sandbox::with(TINY);
    let layers = r#"Layers([
                    Conv(filters: hp("filters"), kernel: 3, stride: 2), BatchNorm, Activation("relu"), As("stem"),
                    Conv(filters: hp("filters"), kernel: 3), Activation("relu"), Add("stem"), MaxPool(size: 2), As("left"),
                    From("stem"), AvgPool(size: 2), Concat("left"), Dropout(hp("dropout")),
                    GlobalAvgPool, Dense(hp("units")), Activation("relu"),
                ])"#;
    sandbox.edit("HyperCnn(base_filters: 4, first_conv_filters: 4, fc_units: (16, 12))", layers);
    let space = r#""filters": choice([4, 6]), "units": quniform(8, 16, 4), "dropout": choice([0, 0.25]),"#;
    sandbox.edit(r#""activation": choice(["relu", "elu"]),"#, space);
    sandbox
}

#[test]
fn a_written_out_network_is_searched_retrained_evaluated_and_visualised() {
    let sandbox = written_out();
    let first = sandbox.run("").ok();
    let again = sandbox.run("").ok();
    assert_eq!((again.hash(), again.nodes("executed")), (first.hash(), names([])));

    let json = |path: &str| -> serde_json::Value { serde_json::from_str(&sandbox.pipe(path).ok().out).unwrap() };
    let labels = json("cat search/propose/000/proposal.json")["labels"].clone();
    let network = json("cat search/train/000/architecture.json");
    let layer =
        |name: &str| network["layers"].as_array().unwrap().iter().find(|layer| layer["name"] == name).unwrap().clone();
    assert_eq!(layer("conv2d_2")["filters"].as_f64(), labels["filters"].as_f64());
    assert_eq!(layer("dense_1")["units"].as_f64(), labels["units"].as_f64());
    let trial = json("cat search/train/000/trial.json");
    assert_eq!(trial["hyperparameters"]["filters"], labels["filters"]);

    let wires = |node: &str| {
        let svg = sandbox.pipe(&format!("plot architecture {node}")).ok().out;
        svg[svg.find("<path class=\"wire\"").unwrap()..].to_owned()
    };
    assert_eq!(wires("search/train/0"), wires("search/propose/0"));
    sandbox.write("mine.json", r#"{ "filters": 5, "units": 7, "dropout": 0 }"#);
    let mine = sandbox.pipe("plot architecture search --proposal mine.json").ok().out;
    assert!(mine.contains(">concatenate_1<") && !mine.contains(">dropout_1<"), "{mine}");
    sandbox.pipe("export --onnx retrain_best network.onnx").ok();
    assert!(fs::read(sandbox.path("network.onnx")).unwrap().windows(11).any(|window| window == b"fine_logits"));
    sandbox.pipe("report --output report.html").ok();
    assert!(fs::read_to_string(sandbox.path("report.html")).unwrap().contains("batch_normalization_1"));
}

#[test]
fn a_change_of_one_layer_is_reported_as_one_change() {
    let sandbox = written_out();
    sandbox.run("--stage search").ok();
    sandbox.edit("kernel: 3, stride: 2)", "kernel: 5, stride: 2)");
    sandbox.edit("GlobalAvgPool, Dense", "Initialise(\"he_normal\"), GlobalAvgPool, Dense");
    let run = sandbox.run("--stage search").ok();
    assert!(run.why("search/train/000").contains("kernel 3 -> 5"), "{}", run.why("search/train/000"));
    let diff = sandbox.pipe("diff tiny~1 tiny").out;
    let asked: Vec<_> = diff.lines().filter(|line| line.contains("Layers")).map(str::trim).collect();
    let expected = [
        "search.trial.Train.model.Layers[0].Conv.kernel: 3 -> 5",
        "search.trial.Train.model.Layers[13]: absent -> Initialise(\"he_normal\")",
    ];
    assert_eq!(asked, expected, "{diff}");
}

#[test]
fn a_proposal_that_does_not_fit_is_a_failed_trial() {
    let sandbox = written_out();
    sandbox.edit("MaxPool(size: 2)", "MaxPool(size: hp(\"pool\"))");
    sandbox.edit(r#""filters": choice([4, 6])"#, r#""pool": choice([2, 40]), "filters": choice([4, 6])"#);
    sandbox.run("--stage search").ok();
    let trials = sandbox.pipe("trials").ok().out;
    let why = "`Layers[7].MaxPool`: a window of 40x40 does not fit the 16x16 pixels that `add_1` gives";
    assert!(trials.contains(why) && trials.contains("completed"), "{trials}");
}
