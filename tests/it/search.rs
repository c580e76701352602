//! Samplers: grids with repetitions, successive halving, imported trials, importances.

use serde_json::{Value, json};

use crate::sandbox::{Sandbox, TINY};

/// Returns a sandbox with the tiny study up to its search, with another sampler.
fn searching(edits: &[(&str, &str)]) -> Sandbox {
    let sandbox = Sandbox::with(TINY);
    for (from, to) in edits {
        sandbox.edit(from, to);
    }
    sandbox
}

const CHOICE: (&str, &str) = ("loguniform(-0.5, 0.5)", "Choice([0.8, 1.2])");

#[test]
fn a_grid_keeps_every_repetition_and_judges_by_their_mean() {
    let sandbox = searching(&[("            trials: 3,\n", ""), ("Tpe(startup: 2)", "Grid(repeats: 2)"), CHOICE]);
    sandbox.run("--stage search").ok();
    let best: serde_json::Value = serde_json::from_str(&sandbox.pipe("cat search/select/best.json").ok().out).unwrap();
    let points = best["points"].as_array().unwrap();
    assert_eq!((points.len(), best["trials"].as_u64(), best["completed"].as_u64()), (4, Some(8), Some(8)));
    for point in points {
        let losses: Vec<f64> = point["losses"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        assert_eq!(losses.len(), 2);
        assert!((point["mean"].as_f64().unwrap() - 0.5 * (losses[0] + losses[1])).abs() < 1e-12);
    }
    assert_eq!((&points[0]["trial"], &points[0]["mean"]), (&best["trial"], &best["loss"]));
    let text = sandbox.pipe("trials").ok().out;
    assert!(
        text.contains("\nsearch: points with their repetitions; = is not distinguishable from the best\n"),
        "{text}"
    );
    let trials = sandbox.pipe("trials --json").ok().out;
    assert_eq!(trials.matches("\"status\": \"completed\"").count(), 8);
}

#[test]
fn a_promoted_trial_continues_where_it_stopped() {
    let halving = "SuccessiveHalving(cohort: 3)";
    let sandbox =
        searching(&[("            trials: 3,\n", ""), ("Tpe(startup: 2)", halving), ("epochs: 1", "epochs: 3")]);
    let events = sandbox.run("--stage search --jobs 1").ok();
    // An epoch has 100 images. The first batch after the first epoch: it continued from a checkpoint.
    assert_eq!(events.first_progress("search/train/003"), Some((116, 300)));
    let cat = |path: &str| sandbox.pipe(&format!("cat {path}")).ok().out;
    let promoted = cat("search/promote/003/proposal.json");
    let of_trial = (0..3).find(|i| cat(&format!("search/propose/{i:03}/proposal.json")) == promoted).unwrap();
    let (short, long) = (cat(&format!("search/train/{of_trial:03}/history.csv")), cat("search/train/003/history.csv"));
    assert_eq!((short.lines().count(), long.lines().count()), (2, 4));
    assert!(long.starts_with(&short), "{long}");
}

#[test]
fn a_policy_is_searched_and_a_retraining_has_that_of_the_best_trial() {
    let sandbox = searching(&[
        ("RandomFlip(0.5)", r#"RandomFlip(0.5), Rotation(hp("degrees")), MixUp(hp("mix"))"#),
        (
            r#""lr_rate_mult": loguniform(-0.5, 0.5)"#,
            r#""degrees": FloatRange(lo: 5, hi: 30), "mix": Choice([0.2, 0.4])"#,
        ),
    ]);
    let events = sandbox.run("--jobs 1").ok();
    let cat = |path: &str| sandbox.pipe(&format!("cat {path}")).ok().out;
    let json = |path: &str| serde_json::from_str::<Value>(&cat(path)).unwrap();
    let best = json("search/select/best.json")["trial"].as_u64().unwrap();
    let labels = |i: u64| json(&format!("search/train/{i:03}/trial.json"))["labels"].clone();
    assert!((0..3).all(|i| labels(i)["degrees"].is_number() && labels(i)["mix"].is_number()));
    assert_ne!(labels(0)["degrees"], labels(1)["degrees"]);
    // It has the same trajectory, so it continues where the best trial stopped, after an epoch of 100 images.
    assert_eq!(events.first_progress("retrain_best"), Some((116, 200)));
    let (short, long) = (cat(&format!("search/train/{best:03}/history.csv")), cat("retrain_best/history.csv"));
    assert!(long.starts_with(&short), "{long}");
    let trials = sandbox.pipe("trials").ok().out;
    assert!(trials.contains("degrees") && trials.contains("mix"), "{trials}");
    assert_eq!(sandbox.run("").ok().nodes("executed").len(), 0);
}

#[test]
fn an_exhausted_space_ends_the_search() {
    let sandbox = searching(&[("trials: 3", "trials: 9"), CHOICE]);
    let output = sandbox.pipe("run --plan --stage search").would_run();
    assert!(
        output.err.contains("search: the space has 4 points: it is exhausted after 4 of 9 trials"),
        "{}",
        output.err
    );
    assert!(output.out.contains("search/propose/003") && !output.out.contains("search/propose/004"));
}

#[test]
fn a_search_can_start_from_the_trials_of_another() {
    let sandbox = Sandbox::after_run();
    sandbox.write("old.json", &sandbox.pipe("trials --json").ok().out);
    let old = sandbox.json("trials --json");
    let output = sandbox.pipe("import-trials old.json").ok();
    assert!(output.err.contains("3 of 3 trials are in `old.imported.json`"), "{}", output.err);
    let (fetch, imported) = output.out.split_once('\n').unwrap();
    let fetch = fetch.replace("SANDBOX", sandbox.path("").to_str().unwrap().trim_end_matches('/'));
    sandbox.edit("        (\"raw\", ", &format!("        {fetch}\n        (\"raw\", "));
    sandbox.edit("            lag: 2,", &format!("            lag: 2,\n            {}", imported.trim()));
    sandbox.run("--stage search/propose/000").ok();
    let json = |path: &str| -> Value { serde_json::from_str(&sandbox.pipe(&format!("cat {path}")).ok().out).unwrap() };
    // They are divided into good and bad ones like the search's own trials.
    let split = json("search/split/000/split.json");
    let loss = |trial: &usize| old[*trial]["loss"].as_f64().unwrap();
    let best = (0..3).min_by(|a, b| loss(a).total_cmp(&loss(b)));
    assert_eq!((&split["trials"], &split["good"]), (&json!(3), &json!([best])));
    // So the start-up of the sampler is over, and the first proposal is neither the random one nor an imported one.
    let proposed = json("search/propose/000/proposal.json")["labels"].clone();
    assert_eq!(proposed.as_object().unwrap().len(), 2);
    assert!(old.as_array().unwrap().iter().all(|trial| trial["hyperparameters"] != proposed), "{proposed}: {old}");
    let narrowed = sandbox.pipe("import-trials old.json --search none");
    assert_eq!((narrowed.code, narrowed.err.lines().next()), (Some(2), Some("error: there is no search `none`")));
    sandbox.write("old.json", "{\"trials\": [{\"labels\": {\"activation\": \"tanh\"}, \"loss\": 1}]}");
    let refused = sandbox.pipe("import-trials old.json");
    assert_eq!(refused.code, Some(1));
    let expected = "trial 0: its hyperparameter `activation` is \"tanh\", which the space never proposes\n\
                    error: `search` could not have proposed 1 of the 1 trials\n  \
                    hint: widen its space, or leave them out with `--skip-misfits`\n";
    assert_eq!(refused.err, expected);
}

#[test]
fn importances_show_their_number_of_trials() {
    let sandbox = Sandbox::after_run();
    let text = sandbox.pipe("importance").ok().out;
    let few = "search: 3 of 3 trials have a score\nimportances need at least 11 trials with a score, and 3 have one\n";
    assert_eq!(text, few);
    sandbox.run("--set search.trials=11").ok();
    let text = sandbox.pipe("importance").ok().out;
    assert!(text.starts_with("search: 11 of 11 trials have a score\nhyperparameter"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&sandbox.pipe("importance --json").ok().out).unwrap();
    let labels = json[0]["hyperparameters"].as_array().unwrap();
    assert_eq!((labels.len(), &labels[0]["trials"]), (2, &11.into()));
    // Trials that equal the best ones are counted, too.
    assert!((2..=11).contains(&labels[0]["best"].as_u64().unwrap()));
}
