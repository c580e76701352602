//! Failures of runs, and trials that look like failures but are results.

use insta::assert_snapshot;

use crate::sandbox::{Sandbox, TINY, base, names};

/// Two trainings with their evaluations. The network of one is too deep for its images.
pub(crate) const TOO_DEEP: &str = r#"Study(
    name: "deep",
    seed: 7,
    stages: [
        ("raw", Fetch(Embedded(name: "shapes100", train: 200, test: 100))),
        ("data", Decode(from: "raw", format: Cifar100, validation: Stratified(0.2))),
        ("deep", Train(data: "data", model: HyperCnn(base_filters: 4, fc_units: (16, 12), nb_conv_pool_layers: 7), epochs: 1)),
        ("test", Evaluate(of: "deep")),
        ("fine", Train(data: "data", model: HyperCnn(base_filters: 4, fc_units: (16, 12)), epochs: 1)),
        ("fine_test", Evaluate(of: "fine")),
    ],
)"#;

#[test]
fn siblings_of_a_failed_node_run_and_dependants_are_skipped() {
    let sandbox = Sandbox::with(TOO_DEEP);
    assert_snapshot!(sandbox.pipe("run --jobs 1").shown(), @"
      study deep DIGEST
    !    executed  raw  (first run)  TIME
    !  WARN the validation split of 0.2 takes 1 of 2 pictures of the class `circle/solid`, and 99 other classes are like it
    !    executed  data  (first run)  TIME
    !      failed  deep: images of 32x32 pixels are too small for 7 pooling layers: the one after `batch_normalization_6` would read 1x1  TIME
    !    executed  fine  valid.fine_accuracy 1.00 %  (first run)  TIME
    !    executed  fine_test  (first run)  TIME
    !     skipped  test  (it needs `deep`)
    ! fine: valid.fine_accuracy 1.00 %
    ! test: fine accuracy 1.00 % (95 % interval 0.18 to 5.45 %; chance 1.00 %; 100 images) by fine_test
    ! test: coarse accuracy 7.00 % (95 % interval 3.43 to 13.75 %; chance 5.00 %; 100 images) by fine_test
    ! 4 executed, 0 reused, 1 failed, 1 skipped in TIME
    ! report:   SANDBOX/.pipe/reports/deep-SHORT/report.html
    ! pictures: SANDBOX/.pipe/reports/deep-SHORT/pictures
    exit 1
    ");
    let before = sandbox.listing();
    let events = sandbox.run("");
    assert_eq!(events.code, Some(1));
    assert_eq!(sandbox.listing(), before, "the failure is remembered");
    assert_eq!(events.nodes("reused"), names(["raw", "data", "fine", "fine_test"]));
    assert_eq!((events.nodes("failed"), events.nodes("skipped")), (names(["deep"]), names(["test"])));
    assert_eq!(
        sandbox.pipe("studies").shown(),
        "  deep  SHORT  MOMENT      6 nodes  failed  best 1.00 %  test 1.00 %\nexit 0\n"
    );
    // A node that does not depend on the failed one can be selected.
    assert_eq!(sandbox.run("--stage fine_test").code, Some(0));
}

#[test]
fn a_trial_that_diverges_is_a_result_and_the_search_continues() {
    let sandbox = Sandbox::with(
        &TINY
            .replace("\"lr_rate_mult\": loguniform(-0.5, 0.5)", "\"rate\": choice([1e30, 0.001])")
            .replace("batch: 16,", "batch: 16, learning_rate: hp(\"rate\"),"),
    );
    let events = sandbox.run("--set search.trials=5").ok();
    assert_eq!(events.nodes("failed").len(), 0);
    let trials = sandbox.json("trials --json");
    let statuses: Vec<_> =
        trials.as_array().unwrap().iter().map(|trial| (&trial["hyperparameters"]["rate"], &trial["status"])).collect();
    for (rate, status) in &statuses {
        assert_eq!(**status, if rate.as_f64() == Some(1e30) { "diverged" } else { "completed" });
    }
    let diverged = statuses.iter().filter(|(_, status)| **status == "diverged").count();
    assert!((1..5).contains(&diverged), "{diverged} of 5 trials diverged");
    // The best trial is one of the others.
    let best = trials.as_array().unwrap().iter().find(|trial| trial["best"] == true).unwrap();
    assert_eq!(best["status"], "completed");
}

#[test]
fn an_infeasible_trial_is_a_result_too() {
    let sandbox = Sandbox::with(
        &TINY.replace("\"activation\": choice([\"relu\", \"elu\"])", "\"nb_conv_pool_layers\": choice([2, 7])"),
    );
    let events = sandbox.run("--set search.trials=5 --stage search").ok();
    assert_eq!((events.nodes("failed").len(), events.nodes("skipped").len()), (0, 0));
    let trials = sandbox.json("trials --json");
    for trial in trials.as_array().unwrap() {
        let expected = if trial["hyperparameters"]["nb_conv_pool_layers"] == 7 { "failed" } else { "completed" };
        assert_eq!(trial["status"], expected, "{trial}");
    }
}

#[test]
fn a_proposed_value_that_no_training_can_use_is_a_result_too() {
    let sandbox = Sandbox::with(
        &TINY
            .replace("\"activation\": choice", "\"ep\": qnormal(1, 1, 1), \"activation\": choice")
            .replace("epochs: 1", "epochs: hp(\"ep\")"),
    );
    let events = sandbox.run("--set search.trials=5 --stage search").ok();
    assert_eq!((events.nodes("failed").len(), events.nodes("skipped").len()), (0, 0));
    for trial in sandbox.json("trials --json").as_array().unwrap() {
        assert_eq!(
            trial["status"],
            if trial["hyperparameters"]["ep"].as_f64() < Some(1.0) { "failed" } else { "completed" },
            "{trial}"
        );
    }
}

#[test]
fn an_empty_validation_split_fails_instead_of_changing_the_metric() {
    let sandbox = Sandbox::new();
    let output = sandbox.pipe("run --set raw.train=100");
    assert_eq!(output.code, Some(1), "{}", output.err);
    assert!(output.err.contains("the validation split is empty"), "{}", output.err);
}

#[test]
fn a_mistake_in_the_pipeline_is_shown_in_its_line() {
    let sandbox = Sandbox::new();
    sandbox.edit("Augment(data", "Augmnet(data");
    sandbox.edit("epochs: 1", "epochs: 0");
    sandbox.edit("of: \"search\"", "of: \"serach\"");
    assert_snapshot!(sandbox.pipe("run").shown(), @r#"
    ! error: unknown stage `Augmnet`
    !  --> pipeline.ron:8:18
    !   |
    ! 8 |         ("flip", Augmnet(data: "data", policy: [RandomFlip(0.5)])),
    !   |                  ^^^^^^^ expected `Fetch`, `Decode`, `Augment`, `Train`, `Search`, `Retrain`, `Evaluate`, `VisualizeFilters` or `Command`
    !   |
    !   = help: did you mean `Augment`?
    !
    ! error: `epochs`: found `0`
    !   --> pipeline.ron:23:25
    !    |
    ! 23 |                 epochs: 0,
    !    |                         ^ expected a whole number of 1 to 100000
    !
    ! error: there is no stage `serach`
    !   --> pipeline.ron:26:38
    !    |
    ! 26 |         ("retrain_best", Retrain(of: "serach", epochs: 2, keep: [Best, Last])),
    !    |                                      ^^^^^^^^ expected `search`
    !    |
    !    = help: did you mean `search`?
    !
    exit 2
    "#);
    assert!(!sandbox.path(".pipe").exists(), "nothing is made before the pipeline is understood");
}

#[test]
fn the_test_split_is_refused_where_trials_could_see_it() {
    let sandbox = Sandbox::new();
    sandbox.edit("data: \"data\",\n", "data: \"data/test\",\n");
    let output = sandbox.pipe("run");
    assert_eq!(output.code, Some(2));
    assert!(output.err.contains("only `Evaluate` reads the test split"), "{}", output.err);
}

#[test]
fn a_data_set_without_test_images_cannot_be_tested_on() {
    let sandbox = Sandbox::new();
    sandbox.edit("Stratified(0.2)", "OfficialTest");
    assert_snapshot!(sandbox.pipe("run").shown(), @r#"
    ! error: the dataset has no test split
    !   --> pipeline.ron:27:54
    !    |
    ! 27 |         ("test", Evaluate(of: "retrain_best", split: Test)),
    !    |                                                      ^^^^
    !    |
    !    = help: its `validation: OfficialTest` takes the test images for validation: use `split: Validation`, or choose another `validation`
    !
    exit 2
    "#);
}

#[test]
fn wrong_usage_ends_with_2() {
    let sandbox = Sandbox::new();
    for args in [
        "run --jobs 0",
        "run --jobs many",
        "run --device gpu",
        "run --checkpoint-every -1",
        "nonsense",
        "run --nonsense",
        "",
    ] {
        assert_eq!(sandbox.pipe(args).code, Some(2), "{args}");
    }
    assert_snapshot!(sandbox.pipe("run --file absent.ron").shown(), @"
    ! error: `absent.ron` cannot be read: No such file or directory (os error 2)
    !   hint: `pipe init` writes one to start from; `--file` names another
    exit 2
    ");
}

#[test]
#[cfg(not(feature = "cuda"))]
fn a_device_that_this_build_does_not_support_is_refused() {
    let sandbox = Sandbox::new();
    let refused = sandbox.pipe("run --device cuda").shown();
    assert_snapshot!(refused, @"
    ! error: this build of `pipe` has no CUDA
    !   hint: build it with `cargo build --release --features cuda`, or use `--device cpu`
    exit 2
    ");
    assert_eq!(sandbox.pipe("run --set device=Cuda").shown(), refused);
    let auto = sandbox.pipe("run --device auto --stage raw --quiet");
    assert_eq!((auto.code, auto.err.as_str()), (Some(0), "device: cpu\n"));
}

#[test]
fn a_precision_that_the_device_does_not_have_is_refused() {
    let sandbox = Sandbox::new();
    let refused = sandbox.pipe("run --device cpu --precision bf16").shown();
    assert_snapshot!(refused, @"
    ! error: the device `cpu` does not compute with bf16
    !   hint: `--precision f32` runs everywhere; bf16 needs `--device cuda` and a card of compute capability 8.0 or later (`pipe devices`)
    exit 2
    ");
    assert_eq!(sandbox.pipe("run --set precision=Bf16").shown(), refused);
    assert_eq!(sandbox.pipe("run --set precision=Bf16 --precision f32 --stage raw").code, Some(0));
    assert_eq!(sandbox.pipe("run --precision f16").code, Some(2));
}

#[test]
fn a_store_of_another_format_is_refused() {
    let sandbox = Sandbox::after_run();
    let path = sandbox.path(".pipe/format");
    std::fs::remove_file(&path).unwrap();
    let check = blake3::hash(b"{\"format\":999}");
    std::fs::write(&path, format!("{{\"check\":\"{check}\",\"format\":999}}\n")).unwrap();
    let output = sandbox.pipe("run");
    assert_eq!(output.code, Some(2), "{}", output.err);
    assert!(output.err.contains("has format 999"), "{}", output.err);
}

#[test]
fn unexpected_bytes_do_not_enter_the_store() {
    let sandbox = Sandbox::new();
    sandbox.write("archive", "not what was asked for");
    let url = format!("file://{}", sandbox.path("archive").display());
    sandbox.edit(
        "Embedded(name: \"shapes100\", train: 200, test: 100)",
        &format!("Url(url: \"{url}\", size: 22, blake3: \"{}\")", "0".repeat(64)),
    );
    let events = sandbox.run("");
    assert_eq!((events.code, events.nodes("failed")), (Some(1), names(["raw"])));
    assert!(!sandbox.object(&blake3::hash(b"not what was asked for").to_string()).exists());
    // The failure is not a result: with the right bytes, the node runs again.
    assert_eq!(sandbox.stored("actions").len(), 2, "two proposals need no data");
    assert_ne!(events.hash(), base().hash);
}
