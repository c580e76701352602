//! Executes nodes on this machine: in a worker process if the stage computes on a device or runs a program, otherwise on a
//! thread.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc::Sender},
    thread,
};

use pipe_stages::{
    DeviceKind, Precision,
    stage::{Checkpoint, ComputeDevice, Host, Progress, Stage, StageError},
};
use pipe_store::{ActionKey, ActionResult, LogBuffer, LoggedKeys, Store, StoreError};

use super::{
    execute::{ExecuteError, Stores, execute},
    launcher::Resources,
    log, machine,
    options::{Executor, Options},
    program,
    slurm::note::Place,
    worker::{Line, STOP, StopFlag},
};
use crate::{
    action::Action,
    compare::Tolerance,
    how::{Claim, How},
};

/// By how much two results of a GPU may differ.
const ON_GPU: f64 = 0.02;
/// By how much with products of bf16, which has three bits less than TF32.
const WITH_BF16: f64 = 8.0 * ON_GPU;

/// What an execution reports to the loop.
pub(super) enum Message {
    /// It made progress.
    Progress { index: usize, progress: Progress },
    /// It runs elsewhere.
    Placed { index: usize, place: Place },
    /// It waits for its turn again.
    Requeued { index: usize },
    /// This is what waits in the queue of a cluster: each reason, with the number of jobs.
    Waiting { reasons: Vec<(String, usize)> },
    /// Something about all executions.
    Notice { text: String },
    /// Its worker wrote a line that is not part of the protocol.
    Talk { index: usize, line: String },
    /// Its result is there and waits for the disk. It needs neither a core nor memory any more.
    Waits { index: usize },
    /// It has ended. If it has a result, that is durable.
    Ended { index: usize, ended: Ended },
}

/// How an execution ended.
pub(super) enum Ended {
    /// The action cache has a result.
    Committed {
        /// Whether another process committed it.
        found: bool,
    },
    /// It was asked to stop.
    Interrupted,
    /// It has no result.
    Error {
        message: String,
        hint: Option<String>,
        /// Whether the store is damaged.
        damaged: bool,
    },
}

/// A node to be executed.
#[derive(Clone)]
pub(super) struct Job {
    index: usize,
    stage: Arc<dyn Stage>,
    action: Action,
    /// How its program is run, if it runs one.
    how: Option<Arc<How>>,
    threads: usize,
    /// The GPUs that its program sees. `None` for those that this process sees.
    gpus: Option<Vec<String>>,
    /// The number of the GPU on which it computes networks.
    device: Option<usize>,
    /// Whether to ignore checkpoints.
    fresh: bool,
    /// How it is executed to be checked, if it is.
    trial: Option<Trial>,
    /// Where it is executed, if not by this process or a worker of its own.
    elsewhere: Option<Elsewhere>,
    /// The log of the run, if the record of its action is stored with its result.
    log: Option<LoggedKeys>,
    stop: Stop,
}

/// What a node needs that is executed elsewhere.
#[derive(Clone)]
struct Elsewhere {
    resources: Resources,
    node: String,
}

/// How a node is executed in a store of its own, to be compared with its committed result.
#[derive(Clone)]
pub(super) struct Trial {
    /// The store that it reads from.
    pub(super) inputs: Store,
    /// Whether it stops half way and leaves a checkpoint.
    pub(super) stop_half_way: bool,
}

/// Asks a running node to stop: through its worker's standard input, or with a flag.
#[derive(Clone, Default)]
pub(super) struct Stop(Arc<StopState>);

#[derive(Default)]
struct StopState {
    flag: StopFlag,
    pipe: Mutex<Option<ChildStdin>>,
}

impl Stop {
    /// Asks it to stop. It stops as soon as it can.
    pub(super) fn ask(&self) {
        self.0.flag.set();
        if let Some(pipe) = self.0.pipe.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            // Writing fails if the worker has already ended.
            let _ = writeln!(pipe, "{STOP}").and_then(|()| pipe.flush());
        }
    }
}

impl Job {
    /// Returns the job, and a handle to stop it.
    pub(super) fn new(
        index: usize,
        stage: Arc<dyn Stage>,
        action: Action,
        how: Option<Arc<How>>,
        threads: usize,
        fresh: bool,
    ) -> (Self, Stop) {
        let stop = Stop::default();
        (
            Self {
                index,
                stage,
                action,
                how,
                threads,
                gpus: None,
                device: None,
                fresh,
                trial: None,
                elsewhere: None,
                log: None,
                stop: stop.clone(),
            },
            stop,
        )
    }

    /// Returns the job, whose program sees these GPUs. `None` for those that this process sees.
    pub(super) fn with_gpus(self, gpus: Option<Vec<String>>) -> Self {
        Self { gpus, ..self }
    }

    /// Returns the job, which computes on the GPU of this number, if it computes on one.
    pub(super) fn with_device(self, device: Option<usize>) -> Self {
        Self { device, ..self }
    }

    /// Returns the job, to be executed elsewhere, for the node of this name.
    pub(super) fn elsewhere(self, resources: Resources, node: &str) -> Self {
        Self { elsewhere: Some(Elsewhere { resources, node: node.to_owned() }), ..self }
    }

    /// Returns the job, which stores its action with its result, after what the log has so far.
    pub(super) fn with_log(self, log: LoggedKeys) -> Self {
        Self { log: Some(log), ..self }
    }

    /// Returns whether it is executed on a thread of this process.
    pub(super) fn is_light(&self) -> bool {
        let needs = self.stage.needs();
        !(needs.device || needs.process || self.is_elsewhere())
    }

    /// Returns whether it is executed elsewhere.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.elsewhere.is_some()
    }

    /// Returns what it needs elsewhere.
    pub(super) fn resources(&self) -> Resources {
        self.elsewhere.as_ref().map_or_else(Resources::default, |elsewhere| elsewhere.resources)
    }

    /// Returns whether it computes on a GPU.
    pub(super) fn is_on_gpu(&self) -> bool {
        self.action.device.is_some_and(|kind| kind != DeviceKind::Cpu)
    }

    /// Returns whether it is executed although its result is known, without checkpoints.
    pub(super) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Returns how its program is run, as JSON, if it runs one.
    pub(super) fn how_as_json(&self) -> Option<String> {
        self.how.as_ref().map(|how| serde_json::to_string(&**how).expect("it is plain data"))
    }

    /// Returns the index of the node.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// Returns its action.
    pub(super) fn action(&self) -> &Action {
        &self.action
    }

    /// Returns whether it can continue from a checkpoint.
    pub(super) fn keeps_checkpoints(&self) -> bool {
        self.stage.trajectory().is_some()
    }

    /// Returns whether it was asked to stop.
    pub(super) fn is_asked_to_stop(&self) -> bool {
        self.stop.0.flag.is_set()
    }

    /// Returns whether it runs a program.
    pub(super) fn runs_a_program(&self) -> bool {
        self.stage.needs().process
    }

    /// Returns by how much its outputs may differ when it runs again. `None` for not at all.
    pub(super) fn tolerance(&self) -> Option<Tolerance> {
        match self.how.as_ref().map(|how| how.claim) {
            Some(Claim::Close(tolerance)) => Some(Tolerance::Numbers(tolerance)),
            _ => self.is_on_gpu().then_some(Tolerance::Device(match self.action.precision.unwrap_or_default() {
                Precision::F32 => ON_GPU,
                Precision::Bf16 => WITH_BF16,
            })),
        }
    }

    /// Returns whether nothing is claimed of its outputs.
    pub(super) fn is_impure(&self) -> bool {
        self.how.as_ref().is_some_and(|how| how.claim == Claim::Impure)
    }

    /// Returns the number of threads that it has.
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// Returns the job with another number of threads.
    pub(super) fn with_threads(&self, threads: usize) -> Self {
        let how = self.how.as_ref().map(|how| Arc::new(How { threads, ..How::clone(how) }));
        Self { threads, how, ..self.clone() }
    }

    /// Returns the job with another action of the same stage.
    pub(super) fn with_action(&self, action: Action) -> Self {
        Self { action, ..self.clone() }
    }

    /// Returns the job as a trial.
    pub(super) fn as_trial(&self, trial: Trial) -> Self {
        Self { trial: Some(trial), ..self.clone() }
    }
}

/// Starts a job, which reports to `sender`.
pub(super) fn start(job: Job, store: &Store, options: &Options, sender: Sender<Message>) {
    let (store, options) = (store.clone(), options.clone());
    let (index, refused) = (job.index, sender.clone());
    let started = thread::Builder::new().spawn(move || {
        let (ended, log) = run(&job, &store, &options, &sender);
        save_log(&store, &job.action.key(), &ended, log);
        // Sending fails only if the run is over.
        let _ = sender.send(Message::Ended { index, ended });
    });
    if let Err(error) = started {
        let _ = refused.send(Message::Ended { index, ended: no_thread(&error) });
    }
}

/// Returns the end of an execution for which no thread could be started.
pub(super) fn no_thread(error: &io::Error) -> Ended {
    let hint = "the system allows no more threads or processes; run fewer nodes at a time with `--jobs 1`";
    Ended::Error {
        message: format!("no thread could be started: {error}"),
        hint: Some(hint.to_owned()),
        damaged: false,
    }
}

/// Executes a job and returns how it ended, and what it said.
pub(super) fn run(job: &Job, store: &Store, options: &Options, sender: &Sender<Message>) -> (Ended, LogBuffer) {
    if !job.is_light() {
        return in_worker(job, store, options, sender);
    }
    log::begin_on_thread();
    let ended = in_thread(job, store, sender);
    (ended, log::end_on_thread())
}

/// Saves what an execution said, and how it failed if it did. Nothing depends on it, so an error is only a warning.
fn save_log(store: &Store, key: &ActionKey, ended: &Ended, mut log: LogBuffer) {
    match ended {
        // Another process executed it, and saved what it said.
        Ended::Committed { found: true } => return,
        Ended::Committed { found: false } => {
            if let Ok(Some(ActionResult::Failure(failure))) = store.result(key) {
                log::add_error(&mut log, &failure.message, failure.hint.as_deref());
            }
        }
        Ended::Interrupted => log.push(b"interrupted"),
        Ended::Error { message, hint, .. } => log::add_error(&mut log, message, hint.as_deref()),
    }
    if let Err(error) = store.save_log(key, &log.finish()) {
        tracing::warn!("what an execution said was not saved: {}", with_causes(&error));
    }
}

fn in_thread(job: &Job, store: &Store, sender: &Sender<Message>) -> Ended {
    let host = ThreadHost { index: job.index, sender: Mutex::new(sender.clone()), stop: job.stop.clone() };
    let provenance = machine::provenance("none", 1);
    let waits = || {
        let _ = sender.send(Message::Waits { index: job.index });
    };
    let inputs = job.trial.as_ref().map_or(store, |trial| &trial.inputs);
    let stores = Stores { inputs, results: store, lock: None, log: job.log.clone(), waits: &waits };
    match execute(stores, &*job.stage, &job.action, ComputeDevice::CPU, &host, provenance, job.fresh) {
        Ok(executed) => Ended::Committed { found: executed.found },
        Err(ExecuteError::Interrupted) => Ended::Interrupted,
        Err(error) => {
            let damaged = matches!(&error, ExecuteError::Store(error) if error.is_damage());
            Ended::Error { message: with_causes(&error), hint: hint_of(&error), damaged }
        }
    }
}

/// What to do about an input that is at a remote.
pub(super) const FETCH_HINT: &str = "`pipe remote fetch STUDY` fetches what is not here of a study";

/// Returns what the user can do about an error, if the stage knows.
pub fn hint_of(error: &ExecuteError) -> Option<String> {
    match error {
        ExecuteError::Stage(StageError::Environment { hint, .. }) => hint.clone(),
        ExecuteError::Store(StoreError::Promised { .. }) => Some(FETCH_HINT.to_owned()),
        ExecuteError::Store(StoreError::Changed { .. }) => {
            Some("run again when nothing writes to it any more: its files are looked at first".to_owned())
        }
        _ => None,
    }
}

/// Returns an error and its causes, one per line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // A transparent wrapper repeats its cause.
        if !text.ends_with(&error.to_string()) {
            text += &format!("\n  cause: {error}");
        }
        cause = error.source();
    }
    text
}

fn in_worker(job: &Job, store: &Store, options: &Options, sender: &Sender<Message>) -> (Ended, LogBuffer) {
    let mut child = match command(job, store, options).spawn() {
        Ok(child) => child,
        Err(error) => {
            let message = format!("the worker did not start: {error}");
            return (Ended::Error { message, hint: None, damaged: false }, LogBuffer::default());
        }
    };
    *job.stop.0.pipe.lock().unwrap_or_else(PoisonError::into_inner) = child.stdin.take();
    if job.stop.0.flag.is_set() {
        job.stop.ask();
    }
    let log = Arc::new(Mutex::new(LogBuffer::default()));
    let talk = match listen_to_talk(&mut child, job.index, sender.clone(), log.clone()) {
        Ok(talk) => talk,
        Err(error) => {
            // Nobody would read what it says, and it would wait for that. If it has ended already, that is as well.
            let _ = child.kill().and_then(|()| child.wait());
            return (no_thread(&error), LogBuffer::default());
        }
    };
    let (mut last, mut said) = (None, None);
    for text in child.stdout.take().map(lines).into_iter().flatten() {
        match serde_json::from_str(&text) {
            Ok(Line::Progress { progress }) => {
                let _ = sender.send(Message::Progress { index: job.index, progress });
            }
            Ok(Line::Placed { place }) => {
                if job.is_elsewhere() {
                    let _ = sender.send(Message::Placed { index: job.index, place });
                }
            }
            Ok(Line::Said { text }) => said = Some(text),
            Ok(line) => last = Some(line),
            Err(_) => say(job.index, text, sender, &log),
        }
    }
    let status = child.wait();
    let tail = talk.join().unwrap_or_default();
    let worker = std::mem::take(&mut *log.lock().unwrap_or_else(PoisonError::into_inner));
    if job.stage.needs().process && last.is_none() {
        program::kill_left(store, &job.action.key());
    }
    // A worker that was killed could not say what its program said.
    let said = said.or_else(|| program::log(store, &job.action.key()).filter(|_| job.stage.needs().process));
    let log = log::joined(&said.unwrap_or_default(), worker);
    let ended = match (last, status) {
        (Some(Line::Committed { found, .. }), _) => Ended::Committed { found },
        (_, Ok(status)) if status.code() == Some(130) => Ended::Interrupted,
        (Some(Line::Error { message, hint, damaged }), _) => Ended::Error { message, hint, damaged },
        (_, Ok(status)) => {
            let tail = tail.iter().map(|line| format!("\n  | {line}")).collect::<String>();
            Ended::Error {
                message: format!("the worker ended without a result ({status}){tail}"),
                hint: Some(match &options.executor {
                    Executor::Launcher(launcher) => {
                        format!("the worker was started by `{}`: does that run `hostname`?", launcher.text())
                    }
                    _ => "if the system was short of memory, run fewer nodes at a time with `--jobs 1`".to_owned(),
                }),
                damaged: false,
            }
        }
        (_, Err(error)) => {
            Ended::Error { message: format!("the worker was lost: {error}"), hint: None, damaged: false }
        }
    };
    (ended, log)
}

/// Forwards a line, and keeps it in the log.
fn say(index: usize, line: String, sender: &Sender<Message>, log: &Mutex<LogBuffer>) {
    log.lock().unwrap_or_else(PoisonError::into_inner).push(line.as_bytes());
    let _ = sender.send(Message::Talk { index, line });
}

/// Returns the command line of a worker, behind the launcher if there is one.
fn command(job: &Job, store: &Store, options: &Options) -> Command {
    let worker = worker(job, store, options);
    let (Executor::Launcher(launcher), Some(Elsewhere { resources, node })) = (&options.executor, &job.elsewhere)
    else {
        return worker;
    };
    let words: Vec<_> = std::iter::once(worker.get_program()).chain(worker.get_args()).collect();
    let words = launcher.fill(node, *resources, &words);
    let mut command = Command::new(&words[0]);
    // ^C on a terminal is for this process, which tells the workers.
    command.args(&words[1..]).process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(worker.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

fn worker(job: &Job, store: &Store, options: &Options) -> Command {
    let mut command = Command::new(&options.program);
    // The folder may be another one elsewhere.
    let root = path::absolute(store.root()).unwrap_or_else(|_| store.root().to_owned());
    command
        .arg("exec")
        .arg(job.action.key().to_string())
        .arg("--protocol")
        .arg("--store")
        .arg(root)
        .arg("--threads")
        .arg(job.threads.to_string())
        .arg("--checkpoint-every")
        .arg(options.cadence.as_secs_f64().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if job.is_on_gpu() && !job.is_elsewhere() {
        command.arg("--gpu").arg(job.device.or(options.devices.first().copied()).unwrap_or(0).to_string());
    }
    if let Some(how) = job.how_as_json() {
        command.arg("--how").arg(how);
    }
    if let Some(gpus) = &job.gpus {
        command.arg("--gpus").arg(gpus.join(","));
    }
    if job.fresh {
        command.arg("--fresh");
    }
    if let Some(trial) = &job.trial {
        command.arg("--inputs-from").arg(trial.inputs.root());
        if trial.stop_half_way {
            command.arg("--stop-half-way");
        }
    }
    if std::env::var_os("RUST_LOG").is_none() {
        command.env("RUST_LOG", options.log_level);
    }
    command
}

/// Forwards what the worker writes to standard error, and returns the last lines of it.
fn listen_to_talk(
    child: &mut Child,
    index: usize,
    sender: Sender<Message>,
    log: Arc<Mutex<LogBuffer>>,
) -> io::Result<thread::JoinHandle<Vec<String>>> {
    let stderr = child.stderr.take();
    thread::Builder::new().spawn(move || {
        let mut tail = Vec::new();
        for line in stderr.map(lines).into_iter().flatten() {
            tail.push(line.clone());
            if tail.len() > 8 {
                tail.remove(0);
            }
            say(index, line, &sender, &log);
        }
        tail
    })
}

/// Returns the lines that `reader` yields until it ends or fails. Bytes that are not UTF-8 are replaced: a library that writes some must
/// not cost the worker its voice.
fn lines(reader: impl Read) -> impl Iterator<Item = String> {
    let lines = BufReader::new(reader).split(b'\n').map_while(Result::ok);
    lines.map(|line| String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line)).into_owned())
}

/// The host of a light stage on a thread. It keeps no checkpoints, because starting again takes no time.
struct ThreadHost {
    index: usize,
    sender: Mutex<Sender<Message>>,
    stop: Stop,
}

impl Host for ThreadHost {
    fn progress(&self, progress: &Progress) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = sender.send(Message::Progress { index: self.index, progress: progress.clone() });
    }

    fn checkpoint_due(&self) -> bool {
        false
    }

    fn interrupted(&self) -> bool {
        self.stop.0.flag.is_set()
    }

    fn latest_checkpoint(&self, _: u64) -> Option<Checkpoint> {
        None
    }

    fn save_checkpoint(&self, _: &Checkpoint) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_utf_8_does_not_end_the_lines() {
        let heard: Vec<_> = lines(&b"a\r\n\xff\xfe\n\n\xc3\xa9\nlast"[..]).collect();
        assert_eq!(heard, ["a", "\u{fffd}\u{fffd}", "", "\u{e9}", "last"]);
    }

    #[test]
    fn a_worker_is_told_which_gpus_its_program_sees() {
        let plan = crate::pipeline::expand::expand(
            &crate::pipeline::read::read(
                "pipeline.ron",
                "Study(name: \"s\", stages: [(\"a\", Fetch(Embedded(name: \"shapes100\", train: 100, test: 100)))])",
                &[],
            )
            .unwrap(),
            &crate::pipeline::expand::Downloads::default(),
        );
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let options = Options {
            jobs: 1,
            threads: None,
            cores: 1,
            devices: vec![0],
            jobs_per_device: 1,
            rerun: std::collections::BTreeSet::new(),
            cadence: std::time::Duration::from_secs(60),
            program: "pipe".into(),
            log_level: "error",
            memory: None,
            remote: None,
            executor: Executor::Here,
        };
        let told = |gpus: Option<&[&str]>| {
            let action = plan.action(0, &[None]).unwrap();
            let (job, _) = Job::new(0, plan.nodes[0].stage.clone(), action, None, 1, false);
            let job = job.with_gpus(gpus.map(|gpus| gpus.iter().map(|gpu| (*gpu).to_owned()).collect()));
            let args = command(&job, &store, &options);
            let args: Vec<_> = args.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
            args.iter().position(|arg| arg == "--gpus").map(|at| args[at + 1].clone())
        };
        assert_eq!(told(None), None);
        assert_eq!(told(Some(&[])), Some(String::new()));
        assert_eq!(told(Some(&["0", "2"])), Some("0,2".to_owned()));
    }
}
