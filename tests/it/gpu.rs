//! A study on a GPU, or on a driver that computes on the processor. Skipped where there is neither.

use std::{
    env,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::LazyLock,
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::{
    kills::wait_until_alone,
    sandbox::{Events, Sandbox, skipped},
};

/// Small, because a driver without a GPU compiles each kernel for seconds. With batch normalisation, dropout, flips and two heads.
const STUDY: &str = r#"Study(
    name: "on-a-gpu",
    seed: 7,
    stages: [
        ("raw", Fetch(Embedded(name: "shapes100", train: 120, test: 60))),
        ("data", Decode(from: "raw", format: Cifar100, validation: Stratified(0.2))),
        ("flip", Augment(data: "data", policy: [RandomFlip(0.5), RandomCrop(2)])),
        ("train", Train(
            data: "data",
            augment: "flip",
            model: Layers([
                Conv(filters: 6, kernel: 3, stride: 2), BatchNorm, Activation("relu"), Conv(filters: 8, kernel: 3, stride: 2),
                Flatten, Dropout(0.2), Dense(24),
            ]),
            optimizer: "Adam",
            learning_rate: 0.003,
            clip_norm: 5.0,
            batch: 16,
            epochs: 20,
        )),
        ("test", Evaluate(of: "train", split: Test)),
        ("filters", VisualizeFilters(of: "train", layers: ["conv2d_2"], steps: 3, examples: 2)),
    ],
)"#;

/// Returns a command with what a driver needs of the environment. Of all commands, those that know the same of the device choose the same
/// kernels, and give the same bits: burn tries which of several is the fastest, which is not the same one every time.
fn command(sandbox: &Sandbox, args: &str) -> Command {
    static CACHE: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());
    let mut command = sandbox.command(args);
    command.env("XDG_CACHE_HOME", CACHE.path());
    let driver = ["XDG_RUNTIME_DIR", "VK_DRIVER_FILES", "CUBECL_AUTOTUNE_LEVEL", "LD_LIBRARY_PATH"];
    command.envs(driver.iter().filter_map(|name| Some((name, env::var_os(name)?))));
    command
}

fn has_device(sandbox: &Sandbox) -> bool {
    let devices = sandbox.output(&mut command(sandbox, "devices --json")).ok();
    let devices: serde_json::Value = serde_json::from_str(&devices.out).unwrap();
    devices.as_array().unwrap().iter().any(|device| device["kind"] == "wgpu" && device["device"].is_string())
}

fn run(sandbox: &Sandbox) -> Events {
    sandbox.output(&mut command(sandbox, "run --device wgpu --json")).events().ok()
}

#[test]
fn a_study_on_a_gpu_that_was_killed_goes_on_and_ends_with_the_same_hash() {
    let whole = Sandbox::with(STUDY);
    if !has_device(&whole) {
        return skipped("there is no GPU, and no driver for Vulkan");
    }
    let expected = run(&whole);
    assert!(expected.nodes("executed").contains("train"));

    let killed = Sandbox::with(STUDY);
    let mut first = command(&killed, "run --device wgpu --json --checkpoint-every 0");
    let mut first = first.process_group(0).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut reader = BufReader::new(first.stdout.take().unwrap());
    let mut line = String::new();
    loop {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "the run ended before the training was under way");
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        if event["event"] == "progress" && event["node"] == "train" && event["done"].as_u64() > Some(16) {
            break;
        }
    }
    kill_process_group(Pid::from_child(&first), Signal::KILL).unwrap();
    first.wait().unwrap();
    wait_until_alone(&killed);
    let resumed = run(&killed);
    let from = resumed.first_progress("train").expect("the training went on");
    assert!(from.0 > 0, "it began again: {from:?}");
    assert_eq!(resumed.hash(), expected.hash());
    killed.output(&mut command(&killed, "verify")).ok();

    // Nothing of it is known on a CPU, where the study is another one.
    let on_a_cpu = whole.run("").ok();
    assert!(on_a_cpu.nodes("executed").contains("train") && on_a_cpu.hash() != expected.hash());
    assert!(run(&whole).nodes("executed").is_empty());
}
