//! The protocol between a worker process (`pipe exec --protocol`) and its parent: one message per line.

use std::{
    io::{self, BufRead, Write},
    process,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use pipe_stages::stage::{Checkpoint, Host, Progress};
use pipe_store::{Digest, Store};
use serde::{Deserialize, Serialize};

/// A line on a worker's standard output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Line {
    /// The progress of the stage.
    Progress {
        /// The progress, whose fields are next to `event` in the line.
        #[serde(flatten)]
        progress: Progress,
    },
    /// The action cache has a result.
    Committed {
        /// Whether another process committed it.
        found: bool,
        /// How long the stage ran, in seconds. 0 if the result was found.
        seconds: f64,
    },
    /// There is no result. The next run executes the action again.
    Error {
        /// What went wrong, with its causes, one per line.
        message: String,
        /// What the user can do about it.
        hint: Option<String>,
        /// Whether the store is damaged.
        damaged: bool,
    },
}

/// The line on standard input that asks a worker to write a checkpoint and exit. If its input closes, it exits at once.
pub const STOP: &str = "stop";

/// The number of newest checkpoints that are kept while a training runs. Once its result is committed, one is kept.
pub(super) const KEEP_RUNNING: usize = 2;

/// Says whether the process has been asked to stop, by a signal or through [`listen`].
#[derive(Debug, Default)]
pub struct StopFlag(AtomicBool);

impl StopFlag {
    /// Returns a flag that is not set.
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Asks the process to stop. Returns whether it had been asked before.
    pub fn set(&self) -> bool {
        self.0.swap(true, Ordering::SeqCst)
    }

    /// Returns whether the process has been asked to stop.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Starts a thread that sets `stop` when the parent asks for it, and that exits the process with code 130 when the parent
/// is gone.
///
/// # Errors
/// If the system starts no more threads.
pub fn listen(stop: &'static StopFlag) -> io::Result<()> {
    let listening = thread::Builder::new().spawn(move || {
        for line in io::stdin().lock().lines() {
            match line {
                Ok(line) if line == STOP => {
                    stop.set();
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        // No process waits for the result any more, and the next run continues from the last checkpoint.
        process::exit(130);
    });
    listening.map(drop)
}

/// Writes one whole line to standard output.
pub fn say(line: &Line) {
    let mut text = serde_json::to_string(line).expect("a line is plain data");
    text.push('\n');
    let mut out = io::stdout().lock();
    // Writing fails only if the parent is gone, and then `listen` exits the process.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// The host of a stage in a worker: keeps checkpoints in the store, writes progress as lines, and has the clock for both.
pub struct WorkerHost {
    /// The store, which checkpoints are kept in.
    pub store: Store,
    /// The trajectory that the checkpoints belong to. `None` if the stage keeps none.
    pub trajectory: Option<Digest>,
    /// Whether to ignore existing checkpoints, as `--rerun` does.
    pub fresh: bool,
    /// Whether the process has been asked to stop.
    pub stop: &'static StopFlag,
    /// The time between two checkpoints.
    pub cadence: Duration,
    /// Whether to write progress to standard output.
    pub protocol: bool,
    /// Whether to stop as soon as half of the work is done, and leave a checkpoint.
    pub stop_half_way: bool,
    /// The GPUs that a program sees, as in `CUDA_VISIBLE_DEVICES`. `None` for those that this process sees.
    pub gpus: Option<String>,
    clock: Mutex<Clock>,
}

struct Clock {
    checkpoint: Instant,
    progress: Option<Instant>,
}

/// The shortest time between two lines of progress. A terminal cannot show more, and the pipe must not become the bottleneck.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

impl WorkerHost {
    /// Returns a host whose first checkpoint is due after `cadence`.
    pub fn new(
        store: Store,
        trajectory: Option<Digest>,
        fresh: bool,
        stop: &'static StopFlag,
        cadence: Duration,
        protocol: bool,
    ) -> Self {
        let clock = Mutex::new(Clock { checkpoint: Instant::now(), progress: None });
        Self { store, trajectory, fresh, stop, cadence, protocol, stop_half_way: false, gpus: None, clock }
    }

    fn clock(&self) -> std::sync::MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Host for WorkerHost {
    fn progress(&self, progress: &Progress) {
        if self.stop_half_way && progress.done * 2 >= progress.total {
            self.stop.set();
        }
        let mut clock = self.clock();
        let due = clock.progress.is_none_or(|last| last.elapsed() >= PROGRESS_EVERY) || progress.done == progress.total;
        if self.protocol && due {
            clock.progress = Some(Instant::now());
            say(&Line::Progress { progress: progress.clone() });
        }
    }

    fn checkpoint_due(&self) -> bool {
        self.trajectory.is_some() && (self.stop.is_set() || self.clock().checkpoint.elapsed() >= self.cadence)
    }

    fn interrupted(&self) -> bool {
        self.stop.is_set()
    }

    fn latest_checkpoint(&self, at_most: u64) -> Option<Checkpoint> {
        if self.fresh {
            return None;
        }
        let (step, parts) = self.store.latest_checkpoint(&self.trajectory?, at_most)?;
        tracing::info!(step, "continues from a checkpoint");
        let parts = parts.into_iter().map(|(name, bytes)| (name, bytes.to_vec())).collect();
        Some(Checkpoint { step, parts })
    }

    fn save_checkpoint(&self, checkpoint: &Checkpoint) {
        let Some(trajectory) = self.trajectory else { return };
        if let Err(error) = self.store.save_checkpoint(&trajectory, checkpoint.step, &checkpoint.parts, KEEP_RUNNING) {
            tracing::warn!("the checkpoint at step {} was not saved: {error}", checkpoint.step);
        } else {
            tracing::debug!(step = checkpoint.step, "checkpoint");
        }
        self.clock().checkpoint = Instant::now();
    }
}
