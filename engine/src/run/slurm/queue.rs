//! The way of nodes to the driver of a cluster's jobs.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    thread,
};

use pipe_store::Store;
use rustix::process::nice;

use super::{
    super::{
        local::{self, Job, Message},
        options::Options,
    },
    driver::Driver,
    options::SlurmOptions,
    scheduler::Slurm,
};

/// How much more the process gives way to others, from 0 to 19.
const NICE: i32 = 10;

/// Takes the nodes that are to be executed as jobs, until it is dropped.
pub(crate) struct Queue {
    sender: Sender<Job>,
}

impl Queue {
    /// Starts a thread that looks after the jobs and reports to `messages`.
    pub(crate) fn start(slurm: &SlurmOptions, store: &Store, options: &Options, messages: Sender<Message>) -> Self {
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
    pub(crate) fn put(&self, job: Job, messages: &Sender<Message>) {
        if let Err(error) = self.sender.send(job) {
            let ended = local::no_thread(&io::Error::other("nothing looks after the jobs of the cluster"));
            let _ = messages.send(Message::Ended { index: error.0.index(), ended });
        }
    }
}
