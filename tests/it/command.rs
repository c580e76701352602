//! Programs of the user's own as stages of a study: what a check finds, what an edited script changes, and how they fail.

use std::{collections::BTreeMap, fs, thread, time::Duration};

use serde_json::Value;

use crate::sandbox::{Output, Sandbox, text};

const SCRIPT: &str = r#"set -e
case $1 in
    plain) echo fine > $2/m ;;
    time) date +%s%N > $2/m ;;
    threads) echo $N > $2/m ;;
    steps)
        # $3: epochs, $4: state, $5: report, $6: what differs
        done=0
        if [ -f $4/n ]; then done=$(cat $4/n); fi
        [ $done -gt 0 ] && [ $6 = resume ] && echo again >> $4/log
        while [ $done -lt $3 ]; do
            done=$((done + 1))
            if [ $6 = schedule ]; then echo $done of $3 >> $4/log; else echo $done >> $4/log; fi
            echo "{\"epoch\": $done, \"v\": $done}" >> $5
            echo $done > $4/new
            mv $4/new $4/n
            sleep 0.2
        done
        cp $4/log $2/m ;;
    wait)
        while [ ! -f $3/go ]; do sleep 0.05; done
        echo one > $2/m ;;
    dies)
        # An error that passes by, after one step.
        if [ -f $3/n ]; then echo went on > $2/m; exit 0; fi
        echo 1 > $3/n
        exit 1 ;;
    copy)
        cat $3 > $2/m
        echo "{\"epoch\": 1, \"v\": $5}" >> $4 ;;
    fail) echo "no module named $3"; exit ${4:-1} ;;
    peek) cat "$3" > $2/m ;;
esac
"#;

/// Returns a folder with a study of these stages, whose programs are the shell with [`SCRIPT`].
fn study(stages: &str) -> Sandbox {
    let sandbox =
        Sandbox::with(&format!("Study(name: \"own\", seed: 1, commands: (files: [\"run.sh\"]), stages: [{stages}])"));
    sandbox.write("run.sh", SCRIPT);
    sandbox
}

/// Returns a command: `("name", Command(..))`.
fn stage(name: &str, words: &[&str], more: &str) -> String {
    let words: String = words.iter().map(|word| format!(", \"{word}\"")).collect();
    format!("(\"{name}\", Command(run: [\"/bin/sh\", \"run.sh\"{words}]{more})),")
}

fn pipe(sandbox: &Sandbox, args: &str) -> Output {
    sandbox.output(sandbox.command(args).env("PATH", "/usr/bin:/bin"))
}

#[test]
fn a_check_says_in_which_way_a_program_gives_other_outputs() {
    let outputs = ", outputs: [\"m\"]";
    let steps = |name: &str| {
        let words = ["steps", "{out}", "{epochs}", "{state}", "{report}", name];
        stage(name, &words, ", outputs: [\"m\"], reports: Lines, epochs: 4")
    };
    let sandbox = study(
        &[
            stage("plain", &["plain", "{out}"], outputs),
            stage("time", &["time", "{out}"], outputs),
            stage("free", &["time", "{out}"], ", outputs: [\"m\"], claim: Impure, env: {\"A\": \"1\"}"),
            stage("threads", &["threads", "{out}"], ", outputs: [\"m\"], env: {\"N\": \"{threads}\"}"),
            steps("steady"),
            steps("resume"),
            steps("schedule"),
        ]
        .concat(),
    );
    pipe(&sandbox, "run").ok();
    let checked = pipe(&sandbox, "run --check --json");
    assert_eq!(checked.code, Some(3), "{}{}", checked.out, checked.err);
    let mut found = BTreeMap::new();
    for line in checked.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        if line["event"] == "checked" && !text(&line["node"]).contains('/') {
            let ways = line["others"].as_array().into_iter().flatten().map(|other| &other["way"]);
            let ways: Vec<_> = [&line["way"]].into_iter().chain(ways).filter_map(Value::as_str).collect();
            found.insert(
                text(&line["node"]),
                format!("{} {}", text(&line["verdict"]), ways.join(" ")).trim().to_owned(),
            );
        }
    }
    let expected = [
        ("free", "unclaimed"),
        ("plain", "equal"),
        ("resume", "different stopped longer"),
        ("schedule", "different longer"),
        ("steady", "equal"),
        ("threads", "different elsewhere"),
        ("time", "different straight"),
    ];
    assert_eq!(found, expected.map(|(node, verdict)| (node.to_owned(), verdict.to_owned())).into());

    // What was found is kept beside the results, and goes with them.
    let claim = |node: &str| {
        let shown = pipe(&sandbox, &format!("show {node}")).ok().out;
        shown.lines().find_map(|line| line.strip_prefix("claim")).unwrap().trim().to_owned()
    };
    assert_eq!(
        claim("plain"),
        "the same bytes: checked (run again; run in another folder with another number of threads)"
    );
    assert_eq!(claim("schedule"), "the same bytes: not if it is first run for half of its epochs");
    assert_eq!(claim("free"), "nothing");
    let claims = |sandbox: &Sandbox| {
        let shown = pipe(sandbox, "show").ok().out;
        shown.lines().find_map(|line| line.strip_prefix("claims")).unwrap().trim().to_owned()
    };
    assert_eq!(
        claims(&sandbox),
        "broken by resume, schedule, threads and 1 more; 2 are checked; nothing is claimed of free"
    );
    pipe(&sandbox, "run --rerun plain --rerun steady --rerun time").ok();
    assert_eq!(claim("plain"), "the same bytes: claimed, not checked");
    let sentence = "broken by resume, schedule, threads; 3 program results are claimed, not checked (`pipe run --check` checks them); \
                    nothing is claimed of free";
    assert_eq!(claims(&sandbox), sentence);
    pipe(&sandbox, "report --output report.html").ok();
    let report = fs::read_to_string(sandbox.path("report.html")).unwrap();
    assert!(report.contains("3 program results are claimed, not checked"), "{report}");
    // A claim that nobody has checked is told from another one that somebody has.
    let checked = pipe(&sandbox, "run --check plain --set plain.claim=Close(1e-5)");
    assert_eq!(checked.code, Some(0), "{}{}", checked.out, checked.err);
    assert_eq!(claim("plain"), "the same bytes: claimed, not checked");
}

#[test]
fn a_program_that_ends_with_an_error_goes_on_from_its_state() {
    let sandbox = study(&stage("dies", &["dies", "{out}", "{state}"], ", outputs: [\"m\"]"));
    let output = pipe(&sandbox, "run");
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    let hint = "the next run goes on from the state that it left; with `--rerun` it starts afresh";
    assert!(output.err.contains(hint), "{}", output.err);
    assert_eq!(pipe(&sandbox, "run --rerun dies").code, Some(1), "it starts afresh");
    pipe(&sandbox, "run").ok();
    assert_eq!(pipe(&sandbox, "cat dies/m").ok().out, "went on\n");
    assert!(
        !fs::read_dir(sandbox.path(".pipe/work")).is_ok_and(|left| left.count() > 0),
        "nothing is left to go on from"
    );
}

#[test]
fn a_retraining_may_have_other_inputs_than_its_trial() {
    let more = "(\"more\", Command(run: [\"/bin/sh\", \"-c\", \"echo longer > $0/m\", \"{out}\"], outputs: [\"m\"])),";
    let search = "(\"search\", Search(trials: 2, sampler: Random, minimise: Last(\"v\"), space: {\"x\": uniform(0, 1)}, \
                  trial: Command(run: [\"/bin/sh\", \"run.sh\", \"copy\", \"{out}\", \"{in.d}\", \"{report}\", \"{hp.x}\"], \
                  inputs: {\"d\": \"data/m\"}, outputs: [\"m\"], reports: Lines))),";
    let best = "(\"best\", Retrain(of: \"search\", inputs: {\"d\": \"more/m\"})),";
    let sandbox = study(&[&stage("data", &["plain", "{out}"], ", outputs: [\"m\"]"), more, search, best].concat());
    pipe(&sandbox, "run").ok();
    let output = |path: &str| pipe(&sandbox, &format!("cat {path}")).ok().out;
    assert_eq!((output("search/command/0/m").as_str(), output("best/m").as_str()), ("fine\n", "longer\n"));
}

#[test]
fn the_surroundings_move_no_hash() {
    let outputs = ", outputs: [\"m\"], pass_env: [\"TOKEN\"], environment: [Says([\"/bin/sh\", \"-c\", \"echo 1\"])]";
    let hash = |change: &dyn Fn(&mut std::process::Command)| {
        let sandbox = study(&stage("plain", &["plain", "{out}"], outputs));
        let mut command = sandbox.command("run --json");
        command.env("PATH", "/usr/bin:/bin");
        change(&mut command);
        sandbox.output(&mut command).events().hash()
    };
    let usual = hash(&|_| {});
    let elsewhere = tempfile::tempdir().unwrap();
    for (name, value) in [
        ("PATH", "/bin:/usr/bin:/nowhere"),
        ("HOME", "/nowhere"),
        ("USER", "somebody"),
        ("TMPDIR", elsewhere.path().to_str().unwrap()),
        ("LANG", "de_DE.UTF-8"),
        ("TZ", "Asia/Tokyo"),
        ("TOKEN", "secret"),
        ("OMP_NUM_THREADS", "7"),
        ("CUDA_VISIBLE_DEVICES", "3"),
    ] {
        let hash = hash(&|command| {
            command.env(name, value);
        });
        assert_eq!(hash, usual, "{name}={value}");
    }
    for args in [["--jobs", "1"], ["--jobs", "3"]] {
        let hash = hash(&|command| {
            command.args(args);
        });
        assert_eq!(hash, usual, "{args:?}");
    }
}

#[test]
fn an_absolute_path_of_this_machine_is_told() {
    let here = tempfile::tempdir().unwrap();
    let path = here.path().join("tool.txt");
    fs::write(&path, "").unwrap();
    let sandbox = study(&stage("plain", &["plain", "{out}", path.to_str().unwrap()], ", outputs: [\"m\"]"));
    let output = pipe(&sandbox, "run");
    let told = format!("`{}` in the words of a command is part of its key", path.display());
    assert_eq!(output.err.matches(&told).count(), 1, "{}", output.err);
    // The shell is in the same place on every machine.
    assert!(!output.err.contains("`/bin/sh` in the words"), "{}", output.err);
}

#[test]
fn a_script_that_is_edited_during_a_run_counts_for_the_next_one() {
    let go = tempfile::tempdir().unwrap();
    let wait = ["wait", "{out}", go.path().to_str().unwrap()];
    // Files of its own, which are stored for this stage alone.
    let after = ", outputs: [\"m\"], inputs: {\"a\": \"first/m\"}, files: [\"run.sh\", \"then.txt\"]";
    let sandbox = study(
        &[stage("first", &wait, ", outputs: [\"m\"], sandbox: Folder"), stage("then", &["plain", "{out}"], after)]
            .concat(),
    );
    sandbox.write("then.txt", "");
    let running = {
        let mut command = sandbox.command("run --jobs 1");
        command.env("PATH", "/usr/bin:/bin").stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        command.spawn().unwrap()
    };
    // It has begun when the working folder of the first program is there.
    while !sandbox.path(".pipe/work").exists() {
        thread::sleep(Duration::from_millis(10));
    }
    sandbox.write("run.sh", &SCRIPT.replace("fine", "edited"));
    sandbox.write("then.txt", "edited");
    fs::write(go.path().join("go"), "").unwrap();
    assert!(running.wait_with_output().unwrap().status.success());
    let output = |sandbox: &Sandbox| pipe(sandbox, "cat then/m").ok().out;
    assert_eq!(output(&sandbox), "fine\n");
    pipe(&sandbox, "run").ok();
    assert_eq!(output(&sandbox), "edited\n");
}

#[test]
fn a_search_counts_caught_codes_as_worst_and_stops_when_all_trials_fail_alike() {
    let search = |code: &str, more: &str| {
        format!(
            "(\"search\", Search(trials: 9, lag: 2, sampler: Random, minimise: Last(\"v\"), space: {{\"x\": uniform(0, 1)}}, \
             trial: Command(run: [\"/bin/sh\", \"run.sh\", \"fail\", \"{{out}}\", \"{{hp.x}}\", \"{code}\", \"{{report}}\"], \
             reports: Lines{more}))),"
        )
    };
    let sandbox = study(&search("3", ", catch: [3]"));
    let output = pipe(&sandbox, "run");
    // Every trial has a result, and none can be selected.
    assert_eq!(pipe(&sandbox, "trials").ok().out.matches("failed").count(), 9, "{}{}", output.out, output.err);
    let sandbox = study(&search("1", ""));
    let output = pipe(&sandbox, "run");
    assert_eq!(output.code, Some(1));
    assert!(
        output.err.contains("no module named") && output.err.contains("ended with the exit code 1"),
        "{}",
        output.err
    );
    assert_eq!(output.err.matches("    skipped  ").count(), 1, "what was skipped is one line: {}", output.err);
    let failed = (output.out + &output.err).matches("ended with the exit code 1").count();
    assert!(failed < 6, "{failed} trials failed before the search stopped");
}

#[test]
fn a_file_that_is_not_declared_is_not_there_and_the_error_names_it() {
    let sandbox = study(&stage(
        "peek",
        &["peek", "{out}", "secret.csv"],
        ", outputs: [\"m\"], files: [\"run.sh\", \"secret.csv\"]",
    ));
    sandbox.write("secret.csv", "1,2\n");
    pipe(&sandbox, "run").ok();
    // The name is put together, so that no word is a file.
    let sandbox = study(&stage("peek", &["peek", "{out}", "./{seed}/../secret.csv"], ", outputs: [\"m\"]"));
    sandbox.write("secret.csv", "1,2\n");
    let output = pipe(&sandbox, "run");
    assert_eq!(output.code, Some(1), "{}", output.err);
    assert!(output.err.contains("secret.csv"), "{}", output.err);
}
