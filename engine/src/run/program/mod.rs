//! Runs a program of the user's own: in a working folder, with an environment and rights of its own, and until nothing of it is left.

mod environment;
mod folder;
mod hint;
mod launch;
mod lines;
mod processes;
mod sandbox;
mod temporary;

use std::{
    env, fs,
    io::Write,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

pub use launch::launch;
use lines::LOG;

use launch::{Launch, NOT_STARTED, NOT_STARTED_CODE};
use lines::Lines;
use pipe_stages::{
    program::{Finished, Program, Watched},
    stage::StageError,
};
use pipe_store::{ActionKey, Digest, Store, WorkFolder};
use processes::Family;
use rustix::process::{Pid, Signal, WaitOptions, getpid, test_kill_process_group, waitpgid};
use sandbox::Rules;
use temporary::Temporary;

use crate::how::{How, Sandbox};

/// The time that a program has to end by itself when it is asked to.
const GRACE: Duration = Duration::from_secs(30);
/// The same if nobody waits for it any more.
const SHORT_GRACE: Duration = Duration::from_secs(5);
/// The exit code by which a program says that it may be started again: `EX_TEMPFAIL` of `sysexits.h`.
const TRY_AGAIN: i32 = 75;
/// The time between two looks at the file that is watched.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The time between two looks at the memory of a program.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// The longest time between two looks at the program.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// The time in which the last lines of a program arrive when all its processes have ended.
const LAST_LINES: Duration = Duration::from_secs(5);
/// The file with the lines of a program whose lines are its report, unless it has another.
const HEARD: &str = "lines.txt";

/// Why a program is asked to end before it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The work was asked to stop.
    Stop,
    /// The process that waits for the result is gone.
    Gone,
}

/// The command that becomes the program when it is given what to launch on its standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launcher {
    /// The program.
    pub program: PathBuf,
    /// Its words.
    pub args: Vec<String>,
}

/// Runs programs.
pub(crate) struct Runner<'a> {
    /// Has the files.
    pub(crate) objects: &'a Store,
    /// Gets the checkpoints.
    pub(crate) checkpoints: &'a Store,
    /// The trajectory of the checkpoints. `None` if there are none.
    pub(crate) trajectory: Option<Digest>,
    /// The number of checkpoints that are kept.
    pub(crate) keep: usize,
    /// Whether nothing old is used.
    pub(crate) fresh: bool,
    /// How programs are run.
    pub(crate) how: &'a How,
    /// The GPUs that they see, as in `CUDA_VISIBLE_DEVICES`. `None` for those that this process sees.
    pub(crate) gpus: Option<&'a str>,
    /// Starts them.
    pub(crate) launcher: &'a Launcher,
    /// Whether every child of this process belongs to the program.
    pub(crate) is_only: bool,
    /// Says whether the work is to end.
    pub(crate) asked: &'a (dyn Fn() -> Option<Asked> + Sync),
    /// Is told, about once a second, the memory of all processes of the program in bytes, if the system tells.
    pub(crate) beat: &'a dyn Fn(Option<u64>),
}

/// How an attempt ended.
enum Attempt {
    /// The program ended by itself.
    Ended { code: i32, lines: Vec<String>, watched: Option<Vec<u8>> },
    /// It was ended from outside, or asks for another attempt.
    Lost { why: String, hint: Option<String>, lines: Vec<String> },
    /// The work was asked to stop.
    Stopped,
}

/// How a run of a program ended, and whether there is a state in its folder, from which a next run could go on.
pub(crate) struct Run {
    pub(crate) result: Result<Finished, StageError>,
    pub(crate) leaves_state: bool,
}

impl Runner<'_> {
    /// Runs `program` in `folder`, and again as often as it may be tried. `tell` is called with what is watched.
    pub(crate) fn run(
        &self,
        work: &WorkFolder,
        program: &Program,
        watched: &Watched,
        tell: &mut dyn FnMut(&[u8]),
    ) -> Run {
        let result = self.attempts(work, program, watched, tell);
        let leaves_state = program.state.is_some() && folder::has_state(work.path());
        Run { result, leaves_state }
    }

    fn attempts(
        &self,
        work: &WorkFolder,
        program: &Program,
        watched: &Watched,
        tell: &mut dyn FnMut(&[u8]),
    ) -> Result<Finished, StageError> {
        let name = program.words.first().map_or("", String::as_str);
        // All processes are told this path, and their links are followed when they ask where they are.
        let folder = fs::canonicalize(work.path()).map_err(folder::disk_error(work.path()))?;
        let family = Family { folder: &folder, group: None, is_only: false };
        if !family.end() {
            return Err(cannot_be_killed(name));
        }
        let report = report(program, watched);
        let mut attempt = 0;
        loop {
            let start = folder::Start {
                from_folder: !self.fresh || attempt > 0,
                trajectory: self.trajectory.filter(|_| !self.fresh),
            };
            folder::prepare(work, program, report, start, self.objects, self.checkpoints)?;
            match self.attempt(&folder, program, report, watched, tell)? {
                Attempt::Ended { code, lines, watched } => {
                    if let (0, Some(state), Some(trajectory)) = (code, &program.state, self.trajectory) {
                        folder::save_state(&folder, report, state.epochs, self.checkpoints, &trajectory, self.keep);
                    }
                    let (outputs, others) = folder::outputs(&folder)?;
                    let hint = if code == 0 { None } else { self.hint(&lines, program, &folder) };
                    return Ok(Finished { code, outputs, others, watched, last_lines: lines, hint });
                }
                Attempt::Stopped => return Err(StageError::Interrupted),
                Attempt::Lost { why, .. } if attempt < self.how.retries => {
                    attempt += 1;
                    tracing::warn!("`{name}` {why}; attempt {} of {}", attempt + 1, u64::from(self.how.retries) + 1);
                }
                Attempt::Lost { why, hint, lines } => {
                    let tail = lines.iter().map(|line| format!("\n  | {line}")).collect::<String>();
                    let message = format!("`{name}` {why}{tail}");
                    return Err(StageError::Environment { message, hint, source: None });
                }
            }
        }
    }

    fn hint(&self, lines: &[String], program: &Program, folder: &Path) -> Option<String> {
        let is_refused = self.how.sandbox.in_force() == Some(Sandbox::Landlock);
        hint::hint(lines, program, folder, self.how.project.as_deref(), is_refused)
    }

    fn attempt(
        &self,
        folder: &Path,
        program: &Program,
        report: Option<&str>,
        watched: &Watched,
        tell: &mut dyn FnMut(&[u8]),
    ) -> Result<Attempt, StageError> {
        if (self.asked)().is_some() {
            return Ok(Attempt::Stopped);
        }
        let hear = (*watched == Watched::Output).then(|| report.map(|report| folder.join(report)));
        let lines = Lines::new(folder, hear.as_ref().map(Option::as_deref)).map_err(folder::disk_error(folder))?;
        let lines = Arc::new(Mutex::new(lines));
        let temporary = Temporary::new(folder);
        let (mut child, heard) = self.start(folder, temporary.path(), program, &lines)?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let family = Family { folder, group, is_only: self.is_only };
        let mut watch = Watch::new(folder, watched, &lines);
        let waited = self.wait(&mut child, &family, &mut watch, tell);
        // However it ended, nothing of it may go on.
        let are_gone = family.end();
        // If a process that cannot be found holds the pipe, its lines are not waited for.
        let _ = heard.recv_timeout(LAST_LINES);
        let (status, ending) = waited.map_err(folder::disk_error(folder))?;
        if !are_gone {
            return Err(cannot_be_killed(&program.words[0]));
        }
        watch.look(tell, true);
        let (last, error) = {
            let mut lines = lock(&lines);
            (lines.last(), lines.error())
        };
        if let Some(error) = error {
            tracing::warn!("not all that the program said was kept: {error}");
        }
        let lost =
            |why: String, hint: Option<&str>, lines| Ok(Attempt::Lost { why, hint: hint.map(str::to_owned), lines });
        match (ending, status.code(), status.signal()) {
            (Some(Ending::Asked), ..) => Ok(Attempt::Stopped),
            (Some(Ending::TimeLimit(limit)), ..) => lost(
                format!("was stopped after {limit} seconds, its time limit"),
                Some("allow it more with `time_limit`"),
                last,
            ),
            (None, Some(NOT_STARTED_CODE), _) if folder.join(NOT_STARTED).is_file() => {
                Err(not_started(&program.words[0], &folder.join(NOT_STARTED)))
            }
            (None, Some(TRY_AGAIN), _) => lost(format!("asks to be run again (exit code {TRY_AGAIN})"), None, last),
            (None, Some(code), _) => Ok(Attempt::Ended { code, lines: last, watched: watch.whole()? }),
            (None, None, Some(9)) => lost(
                "was killed, and not by `pipe`: the system was probably out of memory".to_owned(),
                Some("state its memory in `resources`, or run fewer nodes at a time with `--jobs 1`"),
                last,
            ),
            (None, None, signal) => {
                let named = signal.and_then(Signal::from_named_raw).map(|signal| format!("{signal:?}"));
                let name =
                    named.map_or_else(|| status.to_string(), |name| name.replace("Signal::", "SIG").replace('"', ""));
                lost(format!("was killed by a signal ({name})"), None, last)
            }
        }
    }

    /// Starts the program. The receiver gets a message when nothing can write any more what it says.
    fn start(
        &self,
        folder: &Path,
        temporary: &Path,
        program: &Program,
        lines: &Arc<Mutex<Lines>>,
    ) -> Result<(Child, mpsc::Receiver<()>), StageError> {
        let refused = |(message, hint)| StageError::Environment { message, hint: Some(hint), source: None };
        let word = program.words.first().ok_or_else(|| StageError::failed("the command line is empty"))?;
        let gpus = self.gpus.map(|gpus| ("CUDA_VISIBLE_DEVICES".into(), gpus.into()));
        let all = env::vars_os().chain(gpus);
        let variables = environment::environment(all, &self.how.pass_env, &program.env, folder, temporary);
        let path = variables.get("PATH".as_ref() as &std::ffi::OsStr);
        let found = environment::find(word, folder, |name| program.files.contains_key(name), path).map_err(refused)?;
        let rules = match self.how.sandbox.in_force() {
            Some(Sandbox::Landlock) => {
                let variable = |name: &str| variables.get(name.as_ref() as &std::ffi::OsStr).cloned();
                Some(Rules::new(folder, &found, &variable, self.how.project.as_deref()))
            }
            Some(_) => None,
            None => {
                let message = "the kernel of this machine has no Landlock".to_owned();
                return Err(refused((message, "set `sandbox: Auto`, which uses it where it is there".to_owned())));
            }
        };
        let args = program.words[1..].to_vec();
        let spec = Launch { program: found, args, parent: getpid().as_raw_pid(), rules };
        let could_not = |error: std::io::Error| StageError::Environment {
            message: format!("`{word}` could not be started"),
            hint: None,
            source: Some(error.into()),
        };
        let spec = serde_json::to_vec(&spec).map_err(|error| could_not(error.into()))?;
        // One pipe for both, so that what is written first arrives first.
        let (stream, end) = std::io::pipe().map_err(could_not)?;
        let same_end = end.try_clone().map_err(could_not)?;
        let mut child = Command::new(&self.launcher.program)
            .args(&self.launcher.args)
            .current_dir(folder)
            .env_clear()
            .envs(&variables)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(end)
            .stderr(same_end)
            .spawn()
            .map_err(could_not)?;
        let (sender, heard) = mpsc::channel();
        let lines = lines.clone();
        let listening = thread::Builder::new().spawn(move || {
            lines::each(stream, |line| lock(&lines).add(line));
            // Nobody may wait any more.
            let _ = sender.send(());
        });
        let told = listening.and_then(|_| match child.stdin.take() {
            Some(mut stdin) => stdin.write_all(&spec),
            None => Ok(()),
        });
        // If it has ended already, it says why. Without a thread that listens, it must not start.
        if let Err(error) =
            told.or_else(|error| if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
        {
            let _ = child.kill().and_then(|()| child.wait());
            return Err(could_not(error));
        }
        Ok((child, heard))
    }

    /// Waits until the program ends, or ends it. Returns how it ended, and why it was ended if it was.
    fn wait(
        &self,
        child: &mut Child,
        family: &Family<'_>,
        watch: &mut Watch<'_>,
        tell: &mut dyn FnMut(&[u8]),
    ) -> std::io::Result<(ExitStatus, Option<Ending>)> {
        let since = Instant::now();
        let limit = self.how.time_limit.filter(|limit| limit.is_finite());
        let mut pause = Duration::from_millis(1);
        let mut beat = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok((status, None));
            }
            if beat.elapsed() >= BEAT_EVERY {
                (self.beat)(family.memory());
                beat = Instant::now();
            }
            let late = limit.filter(|limit| since.elapsed().as_secs_f64() >= *limit);
            if let Some(ending) = (self.asked)().map(|_| Ending::Asked).or(late.map(Ending::TimeLimit)) {
                return Ok((self.stop(child, family)?, Some(ending)));
            }
            watch.look(tell, false);
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Asks the program to end, and kills it if it does not.
    fn stop(&self, child: &mut Child, family: &Family<'_>) -> std::io::Result<ExitStatus> {
        let since = Instant::now();
        family.signal(Signal::TERM);
        let mut status = None;
        loop {
            if status.is_none() {
                status = child.try_wait()?;
            }
            if let (Some(status), Some(group)) = (status, family.group) {
                // Others of the group may be saving what they have.
                while let Ok(Some(_)) = waitpgid(group, WaitOptions::NOHANG) {}
                if test_kill_process_group(group).is_err() {
                    return Ok(status);
                }
            }
            let grace = if (self.asked)() == Some(Asked::Gone) { SHORT_GRACE } else { GRACE };
            if since.elapsed() >= grace {
                family.signal(Signal::KILL);
                return status.map_or_else(|| child.wait(), Ok);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Why a program was ended.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Asked,
    TimeLimit(f64),
}

/// Looks at what is watched.
struct Watch<'a> {
    lines: &'a Mutex<Lines>,
    /// The file, if one is watched.
    file: Option<PathBuf>,
    hears: bool,
    told: u64,
    next: Instant,
}

impl<'a> Watch<'a> {
    fn new(folder: &Path, watched: &Watched, lines: &'a Mutex<Lines>) -> Self {
        let file = if let Watched::File(path) = watched { Some(folder.join(path)) } else { None };
        Self { lines, file, hears: *watched == Watched::Output, told: 0, next: Instant::now() + LOOK_EVERY }
    }

    /// Tells of what is watched if it has grown and it is time, or if it is the `last` look.
    fn look(&mut self, tell: &mut dyn FnMut(&[u8]), last: bool) {
        let since = Instant::now();
        if since < self.next && !last {
            return;
        }
        if self.hears {
            let lines = lock(self.lines);
            if let Some(heard) = lines.heard().filter(|heard| heard.len() as u64 > self.told) {
                self.told = heard.len() as u64;
                let heard = heard.to_vec();
                drop(lines);
                tell(&heard);
            }
        } else if let Some(path) = &self.file {
            let size = fs::symlink_metadata(path).map_or(0, |file| file.len());
            // It cannot be read while it is being replaced. The last look says so.
            if size != self.told
                && let Ok(Some(bytes)) = folder::read(path)
            {
                self.told = bytes.len() as u64;
                tell(&bytes);
            }
        }
        // A large file must not keep this process busy.
        self.next = Instant::now() + LOOK_EVERY.max(since.elapsed() * 20);
    }

    /// Returns all that is watched.
    fn whole(&self) -> Result<Option<Vec<u8>>, StageError> {
        match &self.file {
            Some(path) => folder::read(path).map_err(folder::disk_error(path)),
            None => Ok(lock(self.lines).heard().map(<[u8]>::to_vec)),
        }
    }
}

/// Returns the path of the file with the reports that outlive kills.
fn report<'a>(program: &'a Program, watched: &Watched) -> Option<&'a str> {
    let state = program.state.as_ref()?;
    state.report.as_deref().or((*watched == Watched::Output).then_some(HEARD))
}

fn not_started(name: &str, path: &Path) -> StageError {
    let text = fs::read_to_string(path).unwrap_or_default();
    let (kind, why) = text.split_once(' ').unwrap_or(("0", "it was not said why"));
    let hint = match kind {
        // ENOENT. A file without such a line is read by the shell.
        "2" => Some("its first line names an interpreter that is not there".to_owned()),
        _ => None,
    };
    StageError::Environment { message: format!("`{name}` could not be started: {why}"), hint, source: None }
}

fn cannot_be_killed(name: &str) -> StageError {
    let message = format!("a process of `{name}` cannot be killed: the kernel does not let it go");
    let hint = Some("look for it with `ps`: a disk or a device may not answer".to_owned());
    StageError::Environment { message, hint, source: None }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns what the program of an action says, or said before it was killed, as far as it is of its latest start. `None` if it is not
/// known: it has ended well, or was not run.
pub fn log(store: &Store, key: &ActionKey) -> Option<String> {
    let bytes = fs::read(log_path(store, key)).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns what the program of an action has said so far, if it is being run.
pub fn live_log(store: &Store, key: &ActionKey) -> Option<Vec<u8>> {
    fs::read(log_path(store, key)).ok()
}

/// Returns where the program of an action writes what it says while it runs.
pub fn log_path(store: &Store, key: &ActionKey) -> PathBuf {
    store.root().join("work").join(key.to_string()).join(LOG)
}

/// Kills what a worker that was killed has left of the program of an action, unless another worker has taken its place.
pub(crate) fn kill_left(store: &Store, key: &ActionKey) {
    if !log_path(store, key).exists() {
        return;
    }
    // What cannot be had now is taken, and cleared, by the next execution.
    let Ok(Some(work)) = store.try_work_folder(key) else { return };
    if let Ok(folder) = fs::canonicalize(work.path()) {
        Family { folder: &folder, group: None, is_only: false }.end();
    }
}

/// Kills all processes that this one has started, and those that they have started.
pub(crate) fn kill_all() {
    Family { folder: Path::new("/"), group: None, is_only: true }.end();
}

#[cfg(test)]
mod tests;
