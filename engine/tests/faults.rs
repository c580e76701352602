//! A whole run of a small study, from the data to its manifest, while every operation of the store fails or is the last one before the
//! process dies. The next run ends with the same hash. By default one operation of thirteen is disturbed, with `PIPE_FAULTS=all` each:
//! the tests of the store disturb all of a smaller run.

#![expect(clippy::print_stdout, reason = "the figures of docs/reliability.md are printed with `--nocapture`")]

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, SystemTime},
};

use pipe_engine::{
    pipeline::{
        expand::{Downloads, expand},
        read,
    },
    plan::Plan,
    run::{self, Executor, Options, worker::StopFlag},
    study::{self, Study, StudyError},
};
use pipe_store::{
    Digest, RefKind, Store,
    faults::{Fault, Loss, Operation, inject},
};

const STUDY: &str = r#"Study(
    name: "toy",
    seed: 7,
    stages: [
        ("raw", Fetch(Embedded(name: "shapes100", train: 100, test: 100))),
        ("data", Decode(from: "raw", format: Cifar100, validation: OfficialTest)),
        ("flip", Augment(data: "data", normalise: HalfCentred, policy: [RandomFlip(0.5)])),
    ],
)"#;

/// The kinds of fault at an operation. The numbers are of errors: EIO, EMFILE and ENOSPC.
const FAULTS: [Fault; 6] = [
    Fault::Once(5),
    Fault::Once(24),
    Fault::Always(28),
    Fault::Dies(Loss::Nothing),
    Fault::Dies(Loss::Bytes),
    Fault::Dies(Loss::SomeNames),
];

static STOP: StopFlag = StopFlag::new();

fn plan(root: &Path) -> Plan {
    let pipeline = read::read("pipeline.ron", STUDY, &[]).unwrap_or_else(|_| panic!("the study is sound"));
    expand(&pipeline, &Downloads { mirrors: Vec::new(), partial: root.join("partial") })
}

fn options(rerun: BTreeSet<usize>) -> Options {
    Options {
        jobs: 1,
        threads: Some(1),
        cores: 1,
        devices: vec![0],
        jobs_per_device: 1,
        rerun,
        cadence: Duration::from_secs(60),
        program: "no node of this study needs a worker".into(),
        log_level: "error",
        memory: None,
        remote: None,
        executor: Executor::Here,
    }
}

/// Runs the study and records it, as `pipe run` does. Returns its hash, or nothing if a node failed.
fn run(root: &Path, rerun: bool) -> Result<Option<Digest>, StudyError> {
    let store = Store::open(root)?;
    let plan = plan(root);
    let all: BTreeSet<usize> = (0..plan.nodes.len()).collect();
    let options = options(if rerun { all.clone() } else { BTreeSet::new() });
    let previous = study::find_latest(&store, &plan.name)?;
    let ran = run::run(&store, &plan, &all, &options, previous.as_ref(), &STOP, &mut |_| ())?;
    let study = Study::new(Digest::of(&plan.pipeline), Vec::new(), ran.nodes);
    let _no_sweep = store.hold_off_sweeps()?;
    store.put(&plan.pipeline)?;
    let hash = store.put(&study.record())?;
    store.ref_append(RefKind::Studies, &plan.name, &hash, SystemTime::now())?;
    ran.run.map_or(Ok(()), pipe_store::Run::finish)?;
    Ok((ran.failed + ran.skipped == 0).then_some(hash))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn matters(fault: Fault, operation: Operation) -> bool {
    match fault {
        Fault::Always(28) | Fault::Dies(_) => operation.changes(),
        _ => true,
    }
}

/// Disturbs operation `at` of a run in a new store, or of one that executes everything again.
fn disturb(right: Digest, rerun: bool, at: u64, fault: Fault) {
    let folder = folder();
    let root = folder.path().join("store");
    let what = format!("{fault:?} at {at}, rerun: {rerun}");
    if rerun {
        let _quick = inject(&root, 0, Fault::None);
        assert_eq!(run(&root, false).unwrap(), Some(right));
    }
    let injected = inject(&root, at, fault);
    let ran = run(&root, rerun);
    let what = format!("{what}, {:?}: {ran:?}", injected.hit());
    injected.end();
    if let Ok(Some(hash)) = ran {
        assert_eq!(hash, right, "{what}");
    }
    let _quick = inject(&root, 0, Fault::None);
    let store = Store::open(&root).unwrap_or_else(|error| panic!("{what}: {error}"));
    let verify = || store.verify(&study::manifest, &mut |_, _| ()).unwrap();
    assert!(verify().is_clean(), "{what}: {:?}", verify());
    if rerun {
        let latest = study::find(&store, Some("toy")).unwrap();
        let tree = latest.study.nodes["flip"].tree();
        assert!(tree.is_some() || latest.hash != right, "{what}: the study is gone");
    }
    assert_eq!(run(&root, false).unwrap(), Some(right), "{what}");
    assert!(verify().is_clean(), "{what}: {:?}", verify());
}

/// A run that reuses everything has no log. What it finds stays until its study is recorded.
#[test]
fn a_collection_waits_until_a_run_without_a_log_has_recorded_its_study() {
    let folder = folder();
    let root = folder.path().join("store");
    run(&root, false).unwrap();
    let store = Store::open(&root).unwrap();
    store.ref_retain(RefKind::Studies, "toy", |_| false).unwrap();
    let plan = plan(&root);
    let all: BTreeSet<usize> = (0..plan.nodes.len()).collect();
    let mut sweeping = None;
    let ran = run::run(&store, &plan, &all, &options(BTreeSet::new()), None, &STOP, &mut |_| {
        sweeping.get_or_insert_with(|| {
            let store = store.clone();
            std::thread::spawn(move || {
                let roots = store.gc_roots().unwrap();
                let later = SystemTime::now() + Duration::from_secs(100);
                store.sweep(&store.gc_plan(&roots, later, Duration::ZERO).unwrap())
            })
        });
    });
    let (ran, sweeping) = (ran.unwrap(), sweeping.unwrap());
    assert!(ran.executed == 0 && ran.run.is_none());
    std::thread::sleep(Duration::from_millis(300));
    assert!(!sweeping.is_finished(), "the study is not recorded yet");
    let study = Study::new(Digest::of(&plan.pipeline), Vec::new(), ran.nodes.clone());
    let hash = store.put(&study.record()).unwrap();
    store.ref_append(RefKind::Studies, "toy", &hash, SystemTime::now()).unwrap();
    drop(ran.no_sweep);
    // The study was named after the roots were read, so the plan does not hold.
    assert!(matches!(sweeping.join().unwrap(), Err(pipe_store::StoreError::StalePlan)));
    assert!(store.verify(&study::manifest, &mut |_, _| ()).unwrap().is_clean());
}

#[test]
fn no_fault_in_a_run_changes_the_study() {
    let folder = folder();
    let root = folder.path().join("store");
    let step = if std::env::var_os("PIPE_FAULTS").is_some_and(|value| value == "all") { 1 } else { 13 };
    for rerun in [false, true] {
        let injected = inject(&root, 0, Fault::None);
        let right = run(&root, rerun).unwrap().unwrap();
        let operations = injected.operations();
        drop(injected);
        for fault in FAULTS {
            let numbered = (0..).zip(&operations).filter(|(_, operation)| matters(fault, **operation));
            let disturbed: Vec<u64> = numbered.map(|(at, _)| at).step_by(step).collect();
            // Threads of their own: the stages compute on those of the pool.
            std::thread::scope(|scope| {
                for half in disturbed.chunks(disturbed.len().div_ceil(2)) {
                    scope.spawn(move || half.iter().for_each(|at| disturb(right, rerun, *at, fault)));
                }
            });
            println!("{}: {fault:?} at each of {} operations", if rerun { "rerun" } else { "run" }, disturbed.len());
        }
    }
}
