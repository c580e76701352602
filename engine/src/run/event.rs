//! The events of a run.

use pipe_stages::stage::Progress;
use pipe_store::{ActionKey, Digest};

use super::{room::RoomNeeded, slurm::note::Place, verdict::Verdict, why::Why};

/// An event of a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// A node is to be executed elsewhere, and waits for its turn there.
    Queued {
        /// The node's name.
        node: &'a str,
        /// Why it is executed.
        why: &'a Why,
    },
    /// A node that is executed elsewhere runs there.
    Placed {
        /// The node's name.
        node: &'a str,
        /// Where it runs.
        place: &'a Place,
    },
    /// What waits in the queue of a cluster.
    Waiting {
        /// The reasons, each with the number of jobs that wait for it. The most frequent one is first.
        reasons: &'a [(String, usize)],
    },
    /// Something about the run as a whole.
    Notice {
        /// A sentence without a full stop.
        text: &'a str,
    },
    /// A node is being executed.
    Started {
        /// The node's name.
        node: &'a str,
        /// Why it is executed.
        why: &'a Why,
    },
    /// A node made progress.
    Progress {
        /// The node's name.
        node: &'a str,
        /// Its progress.
        progress: &'a Progress,
    },
    /// A worker wrote a line to its standard error, or one to its standard output that is not part of the protocol.
    Talk {
        /// The name of the worker's node.
        node: &'a str,
        /// The line, without its end.
        line: &'a str,
    },
    /// A node has its outcome.
    Settled {
        /// The node's name.
        node: &'a str,
        /// How it got its outcome.
        how: How,
        /// Why it was executed or reused, or what went wrong.
        why: &'a Why,
        /// The key of its action. `None` if one of its inputs does not exist.
        key: Option<ActionKey>,
        /// Its output tree, if it has one.
        tree: Option<Digest>,
        /// How long it ran, in seconds. 0 if it did not run.
        seconds: f64,
    },
    /// Files of a result that was reused are at a remote and not to be had, so the node is executed after all. It is settled once more.
    Lost {
        /// The node's name.
        node: &'a str,
    },
    /// The first training is about to start, and it is known what all will need on the disk.
    Room {
        /// What they need, and what is free.
        needed: &'a RoomNeeded,
    },
    /// The first trials of a search all failed alike, without a result. Its other trials are skipped.
    GivenUp {
        /// The name of the search.
        search: &'a str,
        /// The number of trials that failed.
        trials: usize,
        /// The node of the first of them.
        node: &'a str,
        /// What that one said.
        message: &'a str,
    },
    /// A search stops before its last trial.
    Stopped {
        /// The name of the search.
        search: &'a str,
        /// The number of trials that it has.
        trials: usize,
        /// The number of trials that it would have had.
        planned: usize,
        /// The number of nodes of this run that are left out.
        nodes: usize,
        /// Why it stops.
        reason: &'a str,
    },
    /// A node was executed again and compared with its committed result.
    Checked {
        /// The node's name.
        node: &'a str,
        /// What came of it.
        verdict: &'a Verdict,
        /// How long it took, in seconds.
        seconds: f64,
    },
}

/// How a node got its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// This run executed it.
    Executed,
    /// Its result was known, or another run executed it at the same time.
    Reused,
    /// It has no outputs: it failed now or in an earlier run, or crashed.
    Failed,
    /// A node that it needs has no outputs.
    Skipped,
    /// It was stopped. The next run continues it.
    Interrupted,
}
