//! `pipe gc` removes everything that no study needs, and nothing else.

use std::{collections::BTreeSet, fs, path::PathBuf, thread};

use crate::sandbox::{NODES, Sandbox, base};

/// Returns a sandbox with two studies of the same name: one with another flip probability, then the shared one.
fn two_studies() -> Sandbox {
    let sandbox = Sandbox::after_run();
    sandbox.run("--set flip.policy[0]=RandomFlip(0.25)").ok();
    assert_eq!(sandbox.run("").ok().hash(), base().hash);
    sandbox
}

/// Returns the objects of the ledger of the test splits.
fn ledger(sandbox: &Sandbox) -> BTreeSet<PathBuf> {
    let mut objects = BTreeSet::new();
    for path in sandbox.stored("refs/readings") {
        let log = fs::read_to_string(sandbox.path(".pipe/refs/readings").join(path)).unwrap();
        for line in log.lines() {
            let entry: serde_json::Value = serde_json::from_str(line).unwrap();
            let digest = entry["digest"].as_str().map(|digest| format!("{}/{}", &digest[..2], &digest[2..]));
            objects.extend(digest.map(PathBuf::from));
        }
    }
    objects
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
    let without_ledger = |sandbox: &Sandbox| &sandbox.stored("objects") - &ledger(sandbox);
    assert_eq!(without_ledger(&sandbox), without_ledger(&fresh));
    assert_eq!((ledger(&sandbox).len(), ledger(&fresh).len()), (2, 1), "each reading stays in the ledger");
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
    fs::remove_dir_all(sandbox.path(".pipe/refs/readings")).unwrap();
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

#[test]
fn nothing_is_removed_while_a_root_is_damaged() {
    let sandbox = two_studies();
    sandbox.pipe("tag tiny~1 first").ok();
    let store = sandbox.path(".pipe");
    let mut log = "{\"format\":1,\"started\":1,\"study\":\"tiny\"}\n".to_owned();
    for path in sandbox.stored("actions") {
        log += &path.to_str().unwrap().replace('/', "").replace(".json", "\n");
    }
    fs::create_dir_all(store.join("refs/runs")).unwrap();
    fs::write(store.join("refs/runs/1-1"), log).unwrap();
    let roots = sandbox.stored("refs");
    assert_eq!(roots.iter().filter(|path| path.starts_with("readings")).count(), 1, "{roots:?}");
    assert_eq!(roots.len(), 4, "{roots:?}");
    let before = [sandbox.stored("objects"), sandbox.stored("actions")];
    for root in roots {
        let path = store.join("refs").join(&root);
        let right = fs::read(&path).unwrap();
        let mut wrong = right.clone();
        let middle = wrong.len() / 2;
        wrong[middle] ^= 0x10;
        let replace = |bytes: &[u8]| {
            fs::remove_file(&path).unwrap();
            fs::write(&path, bytes).unwrap();
        };
        replace(&wrong);
        for args in ["", "--keep-last 1", "--abandon", "--max-size 1", "--dry-run"] {
            let refused = sandbox.pipe(&format!("gc --grace 0s {args}"));
            assert_eq!(refused.code, Some(3), "{} with {args}: {}{}", root.display(), refused.out, refused.err);
        }
        assert_eq!([sandbox.stored("objects"), sandbox.stored("actions")], before, "{}", root.display());
        replace(&right);
    }
    sandbox.pipe("gc --grace 0s").ok();
    assert_eq!([sandbox.stored("objects"), sandbox.stored("actions")], before);
}

/// Returns the size of all files of the store but the reserve.
fn size(sandbox: &Sandbox) -> u64 {
    let files = sandbox.stored("").into_iter().filter(|path| !path.ends_with("reserve"));
    files.map(|path| fs::metadata(sandbox.path(".pipe").join(path)).unwrap().len()).sum()
}

#[test]
fn a_store_can_be_kept_below_a_size() {
    let sandbox = two_studies();
    // The checkpoints of the first study, and all that nothing but it needs.
    let all = size(&sandbox);
    sandbox.pipe(&format!("gc --keep-last 1 --max-size {all}")).ok();
    assert_eq!(sandbox.json("show --json")["study"], base().hash.as_str());
    let forgotten = size(&sandbox);
    assert!(forgotten + 10_000 > all, "only the log of the studies is shorter: {all} {forgotten}");
    let limit = forgotten - 1;
    let plan = sandbox.pipe(&format!("gc --max-size {limit} --dry-run")).ok();
    assert_eq!(size(&sandbox), forgotten);
    let done = sandbox.json(&format!("gc --max-size {limit} --json"));
    assert_eq!((&done["limit"], &done["takes"]), (&limit.into(), &serde_json::json!([])));
    assert!(done["left"].as_u64().unwrap() <= limit && size(&sandbox) <= limit, "{done}\n{}", plan.out);
    assert!(!sandbox.stored("checkpoints").is_empty(), "no more than needed");
    // What the study needs stays.
    let refused = sandbox.pipe("gc --max-size 1K");
    assert_eq!(refused.code, Some(1), "{}{}", refused.out, refused.err);
    assert!(sandbox.stored("checkpoints").is_empty());
    assert!(
        refused.out.contains(" MiB  study tiny, ") || refused.out.contains(" KiB  study tiny, "),
        "{}",
        refused.out
    );
    assert!(refused.err.contains("which is more than 1.0 KiB, and nothing else can be removed"), "{}", refused.err);
    assert!(refused.err.contains("--keep-last N"), "{}", refused.err);
    let refused = sandbox.pipe("gc --max-size 1K --json");
    let data: serde_json::Value = serde_json::from_str(&refused.out).unwrap();
    assert_eq!((&data["takes"][0]["kind"], &data["takes"][0]["name"]), (&"study".into(), &"tiny".into()));
    sandbox.pipe("verify").ok();
    assert_eq!(sandbox.run("").ok().nodes("reused").len(), NODES);
    assert_eq!(sandbox.pipe("gc --max-size 1X").code, Some(2));
}

#[test]
fn gc_says_why_something_is_kept() {
    let sandbox = two_studies();
    let why = |what: &str| sandbox.pipe(&format!("gc --why {what}")).ok().out.trim_end().to_owned();
    let tiny = format!("study tiny (latest) {}", &base().hash[..12]);
    assert_eq!(why(&base().hash), tiny);
    let flip = sandbox.node("flip");
    let (key, tree) = (crate::sandbox::text(&flip["key"]), crate::sandbox::text(&flip["tree"]));
    assert_eq!(why(&key[..12]), format!("{tiny} -> node flip -> action {}", &key[..12]));
    assert_eq!(why(&tree), format!("{tiny} -> node flip -> tree {}", &tree[..12]));
    let weights = sandbox.digest("retrain_best", "best/weights.safetensors");
    let of = crate::sandbox::text(&sandbox.node("retrain_best")["tree"]);
    let way = format!("{tiny} -> node retrain_best -> tree {} -> best/weights.safetensors", &of[..12]);
    assert_eq!(why(&weights), way);
    let path = sandbox.object(&weights);
    assert_eq!(why(path.to_str().unwrap()), way);
    assert_eq!(why(path.strip_prefix(sandbox.path(".pipe")).unwrap().to_str().unwrap()), way);
    let record = format!("actions/{}/{}.json", &key[..2], &key[2..]);
    assert_eq!(why(&record), format!("{tiny} -> node flip -> action {}", &key[..12]));
    let json = sandbox.json(&format!("gc --why {tree} --json"));
    let steps = serde_json::json!([{ "step": "node", "name": "flip" }, { "step": "tree", "tree": tree }]);
    assert_eq!((&json["reason"]["kept"], &json["reason"]["steps"]), (&"root".into(), &steps));
    // An object of the first study only.
    let first = sandbox.json("show flip --study tiny~1 --json");
    let (key, hash) = (crate::sandbox::text(&first["key"]), crate::sandbox::text(&first["study"]));
    assert_eq!(why(&key), format!("study tiny~1 {} -> node flip -> action {}", &hash[..12], &key[..12]));
    sandbox.pipe("tag tiny~1 v1").ok();
    sandbox.pipe("gc --keep-last 1").ok();
    assert_eq!(why(&key), format!("tag v1 {} -> node flip -> action {}", &hash[..12], &key[..12]));
    sandbox.pipe("tag --delete v1").ok();
    let young = why(&key);
    assert!(young.starts_with("grace period: a result that was last written or used "), "{young}");
    assert!(young.contains(" ago, kept for another 13 days -> action "), "{young}");
    let nothing = sandbox.pipe(&format!("gc --grace 0s --why {key}")).ok().out;
    assert_eq!(nothing, "nothing needs it: `pipe gc` removes it\n");
    let reading = sandbox.stored("refs/readings").into_iter().next().unwrap().display().to_string();
    let entries = fs::read_to_string(sandbox.path(".pipe/refs/readings").join(&reading)).unwrap();
    let entry: serde_json::Value = serde_json::from_str(entries.lines().next().unwrap()).unwrap();
    let ledger = why(&crate::sandbox::text(&entry["digest"]));
    assert_eq!(ledger, format!("ledger of the test split {} -> object", &reading[..12]));
    let checkpoint = sandbox.stored("checkpoints").into_iter().next().unwrap();
    let checkpoint = why(&format!("checkpoints/{}", checkpoint.display()));
    assert!(checkpoint.starts_with("grace period: last written or used "), "{checkpoint}");
    for wrong in ["abcdef12345", "xyz", "format/x", ".pipe/format", "refs/studies/tiny"] {
        assert_eq!(sandbox.pipe(&format!("gc --why {wrong}")).code, Some(2), "{wrong}");
    }
}

#[test]
fn a_second_collection_waits_for_the_first_and_says_so() {
    use std::io::{BufRead, BufReader};

    let sandbox = Sandbox::after_run();
    sandbox.pipe("gc").ok();
    let lock = fs::OpenOptions::new().write(true).open(sandbox.path(".pipe/locks/gc")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let mut second = sandbox.command("gc").stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(second.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("another `pipe gc` is running"), "{line}");
    assert!(second.try_wait().unwrap().is_none(), "it waits");
    // These do not wait.
    sandbox.pipe("gc --dry-run").ok();
    sandbox.pipe(&format!("gc --why {}", base().hash)).ok();
    drop(lock);
    assert!(second.wait().unwrap().success());
    assert!(sandbox.path(".pipe/reserve").exists());
}
