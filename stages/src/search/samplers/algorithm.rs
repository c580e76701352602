//! What a sampler is: its settings, what it reads and needs, and how it proposes.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use serde_json::Value;

use super::{
    draws::{self, Chance},
    rule::Rule,
    rungs::Bracket,
};
use crate::{
    problem::Problem,
    search::spaces::{Constraint, Proposal, Space, all},
};

/// A sampler with its settings. Only what it does differently from [`Random`](super::Random) needs to be written.
pub(crate) trait Algorithm {
    /// Returns why the sampler cannot search the second space, which is what fixed labels leave of the first. Paths start at the settings.
    fn misfits(&self, _space: &Space, _searched: &Space) -> Vec<Problem> {
        Vec::new()
    }

    /// Returns how the number of trials is known.
    fn length(&self) -> Length {
        Length::Given
    }

    /// Returns the brackets of a search whose trials have at most `max_epochs`; empty unless [`Length::Brackets`].
    fn brackets(&self, _max_epochs: u32) -> Vec<Bracket> {
        Vec::new()
    }

    /// Returns how often each point is trained, by consecutive trials.
    fn repeats(&self) -> u32 {
        1
    }

    /// Returns how many trials are drawn from the prior before a model proposes; `None` if no model ever does.
    fn startup(&self) -> Option<u32> {
        None
    }

    /// Returns how trials are split into good and bad ones, if the model reads the split. It then never reads a loss.
    fn rule(&self) -> Option<Rule> {
        None
    }

    /// Returns whether the model reads losses.
    fn reads_losses(&self) -> bool {
        false
    }

    /// Returns a proposal, which may be an earlier one or one that is not allowed: then the next attempt is drawn.
    fn draw(&self, request: &Request<'_>, attempt: u32) -> Proposal {
        request.drawn_from_prior(attempt)
    }

    /// Returns the proposal: a new one that is allowed; `None` if there is none.
    fn propose(&self, request: &Request<'_>) -> Option<Proposal> {
        let drawn = DRAWS.map(|attempt| self.draw(request, attempt));
        let mut drawn = drawn.chain(PRIOR_DRAWS.map(|attempt| request.drawn_from_prior(attempt)));
        let is_new = |proposal: &Proposal| request.allows(proposal) && request.is_new(proposal);
        drawn.find(is_new).or_else(|| all(request.space)?.find(is_new))
    }
}

/// The attempts that a sampler draws. A proposal that was made before, or that a constraint forbids, is drawn again.
const DRAWS: Range<u32> = 0..20;
/// The attempts after those, drawn from the prior. If none of them is new, a finite space gives its first new point.
const PRIOR_DRAWS: Range<u32> = 20..120;

/// How the number of trials of a search is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// It is given.
    Given,
    /// Every point of the space is proposed, up to a number that may be given.
    Points,
    /// The sampler's brackets say it.
    Brackets,
}

/// What a sampler knows of an earlier trial.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialParameters {
    /// The trial's index; imported trials come first.
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
    /// The losses of the first trials, those whose scores may be seen; infinite for a trial that failed. Empty for a sampler
    /// that reads no history.
    pub losses: Vec<f64>,
}

/// What is asked of a sampler.
pub(crate) struct Request<'a> {
    pub(crate) space: &'a Space,
    pub(crate) constraints: &'a [Constraint],
    pub(crate) seed: u64,
    pub(crate) trial_idx: u32,
    pub(crate) past: &'a Past,
}

impl Request<'_> {
    /// Returns where the random numbers of an attempt come from.
    pub(crate) fn chance(&self, attempt: u32) -> Chance {
        Chance { seed: self.seed, trial_idx: self.trial_idx, attempt }
    }

    /// Returns a proposal drawn from the prior.
    pub(crate) fn drawn_from_prior(&self, attempt: u32) -> Proposal {
        let chance = self.chance(attempt);
        self.space.settle(&mut |label, kind| draws::prior(kind, &mut chance.of(label)))
    }

    /// Returns whether there are enough earlier trials for a model that starts after `startup` of them.
    pub(crate) fn is_past(&self, startup: u32) -> bool {
        let n = self.past.trials.len();
        n >= startup as usize && n > 0
    }

    /// Returns whether the constraints allow the proposal.
    pub(crate) fn allows(&self, proposal: &Proposal) -> bool {
        self.constraints.iter().all(|constraint| constraint.holds(&proposal.labels))
    }

    fn is_new(&self, proposal: &Proposal) -> bool {
        self.past.trials.iter().all(|trial| trial.labels != proposal.labels)
    }
}
