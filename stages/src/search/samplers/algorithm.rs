//! The trait of all samplers: what a sampler reads, how long its searches are, and how it proposes.

use std::{collections::BTreeMap, ops::Range};

use serde_json::Value;

use super::{
    draws::{self, Chance},
    rule::{Rule, Split},
    rungs::Bracket,
};
use crate::{
    params::Domain,
    problem::Problem,
    search::spaces::{Constraint, Proposal, Space, all},
};

/// A sampler with its settings. The default methods are those of [`Random`](super::Random).
pub(crate) trait Algorithm {
    /// Returns the reasons why the sampler cannot search `searched`, which is `space` without its fixed labels. Paths start at
    /// the settings.
    fn misfits(&self, _space: &Space, _searched: &Space) -> Vec<Problem> {
        Vec::new()
    }

    /// Returns what decides the number of trials.
    fn length(&self) -> Length {
        Length::Given
    }

    /// Returns the brackets of a search whose trials have at most `max_epochs`. Empty unless [`Length::Brackets`].
    fn brackets(&self, _max_epochs: u32) -> Vec<Bracket> {
        Vec::new()
    }

    /// Returns the number of consecutive trials that train the same point.
    fn repeats(&self) -> u32 {
        1
    }

    /// Returns the number of trials that are drawn from the prior before a model proposes, or `None` if there is no model.
    fn startup(&self) -> Option<u32> {
        None
    }

    /// Returns how trials are split into good and bad ones, or `None` if the model does not read a split. A model that reads a
    /// split does not read losses.
    fn rule(&self) -> Option<Rule> {
        None
    }

    /// Returns how the trials of a first rung are split into good and bad ones for the first rung of the next bracket, or `None` if
    /// every first rung is drawn from the prior.
    fn rule_of_brackets(&self) -> Option<Rule> {
        None
    }

    /// Returns whether the model reads losses.
    fn reads_losses(&self) -> bool {
        false
    }

    /// Returns a proposal. If it was made before or is not allowed, the next attempt is drawn.
    fn draw(&self, request: &Request<'_>, attempt: u32) -> Proposed {
        request.draw_of_prior(attempt, A_DRAW)
    }

    /// Returns a new proposal that is allowed, or `None` if there is none left.
    fn propose(&self, request: &Request<'_>) -> Option<Proposed> {
        let drawn = DRAWS.map(|attempt| self.draw(request, attempt));
        let mut drawn = drawn.chain(PRIOR_DRAWS.map(|attempt| request.draw_of_prior(attempt, NOTHING_NEW)));
        let is_new = |proposal: &Proposal| request.is_new(proposal) && request.allows(proposal);
        drawn.find(|drawn| is_new(&drawn.proposal)).or_else(|| {
            let proposal = all(request.space)?.find(is_new)?;
            Some(Proposed { proposal, by: LEFT_OVER })
        })
    }
}

/// The attempts in which the sampler itself draws.
const DRAWS: Range<u32> = 0..20;
/// The attempts after those, in which the prior draws. If they all fail, the first new point of a finite space is taken.
const PRIOR_DRAWS: Range<u32> = 20..120;

/// How many trials may be drawn from the prior before a model proposes.
pub(super) const STARTUP: Domain = Domain::Whole(0..=100_000);

/// What decides the number of trials of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// The user gives it.
    Given,
    /// Every point of the space is proposed. The user may give a smaller number.
    Points,
    /// The sampler's brackets decide it.
    Brackets,
}

/// What a sampler knows about an earlier trial.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialParameters {
    /// The trial's number. Imported trials have the first numbers.
    pub id: u32,
    /// The value of each active label: [`Proposal::labels`].
    pub labels: BTreeMap<String, Value>,
}

/// What a sampler knows when it proposes a trial.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Past {
    /// All earlier trials, by id. Imported trials come first.
    pub trials: Vec<TrialParameters>,
    /// Which trials are good. Empty for a sampler that does not read a split.
    pub split: Split,
    /// The losses of the first trials. The later trials are pending. The loss of a failed trial is infinite. Empty for a sampler
    /// that does not read losses.
    pub losses: Vec<f64>,
}

/// A proposal, and what made it.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposed {
    /// The configuration.
    pub proposal: Proposal,
    /// The part of the sampler that made it, and how: see [`By`].
    pub by: By,
}

/// The part of a sampler that made a proposal, and how: `gaussian: expected improvement`.
pub type By = &'static str;

/// A draw of a sampler without a model.
pub(crate) const A_DRAW: By = "prior: a draw";
/// A start-up trial of a model.
pub(crate) const STARTING_UP: By = "prior: start-up";
/// A draw after the sampler itself found nothing new.
const NOTHING_NEW: By = "prior: the sampler found nothing new";
/// A point of a finite space that is almost exhausted.
const LEFT_OVER: By = "points: the first that is left";

/// The request for a proposal.
pub(crate) struct Request<'a> {
    pub(crate) space: &'a Space,
    pub(crate) constraints: &'a [Constraint],
    /// What a proposal must keep to besides the constraints.
    pub(crate) limits: &'a dyn Fn(&Proposal) -> bool,
    pub(crate) seed: u64,
    pub(crate) trial_idx: u32,
    pub(crate) past: &'a Past,
}

impl Request<'_> {
    /// Returns the source of the random numbers of an attempt.
    pub(crate) fn chance(&self, attempt: u32) -> Chance {
        Chance { seed: self.seed, trial_idx: self.trial_idx, attempt }
    }

    /// Returns a proposal drawn from the prior. `by` says why.
    pub(crate) fn draw_of_prior(&self, attempt: u32, by: By) -> Proposed {
        let chance = self.chance(attempt);
        let proposal = self.space.settle(&mut |label, kind| draws::prior(kind, &mut chance.of(label)));
        Proposed { proposal, by }
    }

    /// Returns whether there are at least `startup` earlier trials, and at least one.
    pub(crate) fn is_past(&self, startup: u32) -> bool {
        let n = self.past.trials.len();
        n >= startup as usize && n > 0
    }

    /// Returns whether the constraints and limits allow the proposal.
    pub(crate) fn allows(&self, proposal: &Proposal) -> bool {
        self.constraints.iter().all(|constraint| constraint.holds(&proposal.labels)) && (self.limits)(proposal)
    }

    fn is_new(&self, proposal: &Proposal) -> bool {
        self.past.trials.iter().all(|trial| trial.labels != proposal.labels)
    }
}
