//! `pipeline.lock` says what a run gave, and `--locked` compares another run with it.

use std::{fs, os::unix::fs::PermissionsExt};

use insta::assert_snapshot;

use crate::{
    failures::TOO_DEEP,
    sandbox::{Sandbox, TINY, base, filtered, text},
};

/// Returns a folder in which the study has been run, with its lock file.
fn locked() -> Sandbox {
    let sandbox = Sandbox::after_run();
    sandbox.run("").ok();
    sandbox
}

fn read(sandbox: &Sandbox) -> String {
    fs::read_to_string(sandbox.path("pipeline.lock")).unwrap()
}

#[test]
fn a_complete_run_writes_a_line_for_each_node() {
    let sandbox = locked();
    let lock = read(&sandbox);
    let (key, tree) = (text(&sandbox.node("flip")["key"]), text(&sandbox.node("flip")["tree"]));
    assert!(lock.contains(&format!("\n{} {} flip\n", &key[..16], &tree[..16])), "{lock}");
    let without_digests: Vec<_> = lock.lines().map(|line| line.replace(&base().hash, "STUDY")).collect();
    let shape = |line: &String| match line.split(' ').next().unwrap() {
        word if word.len() == 16 => format!("KEY OUTPUT {}", line.split(' ').nth(2).unwrap()),
        "pipeline" => "pipeline RECORD".to_owned(),
        _ => line.clone(),
    };
    assert_snapshot!(without_digests.iter().map(shape).collect::<Vec<_>>().join("\n"), @"
    # What `pipe run` gave. `pipe run --locked` compares. One line for each node: its key, its output, its name.
    format 1
    study STUDY
    pipeline RECORD
    numerics canonical f32, kernels-3
    stage augment 1
    stage decode 2
    stage evaluate 2
    stage fetch 1
    stage history 1
    stage propose 4
    stage select 1
    stage split 3
    stage train 2
    stage visualize_filters 1
    KEY OUTPUT data
    KEY OUTPUT flip
    KEY OUTPUT raw
    KEY OUTPUT retrain_best
    KEY OUTPUT search/history/000
    KEY OUTPUT search/history/001
    KEY OUTPUT search/history/002
    KEY OUTPUT search/propose/000
    KEY OUTPUT search/propose/001
    KEY OUTPUT search/propose/002
    KEY OUTPUT search/select
    KEY OUTPUT search/split/002
    KEY OUTPUT search/train/000
    KEY OUTPUT search/train/001
    KEY OUTPUT search/train/002
    KEY OUTPUT test
    KEY OUTPUT visualize_filters
    ");
    // Another folder, another store, another number of workers: the same file.
    let other = Sandbox::new();
    other.run("--jobs 1 --store elsewhere").ok();
    assert_eq!(read(&other), lock);
    // It is written only if it changes.
    let before = sandbox.listing();
    assert_eq!(sandbox.run("").ok().study()["lock"], serde_json::Value::Null);
    assert_eq!(sandbox.listing(), before);
}

#[test]
fn only_a_complete_run_of_the_file_writes_it() {
    let sandbox = Sandbox::after_run();
    for args in ["--stage test", "--set seed=8 --stage raw", "--plan", "--set name=other"] {
        sandbox.pipe(&format!("run {args}"));
        assert!(!sandbox.path("pipeline.lock").exists(), "{args}");
    }
    sandbox.output(sandbox.command("run").env("PIPE_SET", "name=other")).ok();
    assert!(!sandbox.path("pipeline.lock").exists());
    // With a failed node there is none either.
    sandbox.write("pipeline.ron", TOO_DEEP);
    assert_eq!(sandbox.pipe("run").code, Some(1));
    assert!(!sandbox.path("pipeline.lock").exists());
    sandbox.write("pipeline.ron", TINY);
    let output = sandbox.pipe("run").ok();
    assert!(output.err.contains("\nlock:     pipeline.lock\n"), "{}", output.err);
    // The lock of another file has the name of that file.
    fs::copy(sandbox.path("pipeline.ron"), sandbox.path("other.ron")).unwrap();
    sandbox.pipe("run --file other.ron").ok();
    assert_eq!(fs::read_to_string(sandbox.path("other.lock")).unwrap(), read(&sandbox));
}

#[test]
fn a_clone_gives_the_same() {
    let clone = Sandbox::new();
    clone.write("pipeline.lock", &read(&locked()));
    let before = read(&clone);
    let output = clone.pipe("run --locked").ok();
    assert!(output.err.contains("same as pipeline.lock\n") && output.err.contains("\n17 executed"), "{}", output.err);
    assert_eq!(read(&clone), before);
    let events = clone.run("--locked").ok();
    let told = &events.all[events.all.len() - 2];
    assert_eq!((&told["event"], &told["same"]), (&"locked".into(), &true.into()));
    assert!(clone.pipe("run --locked --stage flip").ok().err.contains("same as pipeline.lock"));
}

#[test]
fn the_first_difference_is_named() {
    let sandbox = locked();
    let lock = read(&sandbox);
    let (key, tree) = (text(&sandbox.node("flip")["key"]), text(&sandbox.node("flip")["tree"]));
    // As if the run that wrote the file had given another output.
    sandbox.write("pipeline.lock", &lock.replace(&tree[..16], "0123456789abcdef"));
    assert_snapshot!(shown(&sandbox, "run --locked --stage flip"), @"
         reused  raw  (unchanged)
         reused  data  (unchanged)
         reused  flip  (unchanged)
    differs from pipeline.lock: `flip`: its key is the same, and its output is DIGITS instead of DIGITS
    0 executed, 3 reused, 0 failed in TIME
    report:   SANDBOX/.pipe/reports/tiny-SHORT/report.html
    pictures: SANDBOX/.pipe/reports/tiny-SHORT/pictures
    error: the run differs from pipeline.lock: `flip`: its key is the same, and its output is DIGITS instead of DIGITS
      hint: `pipe run --check 'flip'` executes it again and compares the results
    exit 1
    ");
    // Of several, the first in the order of the plan.
    sandbox.write("pipeline.lock", &lock.replace(" flip\n", " flop\n").replace(" data\n", " date\n"));
    assert_snapshot!(shown(&sandbox, "run --locked --stage flip"), @"
         reused  raw  (unchanged)
         reused  data  (unchanged)
    differs from pipeline.lock: `data`: it is not in the file
         reused  flip  (unchanged)
    0 executed, 3 reused, 0 failed in TIME
    report:   SANDBOX/.pipe/reports/tiny-SHORT/report.html
    pictures: SANDBOX/.pipe/reports/tiny-SHORT/pictures
    error: the run differs from pipeline.lock: `data`: it is not in the file
      hint: 1 more node differs; if the change is wanted, `pipe run` writes the file anew
    exit 1
    ");
    sandbox.write("pipeline.lock", &(lock.clone() + "0123456789abcdef 0123456789abcdef zebra\n"));
    let output = sandbox.pipe("run --locked");
    assert!(output.err.contains("error: the run differs from pipeline.lock: `zebra`: it is no longer in the study\n"));
    // Another key, of which only the digits are known.
    sandbox.write("pipeline.lock", &lock.replace(&key[..16], "0123456789abcdef"));
    assert_snapshot!(shown(&sandbox, "run --locked --stage flip"), @"
         reused  raw  (unchanged)
         reused  data  (unchanged)
         reused  flip  (unchanged)
    differs from pipeline.lock: `flip`: its key is DIGITS instead of DIGITS: the pipeline is the same, so this build makes another action of it
    0 executed, 3 reused, 0 failed in TIME
    report:   SANDBOX/.pipe/reports/tiny-SHORT/report.html
    pictures: SANDBOX/.pipe/reports/tiny-SHORT/pictures
    error: the run differs from pipeline.lock: `flip`: its key is DIGITS instead of DIGITS: the pipeline is the same, so this build makes another action of it
      hint: if the change is wanted, `pipe run` writes the file anew
    exit 1
    ");
    // Another key, from another version of the stage.
    sandbox.write(
        "pipeline.lock",
        &lock.replace(&key[..16], "0123456789abcdef").replace("stage augment 1", "stage augment 0"),
    );
    assert_snapshot!(shown(&sandbox, "run --locked --stage flip"), @"
         reused  raw  (unchanged)
         reused  data  (unchanged)
         reused  flip  (unchanged)
    differs from pipeline.lock: `flip`: its key is DIGITS instead of DIGITS: version of augment 0 -> 1
    0 executed, 3 reused, 0 failed in TIME
    report:   SANDBOX/.pipe/reports/tiny-SHORT/report.html
    pictures: SANDBOX/.pipe/reports/tiny-SHORT/pictures
    error: the run differs from pipeline.lock: `flip`: its key is DIGITS instead of DIGITS: version of augment 0 -> 1
      hint: if the change is wanted, `pipe run` writes the file anew
    exit 1
    ");
    // Another class of numerics.
    sandbox.write("pipeline.lock", &lock);
    sandbox.run("").ok();
    let train = text(&sandbox.node("search/train/000")["key"]);
    let other =
        lock.replace(&train[..16], "0123456789abcdef").replace("canonical f32, kernels-3", "canonical f32, kernels-2");
    sandbox.write("pipeline.lock", &other);
    assert!(
        shown(&sandbox, "run --locked --stage train/0")
            .contains("numerics canonical f32, kernels-2 -> canonical f32, kernels-3")
    );
}

#[test]
fn a_change_of_the_file_is_named_in_its_own_words() {
    let sandbox = locked();
    let lock = read(&sandbox);
    sandbox.edit("RandomFlip(0.5)", "RandomFlip(0.25)");
    let output = sandbox.pipe("run --locked");
    assert_eq!((output.code, read(&sandbox)), (Some(1), lock.clone()));
    let differs = "differs from pipeline.lock: `flip`: its key is ";
    assert_eq!(output.err.matches(differs).count(), 2, "at once, and at the end: {}", output.err);
    assert!(output.err.contains(": policy[0].RandomFlip 0.5 -> 0.25\n"), "{}", output.err);
    assert!(output.err.contains("more nodes differ; if the change is wanted, `pipe run` writes the file anew\n"));
    // Wanted.
    sandbox.run("").ok();
    assert_ne!(read(&sandbox), lock);
    sandbox.run("--locked").ok();
}

#[test]
fn a_lock_file_that_is_missing_or_broken_is_refused() {
    let sandbox = Sandbox::new();
    assert_snapshot!(sandbox.pipe("run --locked").shown(), @"
    ! error: there is no `pipeline.lock`
    !   hint: `pipe run` writes it after a complete run; commit it beside the pipeline file
    exit 2
    ");
    sandbox.write("pipeline.lock", "<<<<<<< HEAD\n");
    assert_snapshot!(sandbox.pipe("run --locked").shown(), @"
    ! error: `pipeline.lock` is not a lock file: line 1: found `<<<<<<< HEAD`, expected the key, the output and the name of a node
    !   hint: take it from version control again, or remove it: `pipe run` writes it after a complete run
    exit 2
    ");
    assert_eq!(sandbox.stored("objects").len(), 0, "nothing was run");
}

#[test]
fn a_file_that_cannot_be_written_is_a_warning() {
    let sandbox = locked();
    let lock = read(&sandbox);
    // A folder in its place cannot be replaced, not even by root.
    fs::remove_file(sandbox.path("pipeline.lock")).unwrap();
    fs::create_dir_all(sandbox.path("pipeline.lock/folder")).unwrap();
    let output = sandbox.pipe("run").ok();
    assert!(output.err.contains("warning: `pipeline.lock` "), "{}", output.err);
    fs::remove_dir_all(sandbox.path("pipeline.lock")).unwrap();
    let left: Vec<_> = fs::read_dir(sandbox.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the store and the pipeline: {left:?}");
    // An output that was not reproduced is a warning, too.
    let (key, tree) = (text(&sandbox.node("flip")["key"]), text(&sandbox.node("flip")["tree"]));
    sandbox.write("pipeline.lock", &lock.replace(&tree[..16], "0123456789abcdef"));
    let output = sandbox.pipe("run").ok();
    assert!(output.err.contains("warning: the output of `flip` is ") && output.err.contains("it was not reproduced"));
    assert!(read(&sandbox) == lock && lock.contains(&key[..16]));
    let mode = fs::metadata(sandbox.path("pipeline.lock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o600, 0o600);
}

#[test]
fn the_lock_file_of_the_default_study_is_up_to_date() {
    let lock = include_str!("../../pipeline.lock");
    let mut nodes: Vec<(&str, &str)> = Vec::new();
    for line in lock.lines().filter(|line| !line.starts_with('#')) {
        if let [key, _, name] = line.split(' ').collect::<Vec<_>>()[..]
            && key.len() == 16
        {
            nodes.push((name, key));
        }
    }
    let sandbox = Sandbox::with(include_str!("../../pipeline.ron"));
    let mut plan = sandbox.pipe("run --plan --json").events().all;
    plan.retain(|event| event["event"] == "plan");
    let mut names: Vec<_> = plan.iter().map(|event| text(&event["node"])).collect();
    names.sort();
    assert_eq!(nodes.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names);
    // Before anything has run, only these actions are known.
    let known: Vec<_> = plan.iter().filter(|event| event["action"].is_string()).collect();
    assert!(known.len() >= 2, "{known:?}");
    for event in known {
        let (name, key) = (text(&event["node"]), text(&event["action"]));
        assert!(nodes.contains(&(&name, &key[..16])), "`pipe run` writes the file anew: {name} {key}");
    }
}

/// Returns what a command prints, with the digits of the lock file replaced.
fn shown(sandbox: &Sandbox, args: &str) -> String {
    let output = sandbox.pipe(args);
    let word = |word: &str| {
        if word.len() == 16 && word.bytes().all(|b| b.is_ascii_hexdigit()) {
            "DIGITS".to_owned()
        } else {
            word.to_owned()
        }
    };
    let line = |line: &str| {
        line.split(' ')
            .map(|part| match part.strip_suffix(':') {
                Some(part) => word(part) + ":",
                None => word(part),
            })
            .collect::<Vec<_>>()
            .join(" ")
    };
    let text = format!("{}exit {}\n", output.err, output.code.unwrap());
    filtered(&text).lines().map(line).collect::<Vec<_>>().join("\n")
}
