//! The messages for the HParams plugin: the search space, and each trial as a session.

use serde_json::Value;

use super::{
    events,
    proto::{
        Experiment, HParamInfo, HParamType, HParams, ListOfValues, MetricInfo, MetricName, ProtoValue, SessionEndInfo,
        SessionStartInfo, SessionStatus, SummaryValue,
    },
};
use crate::{
    text::cell,
    trials::{TrialRow, label_names},
};

/// Returns the hyperparameters and metrics of all trials, for the folder of all runs.
pub(super) fn experiment(rows: &[TrialRow], metrics: &[String]) -> SummaryValue {
    let hparam_infos = label_names(rows).into_iter().map(|label| {
        let is_number = is_number(rows, &label);
        let kind = if is_number { HParamType::Float64 } else { HParamType::String };
        // The plugin shows the levels as a list to choose from.
        let levels = (!is_number)
            .then(|| ListOfValues { values: levels(rows, &label).into_iter().map(ProtoValue::string).collect() });
        HParamInfo { name: label, r#type: kind.into(), domain_discrete: levels }
    });
    let metric_infos = metrics.iter().map(|metric| MetricInfo { name: Some(MetricName { tag: metric.clone() }) });
    let experiment = Experiment { hparam_infos: hparam_infos.collect(), metric_infos: metric_infos.collect() };
    events::hparams("_hparams_/experiment", HParams::Experiment(experiment))
}

/// Returns the hyperparameters of one trial.
pub(super) fn session_start(rows: &[TrialRow], row: &TrialRow, started: f64) -> SummaryValue {
    let value = |(label, value): (&String, &Value)| {
        let value = match (is_number(rows, label), value.as_f64()) {
            (true, Some(number)) => ProtoValue::number(number),
            // `none` is left out among numbers. Among strings it is a string.
            (true, None) => return None,
            (false, _) => ProtoValue::string(cell(value)),
        };
        Some((label.clone(), value))
    };
    let start = SessionStartInfo {
        hparams: row.labels.iter().filter_map(value).collect(),
        group_name: format!("{}/{:03}", row.search, row.index),
        start_time_secs: started,
    };
    events::hparams("_hparams_/session_start_info", HParams::SessionStart(start))
}

/// Returns how one trial ended.
pub(super) fn session_end(row: &TrialRow, ended: f64) -> SummaryValue {
    let status = if row.is_completed() { SessionStatus::Success } else { SessionStatus::Failure };
    let end = SessionEndInfo { status: status.into(), end_time_secs: ended };
    events::hparams("_hparams_/session_end_info", HParams::SessionEnd(end))
}

/// Returns whether all values of a label are numbers or `none`.
fn is_number(rows: &[TrialRow], label: &str) -> bool {
    let mut values = rows.iter().filter_map(|row| row.labels.get(label));
    values.all(|value| value.is_number() || value.is_null())
}

fn levels(rows: &[TrialRow], label: &str) -> Vec<String> {
    let levels: std::collections::BTreeSet<_> = rows.iter().filter_map(|row| row.labels.get(label)).map(cell).collect();
    levels.into_iter().collect()
}
