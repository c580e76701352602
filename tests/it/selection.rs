//! The nodes of a run: `--stage`, `--plan` and `--rerun`.

use insta::assert_snapshot;

use crate::sandbox::{NODES, Sandbox, TINY, base, names};

const SEARCH: [&str; 14] = [
    "raw",
    "data",
    "flip",
    "search/propose/000",
    "search/train/000",
    "search/history/000",
    "search/propose/001",
    "search/train/001",
    "search/history/001",
    "search/split/002",
    "search/propose/002",
    "search/train/002",
    "search/history/002",
    "search/select",
];

#[track_caller]
fn selects<const N: usize>(args: &str, expected: [&str; N]) {
    let sandbox = Sandbox::after_run();
    let events = sandbox.run(args).ok();
    assert_eq!(events.nodes("reused"), names(expected));
    assert_eq!(events.study()["reused"], N);
}

#[test]
fn a_stage_runs_exactly_its_ancestors_and_itself() {
    let sandbox = Sandbox::new();
    let events = sandbox.run("--stage visualize_filters").ok();
    let mut expected = names(SEARCH);
    expected.extend(names(["retrain_best", "visualize_filters"]));
    assert_eq!(events.nodes("executed"), expected);
    // Afterwards only the rest is executed.
    let events = sandbox.run("").ok();
    assert_eq!((events.nodes("executed"), events.hash()), (names(["test"]), base().hash.clone()));
}

#[test]
fn a_search_selects_all_its_nodes() {
    selects("--stage search", SEARCH);
}

#[test]
fn a_node_is_selected_by_its_name_or_its_end() {
    // The second proposal reads the parameters of the first.
    let second = ["raw", "data", "flip", "search/propose/000", "search/propose/001", "search/train/001"];
    selects("--stage search/train/001", second);
    selects("--stage train/001", second);
    selects("--stage train/1", second);
}

#[test]
fn several_stages_are_selected_together() {
    selects("--stage flip --stage search/propose/000", ["raw", "data", "flip", "search/propose/000"]);
}

#[test]
fn a_selection_is_another_study() {
    let sandbox = Sandbox::after_run();
    let part = sandbox.run("--stage data").ok();
    assert_ne!(part.hash(), base().hash);
    assert_eq!(sandbox.run("").ok().hash(), base().hash);
}

#[test]
fn a_plan_shows_what_would_run_and_runs_nothing() {
    let sandbox = Sandbox::after_run();
    sandbox.edit("trials: 3", "trials: 4");
    let before = sandbox.listing();
    assert_snapshot!(sandbox.pipe("run --plan").shown(), @"
         reused  raw  (unchanged)
         reused  data  (unchanged)
         reused  flip  (unchanged)
         reused  search/propose/000  (unchanged)
         reused  search/train/000  (unchanged)
         reused  search/history/000  (unchanged)
         reused  search/propose/001  (unchanged)
         reused  search/train/001  (unchanged)
         reused  search/history/001  (unchanged)
         reused  search/split/002  (unchanged)
         reused  search/propose/002  (unchanged)
         reused  search/train/002  (unchanged)
         reused  search/history/002  (unchanged)
       will run  search/split/003  (new in this study)
        may run  search/propose/003  (new in this study)
        may run  search/train/003  (new in this study)
        may run  search/history/003  (new in this study)
        may run  search/select  (inputs `history`, `parameters` may change, because of `search/propose/003` and `search/history/003`)
        may run  retrain_best  (input `proposal` may change, because of `search/propose/003` and `search/history/003`)
        may run  test  (inputs `architecture`, `weights` may change, because of `search/propose/003` and `search/history/003`)
        may run  visualize_filters  (inputs `architecture`, `weights` may change, because of `search/propose/003` and `search/history/003`)
      needs about 1.1 MiB on disk, SIZE are free
      13 reused, 1 will run, 7 may run
    exit 10
    ");
    assert_eq!(sandbox.listing(), before);
}

#[test]
fn a_plan_as_json_has_a_line_for_each_node() {
    let sandbox = Sandbox::after_run();
    let lines = sandbox.pipe("run --plan --json").ok().events().all;
    assert_eq!(lines.len(), NODES);
    assert!(
        lines.iter().all(|line| line["event"] == "plan" && line["outlook"] == "reused" && line["action"].is_string())
    );
}

#[test]
fn nodes_with_unknown_inputs_may_run() {
    let sandbox = Sandbox::new();
    let plan = sandbox.pipe("run --plan").would_run();
    assert!(plan.out.ends_with("0 reused, 2 will run, 15 may run\n"), "{}", plan.out);
}

#[test]
fn a_rerun_gives_the_same_bytes() {
    let sandbox = Sandbox::after_run();
    let events = sandbox.run("--rerun train/001 --rerun visualize_filters --rerun flip").ok();
    assert_eq!(events.nodes("executed"), names(["flip", "search/train/001", "visualize_filters"]));
    for node in ["flip", "search/train/001", "visualize_filters"] {
        assert_eq!(events.why(node), "asked for with --rerun; the same bytes as before");
    }
    assert_eq!(events.hash(), base().hash);
    // It was trained from the first step, not from its checkpoint.
    assert_eq!(events.first_progress("search/train/001"), Some((16, 100)));
}

#[test]
fn unknown_names_are_refused_with_a_suggestion() {
    let sandbox = Sandbox::after_run();
    assert_snapshot!(sandbox.pipe("run --stage visualise_filters").shown(), @"
    ! error: there is no stage or node `visualise_filters`
    !   hint: did you mean `visualize_filters`?
    exit 2
    ");
    assert_snapshot!(sandbox.pipe("run --rerun tset").shown(), @"
    ! error: there is no stage or node `tset`
    !   hint: did you mean `test`?
    exit 2
    ");
}

#[test]
fn the_end_of_a_name_must_mean_one_node() {
    let search = TINY.find("        (\"search\"").unwrap()..TINY.find("        (\"retrain_best\"").unwrap();
    let second = TINY[search.clone()].replace("\"search\"", "\"second\"");
    let pipeline = TINY[..search.end].to_owned() + &second + &TINY[search.end..];
    let sandbox = Sandbox::with(&pipeline);
    let output = sandbox.pipe("run --plan --stage train/001");
    assert_eq!(output.code, Some(2), "{}{}", output.out, output.err);
    assert!(output.err.contains("search/train/001") && output.err.contains("second/train/001"), "{}", output.err);
}
