//! The search: spaces, samplers, and the light stages that make a search a graph of pure functions.
//!
//! ```text
//! score.json of trial i -> history/i -> split/i+L -> propose/i+L -> proposal.json of trial i+L -> train
//!                          (a chain)                  (a chain of parameters)
//!                          last links of both -> select -> the best trial
//! ```
//! `history` and `propose` write chains: each record names the one before it by digest, so that an action has few inputs
//! however many trials there are. A proposal is a function of the space, the sampler, the seed, the trial's index, the
//! parameters of all trials before it, and which of them are good; never of a loss.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value};

mod chain;
mod history;
mod kind;
mod parse;
mod parzen;
mod propose;
mod random;
mod select;
mod space;
mod split;
#[cfg(test)]
mod tests;
mod tpe;

pub use history::History;
pub use propose::Propose;
pub use select::Select;
pub use space::{Space, SpaceProblem};
pub use split::Split;

/// The version of the records of this module.
const FORMAT: u32 = 1;

/// What proposes trials. In JSON `"Random"`, `"Tpe"` or `{"Tpe":{"startup":4}}`, defaults left out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub enum Sampler {
    /// Independent draws from the prior.
    Random,
    /// Tree-structured Parzen estimator as in Hyperopt.
    Tpe(TpeParams),
}

/// Settings of [`Sampler::Tpe`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TpeParams {
    /// The first trials, this many, are drawn from the prior.
    #[serde(default = "startup::value", skip_serializing_if = "startup::is")]
    pub startup: u32,
    /// Of n trials, `min(ceil(gamma * sqrt(n)), 25)` are good. Above 0.
    #[serde(default = "gamma::value", skip_serializing_if = "gamma::is")]
    pub gamma: f64,
    /// How many candidates are drawn for each label. 1 to 10,000.
    #[serde(default = "candidates::value", skip_serializing_if = "candidates::is")]
    pub candidates: u32,
    /// Weight of the prior against that of one observation. 0.001 (the model of a label whose steps left its bounds has
    /// little else within them) to 1,000,000.
    #[serde(default = "prior_weight::value", skip_serializing_if = "prior_weight::is")]
    pub prior_weight: f64,
    /// How many of the newest observations have full weight. At least 1.
    #[serde(default = "forgetting::value", skip_serializing_if = "forgetting::is")]
    pub forgetting: u32,
}

crate::defaults! {
    startup: u32 = 20;
    gamma: f64 = 0.25;
    candidates: u32 = 24;
    prior_weight: f64 = 1.0;
    forgetting: u32 = 25;
}

impl Default for TpeParams {
    fn default() -> Self {
        Self {
            startup: startup::value(),
            gamma: gamma::value(),
            candidates: candidates::value(),
            prior_weight: prior_weight::value(),
            forgetting: forgetting::value(),
        }
    }
}

/// One configuration to be trained.
///
/// Its record, `proposal.json`, is `{"format":1,"labels":{..},"values":{..}}`. It holds neither the trial's index nor
/// anything of the search, so that equal proposals are equal bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// key of the space -> its value, with nested expressions settled
    pub values: Map<String, Value>,
    /// active label -> its value; for a choice that of the chosen option
    pub labels: BTreeMap<String, Value>,
}

/// What a sampler knows of an earlier trial.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialParameters {
    pub id: u32,
    /// [`Proposal::labels`]
    pub labels: BTreeMap<String, Value>,
}

impl Sampler {
    /// Returns what is wrong with the settings; `path` is within the sampler's JSON.
    pub fn validate(&self) -> Vec<SpaceProblem> {
        let Self::Tpe(params) = self else { return Vec::new() };
        let positive = |x: f64| x.is_finite() && x > 0.0;
        [
            ("gamma", positive(params.gamma), "a number above 0"),
            ("candidates", (1..=10_000).contains(&params.candidates), "1 to 10000"),
            ("prior_weight", (0.001..=1e6).contains(&params.prior_weight), "0.001 to 1000000"),
            ("forgetting", params.forgetting >= 1, "at least 1"),
        ]
        .into_iter()
        .filter(|(_, sound, _)| !sound)
        .map(|(name, _, allowed)| SpaceProblem {
            path: format!("Tpe.{name}"),
            message: format!("`{name}` is out of range"),
            hint: Some(format!("it must be {allowed}")),
        })
        .collect()
    }

    /// Returns whether the slot `split` of [`Propose`] is connected for this trial: not during start-up.
    pub fn reads_split(&self, trial_idx: u32) -> bool {
        match self {
            Self::Random => false,
            Self::Tpe(params) => trial_idx >= params.startup,
        }
    }

    /// Returns whether the slot `previous` of [`Propose`] is connected for this trial: for all but the first, whatever the
    /// sampler, because [`Select`] reads the chain of parameters as well.
    pub fn reads_previous(&self, trial_idx: u32) -> bool {
        trial_idx > 0
    }

    /// Returns the proposal for trial `trial_idx`, counted from 0. `history` holds the parameters of the trials before it
    /// in any order; those in `good` count as good, all others as bad. Neither is read during start-up.
    ///
    /// # Panics
    /// If the space or the sampler has problems ([`Space::validate`], [`Sampler::validate`]).
    pub fn propose(
        &self,
        space: &Space,
        seed: u64,
        trial_idx: u32,
        history: &[TrialParameters],
        good: &BTreeSet<u32>,
    ) -> Proposal {
        assert!(space.problems.is_empty() && self.validate().is_empty(), "what is wrong is refused before");
        match self {
            Self::Tpe(params) if self.reads_split(trial_idx) => {
                tpe::propose(space, params, seed, trial_idx, history, good)
            }
            _ => space.settle(&mut |label, kind| random::prior(kind, &mut random::Draws::new(seed, trial_idx, label))),
        }
    }
}

impl<'de> Deserialize<'de> for Sampler {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Sampler;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a sampler: `Random`, `Tpe` or `Tpe(..)`")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Sampler, E> {
                match name {
                    "Random" => Ok(Sampler::Random),
                    "Tpe" => Ok(Sampler::Tpe(TpeParams::default())),
                    other => Err(E::unknown_variant(other, &["Random", "Tpe"])),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Sampler, A::Error> {
                match map.next_key::<String>()?.as_deref() {
                    Some("Tpe") => map.next_value().map(Sampler::Tpe),
                    other => Err(de::Error::unknown_variant(other.unwrap_or(""), &["Random", "Tpe"])),
                }
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
