//! The sampler `Tpe`: a tree-structured Parzen estimator.
//!
//! Source: Bergstra, Bardenet, Bengio and Kégl, "Algorithms for hyper-parameter optimization", NIPS 2011.

pub(crate) mod hyperopt;
mod joint;
mod kernels;
mod settings;

pub use settings::{Mode, Tpe};

use super::{
    algorithm::{Algorithm, Request, out_of_range},
    rule::Rule,
};
use crate::{problem::Problem, search::spaces::Proposal};

impl Algorithm for Tpe {
    fn problems(&self) -> Vec<Problem> {
        let gamma = self.gamma.unwrap_or(1.0);
        let (candidates, prior_weight, forgetting) = (self.candidates(), self.prior_weight(), self.forgetting());
        let problems = [
            out_of_range("gamma", gamma, gamma.is_finite() && gamma > 0.0, "a number above 0"),
            out_of_range("candidates", candidates, (1..=10_000).contains(&candidates), "1 to 10000"),
            out_of_range("prior_weight", prior_weight, (0.001..=1e6).contains(&prior_weight), "0.001 to 1000000"),
            out_of_range("forgetting", forgetting, forgetting >= 1, "at least 1"),
        ];
        problems.into_iter().flatten().collect()
    }

    fn startup(&self) -> Option<u32> {
        Some(Tpe::startup(self))
    }

    fn rule(&self) -> Option<Rule> {
        Some(Tpe::rule(self))
    }

    fn draw(&self, request: &Request<'_>, attempt: u32) -> Proposal {
        if !request.is_past(Tpe::startup(self)) {
            return request.drawn_from_prior(attempt);
        }
        match self.mode {
            Mode::Joint => joint::propose(request.space, self, request.chance(attempt), request.past),
            Mode::Hyperopt => hyperopt::propose(request.space, self, request.chance(attempt), request.past),
        }
    }
}
