//! Tests of the priors of all kinds.

use super::*;

const TRIALS: u32 = 20_000;

fn draws(kind: Value) -> Vec<Value> {
    let space = space(json!({ "x": kind }));
    (0..TRIALS).map(|trial| random(&space, 11, trial).values["x"].clone()).collect()
}

/// Compares the share of each value. The tolerance is four standard deviations of the largest share.
#[track_caller]
fn shares(kind: Value, expected: &[(Value, f64)]) {
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    for value in draws(kind) {
        *counts.entry(value.to_string()).or_default() += 1.0 / f64::from(TRIALS);
    }
    let names: BTreeSet<_> = expected.iter().map(|(value, _)| value.to_string()).collect();
    assert_eq!(counts.keys().cloned().collect::<BTreeSet<_>>(), names);
    for (value, share) in expected {
        let found = counts[&value.to_string()];
        assert!((found - share).abs() < 0.015, "{value}: {found} instead of {share}");
    }
}

/// Compares the mean and the standard deviation of f(x), and the range of x.
#[track_caller]
fn moments(kind: Value, f: fn(f64) -> f64, mean: f64, deviation: f64, range: std::ops::Range<f64>) {
    let xs: Vec<f64> = draws(kind).iter().map(|x| f(x.as_f64().unwrap())).collect();
    let n = xs.len() as f64;
    let found = xs.iter().sum::<f64>() / n;
    let spread = (xs.iter().map(|x| (x - found) * (x - found)).sum::<f64>() / n).sqrt();
    assert!((found - mean).abs() < 0.03 * deviation, "mean {found}");
    assert!((spread - deviation).abs() < 0.03 * deviation, "deviation {spread}");
    assert!(xs.iter().all(|x| range.contains(x)));
}

#[test]
fn quantised_kinds_round_half_to_even_and_are_not_clipped() {
    shares(json!({"quniform": [0, 2, 1]}), &[(json!(0.0), 0.25), (json!(1.0), 0.5), (json!(2.0), 0.25)]);
    let expected = [(0.0, 0.0556), (3.0, 0.3333), (6.0, 0.3333), (9.0, 0.2778)];
    shares(json!({"quniform": [1, 10, 3]}), &expected.map(|(x, p)| (json!(x), p)));
    let expected = [(1.0, 0.25), (2.0, 0.25), (3.0, 0.25), (4.0, 0.25)];
    shares(json!({"quniform": [0.501, 4.499, 1]}), &expected.map(|(x, p)| (json!(x), p)));
    let share = |a: f64, b: f64| (b / a).ln() / 20f64.ln();
    let expected = [
        (0.0, 1.0, 2.0),
        (4.0, 2.0, 6.0),
        (8.0, 6.0, 10.0),
        (12.0, 10.0, 14.0),
        (16.0, 14.0, 18.0),
        (20.0, 18.0, 20.0),
    ];
    let expected = expected.map(|(x, a, b)| (json!(x), share(a, b)));
    shares(json!({"qloguniform": [0, 20f64.ln(), 4]}), &expected);
}

#[test]
fn kinds_of_integers_draw_integers() {
    let expected = [(0, 1.0 / 6.0), (1, 1.0 / 3.0), (2, 1.0 / 3.0), (3, 1.0 / 6.0)];
    shares(json!({"uniformint": [0, 3]}), &expected.map(|(x, p)| (json!(x), p)));
    shares(json!({"randint": 2}), &[(json!(0), 0.5), (json!(1), 0.5)]);
    shares(json!({"randint": [-1, 1]}), &[(json!(-1), 0.5), (json!(0), 0.5)]);
}

#[test]
fn choices_have_their_probabilities() {
    shares(
        json!({"choice": ["a", null, 3, [1]]}),
        &["\"a\"", "null", "3", "[1]"].map(|text| (text.parse().unwrap(), 0.25)),
    );
    shares(json!({"pchoice": [[0.1, "a"], [0.9, true]]}), &[(json!("a"), 0.1), (json!(true), 0.9)]);
}

#[test]
fn continuous_kinds_have_their_moments() {
    moments(json!({"uniform": [-1, 3]}), |x| x, 1.0, 4.0 / 12f64.sqrt(), -1.0..3.0);
    moments(json!({"loguniform": [-1, 3]}), f64::ln, 1.0, 4.0 / 12f64.sqrt(), -1.0001..3.0001);
    moments(json!({"normal": [2, 0.5]}), |x| x, 2.0, 0.5, -3.0..7.0);
    moments(json!({"lognormal": [2, 0.5]}), f64::ln, 2.0, 0.5, -3.0..7.0);
    moments(json!({"qnormal": [2, 4, 0.5]}), |x| x, 2.0, 4.0, -40.0..40.0);
    moments(json!({"qlognormal": [5, 0.5, 0.5]}), f64::ln, 5.0, 0.5, 0.0..10.0);
}

#[test]
fn a_label_draws_the_same_whatever_other_labels_there_are() {
    let (one, two) = (json!({"x": {"uniform": [0, 1]}}), json!({"a": {"randint": 9}, "x": {"uniform": [0, 1]}}));
    assert_eq!(random(&space(one), 3, 8).values["x"], random(&space(two), 3, 8).values["x"]);
}

#[test]
fn seeds_trials_and_labels_draw_different_numbers() {
    let space = space(json!({"x": {"uniform": [0, 1]}, "y": {"uniform": [0, 1]}}));
    let drawn: BTreeSet<_> = [(1, 0), (1, 1), (2, 0), (1 << 32, 0)]
        .into_iter()
        .flat_map(|(seed, trial)| random(&space, seed, trial).labels.into_values())
        .map(|value| value.to_string())
        .collect();
    assert_eq!(drawn.len(), 8);
}
