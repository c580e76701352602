//! Tests of ranges, fixed labels, constraints and the points of a space, and that no point is proposed twice.

use super::*;
use crate::search::spaces::all;

fn values(kind: Value) -> Vec<Value> {
    let space = space(json!({ "x": kind }));
    let mut values: Vec<Value> = (0..2000).map(|trial| random(&space, 3, trial).values["x"].clone()).collect();
    values.sort_by(|a, b| a.as_f64().unwrap().total_cmp(&b.as_f64().unwrap()));
    values.dedup();
    values
}

#[test]
fn ranges_hold_every_step_and_nothing_else() {
    assert_eq!(values(json!({"IntRange": [1, 4]})), [1, 2, 3, 4].map(Value::from));
    assert_eq!(values(json!({"IntRange": {"lo": 16, "hi": 70, "step": 16}})), [16, 32, 48, 64].map(Value::from));
    assert_eq!(values(json!({"IntRange": {"lo": 1, "hi": 3, "log": true}})), [1, 2, 3].map(Value::from));
    let steps = [0.0, 0.1, 0.2, 0.3].map(Value::from);
    assert_eq!(values(json!({"FloatRange": {"lo": 0, "hi": 0.3, "step": 0.1}})), steps);
    let within = |kind, lo: f64, hi: f64| {
        assert!(values(kind).iter().all(|x| (lo..=hi).contains(&x.as_f64().unwrap())));
    };
    within(json!({"FloatRange": [-1.5, 2]}), -1.5, 2.0);
    within(json!({"FloatRange": {"lo": 1e-4, "hi": 1e-2, "log": true}}), 1e-4, 1e-2);
}

#[test]
fn labels_of_whole_numbers_are_known() {
    let space = space(json!({
        "a": {"quniform": [8, 32, 8]}, "b": {"quniform": [0, 1, 0.5]}, "c": {"IntRange": [1, 4]}, "d": {"uniform": [0, 1]},
        "e": {"FloatRange": {"lo": 0, "hi": 8, "step": 2}}, "f": {"choice": [null, {"label": ["g", {"qnormal": [0, 9, 3]}]}]},
    }));
    assert_eq!(space.whole_labels().into_iter().collect::<Vec<_>>(), ["a", "e", "g"]);
}

#[test]
fn a_range_may_have_one_value() {
    assert_eq!(values(json!({"IntRange": [16, 16]})), [json!(16)]);
    assert_eq!(values(json!({"IntRange": {"lo": 16, "hi": 20, "step": 8}})), [json!(16)]);
    assert_eq!(values(json!({"FloatRange": [0.5, 0.5]})), [json!(0.5)]);
    assert_eq!(values(json!({"FloatRange": {"lo": 0.1, "hi": 1, "step": 2}})), [json!(0.1)]);
    let written = serde_json::to_value(space(json!({"x": {"IntRange": [16, 16]}}))).unwrap();
    assert_eq!(written, json!({"x": {"choice": [16]}}));
}

#[test]
fn steps_of_a_range_are_equally_likely() {
    let space = space(json!({"x": {"IntRange": [0, 3]}}));
    let mut counts = [0_u32; 4];
    (0..8000).for_each(|trial| counts[random(&space, 5, trial).values["x"].as_u64().unwrap() as usize] += 1);
    // Four standard deviations of a share of a quarter.
    assert!(counts.iter().all(|n| n.abs_diff(2000) < 160), "{counts:?}");
}

#[test]
fn ranges_are_written_in_one_way() {
    let check = |written: Value, canonical: Value| {
        let space = space(json!({ "x": written }));
        assert_eq!(serde_json::to_value(&space).unwrap(), json!({ "x": canonical }));
        assert_eq!(serde_json::from_value::<Space>(json!({ "x": canonical })).unwrap(), space);
    };
    check(json!({"IntRange": [1, 8, 1]}), json!({"IntRange": {"lo": 1, "hi": 8}}));
    check(json!({"IntRange": {"lo": 2, "hi": 9, "step": 3}}), json!({"IntRange": {"lo": 2, "hi": 8, "step": 3}}));
    check(
        json!({"FloatRange": {"lo": 0.1, "hi": 1, "log": true}}),
        json!({"FloatRange": {"lo": 0.1, "hi": 1.0, "log": true}}),
    );
    check(json!({"Choice": [1, 2, 4]}), json!({"Choice": [1, 2, 4]}));
    // A `Choice` whose options have no order is a `choice`.
    check(json!({"Choice": ["a", "b"]}), json!({"choice": ["a", "b"]}));
    check(json!({"Choice": [1, 3, 2]}), json!({"choice": [1, 3, 2]}));
}

#[test]
fn wrong_ranges_are_refused() {
    let refused = |kind: Value, text: &str| {
        let space: Space = serde_json::from_value(json!({ "x": kind })).unwrap();
        let found = space.validate();
        assert!(found.len() == 1 && found[0].found.contains(text), "{found:?}");
    };
    refused(json!({"IntRange": [4, 3]}), "the lower bound 4 is above the upper bound 3");
    refused(json!({"IntRange": [1, 2.5]}), "takes integers");
    refused(json!({"IntRange": {"lo": 0, "hi": 5, "log": true}}), "the lower bound 0 has no logarithm");
    refused(json!({"FloatRange": {"lo": 0.1, "hi": 1, "step": 0.1, "log": true}}), "has no step");
    refused(json!({"FloatRange": {"lo": 0.1, "hi": 1, "step": 0}}), "the step must be above 0");
    refused(json!({"FloatRange": {"min": 0.1, "max": 1}}), "takes a lower and an upper bound");
}

#[test]
fn a_fixed_label_keeps_its_value_and_is_not_searched() {
    let fixed = |labels: Value| hyperopt_cifar_space().with_fixed(&serde_json::from_value(labels).unwrap());
    let space =
        fixed(json!({"optimizer": "Adam", "residual_units": 2, "first_conv": null, "batch_size": 250})).unwrap();
    assert_eq!(space.labels().len(), 22 - 4 - 1);
    let trials: Vec<_> = (0..50).map(|trial| random(&space, 2, trial)).collect();
    for trial in &trials {
        assert_eq!((&trial.values["optimizer"], &trial.values["first_conv"]), (&json!("Adam"), &Value::Null));
        assert_eq!(trial.values["batch_size"], json!(250.0));
        assert!([json!(null), json!(2.0)].contains(&trial.values["residual"]));
    }
    assert_ne!(trials[0], trials[1]);
    let problems = fixed(json!({"optimizer": "SGD", "batch_size": 251, "lr_rate_mult": 9, "nope": 1})).unwrap_err();
    let messages: Vec<_> = problems.iter().map(|problem| problem.found.as_str()).collect();
    let expected = [
        "label `batch_size` cannot be 251",
        "label `lr_rate_mult` cannot be 9",
        "the space has no label `nope`",
        "label `optimizer` cannot be \"SGD\"",
    ];
    assert_eq!(messages, expected);
}

#[test]
fn a_space_whose_labels_are_all_fixed_has_one_point() {
    let fixed = serde_json::from_value(json!({"a": "x", "b": 1, "c": 2})).unwrap();
    let space = small().with_fixed(&fixed).unwrap();
    let read: Space = serde_json::from_value(serde_json::to_value(&space).unwrap()).unwrap();
    assert_eq!((count(&read, &[], 8), read.validate().len()), (Some(1), 0));
    for sampler in [Sampler::Random(Random), Sampler::Sobol(Sobol), joint(0)] {
        let proposal = sampler.propose(&read, &[], 1, 0, &Past::default()).unwrap();
        assert_eq!(Value::from(proposal.proposal.values), json!({"a": "x", "c": 2.0}));
    }
}

fn small() -> Space {
    space(json!({
        "a": {"choice": ["x", {"b": {"IntRange": [1, 2]}}]},
        "c": {"quniform": [0, 2, 1]},
    }))
}

#[test]
fn all_points_are_listed_in_order() {
    let listed: Vec<_> = all(&small()).unwrap().map(|point| Value::from(point.values).to_string()).collect();
    let expected = [
        r#"{"a":"x","c":0.0}"#,
        r#"{"a":"x","c":1.0}"#,
        r#"{"a":"x","c":2.0}"#,
        r#"{"a":{"b":1},"c":0.0}"#,
        r#"{"a":{"b":1},"c":1.0}"#,
        r#"{"a":{"b":1},"c":2.0}"#,
        r#"{"a":{"b":2},"c":0.0}"#,
        r#"{"a":{"b":2},"c":1.0}"#,
        r#"{"a":{"b":2},"c":2.0}"#,
    ];
    assert_eq!(listed, expected);
    assert_eq!(
        [count(&small(), &[], 100), count(&small(), &[], 8), count(&hyperopt_cifar_space(), &[], 8)],
        [Some(9), None, None]
    );
    let forbid: Constraint = serde_json::from_value(json!({"Forbid": {"a": "x", "c": [1, 2]}})).unwrap();
    assert_eq!(count(&small(), &[forbid], 100), Some(7));
}

#[test]
fn a_grid_proposes_every_point_with_its_repetitions() {
    let sampler: Sampler = serde_json::from_value(json!({"Grid": {"repeats": 2, "order": ["c"]}})).unwrap();
    let propose = |trial| sampler.propose(&small(), &[], 1, trial, &Past::default());
    let listed: Vec<Proposal> = (0..18).map(|trial| propose(trial).unwrap().proposal).collect();
    assert!(listed.chunks(2).all(|pair| pair[0] == pair[1]));
    let first: Vec<_> =
        listed.iter().step_by(2).take(4).map(|point| (&point.values["c"], &point.values["a"])).collect();
    let expected = [(0.0, json!("x")), (0.0, json!({"b": 1})), (0.0, json!({"b": 2})), (1.0, json!("x"))];
    assert_eq!(first, expected.each_ref().map(|(c, a)| (json!(c), a)).each_ref().map(|(c, a)| (c, *a)));
    assert_eq!(propose(18), None);
}

/// Every sampler proposes each point of a small space once, and then returns `None`.
#[test]
fn every_point_is_proposed_once() {
    for sampler in ["\"Random\"", "\"Sobol\"", r#"{"Tpe":{"startup":2}}"#, r#"{"Tpe":{"mode":"Hyperopt","startup":2}}"#]
    {
        let sampler: Sampler = serde_json::from_str(sampler).unwrap();
        let mut past = Past::default();
        for id in 0..9 {
            past.split.good = BTreeSet::from([0]);
            let proposal = sampler.propose(&small(), &[], 4, id, &past).expect("there is a point left").proposal;
            assert!(past.trials.iter().all(|trial| trial.labels != proposal.labels), "{sampler:?}");
            past.trials.push(TrialParameters { id, labels: proposal.labels });
        }
        assert_eq!(sampler.propose(&small(), &[], 4, 9, &past), None);
    }
}

#[test]
fn every_proposal_meets_the_constraints() {
    let forbid = json!({"Forbid": {"optimizer": ["Adam", "Nadam"], "use_BN": true}});
    let constraints: Vec<Constraint> =
        serde_json::from_value(json!([forbid, {"AtMost": [{"batch_size": 1, "residual_units": 50}, 400]}])).unwrap();
    assert!(constraints.iter().all(|constraint| constraint.validate(&hyperopt_cifar_space()).is_empty()));
    for sampler in [Sampler::Random(Random), Sampler::Sobol(Sobol), joint(2)] {
        let mut past = Past { split: Split { good: BTreeSet::from([1]), ..Split::default() }, ..Past::default() };
        for id in 0..15 {
            let proposal = sampler.propose(&hyperopt_cifar_space(), &constraints, 4, id, &past).unwrap().proposal;
            let of = |label: &str| &proposal.labels[label];
            assert!(of("use_BN") == &json!(false) || of("optimizer") == &json!("RMSprop"));
            let units = proposal.labels.get("residual_units").and_then(Value::as_f64).unwrap_or(0.0);
            assert!(of("batch_size").as_f64().unwrap() + 50.0 * units <= 400.0);
            past.trials.push(TrialParameters { id, labels: proposal.labels });
        }
    }
    let wrong: Constraint = serde_json::from_value(json!({"Ordered": ["optimizer", "epochs"]})).unwrap();
    let messages: Vec<_> = wrong.validate(&hyperopt_cifar_space()).into_iter().map(|problem| problem.found).collect();
    assert_eq!(messages, ["the values of label `optimizer` are not all numbers", "the space has no label `epochs`"]);
}
