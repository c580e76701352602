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
fn a_file_that_is_not_a_picture_is_named_and_a_node_without_a_network_is_refused() {
    let sandbox = Sandbox::after_run();
    fs::write(sandbox.path("note.txt"), "a note").unwrap();
    assert_snapshot!(sandbox.pipe("predict retrain_best note.txt").shown(), @"
    ! error: `note.txt`: a text, not a picture
    exit 1
    ");
    assert_snapshot!(sandbox.pipe("predict test note.txt").shown(), @"
    ! error: `test` is not a training: it has no network
    !   hint: trainings are `retrain_best`, `search/train/000`, `search/train/001`, `search/train/002`
    exit 2
    ");
}

/// Writes `pictures/b/10.png`, `pictures/a.png`, a broken picture and two files that are none.
fn folder(sandbox: &Sandbox) {
    sandbox.pipe("export data/contact.png contact.png").ok();
    let png = fs::read(sandbox.path("contact.png")).unwrap();
    fs::create_dir_all(sandbox.path("pictures/b")).unwrap();
    for (path, bytes) in [
        ("b/10.png", &png[..]),
        ("a.png", &png),
        ("broken.png", &png[..png.len() / 2]),
        ("b/notes.txt", b"a note"),
        ("empty", b""),
    ] {
        fs::write(sandbox.path("pictures").join(path), bytes).unwrap();
    }
}

#[test]
fn of_several_pictures_the_good_ones_are_classified_and_the_broken_one_is_named() {
    let sandbox = Sandbox::after_run();
    folder(&sandbox);
    let one = sandbox.pipe("predict retrain_best contact.png --top 1").ok().out;
    let classes = one.split_once('\n').unwrap().1;
    let mixed = sandbox.pipe("predict retrain_best contact.png pictures/broken.png missing.png pictures/a.png --top 1");
    assert_eq!(mixed.out, format!("contact.png\n{classes}pictures/a.png\n{classes}"));
    assert_eq!(mixed.code, Some(1));
    let said: Vec<_> = mixed.err.lines().collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("error: `pictures/broken.png`: "), "{said:?}");
    assert!(said[1].starts_with("error: `missing.png`: No such file"), "{said:?}");
}

#[test]
fn the_pictures_of_a_folder_are_classified_sorted_and_other_files_are_counted() {
    let sandbox = Sandbox::after_run();
    folder(&sandbox);
    let found = sandbox.pipe("predict retrain_best pictures --json");
    assert_eq!(found.code, Some(1));
    let answers: Vec<Value> = serde_json::from_str(&found.out).unwrap();
    let images: Vec<_> = answers.iter().map(|answer| answer["image"].as_str().unwrap()).collect();
    assert_eq!(images, ["pictures/a.png", "pictures/b/10.png", "pictures/broken.png"]);
    assert_eq!(answers[0]["heads"], answers[1]["heads"]);
    assert!(answers[2]["error"].is_string() && answers[2]["heads"].is_null(), "{}", answers[2]);
    let said: Vec<_> = found.err.lines().collect();
    assert!(said[0].starts_with("error: `pictures/broken.png`: "), "{said:?}");
    assert_eq!(said[1..], ["2 files are no picture"]);
    fs::remove_file(sandbox.path("pictures/broken.png")).unwrap();
    assert_eq!(sandbox.pipe("predict retrain_best pictures").code, Some(0));
}

#[test]
fn what_a_network_looked_at_is_drawn_beside_each_picture() {
    let sandbox = Sandbox::after_run();
    folder(&sandbox);
    let drawn = sandbox.pipe("predict retrain_best contact.png --explain seen.png").ok();
    assert_eq!(drawn.err, "seen.png\n");
    let size = |path: &str| {
        let png = fs::read(sandbox.path(path)).unwrap();
        [16, 20].map(|at| u32::from_be_bytes(png[at..at + 4].try_into().unwrap()))
    };
    assert_eq!(size("seen.png"), [3 * 258 + 2, 260], "the picture, and one for each head");
    let again = sandbox.pipe("predict retrain_best contact.png --explain seen.png");
    assert_eq!(again.code, Some(2));
    assert!(again.err.contains("`--force` overwrites it"), "{}", again.err);
    let first = fs::read(sandbox.path("seen.png")).unwrap();
    sandbox.pipe("predict retrain_best contact.png --explain seen.png --force").ok();
    assert_eq!(fs::read(sandbox.path("seen.png")).unwrap(), first, "the same bytes");
    let many = sandbox.pipe("predict retrain_best pictures contact.png pictures/a.png --explain seen");
    assert_eq!(many.code, Some(1), "one is broken: {}", many.err);
    for path in ["a.png", "b/10.png", "contact.png", "a-2.png"] {
        assert_eq!(fs::read(sandbox.path("seen").join(path)).unwrap(), first, "{path}");
    }
    assert!(!sandbox.path("seen/broken.png").exists());
    assert_snapshot!(sandbox.pipe("predict retrain_best pictures --explain all.png").shown(), @"
    ! error: `all.png` is one file, and there can be several pictures
    !   hint: name a folder, which gets a file for each picture
    exit 2
    ");
}
