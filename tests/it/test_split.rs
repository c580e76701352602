//! Only evaluations read the test images.

use crate::sandbox::{Sandbox, text};

#[test]
fn only_actions_of_evaluations_have_the_test_images_as_input() {
    let sandbox = Sandbox::after_run();
    let images = sandbox.digest("data", "test.safetensors");
    let study = sandbox.json("show --json");
    let mut readers = Vec::new();
    for node in study["nodes"].as_array().unwrap() {
        let action = sandbox.pipe(&format!("cat {}", text(&node["key"]))).ok().out;
        if action.contains(&images) {
            readers.push((text(&node["name"]), text(&node["stage"])));
        }
    }
    assert_eq!(readers, [("test".to_owned(), "evaluate".to_owned())]);
}

#[test]
fn each_reading_is_counted_in_a_ledger_that_outlives_the_studies() {
    let sandbox = Sandbox::after_run();
    let shown = |args: &str| {
        let text = sandbox.pipe(&format!("show {args}")).ok().out;
        text.lines().find_map(|line| line.strip_prefix("test      ")).map(str::to_owned)
    };
    let once = Some("read once in 1 study".to_owned());
    assert_eq!(shown("tiny"), once);
    let report = |study: &str| {
        sandbox.pipe(&format!("report {study} --output r.html")).ok();
        let page = std::fs::read_to_string(sandbox.path("r.html")).unwrap();
        std::fs::remove_file(sandbox.path("r.html")).unwrap();
        page
    };
    let first = report("tiny");
    assert!(first.contains("Test read once in 1 study."));
    // Another network is measured, then the first one again.
    sandbox.run("--set retrain_best.seed=Fresh(1)").ok();
    assert_eq!(shown("tiny"), Some("read 2 times in 2 studies".to_owned()));
    assert!(report("tiny").contains("Test read 2 times in 2 studies."));
    assert_eq!(sandbox.run("").ok().nodes("executed").len(), 0);
    assert_eq!((shown("tiny"), report("tiny") == first), (once.clone(), true), "as of the study");
    // A study that reads nothing new is counted, but not as a reading.
    sandbox.run("--set visualize_filters.steps=2").ok();
    assert_eq!(shown("tiny"), Some("read 2 times in 3 studies".to_owned()));
    sandbox.pipe("gc --keep-last 1 --grace 0s").ok();
    sandbox.pipe("verify").ok();
    assert_eq!(shown("tiny"), Some("read 2 times in 3 studies".to_owned()));
    sandbox.run("--set retrain_best.seed=Fresh(2)").ok();
    assert_eq!(shown("tiny"), Some("read 3 times in 4 studies".to_owned()));
    let json = sandbox.json("show --json");
    let images = sandbox.digest("data", "test.safetensors");
    let expected = serde_json::json!([{ "test_split": images, "readings": 3, "studies": 4, "nodes": ["test"] }]);
    assert_eq!(json["test"], expected);
}
