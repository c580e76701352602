//! The driver against a scheduler that is played here: it can lose jobs, lie, hang and refuse.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard,
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

use pipe_store::{ActionKey, ActionResult, JobNote, Store};
use serde_json::json;

use super::{
    super::{
        launcher::Resources,
        local::{Ended, Job, Message},
        options::{Executor, Options},
    },
    Pace, batch,
    driver::Driver,
    note::{EndNote, JobEnd, Place, ProgressNote},
    scheduler::{Cancel, End, Phase, Request, Scheduler, SubmitError, Task},
};
use crate::{
    pipeline::{
        expand::{Downloads, expand},
        read::read,
    },
    plan::Plan,
};

/// A cluster that does what a test says.
#[derive(Default)]
struct Cluster {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The batches that were taken, in order.
    taken: Vec<Request>,
    /// What is known about each job.
    tasks: BTreeMap<(u64, usize), Task>,
    /// The answers of `sbatch`, the first one first. Afterwards it takes everything.
    answers: Vec<Answer>,
    /// Whether `squeue` lies that there is nothing.
    hides: bool,
    /// Whether nothing but `sbatch` answers.
    is_silent: bool,
    /// Whether `squeue` hangs.
    is_stuck: bool,
    polls: usize,
    cancels: Vec<Cancel>,
}

#[derive(Clone)]
enum Answer {
    Refuses(SubmitError),
    /// It takes the batch and does not say so.
    TakesSilently,
}

impl Cluster {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Sets where a job is.
    fn set(&self, job: u64, index: usize, phase: Phase) {
        self.state().tasks.get_mut(&(job, index)).unwrap().phase = phase;
    }

    /// Forgets a job.
    fn forget(&self, job: u64, index: usize) {
        self.state().tasks.remove(&(job, index));
    }

    fn taken(&self) -> usize {
        self.state().taken.len()
    }
}

impl Scheduler for Cluster {
    fn submit(&self, request: &Request) -> Result<u64, SubmitError> {
        let mut state = self.state();
        let answer = if state.answers.is_empty() { None } else { Some(state.answers.remove(0)) };
        if let Some(Answer::Refuses(error)) = answer {
            return Err(error);
        }
        state.taken.push(request.clone());
        let job = state.taken.len() as u64;
        for index in 0..request.jobs {
            let (phase, host, reason) = (Phase::Waiting, String::new(), "Priority".to_owned());
            state.tasks.insert((job, index), Task { batch: request.batch.clone(), job, index, phase, host, reason });
        }
        match answer {
            Some(_) => Err(SubmitError::Unknown("Socket timed out".to_owned())),
            None => Ok(job),
        }
    }

    fn queue(&self) -> Result<Vec<Task>, String> {
        while self.state().is_stuck {
            thread::sleep(Duration::from_millis(5));
        }
        let mut state = self.state();
        state.polls += 1;
        match (state.is_silent, state.hides) {
            (true, _) => Err("slurm_load_jobs error: Unable to contact slurm controller".to_owned()),
            (_, true) => Ok(Vec::new()),
            _ => Ok(state.tasks.values().cloned().collect()),
        }
    }

    fn look(&self, job: u64) -> Result<Option<Vec<Task>>, String> {
        let state = self.state();
        if state.is_silent {
            return Err("Unable to contact slurm controller".to_owned());
        }
        let tasks: Vec<_> = state.tasks.values().filter(|task| task.job == job).cloned().collect();
        Ok((!tasks.is_empty()).then_some(tasks))
    }

    fn account(&self, _: u64) -> BTreeMap<usize, End> {
        BTreeMap::new()
    }

    fn cancel(&self, _: &[u64], how: Cancel) -> Result<(), String> {
        self.state().cancels.push(how);
        Ok(())
    }

    fn largest_array(&self) -> usize {
        1000
    }
}

const PACE: Pace = Pace {
    collect: Duration::from_millis(20),
    poll: Duration::from_millis(20),
    grace: Duration::from_millis(300),
    stop: Duration::from_millis(600),
    retry: Duration::from_millis(50),
};

/// A run with as many nodes as a test wants.
struct Case {
    cluster: Arc<Cluster>,
    store: Store,
    plan: Plan,
    jobs: mpsc::Sender<Job>,
    messages: Receiver<Message>,
    stops: Vec<super::super::local::Stop>,
    /// What the run was told, without the ends.
    said: Vec<String>,
    _folder: tempfile::TempDir,
}

impl Case {
    fn new(cluster: Cluster, nodes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        Self::in_store(Arc::new(cluster), nodes, store, folder)
    }

    fn in_store(cluster: Arc<Cluster>, nodes: usize, store: Store, folder: tempfile::TempDir) -> Self {
        let stage = |n: usize| format!("(\"n{n}\", Fetch(Embedded(name: \"shapes100\", train: {}, test: 100)))", n + 1);
        let stages: Vec<_> = (0..nodes.min(10)).map(stage).collect();
        let text = format!("Study(name: \"s\", stages: [{}])", stages.join(", "));
        let plan = expand(&read("pipeline.ron", &text, &[]).unwrap(), &Downloads::default());
        let (jobs, taken) = mpsc::channel();
        let (sender, messages) = mpsc::channel();
        let options = Options {
            jobs: 1,
            threads: None,
            cores: 1,
            devices: vec![0],
            jobs_per_device: 1,
            rerun: BTreeSet::new(),
            cadence: Duration::from_secs(60),
            program: "/bin/pipe".into(),
            log_level: "warn",
            memory: None,
            remote: None,
            executor: Executor::Here,
        };
        let (scheduler, of_driver) = (cluster.clone(), store.clone());
        thread::spawn(move || Driver::new(scheduler, PACE, of_driver, options, sender).run(&taken));
        let mut case =
            Self { cluster, store, plan, jobs, messages, stops: Vec::new(), said: Vec::new(), _folder: folder };
        let jobs: Vec<_> = (0..nodes).map(|index| case.job(index)).collect();
        jobs.into_iter().for_each(|job| case.jobs.send(job).unwrap());
        case
    }

    /// Returns the job of a node. If there are more jobs than nodes, some execute the same.
    fn job(&mut self, index: usize) -> Job {
        let at = index % self.plan.nodes.len();
        let node = &self.plan.nodes[at];
        let action = self.plan.action(at, &vec![None; self.plan.nodes.len()]).unwrap();
        let (job, stop) = Job::new(index, node.stage.clone(), action, None, 1, false);
        self.stops.push(stop);
        job.elsewhere(Resources { threads: 1, memory: 400, gpus: 0 }, &node.name)
    }

    fn key(&self, index: usize) -> ActionKey {
        self.plan.action(index, &vec![None; self.plan.nodes.len()]).unwrap().key()
    }

    /// Commits a result, as a job does.
    fn commit(&self, index: usize) {
        let action = self.plan.action(index, &vec![None; self.plan.nodes.len()]).unwrap();
        self.store.put(&action.record()).unwrap();
        let (tree, _) = self.store.put_tree(&BTreeMap::from([("a".to_owned(), b"a".to_vec())])).unwrap();
        self.store.commit(&self.key(index), &ActionResult::Tree(tree), &json!({})).unwrap();
    }

    /// Notes progress, as a job does.
    fn progress(&self, index: usize, batch: &str, count: u64) {
        let place = Place { host: "gpu3".to_owned(), job: None };
        let note = ProgressNote { batch: batch.to_owned(), place, count, ..ProgressNote::default() };
        self.store.write_job_note(JobNote::Progress, &self.key(index), &serde_json::to_vec(&note).unwrap()).unwrap();
    }

    /// Notes how a job ended, as it does.
    fn note_end(&self, index: usize, batch: &str, end: JobEnd) {
        let note = EndNote { batch: batch.to_owned(), place: Place::default(), end };
        self.store.write_job_note(JobNote::Failure, &self.key(index), &serde_json::to_vec(&note).unwrap()).unwrap();
    }

    /// Waits until the cluster has taken so many batches, and returns the name of the last.
    fn wait_for_batches(&self, n: usize) -> String {
        wait_until(|| self.cluster.taken() >= n);
        assert_eq!(self.cluster.taken(), n);
        self.cluster.state().taken[n - 1].batch.clone()
    }

    /// Waits for the end of the next job.
    fn end(&mut self) -> (usize, String) {
        loop {
            match self.messages.recv_timeout(Duration::from_secs(20)).expect("a job ends") {
                Message::Ended { index, ended } => {
                    return (
                        index,
                        match ended {
                            Ended::Committed { found } => format!("committed {found}"),
                            Ended::Interrupted => "interrupted".to_owned(),
                            Ended::Error { message, .. } => message,
                        },
                    );
                }
                message => self.said.extend(words(message)),
            }
        }
    }

    /// Checks that no job ends for a while, longer than the grace period.
    fn goes_on(&mut self) {
        let since = Instant::now();
        while since.elapsed() < PACE.grace * 3 {
            match self.messages.recv_timeout(Duration::from_millis(10)) {
                Ok(Message::Ended { index, .. }) => panic!("job {index} ended"),
                Ok(message) => self.said.extend(words(message)),
                Err(_) => {}
            }
        }
    }
}

fn words(message: Message) -> Option<String> {
    match message {
        Message::Notice { text } => Some(text),
        Message::Talk { line, .. } => Some(line),
        Message::Placed { place, .. } => Some(format!("on {place}")),
        Message::Requeued { index } => Some(format!("{index} again")),
        _ => None,
    }
}

fn wait_until(is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(20), "it does not come");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn nodes_of_equal_resources_are_one_batch_and_end_with_their_results() {
    let mut case = Case::new(Cluster::default(), 3);
    let batch = case.wait_for_batches(1);
    let request = case.cluster.state().taken[0].clone();
    // 400 MiB are rounded up.
    assert_eq!((request.jobs, request.resources), (3, Resources { threads: 1, memory: 512, gpus: 0 }));
    let lines = case.store.batches().unwrap();
    assert_eq!(lines[0].0, batch);
    assert_eq!(batch::keys(&lines[0].1), [0, 1, 2].map(|index| Some(case.key(index))));
    case.progress(1, &batch, 1);
    case.commit(1);
    assert_eq!(case.end(), (1, "committed false".to_owned()));
    case.commit(0);
    case.commit(2);
    let mut ends = [case.end(), case.end()];
    ends.sort();
    assert_eq!(ends.map(|(index, _)| index), [0, 2]);
    wait_until(|| case.store.batches().unwrap().is_empty());
    assert_eq!(case.store.job_note(JobNote::Progress, &case.key(1)).unwrap(), None);
    assert!(case.said.is_empty() || case.said == ["on gpu3"], "{:?}", case.said);
}

#[test]
fn a_short_job_is_not_waited_for_until_the_queue_answers_again() {
    let mut case = Case::new(Cluster::default(), 1);
    case.wait_for_batches(1);
    // The queue says that it waits, and then nothing for long.
    wait_until(|| case.cluster.state().polls > 1);
    case.cluster.state().is_stuck = true;
    thread::sleep(PACE.grace);
    case.commit(0);
    let since = Instant::now();
    assert_eq!(case.end().1, "committed false");
    assert!(since.elapsed() < Duration::from_secs(10));
    case.cluster.state().is_stuck = false;
}

#[test]
fn what_a_job_says_of_its_end_is_believed_if_it_is_of_the_batch() {
    let mut case = Case::new(Cluster::default(), 1);
    let batch = case.wait_for_batches(1);
    let error = |message: &str| JobEnd::Error { message: message.to_owned(), hint: None, damaged: false };
    case.note_end(0, "another", error("of an earlier job"));
    case.goes_on();
    case.note_end(0, &batch, error("no GPU"));
    assert_eq!(case.end(), (0, "no GPU".to_owned()));
    assert_eq!(case.store.job_note(JobNote::Failure, &case.key(0)).unwrap(), None);
}

#[test]
fn a_job_that_is_gone_is_tried_twice_more_and_its_log_is_shown() {
    let mut case = Case::new(Cluster::default(), 1);
    for attempt in 1..=3 {
        let batch = case.wait_for_batches(attempt);
        std::fs::write(case.store.job_log_path(&batch, "0").unwrap(), "one\nout of luck\n").unwrap();
        case.cluster.forget(attempt as u64, 0);
    }
    let (_, message) = case.end();
    assert_eq!(message, "job 3_0 ended without a result: Slurm does not know it any more\n  | one\n  | out of luck");
    assert_eq!(
        case.said,
        [
            "job 1_0 ended without a result, and is tried again",
            "0 again",
            "job 2_0 ended without a result, and is tried again",
            "0 again"
        ]
    );
}

#[test]
fn a_queue_that_lies_makes_no_double_job() {
    let mut case = Case::new(Cluster { state: Mutex::new(State { hides: true, ..State::default() }) }, 2);
    let batch = case.wait_for_batches(1);
    case.goes_on();
    // One of them runs, and only its notes say so.
    case.cluster.forget(1, 0);
    for count in 1..20 {
        case.progress(0, &batch, count);
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(case.cluster.taken(), 1);
    case.commit(0);
    case.commit(1);
    case.end();
    case.end();
    assert_eq!(case.cluster.taken(), 1);
}

#[test]
fn a_controller_that_is_silent_loses_nothing() {
    let mut case = Case::new(Cluster::default(), 1);
    case.wait_for_batches(1);
    case.cluster.state().is_silent = true;
    case.goes_on();
    assert_eq!(
        case.said,
        [
            "`squeue` does not answer; the jobs are left alone meanwhile: slurm_load_jobs error: Unable to contact slurm controller"
        ]
    );
    case.cluster.state().is_silent = false;
    case.commit(0);
    assert_eq!(case.end().1, "committed false");
    assert_eq!(case.cluster.taken(), 1);
}

#[test]
fn a_batch_that_was_taken_without_a_word_is_found() {
    let cluster = Cluster::default();
    cluster.state().answers.push(Answer::TakesSilently);
    let mut case = Case::new(cluster, 1);
    case.wait_for_batches(1);
    case.goes_on();
    assert_eq!(case.cluster.taken(), 1);
    case.commit(0);
    assert_eq!(case.end().1, "committed false");
}

#[test]
fn a_batch_that_was_lost_on_the_way_is_submitted_again() {
    let cluster = Cluster::default();
    cluster.state().answers.push(Answer::Refuses(SubmitError::Unknown("Socket timed out".to_owned())));
    let mut case = Case::new(cluster, 1);
    case.wait_for_batches(1);
    case.commit(0);
    assert_eq!(case.end().1, "committed false");
    assert_eq!(case.said, ["it is not known whether a batch is in the queue, so it is looked for: Socket timed out"]);
}

#[test]
fn a_cluster_that_takes_no_jobs_now_is_asked_again_and_one_that_never_does_is_not() {
    let later = || Answer::Refuses(SubmitError::Later("QOSMaxSubmitJobPerUserLimit".to_owned()));
    let cluster = Cluster::default();
    cluster.state().answers.extend([later(), later(), later()]);
    let mut case = Case::new(cluster, 1);
    case.wait_for_batches(1);
    case.commit(0);
    assert_eq!(case.end().1, "committed false");
    assert_eq!(case.said, ["the cluster takes no jobs now, so `pipe` tries again: QOSMaxSubmitJobPerUserLimit"]);
    let cluster = Cluster::default();
    cluster.state().answers.push(Answer::Refuses(SubmitError::Refused("invalid partition specified: gpuu".to_owned())));
    let mut case = Case::new(cluster, 2);
    assert_eq!(case.end().1, "Slurm refuses the job: invalid partition specified: gpuu");
    case.end();
    assert_eq!((case.cluster.taken(), case.store.batches().unwrap().len()), (0, 0));
}

#[test]
fn a_job_that_ran_out_of_memory_gets_more_and_one_whose_machine_failed_another() {
    let mut case = Case::new(Cluster::default(), 1);
    case.wait_for_batches(1);
    case.cluster.set(1, 0, Phase::Ended(End::OutOfMemory));
    case.wait_for_batches(2);
    assert_eq!(case.cluster.state().taken[1].resources.memory, 768);
    case.cluster.state().tasks.get_mut(&(2, 0)).unwrap().host = "gpu3".to_owned();
    case.cluster.set(2, 0, Phase::Ended(End::Machine));
    case.wait_for_batches(3);
    assert_eq!(case.cluster.state().taken[2].exclude, ["gpu3"]);
    case.commit(0);
    assert_eq!(case.end().1, "committed false");
}

#[test]
fn a_job_that_was_stopped_goes_on_and_one_that_was_cancelled_does_not() {
    let mut case = Case::new(Cluster::default(), 1);
    for done in 1..6 {
        let batch = case.wait_for_batches(done);
        case.note_end(0, &batch, JobEnd::Interrupted { done: done as u64 });
        case.cluster.set(done as u64, 0, Phase::Ended(End::Failed));
    }
    let batch = case.wait_for_batches(6);
    case.cluster.set(6, 0, Phase::Ended(End::Cancelled));
    case.note_end(0, &batch, JobEnd::Interrupted { done: 9 });
    assert_eq!(case.end().1, "interrupted");
    assert_eq!(case.said.last().unwrap(), "job 6_0 was cancelled");
}

#[test]
fn an_action_that_another_process_has_is_waited_for() {
    let mut case = Case::new(Cluster::default(), 1);
    for attempt in 1..6 {
        let batch = case.wait_for_batches(attempt);
        case.note_end(0, &batch, JobEnd::Held);
        case.cluster.set(attempt as u64, 0, Phase::Ended(End::Failed));
    }
    case.wait_for_batches(6);
    case.commit(0);
    assert_eq!(case.end().1, "committed false");
}

#[test]
fn a_run_that_is_stopped_leaves_an_empty_queue() {
    let mut case = Case::new(Cluster::default(), 2);
    let batch = case.wait_for_batches(1);
    case.stops.iter().for_each(|stop| stop.ask());
    wait_until(|| case.cluster.state().cancels == [Cancel::Waiting, Cancel::Stop]);
    // One writes a checkpoint, the other one hangs.
    case.note_end(0, &batch, JobEnd::Interrupted { done: 3 });
    assert_eq!(case.end(), (0, "interrupted".to_owned()));
    assert_eq!(case.end(), (1, "interrupted".to_owned()));
    assert_eq!(case.cluster.state().cancels, [Cancel::Waiting, Cancel::Stop, Cancel::Kill]);
    wait_until(|| case.store.batches().unwrap().is_empty());
}

#[test]
fn another_run_takes_over_what_is_in_the_queue() {
    let case = Case::new(Cluster::default(), 2);
    case.wait_for_batches(1);
    let Case { cluster, store, _folder: folder, jobs, messages, .. } = case;
    // As if the process was killed.
    drop((jobs, messages));
    thread::sleep(PACE.grace * 2);
    cluster.set(1, 1, Phase::Ended(End::Failed));
    let mut case = Case::in_store(cluster, 3, store, folder);
    // The job that has ended and the new node go into the queue.
    case.wait_for_batches(2);
    assert_eq!(case.cluster.state().taken[1].jobs, 2);
    (0..3).for_each(|index| case.commit(index));
    let mut ends: Vec<_> = (0..3).map(|_| case.end().0).collect();
    ends.sort_unstable();
    assert_eq!((ends, case.cluster.taken()), (vec![0, 1, 2], 2));
    wait_until(|| case.store.batches().unwrap().is_empty());
}

#[test]
fn thousands_of_nodes_are_few_batches_and_few_looks() {
    let mut case = Case::new(Cluster::default(), 2500);
    wait_until(|| case.cluster.state().taken.iter().map(|request| request.jobs).sum::<usize>() == 2500);
    assert!(case.cluster.taken() <= 4, "{}", case.cluster.taken());
    let (polls, since) = (case.cluster.state().polls, Instant::now());
    case.goes_on();
    let looks = (case.cluster.state().polls - polls) as f64;
    assert!(looks <= since.elapsed().as_secs_f64() / PACE.poll.as_secs_f64() + 1.0, "{looks}");
    assert!(case.cluster.taken() <= 4);
}

#[test]
fn locks_that_are_not_seen_here_are_told_once() {
    let mut case = Case::new(Cluster::default(), 1);
    let batch = case.wait_for_batches(1);
    let lock = case.store.lock_action(&case.key(0)).unwrap();
    case.progress(0, &batch, 1);
    case.goes_on();
    case.progress(0, &batch, 2);
    case.goes_on();
    assert!(!case.store.locks_are_local());
    drop(lock);
    // It runs on another machine, and nobody sees its lock here.
    let note = |count| {
        let place = Place { host: "gpu4".to_owned(), job: None };
        let note = ProgressNote { batch: batch.clone(), place, count, ..ProgressNote::default() };
        case.store.write_job_note(JobNote::Progress, &case.key(0), &serde_json::to_vec(&note).unwrap()).unwrap();
        thread::sleep(PACE.grace * 2);
    };
    (3..6).for_each(note);
    case.goes_on();
    assert!(case.store.locks_are_local());
    assert_eq!(
        case.said.iter().filter(|said| said.starts_with("the locks of this store")).count(),
        1,
        "{:?}",
        case.said
    );
    case.commit(0);
    case.end();
}
