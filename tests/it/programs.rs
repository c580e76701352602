//! Programs of the user's own: however they are killed, no process is left, and the state is used.

use std::{
    collections::BTreeMap,
    fs,
    process::{Child, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use pipe_engine::action::{Action, DeviceKind};
use pipe_stages::records::{ListedFile, Listing};
use pipe_store::{ActionKey, ActionResult, ObjectSource, Store};
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
        let action = Action::new(&*stage, Arc::new(params), inputs, 7, DeviceKind::Cpu);
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
fn after_twenty_kills_no_process_is_left_and_the_state_was_used() {
    let script = Script::new(
        "setsid sh -c 'trap \"\" TERM; while true; do sleep 0.1; done' &
         n=$(cat $1/n 2>/dev/null || echo 0)
         while test $n -lt 100; do
             n=$((n + 1)); echo $n >> $1/trace; echo $n > $1/new; mv $1/new $1/n; echo epoch $n; sleep 0.03
         done
         cp $1/trace $2/trace",
        json!({"run": ["./run.sh", "{state}", "{out}"], "outputs": ["trace"]}),
    );
    let mut random = fastrand::Rng::with_seed(11);
    let state = script.sandbox.path(".pipe/work").join(script.key.to_string()).join("state/n");
    for i in 0..20 {
        let mut worker = script.start();
        // Some are killed while they are laying out files, most while the program runs.
        if i % 4 != 0 {
            let before = fs::read(&state).unwrap_or_default();
            while fs::read(&state).unwrap_or_default() == before && worker.try_wait().unwrap().is_none() {
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
    assert!(worker.wait().unwrap().success());
    assert_eq!(script.processes(), 0);
    assert!(!state.parent().unwrap().parent().unwrap().exists(), "the working folder is removed");
    let trace: Vec<u32> = script.read("trace").lines().map(|line| line.parse().unwrap()).collect();
    assert!(trace.first() == Some(&1) && trace.last() == Some(&100));
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
