//! A damaged object is reported, never used, and computed again.

use std::fs;

use insta::assert_snapshot;

use crate::sandbox::{Sandbox, base, names};

/// Returns a sandbox with damaged training images, and their digest.
fn damaged() -> (Sandbox, String) {
    let sandbox = Sandbox::after_run();
    let digest = sandbox.digest("data", "train.safetensors");
    let path = sandbox.object(&digest);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    (sandbox, digest)
}

#[test]
fn a_run_that_needs_a_damaged_object_names_it_and_ends_with_3() {
    let (sandbox, digest) = damaged();
    sandbox.edit("epochs: 2", "epochs: 3");
    let output = sandbox.pipe("run");
    assert_eq!(output.code, Some(3), "{}{}", output.out, output.err);
    assert!(output.err.contains(&digest), "{}", output.err);
    assert!(output.err.contains("pipe verify --repair"), "{}", output.err);
}

#[test]
fn a_damaged_object_is_found_set_aside_and_computed_again() {
    let (sandbox, digest) = damaged();
    let found = sandbox.pipe("verify");
    assert_eq!(found.code, Some(3));
    let (shard, rest) = digest.split_at(2);
    assert!(found.out.contains(&format!("objects/{shard}/{rest}")), "{}", found.out);
    assert_eq!(sandbox.pipe("verify --repair").code, Some(0));
    // The object is missing now, but no longer damaged.
    let events = sandbox.run("").ok();
    assert_eq!((events.hash(), events.nodes("executed")), (base().hash.clone(), names(["data"])));
    sandbox.pipe("verify").ok();
}

/// Returns a sandbox with two studies of the same name, the older one with a damaged manifest, and the digest of the manifest.
fn older_damaged() -> (Sandbox, String) {
    let sandbox = Sandbox::after_run();
    let older = sandbox.run("--stage raw").ok().hash();
    assert_eq!(sandbox.run("").ok().hash(), base().hash);
    let path = sandbox.object(&older);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "rot").unwrap();
    (sandbox, older)
}

#[test]
fn a_damaged_older_study_is_repaired_at_once_and_does_not_block_a_collection() {
    let (sandbox, older) = older_damaged();
    for command in ["gc --grace 0s", "gc --grace 0s --dry-run", "verify"] {
        let output = sandbox.pipe(command);
        assert_eq!(output.code, Some(3), "{command}: {}", output.err);
        assert!(output.err.contains("pipe verify --repair"), "{command}: {}", output.err);
    }
    let log = fs::read(sandbox.path(".pipe/refs/studies/tiny")).unwrap();
    let repaired = sandbox.pipe("verify --repair").ok();
    let message = format!("forgot study tiny {older}: its manifest is missing\n");
    assert!(repaired.err.contains(&message), "{}", repaired.err);
    assert_eq!(fs::read(sandbox.path(".pipe/quarantine/refs-studies-tiny")).unwrap(), log);
    sandbox.pipe("verify").ok();
    sandbox.pipe("gc --grace 0s").ok();
    sandbox.pipe("verify").ok();
    let events = sandbox.run("").ok();
    assert_eq!((events.hash(), events.nodes("executed").len()), (base().hash.clone(), 0));
    assert_eq!(sandbox.json("studies --json").as_array().unwrap().len(), 2);
}

#[test]
fn a_missing_manifest_stops_a_collection_until_it_is_repaired() {
    let (sandbox, older) = older_damaged();
    fs::remove_file(sandbox.object(&older)).unwrap();
    let output = sandbox.pipe("gc --grace 0s");
    assert_eq!(output.code, Some(3), "{}", output.err);
    assert!(output.err.contains("pipe verify --repair"), "{}", output.err);
    sandbox.pipe("verify --repair").ok();
    sandbox.pipe("gc --grace 0s").ok();
    sandbox.pipe("verify").ok();
}

#[test]
fn results_that_refer_to_a_missing_object_are_set_aside_and_computed_again() {
    let sandbox = Sandbox::after_run();
    fs::remove_file(sandbox.object(&sandbox.digest("flip", "preview.png"))).unwrap();
    assert_eq!(sandbox.pipe("verify").code, Some(3));
    sandbox.pipe("verify --repair").ok();
    let still = sandbox.pipe("verify");
    assert_eq!(still.code, Some(3), "the study names what is missing");
    assert!(still.out.contains("named by refs/studies/tiny"), "{}", still.out);
    sandbox.pipe("gc").ok();
    let events = sandbox.run("").ok();
    assert_eq!((events.hash(), events.nodes("executed")), (base().hash.clone(), names(["flip"])));
    sandbox.pipe("verify").ok();
}

#[test]
fn a_truncated_log_of_studies_is_reported_and_repaired() {
    let sandbox = Sandbox::after_run();
    // The lock of collections is a file that stays.
    sandbox.pipe("gc").ok();
    let log = sandbox.path(".pipe/refs/studies/tiny");
    let whole = fs::read(&log).unwrap();
    let cases = [(&[][..], "it is empty"), (&whole[..whole.len() / 2], "its last line is cut off")];
    for (bytes, reason) in cases {
        fs::write(&log, bytes).unwrap();
        let found = sandbox.pipe("verify");
        assert_eq!(found.code, Some(3));
        assert!(found.out.contains(&format!("unreadable  refs/studies/tiny  {reason}\n")), "{}", found.out);
        let before = sandbox.listing();
        assert_eq!(sandbox.pipe("gc --grace 0s").code, Some(3), "what the lost studies need is not known");
        assert_eq!(sandbox.listing(), before);
        sandbox.pipe("verify --repair").ok();
        sandbox.pipe("verify").ok();
        let events = sandbox.run("").ok();
        assert_eq!((events.hash(), events.nodes("executed").len()), (base().hash.clone(), 0));
    }
}

#[test]
fn a_missing_object_is_computed_again() {
    let sandbox = Sandbox::after_run();
    fs::remove_file(sandbox.object(&sandbox.digest("search/train/001", "best/weights.safetensors"))).unwrap();
    let events = sandbox.run("").ok();
    assert_eq!((events.hash(), events.nodes("executed")), (base().hash.clone(), names(["search/train/001"])));
}

#[test]
fn a_damaged_checkpoint_costs_only_time() {
    let sandbox = Sandbox::after_run();
    let whole = Sandbox::new();
    for file in sandbox.stored("checkpoints").into_iter().filter(|path| path.components().count() == 3) {
        let path = sandbox.path(".pipe/checkpoints").join(file);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "damaged").unwrap();
    }
    let [resumed, fresh] = [&sandbox, &whole].map(|sandbox| {
        sandbox.edit("epochs: 2", "epochs: 3");
        sandbox.run("").ok()
    });
    assert_eq!(resumed.hash(), fresh.hash());
    assert_eq!(resumed.first_progress("retrain_best"), Some((16, 300)));
    // Damaged checkpoints that were not needed still exist.
    sandbox.pipe("verify --repair");
    sandbox.pipe("verify").ok();
}

#[test]
fn an_unreadable_record_is_reported() {
    let sandbox = Sandbox::after_run();
    let record = sandbox.path(".pipe/actions").join(sandbox.stored("actions").first().unwrap());
    fs::remove_file(&record).unwrap();
    fs::write(&record, "{").unwrap();
    assert_eq!(sandbox.pipe("verify").code, Some(3));
    assert_eq!(sandbox.pipe("run").code, Some(3));
    sandbox.pipe("verify --repair").ok();
    assert_eq!(sandbox.run("").ok().hash(), base().hash);
    sandbox.pipe("verify").ok();
}

#[test]
fn verify_reports_a_sound_store() {
    let sandbox = Sandbox::after_run();
    let output = sandbox.pipe("verify").ok();
    assert!(output.out.ends_with(" 17 results and 3 checkpoints read: no damage found\n"), "{}", output.out);
    assert_snapshot!(Sandbox::new().pipe("verify").shown(), @"
    ! error: there is no store at `.pipe`
    !   hint: make one with `pipe run`, or name another with `--store`
    exit 2
    ");
}
