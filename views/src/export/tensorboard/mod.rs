//! A study as event files for TensorBoard. Each training is a run with a graph and histograms; its curves are in two runs below it,
//! `train` and `validation`, with the same tags, as Keras writes them, so that a chart has both. Each other stage with pictures is a
//! run with them, and each trial is a session of the HParams page. Times are those of the provenance, so equal stores give equal files.

mod events;
mod graph;
mod hparams;
mod proto;
mod records;

use std::collections::BTreeMap;

use pipe_engine::study::Study;
use pipe_stages::{
    network::{Architecture, Weights, training::Histograms},
    records::{TrainingHistory, TrialRecord},
    stage::StageError,
};
use pipe_store::Store;

use self::events::Events;
use crate::{
    ViewError,
    outputs::Outputs,
    provenance::Times,
    trials::{TrialRow, metric_names, table},
};

/// Why event files could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TensorboardError {
    #[error(transparent)]
    View(#[from] ViewError),
    #[error("the weights of `{node}` cannot be read")]
    Weights { node: String, source: Box<StageError> },
}

/// An event file: its path below the folder of all runs, and its bytes.
pub type File = (String, Vec<u8>);

/// The name of each event file. TensorBoard looks for `tfevents` in it.
const FILE: &str = "events.out.tfevents.0.pipe";

/// Makes the event files of a study one by one, and passes each to `write`.
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
        for (part, file) in runs(store, study, name, trial, &rows)? {
            write((format!("{name}/{part}{FILE}"), file))?;
        }
    }
    Ok(())
}

/// Returns the tags of the metrics of trials on the HParams page.
fn metrics(rows: &[TrialRow]) -> Vec<String> {
    let own = ["objective", "parameters"].map(|name| format!("trial/{name}"));
    own.into_iter().chain(metric_names(rows).into_iter().map(|name| format!("trial/{name}"))).collect()
}

/// Returns the event files of one node, by the folder below it. There are none if it has nothing to show.
fn runs(
    store: &Store,
    study: &Study,
    name: &str,
    trial: Option<&TrialRow>,
    rows: &[TrialRow],
) -> Result<Vec<(&'static str, Vec<u8>)>, TensorboardError> {
    let node = &study.nodes[name];
    let times = Times::of(store, node).map_err(ViewError::from)?.unwrap_or(Times { started: 0.0, seconds: 0.0 });
    let mut events = Events::new(times.started);
    let Some(outputs) = Outputs::of(store, name, node)? else { return Ok(Vec::new()) };
    let history = outputs.history()?;
    let mut shown = history.is_some();
    if let Some(row) = trial {
        events.values(times.started, 0, [hparams::session_start(rows, row, times.started)]);
    }
    let curves = history.as_ref().map(|history| add_scalars(&mut events, history, &times)).unwrap_or_default();
    if let Some(network) = outputs.record()? {
        events.graph(times.started, &graph::graph(&network));
        let epochs = history.as_ref().map_or(1, |history| history.rows.len());
        let histograms = histograms(&outputs, &network, name, trial.is_some(), epochs)?;
        add_histograms(&mut events, &histograms, &times, epochs);
    }
    for (path, _) in outputs.pictures() {
        let png = outputs.bytes(path)?.expect("the path comes from the tree");
        if let Some(image) = events::image(path.trim_end_matches(".png"), &png) {
            events.values(times.started, 0, [image]);
            shown = true;
        }
    }
    if let Some(row) = trial {
        add_figures(&mut events, row, &times);
        shown = true;
    }
    let own = shown.then(|| ("", events.finish()));
    Ok(own.into_iter().chain(curves).collect())
}

impl Times {
    /// Returns when an epoch ended, on the assumption that all epochs took equally long.
    fn after(&self, epoch: f64, epochs: usize) -> f64 {
        self.started + self.seconds * epoch / epochs.max(1) as f64
    }
}

/// The runs below a training, with the beginnings of the names of their metrics.
const SPLITS: [(&str, &str); 2] = [("train/", "train."), ("validation/", "valid.")];

/// Returns the event files of the metrics of each split, epoch by epoch, and adds those of no split to `events`.
fn add_scalars(events: &mut Events, history: &TrainingHistory, times: &Times) -> Vec<(&'static str, Vec<u8>)> {
    let is_of_split = |metric: &str| SPLITS.iter().any(|(_, split)| metric.starts_with(split));
    let add = |events: &mut Events, tag: &dyn Fn(&str) -> Option<String>| {
        let tags: Vec<_> = history.metrics.iter().map(|metric| tag(metric)).collect();
        let mut added = false;
        for row in &history.rows {
            let named = tags.iter().zip(&row.values).filter_map(|(tag, value)| Some((tag.as_ref()?, *value)));
            let values: Vec<_> = named.map(|(tag, value)| events::scalar(tag, value)).collect();
            if !values.is_empty() {
                added = true;
                events.values(times.after(row.epoch.into(), history.rows.len()), row.epoch.into(), values);
            }
        }
        added
    };
    add(events, &|metric| (!is_of_split(metric)).then(|| metric.replacen('.', "/", 1)));
    let of_split = |(folder, split): (&'static str, &str)| {
        let mut events = Events::new(times.started);
        let added = add(&mut events, &|metric| metric.strip_prefix(split).map(str::to_owned));
        added.then(|| (folder, events.finish()))
    };
    SPLITS.into_iter().filter_map(of_split).collect()
}

/// Adds the metrics of a whole trial, and the end of its session.
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

/// Returns the histograms of all weights: those that the training recorded, otherwise those of the weights that were kept.
/// The weights of trials are not read, as there are many trials.
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
        // `conv2d_1/kernel`: the slash makes a group for each layer.
        let values = arrays.map(|(array, of)| events::histogram(&array.replace('.', "/"), of));
        events.values(times.after(f64::from(epoch), epochs), epoch.into(), values);
    }
}

/// Returns the files of the weights that were kept, by epoch: `epoch-0010`, the best and the last.
fn kept(outputs: &Outputs<'_>, epochs: usize) -> Result<BTreeMap<u32, String>, TensorboardError> {
    let best = outputs.record::<TrialRecord>()?.and_then(|trial| trial.trained?.best_epoch);
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

    /// Returns the contents of a file as lines: `step tag` for each value.
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
        const HEADS: [&str; 5] = ["loss", "fine_loss", "fine_accuracy", "coarse_loss", "coarse_accuracy"];
        let builder = Builder::new().search("search", &[Trial::completed(0.3), Trial::diverged()]);
        let files = files(builder);
        let paths: Vec<_> = files.keys().map(|path| path.trim_end_matches(FILE)).collect();
        let trials = ["search/train/000/", "search/train/001/"];
        let runs = trials.iter().flat_map(|trial| ["", "train/", "validation/"].map(|part| format!("{trial}{part}")));
        assert_eq!(paths, [vec![String::new()], runs.collect()].concat());
        let experiment = lines(&files[FILE]);
        assert_eq!(experiment, ["brain.Event:2", "0 _hparams_/experiment"]);
        let trial = lines(&files[&format!("search/train/000/{FILE}")]);
        for split in ["train", "validation"] {
            let curves = (1..=4).flat_map(|epoch| HEADS.map(|tag| format!("{epoch} {tag}")));
            let expected: Vec<_> = ["brain.Event:2".to_owned()].into_iter().chain(curves).collect();
            assert_eq!(lines(&files[&format!("search/train/000/{split}/{FILE}")]), expected, "the same tags in both");
        }
        let mut expected = ["brain.Event:2", "0 _hparams_/session_start_info"].map(str::to_owned).to_vec();
        expected.extend(["graph input()", "graph conv2d_1.conv(input)"].map(str::to_owned));
        assert_eq!(trial[..expected.len()], expected);
        let layers = |line: &&String| line.starts_with("graph ");
        let after: Vec<_> = trial[expected.len()..].iter().skip_while(layers).map(String::as_str).collect();
        assert_eq!(after[..3], ["4 trial/objective", "4 trial/parameters", "4 trial/best.train.coarse_accuracy"]);
        assert_eq!(after[after.len() - 2..], ["4 trial/end.valid.loss", "4 _hparams_/session_end_info"]);
        assert_eq!(after.len(), 2 + 2 * 2 * HEADS.len() + 1);
    }

    #[test]
    fn pictures_are_runs_of_their_stages_and_equal_studies_give_equal_files() {
        let build = || files(Builder::whole(4));
        let files = build();
        assert_eq!(lines(&files[&format!("visualize_filters/{FILE}")]), ["brain.Event:2", "0 add_1"]);
        assert!(!files.contains_key(&format!("raw/{FILE}")));
        assert_eq!(files, build());
    }
}
