//! Looks after the jobs of a run: collects nodes, puts them into the queue, waits for their results, and finds out what is lost.

mod judging;
mod locks;
mod looking;
mod queue;
mod stopping;
mod submitting;

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use pipe_store::{ActionKey, JobNote, Store, StoreError};

use super::{
    super::{
        launcher::Resources,
        local::{Ended, Job, Message, with_causes},
        options::Options,
    },
    batch::{self},
    fate::Attempts,
    note::Place,
    options::Pace,
    scheduler::{End, Scheduler, Task},
};

/// The time between two looks at the store.
const TICK: Duration = Duration::from_millis(200);
/// The jobs that are looked after at a time: a tenth of those that may run, but at least and at most so many. So a shared file system has
/// to answer a few hundred times in a second.
const LOOKS: (usize, usize) = (20, 100);
/// The time after which the store is asked again for what a job has left that waited when the queue answered last, if there are at most so
/// many. A short job begins and ends between two answers.
const REST: Duration = Duration::from_secs(2);
const FEW: usize = 200;
/// The number of last lines of a job's log that an error shows.
const TAIL: usize = 8;

/// Looks after the jobs of a run.
pub(super) struct Driver {
    scheduler: Arc<dyn Scheduler>,
    pace: Pace,
    store: Store,
    options: Options,
    messages: Sender<Message>,
    entries: BTreeMap<usize, Entry>,
    batches: BTreeMap<String, Batch>,
    /// The jobs of earlier runs that are still in the queue, by the action that they execute.
    left: BTreeMap<ActionKey, (String, usize)>,
    /// The batches that earlier runs wrote down, until it is known which of their jobs are in the queue.
    unknown: BTreeMap<String, Vec<Option<ActionKey>>>,
    poll: Poll,
    /// When submitting is tried again, and how often it was refused in turn.
    refused: Option<(Instant, u32)>,
    largest_array: Option<usize>,
    count: u32,
    looked_up_to: usize,
    rested: Instant,
    stopped: Option<Stopped>,
    locks: Locks,
    has_said_silence: bool,
    /// Whether nobody listens any more.
    is_deserted: Cell<bool>,
}

/// A node that is executed as a job.
struct Entry {
    job: Job,
    key: ActionKey,
    resources: Resources,
    exclude: BTreeSet<String>,
    attempts: Attempts,
    at: At,
    /// The machine and the units of work that its last note told of.
    place: Option<Place>,
    done: u64,
    /// The number of epochs of this attempt that were told, and the count of the note that told of them.
    told: (usize, u64),
}

/// Where an entry is.
enum At {
    /// It waits for its batch until then.
    Collected { until: Instant },
    /// It is in a batch.
    Queued { batch: String, index: usize, look: Look, gone: Option<(Instant, End)> },
}

/// How often the store is asked for what a job has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Again and again.
    Often,
    /// Once, because the queue has just said that it waits.
    Once,
    /// Not until the queue answers again, or some time has passed.
    Later,
}

struct Batch {
    /// The id of its array, if it is known.
    job: Option<u64>,
    /// The number of its jobs.
    jobs: usize,
    /// When it was put into the queue. A look into the queue that began earlier says nothing about it.
    since: Instant,
    /// How many looks in turn have not found it, if `sbatch` did not say that it is in the queue.
    missed: Option<u32>,
    /// The actions of its jobs, if an earlier run made it. Another run may wait for some of them.
    of_earlier_run: Option<Vec<Option<ActionKey>>>,
}

/// The look into the queue that is going on, and when the last one began.
struct Poll {
    last: Option<Instant>,
    answer: Option<Receiver<Result<Vec<Task>, String>>>,
}

struct Stopped {
    since: Instant,
    is_killed: bool,
}

/// What is known about the locks of the store on other machines.
#[derive(Default)]
struct Locks {
    /// The machines whose locks are seen here.
    seen: BTreeSet<String>,
    /// A job whose lock was not seen although it had noted that it runs. If it writes another note, it did run.
    suspect: Option<(ActionKey, u64)>,
    is_said: bool,
}

impl Driver {
    pub(super) fn new(
        scheduler: Arc<dyn Scheduler>,
        pace: Pace,
        store: Store,
        options: Options,
        messages: Sender<Message>,
    ) -> Self {
        let unknown = match store.batches() {
            Ok(batches) => batches.into_iter().map(|(name, lines)| (name, batch::keys(&lines))).collect(),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "jobs of earlier runs are not found");
                BTreeMap::new()
            }
        };
        let locks = Locks { is_said: store.locks_are_local(), ..Locks::default() };
        Self {
            scheduler,
            pace,
            store,
            options,
            messages,
            entries: BTreeMap::new(),
            batches: BTreeMap::new(),
            left: BTreeMap::new(),
            unknown,
            poll: Poll { last: None, answer: None },
            refused: None,
            largest_array: None,
            count: 0,
            looked_up_to: 0,
            rested: Instant::now(),
            stopped: None,
            locks,
            has_said_silence: false,
            is_deserted: Cell::new(false),
        }
    }

    /// Looks after the jobs that come, until no more can come and all have ended, or nobody listens any more.
    pub(super) fn run(&mut self, jobs: &Receiver<Job>) {
        while !self.is_deserted.get() {
            match jobs.recv_timeout(TICK) {
                Ok(job) => {
                    self.collect(job);
                    jobs.try_iter().for_each(|job| self.collect(job));
                }
                Err(RecvTimeoutError::Disconnected) if self.entries.is_empty() => return,
                Err(RecvTimeoutError::Disconnected) => thread::sleep(TICK),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.step();
        }
    }

    fn collect(&mut self, job: Job) {
        let key = job.action().key();
        let resources = job.resources();
        let at = At::Collected { until: Instant::now() + self.pace.collect };
        let entry = Entry {
            key,
            resources: Resources { memory: rounded(resources.memory), ..resources },
            exclude: BTreeSet::new(),
            attempts: Attempts::default(),
            at,
            place: None,
            done: 0,
            told: (0, 0),
            job,
        };
        self.entries.insert(entry.job.index(), entry);
    }

    fn step(&mut self) {
        self.stop_if_asked();
        if let Err(error) = self.look_at_store() {
            let error = with_causes(&error);
            tracing::warn!("the store cannot be read: {error}");
        }
        self.look_into_queue();
        self.judge();
        if self.stopped.is_none() {
            self.submit();
        }
    }

    fn tell(&self, message: Message) {
        if self.messages.send(message).is_err() {
            self.is_deserted.set(true);
        }
    }

    fn say(&self, text: String) {
        self.tell(Message::Notice { text });
    }

    /// Ends an entry, and forgets a batch whose jobs have all ended.
    fn end(&mut self, index: usize, ended: Ended) {
        let Some(entry) = self.entries.remove(&index) else { return };
        for kind in [JobNote::Progress, JobNote::Failure] {
            self.note_problem(self.store.remove_job_note(kind, &entry.key));
        }
        self.tell(Message::Ended { index, ended });
        if let At::Queued { batch, .. } = entry.at {
            self.forget_if_done(&batch);
        }
    }

    fn forget_if_done(&mut self, batch: &str) {
        let is_open = |entry: &Entry| matches!(&entry.at, At::Queued { batch: of, .. } if of == batch);
        if self.entries.values().any(is_open) {
            return;
        }
        let Some(Batch { jobs, of_earlier_run, .. }) = self.batches.remove(batch) else { return };
        if of_earlier_run.is_none_or(|keys| self.have_results(&keys)) {
            self.note_problem(self.store.remove_batch(batch, jobs));
        }
    }

    /// Returns whether all these actions have results, so that nobody waits for their jobs.
    fn have_results(&self, keys: &[Option<ActionKey>]) -> bool {
        keys.iter().flatten().all(|key| matches!(self.store.result(key), Ok(Some(_))))
    }

    fn note_problem(&self, result: Result<(), StoreError>) {
        if let Err(error) = result {
            tracing::warn!(error = &error as &dyn std::error::Error, "a note about jobs stays");
        }
    }
}

/// Rounds memory up, to at most 1.5 times as much. So nodes that need about the same go into one batch.
fn rounded(memory: u64) -> u64 {
    let power = memory.max(1).next_power_of_two();
    if memory <= power / 4 * 3 { power / 4 * 3 } else { power }
}
