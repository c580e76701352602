//! `pipe logs`

use std::time::{Duration, SystemTime};

use clap::Args;
use pipe_engine::{
    run::outlook::Outlook,
    study::{self, Found, Outcome},
};
use pipe_store::{ActionKey, ActionResult, Digest, FailureRecord, Store};
use serde_json::Value;

use crate::{
    failure::{EXIT_CODES, Failure},
    logging::Logging,
    output::{json, print_bytes},
    plan_args::{PlanArgs, Unknown, unknown},
    store_args::StoreArgs,
    talk,
};

/// Show what a node said when it was executed
///
/// The log lines and errors of the latest execution, also of a node that is reused, failed or crashed. It is the execution that
/// belongs to the pipeline file as it is now, and otherwise the one in the latest study. Of a long log, the beginning and the end
/// are kept. `-v` before a run makes nodes say more.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
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
    #[arg(long)]
    json: bool,
}

/// What is known about the latest execution of an action.
#[derive(serde::Serialize)]
struct Execution {
    node: String,
    action: Digest,
    /// What it said. `None` if it said nothing.
    log: Option<String>,
    /// Whether its result is known: `done` or `failed`.
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
        let Found { study, .. } = study::find(store, self.study.as_deref())?;
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
            Ok(nodes) => nodes,
            // The latest study may have it.
            Err(error) => {
                let is_there = study::find(store, None).is_ok_and(|found| found.study.resolve(&self.node).is_ok());
                return if is_there { Ok(None) } else { Err(unknown(&plan, error)) };
            }
        };
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
    let log = store.log(key)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    // A result that is damaged must not keep the log from being read.
    let (outcome, failure) = match store.result(key).ok().flatten() {
        Some(ActionResult::Tree(_)) => (Some("done"), None),
        Some(ActionResult::Failure(failure)) => (Some("failed"), Some(failure)),
        None => (None, None),
    };
    let provenance = store.provenance(key).ok().flatten().filter(|_| outcome.is_some());
    Ok(Execution { node: node.to_owned(), action: key.0, log, outcome, failure, provenance })
}

/// Returns when its result was made and how long it took, as the end of a sentence.
fn when(execution: &Execution) -> String {
    let number = |name: &str| execution.provenance.as_ref().and_then(|provenance| provenance.get(name)?.as_f64());
    match (number("started"), number("seconds")) {
        (Some(started), Some(seconds)) if started >= 0.0 => {
            let started = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(started);
            let started = humantime::format_rfc3339_seconds(started).to_string().replace('T', " ").replace('Z', " UTC");
            format!(", executed at {started} for {}", crate::printer::duration(seconds))
        }
        _ if execution.outcome.is_none() => ", without a result".to_owned(),
        _ => String::new(),
    }
}
