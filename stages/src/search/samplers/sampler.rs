//! The table of samplers, and how one is written as JSON.

use serde::{Serialize, Serializer};

use super::{
    algorithm::{Algorithm, Length, Past, Request},
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

// A sampler is its settings, which are declared, have a default and implement `Algorithm`.
macro_rules! samplers {
    ($($(#[doc = $doc:literal])* $name:ident;)*) => {
        choices! {
            /// What proposes trials. In JSON `"Random"`, `"Tpe"` or `{"Tpe":{"startup":4}}`; settings at their default are left
            /// out.
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

// A new sampler is a line here.
samplers! {
    /// Independent draws from the prior.
    Random;
    /// Draws from the prior that are spread evenly: a scrambled Sobol sequence.
    Sobol;
    /// Every point of a finite space in order.
    Grid;
    /// A tree-structured Parzen estimator.
    Tpe;
    /// The greatest expected improvement under a Gaussian process.
    GaussianProcess;
    /// Draws from the prior that are trained for a few epochs, the best of them for more, in several brackets.
    Hyperband;
    /// One such bracket.
    SuccessiveHalving;
}

impl Sampler {
    /// Returns why the sampler cannot search `space`, given that `searched` is what [`Space::with_fixed`] leaves of it. Paths
    /// start at the sampler.
    pub fn misfits(&self, space: &Space, searched: &Space) -> Vec<Problem> {
        self.inside(self.algorithm().misfits(space, searched))
    }

    /// Returns how the number of trials is known.
    pub fn length(&self) -> Length {
        self.algorithm().length()
    }

    /// Returns the brackets of a search whose trials have at most `max_epochs`, the largest first; empty unless
    /// [`length`](Self::length) is [`Length::Brackets`].
    pub fn brackets(&self, max_epochs: u32) -> Vec<Bracket> {
        self.algorithm().brackets(max_epochs)
    }

    /// Returns how often each point is trained, by consecutive trials.
    pub fn repeats(&self) -> u32 {
        self.algorithm().repeats()
    }

    /// Returns how many trials are drawn from the prior before a model proposes; `None` if no model ever does.
    pub fn startup(&self) -> Option<u32> {
        self.algorithm().startup()
    }

    /// Returns how the split that is read for a trial is made; `None` if no split is read. See
    /// [`reads_history`](Self::reads_history).
    pub fn split(&self, trial_idx: u32, imported: bool) -> Option<Rule> {
        self.algorithm().rule().filter(|_| self.may_model(trial_idx, imported))
    }

    /// Returns whether losses are read for a trial. During start-up nothing is read, unless there are imported trials: they
    /// count, and their number is not known before they are read.
    pub fn reads_history(&self, trial_idx: u32, imported: bool) -> bool {
        self.algorithm().reads_losses() && self.may_model(trial_idx, imported)
    }

    /// Returns the proposal for trial `trial_idx`, counted from 0; `None` if nothing is left that `constraints` allow and that
    /// was not proposed before.
    ///
    /// # Panics
    /// If the space has problems: see [`Space::validate`].
    pub fn propose(
        &self,
        space: &Space,
        constraints: &[Constraint],
        seed: u64,
        trial_idx: u32,
        past: &Past,
    ) -> Option<Proposal> {
        assert!(space.validate().is_empty(), "the space is checked before");
        self.algorithm().propose(&Request { space, constraints, seed, trial_idx, past })
    }

    fn may_model(&self, trial_idx: u32, imported: bool) -> bool {
        self.startup().is_some_and(|startup| imported || trial_idx >= startup)
    }

    fn inside(&self, problems: Vec<Problem>) -> Vec<Problem> {
        // What concerns the sampler as a whole stays there; the name leads to the settings.
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
