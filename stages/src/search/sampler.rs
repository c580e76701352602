//! What proposes trials: the samplers' settings, and the rules that all of them keep.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

use super::{
    Proposal,
    constraint::Constraint,
    gaussian::{self, GaussianProcess},
    grid::Grid,
    hyperband::{Hyperband, SuccessiveHalving},
    hyperopt, joint, points,
    random::{self, Chance},
    sobol,
    space::{Space, SpaceProblem},
    split::Rule,
};

/// What proposes trials. In JSON `"Random"`, `"Tpe"` or `{"Tpe":{"startup":4}}`, defaults left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Sampler {
    /// Independent draws from the prior.
    Random,
    /// Draws from the prior that are spread evenly: a scrambled Sobol sequence.
    Sobol,
    /// Every point of the space in order.
    Grid(Grid),
    /// Tree-structured Parzen estimator.
    Tpe(Tpe),
    /// Expected improvement of a Gaussian process.
    GaussianProcess(GaussianProcess),
    /// Random draws trained for a few epochs, the best of them for more, in brackets.
    Hyperband(Hyperband),
    /// One bracket.
    SuccessiveHalving(SuccessiveHalving),
}

/// Settings of [`Sampler::Tpe`]. What is not given is as the mode has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Tpe {
    #[serde(skip_serializing_if = "crate::params::is_default")]
    pub mode: Mode,
    /// The first trials, this many, are drawn from the prior. Default 10; of Hyperopt 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup: Option<u32>,
    /// How many trials are good: see [`Rule`]. Above 0. Default 0.15 (a share); of Hyperopt 0.25 (times a root).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gamma: Option<f64>,
    /// How many candidates are drawn. 1 to 10,000. Default 48; of Hyperopt 24.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidates: Option<u32>,
    /// Weight of the prior against that of one observation. 0.001 (the model of a label whose steps left its bounds has
    /// little else within them) to 1,000,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prior_weight: Option<f64>,
    /// How many of the newest observations have full weight. At least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forgetting: Option<u32>,
}

/// What a [`Tpe`] models.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// All labels together, one kernel per trial: see `joint.rs`.
    #[default]
    Joint,
    /// Each label on its own, by the rules of Hyperopt: see `hyperopt.rs`.
    Hyperopt,
}

/// What a sampler knows of an earlier trial.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialParameters {
    pub id: u32,
    /// [`Proposal::labels`]
    pub labels: BTreeMap<String, Value>,
}

/// What is known when a trial is proposed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Past {
    /// All earlier trials, by id; imported ones come first.
    pub trials: Vec<TrialParameters>,
    /// The good ones; all others count as bad. Empty for a sampler that reads no split.
    pub good: BTreeSet<u32>,
    /// The losses of the first trials, those that may be seen; infinite where a trial failed. Empty for a sampler that
    /// reads no history.
    pub losses: Vec<f64>,
}

/// A draw that was proposed before, or that a constraint forbids, is drawn again, so often by the sampler and then so often
/// from the prior. What still finds nothing new in a space that can be counted takes its first new point.
const DRAWS: std::ops::Range<u32> = 0..20;
const PRIOR_DRAWS: std::ops::Range<u32> = 20..120;

impl Tpe {
    pub(super) fn startup(&self) -> u32 {
        self.startup.unwrap_or(match self.mode {
            Mode::Joint => 10,
            Mode::Hyperopt => 20,
        })
    }

    pub(super) fn candidates(&self) -> u32 {
        self.candidates.unwrap_or(match self.mode {
            Mode::Joint => 48,
            Mode::Hyperopt => 24,
        })
    }

    pub(super) fn prior_weight(&self) -> f64 {
        self.prior_weight.unwrap_or(1.0)
    }

    pub(super) fn forgetting(&self) -> usize {
        self.forgetting.unwrap_or(25) as usize
    }

    fn rule(&self) -> Rule {
        match self.mode {
            Mode::Joint => Rule::Share(self.gamma.unwrap_or(0.15)),
            Mode::Hyperopt => Rule::Root(self.gamma.unwrap_or(0.25)),
        }
    }

    /// Leaves out what is as the mode has it.
    fn canonical(mut self) -> Self {
        let default = Self { mode: self.mode, ..Self::default() };
        let rule = self.rule();
        self.startup = self.startup.filter(|n| *n != default.startup());
        self.gamma = self.gamma.filter(|_| rule != default.rule());
        self.candidates = self.candidates.filter(|n| *n != default.candidates());
        self.prior_weight = self.prior_weight.filter(|x| *x != default.prior_weight());
        self.forgetting = self.forgetting.filter(|n| *n as usize != default.forgetting());
        self
    }
}

impl<'de> Deserialize<'de> for Tpe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename = "Tpe")]
        struct Written {
            #[serde(default)]
            mode: Mode,
            startup: Option<u32>,
            gamma: Option<f64>,
            candidates: Option<u32>,
            prior_weight: Option<f64>,
            forgetting: Option<u32>,
        }
        let Written { mode, startup, gamma, candidates, prior_weight, forgetting } =
            Written::deserialize(deserializer)?;
        Ok(Self { mode, startup, gamma, candidates, prior_weight, forgetting }.canonical())
    }
}

impl Sampler {
    const NAMES: &'static [&'static str] =
        &["Random", "Sobol", "Grid", "Tpe", "GaussianProcess", "Hyperband", "SuccessiveHalving"];

    /// Returns what is wrong with the settings; `path` is within the sampler's JSON.
    pub fn validate(&self) -> Vec<SpaceProblem> {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let (name, fields) = match self {
            Self::Random | Self::Sobol => return Vec::new(),
            Self::Grid(grid) => ("Grid", vec![("repeats", (1..=1000).contains(&grid.repeats), "1 to 1000")]),
            Self::Tpe(params) => (
                "Tpe",
                vec![
                    ("gamma", params.gamma.is_none_or(positive), "a number above 0"),
                    ("candidates", (1..=10_000).contains(&params.candidates()), "1 to 10000"),
                    ("prior_weight", (0.001..=1e6).contains(&params.prior_weight()), "0.001 to 1000000"),
                    ("forgetting", params.forgetting() >= 1, "at least 1"),
                ],
            ),
            Self::GaussianProcess(params) => {
                ("GaussianProcess", vec![("candidates", (1..=10_000).contains(&params.candidates), "1 to 10000")])
            }
            Self::Hyperband(params) => ("Hyperband", vec![("factor", (2..=100).contains(&params.factor), "2 to 100")]),
            Self::SuccessiveHalving(params) => (
                "SuccessiveHalving",
                vec![
                    ("cohort", (2..=100_000).contains(&params.cohort), "2 to 100000"),
                    ("factor", (2..=100).contains(&params.factor), "2 to 100"),
                    ("min_epochs", params.min_epochs >= 1, "at least 1"),
                ],
            ),
        };
        let wrong = fields.into_iter().filter(|(_, sound, _)| !sound);
        wrong
            .map(|(field, _, allowed)| SpaceProblem {
                path: format!("{name}.{field}"),
                message: format!("`{field}` is out of range"),
                hint: Some(format!("it must be {allowed}")),
            })
            .collect()
    }

    /// Returns how a trial's split is made, if the sampler reads one for it: not during start-up, unless there are imported
    /// trials, whose number is not known before they are read.
    pub fn split(&self, trial_idx: u32, imported: bool) -> Option<Rule> {
        match self {
            Self::Tpe(params) if imported || trial_idx >= params.startup() => Some(params.rule()),
            _ => None,
        }
    }

    /// Returns whether the sampler reads the scores themselves for this trial.
    pub fn reads_history(&self, trial_idx: u32, imported: bool) -> bool {
        matches!(self, Self::GaussianProcess(params) if imported || trial_idx >= params.startup)
    }

    /// Returns whether a proposal that equals an earlier one is drawn again.
    pub fn is_distinct(&self) -> bool {
        !matches!(self, Self::Grid(_))
    }

    /// Returns the proposal for trial `trial_idx`, counted from 0: one that was not proposed before and that `constraints`
    /// allow. Nothing if there is none.
    ///
    /// # Panics
    /// If the space or the sampler has problems ([`Space::validate`], [`Sampler::validate`]).
    pub fn propose(
        &self,
        space: &Space,
        constraints: &[Constraint],
        seed: u64,
        trial_idx: u32,
        past: &Past,
    ) -> Option<Proposal> {
        assert!(space.problems.is_empty() && self.validate().is_empty(), "what is wrong is refused before");
        if let Self::Grid(grid) = self {
            return grid.propose(space, constraints, trial_idx);
        }
        let is_new = |proposal: &Proposal| {
            constraints.iter().all(|constraint| constraint.holds(&proposal.labels))
                && past.trials.iter().all(|trial| trial.labels != proposal.labels)
        };
        let chance = |attempt| Chance { seed, trial_idx, attempt };
        let from_prior = |attempt| {
            let chance = chance(attempt);
            space.settle(&mut |label, kind| random::prior(kind, &mut chance.of(label)))
        };
        let n = past.trials.len();
        let draw = |attempt| match self {
            Self::Tpe(params) if n >= params.startup() as usize && n > 0 => match params.mode {
                Mode::Joint => joint::propose(space, params, chance(attempt), past),
                Mode::Hyperopt => hyperopt::propose(space, params, chance(attempt), past),
            },
            Self::GaussianProcess(params) if n >= params.startup as usize && n > 0 => {
                gaussian::propose(space, params, chance(attempt), past)
            }
            Self::Sobol if attempt == 0 => sobol::propose(space, seed, trial_idx),
            _ => from_prior(attempt),
        };
        let mut drawn = DRAWS.map(draw).chain(PRIOR_DRAWS.map(from_prior));
        drawn.find(is_new).or_else(|| points::all(space)?.find(is_new))
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

            // A sampler without settings is only its name.
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Sampler, E> {
                match name {
                    "Random" => Ok(Sampler::Random),
                    "Sobol" => Ok(Sampler::Sobol),
                    "Grid" => Ok(Sampler::Grid(Grid::default())),
                    "Tpe" => Ok(Sampler::Tpe(Tpe::default())),
                    "GaussianProcess" => Ok(Sampler::GaussianProcess(GaussianProcess::default())),
                    "Hyperband" => Ok(Sampler::Hyperband(Hyperband::default())),
                    "SuccessiveHalving" => Ok(Sampler::SuccessiveHalving(SuccessiveHalving::default())),
                    other => Err(E::unknown_variant(other, Sampler::NAMES)),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Sampler, A::Error> {
                match map.next_key::<String>()?.as_deref() {
                    Some("Grid") => map.next_value().map(Sampler::Grid),
                    Some("Tpe") => map.next_value().map(Sampler::Tpe),
                    Some("GaussianProcess") => map.next_value().map(Sampler::GaussianProcess),
                    Some("Hyperband") => map.next_value().map(Sampler::Hyperband),
                    Some("SuccessiveHalving") => map.next_value().map(Sampler::SuccessiveHalving),
                    other => Err(de::Error::unknown_variant(other.unwrap_or(""), Sampler::NAMES)),
                }
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
