//! `pipe exec` executes one action. `pipe run` starts it for every node that computes, and the scheduler of a cluster can do the
//! same.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use pipe_engine::{
    how::How,
    run::{
        self,
        execute::{ExecuteError, Stores, execute},
        limits, log, machine,
        slurm::note::{JobEnd, JobNotes, Place},
        worker::{self, Line, Programs, StopFlag, Voice, WorkerHost},
    },
    study,
};
use pipe_stages::stage::Progress;
use pipe_store::{ActionKey, ActionLock, Digest, JobNote, Store};

use crate::{failure::Failure, logging::Logging, output::print, signals};
use pipe_stages::ComputeDevice;

/// Execute one action that is in the store (plumbing)
///
/// Stores the result and prints the digest of its output tree. If the result is known already, only prints the digest. `pipe
/// run` starts this command for each node.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe exec 3d0dead549d1
  pipe exec --batch 3d0dead549d1")]
pub(crate) struct Exec {
    /// The action key, or a unique prefix of it
    key: String,
    /// The store
    #[arg(long, value_name = "DIR", env = "PIPE_STORE", default_value = ".pipe")]
    store: PathBuf,
    /// Threads to compute with [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// The number of the GPU, if the action computes on one
    #[arg(long, value_name = "N", default_value_t = 0)]
    gpu: usize,
    /// The GPUs that the action's program sees, as in `CUDA_VISIBLE_DEVICES` [default: those that this process sees]
    #[arg(long, hide = true, value_name = "DEVICES")]
    gpus: Option<String>,
    /// Seconds between checkpoints of a training
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    checkpoint_every: f64,
    /// Execute it although its result is known, without checkpoints; the new result replaces the known one
    #[arg(long)]
    fresh: bool,
    /// Read the action and its inputs from this store, and keep only the result in `--store`
    #[arg(long, hide = true, value_name = "DIR")]
    inputs_from: Option<PathBuf>,
    /// Stop when half of the work is done, and leave a checkpoint
    #[arg(long, hide = true)]
    stop_half_way: bool,
    /// How its program is run, if it runs one, as JSON
    #[arg(long, hide = true, value_name = "JSON")]
    how: Option<String>,
    /// Work as a job of a cluster
    ///
    /// Leaves notes in the store for the run that waits for it: how far it is, every few seconds, in `progress/`, and why it ended, if it
    /// has no result, in `failures/`. Does not wait if another process executes the action, but ends with exit code 75. At SIGTERM it
    /// writes a checkpoint and ends with exit code 130. BATCH is for the notes.
    #[arg(long, value_name = "BATCH", num_args = 0..=1, require_equals = true, default_missing_value = "", conflicts_with = "protocol")]
    batch: Option<String>,
    /// Speak the protocol of `pipe run`
    ///
    /// Prints JSON lines, and ends when standard input is closed.
    #[arg(long, hide = true)]
    protocol: bool,
}

static STOP: StopFlag = StopFlag::new();

impl Exec {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        if self.protocol {
            worker::listen(&STOP).map_err(|error| Failure::work(format!("no thread could be started: {error}")))?;
            worker::say(&Line::Placed { place: Place::of_this_process() });
        }
        // ^C on a terminal reaches the whole process group, so the parent stops, too. It closes the pipe at a second one.
        signals::listen(|_| {
            if STOP.set() {
                worker::kill_programs();
                std::process::exit(130);
            }
        });
        pipe_store::stop_waiting_when(|| STOP.is_set());
        let ended = if self.protocol { self.execute() } else { self.execute_and_keep_log() };
        if self.protocol
            && let Some(text) = log::said_by_programs()
        {
            worker::say(&Line::Said { text });
        }
        match ended {
            Ok(executed) => {
                if self.protocol {
                    worker::say(&Line::Committed { found: executed.found, seconds: executed.seconds });
                    return Ok(());
                }
                match executed.result {
                    pipe_store::ActionResult::Tree(tree) => print(&format!("{tree}\n")),
                    pipe_store::ActionResult::Failure(failure) => {
                        let result = Failure::work(failure.message);
                        Err(match failure.hint {
                            Some(hint) => result.hint(hint),
                            None => result,
                        })
                    }
                }
            }
            Err(Stopped::Failure(failure)) => {
                if self.protocol {
                    let Failure { message, hint, code, .. } = &failure;
                    worker::say(&Line::Error { message: message.clone(), hint: hint.clone(), damaged: *code == 3 });
                    return Err(Failure::silent(failure.code));
                }
                Err(failure)
            }
            Err(Stopped::Interrupted) => Err(Failure::silent(130)),
            Err(Stopped::Held) => Err(Failure { code: HELD, ..Failure::work("another process executes this action") }
                .hint("wait for its result, or leave out `--batch` to wait here")),
        }
    }

    /// Executes the action, and saves what it said. Under `pipe run`, that does it.
    fn execute_and_keep_log(&self) -> Result<run::execute::Executed, Stopped> {
        log::begin_in_process();
        let ended = self.execute();
        let programs = log::said_by_programs().unwrap_or_default();
        let mut said = log::joined(&programs, log::end_in_process());
        match &ended {
            Ok(executed) if executed.found => return ended,
            Ok(executed) => {
                if let pipe_store::ActionResult::Failure(failure) = &executed.result {
                    log::add_error(&mut said, &failure.message, failure.hint.as_deref());
                }
            }
            // The process that has the action saves what it says.
            Err(Stopped::Held) => return ended,
            Err(Stopped::Interrupted) => said.push(b"interrupted"),
            Err(Stopped::Failure(failure)) => log::add_error(&mut said, &failure.message, failure.hint.as_deref()),
        }
        let saved = Store::open(&self.store).and_then(|store| {
            let key = self.key.parse::<Digest>().or_else(|_| store.resolve_prefix(&self.key))?;
            store.save_log(&ActionKey(key), &said.finish())
        });
        if let Err(error) = saved {
            tracing::warn!("what the execution said was not saved: {}", run::with_causes(&error));
        }
        ended
    }

    fn execute(&self) -> Result<run::execute::Executed, Stopped> {
        let store = Store::open(&self.store)?;
        let key = match self.key.parse::<Digest>() {
            Ok(digest) => digest,
            Err(_) => store.resolve_prefix(&self.key)?,
        };
        let Some(batch) = &self.batch else { return self.execute_key(&store, key, None) };
        // What an earlier job noted is not about this one.
        store.remove_job_note(JobNote::Failure, &ActionKey(key))?;
        let notes = || JobNotes::new(store.clone(), ActionKey(key), batch.clone());
        let Some(lock) = store.try_lock_action(&ActionKey(key))? else {
            notes().end(JobEnd::Held)?;
            return Err(Stopped::Held);
        };
        let noted = notes();
        noted.progress(&Progress::default());
        let ended = self.execute_key(&store, key, Some((noted, lock)));
        let end = match &ended {
            Ok(_) if self.fresh => Some(JobEnd::Replaced),
            Ok(_) | Err(Stopped::Held) => None,
            Err(Stopped::Interrupted) => {
                Some(JobEnd::Interrupted { done: JobNotes::last(&store, &ActionKey(key)).unwrap_or(0) })
            }
            Err(Stopped::Failure(Failure { message, hint, code, .. })) => {
                Some(JobEnd::Error { message: message.clone(), hint: hint.clone(), damaged: *code == 3 })
            }
        };
        if let Some(end) = end {
            notes().end(end)?;
        }
        ended
    }

    /// Executes the action `key`. As a job of a cluster, it has the lock of the action, and writes notes.
    fn execute_key(
        &self,
        store: &Store,
        key: Digest,
        batch: Option<(JobNotes, ActionLock)>,
    ) -> Result<run::execute::Executed, Stopped> {
        let inputs = self.inputs_from.as_deref().map_or_else(|| Ok(store.clone()), Store::open)?;
        // A node that is checked may be executed with an action that only its own store has.
        let actions = if store.contains(&key)? { store } else { &inputs };
        if !actions.contains(&key)? {
            let failure = Failure::work(format!("no action with the key {key} is in the store"));
            return Err(failure
                .hint("`pipe run --plan --json` stores the actions of a study, and prints their keys")
                .into());
        }
        let action = study::action(actions, &key).map_err(Failure::from)?;
        let stage = pipe_stages::instantiate(&action.stage, action.version, &action.params)
            .map_err(|why| Failure::work(why).hint("is this the version of `pipe` that planned it?"))?;
        let threads = self.threads.map_or_else(limits::cores, usize::from);
        pipe_stages::use_threads(threads);
        let device = ComputeDevice {
            kind: action.device.unwrap_or_default(),
            precision: action.precision.unwrap_or_default(),
            ordinal: self.gpu,
        };
        #[cfg(any(feature = "cuda", feature = "wgpu"))]
        if device != ComputeDevice::CPU
            && let Some(folder) = kernels_folder()
        {
            pipe_stages::network::keep_kernels(&folder);
        }
        let trajectory = action.trajectory(&*stage);
        let cadence = Duration::from_secs_f64(self.checkpoint_every.clamp(0.0, 1e9));
        let (voice, lock) = match batch {
            Some((notes, lock)) => (Voice::Store(Box::new(notes)), Some(lock)),
            None if self.protocol => (Voice::Parent, None),
            None => (Voice::Silent, None),
        };
        let mut host = WorkerHost::new(store.clone(), trajectory, self.fresh, &STOP, cadence, voice);
        host.stop_half_way = self.stop_half_way;
        host.gpus.clone_from(&self.gpus);
        if stage.needs().process {
            let how = match &self.how {
                Some(text) => serde_json::from_str(text).map_err(|error| Failure::usage(format!("--how: {error}")))?,
                None => How { threads, ..How::default() },
            };
            let programs = Programs::new(ActionKey(key), inputs.clone(), how).map_err(|error| {
                Failure::work(format!("the processes of a program cannot be looked after here: {error}"))
            })?;
            host.programs = Some(programs);
        }
        let provenance = match &host.programs {
            Some(programs) => machine::provenance_of_program(&programs.how),
            None => machine::provenance_on(device, threads),
        };
        let stores = Stores { inputs: &inputs, results: store, lock, log: None, waits: &|| () };
        let executed = execute(stores, &*stage, &action, device, &host, provenance, self.fresh);
        let keeps_state = host.programs.as_ref().is_some_and(|programs| programs.clean_up(executed.is_ok()));
        let executed = executed.map_err(|error| match error {
            ExecuteError::Interrupted => Stopped::Interrupted,
            error => {
                let hint = run::hint_of(&error).or_else(|| keeps_state.then(|| STATE_STAYS.to_owned()));
                let failure = match error {
                    ExecuteError::Store(error) => error.into(),
                    error => Failure::from_error(&error),
                };
                Stopped::Failure(match hint {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                })
            }
        })?;
        if let Some(trajectory) = trajectory {
            store.keep_checkpoints(&trajectory, 1)?;
        }
        debug_assert_eq!(ActionKey(key), action.key(), "an action's record is canonical");
        Ok(executed)
    }
}

/// What there is to know about a program that ended without a result and left a state.
const STATE_STAYS: &str = "the next run goes on from the state that it left; with `--rerun` it starts afresh";

/// The exit code if another process executes the action: "temporary failure" in `sysexits.h`.
const HELD: u8 = 75;

enum Stopped {
    Interrupted,
    /// Another process executes the action.
    Held,
    Failure(Failure),
}

impl From<pipe_store::StoreError> for Stopped {
    fn from(error: pipe_store::StoreError) -> Self {
        Self::Failure(error.into())
    }
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// Returns the folder for what is learnt about GPUs and is the same for all stores: `PIPE_KERNELS`, or `pipe/kernels` in the user's cache.
/// `None` if there is no such cache.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn kernels_folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let of_cache = |cache: PathBuf| cache.join("pipe/kernels");
    set("PIPE_KERNELS")
        .or_else(|| set("XDG_CACHE_HOME").map(of_cache))
        .or_else(|| set("HOME").map(|home| of_cache(home.join(".cache"))))
}
