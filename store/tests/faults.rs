//! Every operation of the file system fails, is interrupted, is short, or is the last one before the process dies or the machine loses
//! its power, one after the other. Afterwards the store verifies, everything that was committed before can be read, and doing the work
//! again gives what it gives without faults.

#![expect(clippy::disallowed_methods, reason = "the tests make and copy stores")]
#![expect(clippy::print_stdout, reason = "the figures of docs/reliability.md are printed with `--nocapture`")]

mod common;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use common::copy;
use pipe_store::{
    ActionKey, ActionResult, Digest, Ending, FoundFile, KnownFile, LaidFile, Manifest, ObjectSource, RefKind, Store,
    StoreError, TreeEntry,
    faults::{Fault, Loss, Operation, inject},
};
use rayon::prelude::*;
use serde_json::json;

const STUDIES: RefKind = RefKind::Studies;
const TRAJECTORY: &[u8] = b"trajectory";

/// The kinds of fault at an operation. The numbers are of errors: EIO, EMFILE and ENOSPC.
const FAULTS: [Fault; 12] = [
    Fault::Once(5),
    Fault::Once(24),
    Fault::Always(5),
    Fault::Once(28),
    Fault::Short,
    Fault::Interrupted,
    Fault::Dies(Loss::Nothing),
    Fault::Dies(Loss::Bytes),
    Fault::Dies(Loss::HalfOfBytes),
    Fault::Dies(Loss::ZerosForBytes),
    Fault::Dies(Loss::Names),
    Fault::Dies(Loss::SomeNames),
];

type Outcome = Result<(), StoreError>;
/// Work with a store, which can be disturbed.
type Work = fn(&Store) -> Outcome;

/// What a manifest of these tests is: lines with a key and a tree.
fn manifest(bytes: &[u8]) -> Result<Manifest, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let mut manifest = Manifest::default();
    for line in text.strip_prefix("manifest\n").ok_or("it is not a manifest")?.lines() {
        let (key, tree) = line.split_once(' ').ok_or("a line is short")?;
        let parse = |digits: &str| digits.parse::<Digest>().map_err(|error| error.to_string());
        manifest.results.insert(ActionKey(parse(key)?), Some(parse(tree)?));
    }
    Ok(manifest)
}

fn outputs(name: &str) -> BTreeMap<String, Vec<u8>> {
    let mut noise = vec![0; 6000];
    fastrand::Rng::with_seed(name.len() as u64 + u64::from(name.as_bytes()[0])).fill(&mut noise);
    [("text", name.as_bytes().to_vec()), ("noise", noise), ("zeros", vec![0; 20_000])]
        .map(|(path, bytes)| (path.to_owned(), bytes))
        .into()
}

fn now() -> SystemTime {
    SystemTime::now()
}

/// Does what a run does: actions with outputs and checkpoints, and a study that names them. What is known is not done again.
fn run(store: &Store, names: &[&str], again: bool) -> Outcome {
    let run = store.open_run(&format!("run {}", names.join(" ")), "study", now())?;
    let mut text = "manifest\n".to_owned();
    for name in names {
        let action = format!("action {name}").into_bytes();
        let key = ActionKey(Digest::of(&action));
        run.append(&key)?;
        store.put(&action)?;
        run.sync()?;
        let _lock = store.lock_action(&key)?;
        let known = store.result(&key)?.filter(|_| !again);
        let result = match known {
            Some(result) => result,
            None => {
                store.latest_checkpoint(&Digest::of(TRAJECTORY), u64::MAX);
                store.save_checkpoint(&Digest::of(TRAJECTORY), names.len() as u64, &outputs(name), 2)?;
                let result = ActionResult::Tree(store.put_tree(&outputs(name))?.0);
                if again {
                    store.replace(&key, &result, &json!({ "seconds": 1 }))?;
                    result
                } else {
                    store.commit(&key, &result, &json!({ "seconds": 1 }))?
                }
            }
        };
        let ActionResult::Tree(tree) = result else { panic!("no action of these tests fails") };
        text += &format!("{} {tree}\n", key.0);
    }
    let _no_sweep = store.hold_off_sweeps()?;
    let study = store.put(text.as_bytes())?;
    store.ref_append(STUDIES, "study", &study, now())?;
    run.finish()
}

/// Concludes three actions as one group, two of which have a file in common, under the log of a run.
fn group(store: &Store) -> Outcome {
    let names = ["c", "d", "e"];
    let run = store.open_run("run of a group", "study", now())?;
    let provenance = json!({ "seconds": 1 });
    let endings = names.map(|name| {
        let (action, files) = (format!("action {name}").into_bytes(), outputs(name));
        let tree = pipe_store::Tree::of(&files).expect("the paths are sound").to_bytes();
        let (key, result) = (ActionKey(Digest::of(&action)), ActionResult::Tree(Digest::of(&tree)));
        let objects = [action].into_iter().chain(files.into_values()).chain([tree]).map(Into::into).collect();
        (key, Ending { objects, log: Some(run.so_far()), ..Ending::new(result, &provenance) })
    });
    endings.iter().try_for_each(|(key, _)| run.append(key))?;
    store.conclude_all(&endings)?;
    for (key, ending) in &endings {
        assert_eq!(store.result(key)?.as_ref(), Some(&ending.result));
    }
    run.finish()
}

/// Checks that whatever has a record has everything that the record names, and that the log of the run that made it names it.
fn check_group(store: &Store, what: &str) {
    let logged: Vec<_> = store.runs().unwrap().into_iter().flat_map(|run| run.keys).collect();
    for name in ["c", "d", "e"] {
        let key = ActionKey(Digest::of(format!("action {name}").as_bytes()));
        let Some(record) = store.record(&key).unwrap() else { continue };
        assert_eq!(store.result(&key).unwrap(), Some(record.clone()), "{what}: {name} has a record and is not whole");
        let ActionResult::Tree(tree) = record else { panic!("no action of these tests fails") };
        for (path, entry) in store.tree(&tree).unwrap().files {
            assert_eq!(*store.read(&entry.digest).unwrap(), *outputs(name)[&path], "{what}");
        }
        assert!(logged.is_empty() || logged.contains(&key), "{what}: {name} is not in the log");
    }
}

fn gc(store: &Store) -> Outcome {
    let _lock = store.lock_gc()?;
    store.free_reserve()?;
    let mut roots = store.gc_roots()?;
    for entry in store.ref_log(STUDIES, "study")? {
        roots.objects.insert(entry.digest);
        let named = manifest(&store.read_record(&entry.digest)?).expect("it is a manifest");
        roots.trees.extend(named.results.values().flatten());
        roots.actions.extend(named.results.into_keys());
    }
    let plan = store.gc_plan(&roots, now() + Duration::from_secs(60), Duration::ZERO)?;
    store.sweep(&plan)?;
    store.keep_reserve();
    Ok(())
}

/// Stores a tree with files whose digests are known: small ones and one that is copied a piece at a time.
fn put_files(store: &Store) -> Outcome {
    let folder = folder();
    let mut files = BTreeMap::new();
    for (name, bytes) in [("small", vec![1; 9000]), ("other", vec![2; 10]), ("large", vec![3; (4 << 20) + 1])] {
        let path = folder.path().join(name);
        fs::write(&path, &bytes).expect("the folder of the files is sound");
        files.insert(name.to_owned(), KnownFile { path, digest: Digest::of(&bytes), size: bytes.len() as u64 });
    }
    let (tree, _) = store.put_tree_with(&outputs("listing"), &files, &BTreeMap::new(), &mut |_| true)?;
    for entry in store.tree(&tree)?.files.values() {
        store.read(&entry.digest)?;
    }
    Ok(())
}

/// Returns the files in a folder by name.
fn files_in(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

/// Does what a program's stage does: lays out its inputs and its state, stores what it wrote, saves its state, and removes its folder.
fn program(store: &Store) -> Outcome {
    let key = ActionKey(Digest::of(b"action of a program"));
    let trajectory = Digest::of(b"trajectory of a program");
    let work = store.work_folder(&key)?;
    work.clear_except(&["state"])?;
    let tree = store.put_tree(&outputs("a"))?.1;
    let file = |(name, entry): (&String, &TreeEntry)| LaidFile {
        path: work.path().join("in").join(name),
        digest: entry.digest,
        executable: name == "text",
    };
    store.lay_all(&tree.files.iter().map(file).collect::<Vec<_>>())?;
    assert_eq!(files_in(&work.path().join("in")), outputs("a"));
    let state = work.path().join("state");
    if !state.exists() {
        // Here, in a folder that the program does not see until the state is whole.
        let draft = work.path().join("draft");
        if store.lay_latest_checkpoint(&trajectory, 5, &draft)?.is_some() {
            assert_eq!(files_in(&draft), outputs("state"));
            fs::rename(draft, &state).expect("the folder is sound");
        }
    }
    let write = |folder: &str, files: BTreeMap<String, Vec<u8>>| -> BTreeMap<String, PathBuf> {
        fs::create_dir_all(work.path().join(folder)).expect("the folder is sound");
        let paths = files.into_iter().map(|(name, bytes)| {
            let path = work.path().join(folder).join(&name);
            fs::write(&path, bytes).expect("the folder is sound");
            (name, path)
        });
        paths.collect()
    };
    let mut large = outputs("out");
    large.insert("large".to_owned(), vec![3; (4 << 20) + 1]);
    let found: BTreeMap<_, _> = write("out", large)
        .into_iter()
        .map(|(name, path)| {
            let size = fs::metadata(&path).expect("it was written").len();
            (name, FoundFile { path, size, executable: true })
        })
        .collect();
    let (tree, _) = store.put_tree_with(&BTreeMap::new(), &BTreeMap::new(), &found, &mut |_| true)?;
    for entry in store.tree(&tree)?.files.values() {
        store.read(&entry.digest)?;
    }
    store.save_checkpoint_files(&trajectory, 5, &write("state", outputs("state")), 1)?;
    work.remove()
}

/// The work that is disturbed. Each begins with the store that [`run`] of `a` and `b` leaves, and with garbage.
const WORK: [(&str, Work); 9] = [
    ("put", |store| store.put(&[7; 30_000]).map(drop)),
    ("put files", put_files),
    ("program", program),
    ("run", |store| run(store, &["a", "b", "c"], false)),
    ("group", group),
    ("rerun", |store| run(store, &["a", "b"], true)),
    ("gc", gc),
    ("verify", |store| store.verify(&manifest, &mut |_, _| ()).map(drop)),
    ("repair", repair),
];

/// Returns the store from which the work begins, in a folder.
fn beginning() -> tempfile::TempDir {
    let folder = folder();
    let root = folder.path().join("store");
    let _injected = inject(&root, 0, Fault::None);
    let store = Store::open(&root).unwrap();
    run(&store, &["a", "b"], false).unwrap();
    store.put(b"garbage").unwrap();
    let killed = store.work_folder(&ActionKey(Digest::of(b"killed"))).unwrap();
    fs::write(killed.path().join("file"), "x").unwrap();
    drop(store.open_run("unfinished", "another study", now()).unwrap());
    folder
}

/// Checks that a store verifies, that what was committed at the beginning can be read, and that the work can be done again.
fn check(root: &Path, work: Work, what: &str) {
    // Nothing goes wrong any more, and nothing waits for the disk.
    let _injected = inject(root, 0, Fault::None);
    let store = Store::open(root).unwrap_or_else(|error| panic!("{what}: {error}"));
    let report = store.verify(&manifest, &mut |_, _| ()).unwrap();
    assert!(report.is_clean() && report.foreign.is_empty(), "{what}: {report:?}");
    check_group(&store, what);
    for name in ["a", "b"] {
        let key = ActionKey(Digest::of(format!("action {name}").as_bytes()));
        let Some(ActionResult::Tree(tree)) = store.result(&key).unwrap() else { panic!("{what}: {name} is gone") };
        for (path, entry) in store.tree(&tree).unwrap().files {
            assert_eq!(*store.read(&entry.digest).unwrap(), *outputs(name)[&path], "{what}");
        }
        store.provenance(&key).unwrap();
    }
    assert!(!store.ref_log(STUDIES, "study").unwrap().is_empty(), "{what}: the study is gone");
    work(&store).unwrap_or_else(|error| panic!("{what}: again: {error}"));
    run(&store, &["a", "b", "c"], false).unwrap_or_else(|error| panic!("{what}: a run: {error}"));
    gc(&store).unwrap_or_else(|error| panic!("{what}: a collection: {error}"));
    let report = store.verify(&manifest, &mut |_, _| ()).unwrap();
    assert!(report.is_clean(), "{what}: {report:?}");
    let latest = store.ref_latest(STUDIES, "study").unwrap().unwrap();
    let results = ["a", "b", "c"].map(|name| {
        let tree = pipe_store::Tree::of(&outputs(name)).unwrap().to_bytes();
        format!("{} {}\n", Digest::of(format!("action {name}").as_bytes()), Digest::of(&tree))
    });
    assert_eq!(latest.digest, Digest::of(format!("manifest\n{}", results.concat()).as_bytes()), "{what}");
}

/// Returns a folder for a store, in memory if that can be had: tens of thousands of stores are made.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Returns the operations of the work without faults.
fn operations(beginning: &Path, work: Work) -> Vec<Operation> {
    let folder = folder();
    let root = folder.path().join("store");
    copy(beginning, &root);
    let injected = inject(&root, 0, Fault::None);
    Store::open(&root).and_then(|store| work(&store)).unwrap();
    injected.operations()
}

/// Returns whether a fault at an operation differs from one at its neighbours.
fn matters(fault: Fault, operation: Operation) -> bool {
    match fault {
        Fault::Short => matches!(operation, Operation::Read | Operation::Write),
        // Only what needs room fails for want of it. And to die before looking at something is to die before the next change.
        Fault::Once(28) | Fault::Dies(_) => operation.changes(),
        _ => true,
    }
}

/// Disturbs operation `at` of the work.
fn disturb(beginning: &Path, work: Work, at: u64, fault: Fault, what: &str) {
    let folder = folder();
    let root = folder.path().join("store");
    copy(beginning, &root);
    let injected = inject(&root, at, fault);
    let outcome = Store::open(&root).and_then(|store| work(&store));
    // Threads that sync change the number of operations a little.
    let Some((operation, path)) = injected.hit() else { return };
    injected.end();
    let what = format!("{what}, {fault:?} at {at} ({operation:?} of {}): {outcome:?}", path.display());
    if matches!(fault, Fault::Short | Fault::Interrupted) {
        assert!(outcome.is_ok(), "{what}");
    }
    check(&root, work, &what);
}

#[test]
fn no_fault_at_any_operation_loses_what_was_committed() {
    let beginning = beginning();
    let beginning = beginning.path().join("store");
    for (name, work) in WORK {
        let operations = operations(&beginning, work);
        for fault in FAULTS {
            let numbered = (0..).zip(&operations).filter(|(_, operation)| matters(fault, **operation));
            let disturbed: Vec<u64> = numbered.map(|(at, _)| at).collect();
            disturbed.par_iter().for_each(|at| disturb(&beginning, work, *at, fault, name));
            println!("{name}: {fault:?} at each of {} operations", disturbed.len());
        }
    }
}

fn repair(store: &Store) -> Outcome {
    let report = store.verify(&manifest, &mut |_, _| ())?;
    store.repair(&report, &manifest, now()).map(drop)
}

/// Damages a file of a store by one bit.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_repair_that_fails_anywhere_can_be_repeated_and_loses_nothing_sound() {
    let beginning = beginning();
    let beginning = beginning.path().join("store");
    let key = ActionKey(Digest::of(b"action a"));
    let own = |folder: &str, digest: &Digest, end: &str| {
        let digits = digest.to_string();
        beginning.join(folder).join(&digits[..2]).join(format!("{}{end}", &digits[2..]))
    };
    damage(&own("objects", &Digest::of(b"garbage"), ""));
    damage(&own("actions", &key.0, ".json"));
    damage(&own("provenance", &key.0, ".json"));
    damage(&beginning.join("refs/studies/study"));
    damage(&beginning.join("refs/runs/unfinished"));
    damage(&beginning.join("format"));
    // A sound object that only the damaged log of the run may have named.
    let lonely = Digest::of(b"lonely");
    fs::create_dir_all(own("objects", &lonely, "").parent().unwrap()).unwrap();
    fs::write(own("objects", &lonely, ""), b"lonely").unwrap();
    let operations = {
        let folder = folder();
        let root = folder.path().join("store");
        copy(&beginning, &root);
        let injected = inject(&root, 0, Fault::None);
        repair(&Store::open_damaged(&root).unwrap()).unwrap();
        injected.operations()
    };
    for fault in FAULTS {
        let numbered = (0..).zip(&operations).filter(|(_, operation)| matters(fault, **operation));
        let disturbed: Vec<u64> = numbered.map(|(at, _)| at).collect();
        disturbed.par_iter().for_each(|at| {
            let folder = folder();
            let root = folder.path().join("store");
            copy(&beginning, &root);
            let injected = inject(&root, *at, fault);
            let outcome = Store::open_damaged(&root).and_then(|store| repair(&store));
            let what = format!("{fault:?} at {at}, {:?}: {outcome:?}", injected.hit());
            injected.end();
            let _quick = inject(&root, 0, Fault::None);
            let store = Store::open_damaged(&root).unwrap_or_else(|error| panic!("{what}: {error}"));
            repair(&store).unwrap_or_else(|error| panic!("{what}: again: {error}"));
            let store = Store::open(&root).unwrap_or_else(|error| panic!("{what}: {error}"));
            let report = store.verify(&manifest, &mut |_, _| ()).unwrap();
            assert!(report.is_clean(), "{what}: {report:?}");
            let studies = store.ref_log(STUDIES, "study").unwrap();
            assert_eq!(studies.len(), 1, "{what}: the study is named again");
            assert!(store.result(&key).unwrap().is_some(), "{what}: the study names its result");
            gc(&store).unwrap_or_else(|error| panic!("{what}: a collection: {error}"));
            assert!(store.contains(&lonely).unwrap(), "{what}: it is kept");
        });
        println!("repair of damage: {fault:?} at each of {} operations", disturbed.len());
    }
}

#[test]
fn a_collection_needs_no_free_byte() {
    let beginning = beginning();
    let root = beginning.path().join("store");
    let store = Store::open(&root).unwrap();
    {
        let _quick = inject(&root, 0, Fault::None);
        run(&store, &["a", "b", "c"], false).unwrap();
    }
    store.keep_reserve();
    // Its file exists since the first collection. If not, the reserve is freed before it is made.
    drop(store.lock_gc().unwrap());
    let full = inject(&root, 0, Fault::Full(0));
    assert!(store.put(&[3; 10_000]).is_err(), "the disk is full");
    assert!(store.contains(&Digest::of(b"garbage")).unwrap());
    let study = store.ref_latest(STUDIES, "study").unwrap().unwrap();
    store.lock_gc().unwrap();
    store.free_reserve().unwrap();
    // As `--keep-last` does, which writes the log anew.
    store.ref_retain(STUDIES, "study", |entry| *entry == study).unwrap();
    gc(&store).unwrap();
    assert!(!store.contains(&Digest::of(b"garbage")).unwrap());
    drop(full);
    assert!(store.verify(&manifest, &mut |_, _| ()).unwrap().is_clean());
}
