//! What a pipeline expands to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Value, json};

use super::{TINY, accepted, edited};
use crate::{
    pipeline::expand::{Downloads, expand},
    plan::Plan,
};

fn plan(text: &str) -> Plan {
    expand(&accepted(text), &Downloads::default())
}

/// What a node's key depends on, with names in place of digests.
type Essence = (&'static str, Arc<Value>, u64, BTreeMap<String, String>);

fn essences(plan: &Plan) -> BTreeMap<String, Essence> {
    let essence = |node: &crate::plan::Node| {
        let from = |(slot, edge): (&String, &crate::plan::Edge)| {
            (slot.clone(), format!("{}/{}", plan.nodes[edge.node].name, edge.path))
        };
        (node.stage.id().name, node.params.clone(), node.seed, node.inputs.iter().map(from).collect())
    };
    plan.nodes.iter().map(|node| (node.name.clone(), essence(node))).collect()
}

#[track_caller]
fn check_equal(text: &str) {
    assert_eq!(accepted(text).record(), accepted(TINY).record());
    assert_eq!(essences(&plan(text)), essences(&plan(TINY)));
}

/// Checks that the plan of `text` has every node of [`TINY`], unchanged, except those called `gone`.
#[track_caller]
fn check_kept(text: &str, gone: &[&str]) {
    let longer = essences(&plan(text));
    for (name, essence) in essences(&plan(TINY)) {
        assert_eq!(longer.get(&name) == Some(&essence), !gone.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn texts_with_the_same_meaning_have_the_same_plan() {
    check_equal(&format!("// a comment\n{}\n", TINY.replace(", ", " ,\n /* more */ ")));
    check_equal(&edited(&[("of: \"best\", split: Test", "split: Test, of: \"best\"")]));
    let test = "    (\"test\", Evaluate(of: \"best\", split: Test)),\n";
    check_equal(&edited(&[(test, ""), ("stages: [\n", &format!("stages: [\n{test}"))]));
    check_equal(&edited(&[("0.5", "5e-1"), ("(-1, 1)", "(-1.0, 1e0)")]));
    check_equal(&edited(&[("name: \"tiny\"", "seed: 0, device: Cpu, precision: F32, name: \"tiny\"")]));
    check_equal(&edited(&[("Cifar100", "Cifar100, validation: Stratified(fraction: 0.1, seed: 0), subset: None")]));
    check_equal(&edited(&[("startup: 2", "startup: 2, gamma: 0.15, candidates: 48, mode: Joint")]));
    check_equal(&edited(&[("epochs: 2", "epochs: 2, batch: 64, learning_rate: 1e-3, optimizer: Adam, keep: [Best]")]));
    check_equal(&edited(&[(
        "base_filters: 4",
        "base_filters: 4, bn_momentum: 0.99, conv_hiddn_units_mult: 1, residual: None",
    )]));
    check_equal(&edited(&[("(of: \"search\", epochs: 3", "(of: \"search\", epochs: 3, data: Train, seed: Same")]));
    check_equal(&edited(&[("policy: [", "normalise: HalfCentred, policy: [")]));
}

#[test]
fn a_whole_number_and_a_float_are_the_same_value_of_a_model() {
    let with = |value: &str| essences(&plan(&edited(&[("base_filters: 4", &format!("fc_units_1_mult: {value}"))])));
    assert_eq!(with("2"), with("2.0"));
    assert_ne!(with("2"), with("2.5"));
}

#[test]
fn stages_may_be_a_map() {
    let map = TINY.replace("stages: [", "stages: {").replace("\n])", "\n})").replace("\", Fetch", "\": Fetch");
    let map = ["Decode", "Augment", "Search", "Retrain", "Evaluate", "VisualizeFilters"]
        .iter()
        .fold(map, |text, kind| text.replace(&format!("\", {kind}("), &format!("\": {kind}(")));
    let map: String = map
        .split_inclusive('\n')
        .map(|line| match line.strip_prefix("    (\"") {
            Some(rest) => format!(
                "    \"{}",
                rest.replacen(")),\n", "),\n", 1).replace("\"search\": Search(),", "\"search\": Search(")
            ),
            None => line.replace("    )),", "    ),"),
        })
        .collect();
    check_equal(&map);
}

#[test]
fn the_name_of_a_study_is_not_in_its_record() {
    let other = edited(&[("\"tiny\"", "\"other\"")]);
    check_equal(&other);
    assert_eq!((plan(&other).name.as_str(), plan(TINY).name.as_str()), ("other", "tiny"));
}

#[test]
fn a_longer_study_keeps_what_it_shares() {
    let select = ["search/select"];
    check_kept(&edited(&[("trials: 4", "trials: 9")]), &select);
    let more = "(\"more\", Fetch(Embedded(name: \"shapes100\", train: 9, test: 9))), (\"alone\", Train(data: \"data\", model: HyperCnn, epochs: 1)),\n";
    check_kept(&edited(&[("stages: [", &format!("stages: [\n{more}"))]), &[]);
    check_kept(&edited(&[("epochs: 3", "epochs: 4")]), &["best"]);
    check_kept(&edited(&[("RandomFlip(0.5)", "RandomFlip(0.25)")]), &["flip"]);
}

#[test]
fn a_proposal_reads_the_scores_up_to_its_lag_only() {
    for (lag, startup, trials) in [(1, 0, 6), (2, 2, 9), (4, 1, 9), (8, 3, 6)] {
        let text = edited(&[
            ("trials: 4", &format!("trials: {trials}")),
            ("lag: 2", &format!("lag: {lag}")),
            ("startup: 2", &format!("startup: {startup}")),
        ]);
        let plan = plan(&text);
        let index = |name: String| plan.nodes.iter().position(|node| node.name == name).expect("the node is there");
        for i in 0..trials {
            let seen = plan.with_ancestors(&BTreeSet::from([index(format!("search/propose/{i:03}"))]));
            let seen: Vec<usize> =
                (0..trials).filter(|j| seen.contains(&index(format!("search/train/{j:03}")))).collect();
            let allowed: Vec<usize> = if i < startup { Vec::new() } else { (0..(i + 1).saturating_sub(lag)).collect() };
            assert_eq!(seen, allowed, "trial {i} with lag {lag}");
        }
    }
}

#[test]
fn the_whole_plan() {
    let plan = plan(&edited(&[("trials: 4", "trials: 3"), ("lag: 2", "lag: 1")]));
    let line = |node: &crate::plan::Node| {
        let from = |(slot, edge): (&String, &crate::plan::Edge)| {
            format!(" {slot}={}/{}", plan.nodes[edge.node].name, edge.path)
        };
        format!("{} ({}):{}\n", node.name, node.part_of, node.inputs.iter().map(from).collect::<String>())
    };
    let text: String = plan.nodes.iter().map(line).collect();
    assert!(text.trim() == PLAN.trim(), "{text}");
}

/// The nodes, one per line: `name (stage): slot=node/path ..`.
const PLAN: &str = "
raw (raw):
data (data): archive=raw/archive
flip (flip): train=data/train.safetensors
search/propose/000 (search):
search/train/000 (search): labels=data/labels.json policy=flip/policy.json proposal=search/propose/000/proposal.json train=data/train.safetensors validation=data/validation.safetensors
search/history/000 (search): score=search/train/000/score.json
search/propose/001 (search): previous=search/propose/000/parameters.json
search/train/001 (search): labels=data/labels.json policy=flip/policy.json proposal=search/propose/001/proposal.json train=data/train.safetensors validation=data/validation.safetensors
search/history/001 (search): previous=search/history/000/history.json score=search/train/001/score.json
search/split/002 (search): history=search/history/001/history.json
search/propose/002 (search): previous=search/propose/001/parameters.json split=search/split/002/split.json
search/train/002 (search): labels=data/labels.json policy=flip/policy.json proposal=search/propose/002/proposal.json train=data/train.safetensors validation=data/validation.safetensors
search/history/002 (search): previous=search/history/001/history.json score=search/train/002/score.json
search/select (search): history=search/history/002/history.json parameters=search/propose/002/parameters.json
best (best): labels=data/labels.json policy=flip/policy.json proposal=search/select/proposal.json train=data/train.safetensors validation=data/validation.safetensors
test (test): architecture=best/architecture.json data=data/test.safetensors labels=data/labels.json policy=flip/policy.json weights=best/best/weights.safetensors
filters (filters): architecture=best/architecture.json labels=data/labels.json policy=flip/policy.json validation=data/validation.safetensors weights=best/best/weights.safetensors
";

#[test]
fn filters_read_what_their_method_and_their_examples_need() {
    let slots = |with: &str| -> Vec<String> {
        let of = "VisualizeFilters(of: \"best\"";
        let plan = plan(&edited(&[(of, &format!("{of}{with}"))]));
        let node = plan.nodes.iter().find(|node| node.name == "filters").unwrap();
        node.inputs.keys().cloned().collect()
    };
    assert_eq!(slots(", examples: 0"), ["architecture", "policy", "weights"]);
    assert_eq!(slots(", examples: 0, method: Fourier"), ["architecture", "policy", "train", "weights"]);
    let all = ["architecture", "labels", "policy", "train", "validation", "weights"];
    assert_eq!(slots(", method: Fourier(steps: 64)"), all);
}

#[test]
fn labels_remain_in_the_parameters_of_a_training() {
    let text = edited(&[
        ("{\"act", "{\"n\": randint(1, 3), \"lr\": loguniform(-7, -5), \"act"),
        ("epochs: 2", "epochs: hp(\"n\"), learning_rate: hp(\"lr\")"),
    ]);
    let trained = &essences(&plan(&text))["search/train/000"].1;
    assert_eq!((&trained["epochs"], &trained["learning_rate"]), (&json!({ "hp": "n" }), &json!({ "hp": "lr" })));
}

#[test]
fn a_retraining_continues_its_trial_unless_its_seed_is_fresh() {
    let parts = |edit: &str| {
        let plan = plan(&edited(&[("epochs: 3", edit)]));
        let find = |name: &str| plan.nodes.iter().find(|node| node.name == name).expect("the node is there");
        let (trial, best) = (find("search/train/000"), find("best"));
        (
            trial.stage.trajectory() == best.stage.trajectory(),
            trial.seed == best.seed,
            best.inputs.contains_key("extra"),
        )
    };
    assert_eq!(parts("epochs: 3"), (true, true, false));
    assert_eq!(parts("epochs: 3, seed: Fresh(0)"), (true, false, false));
    let (_, same_seed, extra) = parts("data: TrainAndValidation");
    assert_eq!((same_seed, extra), (true, true));
}
