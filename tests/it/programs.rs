//! Programs of the user's own: however they are killed, no process is left, and the state is used.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::PathBuf,
    process::{Child, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use pipe_engine::action::Action;
use pipe_stages::records::{ListedFile, Listing};
use pipe_store::{ActionKey, ActionResult, ObjectSource, Store};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use crate::sandbox::Sandbox;

/// An action whose program is a script of the shell.
struct Script {
    sandbox: Sandbox,
    store: Store,
    key: ActionKey,
}

impl Script {
    fn new(script: &str, params: Value) -> Self {
        let sandbox = Sandbox::with("");
        let store = Store::open(&sandbox.path(".pipe")).unwrap();
        let script = format!("#!/bin/sh\nset -e\n{script}");
        let file = ListedFile {
            path: "run.sh".to_owned(),
            digest: store.put(script.as_bytes()).unwrap(),
            size: script.len() as u64,
            executable: true,
        };
        let listing = Listing { files: vec![file], ..Listing::default() };
        let listing = store.put(&serde_json::to_vec(&listing).unwrap()).unwrap();
        let stage = pipe_stages::instantiate("command", 1, &params).unwrap();
        let inputs = BTreeMap::from([("files".to_owned(), listing)]);
        let action = Action::new(&*stage, Arc::new(params), inputs, 7, Default::default());
        store.put(&action.record()).unwrap();
        Self { sandbox, store, key: action.key() }
    }

    fn start(&self) -> Child {
        let mut command = self.sandbox.command(&format!("exec {} --protocol", self.key));
        command.env("PATH", "/usr/bin:/bin").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    fn read(&self, output: &str) -> String {
        let Some(ActionResult::Tree(tree)) = self.store.result(&self.key).unwrap() else { panic!("it has no result") };
        let file = self.store.tree(&tree).unwrap().files[output].digest;
        String::from_utf8(self.store.read(&file).unwrap().to_vec()).unwrap()
    }

    /// Returns the number of processes of the program.
    fn processes(&self) -> usize {
        let folder = self.sandbox.path(".pipe/work").canonicalize().unwrap().join(self.key.to_string());
        let variable = format!("PIPE_WORK={}", folder.display()).into_bytes();
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let environs = entries.filter_map(|entry| fs::read(entry.path().join("environ")).ok());
        environs.filter(|environ| environ.split(|byte| *byte == 0).any(|found| found == variable)).count()
    }
}

#[test]
fn after_fifty_kills_no_process_is_left_and_the_state_was_used() {
    let script = Script::new(
        "echo $$ > $1/pid
         setsid sh -c 'trap \"\" TERM; while true; do sleep 0.1; done' &
         n=$(cat $1/n 2>/dev/null || echo 0)
         while test $n -lt 200; do
             n=$((n + 1)); echo $n >> $1/trace; echo $n > $1/new; mv $1/new $1/n; echo epoch $n; sleep 0.02
         done
         cp $1/trace $2/trace",
        json!({"run": ["./run.sh", "{state}", "{out}"], "outputs": ["trace"]}),
    );
    let mut random = fastrand::Rng::with_seed(11);
    let state = script.sandbox.path(".pipe/work").join(script.key.to_string()).join("state/pid");
    for i in 0..50 {
        let mut worker = script.start();
        let worker_id = worker.id().to_string();
        // Some are killed while they are laying out files, most while the program runs.
        if i % 4 != 0 {
            let has_started = || {
                let pid = fs::read_to_string(&state).unwrap_or_default();
                let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
                stat.split(' ').nth(3) == Some(&worker_id)
            };
            while !has_started() && worker.try_wait().unwrap().is_none() {
                thread::sleep(Duration::from_millis(2));
            }
        }
        thread::sleep(Duration::from_millis(random.u64(..60)));
        if i % 2 == 0 {
            worker.kill().unwrap();
            worker.wait().unwrap();
        } else {
            // As if the parent had been killed.
            drop(worker.stdin.take());
            let since = Instant::now();
            worker.wait().unwrap();
            assert!(since.elapsed() < Duration::from_secs(20));
            assert_eq!(script.processes(), 0, "kill {i}");
        }
    }
    let mut worker = script.start();
    // To wait closes it otherwise.
    let _stdin = worker.stdin.take();
    assert!(worker.wait().unwrap().success());
    assert_eq!(script.processes(), 0);
    assert!(!state.parent().unwrap().parent().unwrap().exists(), "the working folder is removed");
    let trace: Vec<u32> = script.read("trace").lines().map(|line| line.parse().unwrap()).collect();
    assert!(trace.first() == Some(&1) && trace.last() == Some(&200));
    // A kill between two lines of the script repeats one epoch, and no more.
    assert!(trace.windows(2).all(|pair| pair[1] == pair[0] || pair[1] == pair[0] + 1), "{trace:?}");
    script.sandbox.pipe("verify").ok();
}

#[test]
fn what_a_program_says_is_kept_and_an_error_shows_its_end() {
    let script = Script::new("echo one; echo two >&2; exit 3", json!({"run": ["./run.sh"]}));
    let mut command = script.sandbox.command(&format!("exec {}", script.key));
    let output = script.sandbox.output(command.env("PATH", "/usr/bin:/bin"));
    assert_eq!(output.code, Some(1));
    assert!(output.err.contains("one") && output.err.contains("two"), "{}", output.err);
    let log = String::from_utf8(script.store.log(&script.key).unwrap().unwrap()).unwrap();
    assert!(log.contains("Z one\n") && log.contains("Z two\n") && log.contains("error: "), "{log}");
    assert!(!script.sandbox.path(".pipe/work").join(script.key.to_string()).exists());
}

/// Returns a folder with a study of one command, whose script is `script`.
fn study(script: &str) -> Sandbox {
    let sandbox = Sandbox::with(
        r#"Study(name: "slow", seed: 1, stages: [
            ("slow", Command(run: ["./run.sh", "{out}"], files: ["run.sh"], outputs: ["x"])),
        ])"#,
    );
    write_script(&sandbox, script);
    sandbox
}

fn write_script(sandbox: &Sandbox, script: &str) {
    sandbox.write("run.sh", &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(sandbox.path("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Starts a run in a process group of its own, and returns it with the working folder when the program has said something.
fn start_study(sandbox: &Sandbox) -> (Child, PathBuf) {
    let mut command = sandbox.command("run");
    command.env("PATH", "/usr/bin:/bin").process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
    let run = command.spawn().unwrap();
    (run, folder_of_program(sandbox))
}

/// Waits until a program has said something, and returns its working folder.
fn folder_of_program(sandbox: &Sandbox) -> PathBuf {
    let has_said = |folder: &PathBuf| fs::read(folder.join("log")).is_ok_and(|log| !log.is_empty());
    loop {
        let entries = fs::read_dir(sandbox.path(".pipe/work")).into_iter().flatten().flatten();
        if let Some(folder) = entries.map(|entry| entry.path()).find(has_said) {
            return folder;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_a_program_says_can_be_read_while_it_runs() {
    let sandbox = study("echo first; while ! test -e go; do sleep 0.05; done; echo last; echo > $1/x");
    let (mut run, folder) = start_study(&sandbox);
    let running = sandbox.pipe("logs slow").ok();
    assert!(running.out.ends_with("Z first\n"), "{}", running.out);
    assert_eq!(running.err, "slow, running:\n");
    assert_eq!(sandbox.json("logs slow --json")["outcome"], "running");
    let mut following = sandbox.command("logs slow -f").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 10];
    following.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert!(following.try_wait().unwrap().is_none());
    fs::write(folder.join("go"), "").unwrap();
    let output = following.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(out.contains("Z first\n") && out.ends_with("Z last\n"), "{out}");
    assert_eq!(err, "slow, running:\nslow is done\n");
    assert!(run.wait().unwrap().success());
    let done = sandbox.pipe("logs slow").ok();
    assert!(done.out.contains("Z first\n") && done.out.ends_with("Z last\n"), "{}", done.out);
    assert!(done.err.starts_with("slow, executed at "), "{}", done.err);
    // There is nothing to wait for.
    assert_eq!(sandbox.pipe("logs slow --follow").ok().out, done.out);
}

#[test]
fn what_a_program_said_can_be_read_after_it_failed_or_all_was_killed() {
    let sandbox = study("echo first; sleep 1000");
    let (mut run, _) = start_study(&sandbox);
    kill_process_group(Pid::from_child(&run), Signal::KILL).unwrap();
    run.wait().unwrap();
    let killed = sandbox.pipe("logs slow").ok();
    assert!(killed.out.ends_with("Z first\n"), "{}", killed.out);
    assert_eq!(killed.err, "slow, without a result:\n");
    write_script(&sandbox, "echo broken >&2; exit 3");
    let output = sandbox.output(sandbox.command("run").env("PATH", "/usr/bin:/bin"));
    assert_eq!(output.code, Some(1));
    // What the program says is shown once, with the error.
    assert_eq!(output.err.matches("broken").count(), 1, "{}", output.err);
    let failed = sandbox.pipe("logs slow").ok();
    assert!(failed.out.contains("Z broken\n") && failed.out.contains("error: "), "{}", failed.out);
}

#[test]
fn two_nodes_of_the_same_action_do_not_run_side_by_side() {
    let command = r#"Command(run: ["./run.sh", "{out}"], files: ["run.sh"], outputs: ["x"])"#;
    let study = format!(r#"Study(name: "same", seed: 1, stages: [("one", {command}), ("two", {command})])"#);
    let sandbox = Sandbox::with(&study);
    write_script(&sandbox, "sleep 0.2; echo > $1/x");
    let events = sandbox.output(sandbox.command("run --json --jobs 4").env("PATH", "/usr/bin:/bin")).events().ok();
    let when =
        |kind: &str, node: &str| events.all.iter().position(|e| e["event"] == kind && e["node"] == node).unwrap();
    assert!(when("node", "one") < when("start", "two"), "the second waits for the result of the first");
    assert_eq!((events.why("one"), events.why("two")), ("first run".to_owned(), "executed meanwhile".to_owned()));
}
