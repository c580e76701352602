//! Executes nodes again although their results are known, in stores of their own, and compares the results with the committed
//! ones. A training is executed twice: straight, and stopped half way and continued. A program is executed in up to four ways. Nothing is
//! committed, but what was found of a program is noted in the provenance of the result.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use pipe_store::{ActionKey, ActionResult, Store, StoreError};

use super::{
    admission::{Admission, Limits, Wish},
    event::Event,
    local::{self, Ended, Job, Message, Stop, Trial},
    options::Options,
    outlook::{Expected, Outlook},
    verdict::{Counts, OtherWay, Resumed, Verdict, Way},
    why::Why,
    worker::StopFlag,
};
use crate::{
    action::Action,
    claims,
    compare::{ResultDifference, compare},
    plan::Plan,
    study,
};

/// A node to be checked.
struct Task {
    action: Action,
    committed: ActionResult,
    wish: Wish,
}

/// What a thread reports.
enum Report {
    /// A message of the execution.
    Message(Message),
    /// The verdict about the node at this index. `None` if it was stopped.
    Done(usize, Option<Verdict>),
}

/// Checks `nodes` of `plan`. Executions write only to folders in `scratch`, which are removed. `stop` is polled, and `tell` is
/// called for each event.
///
/// # Errors
/// If the store cannot be read.
pub fn check(
    store: &Store,
    plan: &Plan,
    nodes: &BTreeSet<usize>,
    scratch: &Path,
    options: &Options,
    stop: &'static StopFlag,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Counts, StoreError> {
    let outlook = Outlook::of_run(store, plan, &plan.with_ancestors(nodes), None, &BTreeSet::new())?;
    let mut counts = Counts::default();
    let mut admission = Admission::new(Limits::of(plan, nodes, options));
    let mut tasks = BTreeMap::new();
    for &index in nodes {
        // A trial that its search leaves out has nothing to check.
        let Some(prospect) = outlook.get(index) else { continue };
        let task = match prospect.key.filter(|_| prospect.expected != Expected::Damaged) {
            None if prospect.expected == Expected::Damaged => {
                Err(Verdict::Unchecked { message: prospect.why.to_string(), hint: None, damaged: true })
            }
            None => Err(Verdict::NotRun),
            Some(key) => task(store, plan, index, &key)?,
        };
        // A training that is estimated to need more memory than is free is tried alone.
        let task = task.and_then(|task| match admission.lacks(&task.wish).filter(|_| task.wish.threads.is_some()) {
            Some((message, hint)) => Err(Verdict::Unchecked { message, hint, damaged: false }),
            None => Ok(task),
        });
        match task {
            Ok(task) => drop(tasks.insert(index, task)),
            Err(verdict) => tell_of(&mut counts, &plan.nodes[index].name, &verdict, 0.0, tell),
        }
    }
    let (sender, receiver) = mpsc::channel();
    let mut running: BTreeMap<usize, (Stop, Instant)> = BTreeMap::new();
    let mut told_to_stop = false;
    loop {
        while !stop.is_set() {
            let wishes = tasks.iter().map(|(index, task)| (*index, task.wish));
            let Some((index, share)) = admission.admit(wishes) else { break };
            let Task { action, committed, .. } = tasks.remove(&index).expect("it was found");
            let node = &plan.nodes[index];
            tell(Event::Started { node: &node.name, why: &Why::Check });
            let (job, stop) = Job::new(index, node.stage.clone(), action, node.how.clone(), share.threads, false);
            let job = job.with_gpus(admission.visible(node.how.as_deref(), share.gpus));
            running.insert(index, (stop, Instant::now()));
            start(job, committed, store.clone(), scratch.join(index.to_string()), options.clone(), sender.clone());
        }
        if running.is_empty() {
            counts.interrupted |= !tasks.is_empty();
            return Ok(counts);
        }
        if stop.is_set() && !std::mem::replace(&mut told_to_stop, true) {
            running.values().for_each(|(stop, _)| stop.ask());
        }
        match receiver.recv_timeout(Duration::from_millis(50)) {
            Ok(Report::Message(Message::Progress { index, progress })) => {
                tell(Event::Progress { node: &plan.nodes[index].name, progress: &progress });
            }
            Ok(Report::Message(Message::Talk { index, line })) => {
                tell(Event::Talk { node: &plan.nodes[index].name, line: &line });
            }
            Ok(Report::Message(Message::Notice { text })) => tell(Event::Notice { text: &text }),
            // What is checked is executed here, and each verdict comes with its own message.
            Ok(Report::Message(
                Message::Ended { .. }
                | Message::Placed { .. }
                | Message::Requeued { .. }
                | Message::Waiting { .. }
                | Message::Waits { .. },
            )) => {}
            Ok(Report::Done(index, verdict)) => {
                let (_, since) = running.remove(&index).expect("only running nodes end");
                admission.release(index);
                match verdict {
                    Some(verdict) => {
                        note(store, plan, index, &outlook, &verdict);
                        tell_of(&mut counts, &plan.nodes[index].name, &verdict, since.elapsed().as_secs_f64(), tell);
                    }
                    None => counts.interrupted = true,
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => unreachable!("this function holds a sender"),
        }
    }
}

/// Notes a verdict on a program beside its result. Who may only read a store can check it nevertheless.
fn note(store: &Store, plan: &Plan, index: usize, outlook: &Outlook, verdict: &Verdict) {
    let node = &plan.nodes[index];
    let key = outlook.get(index).and_then(|prospect| prospect.key);
    let Some((how, key)) = node.how.as_ref().zip(key) else { return };
    if let Err(error) = claims::note(store, &key, verdict, how.claim) {
        let error = local::with_causes(&error);
        tracing::warn!(node = node.name, error, "what the check found cannot be noted in the store");
    }
}

/// Returns the task of checking a node whose action is known, or why there is none.
fn task(store: &Store, plan: &Plan, index: usize, key: &ActionKey) -> Result<Result<Task, Verdict>, StoreError> {
    let Some(committed) = store.result(key)? else { return Ok(Err(Verdict::NotRun)) };
    let unchecked = |message: String| Verdict::Unchecked { message, hint: None, damaged: false };
    let action = match study::action(store, &key.0) {
        Ok(action) => action,
        Err(study::StudyError::Store(error)) => return Err(error),
        Err(error) => return Ok(Err(unchecked(error.to_string()))),
    };
    // A stage that cannot estimate its memory fails when it runs, with a better reason.
    let wish = Wish::of(&plan.nodes[index], &action, store).unwrap_or_default();
    Ok(Ok(Task { action, committed, wish }))
}

/// Starts a thread that executes a job in each way, compares the results and reports the verdict.
fn start(
    job: Job,
    committed: ActionResult,
    store: Store,
    scratch: std::path::PathBuf,
    options: Options,
    sender: Sender<Report>,
) {
    let (index, refused) = (job.index(), sender.clone());
    let started = thread::Builder::new().spawn(move || {
        let checking = Checking { job: &job, committed: &committed, store: &store, options: &options, sender: &sender };
        let verdict = match checking.verdict(&scratch) {
            Ok(verdict) => Some(verdict),
            Err(Ended::Error { message, hint, damaged }) => Some(Verdict::Unchecked { message, hint, damaged }),
            Err(_) => None,
        };
        // A folder that stays is in a folder for temporary files, and is removed with it.
        let _ = fs::remove_dir_all(&scratch);
        // Sending fails only if the check is over.
        let _ = sender.send(Report::Done(job.index(), verdict));
    });
    if let Err(error) = started
        && let Ended::Error { message, hint, damaged } = local::no_thread(&error)
    {
        let _ = refused.send(Report::Done(index, Some(Verdict::Unchecked { message, hint, damaged })));
    }
}

/// A node that is being checked.
struct Checking<'a> {
    job: &'a Job,
    committed: &'a ActionResult,
    store: &'a Store,
    options: &'a Options,
    sender: &'a Sender<Report>,
}

impl Checking<'_> {
    /// Executes the node in each way. Returns how it ended if there is no verdict.
    fn verdict(&self, scratch: &Path) -> Result<Verdict, Ended> {
        if self.job.is_impure() {
            return Ok(Verdict::Unclaimed);
        }
        let straight = open(&scratch.join("straight"))?;
        self.execute(&straight, false)?;
        if let Some(difference) = self.compare(&straight)? {
            return Ok(Verdict::Different { way: Way::Straight, difference, others: Vec::new() });
        }
        if self.job.runs_a_program() {
            return self.verdict_on_program(scratch);
        }
        if !self.job.keeps_checkpoints() || matches!(self.committed, ActionResult::Failure(_)) {
            return Ok(Verdict::Equal { resumed: None });
        }
        let resumed = open(&scratch.join("resumed"))?;
        let at = match self.execute(&resumed, true) {
            Ok(()) => Resumed::EndedBefore,
            Err(Ended::Interrupted) if !self.job.is_asked_to_stop() => {
                let step = resumed.checkpoints().map_err(failed)?.last().map(|checkpoint| checkpoint.step);
                let step = step.ok_or_else(|| error("it was stopped half way and left no checkpoint"))?;
                self.execute(&resumed, false)?;
                Resumed::AtStep(step)
            }
            Err(ended) => return Err(ended),
        };
        Ok(match self.compare(&resumed)? {
            Some(difference) => Verdict::Different { way: Way::Resumed, difference, others: Vec::new() },
            None => Verdict::Equal { resumed: Some(at) },
        })
    }

    /// Executes a program, whose result is equal when it is run again, in other ways.
    fn verdict_on_program(&self, scratch: &Path) -> Result<Verdict, Ended> {
        let (mut ways, mut others) = (vec![Way::Elsewhere], Vec::new());
        if self.job.keeps_checkpoints() {
            ways.push(Way::Stopped);
            if half_of_epochs(self.job.action()).is_some() {
                ways.push(Way::Longer);
            }
        }
        for way in &ways {
            // The name of the folder is another one, and its length.
            let store = open(&scratch.join(format!("{way:?}-in-another-folder").to_lowercase()))?;
            match way {
                Way::Stopped => match self.execute(&store, true) {
                    Err(Ended::Interrupted) if !self.job.is_asked_to_stop() => self.execute(&store, false)?,
                    ended => ended?,
                },
                Way::Longer => {
                    let shorter = half_of_epochs(self.job.action()).expect("it was asked for above");
                    self.execute_job(&self.job.with_action(shorter), &store, false)?;
                    self.execute(&store, false)?;
                }
                _ => self.execute_job(&self.job.with_threads(self.job.threads() + 1), &store, false)?,
            }
            let difference = self.compare(&store)?;
            others.extend(difference.map(|difference| OtherWay { way: *way, difference }));
        }
        let mut others = others.into_iter();
        Ok(match others.next() {
            Some(OtherWay { way, difference }) => Verdict::Different { way, difference, others: others.collect() },
            None => Verdict::Equal { resumed: Some(Resumed::Also(ways)) },
        })
    }

    /// Executes the node in a store of its own.
    fn execute(&self, scratch: &Store, stop_half_way: bool) -> Result<(), Ended> {
        self.execute_job(self.job, scratch, stop_half_way)
    }

    fn execute_job(&self, job: &Job, scratch: &Store, stop_half_way: bool) -> Result<(), Ended> {
        scratch.put(&job.action().record()).map_err(failed)?;
        let (sender, receiver) = mpsc::channel();
        let forward = self.sender.clone();
        let forwarding = thread::Builder::new().spawn(move || {
            for message in receiver {
                let _ = forward.send(Report::Message(message));
            }
        });
        let forwarding = forwarding.map_err(|error| local::no_thread(&error))?;
        let job = job.as_trial(Trial { inputs: self.store.clone(), stop_half_way });
        // What it says is shown and not kept: the log of the committed result stands.
        let (ended, _) = local::run(&job, scratch, self.options, &sender);
        drop(sender);
        let _ = forwarding.join();
        match ended {
            Ended::Committed { .. } => Ok(()),
            ended => Err(ended),
        }
    }

    fn compare(&self, scratch: &Store) -> Result<Option<ResultDifference>, Ended> {
        let found = scratch.result(&self.job.action().key()).map_err(failed)?;
        let found = found.ok_or_else(|| error("its result has disappeared from the folder for temporary files"))?;
        compare(self.store, self.committed, scratch, &found, self.job.tolerance()).map_err(failed)
    }
}

/// Returns the action of a program with half of its epochs, if it is asked for a number of them.
fn half_of_epochs(action: &Action) -> Option<Action> {
    let epochs = action.params.get("epochs")?.as_u64().filter(|epochs| *epochs > 1)?;
    let mut params = action.params.as_ref().clone();
    params["epochs"] = (epochs / 2).into();
    Some(Action { params: Arc::new(params), ..action.clone() })
}

fn open(folder: &Path) -> Result<Store, Ended> {
    let made: io::Result<()> = fs::create_dir_all(folder);
    made.map_err(|source| error(&format!("`{}` cannot be made: {source}", folder.display())))?;
    Store::open(folder).map_err(failed)
}

fn failed(error: StoreError) -> Ended {
    let damaged = error.is_damage();
    let hint = matches!(error, StoreError::Promised { .. }).then(|| local::FETCH_HINT.to_owned());
    Ended::Error { message: local::with_causes(&error), hint, damaged }
}

fn error(message: &str) -> Ended {
    Ended::Error { message: message.to_owned(), hint: None, damaged: false }
}

/// Counts a verdict, and tells of it.
fn tell_of(counts: &mut Counts, node: &str, verdict: &Verdict, seconds: f64, tell: &mut dyn FnMut(Event<'_>)) {
    counts.add(verdict);
    tell(Event::Checked { node, verdict, seconds });
}
