//! The settings of `Tpe`. Their defaults depend on the mode.

use crate::{
    choices, parameters,
    params::Domain,
    problem::{Path, Problem},
    search::samplers::rule::Rule,
};

parameters! {
    /// Settings of the sampler `Tpe`. Those that are not given have the mode's default.
    #[derive(Copy)]
    pub struct Tpe = defaults where canonical {
        /// What is modelled.
        mode: Mode = Mode::Joint,
        /// How many trials are drawn from the prior before the model proposes. By default 10; for `Hyperopt` 20.
        startup: Option<u32>,
        /// How many trials are good: a share of them, by default 0.15; for `Hyperopt` a multiple of the square root of their
        /// number, by default 0.25.
        gamma: Option<f64> [Domain::Positive],
        /// How many candidates are drawn; the best is proposed. By default 48; for `Hyperopt` 24.
        candidates: Option<u32> [Domain::Whole(1..=10_000)],
        /// The weight of the prior against that of one observation. By default 1.
        // With less, a model has hardly any mass within the bounds of a label whose rounded values lie outside them.
        prior_weight: Option<f64> [Domain::Between(0.001, 1e6)],
        /// How many of the newest observations have full weight; older ones have less. By default 25.
        forgetting: Option<u32> [Domain::Whole(1..=u32::MAX)],
    }
}

choices! {
    /// What a [`Tpe`] models.
    #[derive(Copy, Eq)]
    pub enum Mode = Joint {
        /// All labels together, with one kernel per trial (Watanabe, "Tree-structured Parzen estimator: understanding its
        /// algorithm components", 2023).
        Joint,
        /// Each label on its own, by the rules of Hyperopt.
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
