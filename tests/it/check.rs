//! `run --check` executes nodes again and compares them with their results, which stand.

use std::collections::BTreeMap;

use insta::assert_snapshot;
use pipe_store::{ActionKey, ActionResult, FailureRecord, ObjectSource, Store};

use crate::{
    failures::TOO_DEEP,
    sandbox::{Output, Sandbox, base, text},
};

/// Replaces an output file of a node of the latest study, or with `None` makes its result a failure, as if it had been so from the
/// beginning.
fn tamper(sandbox: &Sandbox, node: &str, path: &str, change: impl Fn(Vec<u8>) -> Option<Vec<u8>>) {
    let store = Store::open(&sandbox.path(".pipe")).unwrap();
    let node = sandbox.node(node);
    let (key, tree): (ActionKey, _) =
        (ActionKey(text(&node["key"]).parse().unwrap()), text(&node["tree"]).parse().unwrap());
    let read = |digest| store.read(&digest).unwrap().to_vec();
    let mut files: BTreeMap<_, _> =
        store.tree(&tree).unwrap().files.into_iter().map(|(path, file)| (path, read(file.digest))).collect();
    let result = match change(files.remove(path).unwrap()) {
        Some(bytes) => {
            files.insert(path.to_owned(), bytes);
            ActionResult::Tree(store.put_tree(&files).unwrap().0)
        }
        None => ActionResult::Failure(FailureRecord { message: "it failed".to_owned(), hint: None }),
    };
    store.replace(&key, &result, &serde_json::json!({ "format": 1 })).unwrap();
}

/// Returns the lines of standard error that match, without the number of the study's report.
fn told(output: &Output) -> String {
    crate::sandbox::filtered(&output.err)
}

#[test]
fn all_nodes_give_the_same_and_the_store_is_not_touched() {
    let sandbox = Sandbox::after_run();
    let before = sandbox.listing();
    let output = sandbox.pipe("run --check --jobs 1");
    assert_snapshot!(output.shown(), @"
    !       equal  raw  TIME
    !  WARN the validation split of 0.2 takes 1 of 2 pictures of the class `circle/solid`, and 99 other classes are like it
    !       equal  data  TIME
    !       equal  flip  TIME
    !       equal  search/propose/000  TIME
    !       equal  search/train/000  (also stopped at step 4 and continued)  TIME
    !       equal  search/history/000  TIME
    !       equal  search/propose/001  TIME
    !       equal  search/train/001  (also stopped at step 4 and continued)  TIME
    !       equal  search/history/001  TIME
    !       equal  search/split/002  TIME
    !       equal  search/propose/002  TIME
    !       equal  search/train/002  (also stopped at step 4 and continued)  TIME
    !       equal  search/history/002  TIME
    !       equal  search/select  TIME
    !       equal  retrain_best  (also stopped at step 7 and continued)  TIME
    !       equal  test  TIME
    !       equal  visualize_filters  TIME
    ! 17 equal, 0 different, 0 not run yet, 0 not checked in TIME
    exit 0
    ");
    // Only locks of nothing: no object, no record, no checkpoint.
    assert_eq!(sandbox.listing(), before);
    assert_eq!(sandbox.run("").ok().hash(), base().hash);
}

#[test]
fn a_training_is_also_stopped_half_way_and_continued() {
    let sandbox = Sandbox::after_run();
    let events = sandbox.pipe("run --json --check train/0 --check retrain_best --check flip").events();
    assert_eq!(events.code, Some(0), "{}", events.err);
    let verdict =
        |node: &str| events.all.iter().find(|event| event["event"] == "checked" && event["node"] == node).unwrap();
    assert_eq!((&verdict("flip")["verdict"], &verdict("flip")["resumed"]), (&"equal".into(), &serde_json::Value::Null));
    // 16 images a step: 50 of 100 are passed in step 4, 100 of 200 are reached in step 7.
    assert_eq!(verdict("search/train/000")["resumed"]["at_step"], 4);
    assert_eq!(verdict("retrain_best")["resumed"]["at_step"], 7);
    // Its work began three times: at the beginning, again, and where it was stopped. Its own checkpoint was not used.
    let of_node = events.all.iter().filter(|event| event["event"] == "progress" && event["node"] == "search/train/000");
    let done: Vec<_> = of_node.map(|event| event["done"].as_u64().unwrap()).collect();
    assert_eq!(done.iter().filter(|done| **done == 16).count(), 2, "{done:?}");
    assert_eq!(done.iter().filter(|done| **done == 100).count(), 2, "{done:?}");
    let counts = events.all.last().unwrap();
    assert_eq!((&counts["event"], &counts["equal"], &counts["different"]), (&"check".into(), &3.into(), &0.into()));
}

#[test]
fn another_result_is_told_with_its_first_difference_and_stands() {
    let sandbox = Sandbox::after_run();
    tamper(&sandbox, "flip", "policy.json", |bytes| {
        Some(String::from_utf8(bytes).unwrap().replace("0.5}", "0.25}").into())
    });
    let before = sandbox.listing();
    let output = sandbox.pipe("run --check flip");
    assert_eq!(output.code, Some(3), "{}", output.err);
    assert_snapshot!(told(&output), @"
      DIFFERENT  flip: `policy.json`: policy[0].RandomFlip 0.25 -> 0.5, by at most 2.5e-1  TIME
    0 equal, 1 different, 0 not run yet, 0 not checked in TIME
    ");
    assert_eq!(sandbox.listing(), before);
    let output = sandbox.pipe("run --check flip --json").events();
    let checked = output.all.iter().find(|event| event["event"] == "checked").unwrap();
    assert_eq!((&checked["verdict"], &checked["difference"]["path"]), (&"different".into(), &"policy.json".into()));
    // The first epoch of a training that differs, and an outcome of another kind.
    let sandbox = Sandbox::after_run();
    tamper(&sandbox, "search/train/001", "history.csv", |bytes| {
        Some(String::from_utf8(bytes).unwrap().replacen("\n1,", "\n1,1", 1).into())
    });
    tamper(&sandbox, "test", "evaluation.json", |_| None);
    let output = sandbox.pipe("run --check train/1 --check test --jobs 1");
    assert_eq!(output.code, Some(3), "{}", output.err);
    assert_snapshot!(told(&output), @"
      DIFFERENT  search/train/001: from epoch 1 on; `history.csv`: line 2 differs, by at most 1.0e1  TIME
      DIFFERENT  test: committed: it failed; now: it has outputs  TIME
    0 equal, 2 different, 0 not run yet, 0 not checked in TIME
    ");
}

#[test]
fn weights_differ_by_a_number() {
    let sandbox = Sandbox::after_run();
    tamper(&sandbox, "retrain_best", "best/weights.safetensors", |mut bytes| {
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        Some(bytes)
    });
    let output = sandbox.pipe("run --check retrain_best --quiet");
    assert_eq!(output.code, Some(3), "{}", output.err);
    assert!(
        output.err.contains("`best/weights.safetensors`: tensor `") && output.err.contains(" differs, by at most "),
        "{}",
        output.err
    );
}

#[test]
fn failures_are_checked_too() {
    let sandbox = Sandbox::with(TOO_DEEP);
    assert_eq!(sandbox.pipe("run").code, Some(1));
    assert_snapshot!(sandbox.pipe("run --check --jobs 1").shown(), @"
    ! not run yet  test
    !       equal  raw  TIME
    !  WARN the validation split of 0.2 takes 1 of 2 pictures of the class `circle/solid`, and 99 other classes are like it
    !       equal  data  TIME
    !       equal  deep  TIME
    !       equal  fine  (also stopped at step 1 and continued)  TIME
    !       equal  fine_test  TIME
    ! 5 equal, 0 different, 1 not run yet, 0 not checked in TIME
    exit 0
    ");
}

#[test]
fn what_was_not_run_cannot_be_checked() {
    let sandbox = Sandbox::after_run();
    sandbox.edit("epochs: 2", "epochs: 3");
    assert_snapshot!(sandbox.pipe("run --check retrain_best --check flip").shown(), @"
    ! not run yet  retrain_best
    !       equal  flip  TIME
    ! 1 equal, 0 different, 1 not run yet, 0 not checked in TIME
    exit 0
    ");
    assert_snapshot!(sandbox.pipe("run --check retrain_best").shown(), @"
    ! not run yet  retrain_best
    ! 0 equal, 0 different, 1 not run yet, 0 not checked in TIME
    ! error: nothing was checked: no node has been run
    !   hint: `pipe run` runs them
    exit 1
    ");
    assert_snapshot!(sandbox.pipe("run --check flop").shown(), @"
    ! error: there is no stage or node `flop`
    !   hint: did you mean `flip`?
    exit 2
    ");
    assert_eq!(Sandbox::new().pipe("run --check").code, Some(2), "there is no store");
}

#[test]
fn damage_is_not_checked() {
    let sandbox = Sandbox::after_run();
    let policy = sandbox.object(&sandbox.digest("flip", "policy.json"));
    std::fs::remove_file(&policy).unwrap();
    std::fs::write(&policy, "rot").unwrap();
    let output = sandbox.pipe("run --check flip");
    assert_eq!(output.code, Some(3), "{}", output.err);
    assert!(
        output.err.contains("not checked  flip: ") && output.err.contains("error: the store is damaged\n"),
        "{}",
        output.err
    );
}
