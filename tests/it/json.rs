//! Every key of JSON for programs is documented in `docs/json.md`, and a number is never a string.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use crate::{
    kills::LONG,
    sandbox::{Sandbox, TINY},
};

/// The sections of the page by their anchors: each row's key, and the section that describes what is in it, if one does.
struct Page(BTreeMap<String, BTreeMap<String, Option<String>>>);

impl Page {
    fn read() -> Self {
        let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/json.md")).unwrap();
        let mut sections: BTreeMap<String, BTreeMap<_, _>> = BTreeMap::new();
        let mut anchor = String::new();
        for line in text.lines() {
            if let Some(title) = line.strip_prefix("## ").or_else(|| line.strip_prefix("### ")) {
                let kept = title.to_lowercase().replace(' ', "-");
                anchor = kept.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect();
            }
            // | `key`, `key` | meaning |
            let Some((keys, meaning)) = line.strip_prefix("| ").and_then(|row| row.split_once(" | ")) else { continue };
            let link =
                meaning.split_once("](#").and_then(|(_, rest)| rest.split_once(')')).map(|(to, _)| to.to_owned());
            for key in keys.split(", ").filter_map(|key| key.strip_prefix('`')?.strip_suffix('`')) {
                sections.entry(anchor.clone()).or_default().insert(key.to_owned(), link.clone());
            }
        }
        Self(sections)
    }

    /// Returns the row for a path such as `best.node`: `<name>` in its key stands for any key, and what is in `key..` is not described.
    fn row(&self, section: &str, path: &[&str]) -> Option<(&String, &Option<String>)> {
        let fits = |key: &str| {
            let key: Vec<&str> = key.trim_end_matches("..").split('.').collect();
            key.len() == path.len() && key.iter().zip(path).all(|(key, part)| key.starts_with('<') || key == part)
        };
        // A key that is written out comes before `<name>`.
        let rows = self.0.get(section).unwrap_or_else(|| panic!("`docs/json.md` has no section `{section}`"));
        rows.iter().filter(|(key, _)| fits(key)).max_by_key(|(key, _)| key.as_str() == path.join("."))
    }

    /// Adds the paths in `value` that the page does not describe.
    fn check<'a>(&self, section: &str, path: &mut Vec<&'a str>, value: &'a Value, missing: &mut Vec<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.check(section, path, item, missing)),
            Value::Object(fields) => {
                for (key, value) in fields {
                    path.push(key);
                    match self.row(section, path) {
                        None => missing.push(format!("{section}: {}", path.join("."))),
                        Some((key, _)) if key.ends_with("..") => {}
                        Some((_, Some(other))) => self.check(other, &mut Vec::new(), value, missing),
                        Some((_, None)) => self.check(section, path, value, missing),
                    }
                    path.pop();
                }
            }
            _ => {}
        }
    }

    fn assert(&self, section: &str, text: &str, of: &str) {
        let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        let mut n = 0;
        for value in values {
            let value = value.unwrap_or_else(|error| panic!("{of}: {error}: {text}"));
            n += 1;
            let mut missing = Vec::new();
            let section = match value["event"].as_str() {
                Some(event) => format!("event-{}", event.replace('_', "")),
                None => section.to_owned(),
            };
            self.check(&section, &mut Vec::new(), &value, &mut missing);
            missing.sort();
            missing.dedup();
            assert!(missing.is_empty(), "`{of}` has keys that `docs/json.md` does not describe: {missing:#?}");
            assert_eq!(strings_of_numbers(&value), 0, "`{of}` has a number that is a string: {value}");
        }
        assert!(n > 0, "`{of}` prints no JSON");
    }
}

/// Returns the number of strings that stand for numbers which JSON cannot have.
fn strings_of_numbers(value: &Value) -> usize {
    match value {
        Value::String(text) => usize::from(["NaN", "Infinity", "-Infinity"].contains(&text.as_str())),
        Value::Array(items) => items.iter().map(strings_of_numbers).sum(),
        Value::Object(fields) => fields.values().map(strings_of_numbers).sum(),
        _ => 0,
    }
}

#[cfg(feature = "remote")]
#[test]
fn every_key_of_remotes_is_documented() {
    let page = Page::read();
    let sandbox = Sandbox::after_run();
    sandbox.pipe(&format!("remote add lab file://{}", sandbox.path("share").display())).ok();
    for (section, command) in [
        ("pipe-push", "push --json --plan"),
        ("pipe-push", "push --json --without logs"),
        ("pipe-pull", "pull lab/tiny --json"),
        ("pipe-remote-list", "remote list --json"),
        ("pipe-remote-gc", "remote gc --json --keep-last 1"),
        ("pipe-studies", "studies --remote lab --json"),
    ] {
        page.assert(section, &sandbox.pipe(command).ok().out, command);
    }
    sandbox.pipe(&format!("remote add lab file://{} --store elsewhere", sandbox.path("share").display())).ok();
    let check = |section: &str, command: &str, expected: &str| {
        let output = sandbox.pipe(&format!("{command} --json --store elsewhere")).ok().out;
        assert!(output.contains(expected), "{command}: {output}");
        page.assert(section, &output, command);
    };
    check("", "run --remote lab", r#""event":"remote""#);
    check("pipe-verify", "verify", r#""remote": "lab""#);
    check("pipe-remote-fetch", "remote fetch --plan", r#""remotes""#);
    sandbox.pipe("remote remove lab --store elsewhere").ok();
    sandbox.edit("RandomFlip(0.5)", "RandomFlip(0.25)");
    check("", "run --stage flip", r#""event":"lost""#);
}

#[test]
fn every_key_is_documented() {
    let page = Page::read();
    let sandbox = Sandbox::after_run();
    let check = |sandbox: &Sandbox, section: &str, command: &str| {
        page.assert(section, &sandbox.pipe(command).out, command);
    };
    check(&sandbox, "", "run --json --rerun flip");
    check(&sandbox, "", "run --json --locked");
    check(&sandbox, "", "run --json --check flip");
    check(&sandbox, "", "run --json --plan --set seed=8");
    check(&sandbox, "", "run --json --set search.trials=2");
    check(&sandbox, "", "run --json --locked --set search.trials=2");
    sandbox.output(sandbox.command("note tiny").arg("two trials are few")).ok();
    sandbox.pipe("export flip/preview.png picture.png").ok();
    fs::write(sandbox.path("broken.png"), "no picture").unwrap();
    let tree = sandbox.json("show data --json")["tree"].as_str().unwrap().to_owned();
    let study = sandbox.json("show --json");
    let pipeline = study["pipeline"].as_str().unwrap();
    for (section, command) in [
        ("pipe-show", "show --json"),
        ("pipe-show-node", "show flip --json"),
        ("pipe-show-node", "show train/0 --json"),
        ("pipe-show-node", "show test --json"),
        ("pipe-show-hash", &format!("show {tree} --json")),
        ("pipe-show-hash", &format!("show {pipeline} --json")),
        ("pipe-trials", "trials --json"),
        ("pipe-importance", "importance tiny~1 --json"),
        ("pipe-studies", "studies --json"),
        ("pipe-tag", "tag tiny v1 --json"),
        ("pipe-note", "note tiny --json"),
        ("pipe-diff", "diff tiny tiny~1 --json"),
        ("pipe-why", "why train/0 --set seed=8 --json"),
        ("pipe-why", "why flip --json"),
        ("pipe-logs", "logs train/0 --json"),
        ("pipe-verify", "verify --json"),
        ("pipe-gc", "gc --dry-run --grace 0s --keep-last 1 --max-size 1K --json"),
        ("pipe-gc---why", &format!("gc --why {tree} --json")),
        ("pipe-digest", "digest pipeline.ron --json"),
        ("pipe-predict", "predict retrain_best picture.png broken.png --json"),
    ] {
        check(&sandbox, section, command);
    }
    // Files that are missing and damaged are told, too.
    let damaged = sandbox.stored("objects").into_iter().take(2).collect::<Vec<_>>();
    fs::write(sandbox.path(".pipe/objects").join(&damaged[0]), "damaged").unwrap();
    fs::remove_file(sandbox.path(".pipe/objects").join(&damaged[1])).unwrap();
    check(&sandbox, "pipe-verify", "verify --json");
}

#[test]
fn what_is_not_a_number_is_null() {
    let page = Page::read();
    let sandbox = Sandbox::with(
        &TINY
            .replace("\"lr_rate_mult\": loguniform(-0.5, 0.5)", "\"rate\": choice([1e30])")
            .replace("batch: 16,", "batch: 16, learning_rate: hp(\"rate\"),"),
    );
    let mut seen = String::new();
    for (section, command) in [
        ("", "run --stage search --json"),
        ("pipe-trials", "trials --json"),
        ("pipe-show", "show --json"),
        ("pipe-show-node", "show train/0 --json"),
        ("pipe-studies", "studies --json"),
    ] {
        let out = sandbox.pipe(command).out;
        page.assert(section, &out, command);
        seen += &out;
    }
    let trials: Value = sandbox.json("trials --json");
    let trial = &trials[0];
    assert_eq!((&trial["status"], &trial["value"], &trial["loss"]), (&"diverged".into(), &Value::Null, &Value::Null));
    assert!(trial.as_object().unwrap().contains_key("loss") && seen.contains("\"diverged\""));
    // In the store it is what it was.
    assert_eq!(sandbox.json("cat search/train/000/score.json")["loss"], "NaN");
}

#[test]
fn a_study_that_is_not_over_is_documented() {
    let page = Page::read();
    // Long enough to be looked at.
    let sandbox = Sandbox::with(&LONG.replace("epochs: 60", "epochs: 5000"));
    let mut command = sandbox.command("run --json");
    let mut run = command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines().map(Result::unwrap);
    let has_ended = |line: &String| line.contains("\"event\":\"progress\"") && line.contains("\"ended\":");
    let ended = lines.find(has_ended).expect("an epoch ended");
    page.assert("", &ended, "run --json");
    let since = Instant::now();
    let running = loop {
        let shown = sandbox.json("show --json");
        if shown["running"][0]["curve"].as_array().is_some_and(|curve| !curve.is_empty()) {
            break shown;
        }
        assert!(since.elapsed() < Duration::from_secs(120), "{shown}");
        thread::sleep(Duration::from_millis(100));
    };
    page.assert("pipe-show", &running.to_string(), "show --json");
    assert_eq!((&running["status"], &running["open"]["running"]), (&"running".into(), &true.into()));
    assert_eq!(
        (&running["running"][0]["node"], &running["running"][0]["progress"]["unit"]),
        (&"train".into(), &"images".into())
    );
    for (section, command) in [("pipe-studies", "studies --json"), ("pipe-show-node", "show data --json")] {
        page.assert(section, &sandbox.pipe(command).ok().out, command);
    }
    kill_process_group(Pid::from_child(&run), Signal::INT).unwrap();
    let rest: Vec<_> = lines.collect();
    assert_eq!(run.wait().unwrap().code(), Some(130));
    page.assert("", &rest.join("\n"), "run --json, interrupted");
    let ends: Vec<Value> = rest.iter().rev().take(2).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&ends[0]["event"], &ends[1]["how"]), (&"interrupted".into(), &"interrupted".into()), "{ends:?}");
    let stopped = sandbox.json("show --json");
    page.assert("pipe-show", &stopped.to_string(), "show --json");
    assert_eq!((&stopped["status"], &stopped["open"]["running"]), (&"stopped".into(), &false.into()));
    assert!(stopped["running"].is_null() && stopped["open"]["parts"]["train"] == 1, "{stopped}");
    page.assert("pipe-studies", &sandbox.pipe("studies --json").ok().out, "studies --json");
}

#[test]
fn a_search_that_is_given_up_and_a_run_that_differs_are_documented() {
    let page = Page::read();
    let sandbox = Sandbox::with(
        r#"Study(name: "killed", seed: 1, stages: [
            ("search", Search(trials: 9, lag: 2, sampler: Random, maximise: Best("score"), space: {"x": uniform(0, 1)},
                trial: Command(run: ["./run.sh", "{hp.x}", "{report}"], files: ["run.sh"], reports: Lines))),
        ])"#,
    );
    sandbox.write("run.sh", "#!/bin/sh\necho out of memory\nkill -9 $$\n");
    fs::set_permissions(sandbox.path("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    let output = sandbox.output(sandbox.command("run --json --jobs 1").env("PATH", "/usr/bin:/bin"));
    page.assert("", &output.out, "run --json");
    let given_up = output
        .out
        .lines()
        .find(|line| line.contains("\"event\":\"given_up\""))
        .unwrap_or_else(|| panic!("{}{}", output.out, output.err));
    let given_up: Value = serde_json::from_str(given_up).unwrap();
    assert_eq!((&given_up["search"], &given_up["trials"]), (&"search".into(), &2.into()));

    let sandbox = Sandbox::after_run();
    // It writes the lock file.
    sandbox.run("").ok();
    let output = sandbox.pipe("run --json --locked --set search.trials=2");
    page.assert("", &output.out, "run --json --locked");
    assert!(
        output.out.contains("\"event\":\"differs\"") && output.out.contains("\"event\":\"locked\""),
        "{}",
        output.out
    );
}
