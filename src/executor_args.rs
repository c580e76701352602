//! The options that say what executes the nodes of a run.

use clap::{Args, ValueEnum};
use pipe_engine::run::{
    Executor,
    launcher::Launcher,
    slurm::{self, Pace, SlurmOptions},
};

use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(next_help_heading = "Other machines")]
pub(crate) struct ExecutorArgs {
    /// Start each worker with this command: `srun ..`, `ssh host`
    ///
    /// The worker's command line is put behind it, quoted for a shell if the command is `ssh`. {threads}, {memory} (in MiB), {gpus} and
    /// {node} are filled in; {command} is the worker's command line as one word, for `sh -c`. Whether there is room for a worker is up to
    /// the launcher, so `--jobs` defaults to 64 and `--threads` to 1. The store must be in the same place there.
    #[arg(long, value_name = "COMMAND", env = "PIPE_LAUNCHER", value_parser = Launcher::parse, conflicts_with_all = ["executor", "check"])]
    launcher: Option<Launcher>,
    /// What executes the nodes [default: local]
    ///
    /// `slurm` puts them into the queue of the cluster, as arrays of jobs with equal resources, and waits for their results in the store,
    /// which must be on a file system that all machines share. `--jobs`, the most jobs at a time, defaults to 10000, and `--threads` to 1.
    /// At ^C, jobs write checkpoints and leave the queue. At a second one, or if the terminal is closed, they stay, and `pipe run` finds
    /// them again.
    #[arg(long, value_enum, env = "PIPE_EXECUTOR", conflicts_with = "check")]
    executor: Option<Kind>,
    /// The partition of Slurm's [default: the cluster's]
    #[arg(long, value_name = "NAME", requires = "executor")]
    partition: Option<String>,
    /// The account to charge [default: yours]
    #[arg(long, value_name = "NAME", requires = "executor")]
    account: Option<String>,
    /// The time limit of a job, such as `30` (minutes) or `4:00:00` [default: the partition's]
    ///
    /// A training that needs more goes on from its checkpoint in another job.
    #[arg(long, value_name = "TIME", requires = "executor")]
    time: Option<String>,
    /// Another option of `sbatch`, such as `--extra=--constraint=a100` (repeatable)
    #[arg(long, value_name = "OPTION", requires = "executor", allow_hyphen_values = true)]
    extra: Vec<String>,
    /// Seconds between two looks into the queue, and until a job that is gone is lost
    #[arg(long, hide = true, value_name = "SECONDS,SECONDS", value_parser = pace, requires = "executor")]
    pace: Option<Pace>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Processes on this machine
    Local,
    /// Jobs of a Slurm cluster
    Slurm,
}

/// The most workers of a launcher, and the most jobs of a cluster, if nothing is said.
const LAUNCHED: usize = 64;
const QUEUED: usize = 10_000;

fn pace(text: &str) -> Result<Pace, String> {
    let seconds = |text: &str| text.parse().ok().map(std::time::Duration::from_secs_f64);
    let pair = text.split_once(',').and_then(|(poll, grace)| Some((seconds(poll)?, seconds(grace)?)));
    let (poll, grace) = pair.ok_or("expected two numbers of seconds")?;
    Ok(Pace { poll, grace, retry: poll, ..Pace::default() })
}

impl ExecutorArgs {
    /// Returns the most nodes that run at a time.
    pub(crate) fn jobs(&self, jobs: Option<usize>, cores: usize) -> usize {
        jobs.unwrap_or(match (&self.launcher, self.executor) {
            (Some(_), _) => LAUNCHED,
            (None, Some(Kind::Slurm)) => QUEUED,
            (None, Some(Kind::Local) | None) => cores,
        })
    }

    /// Returns what executes the nodes.
    pub(crate) fn executor(&self) -> Result<Executor, Failure> {
        match (&self.launcher, self.executor) {
            (Some(launcher), _) => Ok(Executor::Launcher(launcher.clone())),
            (None, Some(Kind::Slurm)) => {
                slurm::find().map_err(|error| {
                    Failure::usage(format!("Slurm cannot be used: {error}"))
                        .hint("run `pipe` on a login node of the cluster, or leave out `--executor slurm`")
                })?;
                Ok(Executor::Slurm(SlurmOptions {
                    partition: self.partition.clone(),
                    account: self.account.clone(),
                    time: self.time.clone(),
                    extra: self.extra.clone(),
                    pace: self.pace.unwrap_or_default(),
                }))
            }
            (None, Some(Kind::Local) | None) => Ok(Executor::Here),
        }
    }
}
