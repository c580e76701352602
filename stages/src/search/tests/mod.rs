//! Tests of the whole library.

use std::collections::{BTreeMap, BTreeSet};

use pipe_store::Digest;
use serde_json::{Value, json};

use super::{
    samplers::draws,
    testing::{hyperopt_cifar_space, joint, of_hyperopt, random, searched, space},
    *,
};

mod hyperopt;
mod prior;
mod ranges;
mod spaces;

#[test]
fn golden_proposals_on_the_space_of_hyperopt_cifar() {
    let found = |(sampler, trials): (&str, u32)| {
        let sampler: Sampler = serde_json::from_str(sampler).expect("it is a sampler");
        let proposals = searched(&hyperopt_cifar_space(), &sampler, 7, trials);
        Digest::of(&proposals.iter().flat_map(Proposal::to_record).collect::<Vec<u8>>()).short()
    };
    let samplers = [
        (r#""Random""#, 40),
        (r#""Sobol""#, 40),
        (r#""Tpe""#, 40),
        (r#"{"Tpe":{"mode":"Hyperopt"}}"#, 40),
        (r#"{"GaussianProcess":{"candidates":50}}"#, 20),
        (r#""Auto""#, 20),
    ];
    let golden = ["056f24313686", "dda2e8391359", "0ca97603fe15", "ae6f01b71b1e", "f418448a6c77", "a29868030312"];
    assert_eq!(samplers.map(found), golden);
}

#[test]
fn more_trials_keep_the_earlier_proposals() {
    for sampler in [of_hyperopt(Some(4)), joint(4), Sampler::Sobol(Sobol)] {
        let (short, long) =
            (searched(&hyperopt_cifar_space(), &sampler, 3, 8), searched(&hyperopt_cifar_space(), &sampler, 3, 12));
        assert_eq!(short, long[..8]);
        assert_eq!(BTreeSet::from_iter(long.iter().map(Proposal::to_record)).len(), 12);
    }
}

#[test]
fn the_order_of_the_history_does_not_matter() {
    let space = hyperopt_cifar_space();
    let proposals = searched(&space, &Sampler::Random(Random), 5, 30);
    let labels = proposals.into_iter().map(|proposal| proposal.labels);
    let trials: Vec<_> = (0..).zip(labels).map(|(id, labels)| TrialParameters { id, labels }).collect();
    for sampler in [of_hyperopt(None), joint(10)] {
        let split = Split { good: BTreeSet::from([4, 17]), ..Split::default() };
        let mut past = Past { trials: trials.clone(), split, losses: Vec::new() };
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
    check(r#""Random""#, Sampler::Random(Random), r#""Random""#);
    check(r#""Sobol""#, Sampler::Sobol(Sobol), r#""Sobol""#);
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
