//! What is going on in a run, for whoever looks from outside: a note in the store, about once a second.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use pipe_stages::stage::{EndedEpoch, Progress};
use pipe_store::Store;
use serde::{Deserialize, Serialize};

use super::slurm::note::Place;

/// What is going on in a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LiveRun {
    /// When this was noted, in seconds since 1970.
    pub at: f64,
    /// The nodes that are being executed, in the order in which they were started.
    pub nodes: Vec<LiveNode>,
}

/// A node that is being executed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LiveNode {
    /// Its name.
    pub node: String,
    /// When it was started, in seconds since 1970.
    pub since: f64,
    /// Its latest progress.
    pub progress: Progress,
    /// The units of work that it does in a second, such as images. 0 if that is not known yet.
    pub speed: f64,
    /// The epochs that have ended since it was started.
    pub curve: Vec<EndedEpoch>,
    /// Where it runs, if that is not the machine of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// The time between two notes.
const EVERY: Duration = Duration::from_secs(1);

/// Keeps the note of a run up to date.
pub(super) struct Live {
    nodes: BTreeMap<usize, Running>,
    noted: Instant,
    is_new: bool,
    is_noted: bool,
}

struct Running {
    order: usize,
    node: LiveNode,
    since: Instant,
    /// The progress at the start. A training can go on from a checkpoint.
    from: Option<u64>,
}

impl Live {
    pub(super) fn new() -> Self {
        Self { nodes: BTreeMap::new(), noted: Instant::now(), is_new: false, is_noted: false }
    }

    /// Takes note that a node is started.
    pub(super) fn started(&mut self, index: usize, name: &str) {
        let node = LiveNode { node: name.to_owned(), since: now(), ..LiveNode::default() };
        let order = self.nodes.values().map(|running| running.order + 1).max().unwrap_or(0);
        self.nodes.insert(index, Running { order, node, since: Instant::now(), from: None });
        self.is_new = true;
    }

    /// Takes note of the progress of a node.
    pub(super) fn progress(&mut self, index: usize, progress: &Progress) {
        let Some(running) = self.nodes.get_mut(&index) else { return };
        let from = *running.from.get_or_insert(progress.done);
        running.node.speed =
            progress.done.saturating_sub(from) as f64 / running.since.elapsed().as_secs_f64().max(1e-3);
        if let Some(ended) = &progress.ended
            && running.node.curve.last().is_none_or(|last| last.epoch < ended.epoch)
        {
            running.node.curve.push(ended.clone());
        }
        running.node.progress.clone_from(progress);
        self.is_new = true;
    }

    /// Takes note that a node has ended.
    pub(super) fn ended(&mut self, index: usize) {
        self.is_new |= self.nodes.remove(&index).is_some();
    }

    /// Writes the note if it is time to. That it cannot be written is no harm to the run.
    pub(super) fn note(&mut self, store: &Store, run: &str) {
        if !self.is_new || self.noted.elapsed() < EVERY {
            return;
        }
        (self.noted, self.is_new, self.is_noted) = (Instant::now(), false, true);
        let mut nodes: Vec<_> = self.nodes.values().collect();
        nodes.sort_by_key(|running| running.order);
        let live = LiveRun { at: now(), nodes: nodes.into_iter().map(|running| running.node.clone()).collect() };
        let note = serde_json::to_vec(&live).expect("a note is plain data");
        if let Err(error) = store.say_live(run, &note) {
            tracing::debug!(error = &error as &dyn std::error::Error, "what is going on is not noted");
        }
    }

    /// Takes note of where a node runs.
    pub(super) fn placed(&mut self, index: usize, place: &Place) {
        if let Some(running) = self.nodes.get_mut(&index) {
            running.node.place = Some(place.clone());
            self.is_new = true;
        }
    }

    /// Removes the note.
    pub(super) fn end(&self, store: &Store, run: &str) {
        if let Err(error) = if self.is_noted { store.end_live(run) } else { Ok(()) } {
            tracing::debug!(error = &error as &dyn std::error::Error, "what was going on is still noted");
        }
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Returns what is going on in the run `id`, if it says so.
pub fn of(store: &Store, id: &str) -> Option<LiveRun> {
    let note = store.live(id).ok().flatten()?;
    serde_json::from_slice(&note).ok()
}
