//! Tests of reading, writing and refusing spaces.

use super::*;

fn problems(json: Value) -> Vec<(String, String)> {
    let space: Space = serde_json::from_value(json).unwrap();
    space.validate().iter().map(|problem| (problem.at.to_string(), problem.found.clone())).collect()
}

#[track_caller]
fn refused(expression: Value, path: &str, message: &str) {
    assert_eq!(problems(json!({ "x": expression })), [(path.to_owned(), message.to_owned())]);
}

#[test]
fn equal_spaces_have_equal_json() {
    let check = |a: Value, b: Value| {
        let (a, b) = (space(a), space(b));
        assert_eq!(serde_json::to_string(&a).unwrap(), serde_json::to_string(&b).unwrap());
        assert_eq!(a, serde_json::from_str(&serde_json::to_string(&b).unwrap()).unwrap());
    };
    check(json!({"x": {"uniform": [0, 1]}}), json!({"x": {"label": ["x", {"uniform": [-0.0, 1.0]}]}}));
    check(json!({"x": {"randint": 5}}), json!({"x": {"randint": [0, 5.0]}}));
    let large = hyperopt_cifar_space();
    check(serde_json::to_value(&large).unwrap(), serde_json::to_value(&large).unwrap());
    assert_eq!((large.keys().count(), large.labels().len(), large.unconditional_labels().len()), (19, 22, 19));
}

#[test]
fn every_kind_is_written_as_it_is_read() {
    for kind in [
        json!({"choice": [1, "a", null, [1, 2], {"a": 1}]}),
        json!({"pchoice": [[0.25, "a"], [0.75, {"label": ["y", {"uniform": [0.0, 1.0]}]}]]}),
        json!({"randint": [-3, 4]}),
        json!({"uniform": [0.0, 1.0]}),
        json!({"quniform": [0.0, 1.0, 0.5]}),
        json!({"uniformint": [0.0, 4.0]}),
        json!({"loguniform": [-1.0, 1.0]}),
        json!({"qloguniform": [0.0, 3.0, 2.0]}),
        json!({"normal": [0.0, 1.0]}),
        json!({"qnormal": [0.0, 1.0, 0.5]}),
        json!({"lognormal": [0.0, 1.0]}),
        json!({"qlognormal": [0.0, 1.0, 0.5]}),
        json!({"kind": "svm", "C": {"label": ["svm_C", {"uniform": [0.0, 1.0]}]}, "list": [1, {"a": {"randint": [0, 2]}}]}),
    ] {
        let json = json!({ "x": kind });
        assert_eq!(serde_json::to_value(space(json.clone())).unwrap(), json);
    }
}

#[test]
fn wrong_arguments_are_refused_with_their_place() {
    refused(json!({"uniform": [3, 1]}), "x.uniform", "the lower bound 3 is not below the upper bound 1");
    refused(json!({"uniform": [1, 1]}), "x.uniform", "the lower bound 1 is not below the upper bound 1");
    refused(json!({"uniform": [0]}), "x.uniform", "`uniform` takes 2 numbers, found [0]");
    refused(json!({"uniform": [0, "NaN"]}), "x.uniform[1]", "expected a finite number, found \"NaN\"");
    refused(json!({"uniform": [null, 1]}), "x.uniform[0]", "expected a finite number, found null");
    refused(json!({"uniform": [-1e308, 1e308]}), "x.uniform", "the range is too wide for 64-bit numbers");
    refused(json!({"quniform": [0, 1, 0]}), "x.quniform", "the step 0 is not above 0");
    refused(json!({"quniform": [0, 1, 1e-310]}), "x.quniform", "the step is too small for the range");
    refused(json!({"normal": [0, -1]}), "x.normal", "the deviation -1 is not above 0");
    refused(json!({"loguniform": [0, 800]}), "x.loguniform", "`loguniform` reaches beyond exp(-700) or exp(700)");
    refused(json!({"uniformint": [0, 1.5]}), "x.uniformint", "`uniformint` takes integers, found [0,1.5]");
    refused(json!({"randint": 0}), "x.randint", "there are no integers, or more than 1048576, from 0 to below 0");
    refused(json!({"randint": "a"}), "x.randint", "`randint` takes one or two integers, found \"a\"");
    refused(json!({"choice": []}), "x.choice", "the choice has no options");
    refused(json!({"choice": 3}), "x.choice", "`choice` takes a list of options");
    refused(json!({"choice": [3, 4, 3.0]}), "x.choice[2]", "the option 3.0 is given twice");
    refused(json!({"pchoice": [[0.5, 1], [0.4, 2]]}), "x.pchoice", "the probabilities sum to 0.9");
    let never = "option 1 has the probability 0 and is never proposed";
    refused(json!({"pchoice": [[1, "a"], [0, "b"]]}), "x.pchoice[1]", never);
    let pairs = "`pchoice` takes pairs of a probability (0 to 1) and an option";
    refused(json!({"pchoice": [[1.5, 1], [-0.5, 2]]}), "x.pchoice", pairs);
    refused(json!({"label": ["y", 3]}), "x", "label `y` names something that is not an expression");
    refused(json!({"label": "y"}), "x", "`label` takes a name and an expression");
    refused(json!({"unifrom": [0, 1]}), "x.unifrom", "there is no expression `unifrom`");
    let constant: Space = serde_json::from_value(json!({"x": 3})).unwrap();
    assert_eq!(constant.nothing_to_search().unwrap().found, "the space has nothing to search");
}

#[test]
fn arguments_that_are_probably_no_logarithms_are_said() {
    let said = |expression: Value| space(json!({ "x": expression })).mistaken_logarithms();
    assert_eq!(
        said(json!({"loguniform": [1e-5, 0.01]})),
        [
            "`x`: `loguniform(1e-5, 0.01)` draws from 1.00001 to 1.01005, because its arguments are logarithms: for 1e-5 to 0.01 \
          write `FloatRange(lo: 1e-5, hi: 0.01, log: true)`"
        ]
    );
    for fine in [json!({"loguniform": [-11, -4]}), json!({"loguniform": [0, 1]}), json!({"loguniform": [0.1, 3]})] {
        assert!(said(fine.clone()).is_empty(), "{fine}");
    }
}

#[test]
fn all_problems_are_reported_together() {
    let found = problems(json!({
        "a": {"uniform": [1, 0]},
        "b": {"choice": [null, {"quniform": [0, 1, -1]}]},
        "c": {"choice": [1, 1, {"label": ["a", {"normal": [0, 0]}]}]},
        "d": [{"uniform": [0, 1]}],
    }));
    let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
    let expected = [
        "a.uniform",
        "b.choice[1]",
        "b.choice[1].quniform",
        "c.choice[2].label[1]",
        "c.choice[2].label[1].normal",
        "c.choice[1]",
        "d[0]",
    ];
    assert_eq!(paths, expected);
    assert_eq!(found[3].1, "label `a` is used twice");
    assert_eq!(found[6].1, "`uniform` has no label: it is not the value of a key");
}

#[test]
fn only_the_chosen_branch_is_active() {
    let space = space(json!({"algo": {"choice": [
        {"kind": "svm", "C": {"loguniform": [-7, 7]}, "kernel": {"choice": ["linear", {"gamma": {"loguniform": [-7, 2]}}]}},
        {"kind": "knn", "k": {"quniform": [1, 30, 1]}},
        "none",
    ]}}));
    let mut seen = BTreeSet::new();
    for trial in 0..200 {
        let proposal = random(&space, 1, trial);
        let active: Vec<_> = proposal.labels.keys().map(String::as_str).collect();
        let expected: &[_] = match proposal.values["algo"]["kind"].as_str() {
            Some("svm") if proposal.values["algo"]["kernel"] == "linear" => &["C", "algo", "kernel"],
            Some("svm") => &["C", "algo", "gamma", "kernel"],
            Some("knn") => &["algo", "k"],
            _ => &["algo"],
        };
        assert_eq!(active, expected);
        assert_eq!(proposal.labels["algo"], proposal.values["algo"]);
        seen.insert(expected);
    }
    assert_eq!(seen.len(), 4);
}

#[test]
fn the_chosen_option_is_found_from_the_labels() {
    // A nested expression may propose a value that equals a constant. Its labels show which option was chosen.
    let space = space(json!({"x": {"choice": [
        3.0, {"label": ["y", {"quniform": [2.6, 3.4, 1]}]}, {"z": {"randint": 2}}, {"z": 5}, [1, 2],
    ]}}));
    let crate::search::spaces::Expression::Labelled { kind, .. } = &space.keys["x"] else { panic!("x is a choice") };
    let mut seen = BTreeSet::new();
    for trial in 0..100 {
        let mut chosen = None;
        let proposal = space.settle(&mut |label, kind| {
            let coordinate = draws::prior(kind, &mut draws::Chance { seed: 9, trial_idx: trial, attempt: 0 }.of(label));
            chosen = chosen.or((label == "x").then_some(coordinate));
            coordinate
        });
        let written: Proposal = serde_json::from_slice(&proposal.to_record()).unwrap();
        assert_eq!(kind.coordinate("x", &written.labels), chosen);
        seen.extend(chosen.map(|x| x as u32));
    }
    assert_eq!(seen.len(), 5);
}
