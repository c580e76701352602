//! What nodes said is kept beside their results, also if they are reused, failed or crashed.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::Stdio,
};

use insta::assert_snapshot;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    failures::TOO_DEEP,
    kills::LONG,
    sandbox::{Sandbox, base, text},
};

#[test]
fn the_lines_of_a_worker_are_shown_after_it_is_reused() {
    let sandbox = Sandbox::new();
    sandbox.pipe("run -vv").ok();
    sandbox.run("").ok();
    let output = sandbox.pipe("logs retrain_best").ok();
    assert!(output.out.contains("INFO continues from a checkpoint step=7\n"), "{}", output.out);
    let when = output.err.strip_prefix("retrain_best, executed at 20").unwrap_or_else(|| panic!("{}", output.err));
    assert!(when.contains(" UTC for ") && when.ends_with("s:\n"), "{when}");
    // A node on a thread of the run, too.
    let output = sandbox.pipe("logs flip").ok();
    assert!(output.out.starts_with("DEBUG executing stage=\"augment\""), "{}", output.out);
    assert_eq!(output.out.lines().count(), 1, "and not what other nodes said: {}", output.out);
    let logs = sandbox.json("logs flip --json");
    assert_eq!((text(&logs["log"]), &logs["outcome"]), (output.out, &"done".into()));
    // No digest depends on it, and the store stays clean.
    assert_eq!(sandbox.run("").ok().hash(), base().hash);
    sandbox.pipe("verify").ok();
}

#[test]
fn a_node_that_said_nothing_has_a_time() {
    let sandbox = Sandbox::after_run();
    // Only the decoding said something: that a share of two images is one.
    assert_eq!(sandbox.stored("logs").len(), 1);
    let output = sandbox.pipe("logs train/1").ok();
    assert!(
        output.out.is_empty() && output.err.starts_with("search/train/001 said nothing, executed at 20"),
        "{}",
        output.err
    );
    // The latest execution stands: this one says something, and the next one nothing.
    sandbox.pipe("run --rerun flip -vv").ok();
    assert_eq!(sandbox.stored("logs").len(), 2);
    sandbox.pipe("run --rerun flip").ok();
    assert_eq!(sandbox.stored("logs").len(), 1);
}

#[test]
fn a_failure_is_shown_with_its_hint() {
    let sandbox = Sandbox::with(TOO_DEEP);
    assert_eq!(sandbox.pipe("run").code, Some(1));
    assert_snapshot!(sandbox.pipe("logs deep").ok().out, @"error: images of 32x32 pixels are too small for 7 pooling layers: the one after `batch_normalization_6` would read 1x1");
    assert_snapshot!(sandbox.pipe("logs test").shown(), @"
    ! error: `test` was not executed: it needs `deep`
    !   hint: `pipe logs 'deep'` shows what that node said
    exit 1
    ");
    // Without a log, the result says it.
    fs::remove_dir_all(sandbox.path(".pipe/logs")).unwrap();
    assert_snapshot!(sandbox.pipe("logs deep --study deep").ok().out, @"error: images of 32x32 pixels are too small for 7 pooling layers: the one after `batch_normalization_6` would read 1x1");
}

#[test]
fn an_error_that_is_no_result_is_shown_too() {
    let sandbox = Sandbox::new();
    let absent = r#"Fetch(Url(url: "file:///nowhere/raw", size: 1, blake3: "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"))"#;
    sandbox.edit(r#"Fetch(Embedded(name: "shapes100", train: 200, test: 100))"#, absent);
    assert_eq!(sandbox.pipe("run").code, Some(1));
    assert_snapshot!(sandbox.pipe("logs raw").shown(), @"
       WARN `archive` cannot be fetched from `file:///nowhere/raw`: there is no such file
      error: `archive` cannot be fetched from `file:///nowhere/raw`: there is no such file
        hint: check the connection and the URL, or put the file into a folder and set PIPE_MIRRORS=file:///folder
    ! raw, without a result:
    exit 0
    ");
}

#[test]
fn crashed_and_interrupted_nodes_have_logs() {
    for (signal, of_worker, expected) in [
        (Signal::KILL, true, "error: the worker ended without a result (signal: 9 (SIGKILL))\n"),
        (Signal::INT, false, "interrupted\n"),
    ] {
        let sandbox = Sandbox::with(LONG);
        let mut command = sandbox.command("run --json");
        let mut run = command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(run.stdout.take().unwrap()).lines().map(Result::unwrap);
        lines.find(|line| line.contains("\"progress\"") && line.contains("\"train\"")).unwrap();
        let target = if of_worker { worker_of(run.id()) } else { Pid::from_child(&run) };
        kill_process(target, signal).unwrap();
        lines.for_each(drop);
        run.wait().unwrap();
        let output = sandbox.pipe("logs train").ok();
        assert!(output.out.starts_with(expected), "{}", output.out);
        assert_eq!(output.err, "train, without a result:\n");
        // The next execution has the last word.
        sandbox.run("").ok();
        assert!(sandbox.pipe("logs train").ok().err.starts_with("train said nothing, executed at "));
    }
}

/// Returns the worker of a run.
fn worker_of(run: u32) -> Pid {
    let children = fs::read_to_string(format!("/proc/{run}/task/{run}/children")).unwrap_or_default();
    let of_threads = || {
        let tasks = fs::read_dir(format!("/proc/{run}/task")).unwrap().flatten();
        tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default()).collect::<String>()
    };
    let all = if children.is_empty() { of_threads() } else { children };
    let first = all.split_whitespace().next().expect("a training has a worker");
    Pid::from_raw(first.parse().unwrap()).unwrap()
}

#[test]
fn an_execution_by_key_is_logged_by_itself() {
    let sandbox = Sandbox::after_run();
    let key = text(&sandbox.node("search/train/001")["key"]);
    fs::remove_file(sandbox.path(format!(".pipe/actions/{}/{}.json", &key[..2], &key[2..]))).unwrap();
    sandbox.pipe(&format!("exec {} -v", &key[..12])).ok();
    let output = sandbox.pipe("logs train/1").ok();
    assert!(output.out.contains("INFO continues from a checkpoint step="), "{}", output.out);
}

#[test]
fn a_node_must_exist_and_be_one() {
    let sandbox = Sandbox::after_run();
    assert_snapshot!(sandbox.pipe("logs flop").shown(), @"
    ! error: there is no stage or node `flop`
    !   hint: did you mean `flip`?
    exit 2
    ");
    assert_snapshot!(sandbox.pipe("logs search").shown(), @"
    ! error: `search` has 11 nodes
    !   hint: name one of them: `search/propose/000`, `search/train/000`, `search/history/000`, `search/propose/001`, `search/train/001`
    exit 2
    ");
    // A node of an earlier study, and one whose action changed and was not run.
    sandbox.edit("trials: 3", "trials: 2");
    assert!(sandbox.pipe("logs search/train/002").ok().err.starts_with("search/train/002 said nothing"));
    sandbox.edit("epochs: 2", "epochs: 3");
    assert!(sandbox.pipe("logs retrain_best").ok().err.starts_with("retrain_best said nothing, executed at "));
    assert_eq!(Sandbox::new().pipe("logs flip").code, Some(2), "there is no store");
}

#[test]
fn a_log_that_cannot_be_written_is_a_warning() {
    let sandbox = Sandbox::new();
    sandbox.pipe("run --stage raw").ok();
    // No folder can be made there, not even by root.
    sandbox.write(".pipe/logs", "");
    let output = sandbox.pipe("run --stage data -vv").ok();
    assert!(output.err.contains("WARN what an execution said was not saved: "), "{}", output.err);
}
