//! Pipelines of other shapes: with two data sets, two searches or none, with fewer stages, and with all kinds of retraining.

use std::fs;

use crate::sandbox::{Sandbox, TINY, base, names};

const DATA: &str = r#"
    ("raw", Fetch(Embedded(name: "shapes100", train: 200, test: 100))),
    ("data", Decode(from: "raw", format: Cifar100, validation: Stratified(0.2))),
"#;

const TRAIN: &str = "Train(data: \"data\", model: HyperCnn(base_filters: 4, fc_units: (16, 12)), batch: 25, epochs: 1)";

fn study(stages: &str) -> Sandbox {
    Sandbox::with(&format!("Study(name: \"graph\", seed: 7, stages: [{stages}])"))
}

#[test]
fn a_training_needs_no_search() {
    let sandbox = study(&format!(
        r#"{DATA} ("net", {TRAIN}), ("test", Evaluate(of: "net")),
           ("valid", Evaluate(of: "net", split: Validation)), ("filters", VisualizeFilters(of: "net", steps: 1))"#
    ));
    let events = sandbox.run("").ok();
    assert_eq!(events.nodes("executed"), names(["raw", "data", "net", "test", "valid", "filters"]));
    // Both evaluations read the same network and different images.
    let figures = ["test", "valid"].map(|node| sandbox.digest(node, "evaluation.json"));
    assert_ne!(figures[0], figures[1]);
}

#[test]
fn one_stage_is_a_study() {
    let sandbox = study(r#"("raw", Fetch(Embedded(name: "shapes100", train: 100, test: 100)))"#);
    assert_eq!(sandbox.run("").ok().nodes("executed"), names(["raw"]));
}

#[test]
fn two_data_sets_and_two_searches() {
    let search = |name: &str, data: &str| {
        format!(
            r#"("{name}", Search(trials: 2, sampler: Random, maximise: Best("valid.fine_accuracy"), space: {{"lr_rate_mult": loguniform(-1, 1)}},
                trial: {})),"#,
            TRAIN.replace("\"data\"", &format!("\"{data}\""))
        )
    };
    let sandbox = study(&format!(
        r#"{DATA}
        ("more", Fetch(Embedded(name: "shapes100", train: 300, test: 100))),
        ("halves", Decode(from: "more", format: Cifar100, validation: Stratified(0.5))),
        {} {}
        ("best_a", Retrain(of: "a", epochs: 1)), ("best_b", Retrain(of: "b", epochs: 1)),
        ("filters_a", VisualizeFilters(of: "best_a", steps: 1)), ("filters_b", VisualizeFilters(of: "best_b", steps: 1)),
        ("test", Evaluate(of: "best_b"))"#,
        search("a", "data"),
        search("b", "halves"),
    ));
    let events = sandbox.run("").ok();
    let executed = events.nodes("executed");
    assert_eq!(executed.len() + events.nodes("reused").len(), 9 + 2 * 7, "{executed:?}");
    // Equal proposals have equal keys: one of them is reused.
    assert_eq!(sandbox.node("a/propose/000")["key"], sandbox.node("b/propose/000")["key"]);
    assert_ne!(sandbox.node("a/train/000")["key"], sandbox.node("b/train/000")["key"]);
    let trials = sandbox.pipe("trials --csv").ok().out;
    assert_eq!(trials.lines().count(), 5, "{trials}");
    // One search is chosen by its name.
    for args in ["trials b --csv", "trials graph --search b --csv"] {
        let trials = sandbox.pipe(args).ok().out;
        let rows: Vec<_> = trials.lines().skip(1).map(|row| row.split(',').next().unwrap()).collect();
        assert_eq!(rows, ["b", "b"], "{args}");
    }
    assert!(sandbox.pipe("importance b").ok().out.starts_with("b: 2 of 2"));
    assert!(sandbox.pipe("trials").ok().out.contains("a/000") && !sandbox.pipe("trials b").ok().out.contains("a/000"));
    let several = sandbox.pipe("plot history --out h.svg");
    assert_eq!(
        (several.code, several.err.as_str()),
        (Some(2), "error: the study has several searches\n  hint: name one with `--search`: `a`, `b`\n")
    );
    sandbox.pipe("plot history b --out h.svg").ok();
    for args in ["trials --search c", "importance --search c", "plot history --search c"] {
        let unknown = sandbox.pipe(args);
        let expected = "error: the study has no search `c`\n  hint: it has `a`, `b`\n";
        assert_eq!((unknown.code, unknown.err.as_str()), (Some(2), expected), "{args}");
    }
    // Only a part of the graph is run.
    let part = sandbox.run("--stage filters_a").ok();
    assert!(part.nodes("reused").contains("a/train/001") && !part.nodes("reused").contains("halves"));
}

#[test]
fn removing_stages_does_not_change_the_others() {
    let sandbox = Sandbox::after_run();
    sandbox.edit("        (\"visualize_filters\", VisualizeFilters(of: \"retrain_best\", steps: 3)),\n", "");
    let events = sandbox.run("").ok();
    assert_eq!((events.nodes("executed").len(), events.nodes("reused").len()), (0, 16));
    assert_ne!(events.hash(), base().hash);
}

#[test]
fn a_final_training_can_use_validation_images_too() {
    let sandbox = Sandbox::after_run();
    sandbox.edit(
        "Retrain(of: \"search\", epochs: 2, keep: [Best, Last])",
        "Retrain(of: \"search\", data: TrainAndValidation)",
    );
    let events = sandbox.run("").ok();
    assert_eq!(events.nodes("executed"), names(["retrain_best", "test", "visualize_filters"]));
    // It is as long as the best trial up to its best epoch, and has 100 validation images in addition to 100 training images.
    assert_eq!(events.first_progress("retrain_best"), Some((16, 200)));
    let key = sandbox.json("show retrain_best --json");
    assert!(key.to_string().contains("\"extra\""), "{key}");
    sandbox.digest("retrain_best", "last/weights.safetensors");
    assert_ne!(events.hash(), base().hash);
}

#[test]
fn a_fresh_seed_gives_another_trajectory() {
    let sandbox = Sandbox::after_run();
    let weights = sandbox.digest("retrain_best", "last/weights.safetensors");
    sandbox.edit("epochs: 2, keep: [Best, Last]", "epochs: 2, keep: [Best, Last], seed: Fresh(1)");
    let events = sandbox.run("").ok();
    assert_eq!(events.nodes("executed"), names(["retrain_best", "test", "visualize_filters"]));
    assert_eq!(events.first_progress("retrain_best"), Some((16, 200)));
    assert_ne!(sandbox.digest("retrain_best", "last/weights.safetensors"), weights);
    sandbox.edit("Fresh(1)", "Fresh(2)");
    assert!(sandbox.run("").ok().nodes("executed").contains("retrain_best"));
}

#[test]
fn another_seed_of_the_study_keeps_the_data() {
    let sandbox = Sandbox::after_run();
    sandbox.edit("seed: 7", "seed: 8");
    let events = sandbox.run("").ok();
    // The generated pictures and their split have their own seeds.
    assert!(events.nodes("reused").is_superset(&names(["raw", "data"])));
    assert!(events.nodes("executed").is_superset(&names(["search/propose/000", "search/train/000", "retrain_best"])));
}

#[test]
fn downloads_are_identified_by_their_digest() {
    // The archive of the generated pictures, as a file outside of the store.
    let sandbox = Sandbox::after_run();
    sandbox.pipe("export raw/archive archive.tar.gz").ok();
    let bytes = fs::read(sandbox.path("archive.tar.gz")).unwrap();
    let fetch = |url: &str| {
        let (size, digest) = (bytes.len(), blake3::hash(&bytes));
        format!("Fetch(Url(url: \"{url}\", size: {size}, blake3: \"{digest}\"))")
    };
    let embedded = "Fetch(Embedded(name: \"shapes100\", train: 200, test: 100))";
    let here = format!("file://{}", sandbox.path("archive.tar.gz").display());
    sandbox.write("pipeline.ron", &TINY.replace(embedded, &fetch(&here)));
    let events = sandbox.run("").ok();
    assert_eq!(events.nodes("executed"), names(["raw"]), "equal bytes stop there");
    // The address is not part of the study.
    sandbox.write("pipeline.ron", &TINY.replace(embedded, &fetch("https://unreachable.invalid/archive.tar.gz")));
    let moved = sandbox.run("").ok();
    assert_eq!((moved.hash(), moved.nodes("executed").len()), (events.hash(), 0));
    // A mirror is tried first.
    fs::remove_dir_all(sandbox.path(".pipe")).unwrap();
    let mut command = sandbox.command("run --json --stage data");
    let mirrored =
        sandbox.output(command.env("PIPE_MIRRORS", format!("file://{}", sandbox.path("").display()))).events().ok();
    assert_eq!(mirrored.nodes("executed"), names(["raw", "data"]));
}
