//! The table of samplers, and their JSON.

use serde::{Serialize, Serializer};

use super::{
    algorithm::{Algorithm, Length, Past, Proposed, Request},
    auto::Auto,
    gaussian_process::GaussianProcess,
    grid::Grid,
    hyperband::Hyperband,
    random::Random,
    rule::Rule,
    rungs::Bracket,
    sobol::Sobol,
    successive_halving::SuccessiveHalving,
    tpe::Tpe,
};
use crate::{
    choices,
    problem::{Path, Problem},
    search::spaces::{Constraint, Proposal, Space},
};

// A sampler is a type of declared settings that implements `Default` and `Algorithm`.
macro_rules! samplers {
    ($($(#[doc = $doc:literal])* $name:ident;)*) => {
        choices! {
            /// The method that proposes trials. In JSON: `"Random"`, `"Tpe"` or `{"Tpe":{"startup":4}}`. Settings at their
            /// defaults are left out.
            pub unwritten enum Sampler {
                $($(#[doc = $doc])* $name($name),)*
            }
        }

        impl Sampler {
            fn algorithm(&self) -> &dyn Algorithm {
                match self {
                    $(Self::$name(settings) => settings,)*
                }
            }

            fn settings(&self) -> serde_json::Result<serde_json::Value> {
                match self {
                    $(Self::$name(settings) => serde_json::to_value(settings),)*
                }
            }
        }
    };
}

// To add a sampler, add a line here.
samplers! {
    /// `GaussianProcess` where it is better, and `Tpe` elsewhere.
    Auto;
    /// Independent draws from the prior.
    Random;
    /// Evenly spread draws from the prior, by a scrambled Sobol sequence.
    Sobol;
    /// Every point of a finite space in order.
    Grid;
    /// A tree-structured Parzen estimator.
    Tpe;
    /// Bayesian optimisation: the greatest expected improvement under a Gaussian process.
    GaussianProcess;
    /// Successive halving in several brackets, from many short trials to a few long ones.
    Hyperband;
    /// Draws from the prior are trained for a few epochs, the best of them for more, and so on.
    SuccessiveHalving;
}

impl Sampler {
    /// Returns the reasons why the sampler cannot search `searched`, which is `space` without its fixed labels (see
    /// [`Space::with_fixed`]). Paths start at the sampler.
    pub fn misfits(&self, space: &Space, searched: &Space) -> Vec<Problem> {
        self.inside(self.algorithm().misfits(space, searched))
    }

    /// Returns what decides the number of trials.
    pub fn length(&self) -> Length {
        self.algorithm().length()
    }

    /// Returns the brackets of a search whose trials have at most `max_epochs`, the largest first. Empty unless
    /// [`length`](Self::length) is [`Length::Brackets`].
    pub fn brackets(&self, max_epochs: u32) -> Vec<Bracket> {
        self.algorithm().brackets(max_epochs)
    }

    /// Returns the number of consecutive trials that train the same point.
    pub fn repeats(&self) -> u32 {
        self.algorithm().repeats()
    }

    /// Returns the number of trials that are drawn from the prior before a model proposes, or `None` if there is no model.
    pub fn startup(&self) -> Option<u32> {
        self.algorithm().startup()
    }

    /// Returns how to make the split that the proposal of a trial reads, or `None` if it does not read one. `imported` says
    /// whether there are imported trials: see [`reads_history`](Self::reads_history).
    pub fn split(&self, trial_idx: u32, imported: bool) -> Option<Rule> {
        self.algorithm().rule().filter(|_| self.may_model(trial_idx, imported))
    }

    /// Returns how to make the split that the proposals of a bracket's first rung read, from the first rung of the bracket before, or
    /// `None` if they read none.
    pub fn split_of_brackets(&self) -> Option<Rule> {
        self.algorithm().rule_of_brackets()
    }

    /// Returns whether it reads scores, and not only which trials are good.
    pub fn reads_scores(&self) -> bool {
        self.algorithm().reads_losses()
    }

    /// Returns whether the proposal of a trial reads losses. During start-up nothing is read, unless there are imported trials.
    /// Those count as start-up trials, but their number is not known before they are read.
    pub fn reads_history(&self, trial_idx: u32, imported: bool) -> bool {
        self.algorithm().reads_losses() && self.may_model(trial_idx, imported)
    }

    /// Returns the proposal for trial `trial_idx`, counted from 0. Returns `None` if every point that `constraints` allow was
    /// proposed before.
    ///
    /// # Panics
    /// Panics if the space has problems: see [`Space::validate`].
    pub fn propose(
        &self,
        space: &Space,
        constraints: &[Constraint],
        seed: u64,
        trial_idx: u32,
        past: &Past,
    ) -> Option<Proposed> {
        self.propose_within(space, constraints, &|_| true, seed, trial_idx, past)
    }

    /// Does as [`propose`](Self::propose), and proposes only what `limits` allow as well.
    ///
    /// # Panics
    /// As [`propose`](Self::propose).
    pub fn propose_within(
        &self,
        space: &Space,
        constraints: &[Constraint],
        limits: &dyn Fn(&Proposal) -> bool,
        seed: u64,
        trial_idx: u32,
        past: &Past,
    ) -> Option<Proposed> {
        assert!(space.validate().is_empty(), "the space must not have problems");
        self.algorithm().propose(&Request { space, constraints, limits, seed, trial_idx, past })
    }

    fn may_model(&self, trial_idx: u32, imported: bool) -> bool {
        self.startup().is_some_and(|startup| imported || trial_idx >= startup)
    }

    fn inside(&self, problems: Vec<Problem>) -> Vec<Problem> {
        // A problem of the sampler as a whole stays at the sampler. All others are inside its settings.
        let name = Path::here().name(self.name());
        let inside = |problem: Problem| if problem.at == Path::here() { problem } else { problem.inside(&name) };
        problems.into_iter().map(inside).collect()
    }
}

impl Serialize for Sampler {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.settings().map_err(serde::ser::Error::custom)? {
            serde_json::Value::Null => serializer.serialize_str(self.name()),
            settings => serializer.collect_map([(self.name(), settings)]),
        }
    }
}
