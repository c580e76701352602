//! Runs a plan: reuses known results and executes the other nodes, at most `jobs` at a time.
//!
//! One loop owns all state. Heavy nodes are executed in worker processes (`pipe exec`), light ones on threads, and both
//! report back as messages. The order in which they end affects only the order of lines on a terminal.

mod admission;
mod ahead;
mod alike;
pub mod check;
mod checkpoints;
mod event;
pub mod execute;
mod fetching;
mod gpus;
pub mod launcher;
mod left_out;
pub mod limits;
pub mod live;
mod local;
pub mod log;
pub mod machine;
mod options;
pub mod outlook;
pub mod program;
mod remade;
pub mod remote_results;
pub mod room;
pub mod slurm;
mod spent;
mod starting;
mod stopping;
pub mod verdict;
pub mod why;
pub mod worker;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use admission::{Admission, Limits, Wish};
use alike::{GivenUp, Searches};
pub use event::{Event, How};
use left_out::LeftOut;
use live::Live;
use local::{Ended, Message};
pub use local::{hint_of, with_causes};
pub use options::{Executor, Options};
use pipe_stages::StageName;
use pipe_store::{ActionKey, ActionResult, Digest, NoSweep, Run, Store, StoreError, Tree};
use remade::Remade;
use slurm::note::Place;
use spent::Trainings;
use why::{Compared, Why};
use worker::StopFlag;

use crate::{
    action::Action,
    plan::Plan,
    study::{Outcome, Study, StudyNode},
};

/// The result of running a plan.
pub struct Ran {
    /// The nodes of the study, by name.
    pub nodes: BTreeMap<String, StudyNode>,
    /// The number of nodes that this run executed.
    pub executed: usize,
    /// The number of nodes whose results were reused.
    pub reused: usize,
    /// The number of nodes that failed or crashed.
    pub failed: usize,
    /// The number of nodes that need one without outputs.
    pub skipped: usize,
    /// Whether it was stopped early. Then there is no study.
    pub interrupted: bool,
    /// Whether the store turned out to be damaged.
    pub damaged: bool,
    /// The log of this run, to be finished when the study is recorded. `None` if nothing was executed.
    pub run: Option<Run>,
    /// Keeps what was found from being swept if there is no log. To be dropped when the study is recorded.
    pub no_sweep: Option<NoSweep>,
}

/// Runs the `wanted` nodes of `plan`, which must include all nodes that they read from. `previous` is the latest study of
/// the same name, which explains why nodes run. `stop` is polled, and `tell` is called for each event.
///
/// # Errors
/// If the store fails. A node that fails is not an error, and nodes that do not need it still run.
pub fn run(
    store: &Store,
    plan: &Plan,
    wanted: &BTreeSet<usize>,
    options: &Options,
    previous: Option<&Study>,
    stop: &'static StopFlag,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Ran, StoreError> {
    let mut engine = Engine::new(store, plan, wanted, options, previous)?;
    let (sender, receiver) = mpsc::channel();
    let queue = match &options.executor {
        Executor::Slurm(slurm) => Some(slurm::Queue::start(slurm, store, options, sender.clone())),
        Executor::Here | Executor::Launcher(_) => None,
    };
    let mut told_to_stop = false;
    loop {
        engine.settle(tell)?;
        engine.drop_spent_checkpoints();
        while !stop.is_set() {
            let Some(job) = engine.admit(tell)? else { break };
            match &queue {
                Some(queue) if job.is_elsewhere() => queue.put(job, &sender),
                _ => local::start(job, store, options, sender.clone()),
            }
        }
        if engine.running.is_empty() {
            // A node whose inputs were lost waits for those that make them again.
            if engine.fresh.is_empty() || stop.is_set() {
                break;
            }
            continue;
        }
        if stop.is_set() && !std::mem::replace(&mut told_to_stop, true) {
            engine.running.values().for_each(|running| running.stop.ask());
        }
        engine.note_live();
        match receiver.recv_timeout(Duration::from_millis(50)) {
            Ok(message) => engine.hear(message, tell)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => unreachable!("this function holds a sender"),
        }
    }
    Ok(engine.finish(stop.is_set()))
}

/// The most nodes whose results may wait for the disk while others are executed. The results are in memory, and their files are open.
const MOST_WAITING: usize = 8;

/// The state of a node.
#[derive(Debug, Clone)]
enum State {
    /// Its inputs are not known yet.
    Waiting,
    /// It can be executed as soon as there is room.
    Ready { action: Box<Action>, why: Why, wish: Wish },
    /// It is being executed.
    Running,
    /// It has its outcome.
    Settled(Outcome),
}

struct Running {
    stop: local::Stop,
    why: Why,
    since: Instant,
    /// Whether it was said that it runs. What is executed elsewhere may have to wait first.
    is_told: bool,
}

struct Engine<'a> {
    store: &'a Store,
    plan: &'a Plan,
    wanted: &'a BTreeSet<usize>,
    options: &'a Options,
    previous: Option<&'a Study>,
    states: Vec<State>,
    actions: Vec<Option<ActionKey>>,
    trees: Vec<Option<Tree>>,
    /// The nodes that are not settled but whose sources are, and that have not been looked up yet.
    fresh: BTreeSet<usize>,
    /// The nodes whose results were looked for elsewhere.
    asked: BTreeSet<usize>,
    /// Whether files of results may be at a remote.
    may_lack_files: bool,
    remade: Remade,
    left_out: LeftOut,
    ready: BTreeSet<usize>,
    running: BTreeMap<usize, Running>,
    /// The running nodes whose results only wait for the disk.
    waiting: BTreeSet<usize>,
    admission: Admission,
    searches: Searches<'a>,
    /// For each node, the number of its sources that are not settled.
    missing: Vec<usize>,
    /// For each node, the nodes that read from it.
    readers: Vec<Vec<usize>>,
    /// The earlier output trees of nodes that are run again on request.
    before: BTreeMap<usize, Digest>,
    run: Option<Run>,
    /// Keeps what was found from being swept, until this run has a log or its study is recorded.
    no_sweep: Option<NoSweep>,
    /// The results that were used before this run had a log.
    hits: Vec<ActionKey>,
    /// The results that were looked up ahead. They may be used only until this run has a log.
    found_ahead: ahead::LookedUp,
    damaged: bool,
    counts: BTreeMap<&'static str, usize>,
    /// The trainings, of which some may have checkpoints that nothing can use any more.
    trainings: Trainings,
    /// The trajectories of trainings that were looked at, and their losses.
    trajectories: BTreeMap<usize, Option<Digest>>,
    losses: BTreeMap<usize, f64>,
    /// Whether it was said what the trainings need on the disk.
    has_said_room: bool,
    /// Whether something has settled since the checkpoints were looked at.
    has_news: bool,
    live: Live,
}

impl<'a> Engine<'a> {
    fn new(
        store: &'a Store,
        plan: &'a Plan,
        wanted: &'a BTreeSet<usize>,
        options: &'a Options,
        previous: Option<&'a Study>,
    ) -> Result<Self, StoreError> {
        let no_sweep = Some(store.hold_off_sweeps()?);
        let n = plan.nodes.len();
        let (mut missing, mut readers) = (vec![0; n], vec![Vec::new(); n]);
        for &index in wanted {
            let sources: BTreeSet<_> = plan.nodes[index].sources().collect();
            missing[index] = sources.len();
            sources.into_iter().for_each(|source| readers[source].push(index));
        }
        let fresh = wanted.iter().copied().filter(|&index| missing[index] == 0).collect();
        Ok(Self {
            store,
            plan,
            wanted,
            options,
            previous,
            states: vec![State::Waiting; n],
            actions: vec![None; n],
            trees: vec![None; n],
            fresh,
            asked: BTreeSet::new(),
            may_lack_files: options.remote.is_some() || store.has_promises()?,
            remade: Remade::default(),
            left_out: LeftOut::default(),
            ready: BTreeSet::new(),
            running: BTreeMap::new(),
            waiting: BTreeSet::new(),
            admission: Admission::new(Limits::of(plan, wanted, options)),
            searches: Searches::new(plan),
            missing,
            readers,
            before: BTreeMap::new(),
            run: None,
            no_sweep,
            hits: Vec::new(),
            found_ahead: ahead::look_up(store, plan, previous),
            damaged: false,
            counts: BTreeMap::new(),
            trainings: Trainings::new(plan),
            trajectories: BTreeMap::new(),
            losses: BTreeMap::new(),
            has_said_room: false,
            has_news: false,
            live: Live::new(),
        })
    }

    /// Settles each node whose sources are settled, or makes it ready to be executed.
    fn settle(&mut self, tell: &mut dyn FnMut(Event<'_>)) -> Result<(), StoreError> {
        while let Some(index) = self.fresh.pop_first() {
            let node = &self.plan.nodes[index];
            let broken = node.sources().find(|source| {
                matches!(&self.states[*source], State::Settled(outcome) if !matches!(outcome, Outcome::Tree(_)))
            });
            if let Some(source) = broken {
                self.skip(index, source, tell)?;
                continue;
            }
            self.fetch_results(index)?;
            let action = match self.plan.action(index, &self.trees) {
                Ok(action) => action,
                Err(missing) => {
                    let message = missing.to_string();
                    let why = Why::Failed { message: message.clone(), hint: None };
                    self.settled(index, Outcome::Failure(message), How::Failed, &why, 0.0, tell)?;
                    continue;
                }
            };
            let key = action.key();
            self.actions[index] = Some(key);
            let rerun = self.options.rerun.contains(&index);
            let found_ahead = match &self.run {
                // Logged before it is looked up, so that gc spares it from then on.
                Some(run) => run.append(&key).map(|()| None)?,
                None => {
                    self.hits.push(key);
                    self.found_ahead.remove(&key)
                }
            };
            let mut known = found_ahead.unwrap_or_else(|| self.store.result(&key))?;
            if known.is_none() && self.store.record(&key)?.is_some() && !self.store.contains(&key.0)? {
                // A result counts only if its action's record is stored, and perhaps only that record was lost.
                self.open_log()?;
                self.store.put(&action.record())?;
                known = self.store.result(&key)?;
            }
            match known {
                Some(result) if !rerun => {
                    let why = self.reason(index, &action, true);
                    let how = if matches!(result, ActionResult::Tree(_)) { How::Reused } else { How::Failed };
                    self.concluded(index, result, how, why, 0.0, tell)?;
                }
                known => {
                    if let Some(ActionResult::Tree(tree)) = known {
                        self.before.insert(index, tree);
                    }
                    let why = match rerun {
                        true => Why::Forced { compared: None },
                        false => self.reason(index, &action, false),
                    };
                    self.make_ready(index, action, why, tell)?;
                }
            }
        }
        Ok(())
    }

    /// Returns why the node at `index` is reused if its result is `known`, and otherwise why it is executed.
    fn reason(&self, index: usize, action: &Action, known: bool) -> Why {
        why::reason(self.store, self.plan, self.previous, index, action, &[], known)
    }

    fn make_ready(
        &mut self,
        index: usize,
        action: Action,
        why: Why,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), StoreError> {
        if let Some(first) = self.searches.given_up(index) {
            return self.skip(index, first, tell);
        }
        let wish = match Wish::of(&self.plan.nodes[index], &action, self.store) {
            // What it asks for depends on files that are at a remote.
            Err(error) if error.is_absent() && self.may_lack_files => {
                if !self.fetch_inputs(index, &action, tell)? {
                    return Ok(());
                }
                Wish::of(&self.plan.nodes[index], &action, self.store)?
            }
            wish => wish?,
        };
        if let Some((message, hint)) = self.admission.lacks(&wish) {
            // What a program asks for is said for all trials. An estimate is of one.
            if wish.threads.is_some() {
                return self.crashed(index, message, hint, 0.0, tell);
            }
            return self.settled(index, Outcome::Crash, How::Failed, &Why::Failed { message, hint }, 0.0, tell);
        }
        self.states[index] = State::Ready { action: Box::new(action), why, wish };
        self.ready.insert(index);
        Ok(())
    }

    /// Settles a node that has ended without a result. If its search is given up for that, skips the trials that are ready.
    fn crashed(
        &mut self,
        index: usize,
        message: String,
        hint: Option<String>,
        seconds: f64,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), StoreError> {
        let given_up = self.searches.has_crashed(index, &message);
        let why = Why::Failed { message, hint };
        self.settled(index, Outcome::Crash, How::Failed, &why, seconds, tell)?;
        let Some(GivenUp { search, trials, first, message }) = given_up else { return Ok(()) };
        tell(Event::GivenUp { search, trials, node: &self.plan.nodes[first].name, message: &message });
        let ready: Vec<_> = self.ready.iter().copied().filter(|node| self.searches.given_up(*node).is_some()).collect();
        for node in ready {
            self.ready.remove(&node);
            self.skip(node, first, tell)?;
        }
        Ok(())
    }

    /// Settles a node that is not executed because the node `needs` has no outputs.
    fn skip(&mut self, index: usize, needs: usize, tell: &mut dyn FnMut(Event<'_>)) -> Result<(), StoreError> {
        let needs = self.plan.nodes[needs].name.clone();
        let why = Why::Skipped { needs: needs.clone() };
        self.settled(index, Outcome::Skipped(needs), How::Skipped, &why, 0.0, tell)
    }

    /// Opens the log of this run, so that gc keeps what is being made and what it is made from. A run that executes nothing
    /// needs no log and writes nothing.
    fn open_log(&mut self) -> Result<(), StoreError> {
        if self.run.is_some() {
            return Ok(());
        }
        let now = SystemTime::now();
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = format!("{:x}-{:x}", since.as_nanos(), std::process::id());
        let run = self.store.open_run(&id, &self.plan.name, now)?;
        // So that the study can be looked at before it is recorded.
        run.keep(&self.store.put(&self.plan.pipeline)?)?;
        for key in std::mem::take(&mut self.hits) {
            run.append(&key)?;
        }
        self.run = Some(run);
        self.no_sweep = None;
        Ok(())
    }

    fn note_live(&mut self) {
        if let Some(run) = &self.run {
            self.live.note(self.store, run.id());
        }
    }

    fn hear(&mut self, message: Message, tell: &mut dyn FnMut(Event<'_>)) -> Result<(), StoreError> {
        match message {
            Message::Placed { index, place } => self.placed(index, &place, tell),
            Message::Requeued { index } => {
                if let Some(running) = self.running.get_mut(&index)
                    && std::mem::replace(&mut running.is_told, false)
                {
                    self.live.ended(index);
                    tell(Event::Queued { node: &self.plan.nodes[index].name, why: &running.why });
                }
            }
            Message::Waiting { reasons } => tell(Event::Waiting { reasons: &reasons }),
            Message::Notice { text } => tell(Event::Notice { text: &text }),
            Message::Progress { index, progress } => {
                self.live.progress(index, &progress);
                tell(Event::Progress { node: &self.plan.nodes[index].name, progress: &progress });
            }
            Message::Talk { index, line } => tell(Event::Talk { node: &self.plan.nodes[index].name, line: &line }),
            Message::Waits { index } => {
                // With one job at a time, nodes end in the order in which they start.
                if self.options.jobs > 1 && self.waiting.len() < MOST_WAITING && self.waiting.insert(index) {
                    self.admission.release(index);
                }
            }
            Message::Ended { index, ended } => {
                self.waiting.remove(&index);
                let running = self.running.remove(&index).expect("only running nodes end");
                if !running.is_told && matches!(ended, Ended::Committed { .. }) {
                    tell(Event::Started { node: &self.plan.nodes[index].name, why: &running.why });
                }
                self.live.ended(index);
                self.admission.release(index);
                let seconds = running.since.elapsed().as_secs_f64();
                match ended {
                    Ended::Committed { found } => {
                        let key = self.actions[index].expect("a running node has an action");
                        let Some(result) = self.store.result(&key)? else {
                            let message = "its result was committed and has disappeared: is something else removing files from the store?";
                            let why = Why::Failed { message: message.to_owned(), hint: None };
                            return self.settled(index, Outcome::Crash, How::Failed, &why, seconds, tell);
                        };
                        let how = match (&result, found) {
                            (ActionResult::Failure(_), _) => How::Failed,
                            (_, true) => How::Reused,
                            (_, false) => How::Executed,
                        };
                        let why = match (running.why, self.before.get(&index), &result) {
                            (Why::Forced { .. }, Some(before), ActionResult::Tree(tree)) => {
                                let compared = if before == tree { Compared::Same } else { Compared::Different };
                                Why::Forced { compared: Some(compared) }
                            }
                            _ if found => Why::Meanwhile,
                            (why, ..) => why,
                        };
                        self.concluded(index, result, how, why, seconds, tell)?;
                    }
                    Ended::Interrupted => {
                        self.settled(index, Outcome::Crash, How::Interrupted, &Why::Interrupted, seconds, tell)?;
                    }
                    Ended::Error { message, hint, damaged } => {
                        self.damaged |= damaged;
                        self.crashed(index, message, hint, seconds, tell)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Tells where a node runs that is executed elsewhere.
    fn placed(&mut self, index: usize, place: &Place, tell: &mut dyn FnMut(Event<'_>)) {
        // With a launcher, the nodes of this process tell, too.
        let Some(running) = self.running.get_mut(&index) else { return };
        let node = &self.plan.nodes[index].name;
        if !std::mem::replace(&mut running.is_told, true) {
            running.since = Instant::now();
            self.live.started(index, node);
            tell(Event::Started { node, why: &running.why });
        }
        self.live.placed(index, place);
        tell(Event::Placed { node, place });
    }

    fn concluded(
        &mut self,
        index: usize,
        result: ActionResult,
        how: How,
        why: Why,
        seconds: f64,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), StoreError> {
        if let Some(before) = self.remade.tree(index)
            && result != ActionResult::Tree(before)
        {
            // Other nodes have read the outputs that it had.
            let message = format!("its outputs are not those that a remote had for the same action, {before}");
            let hint = "run again: the nodes that depend on it are executed then".to_owned();
            return self.crashed(index, message, Some(hint), seconds, tell);
        }
        self.searches.has_result(index);
        match result {
            ActionResult::Tree(tree) => {
                self.trees[index] = Some(self.store.tree(&tree)?);
                self.settled(index, Outcome::Tree(tree), how, &why, seconds, tell)
            }
            ActionResult::Failure(failure) => {
                let why = Why::Failed { message: failure.message.clone(), hint: failure.hint };
                self.settled(index, Outcome::Failure(failure.message), how, &why, seconds, tell)
            }
        }
    }

    fn settled(
        &mut self,
        index: usize,
        outcome: Outcome,
        how: How,
        why: &Why,
        seconds: f64,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), StoreError> {
        let tree = if let Outcome::Tree(tree) = &outcome { Some(*tree) } else { None };
        if let (Some(remote), How::Executed, Some(key), Some(tree)) =
            (&self.options.remote, how, &self.actions[index], &tree)
        {
            remote.executed(key, tree);
        }
        let count = match how {
            How::Executed => "executed",
            How::Reused => "reused",
            How::Failed => "failed",
            How::Skipped => "skipped",
            How::Interrupted => "interrupted",
        };
        *self.counts.entry(count).or_default() += 1;
        if matches!(outcome, Outcome::Crash | Outcome::Skipped(_)) {
            self.store_action(index)?;
        }
        let stage = self.plan.nodes[index].stage.id().name;
        self.has_news |= StageName::find(stage).is_some_and(|stage| stage.trains() || stage == StageName::Promote);
        self.states[index] = State::Settled(outcome);
        let node = &self.plan.nodes[index].name;
        tracing::debug!(node, %why, key = self.actions[index].map(|key| key.0.to_string()), "settled");
        tell(Event::Settled { node, how, why, key: self.actions[index], tree, seconds });
        for reader in self.remade.readers(index).unwrap_or_else(|| self.readers[index].clone()) {
            self.missing[reader] -= 1;
            if self.missing[reader] == 0 && !self.left_out.has(reader) {
                self.fresh.insert(reader);
            }
        }
        self.stand_in(index);
        self.stop_search(index, tell)
    }

    /// Stores the record of the action of a node without a result, which the study will name, too. With a result it is stored already.
    fn store_action(&self, index: usize) -> Result<(), StoreError> {
        if let Some(key) = self.actions[index]
            && !self.store.contains(&key.0)?
            && let Ok(action) = self.plan.action(index, &self.trees)
        {
            self.store.put(&action.record())?;
        }
        Ok(())
    }

    fn finish(self, stopped: bool) -> Ran {
        if let Some(run) = &self.run {
            self.live.end(self.store, run.id());
        }
        let count = |name: &str| self.counts.get(name).copied().unwrap_or(0);
        let unsettled = self.wanted.iter().any(|&index| !matches!(self.states[index], State::Settled(_)));
        let mut nodes = BTreeMap::new();
        for &index in self.wanted {
            let node = &self.plan.nodes[index];
            if let State::Settled(outcome) = &self.states[index]
                && !self.left_out.has(index)
            {
                let study_node = StudyNode {
                    stage: node.stage.id().name.to_owned(),
                    part_of: node.part_of.clone(),
                    action: self.actions[index].map(|key| key.0),
                    outcome: outcome.clone(),
                };
                nodes.insert(node.name.clone(), study_node);
            }
        }
        Ran {
            nodes,
            executed: count("executed"),
            reused: count("reused"),
            failed: count("failed"),
            skipped: count("skipped"),
            interrupted: count("interrupted") > 0 || (stopped && unsettled),
            damaged: self.damaged,
            run: self.run,
            no_sweep: self.no_sweep,
        }
    }
}
