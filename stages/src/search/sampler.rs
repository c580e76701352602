//! What proposes trials: the samplers' settings, and the rules that all of them keep.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    constraint::Constraint,
    gaussian::{self, GaussianProcess},
    grid::Grid,
    hyperband::{Hyperband, SuccessiveHalving},
    hyperopt, joint, points,
    random::{self, Chance},
    sobol,
    space::Space,
    split::Rule,
};
use crate::{
    choices, parameters,
    params::Domain,
    problem::{Path, Problem},
};

choices! {
    /// What proposes trials. In JSON `"Random"`, `"Tpe"` or `{"Tpe":{"startup":4}}`, defaults left out.
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
}

parameters! {
    /// Settings of [`Sampler::Tpe`]. What is not given is as the mode has it.
    #[derive(Copy)]
    pub struct Tpe = defaults where canonical {
        /// What is modelled.
        mode: Mode = Mode::Joint,
        /// The first trials, this many, are drawn from the prior. By default 10; of Hyperopt 20.
        startup: Option<u32>,
        /// How many trials are good: a share of them, by default 0.15; of Hyperopt a factor of the root of their number, by
        /// default 0.25.
        gamma: Option<f64> [Domain::Positive],
        /// How many candidates are drawn. By default 48; of Hyperopt 24.
        candidates: Option<u32> [Domain::Whole(1..=10_000)],
        /// Weight of the prior against that of one observation: the model of a label whose steps left its bounds has little
        /// else within them. By default 1.
        prior_weight: Option<f64> [Domain::Between(0.001, 1e6)],
        /// How many of the newest observations have full weight. By default 25.
        forgetting: Option<u32> [Domain::Whole(1..=u32::MAX)],
    }
}

choices! {
    /// What a [`Tpe`] models.
    #[derive(Copy, Eq)]
    pub enum Mode = Joint {
        /// All labels together, one kernel per trial: see `joint.rs`.
        Joint,
        /// Each label on its own, by the rules of Hyperopt: see `hyperopt.rs`.
        Hyperopt,
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
    fn canonical(mut self, _: &Path, _: &mut Vec<Problem>) -> Self {
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

impl Sampler {
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
    /// If the space has problems ([`Space::validate`]).
    pub fn propose(
        &self,
        space: &Space,
        constraints: &[Constraint],
        seed: u64,
        trial_idx: u32,
        past: &Past,
    ) -> Option<Proposal> {
        assert!(space.problems.is_empty(), "what is wrong is refused before");
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
