//! Writers that are killed at any moment, or that fill the disk, leave a clean store that needs no tidying up.

#![expect(clippy::disallowed_methods, reason = "the tests start writers, kill them, and read the clock for them")]

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, SystemTime},
};

use pipe_store::{ActionKey, ActionResult, Digest, Manifest, RefKind, Store, StoreError};
use serde_json::json;

/// Says that no object names others.
fn no_manifest(_: &[u8]) -> Result<Manifest, String> {
    Err("the tests of this package have no studies".to_owned())
}

/// Tells the test binary to be a writer, and in which store.
const WRITER: &str = "PIPE_STORE_TEST_WRITER";
/// Tells the test binary to fill the disk of a store.
const FILLER: &str = "PIPE_STORE_TEST_FILLER";
const STUDIES: RefKind = RefKind::Studies;

/// Not a test, but what the killed processes run: it does everything that a store is for, again and again.
#[test]
fn writer() {
    let Ok(root) = std::env::var(WRITER) else { return };
    let store = Store::open(Path::new(&root)).unwrap();
    let run = store.open_run(&format!("run {}", std::process::id()), "study", SystemTime::now()).unwrap();
    for i in std::process::id() * 7.. {
        let action = format!("action {}", i % 50).into_bytes();
        let key = ActionKey(Digest::of(&action));
        run.append(&key).unwrap();
        store.put(&action).unwrap();
        let _lock = store.lock_action(&key).unwrap();
        let outputs = outputs(i % 50);
        let (tree, _) = store.put_tree(&outputs).unwrap();
        store.commit(&key, &ActionResult::Tree(tree), &json!({ "process": std::process::id() })).unwrap();
        store.save_checkpoint(&Digest::of(b"trajectory"), u64::from(i), &outputs, 2).unwrap();
        store.ref_append(STUDIES, "study", &tree, SystemTime::now()).unwrap();
        if i % 5 == 0 {
            store.replace(&key, &ActionResult::Tree(tree), &json!({ "process": std::process::id() })).unwrap();
        }
        if i % 11 == 0 {
            let roots = store.gc_roots().unwrap();
            let plan = store.gc_plan(&roots, SystemTime::now(), Duration::ZERO).unwrap();
            drop(store.sweep(&plan));
        }
    }
}

/// Not a test, but a process that fills a disk.
#[test]
fn filler() {
    let Ok(root) = std::env::var(FILLER) else { return };
    let store = Store::open(Path::new(&root)).unwrap();
    let large = noise(0, 200_000);
    let error = store.put(&large).unwrap_err();
    assert!(matches!(&error, StoreError::Io { path, .. } if path.starts_with(&root)), "{error:?}");
    let tree = BTreeMap::from([("large".to_owned(), large)]);
    assert!(store.put_tree(&tree).is_err() && store.save_checkpoint(&Digest::of(b"t"), 1, &tree, 1).is_err());
    store.put(b"small").unwrap();
}

#[test]
fn a_full_disk_is_an_error_and_leaves_a_clean_store() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    // With a limit on the size of files, and without the signal for reaching it, writing fails as on a full disk.
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; ulimit -f 100; exec \"$0\" filler --exact"])
        .arg(std::env::current_exe().unwrap());
    assert!(command.env(FILLER, &root).stdout(Stdio::null()).status().unwrap().success());
    let store = Store::open(&root).unwrap();
    let report = store.verify(&no_manifest, &mut |_, _| ()).unwrap();
    assert!(report.is_clean() && report.objects.count == 1, "{report:?}");
    assert_eq!(store.usage().unwrap().temporary.count, 0);
}

fn outputs(i: u32) -> BTreeMap<String, Vec<u8>> {
    let large = Digest::of(&i.to_le_bytes()).as_bytes().repeat(300 + i as usize);
    [("score.json", format!("{{\"n\":{i}}}\n").into_bytes()), ("repeated", large), ("noise", noise(i, 8000))]
        .map(|(path, bytes)| (path.to_owned(), bytes))
        .into()
}

/// Returns bytes that do not compress.
fn noise(seed: u32, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed.into()).fill(&mut bytes);
    bytes
}

fn spawn(root: &Path) -> Child {
    let binary = std::env::current_exe().unwrap();
    let mut command = Command::new(binary);
    command.args(["writer", "--exact"]).env(WRITER, root).stdout(Stdio::null()).stderr(Stdio::inherit());
    command.spawn().unwrap()
}

#[test]
fn writers_killed_at_random_leave_a_clean_store() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let mut random = fastrand::Rng::with_seed(1);
    let mut round = 0;
    // At least forty rounds, or `PIPE_TEST_ROUNDS`, and until some writers have got far enough: on a busy machine few do.
    let enough = |store: Store| {
        store.usage().unwrap().results.count >= 10 && !store.ref_log(STUDIES, "study").unwrap().is_empty()
    };
    let rounds = std::env::var("PIPE_TEST_ROUNDS").map_or(40, |text| text.parse().expect("it is a number"));
    while round < rounds || !enough(Store::open(&root).unwrap()) {
        round += 1;
        let mut writers = [spawn(&root), spawn(&root)];
        thread::sleep(Duration::from_micros(2000 + random.u64(..40_000 + 1000 * round.min(100))));
        for writer in &mut writers {
            assert!(writer.try_wait().unwrap().is_none(), "a writer failed in round {round}");
            writer.kill().unwrap();
            writer.wait().unwrap();
        }
        let store = Store::open(&root).unwrap();
        let report = store.verify(&no_manifest, &mut |_, _| ()).unwrap();
        assert!(report.is_clean() && report.foreign.is_empty(), "round {round}: {report:?}");
        assert!(store.runs().unwrap().iter().all(|run| !run.running), "locks end with their process");
        if let Some((_, parts)) = store.latest_checkpoint(&Digest::of(b"trajectory"), u64::MAX) {
            assert_eq!(parts.len(), 3);
        }
    }
    let store = Store::open(&root).unwrap();
    // What they left behind is collected like everything else that nothing needs.
    store.open_run("last", "study", SystemTime::now()).unwrap().finish().unwrap();
    assert!(store.runs().unwrap().is_empty());
    store.ref_retain(STUDIES, "study", |_| false).unwrap();
    let roots = store.gc_roots().unwrap();
    store.sweep(&store.gc_plan(&roots, SystemTime::now() + Duration::from_secs(60), Duration::ZERO).unwrap()).unwrap();
    let usage = store.usage().unwrap();
    assert_eq!(usage, pipe_store::Usage::default(), "all of it");
}
