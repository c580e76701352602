//! A study as a fragment of Trackio: lines of JSON in its inbox, which Trackio reads into its database when its dashboard starts.
//! Reading one twice changes nothing, because each line has an id of its own.

use std::time::{Duration, UNIX_EPOCH};

use pipe_engine::study::Study;
use pipe_stages::StageName;
use pipe_store::{Digest, Store};
use serde_json::{Map, Value, json};

use crate::{
    ViewError,
    outputs::Outputs,
    provenance::Times,
    trials::{TrialRow, table},
};

/// The name of the fragment in the folder of its writer. Trackio reads all files that end so.
pub const FILE: &str = "00000000.jsonl";

/// The version of the lines.
const VERSION: u32 = 1;

/// Returns the study as the lines of the project `name`: each training is a run, with the metrics after each epoch, its
/// hyperparameters, and the study and the action that it is from.
///
/// # Errors
/// If an object cannot be read.
pub fn lines(store: &Store, study: &Study, name: &str) -> Result<String, ViewError> {
    let hash = study.hash();
    let rows = table(store, study)?;
    let mut lines = String::new();
    for (node, of) in study.nodes.iter().filter(|(_, node)| node.kind().is_some_and(StageName::trains)) {
        let Some(outputs) = Outputs::of(store, node, of)? else { continue };
        let times = Times::of(store, of)?.unwrap_or(Times { started: 0.0, seconds: 0.0 });
        let row = rows.iter().find(|row| row.node == *node);
        let history = outputs.history()?;
        let (metrics, epochs) = history.map(|history| (history.metrics, history.rows)).unwrap_or_default();
        let mut add = |step: u32, share: f64, metrics: Map<String, Value>, config: Value| {
            let line = json!({
                "v": VERSION,
                "kind": "metric",
                "project": name,
                "run": node,
                "run_id": id(&format!("{hash} {node}")),
                "metrics": metrics,
                "step": step,
                "timestamp": moment(times.started + times.seconds * share),
                "config": config,
                "log_id": id(&format!("{hash} {node} {step}")),
            });
            lines.push_str(&line.to_string());
            lines.push('\n');
        };
        let config = config(&hash, of.key().map(|key| key.to_string()), &of.part_of, row);
        if epochs.is_empty() {
            add(0, 0.0, Map::new(), config.clone());
        }
        for (at, epoch) in epochs.iter().enumerate() {
            let values = metrics.iter().zip(&epoch.values).map(|(name, value)| (name.clone(), number(*value)));
            // The configuration of a run is that of any of its lines.
            let config = if at == 0 { config.clone() } else { Value::Null };
            add(epoch.epoch, f64::from(epoch.epoch) / epochs.len() as f64, values.collect(), config);
        }
    }
    Ok(lines)
}

/// Returns what a run was configured with. Trackio shows it beside the run, and can group runs by it.
fn config(study: &Digest, action: Option<String>, stage: &str, row: Option<&TrialRow>) -> Value {
    let labels = row.iter().flat_map(|row| &row.labels).map(|(label, value)| (label.clone(), value.clone()));
    let mut config: Map<String, Value> = labels.collect();
    let own = [("study", json!(study.to_string())), ("action", json!(action)), ("stage", json!(stage))];
    let status = row.map(|row| ("status", json!(row.status)));
    let reason = row.and_then(|row| Some(("reason", json!(row.reason.as_ref()?))));
    for (name, value) in own.into_iter().chain(status).chain(reason) {
        config.insert(format!("pipe.{name}"), value);
    }
    Value::Object(config)
}

/// Returns a number as Trackio writes it: one that JSON does not have is a string.
fn number(x: f64) -> Value {
    match x {
        x if x.is_finite() => json!(x),
        x if x.is_nan() => json!("NaN"),
        x => json!(if x > 0.0 { "Infinity" } else { "-Infinity" }),
    }
}

fn id(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()[..32].to_owned()
}

/// Returns a moment, in seconds since 1970, as ISO 8601 in UTC.
fn moment(seconds: f64) -> String {
    let milliseconds = Duration::from_millis((seconds.max(0.0) * 1000.0).round() as u64);
    humantime::format_rfc3339_millis(UNIX_EPOCH + milliseconds).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Builder, Trial};

    #[test]
    fn every_epoch_is_a_line_and_the_first_of_a_run_has_its_hyperparameters() {
        let at_once = Trial { epochs: 0, ..Trial::diverged() };
        let builder = Builder::new().search("search", &[Trial::completed(0.3), Trial::diverged(), at_once]);
        let (store, study) = builder.done();
        let text = lines(&store, &study, "tiny-1").unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let of = |node: &str| lines.iter().filter(|line| line["run"] == node).collect::<Vec<_>>();
        let [first, second] = [of("search/train/000"), of("search/train/001")];
        let outputs = Outputs::of(&store, "search/train/000", &study.nodes["search/train/000"]).unwrap().unwrap();
        let history = outputs.history().unwrap().unwrap();
        assert_eq!(first.len(), history.rows.len());
        let at = history.metrics.iter().position(|metric| metric == "valid.loss").unwrap();
        for (line, row) in first.iter().zip(&history.rows) {
            assert_eq!((&line["step"], &line["kind"]), (&json!(row.epoch), &json!("metric")));
            assert_eq!(line["metrics"]["valid.loss"], number(row.values[at]));
        }
        assert_eq!(first[0]["config"]["pipe.study"], json!(study.hash().to_string()));
        assert!(first[0]["config"]["activation"].is_string() && first[1]["config"].is_null());
        assert_eq!(second[0]["config"]["pipe.status"], "diverged");
        // One without an epoch is there, too.
        let third = of("search/train/002");
        assert_eq!((third.len(), &third[0]["metrics"], &third[0]["step"]), (1, &json!({}), &json!(0)));
        assert_eq!(third[0]["config"]["pipe.status"], "diverged");
        let ids: std::collections::BTreeSet<_> = lines.iter().map(|line| line["log_id"].to_string()).collect();
        assert_eq!(ids.len(), lines.len());
        assert_ne!(first[0]["run_id"], second[0]["run_id"]);
    }

    #[test]
    fn what_json_does_not_have_is_a_word() {
        let words = [f64::NAN, f64::INFINITY, -f64::INFINITY, 0.5].map(number);
        assert_eq!(words, [json!("NaN"), json!("Infinity"), json!("-Infinity"), json!(0.5)]);
        assert_eq!(moment(1.5), "1970-01-01T00:00:01.500Z");
    }
}
