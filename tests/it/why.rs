//! `pipe why` and `pipe run --plan` say why nodes would run, and name the cause upstream.

use std::fs;

use insta::assert_snapshot;

use crate::sandbox::{Sandbox, text};

#[test]
fn before_the_first_run_every_node_is_in_its_first_run() {
    let sandbox = Sandbox::new();
    let before = sandbox.listing();
    assert_snapshot!(sandbox.pipe("why train/1").shown(), @"
      search/train/001 may run: first run
    exit 0
    ");
    assert_eq!(sandbox.listing(), before, "looking makes no store");
}

#[test]
fn a_changed_parameter_is_the_cause_of_everything_downstream() {
    let sandbox = Sandbox::after_run();
    sandbox.edit("Stratified(0.2)", "Stratified(0.3)");
    let before = sandbox.listing();
    assert_snapshot!(sandbox.pipe("why data").shown(), @"
      data would run: validation.Stratified.fraction 0.2 -> 0.3
    exit 0
    ");
    assert_snapshot!(sandbox.pipe("why train/0").shown(), @"
      search/train/000 may run: inputs `labels`, `policy`, `train`, `validation` may change
        because `data` would run: validation.Stratified.fraction 0.2 -> 0.3
    exit 0
    ");
    assert_snapshot!(sandbox.pipe("why test").shown(), @"
      test may run: inputs `architecture`, `data`, `labels`, `policy`, `weights` may change
        because `data` would run: validation.Stratified.fraction 0.2 -> 0.3
    exit 0
    ");
    assert_snapshot!(sandbox.pipe("run --plan --stage train/0").shown(), @"
         reused  raw  (unchanged)
       will run  data  (validation.Stratified.fraction 0.2 -> 0.3)
        may run  flip  (input `train` may change, because of `data`)
         reused  search/propose/000  (unchanged)
        may run  search/train/000  (inputs `labels`, `policy`, `train`, `validation` may change, because of `data`)
      what it needs on disk is known once the data are there
      2 reused, 1 will run, 2 may run
    exit 10
    ");
    assert_eq!(sandbox.listing(), before);
    let [told] = sandbox.json("why train/0 --json").as_array().unwrap().clone().try_into().unwrap();
    assert_eq!((&told["node"], &told["outlook"]), (&"search/train/000".into(), &"may run".into()));
    assert_eq!(told["reason"]["differences"][0]["of"], "pending");
    let cause = told["because"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&cause["node"], &cause["reason"]["differences"][0]["path"]),
        (&"data".into(), &"validation.Stratified.fraction".into())
    );
}

#[test]
fn a_changed_input_names_the_node_that_wrote_it_and_both_digests() {
    let sandbox = Sandbox::after_run();
    let old = sandbox.digest("flip", "policy.json");
    sandbox.edit("RandomFlip(0.5)", "RandomFlip(0.25)");
    sandbox.run("--stage flip").ok();
    let new = sandbox.digest("flip", "policy.json");
    // `flip` alone was run, so the latest study of this name has no training. It is as in the one before it.
    assert_snapshot!(sandbox.pipe("why train/0").shown(), @"
      search/train/000 would run: input `policy` changed
        because `flip` would be reused: known from an earlier run; since the latest study: policy[0].RandomFlip 0.5 -> 0.25
    exit 0
    ");
    sandbox.run("").ok();
    assert_snapshot!(sandbox.pipe("why train/0 --study tiny").shown(), @"
      search/train/000 ran: input `policy` changed
    exit 0
    ");
    sandbox.edit("RandomFlip(0.25)", "RandomFlip(0.5)");
    assert_snapshot!(sandbox.pipe("why train/0").shown(), @"
      search/train/000 would be reused: known from an earlier run; since the latest study: input `policy` changed
        because `flip` would be reused: known from an earlier run; since the latest study: policy[0].RandomFlip 0.25 -> 0.5
    exit 0
    ");
    let told = sandbox.json("why train/0 --json");
    let difference = &told[0]["reason"]["differences"][0];
    assert_eq!((text(&difference["old"]), text(&difference["new"])), (new, old));
    assert_eq!((&difference["slot"], &difference["node"]), (&"policy".into(), &"flip".into()));
}

#[test]
fn of_a_node_that_would_not_run_it_is_told_why_it_ran() {
    let sandbox = Sandbox::after_run();
    sandbox.edit("epochs: 2", "epochs: 3");
    sandbox.run("").ok();
    sandbox.run("--set name=tiny --set flip.policy=[]").ok();
    sandbox.run("").ok();
    assert_snapshot!(sandbox.pipe("why raw").shown(), @"
      raw would be reused: unchanged
      in study tiny~3 SHORT:
        raw ran: first run
    exit 0
    ");
    assert_snapshot!(sandbox.pipe("why retrain_best --study tiny~2").shown(), @"
      retrain_best ran: input `policy` changed
        because `flip` ran: policy default -> [{\"RandomFlip\":0.5}]
    exit 0
    ");
    assert_snapshot!(sandbox.pipe("why retrain_best --study tiny~3").shown(), @"
      retrain_best ran: first run
    exit 0
    ");
    assert_snapshot!(sandbox.pipe("why retrain_best").shown(), @"
      retrain_best would be reused: unchanged
      in study tiny SHORT:
        retrain_best ran: input `policy` changed
          because `flip` ran: policy default -> [{\"RandomFlip\":0.5}]
    exit 0
    ");
}

#[test]
fn seeds_and_overrides_are_causes() {
    let sandbox = Sandbox::after_run();
    assert_snapshot!(sandbox.pipe("why propose/0 --set seed=8").shown(), @"
      search/propose/000 would run: seed 17845410881669999218 -> 18341615591121485786
    exit 0
    ");
    assert_snapshot!(sandbox.pipe("why train/0 --set seed=8").shown(), @"
      search/train/000 may run: seed 12042488483611169233 -> 15815748773613379249, input `proposal` may change
        because `search/propose/000` would run: seed 17845410881669999218 -> 18341615591121485786
    exit 0
    ");
}

#[test]
fn a_missing_result_is_named() {
    let sandbox = Sandbox::after_run();
    let flip = sandbox.node("flip");
    fs::remove_file(sandbox.object(&text(&flip["tree"]))).unwrap();
    assert_snapshot!(sandbox.pipe("why flip").shown(), @"
      flip would run: its result is no longer in the store
    !  WARN a result names an object that is missing; its action will run again action=DIGEST object=DIGEST
    exit 0
    ");
    assert_snapshot!(sandbox.pipe("why train/0").shown(), @"
      search/train/000 may run: input `policy` may change
        because `flip` would run: its result is no longer in the store
    !  WARN a result names an object that is missing; its action will run again action=DIGEST object=DIGEST
    exit 0
    ");
}

#[test]
fn damage_is_a_reason_and_the_exit_code_says_so() {
    let sandbox = Sandbox::after_run();
    let key = text(&sandbox.node("flip")["key"]);
    let record = sandbox.path(format!(".pipe/actions/{}/{}.json", &key[..2], &key[2..]));
    fs::remove_file(&record).unwrap();
    fs::write(&record, "rot").unwrap();
    assert_snapshot!(sandbox.pipe("why flip").shown(), @"
      flip is damaged: `SANDBOX/.pipe/actions/6a/2117b6c2f62d39fb93e82f590e81ae6d5f6463bba108e875b8036d826b6ada.json` is damaged: expected value at line 1 column 1; `pipe verify --repair` sets it aside
    ! error: the store is damaged
    !   hint: `pipe verify --repair` moves damaged files to the quarantine
    exit 3
    ");
    assert_snapshot!(sandbox.pipe("run --plan --stage train/0").shown(), @"
         reused  raw  (unchanged)
         reused  data  (unchanged)
        damaged  flip  (`SANDBOX/.pipe/actions/6a/2117b6c2f62d39fb93e82f590e81ae6d5f6463bba108e875b8036d826b6ada.json` is damaged: expected value at line 1 column 1; `pipe verify --repair` sets it aside)
         reused  search/propose/000  (unchanged)
        damaged  search/train/000  (it needs `flip`)
      3 reused, 0 will run, 0 may run, 2 damaged
    exit 3
    ");
}

#[test]
fn a_crashed_node_had_no_result() {
    let sandbox = Sandbox::new();
    let absent = r#"Fetch(Url(url: "file:///nowhere/raw", size: 1, blake3: "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"))"#;
    sandbox.edit(r#"Fetch(Embedded(name: "shapes100", train: 200, test: 100))"#, absent);
    assert_eq!(sandbox.pipe("run").code, Some(1));
    assert_snapshot!(sandbox.pipe("why raw").shown(), @"
      raw would run: it had no result
    exit 0
    ");
    assert_snapshot!(sandbox.pipe("why test").shown(), @"
      test may run: it had no result
        because `data` may run: it had no result
        because `raw` would run: it had no result
    exit 0
    ");
    assert_snapshot!(sandbox.pipe("why raw --study tiny").shown(), @"
      raw failed: first run
    exit 0
    ");
}

#[test]
fn unknown_nodes_and_unreadable_files_are_refused() {
    let sandbox = Sandbox::after_run();
    assert_snapshot!(sandbox.pipe("why flop").shown(), @"
    ! error: there is no stage or node `flop`
    !   hint: did you mean `flip`?
    exit 2
    ");
    assert_snapshot!(sandbox.pipe("why flip --study nope").shown(), @"
    ! error: there is no study `nope`
    !   hint: studies are tiny; a hash needs at least four digits
    exit 2
    ");
}

#[test]
fn the_plan_says_with_its_exit_code_whether_something_would_run() {
    let sandbox = Sandbox::after_run();
    assert_eq!(sandbox.pipe("run --plan").code, Some(0));
    assert_eq!(sandbox.pipe("run --plan --rerun flip").code, Some(10));
    assert_eq!(sandbox.pipe("run --plan --set seed=8 --json").code, Some(10));
    fs::create_dir(sandbox.path("empty")).unwrap();
    let before = sandbox.listing();
    assert_eq!(sandbox.pipe("run --plan --store empty").code, Some(10));
    assert_eq!(sandbox.listing(), before, "a plan writes nothing");
}
