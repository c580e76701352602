//! The stage `propose`: proposes the configuration of one trial.

#[cfg(test)]
mod tests;

use std::{cell::RefCell, collections::BTreeMap};

use pipe_store::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    params::is_default,
    problem::Problem,
    records::{HistoryLink, Imported, Labels, ParametersLink, Proposal, Record, SplitRecord, Version, chain},
    search::{Constraint, Past, Proposed, Sampler, Space, Split, TrialParameters, given, means, misfits},
    split::imported_trials,
    stage::{Context, Inputs, Needs, Outputs, Stage, StageError, StageId},
    train::{Cost, Limited},
};

/// Proposes one trial.
///
/// Slots:
/// - `split`: the `split.json` for this trial, if [`Sampler::split`] returns a rule. If [`Sampler::split_of_brackets`] does, the one of
///   its bracket, except in the first bracket.
/// - `history`: the `history.json` of the latest trial whose score the sampler may see, if [`Sampler::reads_history`].
/// - `previous`: the `parameters.json` of the trial before. Not connected for trial 0.
/// - `imported`: the trials of another search. Optional.
/// - `labels`: the labels of the images. Only if there are `limits`.
///
/// Outputs:
/// - `proposal.json`: the only output that a training reads.
/// - `parameters.json`: a link of the chain of parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Propose {
    /// The trial's index, from 0.
    pub trial: u32,
    /// The space that is searched.
    pub space: Space,
    /// The constraints on every proposal.
    #[serde(default, skip_serializing_if = "is_default")]
    pub constraints: Vec<Constraint>,
    /// The limits on the network of the trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limited>,
    /// The values of labels that this trial has in any case. The others are drawn from the prior.
    #[serde(default, skip_serializing_if = "is_default")]
    pub given: BTreeMap<String, Value>,
    /// The number of consecutive trials that train the same point, and count as one trial for the sampler. The first of them is
    /// proposed, and the others repeat it. 0 stands for 1.
    #[serde(default, skip_serializing_if = "is_default")]
    pub repeats: u32,
    /// The method that proposes the trial.
    pub sampler: Sampler,
}

/// Returns the outputs of a trial with the configuration `labels`, which `by` proposed, recorded as `proposal`.
pub(crate) fn outputs(
    trial: u32,
    labels: BTreeMap<String, Value>,
    by: &str,
    proposal: Vec<u8>,
    previous: Option<Digest>,
) -> Outputs {
    let link = ParametersLink {
        format: Version,
        trial,
        labels,
        by: Some(by.to_owned()),
        proposal: Digest::of(&proposal),
        previous,
    };
    Outputs::default().with(Proposal::FILE, proposal).with_record(&link)
}

/// Who proposed a trial that repeats the one before it.
const REPEATED: &str = "repeat: the point of the trial before";
/// Who proposed a trial that the user gives.
const GIVEN: &str = "first: given";

impl Stage for Propose {
    fn id(&self) -> StageId {
        StageId { name: "propose", version: 4 }
    }

    fn needs(&self) -> Needs {
        Needs { seed: true, ..Needs::default() }
    }

    fn run(&self, inputs: &Inputs<'_>, context: &Context<'_>) -> Result<Outputs, StageError> {
        refuse("space", self.space.validate())?;
        for constraint in &self.constraints {
            refuse("constraint", &constraint.validate(&self.space))?;
        }
        let links: Vec<ParametersLink> = chain::read(inputs, "previous")?;
        if links.len() != self.trial as usize {
            let message = format!("trial {} was given the parameters of {} trials", self.trial, links.len());
            return Err(StageError::failed(message));
        }
        let repeats = self.repeats.max(1);
        if let (Some(last), true) = (links.last(), !self.trial.is_multiple_of(repeats)) {
            let proposal = inputs.object(&last.proposal)?.to_vec();
            return Ok(outputs(self.trial, last.labels.clone(), REPEATED, proposal, inputs.digest("previous")));
        }
        let point = self.trial / repeats;
        let past = self.past(point, links.into_iter().step_by(repeats as usize), inputs)?;
        let labels = self.limits.as_ref().map(|_| inputs.record::<Labels>("labels")).transpose()?;
        let limits = self.limits.as_ref().zip(labels.as_ref());
        // The smallest network that was not allowed, and why one could not be built.
        let refused: RefCell<(Option<Cost>, Option<String>)> = RefCell::default();
        let allows = |proposal: &Proposal| {
            let Some((limited, labels)) = limits else { return true };
            match limited.cost(proposal, labels) {
                Ok(cost) if limited.limits.allow(&cost) => return true,
                Ok(cost) => {
                    let (smallest, _) = &mut *refused.borrow_mut();
                    if smallest.is_none_or(|known| cost.parameters < known.parameters) {
                        *smallest = Some(cost);
                    }
                }
                Err(why) => drop(refused.borrow_mut().1.get_or_insert(why)),
            }
            false
        };
        let (space, constraints) = (&self.space, &self.constraints);
        let proposal = if self.given.is_empty() {
            self.sampler.propose_within(space, constraints, &allows, context.seed, point, &past)
        } else {
            refuse("given values", &misfits(space, &self.given))?;
            let known: Vec<_> = past.trials.iter().map(|trial| &trial.labels).collect();
            given(space, constraints, &allows, (context.seed, point), &self.given, &known)
                .map(|proposal| Proposed { proposal, by: GIVEN })
        };
        let Some(Proposed { proposal, by }) = proposal else {
            return Err(self.nothing_left(&refused.into_inner()));
        };
        let bytes = proposal.to_record();
        Ok(outputs(self.trial, proposal.labels, by, bytes, inputs.digest("previous")))
    }
}

impl Propose {
    /// Returns the error that nothing is left to propose. `refused` is the smallest network that the limits do not allow, and why
    /// one could not be built.
    fn nothing_left(&self, refused: &(Option<Cost>, Option<String>)) -> StageError {
        let trial = self.trial;
        if !self.given.is_empty() {
            let given = serde_json::to_string(&self.given).expect("values are plain data");
            let message = format!(
                "the constraints, the limits or an earlier trial leave nothing of `first` {given} for trial {trial}"
            );
            return StageError::failed_with_hint(message, "change it, or loosen the constraints or limits");
        }
        let Some(limited) = &self.limits else {
            let message = format!("for trial {trial} there is nothing new left that the constraints allow");
            return StageError::failed_with_hint(message, "ask for fewer trials, or loosen the constraints");
        };
        let limits = &limited.limits;
        let found = match refused {
            (Some(smallest), _) => format!(": the smallest that was drawn has {smallest}"),
            (None, Some(why)) => format!(": no network that was drawn can be built, since {why}"),
            (None, None) => String::new(),
        };
        let message = format!("for trial {trial} no new network was found that fits {limits}{found}");
        let hint = match trial {
            0 => "raise the limits, or give the space smaller networks".to_owned(),
            n => format!("ask for {n} trials, raise the limits, or give the space smaller networks"),
        };
        StageError::failed_with_hint(message, hint)
    }

    /// Returns what is known before the point number `point` is proposed. `links` are those of the first trials of all points.
    fn past(
        &self,
        point: u32,
        links: impl Iterator<Item = ParametersLink>,
        inputs: &Inputs<'_>,
    ) -> Result<Past, StageError> {
        let is_imported = inputs.digest("imported").is_some();
        let imported = imported_trials(inputs)?;
        for (i, trial) in imported.iter().enumerate() {
            trial.fits(&self.space).map_err(|why| StageError::failed(format!("imported trial {i}: {why}")))?;
        }
        let mut past = Past::default();
        let is_modelled = self.given.is_empty();
        // The first bracket of a sampler with brackets has no split.
        let of_bracket = self.sampler.split_of_brackets().is_some() && inputs.digest("split").is_some();
        if is_modelled && (of_bracket || self.sampler.split(point, is_imported).is_some()) {
            let split: SplitRecord = inputs.record("split")?;
            let trials = imported.len() as u32 + point;
            if split.trials != trials {
                return Err(StageError::failed(format!("the split has {} trials, expected {trials}", split.trials)));
            }
            let SplitRecord { good, fair, pending, left_out, .. } = split;
            past.split = Split { good, fair, pending, left_out };
        }
        if is_modelled && self.sampler.reads_history(point, is_imported) {
            let rows: Vec<HistoryLink> = chain::read(inputs, "history")?;
            if rows.len() > self.trial as usize {
                let message = format!("trial {} was given the scores of {} trials", self.trial, rows.len());
                return Err(StageError::failed(message));
            }
            past.losses = imported.iter().map(Imported::loss_or_worst).collect();
            let own: Vec<f64> = rows.iter().map(HistoryLink::loss_or_worst).collect();
            past.losses.extend(means(&own, self.repeats.max(1)));
        }
        let labels = imported.into_iter().map(|trial| trial.labels).chain(links.map(|link| link.labels));
        past.trials = (0..).zip(labels).map(|(id, labels)| TrialParameters { id, labels }).collect();
        Ok(past)
    }
}

fn refuse(what: &str, problems: &[Problem]) -> Result<(), StageError> {
    if problems.is_empty() {
        return Ok(());
    }
    let line = |Problem { at, found, expected, .. }: &Problem| match expected {
        Some(expected) => format!("`{at}`: {found}, expected {expected}"),
        None => format!("`{at}`: {found}"),
    };
    let lines = problems.iter().map(line);
    Err(StageError::failed(format!("the {what} cannot be used: {}", lines.collect::<Vec<_>>().join("; "))))
}
