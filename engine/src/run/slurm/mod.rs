//! Executes nodes as jobs of a Slurm cluster.
//!
//! The store is the truth: a node is done when its result is there. Slurm's queue is asked every few seconds, and what it says is a
//! hint: about where a job is, and that it may be lost. A job is lost only if Slurm itself, asked for it by its id, agrees, and if the
//! result has not come for some time. Two jobs for one node do no harm, because the second finds the lock or the result of the first.

mod batch;
mod driver;
mod fate;
pub mod note;
mod options;
mod queue;
mod scheduler;
#[cfg(test)]
mod tests;

pub use options::{Pace, SlurmOptions};
pub(super) use queue::Queue;

/// Returns whether Slurm's commands are here.
///
/// # Errors
/// What is missing, if something is.
pub fn find() -> Result<(), String> {
    scheduler::find()
}
