//! How jobs are put into the queue of a Slurm cluster.

use std::time::Duration;

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
    pub(super) fn words(&self) -> Vec<String> {
        let named = [("partition", &self.partition), ("account", &self.account), ("time", &self.time)];
        let named = named.into_iter().filter_map(|(name, value)| Some(format!("--{name}={}", value.as_ref()?)));
        named.chain(self.extra.iter().cloned()).collect()
    }
}
