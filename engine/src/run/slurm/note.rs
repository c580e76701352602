//! What a job and the run that has put it into the queue tell one another through the store.

use std::{
    fs,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use pipe_stages::stage::{EndedEpoch, Progress};
use pipe_store::{ActionKey, JobNote, Store, StoreError};
use serde::{Deserialize, Serialize};

/// Where a worker runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The name of the machine.
    pub host: String,
    /// The job of the cluster, if it is one: `12_3` for task 3 of array 12, `12.3` for step 3 of job 12.
    pub job: Option<String>,
}

impl Place {
    /// Returns where this process runs.
    pub fn of_this_process() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let name = || {
            fs::read_to_string("/proc/sys/kernel/hostname")
                .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
        };
        let job = match (variable("SLURM_ARRAY_JOB_ID"), variable("SLURM_ARRAY_TASK_ID"), variable("SLURM_JOB_ID")) {
            (Some(job), Some(task), _) => Some(format!("{job}_{task}")),
            (_, _, Some(job)) => Some(match variable("SLURM_STEP_ID").filter(|step| step.parse::<u32>().is_ok()) {
                Some(step) => format!("{job}.{step}"),
                None => job,
            }),
            _ => None,
        };
        Self { host: variable("SLURMD_NODENAME").unwrap_or_else(name), job }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.job {
            Some(job) => write!(f, "{}, job {job}", self.host),
            None => self.host.fmt(f),
        }
    }
}

/// How far a job is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProgressNote {
    /// The batch that it belongs to. Empty if it was started by hand.
    pub batch: String,
    /// Where it runs.
    pub place: Place,
    /// How often it has written this note.
    pub count: u64,
    /// Its latest progress.
    pub progress: Progress,
    /// The epochs that have ended since it was started.
    pub curve: Vec<EndedEpoch>,
}

/// How a job ended, if that cannot be seen from the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndNote {
    /// The batch that it belongs to. Empty if it was started by hand.
    pub batch: String,
    /// Where it ran.
    pub place: Place,
    /// How it ended.
    pub end: JobEnd,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "lowercase")]
pub enum JobEnd {
    /// It has replaced the result that was known.
    Replaced,
    /// Another process executes the action.
    Held,
    /// It was asked to stop.
    Interrupted {
        /// The units of work that were done.
        done: u64,
    },
    /// It has no result.
    Error {
        /// What went wrong, with its causes, one per line.
        message: String,
        /// What the user can do about it.
        hint: Option<String>,
        /// Whether the store is damaged.
        damaged: bool,
    },
}

/// The time between two notes about the progress of a job. A shared file system is not asked for more.
const EVERY: Duration = Duration::from_secs(5);

/// Writes the notes of a job.
pub struct JobNotes {
    store: Store,
    key: ActionKey,
    batch: String,
    place: Place,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    written: Option<Instant>,
    note: ProgressNote,
}

impl JobNotes {
    /// Returns the notes of this process, which executes the action `key` as part of `batch`.
    pub fn new(store: Store, key: ActionKey, batch: String) -> Self {
        let place = Place::of_this_process();
        let note = ProgressNote { batch: batch.clone(), place: place.clone(), ..ProgressNote::default() };
        Self { store, key, batch, place, state: Mutex::new(State { written: None, note }) }
    }

    /// Notes progress, a few seconds after the note before. That costs nothing but itself if it cannot be written.
    pub fn progress(&self, progress: &Progress) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.note.curve.extend(progress.ended.clone());
        state.note.progress = progress.clone();
        let is_end = progress.done == progress.total && progress.total > 0;
        if state.written.is_some_and(|written| written.elapsed() < EVERY) && !is_end {
            return;
        }
        state.written = Some(Instant::now());
        state.note.count += 1;
        let note = serde_json::to_vec(&state.note).expect("a note is plain data");
        if let Err(error) = self.store.write_job_note(JobNote::Progress, &self.key, &note) {
            tracing::warn!(error = &error as &dyn std::error::Error, "the progress of this job is not noted");
        }
    }

    /// Notes how the job ended.
    ///
    /// # Errors
    /// If the note cannot be written.
    pub fn end(&self, end: JobEnd) -> Result<(), StoreError> {
        let note = EndNote { batch: self.batch.clone(), place: self.place.clone(), end };
        let note = serde_json::to_vec(&note).expect("a note is plain data");
        self.store.write_job_note(JobNote::Failure, &self.key, &note)
    }

    /// Returns the units of work that were done when the job of an action noted its progress last, if it did.
    pub fn last(store: &Store, key: &ActionKey) -> Option<u64> {
        progress(store, key).map(|note| note.progress.done)
    }
}

/// Returns how far the job of an action is, if it says so.
pub(super) fn progress(store: &Store, key: &ActionKey) -> Option<ProgressNote> {
    serde_json::from_slice(&store.job_note(JobNote::Progress, key).ok()??).ok()
}

/// Returns how the job of an action ended, if it says so.
pub(super) fn end(store: &Store, key: &ActionKey) -> Option<EndNote> {
    serde_json::from_slice(&store.job_note(JobNote::Failure, key).ok()??).ok()
}
