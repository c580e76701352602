//! What a search needs to know of its trials.

use std::sync::Arc;

use pipe_stages::{
    StageName,
    fetch::Surroundings,
    network::training::Objective,
    params::Hyper,
    stage::Stage,
    train::{Limited, Limits},
};
use serde_json::Value;

use crate::{
    how::How,
    pipeline::{
        mistake::Mistake,
        source::Span,
        stage::{Expansion, Here, Input, StageSpec},
        term::Term,
    },
};

/// How a trial of a search is made: trained by `pipe`, or by a program of the user's own.
pub(in crate::pipeline) trait Trial: StageSpec {
    /// Returns the stage that a trial executes.
    fn stage_name(&self) -> StageName;

    /// Adds the nodes that it reads from, and returns its inputs. `name` is the stage that the trial belongs to.
    fn inputs(&self, name: &str, plan: &mut Expansion<'_>) -> TrialInputs;

    /// Returns the stage with this number of epochs instead of its own, and its parameters as they enter an action. `horizon` is the
    /// most epochs that the search can ask for.
    fn with_epochs(&self, epochs: Option<u32>, horizon: Option<u32>) -> (Arc<dyn Stage>, Arc<Value>);

    /// Returns `limits` with what else decides the size of its network, and the input with the labels of its images. `None` if it
    /// trains no network of `pipe`.
    fn limited(&self, limits: &Limits, plan: &mut Expansion<'_>) -> Option<(Limited, Input<'static>)> {
        let _ = (limits, plan);
        None
    }

    /// Returns what it is scored by, if that is known.
    fn objective(&self) -> Option<&Objective>;

    /// Returns the number of epochs, if there is one.
    fn epochs(&self) -> Option<Hyper<u32>>;

    /// Returns how its program is run, if it runs one.
    fn how(&self) -> Option<Arc<How>> {
        None
    }

    /// Complains about a trial that does not fit its search, which is `here`. `term` is the trial as it is written, and `objective`
    /// the place of the search's objective.
    fn check_as_trial(&self, term: &Term, objective: Span, here: &Here<'_, '_>, mistakes: &mut Vec<Mistake>);

    /// Does as [`StageSpec::look_up`].
    fn look_up_trial(&self, around: &Surroundings<'_>, mistakes: &mut Vec<Mistake>) -> Option<Arc<dyn Trial>> {
        let _ = (around, mistakes);
        None
    }
}

/// The inputs of a trial: slot, node and path.
#[derive(Debug, Default)]
pub(in crate::pipeline) struct TrialInputs(Vec<(String, usize, String)>);

impl TrialInputs {
    /// Adds an input.
    pub(in crate::pipeline) fn add(&mut self, slot: impl Into<String>, node: usize, path: &str) {
        self.0.push((slot.into(), node, path.to_owned()));
    }

    /// Gives the inputs in the slot `from` the slot `to`.
    pub(in crate::pipeline) fn rename(&mut self, from: &str, to: &str) {
        self.0.iter_mut().filter(|(slot, ..)| slot == from).for_each(|(slot, ..)| *slot = to.to_owned());
    }

    /// Returns the inputs.
    pub(in crate::pipeline) fn iter(&self) -> impl Iterator<Item = Input<'_>> + Clone {
        self.0.iter().map(|(slot, node, path)| (slot.as_str(), *node, path.as_str()))
    }
}
