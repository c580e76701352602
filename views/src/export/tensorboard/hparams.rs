//! The HParams plugin's messages (`plugins/hparams/*.proto`): what was searched, and each trial as a session.

use serde_json::Value;

use super::events::plugin;
use crate::{
    export::protobuf::Message,
    text::cell,
    trials::{TrialRow, label_names},
};

/// What was searched over, and which figures are told, for the folder of all runs.
pub(super) fn experiment(rows: &[TrialRow], metrics: &[String]) -> Message {
    let hparams = label_names(rows).into_iter().map(|label| {
        // HParamInfo: name 1, type 4, domain_discrete 5
        let info = Message::default().text(1, &label).int(4, if is_number(rows, &label) { FLOAT64 } else { STRING });
        match is_number(rows, &label) {
            // Words can be chosen from in a list.
            false => {
                info.message(5, Message::default().messages(1, levels(rows, &label).iter().map(|level| string(level))))
            }
            true => info,
        }
    });
    // MetricInfo.name: MetricName.tag
    let metrics = metrics.iter().map(|metric| Message::default().message(1, Message::default().text(2, metric)));
    // Experiment: hparam_infos 4, metric_infos 5
    let experiment = Message::default().messages(4, hparams).messages(5, metrics);
    plugin("_hparams_/experiment", NAME, Message::default().message(2, experiment))
}

/// The hyperparameters of one trial.
pub(super) fn session_start(rows: &[TrialRow], row: &TrialRow, started: f64) -> Message {
    let entry = |(label, value): (&String, &Value)| {
        let value = match (is_number(rows, label), value.as_f64()) {
            (true, Some(number)) => Message::default().double(2, number),
            // A number that is none is left out; a word says so.
            (true, None) => return None,
            (false, _) => string(&cell(value)),
        };
        Some(Message::default().text(1, label).message(2, value))
    };
    // SessionStartInfo: hparams 1, group_name 4, start_time_secs 5
    let start = Message::default().messages(1, row.labels.iter().filter_map(entry));
    let start = start.text(4, &format!("{}/{:03}", row.search, row.index)).double(5, started);
    plugin("_hparams_/session_start_info", NAME, Message::default().message(3, start))
}

/// How one trial ended.
pub(super) fn session_end(row: &TrialRow, ended: f64) -> Message {
    let status = if row.status == "completed" { SUCCESS } else { FAILURE };
    // SessionEndInfo: status 1, end_time_secs 2
    let end = Message::default().int(1, status).double(2, ended);
    plugin("_hparams_/session_end_info", NAME, Message::default().message(4, end))
}

const NAME: &str = "hparams";
// DataType and Status.
const STRING: i64 = 1;
const FLOAT64: i64 = 3;
const SUCCESS: i64 = 1;
const FAILURE: i64 = 2;

/// Returns a `google.protobuf.Value` of a text.
fn string(text: &str) -> Message {
    Message::default().text(3, text)
}

/// Returns whether a label has numbers alone, apart from `none`.
fn is_number(rows: &[TrialRow], label: &str) -> bool {
    let mut values = rows.iter().filter_map(|row| row.labels.get(label));
    values.all(|value| value.is_number() || value.is_null())
}

fn levels(rows: &[TrialRow], label: &str) -> Vec<String> {
    let levels: std::collections::BTreeSet<_> = rows.iter().filter_map(|row| row.labels.get(label)).map(cell).collect();
    levels.into_iter().collect()
}
