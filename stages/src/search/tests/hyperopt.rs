//! Compares `Tpe(mode: Hyperopt)` with Hyperopt 0.3.0.

use serde::Deserialize;

use super::*;
use crate::search::{
    samplers::{
        parzen::{Parzen, forgetting_weights},
        tpe::hyperopt,
    },
    spaces::{Expression, Kind},
};

#[derive(Deserialize)]
struct Golden {
    kind: String,
    args: Option<Vec<f64>>,
    #[serde(default)]
    obs: Vec<f64>,
    #[serde(default)]
    weights: Vec<f64>,
    #[serde(default)]
    mus: Vec<f64>,
    #[serde(default)]
    sigmas: Vec<f64>,
    #[serde(default)]
    x: Vec<f64>,
    #[serde(default)]
    lpdf: Vec<f64>,
    #[serde(default)]
    p: Vec<f64>,
    #[serde(default)]
    posterior: Vec<f64>,
    #[serde(default)]
    cases: BTreeMap<u32, usize>,
}

#[track_caller]
fn close(found: &[f64], expected: &[f64], tolerance: f64, case: &str) {
    assert_eq!(found.len(), expected.len(), "{case}");
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{case}: {found:?} instead of {expected:?}");
    }
}

fn kind_of(space: &Space, label: &str) -> Kind {
    fn find(expr: &Expression, wanted: &str) -> Option<Kind> {
        match expr {
            Expression::Labelled { label, kind } if label == wanted => Some(kind.clone()),
            Expression::Labelled { kind: Kind::Choice { options, .. }, .. } => {
                options.iter().find_map(|o| find(o, wanted))
            }
            _ => None,
        }
    }
    space.keys.values().find_map(|expr| find(expr, label)).expect("the space has the label")
}

#[test]
fn models_agree_with_hyperopt_on_golden_cases() {
    let cases: Vec<Golden> = serde_json::from_str(include_str!("../fixtures/parzen_golden.json")).unwrap();
    assert_eq!(cases.len(), 60);
    for case in cases {
        let name = format!("{} of {} observations", case.kind, case.obs.len());
        match (case.kind.as_str(), case.args) {
            ("n_below", _) => case.cases.iter().for_each(|(n, below)| assert_eq!(Rule::Root(0.25).n_good(*n), *below)),
            (kind, Some(args)) => {
                let Kind::Numeric(numeric) = kind_of(&space(json!({ "x": { kind: args } })), "x") else {
                    panic!("{name}")
                };
                let mixture = Parzen::new(numeric, &case.obs, 1.0, 25);
                close(&mixture.weights, &case.weights, 1e-12, &name);
                close(&mixture.mus, &case.mus, 1e-12, &name);
                close(&mixture.sigmas, &case.sigmas, 1e-12, &name);
                let found: Vec<f64> = case.x.iter().map(|x| mixture.ln_density(*x)).collect();
                // On a logarithmic scale, Hyperopt's densities differ by a constant factor.
                let offset = if numeric.log { found[0] - case.lpdf[0] } else { 0.0 };
                close(&found.iter().map(|y| y - offset).collect::<Vec<_>>(), &case.lpdf, 1e-9, &name);
            }
            (_, None) => close(&hyperopt::posterior(&case.p, &case.obs, 1.0, 25), &case.posterior, 1e-12, &name),
        }
    }
}

#[test]
fn old_observations_are_forgotten_linearly() {
    assert!(forgetting_weights(0, 25).is_empty());
    assert_eq!(forgetting_weights(25, 25), [1.0; 25]);
    assert_eq!(forgetting_weights(26, 25)[..2], [1.0 / 26.0, 1.0]);
    close(&forgetting_weights(28, 25)[..4], &[1.0 / 28.0, 14.5 / 28.0, 1.0, 1.0], 1e-15, "28");
    assert_eq!(forgetting_weights(5, 2).len(), 5);
}

#[derive(Deserialize)]
struct HyperoptCifar {
    good: BTreeSet<u32>,
    posterior: BTreeMap<String, Posterior>,
    trials: Vec<Trial>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Posterior {
    /// The values or option indices, and their probabilities.
    Discrete { support: Vec<f64>, pmf: Vec<f64> },
    /// (x, probability of at most x)
    Continuous { cdf: Vec<(f64, f64)> },
}

#[derive(Deserialize)]
struct Trial {
    loss: f64,
    labels: BTreeMap<String, Value>,
}

/// Compares a sample with the exact distribution under Hyperopt's rules.
fn check(label: &str, sample: &[f64], posterior: &Posterior) {
    let n = sample.len() as f64;
    match posterior {
        Posterior::Discrete { support, pmf } => {
            assert!(sample.iter().all(|x| support.contains(x)), "{label}");
            let share = |x: f64| sample.iter().filter(|y| **y == x).count() as f64 / n;
            let distance: f64 = support.iter().zip(pmf).map(|(x, p)| 0.5 * (share(*x) - p).abs()).sum();
            assert!(distance <= 0.03, "{label}: total variation {distance}");
        }
        Posterior::Continuous { cdf } => {
            let share = |x: f64| sample.iter().filter(|y| **y <= x).count() as f64 / n;
            let distance = cdf.iter().map(|(x, p)| (share(*x) - p).abs()).fold(0.0, f64::max);
            assert!(n.sqrt() * distance <= 1.95, "{label}: Kolmogorov and Smirnov {}", n.sqrt() * distance);
        }
    }
}

#[test]
fn suggestions_after_the_42_trials_of_hyperopt_cifar_are_distributed_as_in_hyperopt() {
    const SEEDS: u64 = 20_000;
    let space = hyperopt_cifar_space();
    let study: HyperoptCifar = serde_json::from_str(include_str!("../fixtures/hyperopt_cifar_history.json")).unwrap();
    let losses: Vec<f64> = study.trials.iter().map(|trial| trial.loss).collect();
    let good = Rule::Root(0.25).split(&losses, 42, 0).good;
    assert_eq!(good, study.good);
    let history: Vec<_> =
        (0..).zip(&study.trials).map(|(id, trial)| TrialParameters { id, labels: trial.labels.clone() }).collect();

    let params = Tpe { mode: Mode::Hyperopt, ..Tpe::default() };
    let past =
        Past { trials: history.clone(), split: Split { good: good.clone(), ..Split::default() }, losses: Vec::new() };
    let chance = |seed| draws::Chance { seed, trial_idx: 42, attempt: 0 };
    let proposals: Vec<_> = (0..SEEDS).map(|seed| hyperopt::propose(&space, &params, chance(seed), &past)).collect();
    let mut seldom = Vec::new();
    for (label, posterior) in &study.posterior {
        let kind = kind_of(&space, label);
        let sample: Vec<f64> = proposals.iter().filter_map(|p| kind.coordinate(label, &p.labels)).collect();
        if sample.len() > 100 {
            check(label, &sample, posterior);
            continue;
        }
        // The label is hardly ever active, so it is sampled separately.
        seldom.push(label);
        let (mut of_good, mut of_bad) = (Vec::new(), Vec::new());
        for trial in &history {
            let observed = if good.contains(&trial.id) { &mut of_good } else { &mut of_bad };
            observed.extend(kind.coordinate(label, &trial.labels));
        }
        let suggest = |seed| hyperopt::suggest(&kind, &of_good, &of_bad, &params, &mut chance(seed).of(label));
        check(label, &(0..SEEDS).map(suggest).collect::<Vec<_>>(), posterior);
    }
    assert_eq!(seldom, ["residual_units"]);
}
