//! A run that is killed or interrupted at any moment continues where it stopped, and ends with the same hash.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::sandbox::{Events, NODES, Sandbox, base};

/// A training that takes seconds.
pub(crate) const LONG: &str = r#"Study(
    name: "long",
    seed: 7,
    stages: [
        ("raw", Fetch(Embedded(name: "shapes100", train: 200, test: 100))),
        ("data", Decode(from: "raw", format: Cifar100, validation: Stratified(0.2))),
        ("train", Train(
            data: "data",
            model: HyperCnn(base_filters: 4, fc_units: (16, 12), one_more_fc: None),
            batch: 16,
            epochs: 60,
        )),
    ],
)"#;

const STEPS: u64 = 60 * 7;

/// Starts a run in its own process group.
fn start(sandbox: &Sandbox, args: &str) -> Child {
    let mut command = sandbox.command(args);
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}

fn id(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Reads events until one of them shows progress of the training `node`, and returns the reader.
fn read_until_training(child: &mut Child, node: &str) -> BufReader<std::process::ChildStdout> {
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    loop {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "the run ended before `{node}` was under way");
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        // After the first step, so that a run which goes on begins later than one from the beginning.
        if event["event"] == "progress" && event["node"] == node && event["done"].as_u64() > Some(16) {
            return reader;
        }
    }
}

/// Returns the number of processes whose working directory is `folder`, or below it as that of a program.
fn processes(folder: &Path) -> usize {
    let folder = folder.canonicalize().unwrap();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter(|entry| fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&folder))).count()
}

/// Waits until no process of the sandbox is left, and panics if one lives on.
#[track_caller]
pub(crate) fn wait_until_alone(sandbox: &Sandbox) {
    let since = Instant::now();
    while processes(&sandbox.path("")) > 0 {
        assert!(since.elapsed() < Duration::from_secs(60), "a worker lives on without its parent");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_run_that_is_killed_a_dozen_times_ends_with_the_same_hash() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut sandbox = Sandbox::new();
    let mut kills = 0;
    while kills < 12 {
        let mut run = start(&sandbox, "run --checkpoint-every 0");
        // Later kills wait longer, so that the run makes progress even on a slow machine.
        thread::sleep(Duration::from_millis(random.u64(..150 + 20 * kills)));
        if let Some(status) = run.try_wait().unwrap() {
            assert!(status.success());
            // The run ended before it could be killed, so it starts from the beginning.
            sandbox = Sandbox::new();
            continue;
        }
        let group = id(&run);
        kill_process_group(group, Signal::KILL).unwrap();
        run.wait().unwrap();
        kills += 1;
        wait_until_alone(&sandbox);
        if sandbox.path(".pipe").exists() {
            sandbox.pipe("verify").ok();
        }
    }
    let events = sandbox.run("").ok();
    assert_eq!(events.hash(), base().hash);
    assert_eq!(events.nodes("executed").len() + events.nodes("reused").len(), NODES);
    sandbox.pipe("verify").ok();
    sandbox.pipe("gc --grace 0s --dry-run").ok();
    sandbox.pipe("gc --grace 0s").ok();
    for leftovers in ["tmp", "refs/runs", "checkpoints", "partial", "locks/actions"] {
        assert!(sandbox.stored(leftovers).is_empty(), "{leftovers}: {:?}", sandbox.stored(leftovers));
    }
    assert_eq!(sandbox.run("").ok().nodes("reused").len(), NODES);
}

#[test]
fn a_worker_ends_with_its_parent() {
    let sandbox = Sandbox::with(LONG);
    let mut run = start(&sandbox, "run --json");
    let reader = read_until_training(&mut run, "train");
    assert!(processes(&sandbox.path("")) >= 2, "the training has its own process");
    // Only the run is killed, not its process group.
    kill_process(id(&run), Signal::KILL).unwrap();
    run.wait().unwrap();
    drop(reader);
    wait_until_alone(&sandbox);
}

#[test]
fn a_killed_worker_is_a_crash_and_not_a_result() {
    let sandbox = Sandbox::with(LONG);
    let mut run = start(&sandbox, "run --json");
    let mut reader = read_until_training(&mut run, "train");
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", run.id())).unwrap_or_default();
    let worker =
        children.split_whitespace().find_map(|child| child.parse().ok()).or_else(|| worker_of(&sandbox, run.id()));
    kill_process(Pid::from_raw(worker.expect("there is a worker")).unwrap(), Signal::KILL).unwrap();
    let (mut rest, mut line) = (Vec::new(), String::new());
    while reader.read_line(&mut line).unwrap() > 0 {
        rest.push(std::mem::take(&mut line));
    }
    assert_eq!(run.wait().unwrap().code(), Some(1));
    let failed = rest.iter().find(|line| line.contains(r#""event":"node""#)).unwrap();
    assert!(failed.contains("the worker ended without a result (signal: 9 (SIGKILL))"), "{failed}");
    // The node runs again, as it has no result.
    let events = sandbox.run("").ok();
    assert!(events.nodes("executed").contains("train"));
}

/// Returns the process in the sandbox that is not the run itself.
fn worker_of(sandbox: &Sandbox, run: u32) -> Option<i32> {
    let folder = sandbox.path("").canonicalize().unwrap();
    let ids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let here = |id: &i32| fs::read_link(format!("/proc/{id}/cwd")).is_ok_and(|cwd| cwd == folder);
    ids.filter(here).find(|id| *id != run as i32)
}

#[test]
fn an_interrupted_run_leaves_a_checkpoint_and_continues() {
    let sandbox = Sandbox::with(LONG);
    let mut run = start(&sandbox, "run --json");
    let mut reader = read_until_training(&mut run, "train");
    // The whole process group is interrupted, as by a terminal.
    kill_process_group(id(&run), Signal::INT).unwrap();
    let (mut last, mut line) = (String::new(), String::new());
    while reader.read_line(&mut line).unwrap() > 0 {
        last = std::mem::take(&mut line);
    }
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert_eq!(last, "{\"done\":2,\"event\":\"interrupted\",\"nodes\":3}\n");
    // There is no study yet, and the results are kept until there is one.
    assert_eq!(sandbox.stored("refs/studies").len(), 0);
    assert_eq!(sandbox.stored("refs/runs").len(), 1);

    let goes_on: Events = sandbox.run("").ok();
    let whole = Sandbox::with(LONG).run("").ok();
    assert_eq!(goes_on.hash(), whole.hash());
    assert_eq!(goes_on.nodes("reused").len(), 2);
    assert_eq!(whole.first_progress("train"), Some((16, 6000)));
    let (first, total) = goes_on.first_progress("train").unwrap();
    assert!(first > 16 && total == 6000, "it begins at {first} of {total} ({STEPS} steps)");
    assert_eq!(sandbox.stored("refs/runs").len(), 0);
}
