//! A trained network is for use.

use std::fs;

use serde_json::Value;

use crate::sandbox::{Sandbox, check};

/// What the network says of a picture is what the evaluation of the same image says.
#[test]
fn classes_come_with_probabilities_most_likely_first() {
    let sandbox = Sandbox::after_run();
    sandbox.pipe("export data/contact.png contact.png").ok();
    let json: Value =
        serde_json::from_str(&sandbox.pipe("predict retrain_best contact.png --top 100 --json").ok().out).unwrap();
    let classes = |head: &str| json[0]["heads"][head].as_array().unwrap().clone();
    for (head, n) in [("fine", 100), ("coarse", 20)] {
        let probabilities: Vec<f64> =
            classes(head).iter().map(|class| class["probability"].as_f64().unwrap()).collect();
        assert_eq!(probabilities.len(), n);
        assert!(probabilities.is_sorted_by(|a, b| a >= b), "{probabilities:?}");
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{probabilities:?}");
    }
    let text = sandbox.pipe("predict train/0 contact.png contact.png --top 1").ok().out;
    assert_eq!(text.lines().filter(|line| line.starts_with("  fine: ")).count(), 2, "{text}");
}

#[test]
fn what_is_no_picture_or_no_network_is_refused() {
    let sandbox = Sandbox::after_run();
    fs::write(sandbox.path("note.txt"), "a note").unwrap();
    check(
        &sandbox.pipe("predict retrain_best note.txt"),
        "! error: `note.txt`: neither a JPEG nor a PNG picture\nexit 2\n",
    );
    check(
        &sandbox.pipe("predict test note.txt"),
        "! error: `test` is no training: it has no network\n!   hint: name a training, such as `retrain_best`\nexit 2\n",
    );
}
