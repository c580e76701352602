//! The settings of `Tpe`. Their defaults depend on the mode.

use serde::{Deserialize, Deserializer, Serialize};

use crate::{params::is_default, search::samplers::rule::Rule};

/// Settings of the sampler `Tpe`. Those that are not given have the mode's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Tpe {
    /// What is modelled. Default `Joint`.
    #[serde(skip_serializing_if = "is_default")]
    pub mode: Mode,
    /// How many trials are drawn from the prior before the model proposes. Default 10; for `Hyperopt` 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup: Option<u32>,
    /// How many trials are good, see [`Rule`]. Above 0; default 0.15, a share; for `Hyperopt` 0.25, times a square root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gamma: Option<f64>,
    /// How many candidates are drawn, of which the best is proposed. 1 to 10,000; default 48; for `Hyperopt` 24.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidates: Option<u32>,
    /// The weight of the prior against that of one observation. 0.001 to 1,000,000; default 1.
    // With less, a model has hardly any mass within the bounds of a label whose rounded values lie outside them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prior_weight: Option<f64>,
    /// How many of the newest observations have full weight; older ones have less. At least 1; default 25.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forgetting: Option<u32>,
}

/// What a [`Tpe`] models.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// All labels together, with one kernel per trial (Watanabe, "Tree-structured Parzen estimator: understanding its algorithm
    /// components", 2023).
    #[default]
    Joint,
    /// Each label on its own, by the rules of Hyperopt.
    Hyperopt,
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
