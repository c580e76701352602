//! The sampler `Grid`: every point of a finite space in order.

use super::algorithm::{Algorithm, Length, Proposed, Request};
use crate::{
    parameters,
    params::Domain,
    problem::{Path, Problem},
    search::spaces::{Space, in_order},
    words::one_of,
};

parameters! {
    /// Settings of the sampler `Grid`.
    ///
    /// Trial i is repetition `i % repeats` of point `i / repeats`. Options and steps come in the order of their declaration. Keys
    /// of the space come in alphabetical order, after those in `order`. The last label changes fastest.
    #[derive(Eq)]
    pub struct Grid = defaults {
        /// The number of times that each point is trained, each time with another seed.
        repeats: u32 [Domain::Whole(1..=1000)] = 1,
        /// Keys of the space that come before the others. The first changes slowest.
        order: Vec<String> = Vec::new(),
    }
}

impl Algorithm for Grid {
    fn misfits(&self, space: &Space, searched: &Space) -> Vec<Problem> {
        let endless = searched.endless_label().map(|label| {
            let found = format!("a grid cannot have label `{label}`, which has infinitely many values");
            let help = "give it a `Choice`, an `IntRange`, or a `FloatRange` with a `step`";
            Problem::new(Path::here(), found).help(help)
        });
        let unknown = self.order.iter().enumerate().filter(|(_, key)| !space.keys().any(|known| known == *key));
        let unknown = unknown.map(|(i, key)| {
            let problem = Problem::new(Path::here().name("order").index(i), format!("the space has no key `{key}`"));
            problem.expected(one_of(space.keys())).did_you_mean(key, space.keys())
        });
        endless.into_iter().chain(unknown).collect()
    }

    fn length(&self) -> Length {
        Length::Points
    }

    fn repeats(&self) -> u32 {
        self.repeats
    }

    fn propose(&self, request: &Request<'_>) -> Option<Proposed> {
        let mut points = in_order(request.space, &self.order)?.filter(|point| request.allows(point));
        let proposal = points.nth((request.trial_idx / self.repeats) as usize)?;
        Some(Proposed { proposal, by: "grid: the next point" })
    }
}
