//! `pipe logs`

use std::{
    fs::File,
    io::{Read, Seek},
    os::unix::fs::MetadataExt,
    time::Duration,
};

use clap::Args;
use pipe_engine::{
    run::{outlook::Outlook, program},
    study::{Found, Outcome},
    unfinished,
};
use pipe_store::{ActionKey, ActionResult, Digest, FailureRecord, Store};
use pipe_views::moment;
use serde_json::Value;

use crate::{
    failure::Failure,
    logging::Logging,
    output::{json, print_bytes},
    plan_args::{PlanArgs, Unknown, unknown},
    store_args::StoreArgs,
    talk,
    time::duration,
};

/// Show what a node said when it was executed
///
/// The log lines and errors of the latest execution, also of a node that is reused, failed or crashed. It is the execution that
/// belongs to the pipeline file as it is now, and otherwise the one in the latest study. Of a long log, the beginning and the end
/// are kept. `-v` before a run makes nodes say more. What a program says can be read while it runs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe logs search/train/003
  pipe logs -f train/3")]
pub(crate) struct Logs {
    /// A node such as `search/train/003`
    #[arg(value_name = "NODE")]
    node: String,
    /// The study to look for the node in, instead of the pipeline file
    #[arg(long, value_name = "STUDY")]
    study: Option<String>,
    #[command(flatten)]
    plan_args: PlanArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON
    #[arg(long, conflicts_with = "follow")]
    json: bool,
    /// If its program is running, go on showing what it says until it ends
    #[arg(long)]
    follow: bool,
}

/// What is known about the latest execution of an action.
#[derive(serde::Serialize)]
struct Execution {
    node: String,
    action: Digest,
    /// What it said. `None` if it said nothing.
    log: Option<String>,
    /// Whether its result is known: `done` or `failed`. `running` if its program is being run.
    outcome: Option<&'static str>,
    failure: Option<FailureRecord>,
    /// When and where its result was made.
    provenance: Option<Value>,
}

impl Logs {
    pub(crate) fn run(self, logging: &Logging) -> Result<(), Failure> {
        let store = self.store.open_existing()?;
        let execution = self.find(&store, logging)?;
        if self.json {
            return print_bytes(json(&execution).as_bytes());
        }
        let (node, when) = (&execution.node, when(&execution));
        if self.follow && execution.outcome == Some(RUNNING) {
            talk::say(&format!("{node}{when}:"));
            return follow(&store, node, &ActionKey(execution.action));
        }
        match (&execution.log, &execution.failure) {
            (Some(log), _) => {
                talk::say(&format!("{node}{when}:"));
                print_bytes(log.as_bytes())
            }
            (None, Some(failure)) => {
                talk::say(&format!("{node}{when}:"));
                let hint = failure.hint.as_ref().map(|hint| format!("  hint: {hint}\n")).unwrap_or_default();
                print_bytes(format!("error: {}\n{hint}", failure.message).as_bytes())
            }
            (None, None) => {
                talk::say(&format!("{node} said nothing{when}"));
                Ok(())
            }
        }
    }

    /// Returns the latest execution of the node.
    fn find(&self, store: &Store, logging: &Logging) -> Result<Execution, Failure> {
        let now = if self.study.is_none() { self.now(store, logging)? } else { None };
        if let Some(execution) = now {
            return Ok(execution);
        }
        let Found { study, .. } = unfinished::find(store, self.study.as_deref())?;
        let node = study.resolve(&self.node)?;
        let of_study = &study.nodes[node];
        let Some(key) = of_study.key() else {
            let why = match &of_study.outcome {
                Outcome::Skipped(needs) => format!("`{node}` was not executed: it needs `{needs}`"),
                _ => format!("`{node}` was not executed"),
            };
            return Err(Failure::work(why).hint(match &of_study.outcome {
                Outcome::Skipped(needs) => format!("`pipe logs '{needs}'` shows what that node said"),
                _ => "`pipe run` runs it".to_owned(),
            }));
        };
        execution(store, node, &key)
    }

    /// Returns the execution that belongs to the pipeline file, if the node's action is known and was executed.
    fn now(&self, store: &Store, logging: &Logging) -> Result<Option<Execution>, Failure> {
        if !self.store.file.exists() {
            return Ok(None);
        }
        let plan = self.plan_args.plan(&self.store, Unknown::Refuse, logging)?.plan;
        let nodes = match plan.find(&self.node) {
            // A node may have the name of its stage, which has others besides.
            Ok(nodes) => match nodes.iter().find(|index| plan.nodes[**index].name == self.node) {
                Some(index) => [*index].into(),
                None => nodes,
            },
            // The latest study may have it.
            Err(error) => {
                let is_there = unfinished::find(store, None).is_ok_and(|found| found.study.resolve(&self.node).is_ok());
                return if is_there { Ok(None) } else { Err(unknown(&plan, error)) };
            }
        };
        // A command and the files that it reads are called alike.
        let exact = nodes.iter().copied().find(|index| plan.nodes[*index].name == self.node);
        let nodes = exact.map_or(nodes, |index| [index].into());
        let [index] = nodes.iter().copied().collect::<Vec<_>>()[..] else {
            let names: Vec<_> = nodes.iter().take(5).map(|index| format!("`{}`", plan.nodes[*index].name)).collect();
            let failure = Failure::usage(format!("`{}` has {} nodes", self.node, nodes.len()));
            return Err(failure.hint(format!("name one of them: {}", names.join(", "))));
        };
        let outlook = Outlook::of_run(store, &plan, &plan.with_ancestors(&nodes), None, &Default::default())?;
        let Some(key) = outlook.get(index).and_then(|prospect| prospect.key) else { return Ok(None) };
        let execution = execution(store, &plan.nodes[index].name, &key)?;
        Ok((execution.log.is_some() || execution.outcome.is_some()).then_some(execution))
    }
}

fn execution(store: &Store, node: &str, key: &ActionKey) -> Result<Execution, Failure> {
    let saved = store.log(key)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if let Some(log) = program::log(store, key) {
        let is_running = is_running(store, key);
        // If everything was killed, nobody has saved what the program said.
        let written = std::fs::metadata(program::log_path(store, key)).and_then(|file| file.modified()).ok();
        if is_running || saved.is_none() || written > store.log_saved(key)? {
            let outcome = is_running.then_some(RUNNING);
            let (node, action) = (node.to_owned(), key.0);
            return Ok(Execution { node, action, log: Some(log), outcome, failure: None, provenance: None });
        }
    }
    let log = saved;
    // A result that is damaged must not keep the log from being read.
    let (outcome, failure) = match store.result(key).ok().flatten() {
        Some(ActionResult::Tree(_)) => (Some("done"), None),
        Some(ActionResult::Failure(failure)) => (Some("failed"), Some(failure)),
        None => (None, None),
    };
    let provenance = store.provenance(key).ok().flatten().filter(|_| outcome.is_some());
    Ok(Execution { node: node.to_owned(), action: key.0, log, outcome, failure, provenance })
}

/// The outcome of an action that is being executed.
const RUNNING: &str = "running";

/// The time between two looks at what a program has said.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Returns whether a process executes the action.
fn is_running(store: &Store, key: &ActionKey) -> bool {
    // Whoever may not use the lock cannot know, and reads what is there.
    store.try_lock_action(key).is_ok_and(|lock| lock.is_none())
}

/// Prints what the program of an action says until no process executes it any more, and then says how it ended.
fn follow(store: &Store, node: &str, key: &ActionKey) -> Result<(), Failure> {
    let path = program::log_path(store, key);
    let mut open: Option<File> = None;
    loop {
        let was_running = is_running(store, key);
        // Each attempt has a log of its own, and it may be the same file.
        let now = File::open(&path).ok();
        let is_same = match (&open, &now) {
            (Some(open), Some(now)) => is_continued(open, now),
            (_, None) => true,
            (None, Some(_)) => false,
        };
        print_rest(open.as_mut())?;
        if !is_same {
            open = now;
            print_rest(open.as_mut())?;
        }
        if !was_running {
            break;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    match store.result(key)? {
        Some(ActionResult::Tree(_)) => talk::say(&format!("{node} is done")),
        Some(ActionResult::Failure(failure)) => talk::say(&format!("{node} failed: {}", failure.message)),
        None => talk::say(&format!("{node} has ended without a result")),
    }
    Ok(())
}

/// Returns whether a file is the one that is read, and has not become shorter.
fn is_continued(open: &File, now: &File) -> bool {
    let same = open.metadata().and_then(|open| Ok((open, now.metadata()?)));
    let position = || (&*open).stream_position();
    same.is_ok_and(|(open, now)| open.ino() == now.ino() && position().is_ok_and(|position| position <= now.len()))
}

/// Prints what has been added to a file.
fn print_rest(file: Option<&mut File>) -> Result<(), Failure> {
    let Some(file) = file else { return Ok(()) };
    let mut rest = Vec::new();
    file.read_to_end(&mut rest).map_err(|error| Failure::work(format!("the log cannot be read: {error}")))?;
    if rest.is_empty() { Ok(()) } else { print_bytes(&rest) }
}

/// Returns when its result was made and how long it took, as the end of a sentence.
fn when(execution: &Execution) -> String {
    let number = |name: &str| execution.provenance.as_ref().and_then(|provenance| provenance.get(name)?.as_f64());
    match (number("started"), number("seconds")) {
        (Some(started), Some(seconds)) if started >= 0.0 => {
            format!(", executed at {} for {}", moment(started), duration(seconds))
        }
        _ if execution.outcome == Some(RUNNING) => ", running".to_owned(),
        _ if execution.outcome.is_none() => ", without a result".to_owned(),
        _ => String::new(),
    }
}
