//! Helpers for the tests of the search and of its stages.
//!
//! `fixtures/` comes from Hyperopt 0.3.0 and from the 42 trials of Hyperopt-CIFAR, the study in
//! github.com/guillaume-chevalier/Hyperopt-Keras-CNN-CIFAR-100 (MIT).

use serde_json::Value;

use super::*;

pub(crate) fn space(json: Value) -> Space {
    let space: Space = serde_json::from_value(json).expect("an object is a space");
    assert_eq!(space.validate(), []);
    space
}

/// The space of Hyperopt-CIFAR: 19 keys, 22 labels.
pub(crate) fn hyperopt_cifar_space() -> Space {
    space(serde_json::from_str(include_str!("fixtures/hyperopt_cifar_space.json")).unwrap())
}

pub(crate) fn random(space: &Space, seed: u64, trial_idx: u32) -> Proposal {
    Sampler::Random(Random)
        .propose(space, &[], seed, trial_idx, &Past::default())
        .expect("nothing was proposed before")
        .proposal
}

/// Returns `Tpe(mode: Hyperopt)`. `startup` defaults to 20.
pub(crate) fn of_hyperopt(startup: Option<u32>) -> Sampler {
    Sampler::Tpe(Tpe { mode: Mode::Hyperopt, startup, ..Tpe::default() })
}

pub(crate) fn joint(startup: u32) -> Sampler {
    Sampler::Tpe(Tpe { startup: Some(startup), ..Tpe::default() })
}

/// Returns `trials` proposals, each made from all before it. The loss has only sums and products, which are the same on every
/// machine.
pub(crate) fn searched(space: &Space, sampler: &Sampler, seed: u64, trials: u32) -> Vec<Proposal> {
    let mut past = Past::default();
    let mut losses: Vec<f64> = Vec::new();
    let mut proposals = Vec::new();
    for id in 0..trials {
        past.split = sampler.split(id, false).map(|rule| rule.split(&losses, id, 0)).unwrap_or_default();
        past.losses = if sampler.reads_history(id, false) { losses.clone() } else { Vec::new() };
        let proposal = sampler.propose(space, &[], seed, id, &past).expect("the space is not exhausted").proposal;
        let number = |label: &str| proposal.labels.get(label).and_then(Value::as_f64).unwrap_or(1.0);
        let miss = (number("lr_rate_mult") - 0.8) * (number("lr_rate_mult") - 0.8);
        losses.push(miss + 0.1 * number("residual") + 0.001 * number("batch_size"));
        past.trials.push(TrialParameters { id, labels: proposal.labels.clone() });
        proposals.push(proposal);
    }
    proposals
}
