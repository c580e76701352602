//! The files in `studies/` can be planned and run.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{self, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::{
    kills::wait_until_alone,
    sandbox::{Events, Sandbox, skipped},
};

#[test]
fn every_study_in_the_folder_can_be_planned() {
    let mut studies: Vec<_> = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/studies"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        // A folder is a study with scripts, whose environment may be missing here.
        .filter(|path| path.is_file())
        .collect();
    studies.sort();
    let mut planned = String::new();
    for study in studies {
        let sandbox = Sandbox::with(&fs::read_to_string(&study).unwrap());
        let output = sandbox.pipe("run --plan").would_run();
        let name = study.file_stem().unwrap().to_str().unwrap();
        planned += &format!("{name}: {}\n", output.out.lines().last().unwrap());
    }
    let expected = "cifar100: 0 reused, 2 will run, 153 may run
cifar100_best: 0 reused, 1 will run, 5 may run
cifar100_half: 0 reused, 2 will run, 18 may run
fashion_mnist: 0 reused, 2 will run, 17 may run
fashion_mnist_cnn: 0 reused, 2 will run, 77 may run
fashion_mnist_mlp: 0 reused, 2 will run, 115 may run
fruits360: 0 reused, 2 will run, 124 may run
";
    assert_eq!(planned, expected);
}

/// The command is in a comment of `studies/cifar100.ron`.
#[test]
fn the_short_form_of_the_cifar100_study_can_be_planned() {
    let text = include_str!("../../studies/cifar100.ron");
    let options = text.lines().find_map(|line| line.strip_prefix("// A short form: ")).unwrap();
    let output = Sandbox::with(text).pipe(&format!("run --plan {options}")).would_run();
    assert_eq!(output.out.lines().last(), Some("0 reused, 2 will run, 11 may run"));
}

/// Returns a folder with a `python` that has scikit-learn, or says why there is none.
fn scikit_learn() -> Result<PathBuf, String> {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scikit-learn");
    let done = |program: &Path, args: &[&str]| {
        let output = process::Command::new(program).args(args).output();
        let output = output.map_err(|error| format!("{} cannot be run: {error}", program.display()))?;
        let error = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
        if output.status.success() { Ok(()) } else { Err(format!("{} {}: {error}", program.display(), args.join(" "))) }
    };
    let python = venv.join("bin/python");
    if done(&python, &["-c", "import sklearn"]).is_err() {
        done(Path::new("python3"), &["-m", "venv", venv.to_str().expect("the folder of this project is text")])?;
        let install = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--timeout", "20", "scikit-learn"];
        done(&python, &install)?;
    }
    Ok(venv.join("bin"))
}

/// Returns a fresh folder with a study of `studies/` and its scripts, in which each of `edits` is made.
fn copy(study: &str, edits: &[(&str, &str)]) -> Sandbox {
    let sandbox = Sandbox::with("");
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("studies").join(study)).unwrap() {
        let file = file.unwrap().path();
        // What Python keeps beside a script that was started by hand.
        if file.is_file() {
            fs::copy(&file, sandbox.path(file.file_name().unwrap())).unwrap();
        }
    }
    let mut text = fs::read_to_string(sandbox.path("pipeline.ron")).unwrap();
    for (from, to) in edits {
        assert!(text.contains(from), "{study} has {from}");
        text = text.replace(from, to);
    }
    sandbox.write("pipeline.ron", &text);
    sandbox
}

/// Returns a command of `pipe` that finds programs in `bin`, too.
fn command(sandbox: &Sandbox, bin: &Path, args: &str) -> process::Command {
    let mut command = sandbox.command(args);
    command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    command
}

#[track_caller]
fn run(sandbox: &Sandbox, bin: &Path, args: &str) -> Events {
    let events = sandbox.output(&mut command(sandbox, bin, &format!("run --json {args}"))).events();
    let failed = events.all.iter().find(|event| event["how"] == "failed");
    assert!(failed.is_none(), "{failed:?}");
    events.ok()
}

/// Returns the numbers of the metrics of a node.
#[track_caller]
fn metrics(sandbox: &Sandbox, file: &str) -> BTreeMap<String, f64> {
    serde_json::from_str(&sandbox.pipe(&format!("cat {file}")).ok().out).unwrap()
}

/// Returns the folder of a `python3` that runs `code`, or says why there is none.
fn python(code: &str) -> Result<PathBuf, String> {
    let script = format!("{code}; import os, sys; print(os.path.dirname(sys.executable))");
    let output = process::Command::new("python3").args(["-c", &script]).output();
    let output = output.map_err(|error| format!("python3 cannot be run: {error}"))?;
    let error = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
    if !output.status.success() {
        return Err(format!("python3 -c '{code}': {error}"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().into())
}

#[test]
fn a_study_without_training_has_one_hash_and_the_numbers_that_its_table_says() {
    let bin = match python("import csv") {
        Ok(bin) => bin,
        Err(why) => return skipped(&why),
    };
    let sandbox = copy("stations", &[]);
    let first = run(&sandbox, &bin, "--jobs 1");
    let other = copy("stations", &[]);
    assert_eq!(run(&other, &bin, "--jobs 4").hash(), first.hash());
    assert_eq!(fs::read(sandbox.path("pipeline.lock")).unwrap(), fs::read(other.path("pipeline.lock")).unwrap());
    let again = run(&sandbox, &bin, "--jobs 4");
    assert_eq!((again.nodes("executed").len(), again.nodes("reused").len(), again.hash()), (0, 16, first.hash()));

    let table = sandbox.pipe("cat readings/readings.csv").ok().out;
    assert_eq!(table.lines().count(), 1 + 4 * 365 * 24);
    let mut readings: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for line in table.lines().skip(1) {
        let [time, station, celsius] = line.split(',').collect::<Vec<_>>()[..] else { panic!("{line}") };
        readings.entry(station).or_default().push((time, celsius));
    }
    let missing = table.lines().filter(|line| line.ends_with(',')).count();
    let impossible = table.lines().filter(|line| line.ends_with(",-99.9") || line.ends_with(",85.0")).count();
    // Seven equal readings of a station, one after the other, are too many.
    let (mut kept, mut sums) = (0, BTreeMap::new());
    for (station, readings) in &readings {
        for run in readings.chunk_by(|a, b| a.1 == b.1).filter(|run| run.len() < 7) {
            let sound = run.iter().filter(|(_, celsius)| !["", "-99.9", "85.0"].contains(celsius));
            for (time, celsius) in sound {
                kept += 1;
                let sum = sums.entry((*station, time[..7].to_owned())).or_insert((0.0, 0));
                *sum = (sum.0 + celsius.parse::<f64>().unwrap(), sum.1 + 1);
            }
        }
    }
    let quality = metrics(&sandbox, "clean/quality.json");
    assert_eq!(quality["readings.missing"], missing as f64);
    assert_eq!(quality["readings.impossible"], impossible as f64);
    assert_eq!(quality["readings.kept"], f64::from(kept));
    assert_eq!(quality.values().sum::<f64>(), 4.0 * 365.0 * 24.0);
    assert_eq!((missing, impossible, kept), (150, 61, 34_484));

    let months = sandbox.pipe("cat months/months.csv").ok().out;
    assert_eq!(months.lines().count(), 1 + 4 * 12);
    for line in months.lines().skip(1) {
        let row: Vec<_> = line.split(',').collect();
        let (sum, count) = sums[&(row[0], row[1].to_owned())];
        assert_eq!(row[2], count.to_string(), "{line}");
        assert!((row[3].parse::<f64>().unwrap() - sum / f64::from(count)).abs() < 0.006, "{line}");
    }
    // The sun of a town swings by four degrees up and down, and is highest at three.
    let town = metrics(&sandbox, "day/town/day.json");
    assert!((town["day.swing"] - 8.0).abs() < 0.3 && (town["day.warmest_hour"] - 15.0).abs() < 2.0, "{town:?}");

    sandbox.pipe("export report/pages pages").ok();
    let page = fs::read_to_string(sandbox.path("pages/README.md")).unwrap();
    assert!(page.contains("| town | 8606 | 1.60 °C (2025-01) | 19.25 °C (2025-07) |"), "{page}");
    for chart in ["months.svg", "day.svg"] {
        let chart = fs::read_to_string(sandbox.path("pages").join(chart)).unwrap();
        assert_eq!(chart.matches("<polyline").count(), 4);
    }
}

const TORCH: &str = "fashion_mnist_torch";

#[test]
fn fashion_mnist_with_pytorch_can_be_planned() {
    // What the environment says is left out, because PyTorch is not everywhere.
    let output = copy(TORCH, &[]).pipe("run --plan --set commands.environment=[]").would_run();
    assert_eq!(output.out.lines().last(), Some("0 reused, 9 will run, 140 may run"));
}

#[test]
fn digits_with_scikit_learn_have_one_hash_in_any_folder_with_any_number_of_jobs_and_after_fifty_kills() {
    let bin = match scikit_learn() {
        Ok(bin) => bin,
        Err(why) => return skipped(&why),
    };
    let edits = [("trials: 20", "trials: 6"), ("lag: 4", "lag: 2")];
    let sandbox = copy("digits", &edits);
    let hash = run(&sandbox, &bin, "--jobs 1").hash();
    assert_eq!(run(&copy("digits", &edits), &bin, "--jobs 4").hash(), hash);
    let trials = sandbox.pipe("trials digits").ok().out;
    assert_eq!(trials.lines().count(), 7, "{trials}");
    let history = sandbox.pipe("cat best/history.csv").ok().out;
    assert_eq!(history.lines().next(), Some("epoch,train.loss,valid.accuracy"));
    assert_eq!(history.lines().count(), 16, "fifteen epochs, of which the trial did five");
    assert!(metrics(&sandbox, "test/metrics.json")["test.accuracy"] > 0.8);

    let mut random = fastrand::Rng::with_seed(17);
    let mut sandbox = copy("digits", &edits);
    let (mut kills, mut ended) = (0, 0);
    while kills < 50 {
        let mut command = command(&sandbox, &bin, "run --json --jobs 2");
        let mut run = command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Later kills wait longer, so that the run makes progress even on a slow machine.
        thread::sleep(Duration::from_millis(random.u64(..200 + 40 * kills)));
        if let Some(status) = run.try_wait().unwrap() {
            assert!(status.success());
            assert_eq!(self::run(&sandbox, &bin, "").hash(), hash, "after {kills} kills");
            sandbox = copy("digits", &edits);
            ended += 1;
            continue;
        }
        // Half of the times its workers must notice it themselves, and their programs always.
        let killed = if kills % 2 == 0 {
            kill_process(Pid::from_child(&run), Signal::KILL)
        } else {
            kill_process_group(Pid::from_child(&run), Signal::KILL)
        };
        killed.unwrap();
        run.wait().unwrap();
        wait_until_alone(&sandbox);
        kills += 1;
    }
    assert_eq!(run(&sandbox, &bin, "").hash(), hash, "after {kills} kills and {ended} runs to the end");
    sandbox.pipe("verify").ok();
}

/// Writes four small files in the format of Fashion-MNIST: grey noise with a bright square, whose place is the class.
fn write_idx(folder: &Path) {
    let mut random = fastrand::Rng::with_seed(3);
    fs::create_dir_all(folder).unwrap();
    for (name, n) in [("train", 500_u32), ("t10k", 100)] {
        let of = |sizes: &[u32]| {
            let magic = 0x0800 | sizes.len() as u32;
            [&[magic], sizes].concat().into_iter().flat_map(u32::to_be_bytes).collect::<Vec<u8>>()
        };
        let (mut images, mut classes) = (of(&[n, 28, 28]), of(&[n]));
        for i in 0..n {
            let class = i % 10;
            let (top, left) = (class / 5 * 14, class % 5 * 5);
            let is_inside = |y: u32, x: u32| (top..top + 10).contains(&y) && (left..left + 6).contains(&x);
            let pixels = (0..28).flat_map(|y| (0..28).map(move |x| (y, x)));
            images.extend(pixels.map(|(y, x)| random.u8(..100) + if is_inside(y, x) { 150 } else { 0 }));
            classes.push(class as u8);
        }
        fs::write(folder.join(format!("{name}-images-idx3-ubyte")), images).unwrap();
        fs::write(folder.join(format!("{name}-labels-idx1-ubyte")), classes).unwrap();
    }
}

#[test]
fn fashion_mnist_with_pytorch_has_one_hash_where_pytorch_is() {
    let bin = match python("import torch") {
        Ok(bin) => bin,
        Err(why) => return skipped(&why),
    };
    let start = |jobs: u32| {
        let edits = [
            ("\"python\"", "\"python3\""),
            ("lo: 1e-4, hi: 1e-1", "lo: 3e-3, hi: 1e-2"),
            ("\"6000\"", "\"400\""),
            ("trials: 16", "trials: 2"),
            ("lag: 4", "lag: 2"),
            ("epochs: 4", "epochs: 2"),
            ("epochs: 9", "epochs: 3"),
            ("epochs: 12", "epochs: 4"),
        ];
        let sandbox = copy(TORCH, &edits);
        write_idx(&sandbox.path("idx"));
        let text = fs::read_to_string(sandbox.path("pipeline.ron")).unwrap();
        let (before, rest) = text.split_once("Fetch(Files([").unwrap();
        let (_, after) = rest.split_once("]))),").unwrap();
        sandbox.write("pipeline.ron", &format!("{before}Fetch(Folder(\"idx\"))),{after}"));
        let events = run(&sandbox, &bin, &format!("--jobs {jobs}"));
        (events.hash(), sandbox)
    };
    let (hash, sandbox) = start(1);
    assert_eq!(start(4).0, hash);
    for search in ["tpe", "hyperband"] {
        let history = sandbox.pipe(&format!("cat best_of_{search}/history.csv")).ok().out;
        assert_eq!(history.lines().next(), Some("epoch,train.loss,valid.accuracy,valid.loss"));
        assert_eq!(history.lines().count(), 5);
        let metrics = metrics(&sandbox, &format!("test_of_{search}/metrics.json"));
        assert!(metrics["images"] == 100.0 && metrics["test.accuracy"] > 0.2, "{search}: {metrics:?}");
    }
    assert!(run(&sandbox, &bin, "").nodes("executed").is_empty());
}
