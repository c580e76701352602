//! The stage `promote`: promotes one of the best trials of a rung to the next rung.

use serde::{Deserialize, Serialize};

use crate::{
    propose::outputs,
    records::{HistoryLink, ParametersLink, chain},
    stage::{Context, Inputs, Outputs, Stage, StageError, StageId},
};

/// Gives a trial the configuration of one of the best trials of a rung. Its training continues from where the promoted trial
/// stopped.
///
/// Slots:
/// - `history`: the `history.json` of the rung's last trial.
/// - `previous`: the `parameters.json` of the trial before this one.
///
/// Outputs:
/// - `proposal.json`: equal to the promoted trial's, byte for byte.
/// - `parameters.json`: a link of the chain of parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promote {
    /// The trial's index, from 0.
    pub trial: u32,
    /// The first and the last trial of the rung.
    pub rung: (u32, u32),
    /// The rank of the promoted trial in the rung, 0 for the best. Of two trials with equal losses, the earlier is better. Trials
    /// without a score come last.
    pub rank: u32,
}

impl Stage for Promote {
    fn id(&self) -> StageId {
        StageId { name: "promote", version: 2 }
    }

    fn run(&self, inputs: &Inputs<'_>, _: &Context<'_>) -> Result<Outputs, StageError> {
        let rows: Vec<HistoryLink> = chain::read(inputs, "history")?;
        let parameters: Vec<ParametersLink> = chain::read(inputs, "previous")?;
        let (first, last) = self.rung;
        if first > last || last >= self.trial {
            let message = format!("trial {} is promoted from the rung of trials {first} to {last}", self.trial);
            return Err(StageError::failed(message));
        }
        if rows.len() != last as usize + 1 || parameters.len() != self.trial as usize {
            let (n, m) = (rows.len(), parameters.len());
            let message = format!("trial {} was given the scores of {n} trials and the parameters of {m}", self.trial);
            return Err(StageError::failed(message));
        }
        let mut rung: Vec<&HistoryLink> = rows[first as usize..].iter().collect();
        rung.sort_by(|a, b| a.loss_or_worst().total_cmp(&b.loss_or_worst()).then(a.trial.cmp(&b.trial)));
        let Some(promoted) = rung.get(self.rank as usize) else {
            return Err(StageError::failed(format!(
                "the rung has {} trials, so none has rank {}",
                rung.len(),
                self.rank
            )));
        };
        let link = parameters[promoted.trial as usize].clone();
        let proposal = inputs.object(&link.proposal)?.to_vec();
        Ok(outputs(
            self.trial,
            link.labels,
            "promotion: one of the best of its rung",
            proposal,
            inputs.digest("previous"),
        ))
    }
}
