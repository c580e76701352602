//! Known results are reused. Whether a result is known depends only on the action of the node.

use insta::assert_snapshot;

use std::collections::BTreeSet;

use crate::sandbox::{NODES, Sandbox, base, names};

#[test]
fn a_second_run_executes_nothing_and_writes_nothing() {
    let sandbox = Sandbox::after_run();
    // The store was made in another folder, so the first run here may write the report again. The second must not.
    assert_eq!(sandbox.run("").ok().hash(), base().hash);
    let before = sandbox.listing();
    let again = sandbox.run("").ok();
    assert_eq!(sandbox.listing(), before);
    assert_eq!((again.hash(), again.nodes("reused").len()), (base().hash.clone(), NODES));
}

#[test]
fn the_last_event_is_about_the_study() {
    let sandbox = Sandbox::after_run();
    let events = sandbox.run("").ok();
    let study = events.study().as_object().unwrap();
    let fields: Vec<_> = study.keys().map(String::as_str).collect();
    let expected = [
        "event", "executed", "failed", "findings", "lock", "name", "pictures", "report", "reused", "seconds",
        "skipped", "study",
    ];
    assert_eq!(fields, expected);
    assert_eq!((&study["name"], &study["executed"], &study["reused"]), (&"tiny".into(), &0.into(), &NODES.into()));
    assert_eq!((&study["failed"], &study["skipped"]), (&0.into(), &0.into()));
    assert!(study["seconds"].is_f64() && study["study"].as_str().unwrap().len() == 64);
    for view in ["report", "pictures"] {
        let path = study[view].as_str().unwrap().replace("SANDBOX", sandbox.path("").to_str().unwrap());
        assert!(sandbox.path(&path).exists(), "{path}");
    }
}

#[test]
fn nodes_have_lines_with_reasons_and_trainings_their_scores() {
    let sandbox = Sandbox::new();
    assert_snapshot!(sandbox.pipe("run --jobs 1").shown(), @"
      study tiny DIGEST
    !    executed  raw  (first run)  TIME
    !  WARN the validation split of 0.2 takes 1 of 2 pictures of the class `circle/solid`, and 99 other classes are like it
    !    executed  data  (first run)  TIME
    !    executed  flip  (first run)  TIME
    !    executed  search/train/000  valid.fine_accuracy 1.00 %, the best so far  (first run)  TIME
    !    executed  search/train/001  valid.fine_accuracy 1.00 %  (first run)  TIME
    !    executed  search/train/002  valid.fine_accuracy 1.00 %  (first run)  TIME
    ! warning: the best trial of `search` is no better than chance: valid.fine_accuracy 1.00 %, chance is 1.00 %
    !    executed  retrain_best  valid.fine_accuracy 1.00 %  (first run)  TIME
    !    executed  test  (first run)  TIME
    !    executed  visualize_filters  (first run)  TIME
    ! best trial: search/train/000, valid.fine_accuracy 1.00 %
    ! trials: 3 completed
    ! retrain_best: valid.fine_accuracy 1.00 %
    ! test: fine accuracy 2.00 % (95 % interval 0.55 to 7.00 %; chance 1.00 %; 100 images) by test
    ! test: coarse accuracy 4.00 % (95 % interval 1.57 to 9.84 %; chance 5.00 %; 100 images) by test
    ! 17 executed, 0 reused, 0 failed in TIME
    ! report:   SANDBOX/.pipe/reports/tiny-SHORT/report.html
    ! pictures: SANDBOX/.pipe/reports/tiny-SHORT/pictures
    ! lock:     pipeline.lock
    exit 0
    ");
    // With `-v`, those between the trials have lines as well.
    let verbose = sandbox.pipe("run -v").ok().err;
    for node in ["search/propose/000", "search/history/001", "search/split/002", "search/select"] {
        assert!(verbose.contains(&format!("reused  {node}  (unchanged)")), "{node}: {verbose}");
    }
    assert_snapshot!(sandbox.pipe("run --quiet").shown(), @"
      study tiny DIGEST
    exit 0
    ");
}

#[test]
fn pipelines_with_the_same_meaning_give_the_same_study() {
    let sandbox = Sandbox::after_run();
    let check = |what: &str, pipeline: &str| {
        sandbox.write("pipeline.ron", pipeline);
        let events = sandbox.run("").ok();
        assert_eq!((events.nodes("reused").len(), events.hash()), (NODES, base().hash.clone()), "{what}");
    };
    check(
        "comments and white space",
        &crate::sandbox::TINY.replace(": ", " :\n // a comment\n").replace("),", ") /* another */ ,"),
    );
    check(
        "the order of stages and fields, defaults written out",
        r#"Study(stages: [
            ("visualize_filters", VisualizeFilters(step: 2.0, steps: 3, layers: [], look: Classic, of: "retrain_best")),
            ("test", Evaluate(of: "retrain_best")),
            ("retrain_best", Retrain(keep: [Best, Last], epochs: 2, data: Train, seed: Same, of: "search")),
            ("search", Search(
                trial: Train(
                    optimizer: Adam, learning_rate: 0.001, l2: 0.0007, head: Softmax, coarse_labels_weight: 1,
                    epochs: 1, batch: 16, keep: [Best], augment: "flip", data: "data",
                    model: HyperCnn(fc_units: (16, 12), first_conv_filters: 4, base_filters: 4, bn_momentum: 0.99),
                ),
                space: { "activation": choice(["relu", "elu"]), "lr_rate_mult": loguniform(-0.5, 0.5) },
                maximise: Best("valid.fine_accuracy"), sampler: Tpe(startup: 2, candidates: 48), lag: 2, trials: 3,
            )),
            ("flip", Augment(policy: [RandomFlip(0.5)], normalise: HalfCentred, data: "data")),
            ("data", Decode(validation: Stratified((seed: 0, fraction: 0.2)), format: Cifar100, from: "raw")),
            ("raw", Fetch(Embedded(test: 100, train: 200, name: "shapes100"))),
        ], device: Cpu, seed: 7, name: "tiny")"#,
    );
}

#[test]
fn another_name_gives_the_same_study() {
    let sandbox = Sandbox::after_run();
    sandbox.edit("\"tiny\"", "\"other\"");
    let events = sandbox.run("").ok();
    assert_eq!((events.hash(), events.nodes("executed")), (base().hash.clone(), names([])));
    assert!(sandbox.pipe("diff tiny other").ok().err.starts_with("nothing differs: "));
}

#[test]
fn another_flip_probability_keeps_the_data_and_comes_first_in_a_diff() {
    let sandbox = Sandbox::after_run();
    sandbox.edit("RandomFlip(0.5)", "RandomFlip(0.25)");
    let events = sandbox.run("").ok();
    // Random proposals do not depend on scores.
    let reused = names(["raw", "data", "search/propose/000", "search/propose/001"]);
    assert!(events.nodes("reused").is_superset(&reused), "{:?}", events.nodes("reused"));
    let trained = ["flip", "search/train/000", "search/train/001", "search/train/002", "retrain_best", "test"];
    assert!(events.nodes("executed").is_superset(&names(trained)), "{:?}", events.nodes("executed"));
    assert_eq!(events.why("flip"), "policy[0].RandomFlip 0.5 -> 0.25");

    let diff = sandbox.pipe("diff tiny~1 tiny");
    assert_eq!(diff.code, Some(1), "{}{}", diff.out, diff.err);
    let first = "old  tiny~1\nnew  tiny\n\nInputs that differ\n  flip.policy[0].RandomFlip: 0.5 -> 0.25\n";
    assert!(diff.out.starts_with(first), "{}", diff.out);
    // Nothing else was executed.
    assert_eq!(diff.out.matches(" -> 0.25\n").count(), 1);
    assert!(!diff.out.contains("EQUAL KEYS"), "{}", diff.out);
}

#[test]
fn more_trials_keep_the_first_ones() {
    let sandbox = Sandbox::after_run();
    sandbox.edit("trials: 3", "trials: 4");
    let events = sandbox.run("").ok();
    let search: Vec<_> = events.nodes("executed").into_iter().filter(|node| node.starts_with("search/")).collect();
    let new = ["search/history/003", "search/propose/003", "search/select", "search/split/003", "search/train/003"];
    assert_eq!(search, new);
    assert_eq!(events.nodes("reused").intersection(&names(["raw", "data", "flip"])).count(), 3);
}

#[test]
fn a_longer_retraining_continues_from_its_checkpoint() {
    let with = Sandbox::after_run();
    let without = Sandbox::after_run();
    std::fs::remove_dir_all(without.path(".pipe/checkpoints")).unwrap();
    let [resumed, fresh] = [&with, &without].map(|sandbox| {
        sandbox.edit("epochs: 2", "epochs: 3");
        let events = sandbox.run("").ok();
        // The others run only if the third epoch is the best.
        let others = names(["test", "visualize_filters"]);
        assert!(events.nodes("executed").difference(&others).eq(["retrain_best"]), "{:?}", events.nodes("executed"));
        assert_eq!(events.why("retrain_best"), "epochs 2 -> 3");
        (events.first_progress("retrain_best").unwrap(), events.hash())
    });
    assert_eq!(resumed.1, fresh.1);
    // An epoch has 100 images. These are the first step after two epochs, and the very first step.
    assert_eq!((resumed.0, fresh.0), ((216, 300), (16, 300)));
}

#[test]
fn the_retraining_continues_the_best_trial() {
    let sandbox = Sandbox::new();
    let events = sandbox.run("").ok();
    assert_eq!(events.first_progress("retrain_best"), Some((116, 200)));
}

#[test]
fn a_deleted_result_is_reproduced_byte_for_byte() {
    let sandbox = Sandbox::after_run();
    let flip = sandbox.node("flip");
    let (key, tree) = (crate::sandbox::text(&flip["key"]), crate::sandbox::text(&flip["tree"]));
    std::fs::remove_file(sandbox.object(&tree)).unwrap();
    let events = sandbox.run("").ok();
    assert_eq!((events.nodes("executed"), events.hash()), (names(["flip"]), base().hash.clone()));
    assert_eq!(events.why("flip"), "its result is no longer in the store");
    assert_eq!(crate::sandbox::text(&sandbox.node("flip")["key"]), key);
}

/// Returns the trials of the search whose last weights are in a checkpoint.
fn trials_with_checkpoints(sandbox: &Sandbox, n_trials: usize) -> Vec<usize> {
    let parts: BTreeSet<_> = sandbox
        .stored("checkpoints")
        .into_iter()
        .filter_map(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()))
        .collect();
    let weights = |trial: &usize| sandbox.digest(&format!("search/train/{trial:03}"), "best/weights.safetensors");
    (0..n_trials).filter(|trial| parts.contains(&weights(trial))).collect()
}

/// Returns the trials of the search, the best first.
fn ranking(sandbox: &Sandbox) -> Vec<usize> {
    let trials = sandbox.json("trials --json");
    let loss = |trial: &usize| trials[*trial]["loss"].as_f64().unwrap();
    let mut ranking: Vec<_> = (0..trials.as_array().unwrap().len()).collect();
    ranking.sort_by(|a, b| loss(a).total_cmp(&loss(b)));
    ranking
}

#[test]
fn only_the_best_trials_keep_their_checkpoints_and_a_longer_search_gives_the_same_hash() {
    let sandbox = Sandbox::new();
    sandbox.edit("trials: 3", "trials: 7");
    let watched = std::thread::scope(|scope| {
        let run = scope.spawn(|| sandbox.run("--jobs 1 --stage search").ok());
        let mut most = 0;
        while !run.is_finished() {
            let folders = std::fs::read_dir(sandbox.path(".pipe/checkpoints")).into_iter().flatten();
            most = most.max(folders.count());
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        run.join().unwrap();
        most
    });
    // Those of the best three trials, and those of the one that runs.
    assert!(watched <= 4, "{watched} trainings had checkpoints at the same time");
    let best = |ranking: Vec<usize>| ranking.into_iter().take(3).collect::<BTreeSet<_>>();
    assert_eq!(trials_with_checkpoints(&sandbox, 7).into_iter().collect::<BTreeSet<_>>(), best(ranking(&sandbox)));
    sandbox.edit("trials: 7", "trials: 9");
    let longer = sandbox.run("").ok();
    assert_eq!(longer.nodes("executed").iter().filter(|node| node.starts_with("search/train/")).count(), 2);
    // The retraining continued the best trial, whose weights are replaced by those after two epochs.
    let kept: BTreeSet<_> = trials_with_checkpoints(&sandbox, 9).into_iter().collect();
    let ranking = ranking(&sandbox);
    assert!(kept.is_subset(&best(ranking.clone())) && kept.is_superset(&ranking[1..3].iter().copied().collect()));
    assert_eq!(std::fs::read_dir(sandbox.path(".pipe/checkpoints")).unwrap().count(), 3);
    let straight = Sandbox::new();
    straight.edit("trials: 3", "trials: 9");
    assert_eq!(straight.run("").ok().hash(), longer.hash());
    sandbox.pipe("verify").ok();
}
