//! Tests of the whole module; `fixtures/` was extracted from Hyperopt 0.3.0 and from the 42 trials of
//! github.com/guillaume-chevalier/Hyperopt-Keras-CNN-CIFAR-100 (MIT).

use std::collections::{BTreeMap, BTreeSet};

use pipe_store::Digest;
use serde_json::{Value, json};

use super::*;

mod hyperopt;
mod prior;
mod ranges;
mod spaces;
mod stages;

fn space(json: Value) -> Space {
    let space: Space = serde_json::from_value(json).expect("an object is a space");
    assert_eq!(space.validate(), []);
    space
}

/// The space of the CIFAR-100 study: 19 keys, 22 labels.
fn seed_space() -> Space {
    space(serde_json::from_str(include_str!("../fixtures/seed_space.json")).unwrap())
}

fn random(space: &Space, seed: u64, trial_idx: u32) -> Proposal {
    Sampler::Random.propose(space, &[], seed, trial_idx, &Past::default()).expect("nothing was proposed before")
}

/// `Tpe(mode: Hyperopt)`, with 20 trials at the start if nothing else is said.
fn of_hyperopt(startup: Option<u32>) -> Sampler {
    Sampler::Tpe(Tpe { mode: Mode::Hyperopt, startup, ..Tpe::default() })
}

fn joint(startup: u32) -> Sampler {
    Sampler::Tpe(Tpe { startup: Some(startup), ..Tpe::default() })
}

/// Returns `trials` proposals, each from all before it, with a loss of additions and products alone.
fn searched(space: &Space, sampler: &Sampler, seed: u64, trials: u32) -> Vec<Proposal> {
    let mut past = Past::default();
    let mut losses: Vec<f64> = Vec::new();
    let mut proposals = Vec::new();
    for id in 0..trials {
        past.good = sampler.split(id, false).map(|rule| rule.good(&losses, id)).unwrap_or_default();
        past.losses = if sampler.reads_history(id, false) { losses.clone() } else { Vec::new() };
        let proposal = sampler.propose(space, &[], seed, id, &past).expect("the space is not exhausted");
        let number = |label: &str| proposal.labels.get(label).and_then(Value::as_f64).unwrap_or(1.0);
        let miss = (number("lr_rate_mult") - 0.8) * (number("lr_rate_mult") - 0.8);
        losses.push(miss + 0.1 * number("residual") + 0.001 * number("batch_size"));
        past.trials.push(TrialParameters { id, labels: proposal.labels.clone() });
        proposals.push(proposal);
    }
    proposals
}

#[test]
fn golden_proposals_on_the_seeds_space() {
    let check = |sampler: &str, trials, golden: &str| {
        let sampler: Sampler = serde_json::from_str(sampler).expect("it is a sampler");
        let proposals = searched(&seed_space(), &sampler, 7, trials);
        let found = Digest::of(&proposals.iter().flat_map(Proposal::to_record).collect::<Vec<u8>>()).short();
        assert_eq!(found, golden, "{sampler:?}");
    };
    check(r#""Random""#, 40, "056f24313686");
    check(r#""Sobol""#, 40, "dda2e8391359");
    check(r#""Tpe""#, 40, "922d4a013f9f");
    check(r#"{"Tpe":{"mode":"Hyperopt"}}"#, 40, "ae6f01b71b1e");
    check(r#"{"GaussianProcess":{"candidates":50}}"#, 20, "5e7b0e4c4aae");
}

#[test]
fn more_trials_keep_the_earlier_proposals() {
    for sampler in [of_hyperopt(Some(4)), joint(4), Sampler::Sobol] {
        let (short, long) = (searched(&seed_space(), &sampler, 3, 8), searched(&seed_space(), &sampler, 3, 12));
        assert_eq!(short, long[..8]);
        assert_eq!(BTreeSet::from_iter(long.iter().map(Proposal::to_record)).len(), 12);
    }
}

#[test]
fn the_order_of_the_history_does_not_matter() {
    let space = seed_space();
    let proposals = searched(&space, &Sampler::Random, 5, 30);
    let labels = proposals.into_iter().map(|proposal| proposal.labels);
    let trials: Vec<_> = (0..).zip(labels).map(|(id, labels)| TrialParameters { id, labels }).collect();
    for sampler in [of_hyperopt(None), joint(10)] {
        let mut past = Past { trials: trials.clone(), good: BTreeSet::from([4, 17]), losses: Vec::new() };
        let expected = sampler.propose(&space, &[], 5, 30, &past);
        past.trials.reverse();
        past.trials.swap(3, 20);
        assert_eq!(sampler.propose(&space, &[], 5, 30, &past), expected);
    }
}

#[test]
fn samplers_leave_their_defaults_out_and_read_them_back() {
    let check = |written: &str, sampler: Sampler, canonical: &str| {
        assert_eq!(serde_json::from_str::<Sampler>(written).unwrap(), sampler);
        assert_eq!(serde_json::to_string(&sampler).unwrap(), canonical);
        assert_eq!(serde_json::from_str::<Sampler>(canonical).unwrap(), sampler);
    };
    let tpe = Tpe::default();
    let hyperopt = Tpe { mode: Mode::Hyperopt, ..tpe };
    check(r#""Random""#, Sampler::Random, r#""Random""#);
    check(r#""Sobol""#, Sampler::Sobol, r#""Sobol""#);
    check(r#""Grid""#, Sampler::Grid(Grid::default()), r#"{"Grid":{}}"#);
    check(r#""Tpe""#, Sampler::Tpe(tpe), r#"{"Tpe":{}}"#);
    check(r#"{"Tpe":{"mode":"Joint","startup":10,"gamma":0.15}}"#, Sampler::Tpe(tpe), r#"{"Tpe":{}}"#);
    check(r#"{"Tpe":{"startup":4}}"#, Sampler::Tpe(Tpe { startup: Some(4), ..tpe }), r#"{"Tpe":{"startup":4}}"#);
    let written = r#"{"Tpe":{"mode":"Hyperopt","startup":20,"gamma":0.25,"candidates":24}}"#;
    check(written, Sampler::Tpe(hyperopt), r#"{"Tpe":{"mode":"Hyperopt"}}"#);
    for wrong in [r#""Gird""#, r#"{"Tpe":{"start":4}}"#, r#"{"Random":{"n":1}}"#, "{}", "3"] {
        assert!(serde_json::from_str::<Sampler>(wrong).is_err(), "{wrong}");
    }
    let wrong = serde_json::json!({ "Tpe": { "gamma": 0, "candidates": 0, "prior_weight": 0, "forgetting": 0 } });
    let places: Vec<_> =
        crate::params::read::<Sampler>(&wrong).unwrap_err().iter().map(|problem| problem.at.to_string()).collect();
    assert_eq!(places, ["gamma", "candidates", "prior_weight", "forgetting"].map(|name| format!("Tpe.{name}")));
}
