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
