//! The output of the other commands.

use std::fs;

use insta::assert_snapshot;

use crate::sandbox::{NODES, Sandbox, base, text};

#[test]
fn init_writes_a_study_that_can_be_run_and_overwrites_nothing() {
    let sandbox = Sandbox::new();
    fs::remove_file(sandbox.path("pipeline.ron")).unwrap();
    assert_snapshot!(sandbox.pipe("init").shown(), @"
    ! wrote pipeline.ron; run it with `pipe run`
    exit 0
    ");
    let plan = sandbox.pipe("run --plan").would_run();
    assert!(plan.out.contains("may run  visualize_filters  (first run)\n"), "{}", plan.out);
    sandbox.write("pipeline.ron", "mine");
    assert_snapshot!(sandbox.pipe("init").shown(), @"
    ! error: `pipeline.ron` exists already
    !   hint: `--force` overwrites it
    exit 2
    ");
    assert_eq!(fs::read_to_string(sandbox.path("pipeline.ron")).unwrap(), "mine");
    sandbox.pipe("init --force").ok();
    sandbox.pipe("init other.ron").ok();
    assert_eq!(fs::read(sandbox.path("pipeline.ron")).unwrap(), fs::read(sandbox.path("other.ron")).unwrap());
}

#[test]
fn studies_are_listed_with_their_history() {
    let sandbox = Sandbox::after_run();
    sandbox.run("--stage raw").ok();
    sandbox.run("--stage raw --set name=other").ok();
    assert_snapshot!(sandbox.pipe("studies").shown(), @"
      other  SHORT  MOMENT      1 nodes  complete
      tiny   SHORT  MOMENT     17 nodes  complete  best 1.00 %  test 2.00 %
      tiny   SHORT  MOMENT      1 nodes  complete
    exit 0
    ");
    let studies = sandbox.json("studies --json");
    assert_eq!((&studies[1]["name"], text(&studies[1]["study"])), (&"tiny".into(), base().hash.clone()));
}

#[test]
fn a_study_is_shown_by_name_hash_or_prefix() {
    let sandbox = Sandbox::after_run();
    let shown = sandbox.pipe("show").shown();
    assert_snapshot!(shown, @"
      name      tiny
      study     DIGEST
      status    complete
      pipeline  DIGEST
      test      read once in 1 study

      best trial: search/train/000, valid.fine_accuracy 1.00 %
      trials: 3 completed
      retrain_best: valid.fine_accuracy 1.00 %
      test: fine accuracy 2.00 % (95 % interval 0.55 to 7.00 %; chance 1.00 %; 100 images) by test
      test: coarse accuracy 4.00 % (95 % interval 1.57 to 9.84 %; chance 5.00 %; 100 images) by test

      node                stage              outcome  key           tree          score
      data                decode             done     SHORT  SHORT
      flip                augment            done     SHORT  SHORT
      raw                 fetch              done     SHORT  SHORT
      retrain_best        train              done     SHORT  SHORT  valid.fine_accuracy 1.00 %
      search/history/000  history            done     SHORT  SHORT
      search/history/001  history            done     SHORT  SHORT
      search/history/002  history            done     SHORT  SHORT
      search/propose/000  propose            done     SHORT  SHORT
      search/propose/001  propose            done     SHORT  SHORT
      search/propose/002  propose            done     SHORT  SHORT
      search/select       select             done     SHORT  SHORT
      search/split/002    split              done     SHORT  SHORT
      search/train/000    train              done     SHORT  SHORT  valid.fine_accuracy 1.00 %
      search/train/001    train              done     SHORT  SHORT  valid.fine_accuracy 1.00 %
      search/train/002    train              done     SHORT  SHORT  valid.fine_accuracy 1.00 %
      test                evaluate           done     SHORT  SHORT
      visualize_filters   visualize_filters  done     SHORT  SHORT
    exit 0
    ");
    let hash = &base().hash;
    for what in ["tiny", hash, &hash[..8]] {
        assert_eq!(sandbox.pipe(&format!("show {what}")).shown(), shown, "{what}");
    }
    assert_eq!(sandbox.json("show --json")["nodes"].as_array().unwrap().len(), NODES);
}

#[test]
fn a_node_is_shown_with_its_action_outputs_and_provenance() {
    let sandbox = Sandbox::after_run();
    let mut flip = sandbox.pipe("show flip");
    let (before, provenance) = flip.out.split_once("provenance\n").unwrap();
    assert!(provenance.contains("\n  seconds "), "{provenance}");
    flip.out = before.to_owned();
    assert_snapshot!(flip.shown(), @"
      node     flip
      study    DIGEST
      stage    augment, version 1
      outcome  done
      key      DIGEST
      tree     DIGEST

      parameters
        (policy: [RandomFlip(0.5)])

      inputs
        train  SHORT  data/train.safetensors

      outputs
        policy.json  SHORT   156 B
        preview.png  SHORT  152 kB

    exit 0
    ");
    let by_end = sandbox.pipe("show train/1").ok().out;
    assert_eq!(by_end, sandbox.pipe("show search/train/001").ok().out);
    assert!(by_end.contains("\n  proposal    "), "{by_end}");
}

#[test]
fn unknown_names_are_refused_with_a_suggestion() {
    let sandbox = Sandbox::after_run();
    assert_snapshot!(sandbox.pipe("show flop").shown(), @"
    ! error: there is no node `flop` in this study: did you mean `flip`?
    exit 2
    ");
    assert_snapshot!(sandbox.pipe("show --study tinny flip").shown(), @"
    ! error: there is no study `tinny`
    !   hint: did you mean `tiny`?
    exit 2
    ");
    assert_snapshot!(sandbox.pipe("trials tinny").shown(), @"
    ! error: there is no study `tinny`
    !   hint: did you mean `tiny`?
    exit 2
    ");
    assert_snapshot!(sandbox.pipe("diff tiny tiny~1").shown(), @"
    ! error: there is no study `tiny~1`: the store has 1 of that name
    !   hint: it is `tiny`; `pipe studies` lists all
    exit 2
    ");
    let ambiguous = sandbox.pipe("show 000").err;
    assert!(ambiguous.contains("search/history/000") && ambiguous.contains("search/train/000"), "{ambiguous}");
    let empty = Sandbox::new();
    for command in ["studies", "show", "trials", "gc", "verify", "report", "export a b", "cat a", "diff a b"] {
        let output = empty.pipe(command);
        assert_eq!(output.code, Some(2), "{command}: {}", output.err);
        assert!(!empty.path(".pipe").exists(), "{command} makes no store");
    }
}

#[test]
fn trials_are_a_table_csv_or_json() {
    let sandbox = Sandbox::after_run();
    let table = sandbox.pipe("trials").ok().out;
    let header: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(
        header,
        ["trial", "valid.fine_accuracy", "lr_rate_mult"],
        "what varies; every trial has the same activation"
    );
    let wide = sandbox.pipe("trials --wide").ok().out;
    let header: Vec<_> = wide.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(
        header,
        ["trial", "status", "valid.fine_accuracy", "epoch", "epochs", "parameters", "by", "activation", "lr_rate_mult"],
        "by name: three trials are too few for importances"
    );
    let columns = sandbox.pipe("trials --columns epochs,end.valid.loss --all").ok().out;
    let header: Vec<_> = columns.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["trial", "valid.fine_accuracy", "epochs", "end.valid.loss"]);
    assert_eq!((table.lines().count(), table.lines().filter(|line| line.starts_with("* ")).count()), (4, 1));
    let csv = sandbox.pipe("trials --csv").ok().out;
    assert_eq!(csv.lines().count(), 4);
    assert!(csv.starts_with("search,trial,node,status,best,metric,value,"), "{csv}");
    let json = sandbox.json("trials --json");
    assert_eq!(json.as_array().unwrap().len(), 3);
    assert_eq!((&json[1]["node"], &json[1]["status"]), (&"search/train/001".into(), &"completed".into()));

    for (by, falls) in [("lr_rate_mult", false), ("-lr_rate_mult", true)] {
        let sorted = sandbox.json(&format!("trials --json --sort={by}"));
        let mut rates: Vec<_> = sorted
            .as_array()
            .unwrap()
            .iter()
            .map(|trial| trial["hyperparameters"]["lr_rate_mult"].as_f64().unwrap())
            .collect();
        if falls {
            rates.reverse();
        }
        assert!(rates.is_sorted() && rates[0] < rates[2], "{by}: {rates:?}");
    }
    let best = sandbox.json("trials --json --sort valid.fine_accuracy");
    let values: Vec<_> = best.as_array().unwrap().iter().map(|trial| trial["value"].as_f64().unwrap()).collect();
    assert!(values.iter().rev().is_sorted(), "best first: {values:?}");
    let unknown = sandbox.pipe("trials --sort lr_rate_mul");
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.err.contains("lr_rate_mult"), "{}", unknown.err);
}

#[test]
fn outputs_are_exported_as_plain_files_and_nothing_is_overwritten() {
    let sandbox = Sandbox::after_run();
    assert_snapshot!(sandbox.pipe("export retrain_best/best/weights.safetensors w.safetensors").shown(), @"
    ! w.safetensors
    exit 0
    ");
    let bytes = fs::read(sandbox.path("w.safetensors")).unwrap();
    assert_eq!(blake3::hash(&bytes).to_string(), sandbox.digest("retrain_best", "best/weights.safetensors"));
    assert_snapshot!(sandbox.pipe("export retrain_best/history.csv w.safetensors").shown(), @"
    ! error: `w.safetensors` exists already
    !   hint: `--force` overwrites it
    exit 2
    ");
    assert_eq!(fs::read(sandbox.path("w.safetensors")).unwrap(), bytes);
    assert_snapshot!(sandbox.pipe("export retrain_best net").shown(), @"
    ! net/architecture.json
    ! net/best/weights.safetensors
    ! net/histograms.safetensors
    ! net/history.csv
    ! net/last/weights.safetensors
    ! net/score.json
    ! net/trial.json
    exit 0
    ");
    assert_snapshot!(sandbox.pipe("export retrain_best net").shown(), @"
    ! net is already there
    exit 0
    ");
    assert_snapshot!(sandbox.pipe("export train/1 net").shown(), @"
    ! error: `net` exists already
    !   hint: `--force` overwrites it
    exit 2
    ");
    assert_snapshot!(sandbox.pipe("export train/1/history.csv net").shown(), @"
    ! error: `net/history.csv` exists already
    !   hint: `--force` overwrites it
    exit 2
    ");
    assert_snapshot!(sandbox.pipe("export flip/polcy.json .").shown(), @"
    ! error: `flip` has no output `polcy.json`
    !   hint: did you mean `policy.json`?
    exit 2
    ");
    // A copy is independent of the store.
    fs::write(sandbox.path("net/score.json"), "mine").unwrap();
    sandbox.pipe("verify").ok();
}

#[test]
fn cat_writes_an_output_or_any_object() {
    let sandbox = Sandbox::after_run();
    let by_path = sandbox.pipe("cat search/train/001/score.json").ok().out;
    let digest = sandbox.digest("search/train/001", "score.json");
    assert_eq!(by_path, sandbox.pipe(&format!("cat {digest}")).ok().out);
    assert_eq!(by_path, sandbox.pipe(&format!("cat {}", &digest[..10])).ok().out);
    let score: serde_json::Value = serde_json::from_str(&by_path).unwrap();
    assert_eq!(score["status"], "completed");
    assert_eq!(sandbox.pipe("cat flip").code, Some(2));
}

#[test]
fn a_study_does_not_differ_from_itself() {
    let sandbox = Sandbox::after_run();
    let same = sandbox.pipe("diff tiny tiny").ok();
    assert_eq!(
        (same.out.as_str(), same.err.as_str()),
        ("", "nothing differs: both are study SHORT\n".replace("SHORT", &base().hash[..12]).as_str())
    );
    assert_eq!(sandbox.pipe(&format!("diff tiny {}", &base().hash[..6])).code, Some(0));
}

#[test]
fn a_report_is_reproduced_byte_for_byte() {
    let sandbox = Sandbox::after_run();
    let events = sandbox.run("").ok();
    let path = text(&events.study()["report"]).replace("SANDBOX", sandbox.path("").to_str().unwrap());
    let page = fs::read(sandbox.path(&path)).unwrap();
    let folder = sandbox.path(&path);
    fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    sandbox.pipe("report").ok();
    assert!(fs::read(sandbox.path(&path)).unwrap() == page, "the same page");
    let html = String::from_utf8(page).unwrap();
    assert!(html.contains(&base().hash));
    assert!(!html.contains("http://") && !html.contains("https://"), "it needs no network");
}

#[test]
fn an_action_can_be_executed_given_only_its_key() {
    let sandbox = Sandbox::after_run();
    let node = sandbox.node("search/train/001");
    let (key, tree) = (text(&node["key"]), text(&node["tree"]));
    assert_eq!(sandbox.pipe(&format!("exec {key}")).ok().out, format!("{tree}\n"), "known");
    fs::remove_file(sandbox.path(format!(".pipe/actions/{}/{}.json", &key[..2], &key[2..]))).unwrap();
    assert_eq!(sandbox.pipe(&format!("exec {} --fresh", &key[..12])).ok().out, format!("{tree}\n"), "executed");
    assert_eq!(sandbox.run("").ok().nodes("executed").len(), 0);
}

#[cfg(not(feature = "remote"))]
#[test]
fn a_build_without_remotes_says_how_to_get_them() {
    let sandbox = Sandbox::after_run();
    for args in ["push", "pull lab/tiny", "remote list", "studies --remote lab", "run --remote lab"] {
        let output = sandbox.pipe(args);
        assert_eq!(output.code, Some(2), "{args}");
        let expected = "error: this build of `pipe` has no remotes\n  hint: build one that has: `cargo install";
        assert!(output.err.starts_with(expected), "{args}: {}", output.err);
    }
}

#[test]
fn the_help_of_every_command_has_examples_and_exit_codes_are_explained_once() {
    let sandbox = Sandbox::new();
    let commands = commands(&sandbox);
    let expected = "run why logs init devices digest studies tag note show trials importance import-trials diff remote push pull gc verify report ui plot export cat predict completions man exec help";
    assert_eq!(commands.join(" "), expected);
    for command in commands.iter().filter(|command| *command != "help") {
        for flag in ["-h", "--help"] {
            let help = sandbox.pipe(&format!("{command} {flag}")).ok().out;
            let examples = help.split("Examples:\n").nth(1).unwrap_or_else(|| panic!("{command} {flag} has examples"));
            let is_example = |line: &str| line.starts_with(&format!("  pipe {command}"));
            assert!(examples.lines().all(is_example), "nothing else comes after them: {help}");
            assert!(!help.contains("Exit codes"), "{help}");
        }
    }
    let explained = sandbox.pipe("help exit-codes").ok().out;
    let codes = explained.lines().filter_map(|line| line.split_whitespace().next()?.parse::<u8>().ok());
    assert_eq!(codes.collect::<Vec<_>>(), [0, 1, 2, 3, 10, 75, 130]);
    assert_eq!(sandbox.pipe("exit-codes").ok().out, explained);
    assert!(sandbox.pipe("help").ok().out.contains("`pipe help exit-codes`"));
}

/// Returns the names of all commands, as the help lists them.
fn commands(sandbox: &Sandbox) -> Vec<String> {
    let help = sandbox.pipe("--help").ok().out;
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn each_command_has_a_manual_page() {
    let sandbox = Sandbox::new();
    sandbox.pipe("man pages").ok();
    let mut pages: Vec<_> = fs::read_dir(sandbox.path("pages"))
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    let names = commands(&sandbox).into_iter().filter(|name| name != "help").map(|name| format!("pipe-{name}.1"));
    let mut expected: Vec<_> = names.chain(["pipe.1".to_owned()]).collect();
    expected.sort();
    assert_eq!(pages, expected);
    for page in pages {
        let text = fs::read_to_string(sandbox.path("pages").join(&page)).unwrap();
        let title = format!("\n.TH {} 1 ", page.strip_suffix(".1").unwrap());
        assert!(text.contains(&title) && text.contains("\n.SH NAME\n") && text.contains("Examples:"), "{text}");
    }
    let gc = fs::read_to_string(sandbox.path("pages/pipe-gc.1")).unwrap();
    assert!(gc.contains("\\fB\\-\\-grace\\fR"), "{gc}");
    assert_eq!(sandbox.pipe("man").ok().out, fs::read_to_string(sandbox.path("pages/pipe.1")).unwrap());
}

#[test]
fn a_run_says_what_it_needs_on_the_disk() {
    let sandbox = Sandbox::new();
    let plan = sandbox.pipe("run --plan").would_run();
    assert!(plan.out.contains("\nwhat it needs on disk is known once the data are there\n"), "{}", plan.out);
    let events = sandbox.run("--jobs 2 --stage search").ok();
    let disk = events.all.iter().find(|event| event["event"] == "disk").expect("it is said before the first training");
    let at = |kind: &str| events.all.iter().position(|event| event["event"] == kind || event["node"] == kind).unwrap();
    assert!(at("disk") < at("search/train/000"));
    // Three best and twice the two that run; the weights, the best ones, and two moments. One output each.
    let outputs = disk["outputs"].as_u64().unwrap();
    assert_eq!((disk["checkpoints"].as_u64().unwrap(), disk["unknown"].as_u64()), (outputs / 3 * 4 * 7, Some(0)));
    assert!(disk["free"].as_u64().unwrap() > 0);
    // The estimate of a checkpoint is close to what one takes.
    let one = sandbox.stored("checkpoints").into_iter().map(|path| sandbox.path(".pipe/checkpoints").join(path));
    let found: u64 = one.map(|path| std::fs::metadata(path).unwrap().len()).sum::<u64>() / 3;
    let estimated = outputs / 3 * 4;
    // After one epoch, the best weights are the last ones, and stored once.
    assert!(found > estimated * 3 / 4 && found < estimated * 11 / 10, "{found} instead of {estimated}");
    let plan = sandbox.pipe("run --plan --jobs 2").would_run();
    assert!(plan.out.contains("\nneeds about ") && plan.out.contains(" KiB on disk, "), "{}", plan.out);
    let json = sandbox.pipe("run --plan --json").would_run();
    let last: serde_json::Value = serde_json::from_str(json.out.lines().last().unwrap()).unwrap();
    assert_eq!((&last["event"], last["needed"].as_u64().unwrap() > 0), (&"disk".into(), true));
    let huge = "(base_filters: 4096, first_conv_filters: 4096, fc_units: (8192, 8192))";
    sandbox.edit("(base_filters: 4, first_conv_filters: 4, fc_units: (16, 12))", huge);
    let plan = sandbox.pipe("run --plan").would_run();
    assert!(plan.err.contains("warning: needs about ") && plan.err.contains("`pipe gc`"), "{}{}", plan.out, plan.err);
}
