//! Trained networks classify pictures.

use std::fs;

use insta::assert_snapshot;
use pipe_stages::images::sheet;
use serde_json::{Value, json};

use crate::sandbox::Sandbox;

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
fn a_picture_is_classified_as_in_the_evaluation() {
    let sandbox = Sandbox::after_run();
    sandbox.pipe("export data/test.safetensors test.safetensors").ok();
    let file = fs::read(sandbox.path("test.safetensors")).unwrap();
    let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let tensors: Value = serde_json::from_slice(&file[8..8 + header]).unwrap();
    let images = &tensors["images"];
    assert_eq!((&images["dtype"], &images["shape"]), (&"U8".into(), &json!([100, 3, 32, 32])));
    let start = 8 + header + images["data_offsets"][0].as_u64().unwrap() as usize;
    let evaluated = sandbox.pipe("cat test/predictions.csv").ok().out;
    let mut lines = evaluated.lines();
    let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
    let labels = sandbox.json("cat data/labels.json");
    for (at, line) in lines.enumerate().take(5) {
        let planes = &file[start + at * 3 * 1024..][..3 * 1024];
        let pixels: Vec<u8> = (0..1024).flat_map(|pixel| [0, 1, 2].map(|c| planes[c * 1024 + pixel])).collect();
        fs::write(sandbox.path("image.png"), sheet::encode(&pixels, 32, 32, 3)).unwrap();
        let found = sandbox.json("predict retrain_best image.png --top 1 --json");
        let value =
            |name: &str| line.split(',').nth(columns.iter().position(|column| *column == name).unwrap()).unwrap();
        for head in labels["heads"].as_array().unwrap() {
            let (head, classes) = (head["name"].as_str().unwrap(), &head["classes"]);
            let best = &found[0]["heads"][head][0];
            let class: usize = value(&format!("{head}_prediction")).parse().unwrap();
            let probability: f64 = value(&format!("{head}_probability")).parse().unwrap();
            assert_eq!(best["class"], classes[class], "image {at}, {head}");
            assert!((best["probability"].as_f64().unwrap() - probability).abs() < 1e-6, "image {at}: {best}, {line}");
        }
    }
}

#[test]
fn a_file_that_is_not_a_picture_and_a_node_without_a_network_are_refused() {
    let sandbox = Sandbox::after_run();
    fs::write(sandbox.path("note.txt"), "a note").unwrap();
    assert_snapshot!(sandbox.pipe("predict retrain_best note.txt").shown(), @"
    ! error: `note.txt`: a text, not a picture
    exit 2
    ");
    assert_snapshot!(sandbox.pipe("predict test note.txt").shown(), @"
    ! error: `test` is not a training: it has no network
    !   hint: name a training, such as `retrain_best`
    exit 2
    ");
}
