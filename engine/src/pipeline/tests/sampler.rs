//! Samplers, numbers of trials, fixed labels and constraints: what is refused, and what a search expands to.

use super::{accepted, check, edited};
use crate::{
    pipeline::expand::{Downloads, expand},
    plan::Plan,
};

fn plan(edits: &[(&str, &str)]) -> Plan {
    expand(&accepted(&edited(edits)), &Downloads::default())
}

/// Returns the parameter `field` of each training of the search.
fn trained(plan: &Plan, field: &str) -> Vec<serde_json::Value> {
    let trainings = plan.nodes.iter().filter(|node| node.name.starts_with("search/train/"));
    trainings.map(|node| node.params[field].clone()).collect()
}

const GRID: [(&str, &str); 2] = [("trials: 4, ", ""), ("sampler: Tpe(startup: 2)", "sampler: Grid(repeats: 2)")];

#[test]
fn parts_of_a_search_that_do_not_fit_together() {
    check(
        &[("sampler: Tpe(startup: 2)", "sampler: Grid(order: [\"activaton\"])")],
        r#"
error: a grid cannot have label `l2_weight_reg_mult`, which has infinitely many values
 --> pipeline.ron:6:37
  |
6 |         trials: 4, lag: 2, sampler: Grid(order: ["activaton"]), maximise: Best("valid.fine_accuracy"),
  |                                     ^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: give it a `Choice`, an `IntRange`, or a `FloatRange` with a `step`

error: the space has no key `activaton`
 --> pipeline.ron:6:50
  |
6 |         trials: 4, lag: 2, sampler: Grid(order: ["activaton"]), maximise: Best("valid.fine_accuracy"),
  |                                                  ^^^^^^^^^^^ expected `activation` or `l2_weight_reg_mult`
  |
  = help: did you mean `activation`?
"#,
    );
    check(
        &[
            ("Tpe(startup: 2)", "Hyperband(factor: 1)"),
            ("epochs: 2", "epochs: hp(\"n\")"),
            ("{\"act", "{\"n\": randint(1, 3), \"act"),
        ],
        r#"
error: this sampler decides the number of trials itself
 --> pipeline.ron:6:17
  |
6 |         trials: 4, lag: 2, sampler: Hyperband(factor: 1), maximise: Best("valid.fine_accuracy"),
  |                 ^
  |
  = help: remove `trials`

error: `factor`: found `1`
 --> pipeline.ron:6:55
  |
6 |         trials: 4, lag: 2, sampler: Hyperband(factor: 1), maximise: Best("valid.fine_accuracy"),
  |                                                       ^ expected a whole number of 2 to 100

error: this sampler needs a fixed number of epochs
 --> pipeline.ron:8:95
  |
8 |         trial: Train(data: "data", augment: "flip", model: HyperCnn(base_filters: 4), epochs: hp("n")),
  |                                                                                               ^^^^^^^ expected a number, which the sampler divides among its rungs
"#,
    );
}

#[test]
fn fixed_labels_and_constraints_that_do_not_fit() {
    check(
        &[("lag: 2", "lag: 2, fixed: {\"activation\": \"tanh\", \"l2\": 1}")],
        r#"
error: label `activation` cannot be "tanh"
 --> pipeline.ron:6:50
  |
6 |         trials: 4, lag: 2, fixed: {"activation": "tanh", "l2": 1}, sampler: Tpe(startup: 2), maximise: Best("valid.fine_accuracy"),
  |                                                  ^^^^^^
  |
  = help: it must be one of its options without labels: "relu", "elu"

error: the space has no label `l2`
 --> pipeline.ron:6:64
  |
6 |         trials: 4, lag: 2, fixed: {"activation": "tanh", "l2": 1}, sampler: Tpe(startup: 2), maximise: Best("valid.fine_accuracy"),
  |                                                                ^
  |
  = help: its labels are activation, l2_weight_reg_mult
"#,
    );
    check(
        &[("lag: 2", "lag: 2, constraints: [Ordered([\"activation\"]), AtMost({\"l3\": 1}, 2)]")],
        r#"
error: the values of label `activation` are not all numbers
 --> pipeline.ron:6:51
  |
6 |         trials: 4, lag: 2, constraints: [Ordered(["activation"]), AtMost({"l3": 1}, 2)], sampler: Tpe(startup: 2), maximise: Best("valid.fine_accuracy"),
  |                                                   ^^^^^^^^^^^^

error: the space has no label `l3`
 --> pipeline.ron:6:81
  |
6 |         trials: 4, lag: 2, constraints: [Ordered(["activation"]), AtMost({"l3": 1}, 2)], sampler: Tpe(startup: 2), maximise: Best("valid.fine_accuracy"),
  |                                                                                 ^
  |
  = help: its labels are activation, l2_weight_reg_mult
"#,
    );
}

#[test]
fn a_grid_has_a_trial_for_each_point_and_repeat() {
    let plan = plan(&[GRID[0], GRID[1], ("loguniform(-1, 1)", "Choice([0.5, 1, 2])")]);
    let trainings: Vec<_> = plan.nodes.iter().filter(|node| node.name.starts_with("search/train/")).collect();
    assert_eq!(trainings.len(), 12);
    // The repeats of a point have different seeds, the same ones for every point.
    let seeds: Vec<_> = trainings.iter().map(|node| node.seed).collect();
    assert!(seeds.chunks(2).all(|pair| pair == &seeds[..2]) && seeds[0] != seeds[1]);
    assert_eq!(plan.notes, Vec::<String>::new());
}

#[test]
fn a_search_ends_when_its_space_is_exhausted_and_says_so() {
    let plan = plan(&[("trials: 4", "trials: 10"), ("loguniform(-1, 1)", "Choice([0.5, 1, 2])")]);
    assert_eq!(plan.notes, ["search: the space has 6 points: it is exhausted after 6 of 10 trials"]);
    assert_eq!(trained(&plan, "epochs").len(), 6);
    let fewer = self::plan(&[
        ("trials: 4", "trials: 10, constraints: [Forbid({\"activation\": \"elu\", \"l2_weight_reg_mult\": [0.5, 1]})]"),
        ("loguniform(-1, 1)", "Choice([0.5, 1, 2])"),
    ]);
    assert_eq!(trained(&fewer, "epochs").len(), 4);
}

#[test]
fn hyperband_trains_the_best_of_a_rung_for_longer() {
    let plan = plan(&[("trials: 4, ", ""), ("Tpe(startup: 2)", "Hyperband"), ("epochs: 2", "epochs: 9")]);
    // Brackets of 9 epochs and factor 3, (9@1, 3@3, 1@9), (5@3, 2@9) and (3@9), rung by rung.
    let expected: Vec<u32> = [(9, 1), (5, 3), (3, 9), (3, 3), (2, 9), (1, 9)]
        .into_iter()
        .flat_map(|(n, epochs)| std::iter::repeat_n(epochs, n))
        .collect();
    assert_eq!(trained(&plan, "epochs"), expected);
    let find = |name: &str| plan.nodes.iter().find(|node| node.name == name).expect("the node is there");
    let promoted = find("search/promote/018");
    assert_eq!(*promoted.params, serde_json::json!({ "trial": 18, "rung": [0, 8], "rank": 1 }));
    assert_eq!(plan.nodes[promoted.inputs["history"].node].name, "search/history/008");
    let trajectory = |name: &str| find(name).stage.trajectory();
    assert_eq!(trajectory("search/train/000"), trajectory("search/train/018"));
}

#[test]
fn hyperband_learns_from_bracket_to_bracket() {
    let plan = |sampler: &str| plan(&[("trials: 4, ", ""), ("Tpe(startup: 2)", sampler), ("epochs: 2", "epochs: 9")]);
    let learning = plan("Hyperband");
    let split = |trial: u32| {
        let name = format!("search/split/{trial:03}");
        let split = learning.nodes.iter().find(|node| node.name == name)?;
        let last = &learning.nodes[split.inputs["history"].node].name;
        Some((split.params["left_out"].as_u64().unwrap_or(0), last.trim_start_matches("search/history/").to_owned()))
    };
    // The first rungs are the trials 0 to 8, 9 to 13 and 14 to 16. All trials of a rung know the same scores.
    let known = |first, last: &str| Some((first, last.to_owned()));
    let expected = |trial| match trial {
        9..=13 => known(0, "008"),
        14..=16 => known(9, "013"),
        _ => None,
    };
    assert_eq!((0..23).map(split).collect::<Vec<_>>(), (0..23).map(expected).collect::<Vec<_>>());
    let random = plan("Hyperband(first_rungs: Random)");
    assert!(!random.nodes.iter().any(|node| node.name.starts_with("search/split")));
}

#[test]
fn imported_trials_are_read_by_every_proposal() {
    let fetch =
        r#"("old", Fetch(Url(url: "file:///old.json", size: 9, sha256: "SHA"))),"#.replace("SHA", &"0".repeat(64));
    let plan = plan(&[("lag: 2", "lag: 2, imported: \"old\""), ("stages: [", &format!("stages: [{fetch}"))]);
    let reads = |name: &str| {
        let node = plan.nodes.iter().find(|node| node.name == name).expect("the node is there");
        node.inputs.keys().map(String::as_str).collect::<Vec<_>>()
    };
    assert_eq!(reads("search/split/000"), ["imported"]);
    let proposals = (0..4).map(|trial| reads(&format!("search/propose/{trial:03}")));
    // The first one has no earlier trials.
    let [first, rest] = [vec!["imported", "split"], vec!["imported", "previous", "split"]];
    assert_eq!(proposals.collect::<Vec<_>>(), [first, rest.clone(), rest.clone(), rest]);
    assert_eq!(reads("search/select"), ["history", "parameters"]);
    check(
        &[("lag: 2", "lag: 2, imported: \"data\"")],
        r#"
error: `data` is a `Decode`
 --> pipeline.ron:6:38
  |
6 |         trials: 4, lag: 2, imported: "data", sampler: Tpe(startup: 2), maximise: Best("valid.fine_accuracy"),
  |                                      ^^^^^^ expected a stage of kind `Fetch`
"#,
    );
}

#[test]
fn constraints_that_leave_nothing_are_refused() {
    let nothing = [("lag: 2", "lag: 2, constraints: [AtMost({\"l2_weight_reg_mult\": 1}, 0.1)]")];
    check(
        &nothing,
        r#"
error: no proposal meets it: the sum is at least 0.36787944117144233
 --> pipeline.ron:6:76
  |
6 |         trials: 4, lag: 2, constraints: [AtMost({"l2_weight_reg_mult": 1}, 0.1)], sampler: Tpe(startup: 2), maximise: Best("valid.fine_accuracy"),
  |                                                                            ^^^
"#,
    );
    check(
        &[("lag: 2", "lag: 2, constraints: [Forbid({\"activation\": [\"relu\", \"tanh\"]})]")],
        r#"
error: label `activation` is never "tanh"
 --> pipeline.ron:6:73
  |
6 |         trials: 4, lag: 2, constraints: [Forbid({"activation": ["relu", "tanh"]})], sampler: Tpe(startup: 2), maximise: Best("valid.fine_accuracy"),
  |                                                                         ^^^^^^
  |
  = help: it must be one of its options without labels: "relu", "elu", so this forbids nothing
"#,
    );
    check(
        &[("lag: 2", "lag: 2, constraints: [Forbid({\"activation\": [\"relu\", \"elu\"]})]")],
        r#"
error: the constraints allow no point of the space
 --> pipeline.ron:6:41
  |
6 |         trials: 4, lag: 2, constraints: [Forbid({"activation": ["relu", "elu"]})], sampler: Tpe(startup: 2), maximise: Best("valid.fine_accuracy"),
  |                                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: loosen one of them
"#,
    );
    check(
        &[("trials: 4, ", ""), ("Tpe(startup: 2)", "SuccessiveHalving(min_epochs: 5)")],
        r#"
error: `min_epochs`: found `5`
 --> pipeline.ron:6:56
  |
6 |         lag: 2, sampler: SuccessiveHalving(min_epochs: 5), maximise: Best("valid.fine_accuracy"),
  |                                                        ^ expected at most the 2 epochs of the trial
"#,
    );
}

#[test]
fn a_search_whose_labels_are_all_fixed_has_one_trial() {
    let plan = plan(&[("lag: 2", "lag: 2, fixed: {\"activation\": \"elu\", \"l2_weight_reg_mult\": 1}")]);
    assert_eq!(trained(&plan, "epochs").len(), 1);
    assert_eq!(plan.notes, ["search: the space has 1 point: it is exhausted after 1 of 4 trials"]);
}
