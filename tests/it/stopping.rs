//! Searches that stop, limits, first proposals, and spaces that have changed.

use serde_json::Value;

use crate::sandbox::{Events, Sandbox, text};

/// Returns a pipeline whose search has `fields`, and a space of small networks.
fn pipeline(fields: &str) -> String {
    format!(
        r#"Study(name: "stops", seed: 3, stages: [
    ("raw", Fetch(Embedded(name: "shapes100", train: 200, test: 100))),
    ("data", Decode(from: "raw", format: Cifar100, validation: Stratified(0.2))),
    ("search", Search(
        {fields},
        trial: Train(data: "data", model: Mlp(layers: 1), epochs: 1, batch: 32, keep: [Best]),
    )),
    ("best", Retrain(of: "search", epochs: 2)),
])
"#
    )
}

const SPACE: &str = r#"space: {"units_1": IntRange(lo: 2, hi: 40), "activation": choice(["relu", "elu"])}"#;

fn searching(fields: &str) -> Sandbox {
    Sandbox::with(&pipeline(&format!("{fields}, {SPACE}")))
}

fn trained(events: &Events, how: &str) -> usize {
    events.nodes(how).iter().filter(|node| node.starts_with("search/train/")).count()
}

#[test]
fn a_search_that_stops_is_the_same_with_any_number_of_workers() {
    // Any accuracy will do, so it stops at the first point at which it is asked: before trial 3, from trial 0.
    let stops = r#"trials: 9, lag: 3, stop: [NoImprovement(trials: 500), Reached(0)], sampler: Tpe(startup: 2)"#;
    let alone = searching(stops);
    let events = alone.run("--jobs 1").ok();
    assert_eq!(trained(&events, "executed"), 3);
    let stopped = events.all.iter().find(|event| event["event"] == "stopped").expect("it is said");
    assert_eq!((stopped["trials"].as_u64(), stopped["planned"].as_u64()), (Some(3), Some(9)));
    let together = searching(stops);
    assert_eq!(together.run("--jobs 4").ok().hash(), events.hash());
    // Again nothing is executed, and the plan and the views know the end.
    let again = alone.run("").ok();
    assert_eq!((again.nodes("executed").len(), again.hash()), (0, events.hash()));
    let plan = alone.pipe("run --plan").ok().out;
    assert!(plan.contains("search/stop/003") && !plan.contains("search/train/003"), "{plan}");
    let end = "stopped after 3 of 9 trials: trial 000 has reached";
    for view in ["trials", "show", "show --json"] {
        let shown = alone.pipe(view).ok().out;
        assert!(shown.contains(end) || shown.contains("\"after\": 3"), "{view}: {shown}");
    }
    let folder = std::fs::read_dir(alone.path(".pipe/reports")).unwrap().next().expect("there is a report").unwrap();
    let report = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(report.contains(end), "the report says it");
    // The bytes of the stage `stop` are pinned.
    assert!(text(&alone.node("search/stop/003")["tree"]).starts_with("e39f0a6c765d"));
    assert_eq!(alone.pipe("trials --json").ok().out.matches("\"status\": \"completed\"").count(), 3);
    assert_eq!(alone.pipe("why search/train/005").code, Some(2));
    assert_eq!(alone.pipe("run --check search").code, Some(0));

    // A longer search shares every digest of the trials that both have.
    let longer = searching("trials: 5, lag: 3, sampler: Tpe(startup: 2)");
    longer.run("--jobs 2").ok();
    for trial in 0..3 {
        for node in ["propose", "train", "history"] {
            let name = format!("search/{node}/{trial:03}");
            assert_eq!(alone.node(&name)["tree"], longer.node(&name)["tree"], "{name}");
        }
    }
    // So the longer one reuses them.
    alone.edit("stop: [NoImprovement(trials: 500), Reached(0)], ", "");
    let events = alone.run("").ok();
    assert_eq!((trained(&events, "reused"), trained(&events, "executed")), (3, 6));
}

#[test]
fn a_search_that_is_never_stopped_has_all_its_trials() {
    let sandbox = searching("trials: 5, lag: 2, stop: NoImprovement(trials: 50)");
    let events = sandbox.run("").ok();
    assert_eq!(trained(&events, "executed"), 5);
    assert!(!sandbox.pipe("trials").ok().out.contains("stopped"));
    assert_eq!(events.nodes("executed").iter().filter(|node| node.starts_with("search/stop/")).count(), 3);
}

#[test]
fn a_time_limit_ends_a_run_and_the_next_one_goes_on() {
    let sandbox = searching("trials: 4, lag: 1");
    let output = sandbox.pipe("run --time-limit 1ms");
    assert_eq!(output.code, Some(130), "{}", output.err);
    assert!(output.err.contains("interrupted: "), "{}", output.err);
    let hash = sandbox.run("--time-limit 1h").ok().hash();
    assert_eq!(searching("trials: 4, lag: 1").run("").ok().hash(), hash);
}

#[test]
fn a_network_above_the_limits_is_never_trained() {
    // A hidden unit of 3072 inputs has 3073 parameters, and 120 for the two heads.
    let sandbox = searching(r#"trials: 4, limits: (parameters: 35_000), sampler: Random"#);
    sandbox.run("--stage search").ok();
    let trials = sandbox.json("trials --json");
    let trials = trials.as_array().unwrap();
    assert_eq!(trials.len(), 4);
    for trial in trials {
        assert!(trial["parameters"].as_u64().unwrap() <= 35_000, "{trial}");
        assert!(trial["hyperparameters"]["units_1"].as_u64().unwrap() <= 10, "{trial}");
    }
    let nothing = searching("trials: 4, limits: (parameters: 1000, memory: \"1GiB\")");
    let output = nothing.pipe("run --stage search");
    assert_eq!(output.code, Some(1));
    let expected =
        "no new network was found that fits parameters <= 1000 and memory <= 1GiB: the smallest that was drawn has";
    assert!(output.err.contains(expected), "{}", output.err);
    assert!(!output.err.contains("search/train/000 failed"), "{}", output.err);
}

#[test]
fn first_proposals_come_first() {
    let first = r#"trials: 4, first: [{"units_1": 7, "activation": "elu"}, {"units_1": 9}]"#;
    let sandbox = searching(first);
    sandbox.run("--stage search").ok();
    let trials = sandbox.json("trials --json");
    let labels = |i: usize| trials[i]["hyperparameters"].clone();
    assert_eq!((text(&labels(0)["activation"]), labels(0)["units_1"].as_u64()), ("elu".to_owned(), Some(7)));
    assert_eq!(labels(1)["units_1"].as_u64(), Some(9));
    let refused = searching(r#"trials: 4, first: [{"units_1": 70}]"#).pipe("run");
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("label `units_1` cannot be 70"), "{}", refused.err);
}

#[test]
fn a_space_that_has_changed_keeps_what_it_knows() {
    let sandbox = searching("trials: 4, remember: true, sampler: Tpe(startup: 2), lag: 2");
    let first = sandbox.run("--stage search").ok();
    let known = |sandbox: &Sandbox| -> Value {
        serde_json::from_str(&sandbox.pipe("cat search/known/trials.json").ok().out).unwrap()
    };
    // A wider space knows all four, a narrower one those that it still has.
    sandbox.edit("hi: 40", "hi: 60");
    let output = sandbox.pipe("run --stage search").ok();
    assert!(output.err.contains("search: 4 of 4 trials are known to the new space"), "{}", output.err);
    assert_eq!(known(&sandbox)["trials"].as_array().map(Vec::len), Some(4));
    let wider = sandbox.json("show --json")["study"].clone();
    // The same file gives the same hash, and so does the first file.
    assert_eq!(sandbox.run("--stage search").ok().hash(), text(&wider));
    sandbox.edit("trials: 4", "trials: 5");
    let longer = sandbox.run("--stage search").ok();
    assert_eq!((trained(&longer, "reused"), trained(&longer, "executed")), (4, 1));
    sandbox.edit("trials: 5", "trials: 4");
    sandbox.edit("hi: 60", "hi: 40");
    assert_eq!(sandbox.run("--stage search").ok().hash(), first.hash());
    // Scores of other data mean something else.
    sandbox.edit("Stratified(0.2)", "Stratified(0.3)");
    sandbox.edit("hi: 40", "hi: 50");
    assert!(!sandbox.pipe("run --stage search").ok().err.contains("are known"));
    // Without `remember` it is only said.
    sandbox.edit("remember: true, ", "");
    sandbox.edit("hi: 50", "hi: 70");
    let output = sandbox.pipe("run --stage search").ok();
    assert!(output.err.contains("search: the space has changed, and 4 of 4 trials fit it"), "{}", output.err);
}

#[test]
fn every_sampler_can_repeat_its_points() {
    let sandbox = searching("trials: 6, repeats: 2, lag: 2, sampler: Tpe(startup: 1)");
    sandbox.run("--stage search").ok();
    let cat = |path: &str| sandbox.pipe(&format!("cat {path}")).ok().out;
    let best: Value = serde_json::from_str(&cat("search/select/best.json")).unwrap();
    let points = best["points"].as_array().unwrap();
    assert_eq!(points.len(), 3);
    let bounds: Vec<f64> = points.iter().map(|point| point["bound"].as_f64().unwrap()).collect();
    assert!(bounds.is_sorted(), "{bounds:?}");
    assert_eq!(best["trial"], points[0]["trial"]);
    for trial in [0, 2, 4] {
        let proposal = |trial: usize| cat(&format!("search/propose/{trial:03}/proposal.json"));
        let score = |trial: usize| sandbox.node(&format!("search/train/{trial:03}"))["tree"].clone();
        assert_eq!(proposal(trial), proposal(trial + 1));
        assert_ne!(score(trial), score(trial + 1));
    }
    assert_ne!(cat("search/propose/000/proposal.json"), cat("search/propose/002/proposal.json"));
    let split: Value = serde_json::from_str(&cat("search/split/004/split.json")).unwrap();
    assert_eq!(split["trials"], 2);
    assert!(sandbox.pipe("trials").ok().out.contains("points with their repetitions"));
}

#[test]
fn several_objectives_have_a_front_and_a_retraining_picks_from_it() {
    let several = r#"trials: 6, lag: 2, sampler: Tpe(startup: 3), maximise: [Best("valid.fine_accuracy")], minimise: ["parameters"]"#;
    let sandbox = searching(several);
    sandbox.edit(
        r#"    ("best", Retrain(of: "search", epochs: 2)),"#,
        r#"    ("best", Retrain(of: "search", epochs: 2)),
    ("small", Retrain(of: "search", epochs: 2, pick: Best("parameters"))),
    ("knee", Retrain(of: "search", epochs: 2, pick: Knee)),
    ("third", Retrain(of: "search", epochs: 2, pick: At(2))),"#,
    );
    let hash = sandbox.run("--jobs 1").ok().hash();
    let trials = sandbox.json("trials --json");
    let trials = trials.as_array().unwrap();
    let value = |trial: &Value| (-trial["value"].as_f64().unwrap(), trial["parameters"].as_f64().unwrap());
    let is_better = |a: (f64, f64), b: (f64, f64)| a.0 <= b.0 && a.1 <= b.1 && a != b;
    let expected: Vec<u64> = trials
        .iter()
        .filter(|trial| !trials.iter().any(|other| is_better(value(other), value(trial))))
        .map(|trial| trial["index"].as_u64().unwrap())
        .collect();
    let fronts = sandbox.json("trials --front --json");
    let mut found: Vec<u64> =
        fronts[0]["trials"].as_array().unwrap().iter().map(|row| row["trial"].as_u64().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, expected);
    let least = trials.iter().map(|trial| value(trial).1).fold(f64::INFINITY, f64::min);
    let picked = |node: &str| -> Value {
        serde_json::from_str(&sandbox.pipe(&format!("cat {node}/select/best.json")).ok().out).unwrap()
    };
    let parameters = |node: &str| value(&trials[picked(node)["trial"].as_u64().unwrap() as usize]).1;
    assert_eq!(parameters("small"), least);
    assert_eq!(picked("third")["trial"], 2);
    assert!(expected.contains(&picked("knee")["trial"].as_u64().unwrap()));
    let table = sandbox.pipe("trials --front").ok().out;
    assert!(table.starts_with("search: the front\n") && table.contains("parameters"), "{table}");
    let again = searching(several);
    again.write("pipeline.ron", &std::fs::read_to_string(sandbox.path("pipeline.ron")).unwrap());
    assert_eq!(again.run("--jobs 4").ok().hash(), hash);
    let one = searching("trials: 3").pipe("trials --front");
    assert_ne!(one.code, Some(0));
}

#[test]
fn a_search_of_several_objectives_stops_when_its_front_stays() {
    let several = r#"lag: 1, sampler: Random, maximise: [Best("valid.fine_accuracy")], minimise: ["parameters"]"#;
    let sandbox = searching(&format!("trials: 12, {several}, stop: NoImprovement(trials: 2)"));
    sandbox.run("--jobs 2").ok();
    let n = sandbox.json("trials --json").as_array().unwrap().len();
    assert!((3..12).contains(&n), "{n} trials");
    let shown = sandbox.pipe("trials").ok().out;
    assert!(shown.contains("none of the last 2 trials is on the front"), "{shown}");
    let fronts = sandbox.json("trials --front --json");
    let late = |row: &Value| row["trial"].as_u64().unwrap() as usize >= n - 2;
    assert!(!fronts[0]["trials"].as_array().unwrap().iter().any(late), "{fronts}");
    let folder = std::fs::read_dir(sandbox.path(".pipe/reports")).unwrap().next().expect("there is a report").unwrap();
    let report = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    for part in ["<th>proposed by</th>", "<td>prior: a draw</td>", "The front of parameters over valid.fine_accuracy"] {
        assert!(report.contains(part), "{part}");
    }

    let refused = searching(&format!("trials: 12, {several}, stop: Reached(0.5)")).pipe("run");
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("a reason to `stop` that is of one objective, with several"), "{}", refused.err);
}
