//! The protocol between a worker process (`pipe exec --protocol`) and its parent: one message per line.

use std::{
    io::{self, BufRead, Write},
    process,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use pipe_stages::{
    program::{Finished, Program, Watched},
    stage::{Checkpoint, EndedEpoch, Host, Inputs, Progress, StageError},
};
use pipe_store::{ActionKey, Digest, Store, WorkFolder};
use rustix::process::{getpid, set_child_subreaper};
use serde::{Deserialize, Serialize};

use super::{
    program::{self, Asked, Launcher, Runner},
    slurm::note::{JobNotes, Place},
};
use crate::how::How;

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
    /// Where the worker runs. It comes first.
    Placed {
        /// The machine, and the job of its cluster.
        place: Place,
    },
    /// What the program of the stage has said. It comes once, at the end.
    Said {
        /// The lines: of many, the first and the last ones.
        text: String,
    },
}

/// The line on standard input that asks a worker to write a checkpoint and exit. If its input closes, it exits at once.
pub const STOP: &str = "stop";

/// The time in which a program has been ended, when the parent is gone.
const PROGRAM_ENDS_IN: Duration = Duration::from_secs(30);

/// The number of newest checkpoints that are kept while a training runs. Once its result is committed, one is kept.
pub(super) const KEEP_RUNNING: usize = 2;

/// Says whether the process has been asked to stop, by a signal or through [`listen`].
#[derive(Debug, Default)]
pub struct StopFlag {
    asked: AtomicBool,
    /// Whether the parent is gone.
    gone: AtomicBool,
    /// Whether a program runs, which must end before this process does.
    runs_program: AtomicBool,
}

impl StopFlag {
    /// Returns a flag that is not set.
    pub const fn new() -> Self {
        Self { asked: AtomicBool::new(false), gone: AtomicBool::new(false), runs_program: AtomicBool::new(false) }
    }

    /// Asks the process to stop. Returns whether it had been asked before.
    pub fn set(&self) -> bool {
        self.asked.swap(true, Ordering::SeqCst)
    }

    /// Returns whether the process has been asked to stop.
    pub fn is_set(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// Returns why a program that this process runs is to end, if it is.
    fn asked(&self) -> Option<Asked> {
        match self.gone.load(Ordering::SeqCst) {
            true => Some(Asked::Gone),
            false => self.is_set().then_some(Asked::Stop),
        }
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
        stop.gone.store(true, Ordering::SeqCst);
        let since = Instant::now();
        while stop.runs_program.load(Ordering::SeqCst) && since.elapsed() < PROGRAM_ENDS_IN {
            thread::sleep(Duration::from_millis(10));
        }
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
    /// To whom progress is told.
    pub voice: Voice,
    /// Whether to stop as soon as half of the work is done, and leave a checkpoint.
    pub stop_half_way: bool,
    /// How a program is run, if the stage runs one.
    pub programs: Option<Programs>,
    /// The GPUs that a program sees, as in `CUDA_VISIBLE_DEVICES`. `None` for those that this process sees.
    pub gpus: Option<String>,
    clock: Mutex<Clock>,
}

/// To whom a worker tells its progress.
pub enum Voice {
    /// To nobody.
    Silent,
    /// To its parent, in lines on standard output.
    Parent,
    /// To whoever looks into the store.
    Store(Box<JobNotes>),
}

/// How programs are run in a worker.
pub struct Programs {
    /// The action whose working folder is used.
    pub key: ActionKey,
    /// Has the files.
    pub inputs: Store,
    /// What the program may use.
    pub how: How,
    /// Starts it.
    pub launcher: Launcher,
    work: Mutex<Option<Work>>,
}

/// A working folder that this process has taken, and whether there is a state in it.
struct Work {
    folder: WorkFolder,
    leaves_state: bool,
}

impl Programs {
    /// Returns how the programs of an action are run. From now on, this process takes over what its children leave behind.
    ///
    /// # Errors
    /// If the system does not tell where this program is, or does not let it take over processes.
    pub fn new(key: ActionKey, inputs: Store, how: How) -> io::Result<Self> {
        set_child_subreaper(Some(getpid()))?;
        let launcher = Launcher { program: std::env::current_exe()?, args: vec!["launch".to_owned()] };
        Ok(Self { key, inputs, how, launcher, work: Mutex::new(None) })
    }

    /// Removes the working folder, unless there is no result and the next run can go on from the state in it. Returns whether it stays.
    /// Call it when the outputs are stored.
    pub fn clean_up(&self, has_result: bool) -> bool {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Work { folder, leaves_state }) = work else { return false };
        if leaves_state && !has_result {
            return true;
        }
        if let Err(error) = folder.remove() {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the working folder was not removed");
        }
        false
    }
}

/// Returns the memory that this process holds, in bytes, if the system tells.
fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?;
    Some(kilobytes.parse::<u64>().ok()? << 10)
}

/// Ends all programs that this process runs at once, and everything that they started.
pub fn kill_programs() {
    program::kill_all();
}

struct Clock {
    checkpoint: Instant,
    progress: Option<Instant>,
    /// The latest progress.
    latest: Progress,
    /// The memory of the program that runs, in bytes.
    of_program: Option<u64>,
    /// The last epoch that has ended and of which no line has told.
    ended: Option<EndedEpoch>,
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
        voice: Voice,
    ) -> Self {
        let clock = Mutex::new(Clock {
            checkpoint: Instant::now(),
            progress: None,
            latest: Progress::default(),
            of_program: None,
            ended: None,
        });
        Self { store, trajectory, fresh, stop, cadence, voice, stop_half_way: false, programs: None, gpus: None, clock }
    }

    fn clock(&self) -> std::sync::MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl WorkerHost {
    /// Says how far the work is, and which memory it takes: that of the program if it runs one, else that of this process.
    fn say_progress(&self, clock: &mut Clock) {
        clock.progress = Some(Instant::now());
        let memory = if self.programs.is_some() { clock.of_program } else { memory() };
        let progress = Progress { ended: clock.ended.take(), memory, ..clock.latest.clone() };
        match &self.voice {
            Voice::Silent => {}
            Voice::Parent => say(&Line::Progress { progress }),
            Voice::Store(notes) => notes.progress(&progress),
        }
    }

    /// Takes note of the memory of the program. One that reports nothing is told of, too.
    fn beat(&self, memory: Option<u64>) {
        let mut clock = self.clock();
        clock.of_program = memory;
        if clock.progress.is_none_or(|last| last.elapsed() >= PROGRESS_EVERY) {
            self.say_progress(&mut clock);
        }
    }
}

impl Host for WorkerHost {
    fn progress(&self, progress: &Progress) {
        // A program is stopped after its first report.
        let is_half_way = if self.programs.is_some() { progress.done > 0 } else { progress.done * 2 >= progress.total };
        if self.stop_half_way && is_half_way {
            self.stop.set();
        }
        let mut clock = self.clock();
        let due = clock.progress.is_none_or(|last| last.elapsed() >= PROGRESS_EVERY) || progress.done == progress.total;
        // What an epoch gave is not lost between two lines.
        clock.ended = progress.ended.clone().or(clock.ended.take());
        clock.latest.clone_from(progress);
        if due {
            self.say_progress(&mut clock);
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

    fn threads(&self) -> usize {
        self.programs.as_ref().map_or(1, |programs| programs.how.threads)
    }

    fn run_program(
        &self,
        program: &Program,
        _: &Inputs<'_>,
        watched: &Watched,
        tell: &mut dyn FnMut(&[u8]),
    ) -> Result<Finished, StageError> {
        let Some(programs) = &self.programs else {
            return Err(StageError::failed("the stage does not say that it runs a program, which is a bug"));
        };
        let mut work = programs.work.lock().unwrap_or_else(PoisonError::into_inner);
        if work.is_none() {
            let folder = self.store.work_folder(&programs.key);
            let slot = programs.key.to_string();
            let folder = folder.map_err(|source| StageError::Input { slot, source })?;
            *work = Some(Work { folder, leaves_state: true });
        }
        let Some(work) = work.as_mut() else { unreachable!("it was taken") };
        self.stop.runs_program.store(true, Ordering::SeqCst);
        let runner = Runner {
            objects: &programs.inputs,
            checkpoints: &self.store,
            trajectory: self.trajectory,
            keep: KEEP_RUNNING,
            fresh: self.fresh,
            how: &programs.how,
            gpus: self.gpus.as_deref(),
            launcher: &programs.launcher,
            is_only: true,
            asked: &|| self.stop.asked(),
            beat: &|memory| self.beat(memory),
        };
        let run = runner.run(&work.folder, program, watched, tell);
        self.stop.runs_program.store(false, Ordering::SeqCst);
        work.leaves_state = run.leaves_state;
        run.result
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
