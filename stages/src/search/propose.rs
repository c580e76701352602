//! The stage `propose`: one trial's configuration.

use std::collections::{BTreeMap, BTreeSet};

use pipe_store::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    FORMAT, Proposal, Sampler, Space, SpaceProblem, TrialParameters,
    chain::{self, Link},
    split::SplitRecord,
};
use crate::{
    params::record,
    stage::{Context, Inputs, Needs, Outputs, Stage, StageError, StageId},
};

/// Proposes one trial.
///
/// Slots: `split`, the split.json for this trial ([`Sampler::reads_split`]); `previous`, the parameters.json of the trial
/// before it ([`Sampler::reads_previous`]). Outputs: proposal.json, all that a training reads; parameters.json, a link of
/// the chain of parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Propose {
    /// The trial's index, from 0.
    pub trial: u32,
    pub space: Space,
    pub sampler: Sampler,
}

/// proposal.json
#[derive(Serialize)]
struct ProposalRecord<'a> {
    format: u32,
    labels: &'a BTreeMap<String, Value>,
    values: &'a Map<String, Value>,
}

/// parameters.json: a link of a chain.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Parameters {
    format: u32,
    pub(super) trial: u32,
    pub(super) labels: BTreeMap<String, Value>,
    /// The trial's proposal.json.
    pub(super) proposal: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<Digest>,
}

impl Link for Parameters {
    fn format(&self) -> u32 {
        self.format
    }

    fn trial(&self) -> u32 {
        self.trial
    }

    fn previous(&self) -> Option<Digest> {
        self.previous
    }
}

impl Proposal {
    /// Returns the bytes of proposal.json.
    pub fn to_record(&self) -> Vec<u8> {
        record(&ProposalRecord { format: FORMAT, labels: &self.labels, values: &self.values })
    }
}

impl Stage for Propose {
    fn id(&self) -> StageId {
        StageId { name: "propose", version: 1 }
    }

    fn needs(&self) -> Needs {
        Needs { seed: true, device: false }
    }

    fn run(&self, inputs: &Inputs<'_>, context: &Context<'_>) -> Result<Outputs, StageError> {
        refuse("space", &self.space.validate())?;
        refuse("sampler", &self.sampler.validate())?;
        let previous = inputs.digest("previous");
        if previous.is_some() != self.sampler.reads_previous(self.trial) {
            return Err(StageError::failed("the slot `previous` is for all trials but the first"));
        }
        let (history, good) = if self.sampler.reads_split(self.trial) {
            (self.history(inputs)?, self.good(inputs)?)
        } else {
            (Vec::new(), BTreeSet::new())
        };
        let proposal = self.sampler.propose(&self.space, context.seed, self.trial, &history, &good);
        let bytes = proposal.to_record();
        let link = Parameters {
            format: FORMAT,
            trial: self.trial,
            labels: proposal.labels,
            proposal: Digest::of(&bytes),
            previous,
        };
        Ok(Outputs::default().with("proposal.json", bytes).with_json("parameters.json", &link))
    }
}

impl Propose {
    fn history(&self, inputs: &Inputs<'_>) -> Result<Vec<TrialParameters>, StageError> {
        let links: Vec<Parameters> = chain::read(inputs, "previous")?;
        if links.len() != self.trial as usize {
            let message = format!("trial {} is given the parameters of {} trials", self.trial, links.len());
            return Err(StageError::failed(message));
        }
        Ok(links.into_iter().map(|link| TrialParameters { id: link.trial, labels: link.labels }).collect())
    }

    fn good(&self, inputs: &Inputs<'_>) -> Result<BTreeSet<u32>, StageError> {
        let split: SplitRecord = inputs.json("split")?;
        if (split.format, split.trials) != (FORMAT, self.trial) {
            return Err(StageError::failed(format!("the split is of {} trials, not of {}", split.trials, self.trial)));
        }
        Ok(split.good)
    }
}

fn refuse(what: &str, problems: &[SpaceProblem]) -> Result<(), StageError> {
    if problems.is_empty() {
        return Ok(());
    }
    let lines = problems.iter().map(|problem| format!("`{}`: {}", problem.path, problem.message));
    Err(StageError::failed(format!("the {what} cannot be used: {}", lines.collect::<Vec<_>>().join("; "))))
}
