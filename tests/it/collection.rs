//! `pipe gc` removes everything that no study needs, and nothing else.

use std::{fs, thread};

use crate::sandbox::{NODES, Sandbox, base};

/// Returns a sandbox with two studies of the same name: one with another flip probability, then the shared one.
fn two_studies() -> Sandbox {
    let sandbox = Sandbox::after_run();
    sandbox.run("--set flip.policy[0]=RandomFlip(0.25)").ok();
    assert_eq!(sandbox.run("").ok().hash(), base().hash);
    sandbox
}

#[test]
fn objects_of_studies_are_kept() {
    let sandbox = two_studies();
    let before = sandbox.stored("objects");
    sandbox.pipe("gc --grace 0s").ok();
    assert_eq!(sandbox.stored("objects"), before);
    assert_eq!(sandbox.run("").ok().nodes("reused").len(), NODES);
    assert_eq!(sandbox.run("--set flip.policy[0]=RandomFlip(0.25)").ok().nodes("reused").len(), NODES);
}

#[test]
fn a_forgotten_study_is_removed_and_the_rest_is_kept() {
    let sandbox = two_studies();
    let before = sandbox.listing();
    let plan = sandbox.pipe("gc --keep-last 1 --grace 0s --dry-run").ok();
    assert_eq!(sandbox.listing(), before, "a dry run deletes nothing");
    let done = sandbox.pipe("gc --keep-last 1 --grace 0s").ok();
    assert_eq!(done.out.replace("forgot  ", "would forget  "), plan.out);
    let fresh = Sandbox::after_run();
    assert_eq!(sandbox.stored("objects"), fresh.stored("objects"));
    assert_eq!(sandbox.stored("actions"), fresh.stored("actions"));
    sandbox.pipe("verify").ok();
    let again = sandbox.run("").ok();
    assert_eq!((again.hash(), again.nodes("reused").len()), (base().hash.clone(), NODES));
    // The forgotten study is computed again.
    let other = sandbox.run("--set flip.policy[0]=RandomFlip(0.25)").ok();
    assert!(other.nodes("executed").contains("retrain_best"));
}

#[test]
fn young_objects_are_kept() {
    let sandbox = two_studies();
    let before = sandbox.stored("objects");
    sandbox.pipe("gc --keep-last 1").ok();
    assert_eq!(sandbox.stored("objects"), before);
    let refused = sandbox.pipe("gc --grace 14");
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("time unit needed"), "{}", refused.err);
}

#[test]
fn a_collection_during_a_run_removes_nothing_of_it() {
    let sandbox = Sandbox::new();
    let hash = thread::scope(|scope| {
        let run = scope.spawn(|| sandbox.run("--checkpoint-every 0").ok().hash());
        let mut collections = 0;
        while !run.is_finished() || collections == 0 {
            if sandbox.path(".pipe/format").exists() {
                sandbox.pipe("gc --grace 0s --keep-last 1").ok();
                collections += 1;
            }
        }
        run.join().unwrap()
    });
    assert_eq!(hash, base().hash);
    sandbox.pipe("verify").ok();
    assert_eq!(sandbox.run("").ok().nodes("reused").len(), NODES);
}

/// Returns a sandbox as after a kill: with results and the log of the run, but without a study.
fn unfinished() -> Sandbox {
    let sandbox = Sandbox::after_run();
    fs::remove_file(sandbox.path(".pipe/refs/studies/tiny")).unwrap();
    let mut log = "{\"format\":1,\"started\":1,\"study\":\"tiny\"}\n".to_owned();
    for path in sandbox.stored("actions") {
        log += &path.to_str().unwrap().replace('/', "").replace(".json", "\n");
    }
    fs::create_dir_all(sandbox.path(".pipe/refs/runs")).unwrap();
    sandbox.write(".pipe/refs/runs/1-1", &log);
    sandbox
}

#[test]
fn an_unfinished_run_is_kept_until_it_is_finished() {
    let sandbox = unfinished();
    let before = sandbox.stored("actions");
    sandbox.pipe("gc --grace 0s").ok();
    assert_eq!(sandbox.stored("actions"), before);
    let events = sandbox.run("").ok();
    assert_eq!((events.hash(), events.nodes("reused").len()), (base().hash.clone(), NODES));
    assert!(sandbox.stored("refs/runs").is_empty(), "finished with the study");
}

#[test]
fn an_abandoned_run_is_removed() {
    let sandbox = unfinished();
    sandbox.pipe("gc --grace 0s --abandon --dry-run").ok();
    assert_eq!(sandbox.stored("refs/runs").len(), 1);
    sandbox.pipe("gc --grace 0s --abandon").ok();
    for folder in ["refs/runs", "objects", "actions"] {
        assert!(sandbox.stored(folder).is_empty(), "{folder}: {:?}", sandbox.stored(folder));
    }
}
