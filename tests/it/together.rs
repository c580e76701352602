//! Two processes use one store at the same time, again and again: two runs, a run and a collection, a run and a repair, two users.
//!
//! `PIPE_TEST_ROUNDS` sets the number of rounds, which is small by default.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::{Child, Stdio},
};

use rustix::process::geteuid;

use crate::sandbox::{Sandbox, base};

/// A study of a few nodes that need no training.
const LIGHT: &str = r#"Study(
    name: "light",
    seed: 7,
    stages: [
        ("raw", Fetch(Embedded(name: "shapes100", train: 200, test: 100))),
        ("data", Decode(from: "raw", format: Cifar100, validation: Stratified(0.2))),
        ("flip", Augment(data: "data", normalise: HalfCentred, policy: [RandomFlip(0.5)])),
    ],
)"#;

fn rounds() -> usize {
    std::env::var("PIPE_TEST_ROUNDS").map_or(3, |text| text.parse().expect("PIPE_TEST_ROUNDS is a number"))
}

/// Starts the program as a user, or as the user of the tests.
fn start(sandbox: &Sandbox, args: &str, user: Option<u32>) -> Child {
    let mut command = sandbox.command(args);
    if let Some(user) = user {
        // The group is that of the store. A private umask must not lock the other user out.
        command.uid(user).gid(GROUP);
        // SAFETY: `umask` may be called between fork and exec.
        unsafe {
            command.pre_exec(|| {
                rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
                Ok(())
            });
        }
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

const GROUP: u32 = 54_321;

/// Waits for processes that were started together. All must succeed. Returns what they wrote to standard output.
#[track_caller]
fn succeed(children: Vec<Child>, what: &str) -> Vec<String> {
    let outputs: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    for output in &outputs {
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{what}: {err}");
        assert!(!err.contains("panicked"), "{what}: {err}");
    }
    outputs.iter().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).collect()
}

#[test]
fn two_runs_at_once_give_the_same_study() {
    let whole = Sandbox::with(LIGHT);
    let hash = whole.pipe("run --quiet").ok().out;
    for round in 0..rounds() {
        let sandbox = Sandbox::with(LIGHT);
        let both = (0..2).map(|_| start(&sandbox, "run --quiet", None)).collect();
        for out in succeed(both, &format!("round {round}")) {
            assert_eq!(out, hash, "round {round}");
        }
        sandbox.pipe("verify").ok();
        assert!(sandbox.stored("refs/runs").is_empty());
    }
}

#[test]
fn a_run_and_a_collection_or_a_repair_do_not_disturb_each_other() {
    for beside in ["gc --grace 0s --keep-last 1", "verify --repair", "gc --grace 0s --abandon"] {
        for round in 0..rounds() {
            let what = format!("{beside}, round {round}");
            let sandbox = Sandbox::with(LIGHT);
            sandbox.pipe("run --quiet --stage raw").ok();
            // One run executes, the next one reuses everything.
            for _ in 0..2 {
                let both = ["run --quiet", beside].map(|args| start(&sandbox, args, None)).into();
                let out = succeed(both, &what);
                assert!(out[0].starts_with("study light "), "{what}: {out:?}");
                sandbox.pipe("verify").ok();
            }
            sandbox.pipe("export flip out").ok();
        }
    }
}

#[test]
fn collections_at_once_do_not_disturb_each_other() {
    for round in 0..rounds() {
        let sandbox = Sandbox::after_run();
        sandbox.run("--stage raw").ok();
        let both = (0..3).map(|_| start(&sandbox, "gc --grace 0s --keep-last 1", None)).collect();
        succeed(both, &format!("round {round}"));
        sandbox.pipe("verify").ok();
    }
}

#[test]
fn two_users_of_a_shared_store_take_turns_and_work_at_once() {
    if !geteuid().is_root() {
        // Only root can be two other users.
        crate::sandbox::skipped("two users need root");
        return;
    }
    let hash = Sandbox::with(LIGHT).pipe("run --quiet").ok().out;
    for round in 0..rounds() {
        let sandbox = Sandbox::with(LIGHT);
        let folder = sandbox.path("");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(sandbox.path("pipeline.ron"), fs::Permissions::from_mode(0o644)).unwrap();
        sandbox.pipe("init --shared").ok();
        let chgrp =
            std::process::Command::new("chgrp").args(["-R", &GROUP.to_string()]).arg(sandbox.path(".pipe")).status();
        assert!(chgrp.unwrap().success());
        let users = [40_001, 40_002];
        let one_by_one = ["run --quiet --stage raw", "run --quiet", "gc --grace 0s", "verify --repair", "run --quiet"];
        for (i, args) in one_by_one.iter().enumerate() {
            let what = format!("round {round}: {args}");
            let out = succeed(vec![start(&sandbox, args, Some(users[(i + round) % 2]))], &what);
            if *args == "run --quiet" {
                assert_eq!(out[0], hash, "{what}");
            }
        }
        fs::remove_dir_all(sandbox.path(".pipe/actions")).unwrap();
        let both = users.map(|user| start(&sandbox, "run --quiet", Some(user))).into();
        for out in succeed(both, &format!("round {round}, at once")) {
            assert_eq!(out, hash);
        }
        sandbox.pipe("verify").ok();
    }
}

#[test]
fn a_worker_that_waits_for_another_run_says_so_and_can_be_stopped() {
    let sandbox = Sandbox::after_run();
    let key = crate::sandbox::text(&sandbox.node("flip")["key"]);
    let store = pipe_store::Store::open(&sandbox.path(".pipe")).unwrap();
    let _held = store.lock_action(&pipe_store::ActionKey(key.parse().unwrap())).unwrap();
    fs::remove_file(sandbox.path(format!(".pipe/actions/{}/{}.json", &key[..2], &key[2..]))).unwrap();
    let mut run = start(&sandbox, "run", None);
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(run.stderr.take().unwrap()));
    let said = lines.any(|line| line.unwrap().contains("another process executes this action"));
    assert!(said, "it says what it waits for");
    rustix::process::kill_process(rustix::process::Pid::from_child(&run), rustix::process::Signal::TERM).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert_eq!(sandbox.pipe("show --json").code, Some(0));
    assert!(!base().hash.is_empty());
}
