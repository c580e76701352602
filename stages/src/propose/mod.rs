//! The stage `propose`: proposes the configuration of one trial.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use pipe_store::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    params::is_default,
    problem::Problem,
    records::{HistoryLink, Imported, ParametersLink, Proposal, Record, SplitRecord, Version, chain},
    search::{Constraint, Past, Proposed, Sampler, Space, Split, TrialParameters},
    split::imported_trials,
    stage::{Context, Inputs, Needs, Outputs, Stage, StageError, StageId},
};

/// Proposes one trial.
///
/// Slots:
/// - `split`: the `split.json` for this trial, if [`Sampler::split`] returns a rule. If [`Sampler::split_of_brackets`] does, the one of
///   its bracket, except in the first bracket.
/// - `history`: the `history.json` of the latest trial whose score the sampler may see, if [`Sampler::reads_history`].
/// - `previous`: the `parameters.json` of the trial before. Not connected for trial 0.
/// - `imported`: the trials of another search. Optional.
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

impl Stage for Propose {
    fn id(&self) -> StageId {
        StageId { name: "propose", version: 3 }
    }

    fn needs(&self) -> Needs {
        Needs { seed: true, ..Needs::default() }
    }

    fn run(&self, inputs: &Inputs<'_>, context: &Context<'_>) -> Result<Outputs, StageError> {
        refuse("space", self.space.validate())?;
        for constraint in &self.constraints {
            refuse("constraint", &constraint.validate(&self.space))?;
        }
        let past = self.past(inputs)?;
        let proposal = self.sampler.propose(&self.space, &self.constraints, context.seed, self.trial, &past);
        let Some(Proposed { proposal, by }) = proposal else {
            let message = format!("for trial {} there is nothing new left that the constraints allow", self.trial);
            return Err(StageError::failed_with_hint(message, "ask for fewer trials, or loosen the constraints"));
        };
        let bytes = proposal.to_record();
        Ok(outputs(self.trial, proposal.labels, by, bytes, inputs.digest("previous")))
    }
}

impl Propose {
    fn past(&self, inputs: &Inputs<'_>) -> Result<Past, StageError> {
        let links: Vec<ParametersLink> = chain::read(inputs, "previous")?;
        if links.len() != self.trial as usize {
            let message = format!("trial {} was given the parameters of {} trials", self.trial, links.len());
            return Err(StageError::failed(message));
        }
        let is_imported = inputs.digest("imported").is_some();
        let imported = imported_trials(inputs)?;
        for (i, trial) in imported.iter().enumerate() {
            trial.fits(&self.space).map_err(|why| StageError::failed(format!("imported trial {i}: {why}")))?;
        }
        let mut past = Past::default();
        // The first bracket of a sampler with brackets has no split.
        let of_bracket = self.sampler.split_of_brackets().is_some() && inputs.digest("split").is_some();
        if of_bracket || self.sampler.split(self.trial, is_imported).is_some() {
            let split: SplitRecord = inputs.record("split")?;
            let trials = imported.len() as u32 + self.trial;
            if split.trials != trials {
                return Err(StageError::failed(format!("the split has {} trials, expected {trials}", split.trials)));
            }
            let SplitRecord { good, fair, pending, left_out, .. } = split;
            past.split = Split { good, fair, pending, left_out };
        }
        if self.sampler.reads_history(self.trial, is_imported) {
            let rows: Vec<HistoryLink> = chain::read(inputs, "history")?;
            if rows.len() > self.trial as usize {
                let message = format!("trial {} was given the scores of {} trials", self.trial, rows.len());
                return Err(StageError::failed(message));
            }
            past.losses = imported.iter().map(Imported::loss_or_worst).collect();
            past.losses.extend(rows.iter().map(HistoryLink::loss_or_worst));
        }
        let labels = imported.into_iter().map(|trial| trial.labels).chain(links.into_iter().map(|link| link.labels));
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
