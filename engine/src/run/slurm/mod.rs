//! Executes nodes as jobs of a Slurm cluster.
//!
//! The store is the truth: a node is done when its result is there. Slurm's queue is asked every few seconds, and what it says is a
//! hint: about where a job is, and that it may be lost. A job is lost only if Slurm itself, asked for it by its id, agrees, and if the
//! result has not come for some time. Two jobs for one node do no harm, because the second finds the lock or the result of the first.

mod batch;
mod driver;
mod fate;
pub mod note;
mod scheduler;
#[cfg(test)]
mod tests;

use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    thread,
    time::Duration,
};

use driver::Driver;
use pipe_store::Store;
use rustix::process::nice;
use scheduler::Slurm;

use super::{
    local::{self, Job, Message},
    options::Options,
};

/// How jobs are put into the queue of a Slurm cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlurmOptions {
    /// The partition. Defaults to the cluster's.
    pub partition: Option<String>,
    /// The account that is charged. Defaults to the user's.
    pub account: Option<String>,
    /// The time limit of each job, as `sbatch` takes it. Defaults to the partition's.
    pub time: Option<String>,
    /// More options of `sbatch`.
    pub extra: Vec<String>,
    /// The pace of the conversation with Slurm.
    pub pace: Pace,
}

/// How often Slurm is asked, and how long is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// For how long nodes are collected for a batch.
    pub collect: Duration,
    /// The time between two looks into the queue.
    pub poll: Duration,
    /// How long a job must be gone from the queue, without a result, to be lost. A shared file system may show a result late.
    pub grace: Duration,
    /// How long jobs may take to write checkpoints when the run is stopped.
    pub stop: Duration,
    /// How long is waited before Slurm is asked again for what it refused for now.
    pub retry: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { collect: seconds(1), poll: seconds(15), grace: seconds(90), stop: seconds(45), retry: seconds(20) }
    }
}

impl SlurmOptions {
    /// Returns the options for `sbatch`.
    fn words(&self) -> Vec<String> {
        let named = [("partition", &self.partition), ("account", &self.account), ("time", &self.time)];
        let named = named.into_iter().filter_map(|(name, value)| Some(format!("--{name}={}", value.as_ref()?)));
        named.chain(self.extra.iter().cloned()).collect()
    }
}

/// Returns whether Slurm's commands are here.
///
/// # Errors
/// What is missing, if something is.
pub fn find() -> Result<(), String> {
    scheduler::find()
}

/// How much more the process gives way to others, from 0 to 19.
const NICE: i32 = 10;

/// Takes the nodes that are to be executed as jobs, until it is dropped.
pub(super) struct Queue {
    sender: Sender<Job>,
}

impl Queue {
    /// Starts a thread that looks after the jobs and reports to `messages`.
    pub(super) fn start(slurm: &SlurmOptions, store: &Store, options: &Options, messages: Sender<Message>) -> Self {
        // A login node is for everybody. If its priority cannot be lowered, it does little all the same.
        let _ = nice(NICE);
        let (sender, jobs) = mpsc::channel();
        let scheduler = Arc::new(Slurm { options: slurm.words() });
        let mut driver = Driver::new(scheduler, slurm.pace, store.clone(), options.clone(), messages);
        // If no thread can be started, the channel is closed, and so each job fails when it is sent.
        drop(thread::Builder::new().spawn(move || driver.run(&jobs)));
        Self { sender }
    }

    /// Puts a job into the queue. If nothing looks after jobs, says that it has ended.
    pub(super) fn put(&self, job: Job, messages: &Sender<Message>) {
        if let Err(error) = self.sender.send(job) {
            let ended = local::no_thread(&io::Error::other("nothing looks after the jobs of the cluster"));
            let _ = messages.send(Message::Ended { index: error.0.index(), ended });
        }
    }
}
