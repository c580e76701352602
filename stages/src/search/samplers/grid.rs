//! The sampler `Grid`: every point of a finite space in order.

use serde::{Deserialize, Serialize};

use super::algorithm::{Algorithm, Length, Request, out_of_range};
use crate::{
    params::is_default,
    problem::{Path, Problem},
    search::spaces::{Proposal, Space, in_order},
    words::one_of,
};

/// Settings of the sampler `Grid`.
///
/// Trial i is repetition `i % repeats` of point `i / repeats`. Options and steps come in the order of their declaration; the
/// last label moves fastest. Labels are in the alphabetical order of the space's keys, except for those in `order`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// How often each point is trained, each time with another seed. 1 to 1000; default 1.
    #[serde(default = "repeats::value", skip_serializing_if = "repeats::is")]
    pub repeats: u32,
    /// Keys of the space that come before all others, the slowest first. Default: none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub order: Vec<String>,
}

crate::defaults! {
    repeats: u32 = 1;
}

impl Default for Grid {
    fn default() -> Self {
        Self { repeats: repeats::value(), order: Vec::new() }
    }
}

impl Algorithm for Grid {
    fn problems(&self) -> Vec<Problem> {
        let is_sound = (1..=1000).contains(&self.repeats);
        out_of_range("repeats", self.repeats, is_sound, "1 to 1000").into_iter().collect()
    }

    fn misfits(&self, space: &Space, searched: &Space) -> Vec<Problem> {
        let endless = searched.endless_label().map(|label| {
            let found = format!("a grid of label `{label}`, which has values without end");
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

    fn propose(&self, request: &Request<'_>) -> Option<Proposal> {
        let mut points = in_order(request.space, &self.order)?.filter(|point| request.allows(point));
        points.nth((request.trial_idx / self.repeats) as usize)
    }
}
