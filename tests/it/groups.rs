//! Stages that one `ForEach` wrote: their names have a slash, alone and as a group, wherever a node is named.

use crate::sandbox::{Sandbox, TINY, names, text};

/// [`TINY`] with two copies of everything after the data.
fn copies() -> String {
    let copied = [
        (
            "(\"flip\", Augment(data: \"data\", policy: [RandomFlip(0.5)])),",
            "(\"flip/{p}\", ForEach(p: [0.5, 1.0], Augment(data: \"data\", policy: [RandomFlip(\"{p}\")]))),",
        ),
        ("(\"search\", Search(", "(\"search/{p}\", ForEach(p: [0.5, 1.0], Search("),
        ("augment: \"flip\"", "augment: \"flip/{p}\""),
        ("            ),\n        )),", "            ),\n        ))),"),
        (
            "(\"retrain_best\", Retrain(of: \"search\", epochs: 2, keep: [Best, Last])),",
            "(\"best/{p}\", ForEach(p: [0.5, 1.0], Retrain(of: \"search/{p}\", epochs: 2, keep: [Best, Last]))),",
        ),
        (
            "(\"test\", Evaluate(of: \"retrain_best\", split: Test)),",
            "(\"test/{p}\", ForEach(p: [0.5, 1.0], Evaluate(of: \"best/{p}\", split: Test))),",
        ),
        (
            "(\"visualize_filters\", VisualizeFilters(of: \"retrain_best\", steps: 3)),",
            "(\"filters/{p}\", ForEach(p: [0.5, 1.0], VisualizeFilters(of: \"best/{p}\", steps: 3))),",
        ),
        ("trials: 3", "trials: 2"),
    ];
    copied.iter().fold(TINY.to_owned(), |text, (old, new)| {
        assert_eq!(text.matches(old).count(), 1, "{old}");
        text.replace(old, new)
    })
}

#[test]
fn stages_with_a_slash_in_their_names_are_run_shown_and_exported() {
    let sandbox = Sandbox::with(&copies());
    let part = sandbox.run("--stage flip --stage search/0.5/propose/0").ok();
    assert_eq!(part.nodes("executed"), names(["raw", "data", "flip/0.5", "flip/1", "search/0.5/propose/000"]));
    let ran = sandbox.run("").ok();
    let hash = ran.hash();
    assert!(ran.nodes("reused").is_superset(&part.nodes("executed")));
    // The lock file has them, and nothing differs.
    assert!(sandbox.run("--locked").ok().nodes("executed").is_empty());
    let again = sandbox.run("--rerun flip --rerun best/1").ok();
    assert_eq!((again.hash(), again.nodes("executed")), (hash, names(["best/1", "flip/0.5", "flip/1"])));

    let ok = |args: &str| sandbox.pipe(args).ok().out;
    for (args, said) in [
        ("show search/0.5/train/1", "search/0.5/train/001"),
        ("show search/1/select", "search/1/select"),
        ("show flip/0.5", "flip/0.5"),
        ("show best/1", "best/1"),
        ("trials", "search/0.5"),
        ("why flip", "flip/1 would be reused"),
        ("why search/1/train/0", "search/1/train/000 would be reused"),
        ("why test/0.5 --study tiny", "test/0.5"),
        ("logs best/0.5", ""),
        ("cat flip/1/policy.json", "RandomFlip"),
        ("plot curves --search search/1", "<svg"),
        ("plot architecture search/1/train/0", "<svg"),
        ("plot architecture best/0.5", "<svg"),
        ("run --check flip", "2 equal"),
        ("gc --dry-run", ""),
    ] {
        let found = sandbox.pipe(args).ok();
        assert!(found.out.contains(said) || found.err.contains(said), "{args}: {}{}", found.out, found.err);
    }
    assert_eq!(sandbox.json("show search/1/train/0 --json")["part_of"], "search/1");
    for (args, said) in [
        ("show flip", "did you mean `flip/0.5` or `flip/1`?"),
        ("run --stage flips", "did you mean `flip`?"),
        ("run --set flip/1.policy=[]", "`flip/1` is written as `flip/{p}`"),
    ] {
        let found = sandbox.pipe(args);
        assert!(found.code == Some(2) && found.err.contains(said), "{args}: {}{}", found.out, found.err);
    }

    ok("export --tensorboard events");
    ok("export best/0.5/best/weights.safetensors weights");
    ok("export --onnx search/1/train/1 model.onnx");
    ok("export filters/1 filters");
    assert!(sandbox.path("weights").is_file() && sandbox.path("model.onnx").is_file());
    // A folder for the name of the study, and in it one for its hash.
    let only = |folder: &std::path::Path| std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let study = only(&only(&sandbox.path("events")));
    for run in ["search/0.5/train/000", "search/1/train/001", "best/0.5", "filters/1"] {
        assert!(study.join(run).is_dir(), "{run}");
    }
    let report = sandbox.path(text(&ran.study()["report"]).replace("SANDBOX/", ""));
    let page = std::fs::read_to_string(&report).unwrap();
    assert!(page.contains("search/0.5") && page.contains("test/1"));
    assert!(report.parent().unwrap().join("pictures/filters/0.5").is_dir());

    // Another value is another stage, and the rest stays.
    sandbox.edit("(\"flip/{p}\", ForEach(p: [0.5, 1.0]", "(\"flip/{p}\", ForEach(p: [0.5, 1.0, 0.25]");
    assert_eq!(sandbox.run("").ok().nodes("executed"), names(["flip/0.25"]));
    assert!(sandbox.pipe("diff tiny~1 tiny").out.contains("flip/0.25: absent"));
    let set = sandbox.output(sandbox.command("run --plan --set").arg("flip/{p}.policy=[]")).would_run();
    assert!(set.out.contains("will run  flip/0.5") && set.out.contains("will run  flip/0.25"), "{}", set.out);
}

#[test]
fn the_stages_of_a_for_each_written_out_are_the_same_study() {
    let run = |flips: &str| {
        let flip = "        (\"flip\", Augment(data: \"data\", policy: [RandomFlip(0.5)])),\n";
        let head = TINY.split(flip).next().unwrap();
        Sandbox::with(&format!("{head}{flips}])")).run("").ok().hash()
    };
    let augment = |p: &str| format!("Augment(data: \"data\", policy: [RandomFlip({p})])");
    let each = run(&format!("(\"flip-{{p}}\", ForEach(p: [0, 1], {}))", augment("\"{p}\"")));
    assert_eq!(each, run(&format!("(\"flip-1\", {}), (\"flip-0\", {})", augment("1.0"), augment("0.0"))));
}
