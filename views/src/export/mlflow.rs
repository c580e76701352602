//! A study as an experiment in MLflow's file store: folders of small text files, which MLflow's client reads when it is told to
//! (`MLFLOW_ALLOW_FILE_STORE=true`), and `mlflow migrate-filestore` copies into its database.

use std::fmt::Write;

use pipe_engine::{note, study::Study};
use pipe_stages::StageName;
use pipe_store::{Digest, Store};
use serde_json::{Value, json};

use crate::{
    ViewError,
    outputs::Outputs,
    provenance::Times,
    text::cell,
    trials::{TrialRow, table},
};

/// Returns the id of a study's experiment: the name of its folder in the file store. MLflow wants digits.
pub fn experiment(study: &Digest) -> String {
    let digits = u64::from_str_radix(&study.to_string()[..15], 16).expect("a digest is hexadecimal");
    // A fixed length, and none begins with 0: experiment 0 is MLflow's own.
    (1_000_000_000_000_000_000 + digits % 1_000_000_000_000_000_000).to_string()
}

/// Returns the files of the experiment `name` as (path, text): each training is a run with its hyperparameters, the curves of its
/// metrics, how long it took, the key of its action as an artifact, and tags that say which node it is. `url` is that of the experiment's folder.
///
/// # Errors
/// If an object cannot be read.
pub fn files(store: &Store, study: &Study, name: &str, url: &str) -> Result<Vec<(String, String)>, ViewError> {
    let hash = study.hash();
    let id = experiment(&hash);
    let rows = table(store, study)?;
    let mut runs = Vec::new();
    let mut first = None;
    for (node, of) in study.nodes.iter().filter(|(_, node)| node.kind().is_some_and(StageName::trains)) {
        let times = Times::of(store, of)?.unwrap_or(Times { started: 0.0, seconds: 0.0 });
        let Some(outputs) = Outputs::of(store, node, of)? else { continue };
        let row = rows.iter().find(|row| row.node == *node);
        let run = Digest::of(format!("{hash} {node}").as_bytes()).to_string()[..32].to_owned();
        first = Some(first.map_or(times.started, |first: f64| first.min(times.started)));
        let mut add = |path: &str, text: String| runs.push((format!("{run}/{path}"), text));
        add("meta.yaml", run_meta(&id, &format!("{url}/{run}/artifacts"), &run, node, row, &times));
        // MLflow finds a run only if it has all three folders: of metrics, of parameters and of artifacts.
        add("artifacts/action", of.key().map(|key| key.0.to_string()).unwrap_or_default());
        add("params/pipe.stage", of.part_of.clone());
        let end = milliseconds(times.started + times.seconds);
        add("metrics/pipe.seconds", format!("{end} {} 0\n", times.seconds));
        for (tag, text) in [("mlflow.runName", node.clone()), ("node", node.clone()), ("study", hash.to_string())] {
            add(&format!("tags/{tag}"), text);
        }
        for (label, value) in row.map(|row| &row.labels).into_iter().flatten() {
            add(&format!("params/{}", key(label)), cell(value));
        }
        // MLflow refuses a metric without a value, as that of a training which diverged in its first epoch.
        let Some(history) = outputs.history()?.filter(|history| !history.rows.is_empty()) else { continue };
        for (at, metric) in history.metrics.iter().enumerate() {
            let mut lines = String::new();
            for epoch in &history.rows {
                let share = f64::from(epoch.epoch) / history.rows.len().max(1) as f64;
                let moment = milliseconds(times.started + times.seconds * share);
                writeln!(lines, "{moment} {} {}", epoch.values[at], epoch.epoch).expect("a text can be written");
            }
            add(&format!("metrics/{}", key(metric)), lines);
        }
    }
    let mut files = vec![("meta.yaml".to_owned(), experiment_meta(&id, name, url, first.unwrap_or(0.0)))];
    let notes: Vec<_> = note::of(store, &hash)?.into_iter().map(|note| note.text).collect();
    if !notes.is_empty() {
        // MLflow shows it as the description of the experiment.
        files.push(("tags/mlflow.note.content".to_owned(), notes.join("\n\n")));
    }
    files.push(("tags/study".to_owned(), hash.to_string()));
    files.extend(runs);
    Ok(files)
}

fn experiment_meta(id: &str, name: &str, url: &str, created: f64) -> String {
    yaml(&[
        ("artifact_location", json!(url)),
        ("creation_time", json!(milliseconds(created))),
        ("experiment_id", json!(id)),
        ("last_update_time", json!(milliseconds(created))),
        ("lifecycle_stage", json!("active")),
        ("name", json!(name)),
    ])
}

/// The states of runs, by the numbers of MLflow's protocol.
const FINISHED: u32 = 3;
const FAILED: u32 = 4;
/// A run of a program on this machine, by the numbers of MLflow's protocol.
const LOCAL: u32 = 4;

fn run_meta(experiment: &str, artifacts: &str, run: &str, node: &str, row: Option<&TrialRow>, times: &Times) -> String {
    let status = if row.is_none_or(TrialRow::is_completed) { FINISHED } else { FAILED };
    yaml(&[
        ("artifact_uri", json!(artifacts)),
        ("end_time", json!(milliseconds(times.started + times.seconds))),
        ("entry_point_name", json!("")),
        ("experiment_id", json!(experiment)),
        ("lifecycle_stage", json!("active")),
        ("run_id", json!(run)),
        ("run_name", json!(node)),
        ("source_name", json!("pipe")),
        ("source_type", json!(LOCAL)),
        ("source_version", json!("")),
        ("start_time", json!(milliseconds(times.started))),
        ("status", json!(status)),
        ("tags", json!([])),
        ("user_id", json!("pipe")),
    ])
}

/// Returns fields as YAML. A value of JSON is one of YAML.
fn yaml(fields: &[(&str, Value)]) -> String {
    fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
}

fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1000.0).round() as u64
}

/// Returns a name as the name of a file, of the characters that MLflow allows.
fn key(name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '_' };
    let key: String = name.chars().map(allowed).collect();
    if key.starts_with('.') { format!("_{key}") } else { key }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::{Builder, Trial};

    #[test]
    fn every_training_is_a_run_with_its_curves_and_hyperparameters() {
        let at_once = Trial { epochs: 0, ..Trial::diverged() };
        let builder = Builder::new().search("search", &[Trial::completed(0.3), Trial::diverged(), at_once]);
        let (store, study) = builder.done();
        let files: BTreeMap<_, _> =
            files(&store, &study, "tiny \"1\"", "file:///runs/1").unwrap().into_iter().collect();
        let id = experiment(&study.hash());
        assert!(id.len() == 19 && id.bytes().all(|byte| byte.is_ascii_digit()), "{id}");
        assert!(files["meta.yaml"].contains("\nname: \"tiny \\\"1\\\"\"\n"), "{}", files["meta.yaml"]);
        let runs: Vec<_> = files.keys().filter_map(|path| path.strip_suffix("/meta.yaml")).collect();
        assert_eq!(runs.len(), 3);
        let of = |node: &str| runs.iter().find(|run| files[&format!("{run}/tags/node")] == node).unwrap();
        let status =
            |node| files[&format!("{}/meta.yaml", of(node))].lines().find(|line| line.starts_with("status")).unwrap();
        assert_eq!((status("search/train/000"), status("search/train/001")), ("status: 3", "status: 4"));
        let run = of("search/train/000");
        let history = Outputs::of(&store, "search/train/000", &study.nodes["search/train/000"]).unwrap().unwrap();
        let history = history.history().unwrap().unwrap();
        let lines: Vec<_> = files[&format!("{run}/metrics/valid.loss")].lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), history.rows.len());
        let at = history.metrics.iter().position(|metric| metric == "valid.loss").unwrap();
        let first: Vec<_> = lines[0].split(' ').collect();
        assert_eq!(first[1..], [history.rows[0].values[at].to_string().as_str(), "1"]);
        assert!(files.keys().any(|path| path.starts_with(&format!("{run}/params/"))));
        assert!(files.iter().all(|(path, text)| !path.contains("/metrics/") || !text.is_empty()), "{files:?}");
    }

    #[test]
    fn names_are_names_of_files() {
        assert_eq!(["a/b", "..", "lr:x y", "valid.loss"].map(key), ["a_b", "_..", "lr_x_y", "valid.loss"]);
    }
}
