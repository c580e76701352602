//! The settings of `Tpe`. Their defaults depend on the mode.

use crate::{
    choices, parameters,
    params::Domain,
    problem::{Path, Problem},
    search::samplers::{algorithm::STARTUP, rule::Rule},
};

parameters! {
    /// Settings of the sampler `Tpe`. The defaults depend on the mode.
    #[derive(Copy)]
    pub struct Tpe = defaults where canonical {
        /// How labels are modelled: all together (`Joint`), or each on its own by the rules of Hyperopt (`Hyperopt`).
        mode: Mode = Mode::Joint,
        /// The number of trials that are drawn from the prior before the model proposes. Defaults to 10, or to 20 for `Hyperopt`.
        startup: Option<u32> [STARTUP],
        /// The share of trials that count as good. Defaults to 0.15. For `Hyperopt`, the number of good trials is this times the
        /// square root of the number of trials. It defaults to 0.25 then.
        gamma: Option<f64> [Domain::Positive],
        /// The number of draws to choose from. The best is proposed. Defaults to 48, or to 24 for `Hyperopt`.
        candidates: Option<u32> [Domain::Whole(1..=10_000)],
        /// The weight of the prior, relative to one observation. Defaults to 1.
        // With a smaller weight, a model has hardly any mass within the bounds of a label whose rounded values are outside them.
        prior_weight: Option<f64> [Domain::Between(0.001, 1e6)],
        /// The number of the newest observations that have full weight. Older ones have less. Defaults to 25.
        forgetting: Option<u32> [Domain::Whole(1..=u32::MAX)],
    }
}

choices! {
    /// How a [`Tpe`] models labels.
    #[derive(Copy, Eq)]
    pub enum Mode = Joint {
        /// All labels together, with one kernel for each trial (Watanabe, "Tree-structured Parzen estimator: understanding its
        /// algorithm components", 2023).
        Joint,
        /// Each label on its own, exactly as in Hyperopt.
        Hyperopt,
    }
}

impl Tpe {
    pub(crate) fn startup(&self) -> u32 {
        self.startup.unwrap_or(match self.mode {
            Mode::Joint => 10,
            Mode::Hyperopt => 20,
        })
    }

    pub(crate) fn candidates(&self) -> u32 {
        self.candidates.unwrap_or(match self.mode {
            Mode::Joint => 48,
            Mode::Hyperopt => 24,
        })
    }

    pub(crate) fn prior_weight(&self) -> f64 {
        self.prior_weight.unwrap_or(1.0)
    }

    pub(crate) fn forgetting(&self) -> usize {
        self.forgetting.unwrap_or(25) as usize
    }

    pub(crate) fn rule(&self) -> Rule {
        match self.mode {
            Mode::Joint => Rule::Share(self.gamma.unwrap_or(0.15)),
            Mode::Hyperopt => Rule::Root(self.gamma.unwrap_or(0.25)),
        }
    }

    /// Returns the settings without those at the mode's default.
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
