//! The files in `studies/` can be planned and run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::sandbox::{Sandbox, skipped};

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
        let output = Command::new(program).args(args).output();
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

#[test]
fn digits_with_scikit_learn_have_one_hash_in_any_folder_and_with_any_number_of_jobs() {
    let bin = match scikit_learn() {
        Ok(bin) => bin,
        Err(why) => return skipped(&why),
    };
    let study = Path::new(env!("CARGO_MANIFEST_DIR")).join("studies/digits");
    let run = |jobs: u32| {
        let sandbox = Sandbox::with("");
        for file in fs::read_dir(&study).unwrap().map(|entry| entry.unwrap().path()) {
            fs::copy(&file, sandbox.path(file.file_name().unwrap())).unwrap();
        }
        let path = format!("{}:/usr/bin:/bin", bin.display());
        let args = format!("run --json --jobs {jobs} --set search.trials=6 --set search.lag=2");
        let events = sandbox.output(sandbox.command(&args).env("PATH", path)).events();
        assert_eq!(events.code, Some(0), "{}", events.err);
        (events.hash(), sandbox)
    };
    let (hash, sandbox) = run(1);
    assert_eq!(run(4).0, hash);
    let trials = sandbox.pipe("trials digits").ok().out;
    assert_eq!(trials.lines().count(), 7, "{trials}");
    let history = sandbox.pipe("cat best/history.csv").ok().out;
    assert_eq!(history.lines().next(), Some("epoch,train.loss,valid.accuracy"));
    assert_eq!(history.lines().count(), 16, "fifteen epochs, of which the trial did five");
    let metrics: serde_json::Value = serde_json::from_str(&sandbox.pipe("cat test/metrics.json").ok().out).unwrap();
    assert!(metrics["test.accuracy"].as_f64().unwrap() > 0.8, "{metrics}");
}
