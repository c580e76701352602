//! The output bytes of every stage are pinned, so that they cannot change by accident.
//!
//! If a test here fails, either the change was not meant to change bytes, or the version of the stage (for kernels: the
//! numerics tag) must go up and the digests here must be updated.

use crate::sandbox::{Sandbox, text};

/// (stage, node, first digits of the digest of the output tree). Digests are the same on every machine, even those of floats.
const PINNED: &[(&str, &str, &str)] = &[
    ("fetch", "raw", "0c8d79cdaf07"),
    ("decode", "data", "0391350a3f3d"),
    ("augment", "flip", "e996980e7b72"),
    ("propose", "search/propose/000", "a1d670b3ee40"),
    ("propose", "search/propose/001", "cf64f808a452"),
    ("train", "search/train/000", "f512a3af2581"),
    ("history", "search/history/000", "be756ab057d2"),
    ("split", "search/split/002", "c6b36a62c6fa"),
    ("propose", "search/propose/002", "a28136ee425f"),
    ("select", "search/select", "805a585518c4"),
    ("train", "retrain_best", "495cc6893776"),
    ("evaluate", "test", "c0bb7dfbcd04"),
    ("visualize_filters", "visualize_filters", "4d84ce9c6a53"),
];

#[test]
fn the_outputs_of_every_stage_have_the_pinned_digests() {
    let sandbox = Sandbox::after_run();
    let study = sandbox.json("show --json");
    let nodes = study["nodes"].as_array().unwrap();
    let found = |(stage, name, _): &(&'static str, &'static str, &str)| {
        let node = nodes.iter().find(|node| node["name"] == *name).unwrap();
        assert_eq!(node["stage"], *stage, "{name}");
        let key = text(&node["key"]);
        let action: serde_json::Value = serde_json::from_str(&sandbox.pipe(&format!("cat {key}")).ok().out).unwrap();
        let version = match *stage {
            "propose" => 4,
            "split" => 3,
            "decode" | "train" | "evaluate" => 2,
            _ => 1,
        };
        assert_eq!(action["version"], version, "{name}");
        (*stage, *name, text(&node["tree"])[..12].to_owned())
    };
    let pinned: Vec<_> = PINNED.iter().map(|&(stage, name, tree)| (stage, name, tree.to_owned())).collect();
    assert_eq!(PINNED.iter().map(found).collect::<Vec<_>>(), pinned);
}
