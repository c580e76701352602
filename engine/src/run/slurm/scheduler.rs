//! The commands of Slurm: `sbatch`, `squeue`, `scontrol`, `scancel` and `sacct`. Each has a time limit, because they hang when the
//! controller does.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::{self, Read, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use super::super::launcher::Resources;

/// What Slurm says about a job of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    /// The name of its batch.
    pub(super) batch: String,
    /// The id of its array.
    pub(super) job: u64,
    /// Its index in the array.
    pub(super) index: usize,
    /// Where it is.
    pub(super) phase: Phase,
    /// The machine, once it runs.
    pub(super) host: String,
    /// Why it waits.
    pub(super) reason: String,
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// In the queue.
    Waiting,
    /// On a machine. A state that is not known counts as this one.
    Running,
    /// At its end.
    Ended(End),
}

/// How a job ended, as Slurm says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With exit code 0.
    Completed,
    /// With another exit code or by a signal.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// It had no more time.
    TimeLimit,
    /// It had no more memory.
    OutOfMemory,
    /// Its machine failed.
    Machine,
    /// It made way for another job.
    Preempted,
    /// Slurm does not know it.
    Forgotten,
}

impl End {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Completed => "Slurm says that it completed",
            Self::Failed => "Slurm says that it failed",
            Self::Cancelled => "it was cancelled",
            Self::TimeLimit => "it reached its time limit",
            Self::OutOfMemory => "it ran out of memory",
            Self::Machine => "its machine failed",
            Self::Preempted => "it was preempted",
            Self::Forgotten => "Slurm does not know it any more",
        }
    }
}

impl Phase {
    /// Reads a state as Slurm writes it: `RUNNING`, `CANCELLED by 1000`.
    pub(super) fn of(state: &str) -> Self {
        match state.split([' ', '+']).next().unwrap_or_default() {
            "PENDING" | "CONFIGURING" | "REQUEUED" | "REQUEUE_HOLD" | "REQUEUE_FED" | "SPECIAL_EXIT"
            | "RESV_DEL_HOLD" => Self::Waiting,
            "COMPLETED" => Self::Ended(End::Completed),
            "FAILED" => Self::Ended(End::Failed),
            "CANCELLED" => Self::Ended(End::Cancelled),
            "TIMEOUT" | "DEADLINE" => Self::Ended(End::TimeLimit),
            "OUT_OF_MEMORY" => Self::Ended(End::OutOfMemory),
            "NODE_FAIL" | "BOOT_FAIL" => Self::Ended(End::Machine),
            "PREEMPTED" | "REVOKED" => Self::Ended(End::Preempted),
            _ => Self::Running,
        }
    }
}

/// A batch to be put into the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// Its name, which is the name of the job.
    pub(super) batch: String,
    /// The number of jobs.
    pub(super) jobs: usize,
    /// What each needs.
    pub(super) resources: Resources,
    /// The machines that it must not run on.
    pub(super) exclude: Vec<String>,
    /// Where each writes what it says.
    pub(super) log: PathBuf,
    /// What each executes.
    pub(super) script: String,
}

/// Why a batch is not in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SubmitError {
    /// It never will be: Slurm refuses it.
    Refused(String),
    /// Not now.
    Later(String),
    /// Perhaps it is: there was no answer.
    Unknown(String),
}

/// How jobs are cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cancel {
    /// Those that wait are removed.
    Waiting,
    /// Those that run are asked to stop.
    Stop,
    /// All are ended.
    Kill,
}

/// The scheduler of a cluster.
pub(super) trait Scheduler: Send + Sync {
    /// Puts a batch into the queue. Returns the id of its array.
    fn submit(&self, request: &Request) -> Result<u64, SubmitError>;

    /// Returns the jobs of this user that the scheduler knows, in any state. Fails if it does not answer.
    fn queue(&self) -> Result<Vec<Task>, String>;

    /// Returns what the scheduler knows about an array. `None` if it does not know it. Fails if it does not answer.
    fn look(&self, job: u64) -> Result<Option<Vec<Task>>, String>;

    /// Returns how the jobs of an array ended, by index, as far as there is accounting.
    fn account(&self, job: u64) -> BTreeMap<usize, End>;

    /// Cancels the jobs of arrays.
    fn cancel(&self, jobs: &[u64], how: Cancel) -> Result<(), String>;

    /// Returns the most jobs that an array may have.
    fn largest_array(&self) -> usize;
}

/// Slurm, by its commands.
#[derive(Debug, Clone)]
pub(super) struct Slurm {
    /// The options of `sbatch` that the user gives.
    pub(super) options: Vec<String>,
}

/// How long a command may take. Slurm's own limit for an answer is 10 seconds.
const LIMIT: Duration = Duration::from_secs(60);
/// How long `sacct` may take, which only explains.
const LIMIT_OF_ACCOUNTING: Duration = Duration::from_secs(5);
/// The start of the names of jobs.
pub(super) const NAME: &str = "pipe-";

impl Scheduler for Slurm {
    fn submit(&self, request: &Request) -> Result<u64, SubmitError> {
        let Request { batch, jobs, resources, exclude, log, script } = request;
        let mut command = slurm("sbatch");
        command.args([
            "--parsable",
            "--no-requeue",
            "--open-mode=append",
            "--signal=B:TERM@60",
            "--nodes=1",
            "--ntasks=1",
        ]);
        command.arg(format!("--array=0-{}", jobs - 1)).arg(format!("--job-name={NAME}{batch}"));
        command.arg(format!("--cpus-per-task={}", resources.threads)).arg(format!("--mem={}M", resources.memory));
        if resources.gpus > 0 {
            command.arg(format!("--gpus={}", resources.gpus));
        }
        if !exclude.is_empty() {
            command.arg(format!("--exclude={}", exclude.join(",")));
        }
        command.arg("--output").arg(log).args(&self.options);
        match output(command, Some(script), LIMIT) {
            Ok(Output { success: true, stdout, .. }) => {
                let id = stdout.trim().split(';').next().and_then(|id| id.parse().ok());
                id.ok_or_else(|| {
                    SubmitError::Unknown(format!("`sbatch` said `{}` instead of the id of a job", stdout.trim()))
                })
            }
            Ok(Output { stderr, .. }) => Err(refusal(&stderr)),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(SubmitError::Unknown(error.to_string())),
            Err(error) => Err(SubmitError::Refused(error.to_string())),
        }
    }

    fn queue(&self) -> Result<Vec<Task>, String> {
        let mut command = slurm("squeue");
        command.args(["--noheader", "--array", "--states=all", "--me", "--format=%j|%F|%K|%T|%N|%r"]);
        Ok(answer(command, LIMIT)?.lines().filter_map(parse_queued).collect())
    }

    fn look(&self, job: u64) -> Result<Option<Vec<Task>>, String> {
        let mut command = slurm("scontrol");
        command.args(["--oneliner", "show", "job"]).arg(job.to_string());
        match output(command, None, LIMIT) {
            Ok(Output { success: true, stdout, .. }) => Ok(Some(stdout.lines().flat_map(parse_shown).collect())),
            Ok(Output { stderr, .. }) if stderr.contains("Invalid job id") => Ok(None),
            Ok(Output { stderr, .. }) => Err(stderr.trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn account(&self, job: u64) -> BTreeMap<usize, End> {
        let mut command = slurm("sacct");
        command
            .args(["--noheader", "--allocations", "--parsable2", "--format=JobID,State", "--jobs"])
            .arg(job.to_string());
        // Many clusters keep no accounts.
        let text = answer(command, LIMIT_OF_ACCOUNTING).unwrap_or_default();
        let line = |line: &str| {
            let (id, state) = line.split_once('|')?;
            let (_, index) = id.split_once('_')?;
            match Phase::of(state) {
                Phase::Ended(end) => Some((index.parse().ok()?, end)),
                _ => None,
            }
        };
        text.lines().filter_map(line).collect()
    }

    fn cancel(&self, jobs: &[u64], how: Cancel) -> Result<(), String> {
        let mut command = slurm("scancel");
        match how {
            Cancel::Waiting => drop(command.arg("--state=PENDING")),
            Cancel::Stop => drop(command.args(["--batch", "--signal=TERM"])),
            Cancel::Kill => {}
        }
        command.args(jobs.iter().map(u64::to_string));
        answer(command, LIMIT).map(drop)
    }

    fn largest_array(&self) -> usize {
        let mut command = slurm("scontrol");
        command.args(["show", "config"]);
        let text = answer(command, LIMIT).unwrap_or_default();
        let size =
            text.lines().find_map(|line| line.strip_prefix("MaxArraySize")?.split('=').nth(1)?.trim().parse().ok());
        // The limit is for the largest index and 1 more. The default is 1001.
        size.unwrap_or(1001_usize).saturating_sub(1).max(1)
    }
}

/// Returns whether the commands of Slurm are here.
///
/// # Errors
/// What is missing, if something is.
pub(super) fn find() -> Result<(), String> {
    let mut command = slurm("sbatch");
    command.arg("--version");
    answer(command, LIMIT).map(drop)
}

/// Returns a command of Slurm. Within a job, what Slurm told that job about itself must not become the wishes of another.
fn slurm(name: &str) -> Command {
    let mut command = Command::new(name);
    for (variable, _) in std::env::vars_os() {
        let text = variable.to_string_lossy();
        if text.starts_with("SLURM_") && !matches!(&*text, "SLURM_CONF" | "SLURM_CLUSTERS" | "SLURM_JWT") {
            command.env_remove(&variable);
        }
    }
    command
}

/// Tells apart what Slurm refuses for good and what it refuses now.
fn refusal(stderr: &str) -> SubmitError {
    const LATER: [&str; 9] = [
        "temporarily",
        "Unable to contact slurm controller",
        "Connection refused",
        "Connection reset",
        "MaxSubmit",
        "MaxJobs",
        "slurmctld",
        "Slurm backup controller",
        "try again",
    ];
    // The request may have arrived although no answer came.
    const UNKNOWN: [&str; 3] = ["Socket timed out", "Zero Bytes were transmitted", "Unexpected message received"];
    let text = stderr.trim().trim_start_matches("sbatch: error: ").to_owned();
    let has = |words: &[&str]| words.iter().any(|word| stderr.to_lowercase().contains(&word.to_lowercase()));
    match () {
        () if has(&UNKNOWN) => SubmitError::Unknown(text),
        () if has(&LATER) => SubmitError::Later(text),
        () => {
            SubmitError::Refused(if text.is_empty() { "`sbatch` failed and did not say why".to_owned() } else { text })
        }
    }
}

/// Reads a line of `squeue`. `None` for a job that is not ours.
fn parse_queued(line: &str) -> Option<Task> {
    // The reason may have the separator in it.
    let mut parts = line.splitn(6, '|');
    let mut next = || parts.next().map(str::trim);
    let (batch, job, index) = (next()?.strip_prefix(NAME)?, next()?.parse().ok()?, next()?.parse().ok()?);
    let (phase, host, reason) = (Phase::of(next()?), next()?, next()?);
    Some(Task { batch: batch.to_owned(), job, index, phase, host: host.to_owned(), reason: reason.to_owned() })
}

/// Reads a line of `scontrol show job`, which may be about many jobs that wait.
fn parse_shown(line: &str) -> Vec<Task> {
    let field = |name: &str| {
        let value = |word: &'_ str| word.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')).map(str::to_owned);
        line.split_whitespace().find_map(value)
    };
    let (Some(name), Some(state)) = (field("JobName"), field("JobState")) else { return Vec::new() };
    let (Some(batch), Some(job)) = (name.strip_prefix(NAME), field("ArrayJobId").and_then(|id| id.parse().ok())) else {
        return Vec::new();
    };
    let host = field("NodeList").filter(|host| host != "(null)").unwrap_or_default();
    let reason = field("Reason").unwrap_or_default();
    let task = |index| Task {
        batch: batch.to_owned(),
        job,
        index,
        phase: Phase::of(&state),
        host: host.clone(),
        reason: reason.clone(),
    };
    indices(&field("ArrayTaskId").unwrap_or_default()).into_iter().map(task).collect()
}

/// Reads the indices of an array: `3`, `0-5,7`, `0-99%4`.
fn indices(text: &str) -> Vec<usize> {
    let text = text.split('%').next().unwrap_or_default();
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?.min(1 << 24))
    };
    text.split(',').filter_map(range).flatten().collect()
}

struct Output {
    success: bool,
    stdout: String,
    stderr: String,
}

/// Returns what a command says, or what it complains of.
fn answer(command: Command, limit: Duration) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    match output(command, None, limit) {
        Ok(Output { success: true, stdout, .. }) => Ok(stdout),
        Ok(Output { stderr, .. }) if stderr.trim().is_empty() => Err(format!("`{name}` failed and did not say why")),
        Ok(Output { stderr, .. }) => Err(stderr.trim().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Runs a command with `input`, and ends it with all that it started after `limit`.
fn output(mut command: Command, input: Option<&str>, limit: Duration) -> io::Result<Output> {
    let name = command.get_program().to_owned();
    let not_started = |error: io::Error| {
        let name = Path::new(&name).display();
        match error.kind() {
            io::ErrorKind::NotFound => io::Error::new(error.kind(), format!("there is no `{name}` on this machine")),
            kind => io::Error::new(kind, format!("`{name}` cannot be started: {error}")),
        }
    };
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(not_started)?;
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input.map(str::to_owned)) {
        // It may end without having read it, and says why.
        thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    }
    let (stdout, stderr) = (read(child.stdout.take()), read(child.stderr.take()));
    let status = wait(&mut child, limit, &name);
    if status.is_err()
        && let Some(group) = group
    {
        // It may be over at last.
        let _ = kill_process_group(group, Signal::KILL);
        let _ = child.wait();
    }
    let (stdout, stderr) = (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default());
    Ok(Output { success: status?.success(), stdout, stderr })
}

fn wait(child: &mut Child, limit: Duration, name: &OsStr) -> io::Result<std::process::ExitStatus> {
    let since = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if since.elapsed() > limit {
            let text = format!("`{}` did not answer within {} seconds", Path::new(name).display(), limit.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn read(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What came before an error counts.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_squeue_is_read() {
        let task = |index, phase, host: &str, reason: &str| {
            Some(Task {
                batch: "18f-a".to_owned(),
                job: 12,
                index,
                phase,
                host: host.to_owned(),
                reason: reason.to_owned(),
            })
        };
        assert_eq!(parse_queued("pipe-18f-a|12|3|RUNNING|gpu3|None"), task(3, Phase::Running, "gpu3", "None"));
        let why = "ReqNodeNotAvail, UnavailableNodes:a|b";
        assert_eq!(parse_queued(&format!("pipe-18f-a|12|40|PENDING||{why}")), task(40, Phase::Waiting, "", why));
        assert_eq!(parse_queued("pipe-18f-a|12|3|A_NEW_STATE|gpu3|None"), task(3, Phase::Running, "gpu3", "None"));
        for other in
            ["", "bash|12|N/A|RUNNING|gpu3|None", "pipe-18f-a|12|N/A|RUNNING|gpu3|None", "slurm_load_jobs error"]
        {
            assert_eq!(parse_queued(other), None, "{other}");
        }
    }

    #[test]
    fn a_line_of_scontrol_may_be_about_many_jobs() {
        let line = |id: &str, state: &str| {
            format!(
                "JobId=14 ArrayJobId=12 ArrayTaskId={id} JobName=pipe-b UserId=me(1) JobState={state} Reason=Priority NodeList=(null)"
            )
        };
        let indices_of = |id: &str| parse_shown(&line(id, "PENDING")).iter().map(|task| task.index).collect::<Vec<_>>();
        assert_eq!(indices_of("3"), [3]);
        assert_eq!(indices_of("0-2,7%4"), [0, 1, 2, 7]);
        assert_eq!(parse_shown(&line("3", "OUT_OF_MEMORY"))[0].phase, Phase::Ended(End::OutOfMemory));
        assert!(parse_shown("JobId=14 JobName=bash JobState=RUNNING").is_empty());
    }

    #[test]
    fn what_slurm_refuses_for_good_is_told_from_what_it_refuses_now() {
        let error = |text: &str| refusal(&format!("sbatch: error: {text}\n"));
        for text in [
            "Batch job submission failed: Slurm temporarily unable to accept job, sleeping and retrying",
            "QOSMaxSubmitJobPerUserLimit",
        ] {
            assert!(matches!(error(text), SubmitError::Later(said) if said == text), "{text}");
        }
        let unknown = "Batch job submission failed: Socket timed out on send/recv operation";
        assert!(matches!(error(unknown), SubmitError::Unknown(_)));
        assert!(
            matches!(error("invalid partition specified: gpuu"), SubmitError::Refused(said) if said == "invalid partition specified: gpuu")
        );
    }

    #[test]
    fn a_command_that_hangs_is_ended_with_what_it_started() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & sleep 60"]);
        let since = Instant::now();
        let error = answer(command, Duration::from_millis(50)).unwrap_err();
        assert!(error.starts_with("`sh` did not answer within 0 seconds") && since.elapsed() < Duration::from_secs(30));
        assert_eq!(
            answer(Command::new("no-such-program"), LIMIT).unwrap_err(),
            "there is no `no-such-program` on this machine"
        );
    }
}
