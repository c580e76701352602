//! No digest depends on the folder, the number of jobs and threads, the environment, log output or checkpoints.

use std::fs;

use crate::sandbox::{NODES, Sandbox, base};

#[track_caller]
fn check(args: &str) {
    let events = Sandbox::new().run(args).ok();
    assert_eq!(
        (events.hash(), events.study()["executed"].as_u64()),
        (base().hash.clone(), Some(NODES as u64)),
        "{args}"
    );
}

#[test]
fn one_job_or_several() {
    check("--jobs 1");
    check("--jobs 2");
    check("--jobs 5");
}

#[test]
fn one_thread_or_several() {
    check("--threads 1");
    check("--threads 2");
    check("--threads 3 --jobs 1");
}

#[test]
fn a_checkpoint_at_every_step_or_none() {
    check("--checkpoint-every 0");
    check("--checkpoint-every 1000000");
}

#[test]
fn another_folder_and_another_file_name() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("a folder/übung");
    fs::create_dir_all(&folder).unwrap();
    fs::rename(sandbox.path("pipeline.ron"), folder.join("study.ron")).unwrap();
    let mut command = sandbox.command("run --json --file study.ron");
    let events = sandbox.output(command.current_dir(&folder)).events().ok();
    assert_eq!(events.hash(), base().hash);
    assert!(folder.join(".pipe").is_dir(), "the store is beside the pipeline file");
}

#[test]
fn another_path_of_the_store() {
    let sandbox = Sandbox::new();
    let option = sandbox.run("--store elsewhere/store --stage data").ok();
    let variable =
        sandbox.output(sandbox.command("run --json --stage data").env("PIPE_STORE", "elsewhere/store")).events();
    assert_eq!((variable.hash(), variable.nodes("executed").len()), (option.hash(), 0));
    assert!(!sandbox.path(".pipe").exists());
}

#[test]
fn a_deleted_store() {
    let sandbox = Sandbox::after_run();
    fs::remove_dir_all(sandbox.path(".pipe")).unwrap();
    let events = sandbox.run("").ok();
    assert_eq!((events.hash(), events.nodes("executed").len()), (base().hash.clone(), NODES));
}

#[test]
fn another_environment_and_more_messages() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command("run --json -v");
    command
        .env("TZ", "Asia/Kathmandu")
        .env("LANG", "de_DE.UTF-8")
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("HOME", sandbox.path("home"))
        .env("RUST_LOG", "debug")
        .env("RAYON_NUM_THREADS", "3")
        .env("NO_COLOR", "1");
    assert_eq!(sandbox.output(&mut command).events().ok().hash(), base().hash);
}

#[test]
fn two_simultaneous_runs_share_the_work() {
    let sandbox = Sandbox::new();
    let outputs: Vec<_> = std::thread::scope(|scope| {
        let run = || scope.spawn(|| sandbox.run("").ok());
        let runs = [run(), run()];
        runs.map(|run| run.join().unwrap()).into_iter().collect()
    });
    let executed: u64 = outputs.iter().map(|events| events.study()["executed"].as_u64().unwrap()).sum();
    assert_eq!(executed, NODES as u64);
    assert!(outputs.iter().all(|events| events.hash() == base().hash));
    assert_eq!(sandbox.pipe("verify").code, Some(0));
}
