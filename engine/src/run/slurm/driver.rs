//! Looks after the jobs of a run: collects nodes, puts them into the queue, waits for their results, and finds out what is lost.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    path::{self, PathBuf},
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use pipe_stages::stage::Progress;
use pipe_store::{ActionKey, JobNote, Store, StoreError};

use super::{
    super::{
        launcher::Resources,
        local::{Ended, Job, Message, with_causes},
        options::Options,
    },
    batch::{self, BatchJob, Worker},
    fate::{Attempts, Fate},
    note::{self, EndNote, JobEnd, Place},
    options::Pace,
    scheduler::{Cancel, End, Phase, Request, Scheduler, SubmitError, Task},
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

    // ---- The store ----

    /// Looks for results, notes of ends, and progress.
    fn look_at_store(&mut self) -> Result<(), StoreError> {
        if self.entries.len() <= FEW && self.rested.elapsed() >= REST {
            self.rested = Instant::now();
            for entry in self.entries.values_mut() {
                if let At::Queued { look: look @ Look::Later, .. } = &mut entry.at {
                    *look = Look::Once;
                }
            }
        }
        let queued = |(index, entry): (&usize, &Entry)| {
            matches!(entry.at, At::Queued { look: Look::Often | Look::Once, .. }).then_some(*index)
        };
        let all: Vec<_> = self.entries.iter().filter_map(queued).collect();
        // In turn, if there are many.
        let at_a_time = (all.len() / 10).clamp(LOOKS.0, LOOKS.1);
        let start = all.partition_point(|index| *index < self.looked_up_to);
        let looks: Vec<_> = all.iter().cycle().skip(start).take(all.len().min(at_a_time)).copied().collect();
        self.looked_up_to = looks.last().map_or(0, |last| last + 1);
        for index in looks {
            self.look_for_result(index)?;
        }
        Ok(())
    }

    fn look_for_result(&mut self, index: usize) -> Result<(), StoreError> {
        let Some(entry) = self.entries.get_mut(&index) else { return Ok(()) };
        if let At::Queued { look: look @ Look::Once, .. } = &mut entry.at {
            *look = Look::Later;
        }
        let (key, is_fresh) = (entry.key, entry.job.is_fresh());
        // A result that was known before counts only when it was replaced.
        if !is_fresh && self.store.result(&key)?.is_some() {
            self.tell_progress(index);
            self.end(index, Ended::Committed { found: false });
            return Ok(());
        }
        let At::Queued { batch, gone, .. } = &entry.at else { return Ok(()) };
        if let Some(EndNote { batch: of, end, .. }) = note::end(&self.store, &key)
            && of == *batch
        {
            match end {
                JobEnd::Replaced => self.end(index, Ended::Committed { found: false }),
                JobEnd::Error { message, hint, damaged } => self.end(index, Ended::Error { message, hint, damaged }),
                JobEnd::Interrupted { .. } if self.stopped.is_some() => self.end(index, Ended::Interrupted),
                // What Slurm says about it decides.
                JobEnd::Interrupted { .. } | JobEnd::Held => {
                    if gone.is_none() {
                        self.gone(index, End::Failed);
                    }
                }
            }
            return Ok(());
        }
        self.tell_progress(index);
        Ok(())
    }

    /// Notes that a job is gone, as Slurm says or as it says itself.
    fn gone(&mut self, index: usize, end: End) {
        if let Some(Entry { at: At::Queued { gone, .. }, .. }) = self.entries.get_mut(&index) {
            let since = gone.map_or_else(Instant::now, |(since, _)| since);
            *gone = Some((since, end));
        }
    }

    /// Tells where a job runs and how far it is, if it has noted something new.
    fn tell_progress(&mut self, index: usize) {
        let Some(entry) = self.entries.get_mut(&index) else { return };
        let At::Queued { batch, gone, .. } = &mut entry.at else { return };
        let Some(note) = note::progress(&self.store, &entry.key).filter(|note| note.batch == *batch) else { return };
        let (epochs, count) = &mut entry.told;
        if note.count == *count {
            return;
        }
        *count = note.count;
        // Whatever the queue says, it runs.
        *gone = None;
        entry.done = entry.done.max(note.progress.done);
        let is_new_place = entry.place.as_ref() != Some(&note.place);
        entry.place = Some(note.place.clone());
        let curve = note.curve.get(*epochs..).unwrap_or_default().to_vec();
        *epochs = note.curve.len();
        let (key, host, count) = (entry.key, note.place.host.clone(), note.count);
        if is_new_place {
            self.tell(Message::Placed { index, place: note.place });
        }
        // Each epoch is told once, the last one with the progress.
        let (last, others) = curve.split_last().map_or((None, &[][..]), |(last, others)| (Some(last.clone()), others));
        for ended in others.iter().cloned() {
            let progress = Progress { ended: Some(ended), ..note.progress.clone() };
            self.tell(Message::Progress { index, progress });
        }
        self.tell(Message::Progress { index, progress: Progress { ended: last, ..note.progress } });
        self.check_lock(key, host, count);
    }

    /// Finds out whether this machine sees the lock that a job on another one holds.
    fn check_lock(&mut self, key: ActionKey, host: String, count: u64) {
        if self.locks.is_said {
            return;
        }
        if let Some((suspect, before)) = self.locks.suspect {
            // Its lock was free after its note number `before`, and it has written another one since: so it held the lock all the time.
            if suspect == key && count > before {
                self.locks.is_said = true;
                self.say(format!(
                    "the locks of this store are not seen by other machines ({host} holds one): two runs may do the same work, which \
                     changes no result, and `pipe gc` waits until no run is unfinished"
                ));
                self.note_problem(self.store.note_local_locks());
            }
            return;
        }
        if !self.locks.seen.contains(&host) {
            match self.store.try_lock_action(&key) {
                Ok(Some(_free)) => self.locks.suspect = Some((key, count)),
                Ok(None) => drop(self.locks.seen.insert(host)),
                Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "a lock cannot be tried"),
            }
        }
    }

    // ---- The queue ----

    /// Asks for the queue from time to time, and takes the answer.
    fn look_into_queue(&mut self) {
        if let Some(receiver) = &self.poll.answer {
            match receiver.try_recv() {
                Ok(answer) => {
                    self.poll.answer = None;
                    self.take(answer);
                }
                Err(mpsc::TryRecvError::Empty) => {}
                Err(mpsc::TryRecvError::Disconnected) => self.poll.answer = None,
            }
            return;
        }
        let every = if self.stopped.is_some() { self.pace.poll.min(Duration::from_secs(2)) } else { self.pace.poll };
        let is_due = self.poll.last.is_none_or(|last| last.elapsed() >= every);
        let asks = !self.batches.is_empty() || !self.unknown.is_empty();
        if is_due && asks && !self.entries.is_empty() {
            let (sender, receiver) = mpsc::channel();
            let scheduler = self.scheduler.clone();
            let asked = thread::Builder::new().spawn(move || drop(sender.send(scheduler.queue())));
            self.poll.last = Some(Instant::now());
            self.poll.answer = asked.ok().map(|_| receiver);
        }
    }

    fn take(&mut self, answer: Result<Vec<Task>, String>) {
        let tasks = match answer {
            Ok(tasks) => tasks,
            Err(error) => {
                // Nothing is known, so nothing is lost, and nothing is known to wait.
                for entry in self.entries.values_mut() {
                    if let At::Queued { look, .. } = &mut entry.at {
                        *look = Look::Often;
                    }
                }
                if !std::mem::replace(&mut self.has_said_silence, true) {
                    self.say(format!("`squeue` does not answer; the jobs are left alone meanwhile: {error}"));
                }
                return;
            }
        };
        self.has_said_silence = false;
        self.attach(&tasks);
        let began = self.poll.last.unwrap_or_else(Instant::now);
        let found: BTreeMap<_, _> = tasks.iter().map(|task| ((task.batch.as_str(), task.index), task)).collect();
        for task in &tasks {
            if let Some(batch) = self.batches.get_mut(&task.batch) {
                batch.job = Some(task.job);
                batch.missed = None;
            }
        }
        let mut lost = Vec::new();
        for (name, batch) in self.batches.iter_mut().filter(|(_, batch)| batch.since < began) {
            if let Some(missed) = batch.missed.as_mut().filter(|_| batch.job.is_none()) {
                *missed += 1;
                if *missed >= 2 {
                    lost.push(name.clone());
                }
            }
        }
        let mut waiting: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in self.entries.values_mut() {
            let At::Queued { batch, index, look, gone } = &mut entry.at else { continue };
            let is_sure = self.batches.get(batch).is_some_and(|batch| batch.since < began && batch.missed.is_none());
            let phase = match found.get(&(batch.as_str(), *index)) {
                Some(task) => {
                    if task.phase == Phase::Waiting {
                        *waiting.entry(&task.reason).or_default() += 1;
                    }
                    task.phase
                }
                None if is_sure => Phase::Ended(End::Forgotten),
                None => continue,
            };
            *look = if phase == Phase::Waiting { Look::Once } else { Look::Often };
            match phase {
                Phase::Waiting | Phase::Running => *gone = None,
                Phase::Ended(end) => {
                    let since = gone.map_or_else(Instant::now, |(since, _)| since);
                    *gone = Some((since, end));
                }
            }
        }
        self.tell(Message::Waiting { reasons: reasons(&waiting) });
        // `sbatch` did not answer, and the batch is not in the queue.
        for name in lost {
            self.collect_again(&name);
        }
    }

    /// Takes over the jobs of earlier runs that are still in the queue.
    fn attach(&mut self, tasks: &[Task]) {
        if self.unknown.is_empty() {
            return;
        }
        for task in tasks.iter().filter(|task| !matches!(task.phase, Phase::Ended(_))) {
            let Some(keys) = self.unknown.get(&task.batch) else { continue };
            let Some(Some(key)) = keys.get(task.index) else { continue };
            self.left.insert(*key, (task.batch.clone(), task.index));
            let batch = Batch {
                job: Some(task.job),
                jobs: keys.len(),
                since: Instant::now(),
                missed: None,
                of_earlier_run: Some(keys.clone()),
            };
            self.batches.entry(task.batch.clone()).or_insert(batch);
        }
        for (name, keys) in std::mem::take(&mut self.unknown) {
            if !self.batches.contains_key(&name) && self.have_results(&keys) {
                self.note_problem(self.store.remove_batch(&name, keys.len()));
            }
        }
    }

    /// Collects the nodes of a batch again that never came into the queue.
    fn collect_again(&mut self, name: &str) {
        for entry in self.entries.values_mut() {
            if matches!(&entry.at, At::Queued { batch, .. } if batch == name) {
                entry.at = At::Collected { until: Instant::now() };
            }
        }
        self.forget_if_done(name);
    }

    /// Decides about the jobs that have been gone for long enough.
    fn judge(&mut self) {
        // A state that Slurm states is believed sooner than a silence.
        let patience = |end: End| match end {
            End::Completed | End::Forgotten => self.pace.grace,
            _ => self.pace.grace / 6,
        };
        let is_over = |entry: &Entry| match &entry.at {
            At::Queued { batch, gone: Some((since, end)), .. } => {
                let says = note::end(&self.store, &entry.key).is_some_and(|note| note.batch == *batch);
                says || since.elapsed() >= patience(*end)
            }
            _ => false,
        };
        let over: Vec<_> = self.entries.iter().filter(|(_, entry)| is_over(entry)).map(|(index, _)| *index).collect();
        let mut asked: BTreeMap<String, Option<BTreeMap<usize, Task>>> = BTreeMap::new();
        for index in over {
            let Some(Entry { at: At::Queued { batch, index: task, .. }, .. }) = self.entries.get(&index) else {
                continue;
            };
            let (batch, task) = (batch.clone(), *task);
            if !asked.contains_key(&batch) {
                let answer = self.second_opinion(&batch);
                asked.insert(batch.clone(), answer);
            }
            // Without an answer, it is not known to be lost.
            let Some(tasks) = &asked[&batch] else { continue };
            self.conclude(index, &batch, task, tasks);
        }
    }

    /// Asks Slurm about a batch by its id. `None` if it does not answer.
    fn second_opinion(&mut self, name: &str) -> Option<BTreeMap<usize, Task>> {
        let Some(job) = self.batches.get(name)?.job else { return Some(BTreeMap::new()) };
        match self.scheduler.look(job) {
            Ok(Some(tasks)) => {
                Some(tasks.into_iter().filter(|task| task.batch == name).map(|task| (task.index, task)).collect())
            }
            Ok(None) => {
                let task = |(index, end)| {
                    let task = Task {
                        batch: name.to_owned(),
                        job,
                        index,
                        phase: Phase::Ended(end),
                        host: String::new(),
                        reason: String::new(),
                    };
                    (index, task)
                };
                Some(self.scheduler.account(job).into_iter().map(task).collect())
            }
            Err(error) => {
                if !std::mem::replace(&mut self.has_said_silence, true) {
                    self.say(format!("Slurm does not answer; the jobs are left alone meanwhile: {error}"));
                }
                None
            }
        }
    }

    /// Decides about a job that is gone, or finds that it is not.
    fn conclude(&mut self, index: usize, batch: &str, task: usize, tasks: &BTreeMap<usize, Task>) {
        let Some(entry) = self.entries.get_mut(&index) else { return };
        let At::Queued { gone: Some((_, seen)), .. } = entry.at else { return };
        let note = note::end(&self.store, &entry.key).filter(|note| note.batch == batch);
        let (end, host) = match tasks.get(&task) {
            // Its last note says that it is about to end.
            Some(task) if !matches!(task.phase, Phase::Ended(_)) && note.is_none() => {
                if let At::Queued { gone, .. } = &mut entry.at {
                    *gone = None;
                }
                return;
            }
            Some(Task { phase: Phase::Ended(end), host, .. }) => (*end, host.clone()),
            _ => (seen, String::new()),
        };
        let host = if host.is_empty() {
            entry.place.as_ref().map_or_else(String::new, |place| place.host.clone())
        } else {
            host
        };
        // Its result may have come at the last moment.
        if !entry.job.is_fresh() && matches!(self.store.result(&entry.key), Ok(Some(_))) {
            return;
        }
        if self.stopped.is_some() {
            return self.end(index, Ended::Interrupted);
        }
        let name = self
            .batches
            .get(batch)
            .and_then(|batch| batch.job)
            .map_or_else(|| batch.to_owned(), |job| format!("{job}_{task}"));
        match entry.attempts.fate(end, note.as_ref(), entry.done, &host, entry.resources) {
            Fate::Interrupted => {
                self.say(format!("job {name} was cancelled"));
                self.end(index, Ended::Interrupted);
            }
            Fate::Later => self.put_back(index, self.pace.retry),
            Fate::Again { resources, exclude, why } => {
                entry.resources = resources;
                entry.exclude.extend(exclude);
                let on = if host.is_empty() { String::new() } else { format!(" on {host}") };
                self.tell(Message::Talk { index, line: format!("job {name}{on} {why}") });
                self.put_back(index, Duration::ZERO);
            }
            Fate::Failed => {
                let log = self.store.job_log(batch, task).ok().flatten().unwrap_or_default();
                let key = entry.key;
                // A job that was killed could not save what it said.
                self.note_problem(self.store.save_log(&key, &log));
                let log = String::from_utf8_lossy(&log);
                let lines: Vec<_> = log.lines().collect();
                let tail: String =
                    lines[lines.len().saturating_sub(TAIL)..].iter().map(|line| format!("\n  | {line}")).collect();
                let on = if host.is_empty() { String::new() } else { format!(" on {host}") };
                let message = format!("job {name}{on} ended without a result: {}{tail}", end.words());
                let hint = match end {
                    End::OutOfMemory => {
                        "use a smaller batch or a smaller network, or give the program more in its `resources`"
                    }
                    End::TimeLimit => {
                        "give jobs more time with `--time`, or let trainings write checkpoints more often with `--checkpoint-every`"
                    }
                    _ => "`--launcher srun` runs the worker in the foreground, and shows what goes wrong",
                };
                self.end(index, Ended::Error { message, hint: Some(hint.to_owned()), damaged: false });
            }
        }
    }

    /// Collects a node again, after some time.
    fn put_back(&mut self, index: usize, after: Duration) {
        let Some(entry) = self.entries.get_mut(&index) else { return };
        let before = std::mem::replace(&mut entry.at, At::Collected { until: Instant::now() + after });
        (entry.place, entry.told) = (None, (0, 0));
        self.tell(Message::Requeued { index });
        if let At::Queued { batch, .. } = before {
            self.forget_if_done(&batch);
        }
    }

    // ---- Submitting ----

    /// Puts into the queue what has been collected for long enough.
    fn submit(&mut self) {
        // What earlier runs left is asked for first.
        if !self.unknown.is_empty() || self.refused.is_some_and(|(until, _)| Instant::now() < until) {
            return;
        }
        let due = |entry: &Entry| matches!(entry.at, At::Collected { until } if until <= Instant::now());
        if !self.entries.values().any(due) {
            return;
        }
        let mut groups: BTreeMap<(Resources, BTreeSet<String>, bool), Vec<usize>> = BTreeMap::new();
        let mut attached = Vec::new();
        for (index, entry) in &self.entries {
            let At::Collected { until } = entry.at else { continue };
            match self.left.remove(&entry.key) {
                Some(place) if !entry.job.is_fresh() => attached.push((*index, place)),
                // What is put back for later waits for its time. Others go with those that are due.
                _ if until > Instant::now() + self.pace.collect => {}
                _ => {
                    let group = (entry.resources, entry.exclude.clone(), entry.job.is_cuda());
                    groups.entry(group).or_default().push(*index);
                }
            }
        }
        for (index, (batch, task)) in attached {
            if let Some(entry) = self.entries.get_mut(&index) {
                entry.at = At::Queued { batch, index: task, look: Look::Often, gone: None };
            }
        }
        let largest = *self.largest_array.get_or_insert_with(|| self.scheduler.largest_array());
        for ((resources, exclude, _), indices) in groups {
            for indices in indices.chunks(largest) {
                if !self.submit_batch(resources, &exclude, indices) {
                    return;
                }
            }
        }
    }

    /// Puts a batch into the queue. Returns whether it is worth going on with others.
    fn submit_batch(&mut self, resources: Resources, exclude: &BTreeSet<String>, indices: &[usize]) -> bool {
        let name = self.new_name();
        let request = match self.prepare(&name, resources, exclude, indices) {
            Ok(request) => request,
            Err(error) => {
                let damaged = error.is_damage();
                for index in indices {
                    self.end(*index, Ended::Error { message: with_causes(&error), hint: None, damaged });
                }
                return true;
            }
        };
        let since = Instant::now();
        let submitted = self.scheduler.submit(&request);
        let (job, missed) = match submitted {
            Ok(job) => (Some(job), None),
            Err(SubmitError::Unknown(why)) => {
                self.say(format!("it is not known whether a batch is in the queue, so it is looked for: {why}"));
                (None, Some(0))
            }
            Err(SubmitError::Later(why)) => {
                let times = self.refused.map_or(0, |(_, times)| times);
                if times == 0 {
                    self.say(format!("the cluster takes no jobs now, so `pipe` tries again: {why}"));
                }
                self.refused = Some((Instant::now() + self.pace.retry * (1 << times.min(3)), times + 1));
                self.note_problem(self.store.remove_batch(&name, 0));
                return false;
            }
            Err(SubmitError::Refused(why)) => {
                self.note_problem(self.store.remove_batch(&name, 0));
                for index in indices {
                    let hint = "`--partition`, `--account`, `--time` and `--extra` are handed to `sbatch`; `sinfo` lists what there is";
                    let message = format!("Slurm refuses the job: {why}");
                    self.end(*index, Ended::Error { message, hint: Some(hint.to_owned()), damaged: false });
                }
                return true;
            }
        };
        self.refused = None;
        tracing::info!(batch = name, job, jobs = indices.len(), "put into the queue");
        self.batches.insert(name.clone(), Batch { job, jobs: indices.len(), since, missed, of_earlier_run: None });
        for (task, index) in indices.iter().enumerate() {
            if let Some(entry) = self.entries.get_mut(index) {
                entry.at = At::Queued { batch: name.clone(), index: task, look: Look::Often, gone: None };
            }
        }
        true
    }

    /// Writes down a batch, and returns what to ask for.
    fn prepare(
        &self,
        name: &str,
        resources: Resources,
        exclude: &BTreeSet<String>,
        indices: &[usize],
    ) -> Result<Request, StoreError> {
        let entries: Vec<_> = indices.iter().filter_map(|index| self.entries.get(index)).collect();
        for entry in &entries {
            for kind in [JobNote::Progress, JobNote::Failure] {
                self.store.remove_job_note(kind, &entry.key)?;
            }
        }
        let job =
            |entry: &&Entry| BatchJob { key: entry.key, how: entry.job.how_as_json(), fresh: entry.job.is_fresh() };
        let jobs: Vec<_> = entries.iter().map(job).collect();
        let lines = absolute(self.store.write_batch(name, batch::lines(&jobs).as_bytes())?);
        let worker = Worker {
            program: &self.options.program,
            store: &absolute(self.store.root().to_owned()),
            threads: resources.threads,
            checkpoint_every: self.options.cadence.as_secs_f64(),
            log_level: self.options.log_level,
        };
        const INDEX: &str = "INDEX";
        let log = absolute(self.store.job_log_path(name, INDEX)?);
        Ok(Request {
            batch: name.to_owned(),
            jobs: indices.len(),
            resources,
            exclude: exclude.iter().cloned().collect(),
            log: PathBuf::from(batch::log_pattern(&log, INDEX)),
            script: batch::script(name, &lines, &worker),
        })
    }

    /// Returns a name that no other batch has.
    fn new_name(&mut self) -> String {
        self.count += 1;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        format!("{:x}-{:x}-{}", since.as_nanos(), std::process::id(), self.count)
    }

    // ---- Stopping ----

    /// If the run is to stop, takes what waits out of the queue and asks the others to write checkpoints. Ends them in the end.
    fn stop_if_asked(&mut self) {
        let asked = |entry: &Entry| entry.job.is_asked_to_stop();
        match &mut self.stopped {
            None if self.entries.values().any(asked) => {
                self.stopped = Some(Stopped { since: Instant::now(), is_killed: false });
                self.poll.last = None;
                self.unknown.clear();
                let collected =
                    |(index, entry): (&usize, &Entry)| matches!(entry.at, At::Collected { .. }).then_some(*index);
                let collected: Vec<_> = self.entries.iter().filter_map(collected).collect();
                collected.into_iter().for_each(|index| self.end(index, Ended::Interrupted));
                self.cancel(&[Cancel::Waiting, Cancel::Stop]);
            }
            Some(stopped) if !stopped.is_killed && stopped.since.elapsed() >= self.pace.stop => {
                stopped.is_killed = true;
                self.cancel(&[Cancel::Kill]);
                let open: Vec<_> = self.entries.keys().copied().collect();
                open.into_iter().for_each(|index| self.end(index, Ended::Interrupted));
            }
            _ => {}
        }
    }

    fn cancel(&self, how: &[Cancel]) {
        let jobs: Vec<_> = self.batches.values().filter_map(|batch| batch.job).collect();
        if jobs.is_empty() {
            return;
        }
        for how in how {
            if let Err(error) = self.scheduler.cancel(&jobs, *how) {
                let jobs: Vec<_> = jobs.iter().map(u64::to_string).collect();
                self.say(format!("jobs may still be in the queue; `scancel {}` ends them: {error}", jobs.join(" ")));
            }
        }
    }
}

/// Returns a path that does not depend on the folder that the reader works in.
fn absolute(path: PathBuf) -> PathBuf {
    path::absolute(&path).unwrap_or(path)
}

/// Rounds memory up, to at most 1.5 times as much. So nodes that need about the same go into one batch.
fn rounded(memory: u64) -> u64 {
    let power = memory.max(1).next_power_of_two();
    if memory <= power / 4 * 3 { power / 4 * 3 } else { power }
}

/// Returns why jobs wait, the most frequent reason first.
fn reasons(waiting: &BTreeMap<&str, usize>) -> Vec<(String, usize)> {
    let mut reasons: Vec<_> = waiting.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
    reasons.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    reasons
}
