//! The stage `stop`: decides whether a search goes on.

use serde::{Deserialize, Serialize};

use crate::{
    params::is_default,
    records::{HistoryLink, ParametersLink, StopRecord, Version, chain},
    search::{Past, Space, Stoppings, TrialParameters},
    split::points_of,
    stage::{Context, Inputs, Outputs, Stage, StageError, StageId},
};

/// Decides, before a trial is proposed, whether the search goes on.
///
/// Slots:
/// - `history`: the `history.json` of the latest trial whose score may be seen.
/// - `parameters`: the `parameters.json` of that trial. Only if a rule reads them.
///
/// Output: `stop.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// The reasons to stop. One is enough.
    pub rules: Stoppings,
    /// Whether the metric is maximised. A loss is then the negative of a value.
    #[serde(default, skip_serializing_if = "is_default")]
    pub maximise: bool,
    /// The number of consecutive trials that train the same point. 0 stands for 1.
    #[serde(default, skip_serializing_if = "is_default")]
    pub repeats: u32,
    /// The space that is searched. `None` if no rule reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<Space>,
}

impl Stage for Stop {
    fn id(&self) -> StageId {
        StageId { name: "stop", version: 1 }
    }

    fn run(&self, inputs: &Inputs<'_>, _: &Context<'_>) -> Result<Outputs, StageError> {
        let rows: Vec<HistoryLink> = chain::read(inputs, "history")?;
        let links: Vec<ParametersLink> = chain::read(inputs, "parameters")?;
        let past = Past {
            losses: rows.iter().map(HistoryLink::loss_or_worst).collect(),
            trials: (0..).zip(links).map(|(id, link)| TrialParameters { id, labels: link.labels }).collect(),
            ..Past::default()
        };
        let nothing = Space::default();
        let space = self.space.as_ref().unwrap_or(&nothing);
        let sign = if self.maximise { -1.0 } else { 1.0 };
        let mut reasons = self.rules.0.iter();
        let repeats = self.repeats.max(1);
        let reason = if rows.iter().all(|row| row.others.is_empty()) {
            reasons.find_map(|rule| rule.reason(space, &past, repeats, sign))
        } else {
            let points = points_of(&rows, repeats);
            reasons.find_map(|rule| rule.reason_of_several(&points))
        };
        Ok(Outputs::default().with_record(&StopRecord { format: Version, stop: reason.is_some(), reason }))
    }
}
