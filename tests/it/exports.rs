//! Pictures of a study, and exports for other programs.

use std::fs;

use insta::assert_snapshot;

use crate::sandbox::{NODES, Sandbox};

#[test]
fn pictures_are_svg_with_a_title() {
    let sandbox = Sandbox::after_run();
    for kind in [
        "history",
        "curves",
        "scatter-matrix",
        "parallel",
        "slice",
        "histograms",
        "importance",
        "timeline",
        "contour --x lr_rate_mult --y activation",
        "scatter3d --x lr_rate_mult --y activation",
    ] {
        let output = sandbox.pipe(&format!("plot {kind}")).ok();
        assert!(output.out.starts_with("<svg") && output.out.contains("<title>"), "{kind}: {}", output.out);
    }
    assert_snapshot!(sandbox.pipe("plot history tiny --out history.svg").shown(), @"
      history.svg
    exit 0
    ");
    assert_eq!(fs::read_to_string(sandbox.path("history.svg")).unwrap(), sandbox.pipe("plot history").ok().out);
    assert_snapshot!(sandbox.pipe("plot slice --columns activaton").shown(), @"
    ! error: trials have no column `activaton`: did you mean `activation`?
    exit 2
    ");
    assert_snapshot!(sandbox.pipe("plot repeats").shown(), @"
    ! error: no configuration was tried more than once
    exit 2
    ");
}

#[test]
fn filters_are_drawn_by_both_methods_with_examples() {
    let sandbox = Sandbox::after_run();
    let classic = "(\"visualize_filters\", VisualizeFilters(of: \"retrain_best\", steps: 3)),";
    let fourier = "(\"fourier\", VisualizeFilters(of: \"retrain_best\", method: Fourier(steps: 2), examples: 2)),";
    sandbox.edit(classic, &format!("{classic}\n{fourier}"));
    assert_eq!(sandbox.run("").ok().nodes("executed"), ["fourier".to_owned()].into());
    let files = |node: &str| -> Vec<String> {
        sandbox.pipe(&format!("export {node} {node}")).ok();
        let files = fs::read_dir(sandbox.path(node)).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let sheets = |node: &str, part: &str| files(node).iter().filter(|name| name.contains(part)).count();
    let layers = sheets("visualize_filters", "_best_filters_");
    assert!(layers > 0);
    for (node, part) in
        [("visualize_filters", "_examples.png"), ("fourier", "_fourier_filters_"), ("fourier", "_examples.png")]
    {
        fs::remove_dir_all(sandbox.path(node)).ok();
        assert_eq!(sheets(node, part), layers, "{node} {part}");
    }
    let examples: serde_json::Value =
        serde_json::from_str(&sandbox.pipe("cat fourier/examples.json").ok().out).unwrap();
    let filter = &examples["layers"][0]["filters"][0]["images"];
    assert_eq!((&examples["images"], filter.as_array().unwrap().len()), (&100.into(), 2));
    assert!(
        filter[0]["labels"]["coarse"].is_string()
            && filter[0]["activation"].as_f64() >= filter[1]["activation"].as_f64()
    );
    let report = sandbox.pipe("report --output report.html");
    report.ok();
    let page = fs::read_to_string(sandbox.path("report.html")).unwrap();
    assert!(page.contains("in a Fourier basis") && page.contains("the 8 of the 100 validation images"));
    sandbox.edit("Fourier(steps: 2)", "Fourier(steps: 0)");
    let refused = sandbox.pipe("run --plan");
    assert!(
        refused.err.contains("`steps`: found `0`") && refused.err.contains("expected a whole number of 1 to 10000"),
        "{}",
        refused.err
    );
}

#[test]
fn the_network_of_a_proposal_is_drawn_trained_or_not() {
    let sandbox = Sandbox::after_run();
    let layers = |node: &str| {
        let svg = sandbox.pipe(&format!("plot architecture {node}")).ok().out;
        svg[svg.find("<path class=\"wire\"").unwrap()..].to_owned()
    };
    assert!(layers("search/train/1") == layers("search/propose/1"), "one network, trained or not");
    sandbox.write("mine.json", r#"{ "pooling_type": "inception", "residual": 2 }"#);
    let mine = sandbox.pipe("plot architecture search --proposal mine.json").ok().out;
    assert!(mine.contains(">concatenate_1<") && mine.contains(">add_1<"), "{mine}");
    assert_snapshot!(sandbox.pipe("plot architecture retrain_best --out network.png").shown(), @"
    ! error: `network.png`: pictures are written as SVG
    !   hint: write `network.svg`, then `rsvg-convert --zoom 2 network.svg --output network.png`
    exit 2
    ");
    assert_snapshot!(sandbox.pipe("plot architecture flip").shown(), @"
    ! error: `flip` is neither a training nor a proposal: it has no network
    !   hint: name a training or a proposal, such as `search/train/003`
    exit 2
    ");
}

#[test]
fn the_timeline_has_every_node() {
    let sandbox = Sandbox::after_run();
    let timeline = sandbox.pipe("show --timeline").ok().out;
    assert_eq!(timeline.lines().filter(|line| line.contains('|')).count(), NODES);
}

#[test]
fn a_study_is_exported_for_other_programs() {
    let sandbox = Sandbox::after_run();
    sandbox.pipe("export --tensorboard runs").ok();
    for run in ["", "search/train/000/", "retrain_best/", "visualize_filters/", "data/"] {
        let file = fs::read(sandbox.path(format!("runs/{run}events.out.tfevents.0.pipe"))).unwrap();
        assert!(file.windows(13).any(|window| window == b"brain.Event:2"), "{run}");
    }
    sandbox.pipe("export --results results tiny").ok();
    let results: Vec<_> = fs::read_dir(sandbox.path("results")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(results.len(), 3);
    let result: serde_json::Value = serde_json::from_slice(&fs::read(&results[0]).unwrap()).unwrap();
    assert!(result["space"]["activation"].is_string() && result["history"]["val_coarse_outputs_acc"].is_array());
    sandbox.pipe("export --onnx retrain_best network.onnx").ok();
    assert!(fs::read(sandbox.path("network.onnx")).unwrap().windows(11).any(|window| window == b"fine_logits"));
    assert_snapshot!(sandbox.pipe("export --onnx retrain_best network.onnx").shown(), @"
    ! error: `network.onnx` exists already
    !   hint: `--force` overwrites it
    exit 2
    ");
}
