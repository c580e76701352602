//! How a plan is run.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use super::{launcher::Launcher, remote_results::RemoteResults, slurm::SlurmOptions};

/// How a plan is run. Nothing here affects a digest.
#[derive(Clone)]
pub struct Options {
    /// The most nodes that run at a time, at least 1.
    pub jobs: usize,
    /// The threads of each node. Defaults to the node's share of the free cores.
    pub threads: Option<usize>,
    /// The cores that all nodes together may use.
    pub cores: usize,
    /// The numbers of the GPUs that networks are computed on, if the study computes on GPUs.
    pub devices: Vec<usize>,
    /// The most nodes that compute on one GPU at a time, at least 1.
    pub jobs_per_device: usize,
    /// The nodes to execute again even if their results are known, as indices into the plan.
    pub rerun: BTreeSet<usize>,
    /// The time between two checkpoints.
    pub cadence: Duration,
    /// The program to run as a worker, which is this one.
    pub program: PathBuf,
    /// The level of the workers' log lines, unless `RUST_LOG` is set.
    pub log_level: &'static str,
    /// The memory that all nodes together may use, in bytes. `None` if it is not known.
    pub memory: Option<u64>,
    /// Where results are looked for that the store does not have.
    pub remote: Option<Arc<dyn RemoteResults>>,
    /// What executes the nodes.
    pub executor: Executor,
}

/// What executes the nodes. Those that take no time, and downloads, are executed by this process in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Executor {
    /// Workers on this machine.
    #[default]
    Here,
    /// Workers that a launcher starts. Whether there is room for them is its business.
    Launcher(Launcher),
    /// Jobs of a Slurm cluster.
    Slurm(SlurmOptions),
}

impl Executor {
    /// Returns whether nodes are executed on this machine, within its cores and memory.
    pub fn is_here(&self) -> bool {
        *self == Self::Here
    }
}
