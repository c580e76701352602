//! The sampler `Tpe`: a tree-structured Parzen estimator.
//!
//! Source: Bergstra, Bardenet, Bengio and Kégl, "Algorithms for hyper-parameter optimization", NIPS 2011.

pub(crate) mod hyperopt;
mod joint;
mod kernels;
mod settings;

pub use settings::{Mode, Tpe};

use super::{
    algorithm::{Algorithm, Proposed, Request, STARTING_UP},
    rule::Rule,
};

impl Algorithm for Tpe {
    fn startup(&self) -> Option<u32> {
        Some(Tpe::startup(self))
    }

    fn rule(&self) -> Option<Rule> {
        Some(Tpe::rule(self))
    }

    fn draw(&self, request: &Request<'_>, attempt: u32) -> Proposed {
        if !request.is_past(Tpe::startup(self)) {
            return request.draw_of_prior(attempt, STARTING_UP);
        }
        match self.mode {
            Mode::Joint => joint::propose(request.space, self, request.chance(attempt), request.past),
            Mode::Hyperopt => {
                let proposal = hyperopt::propose(request.space, self, request.chance(attempt), request.past);
                Proposed { proposal, by: "tpe: good over bad density" }
            }
        }
    }
}
