//! A study as TensorBoard's event files: a run per training with its scalars, its graph and its histograms, the pictures of
//! other stages, and every trial for the HParams page. Times are those of provenance, so equal stores give equal files.

mod events;
mod graph;
mod hparams;
mod proto;
mod records;

use std::collections::BTreeMap;

use pipe_engine::study::Study;
use pipe_stages::{
    network::{Architecture, Weights, training::Histograms},
    stage::StageError,
};
use pipe_store::Store;

use self::events::Events;
use crate::{
    ViewError,
    history::History,
    outputs::Outputs,
    trials::{TrialRow, metric_names, table},
};

/// Why there are no event files.
#[derive(Debug, thiserror::Error)]
pub enum TensorboardError {
    #[error(transparent)]
    View(#[from] ViewError),
    #[error("the weights of `{node}` cannot be read")]
    Weights { node: String, source: Box<StageError> },
}

/// An event file: its path below the folder of all runs, and its bytes.
pub type File = (String, Vec<u8>);

/// The end of the name by which TensorBoard knows its files.
const FILE: &str = "events.out.tfevents.0.pipe";

/// Writes the event files of a study one by one, each as soon as it is made.
///
/// # Errors
/// If an object cannot be read, or `write` fails.
pub fn export<E: From<TensorboardError>>(
    store: &Store,
    study: &Study,
    mut write: impl FnMut(File) -> Result<(), E>,
) -> Result<(), E> {
    let rows = table(store, study).map_err(TensorboardError::from)?;
    if !rows.is_empty() {
        let mut experiment = Events::new(0.0);
        experiment.values(0.0, 0, [hparams::experiment(&rows, &metrics(&rows))]);
        write((FILE.to_owned(), experiment.finish()))?;
    }
    let trials: BTreeMap<&str, &TrialRow> = rows.iter().map(|row| (row.node.as_str(), row)).collect();
    for name in study.nodes.keys() {
        let trial = trials.get(name.as_str()).copied();
        if let Some(file) = run(store, study, name, trial, &rows)? {
            write((format!("{name}/{FILE}"), file))?;
        }
    }
    Ok(())
}

/// Returns the names of the figures that every trial has for the HParams page.
fn metrics(rows: &[TrialRow]) -> Vec<String> {
    let own = ["objective", "parameters"].map(|name| format!("trial/{name}"));
    own.into_iter().chain(metric_names(rows).into_iter().map(|name| format!("trial/{name}"))).collect()
}

/// Returns the event file of one node; nothing if there is nothing to show of it.
fn run(
    store: &Store,
    study: &Study,
    name: &str,
    trial: Option<&TrialRow>,
    rows: &[TrialRow],
) -> Result<Option<Vec<u8>>, TensorboardError> {
    let node = &study.nodes[name];
    let provenance = node.key().map(|key| store.provenance(&key)).transpose().map_err(ViewError::from)?.flatten();
    let number = |key: &str| provenance.as_ref().and_then(|value| value.get(key)?.as_f64()).unwrap_or(0.0);
    let times = Times { started: number("started"), seconds: number("seconds") };
    let mut events = Events::new(times.started);
    let Some(outputs) = Outputs::of(store, name, node)? else { return Ok(None) };
    let history = outputs.history()?;
    let mut shown = history.is_some();
    if let Some(row) = trial {
        events.values(times.started, 0, [hparams::session_start(rows, row, times.started)]);
    }
    if let Some(history) = &history {
        add_scalars(&mut events, history, &times);
    }
    if let Some(network) = network(&outputs)? {
        events.graph(times.started, &graph::graph(&network));
        let epochs = history.as_ref().map_or(1, History::epochs);
        let histograms = histograms(&outputs, &network, name, trial.is_some(), epochs)?;
        add_histograms(&mut events, &histograms, &times, epochs);
    }
    for (path, _) in outputs.pictures() {
        let png = outputs.bytes(path)?.expect("the path is one of the tree");
        if let Some(image) = events::image(path.trim_end_matches(".png"), &png) {
            events.values(times.started, 0, [image]);
            shown = true;
        }
    }
    if let Some(row) = trial {
        add_figures(&mut events, row, &times);
        shown = true;
    }
    Ok(shown.then(|| events.finish()))
}

/// When a training ran. Epochs are taken to last equally long.
struct Times {
    started: f64,
    seconds: f64,
}

impl Times {
    fn after(&self, epoch: f64, epochs: usize) -> f64 {
        self.started + self.seconds * epoch / epochs.max(1) as f64
    }
}

fn network(outputs: &Outputs<'_>) -> Result<Option<Architecture>, TensorboardError> {
    let record = outputs.json("architecture.json")?;
    Ok(record.and_then(|record| serde_json::from_value(record).ok()))
}

/// Adds every figure of every epoch: `valid/fine_accuracy`.
fn add_scalars(events: &mut Events, history: &History, times: &Times) {
    let curves: Vec<_> = history
        .columns()
        .filter(|column| column.contains('.'))
        .filter_map(|column| Some((column.replacen('.', "/", 1), history.curve(column)?)))
        .collect();
    for at in 0..history.epochs() {
        let Some(epoch) = curves.first().map(|(_, curve)| curve[at].0) else { return };
        let values = curves.iter().map(|(tag, curve)| events::scalar(tag, curve[at].1));
        events.values(times.after(epoch, history.epochs()), epoch as i64, values);
    }
}

/// Adds the figures of a whole trial, and its end.
fn add_figures(events: &mut Events, row: &TrialRow, times: &Times) {
    let end = times.started + times.seconds;
    let objective = row.value.or(row.loss).map(|value| ("objective".to_owned(), value.0));
    let parameters = row.parameters.map(|n| ("parameters".to_owned(), n as f64));
    let metrics = row.metrics.iter().map(|(name, value)| (name.clone(), value.0));
    let figures = objective.into_iter().chain(parameters).chain(metrics);
    let step = row.epochs.unwrap_or(0) as i64;
    events.values(end, step, figures.map(|(name, value)| events::scalar(&format!("trial/{name}"), value)));
    events.values(end, step, [hparams::session_end(row, end)]);
}

/// Returns the histograms of all weights: those noted while training; else those of the weights that were kept, unless it
/// was a trial, of which there are many.
fn histograms(
    outputs: &Outputs<'_>,
    network: &Architecture,
    name: &str,
    is_trial: bool,
    epochs: usize,
) -> Result<Histograms, TensorboardError> {
    let wrong = |source| TensorboardError::Weights { node: name.to_owned(), source: Box::new(source) };
    if let Some(bytes) = outputs.bytes(Histograms::FILE)? {
        return Histograms::read(bytes).map_err(wrong);
    }
    let mut histograms = Histograms::default();
    let kept = if is_trial { BTreeMap::new() } else { kept(outputs, epochs)? };
    for (epoch, path) in kept {
        let bytes = outputs.bytes(&path)?.expect("the path is one of the tree");
        histograms.push(epoch, &Weights::read(network, bytes).map_err(wrong)?);
    }
    Ok(histograms)
}

fn add_histograms(events: &mut Events, histograms: &Histograms, times: &Times, epochs: usize) {
    for (epoch, arrays) in histograms.epochs() {
        // `conv2d_1/kernel`: a group for each layer.
        let values = arrays.map(|(array, of)| events::histogram(&array.replace('.', "/"), of));
        events.values(times.after(f64::from(epoch), epochs), epoch.into(), values);
    }
}

/// Returns the epochs whose weights were kept, with their files: `epoch-0010`, the best and the last.
fn kept(outputs: &Outputs<'_>, epochs: usize) -> Result<BTreeMap<u32, String>, TensorboardError> {
    let trial = outputs.json("trial.json")?.unwrap_or_default();
    let best = trial.get("best_epoch").and_then(serde_json::Value::as_u64).and_then(|epoch| u32::try_from(epoch).ok());
    let epoch = |path: &str| {
        let folder = path.strip_suffix("/weights.safetensors")?;
        match folder {
            "best" => best,
            "last" => u32::try_from(epochs).ok(),
            other => other.strip_prefix("epoch-")?.parse().ok(),
        }
    };
    Ok(outputs.tree.files.keys().filter_map(|path| Some((epoch(path)?, path.clone()))).collect())
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::{
        proto::{Event, GraphDef, What},
        *,
    };
    use crate::testing::{Builder, Trial};

    fn files(builder: Builder) -> BTreeMap<String, Vec<u8>> {
        let (store, study) = builder.done();
        let mut files = BTreeMap::new();
        export::<TensorboardError>(&store, &study, |(path, bytes)| {
            files.insert(path, bytes);
            Ok(())
        })
        .unwrap();
        files
    }

    /// Returns what a file says: a line for each value, `step tag`.
    fn lines(file: &[u8]) -> Vec<String> {
        let events = records::read(file).into_iter().map(|record| Event::decode(&*record).unwrap());
        events
            .flat_map(|event| match event.what.unwrap() {
                What::FileVersion(version) => vec![version],
                What::GraphDef(graph) => {
                    let nodes = GraphDef::decode(&*graph).unwrap().node;
                    nodes.iter().map(|node| format!("graph {}({})", node.name, node.input.join(", "))).collect()
                }
                What::Summary(summary) => {
                    summary.value.iter().map(|value| format!("{} {}", event.step, value.tag)).collect()
                }
            })
            .collect()
    }

    #[test]
    fn every_trial_is_a_session_with_its_curves_and_figures() {
        let mut builder = Builder::new().search("search", &[Trial::completed(0.3), Trial::diverged()]);
        builder.without_weights();
        let files = files(builder);
        let paths: Vec<_> = files.keys().map(|path| path.trim_end_matches(FILE)).collect();
        assert_eq!(paths, ["", "search/train/000/", "search/train/001/"]);
        let experiment = lines(&files[FILE]);
        assert_eq!(experiment, ["brain.Event:2", "0 _hparams_/experiment"]);
        let trial = lines(&files[&format!("search/train/000/{FILE}")]);
        let figures = ["train", "valid"]
            .map(|split| ["loss", "fine_loss", "fine_accuracy"].map(|name| format!("{split}/{name}")));
        let curves = (1..=4).flat_map(|epoch| figures.as_flattened().iter().map(move |tag| format!("{epoch} {tag}")));
        let before = ["brain.Event:2", "0 _hparams_/session_start_info"].map(str::to_owned);
        let after = [
            "graph input()",
            "graph conv2d_1.conv(input)",
            "graph max_pooling2d_1.max_pool(conv2d_1.conv)",
            "graph fine.dense(max_pooling2d_1.max_pool)",
            "4 trial/objective",
            "4 trial/parameters",
            "4 trial/best.valid.fine_accuracy",
            "4 trial/best.valid.loss",
            "4 trial/end.valid.fine_accuracy",
            "4 trial/end.valid.loss",
            "4 _hparams_/session_end_info",
        ];
        assert_eq!(trial, before.into_iter().chain(curves).chain(after.map(str::to_owned)).collect::<Vec<_>>());
    }

    #[test]
    fn pictures_are_runs_of_their_stages_and_equal_studies_give_equal_files() {
        let build = || {
            let mut builder = Builder::whole(4);
            builder.without_weights();
            files(builder)
        };
        let files = build();
        assert_eq!(lines(&files[&format!("visualize_filters/{FILE}")]), ["brain.Event:2", "0 add_1"]);
        assert!(!files.contains_key(&format!("raw/{FILE}")));
        assert_eq!(files, build());
    }
}
