//! The other side of a worker process: what `pipe exec --protocol` says on its standard output, line by line, and how it
//! hears that it should stop.

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
    Progress {
        #[serde(flatten)]
        progress: Progress,
    },
    /// A result stands in the action cache. `found`: somebody else's.
    Committed { found: bool, seconds: f64 },
    /// No result: it is run again next time.
    Error {
        message: String,
        hint: Option<String>,
        /// Whether the store is damaged.
        damaged: bool,
    },
}

/// The line on a worker's standard input that asks it to leave a checkpoint and end. The end of its input ends it at once.
pub const STOP: &str = "stop";

/// The newest checkpoints that stay while a training runs. After it is committed, the last one stays.
const KEEP_RUNNING: usize = 2;

/// Whether the process has been asked to stop. Set by signals and by [`listen`].
#[derive(Debug, Default)]
pub struct StopFlag(AtomicBool);

impl StopFlag {
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Asks to stop. Returns whether that had been asked before.
    pub fn set(&self) -> bool {
        self.0.swap(true, Ordering::SeqCst)
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Ends this process when its parent's pipe closes, and sets `stop` when the parent says so.
pub fn listen(stop: &'static StopFlag) {
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            match line {
                Ok(line) if line == STOP => {
                    stop.set();
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        // The parent is gone: nobody waits for the result, and the next run goes on from the last checkpoint.
        process::exit(130);
    });
}

/// Writes one line to standard output, whole.
pub fn say(line: &Line) {
    let mut text = serde_json::to_string(line).expect("a line is plain data");
    text.push('\n');
    let mut out = io::stdout().lock();
    // A closed pipe means that the parent is gone, which ends the process elsewhere.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// What a worker offers to its stage: checkpoints in the store, progress as lines, and the clock behind both.
pub struct WorkerHost {
    pub store: Store,
    /// Absent where the stage keeps no checkpoints, or must not use any.
    pub trajectory: Option<Digest>,
    /// Whether to start from nothing, whatever checkpoints there are (`--rerun`).
    pub fresh: bool,
    pub stop: &'static StopFlag,
    pub cadence: Duration,
    /// Whether progress goes to standard output as lines.
    pub protocol: bool,
    clock: Mutex<Clock>,
}

struct Clock {
    checkpoint: Instant,
    progress: Option<Instant>,
}

/// Progress is said at most this often: a terminal cannot show more, and a pipe should not be the bottleneck.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

impl WorkerHost {
    pub fn new(
        store: Store,
        trajectory: Option<Digest>,
        fresh: bool,
        stop: &'static StopFlag,
        cadence: Duration,
        protocol: bool,
    ) -> Self {
        let clock = Mutex::new(Clock { checkpoint: Instant::now(), progress: None });
        Self { store, trajectory, fresh, stop, cadence, protocol, clock }
    }

    fn clock(&self) -> std::sync::MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Host for WorkerHost {
    fn progress(&self, progress: &Progress) {
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
        tracing::info!(step, "goes on from a checkpoint");
        let parts = parts.into_iter().map(|(name, bytes)| (name, bytes.to_vec())).collect();
        Some(Checkpoint { step, parts })
    }

    fn save_checkpoint(&self, checkpoint: &Checkpoint) {
        let Some(trajectory) = self.trajectory else { return };
        if let Err(error) = self.store.save_checkpoint(&trajectory, checkpoint.step, &checkpoint.parts, KEEP_RUNNING) {
            tracing::warn!("no checkpoint at step {}: {error}", checkpoint.step);
        } else {
            tracing::debug!(step = checkpoint.step, "checkpoint");
        }
        self.clock().checkpoint = Instant::now();
    }
}
