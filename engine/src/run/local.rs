//! Executes nodes on this machine: in a worker process if the stage computes on a device, otherwise on a thread.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc::Sender},
    thread,
};

use pipe_stages::stage::{Checkpoint, ComputeDevice, Host, Progress, Stage, StageError};
use pipe_store::Store;

use super::{
    execute::{ExecuteError, execute},
    machine,
    options::Options,
    worker::{Line, STOP, StopFlag},
};
use crate::action::{Action, DeviceKind};

/// What an execution reports to the loop.
pub(super) enum Message {
    /// It made progress.
    Progress { index: usize, progress: Progress },
    /// Its worker wrote a line that is not part of the protocol.
    Talk { index: usize, line: String },
    /// It has ended.
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
pub(super) struct Job {
    index: usize,
    stage: Arc<dyn Stage>,
    action: Action,
    threads: usize,
    /// Whether to ignore checkpoints.
    fresh: bool,
    stop: Stop,
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
        threads: usize,
        fresh: bool,
    ) -> (Self, Stop) {
        let stop = Stop::default();
        (Self { index, stage, action, threads, fresh, stop: stop.clone() }, stop)
    }
}

/// Starts a job, which reports to `sender`.
pub(super) fn start(job: Job, store: &Store, options: &Options, sender: Sender<Message>) {
    let (store, options) = (store.clone(), options.clone());
    thread::spawn(move || {
        let index = job.index;
        let ended = if job.stage.needs().device {
            in_worker(&job, &store, &options, &sender)
        } else {
            in_thread(&job, &store, &sender)
        };
        // Sending fails only if the run is over.
        let _ = sender.send(Message::Ended { index, ended });
    });
}

fn in_thread(job: &Job, store: &Store, sender: &Sender<Message>) -> Ended {
    let host = ThreadHost { index: job.index, sender: Mutex::new(sender.clone()), stop: job.stop.clone() };
    let provenance = machine::provenance("none", 1);
    match execute(store, &*job.stage, &job.action, ComputeDevice::Cpu, &host, provenance, job.fresh) {
        Ok(executed) => Ended::Committed { found: executed.found },
        Err(ExecuteError::Interrupted) => Ended::Interrupted,
        Err(error) => {
            let damaged = matches!(&error, ExecuteError::Store(error) if error.is_damage());
            Ended::Error { message: with_causes(&error), hint: hint_of(&error), damaged }
        }
    }
}

/// Returns what the user can do about an error, if the stage knows.
pub fn hint_of(error: &ExecuteError) -> Option<String> {
    match error {
        ExecuteError::Stage(StageError::Environment { hint, .. }) => hint.clone(),
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

fn in_worker(job: &Job, store: &Store, options: &Options, sender: &Sender<Message>) -> Ended {
    let mut child = match command(job, store, options).spawn() {
        Ok(child) => child,
        Err(error) => {
            return Ended::Error { message: format!("the worker did not start: {error}"), hint: None, damaged: false };
        }
    };
    *job.stop.0.pipe.lock().unwrap_or_else(PoisonError::into_inner) = child.stdin.take();
    if job.stop.0.flag.is_set() {
        job.stop.ask();
    }
    let talk = listen_to_talk(&mut child, job.index, sender.clone());
    let mut last = None;
    if let Some(stdout) = child.stdout.take() {
        for text in lines(stdout) {
            match serde_json::from_str(&text) {
                Ok(Line::Progress { progress }) => {
                    let _ = sender.send(Message::Progress { index: job.index, progress });
                }
                Ok(line) => last = Some(line),
                Err(_) => {
                    let _ = sender.send(Message::Talk { index: job.index, line: text });
                }
            }
        }
    }
    let status = child.wait();
    let tail = talk.join().unwrap_or_default();
    match (last, status) {
        (Some(Line::Committed { found, .. }), _) => Ended::Committed { found },
        (_, Ok(status)) if status.code() == Some(130) => Ended::Interrupted,
        (Some(Line::Error { message, hint, damaged }), _) => Ended::Error { message, hint, damaged },
        (_, Ok(status)) => {
            let tail = tail.iter().map(|line| format!("\n  | {line}")).collect::<String>();
            Ended::Error {
                message: format!("the worker ended without a result ({status}){tail}"),
                hint: Some("if the system was short of memory, run fewer nodes at a time with `--jobs 1`".to_owned()),
                damaged: false,
            }
        }
        (_, Err(error)) => {
            Ended::Error { message: format!("the worker was lost: {error}"), hint: None, damaged: false }
        }
    }
}

fn command(job: &Job, store: &Store, options: &Options) -> Command {
    let mut command = Command::new(&options.program);
    command
        .arg("exec")
        .arg(job.action.key().to_string())
        .arg("--protocol")
        .arg("--store")
        .arg(store.root())
        .arg("--threads")
        .arg(job.threads.to_string())
        .arg("--checkpoint-every")
        .arg(options.cadence.as_secs_f64().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if job.action.device == Some(DeviceKind::Cuda) {
        command.arg("--cuda-device").arg(options.ordinal.to_string());
    }
    if job.fresh {
        command.arg("--fresh");
    }
    if std::env::var_os("RUST_LOG").is_none() {
        command.env("RUST_LOG", options.log_level);
    }
    command
}

/// Forwards what the worker writes to standard error, and returns the last lines of it.
fn listen_to_talk(child: &mut Child, index: usize, sender: Sender<Message>) -> thread::JoinHandle<Vec<String>> {
    let stderr = child.stderr.take();
    thread::spawn(move || {
        let mut tail = Vec::new();
        for line in stderr.into_iter().flat_map(lines) {
            tail.push(line.clone());
            if tail.len() > 8 {
                tail.remove(0);
            }
            let _ = sender.send(Message::Talk { index, line });
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
}
