//! `pipe why`

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use pipe_engine::{
    pipeline::expand::{Downloads, expand},
    plan::Plan,
    run::{
        outlook::{Expected, Outlook, Prospect, Roots},
        why::{Differences, Why as Reason},
    },
    study::{self, Found, Study},
};
use pipe_store::{Digest, RefKind, Store};

use crate::{
    failure::Failure,
    logging::Logging,
    output::{json, print},
    plan_args::{PlanArgs, Unknown, unknown},
    store_args::StoreArgs,
};

/// Tell why a node would run now, or why it ran
///
/// Compares the pipeline file with the latest study of its name, and names the cause: the node upstream whose own parameters,
/// version, seed, device or numerics changed. Of a node that would not run, it tells why it ran when it did. With `--study`, it
/// compares that study with the one before it of the same name.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe why search/train/003
  pipe why retrain_best --study shapes~1")]
pub(crate) struct Why {
    /// A node such as `search/train/003`, or a stage for all of its nodes
    #[arg(value_name = "NODE")]
    node: String,
    /// Tell why the node ran in this study, instead of now
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

/// What is told about one node.
#[derive(serde::Serialize)]
struct Told {
    #[serde(flatten)]
    link: Link,
    /// The chain of causes, up to the nearest node that is one itself.
    because: Vec<Link>,
    /// Other nodes that are causes.
    others: Vec<Link>,
    /// Whether there are causes that are not named.
    more: bool,
    /// When it ran, if it would not run now.
    #[serde(skip_serializing_if = "Option::is_none")]
    ran: Option<Ran>,
}

/// One node and its reason.
#[derive(serde::Serialize)]
struct Link {
    node: String,
    outlook: Expected,
    why: String,
    reason: Reason,
    action: Option<Digest>,
}

/// The study in which a node ran.
#[derive(serde::Serialize)]
struct Ran {
    /// The name of the study: `tiny~1`.
    name: String,
    study: Digest,
    told: Box<Told>,
}

impl Why {
    pub(crate) fn run(self, logging: &Logging) -> Result<(), Failure> {
        let told = match &self.study {
            None => self.now(logging)?,
            Some(study) => self.then(study)?,
        };
        print(&if self.json { json(&told) } else { told.iter().map(|told| render(told, "")).collect() })?;
        let damaged = told.iter().any(|told| told.link.outlook == Expected::Damaged);
        if damaged {
            return Err(Failure { code: 3, ..Failure::work("the store is damaged") }
                .hint("`pipe verify --repair` moves damaged files to the quarantine"));
        }
        Ok(())
    }

    /// Tells what a run would do now.
    fn now(&self, logging: &Logging) -> Result<Vec<Told>, Failure> {
        let plan = self.plan_args.plan(&self.store, Unknown::Refuse, logging)?.plan;
        let store = self.store.open_to_look()?;
        let nodes = plan.find(&self.node).map_err(|error| unknown(&plan, error))?;
        let previous = with_nodes(&store, &plan, &nodes)?;
        let outlook =
            Outlook::of_run(&store, &plan, &plan.with_ancestors(&nodes), previous.as_ref(), &BTreeSet::new())?;
        if nodes.iter().all(|index| outlook.leaves_out(*index)) {
            let message = format!("`{}` is left out: its search stops before it", self.node);
            return Err(Failure::usage(message).hint("`pipe show` says why it stops"));
        }
        let roots = outlook.roots();
        let mut told = Vec::new();
        for index in nodes.into_iter().filter(|index| !outlook.leaves_out(*index)) {
            let mut node = tell(&plan, &outlook, &roots, index);
            if node.link.reason == Reason::Unchanged {
                node.ran = ran(&store, &plan.name, &node.link)?;
            }
            told.push(node);
        }
        Ok(told)
    }

    /// Tells what the run that gave `study` did.
    fn then(&self, study: &str) -> Result<Vec<Told>, Failure> {
        let store = self.store.open_existing()?;
        let found = study::find(&store, Some(study))?;
        let before = before(&store, &found)?;
        let plan = plan_of(&store, &found.study)?;
        let outlook = Outlook::of_study(&store, &plan, &found.study, before.as_ref())?;
        let nodes = plan.find(&self.node).map_err(|error| unknown(&plan, error))?;
        let roots = outlook.roots();
        let told: Vec<_> = nodes
            .into_iter()
            .filter(|index| outlook.get(*index).is_some())
            .map(|index| tell(&plan, &outlook, &roots, index))
            .collect();
        if told.is_empty() {
            return Err(Failure::usage(format!("`{}` is not among the nodes selected in study `{study}`", self.node)));
        }
        Ok(told)
    }
}

/// Returns the latest study of the plan's name that has these nodes. Studies of selected stages may lack them.
fn with_nodes(store: &Store, plan: &Plan, nodes: &BTreeSet<usize>) -> Result<Option<Study>, Failure> {
    for entry in store.ref_log(RefKind::Studies, &plan.name)?.iter().rev() {
        // As in a run, a study that cannot be read only means that less can be explained.
        let Ok(study) = Study::load(store, &entry.digest) else { break };
        if nodes.iter().all(|index| study.nodes.contains_key(&plan.nodes[*index].name)) {
            return Ok(Some(study));
        }
        if study.selection.is_empty() {
            break;
        }
    }
    Ok(study::find_latest(store, &plan.name)?)
}

/// Returns the plan of the pipeline that gave a study.
fn plan_of(store: &Store, study: &Study) -> Result<Plan, Failure> {
    // Nothing is fetched.
    let downloads = Downloads { mirrors: Vec::new(), partial: store.root().join("partial") };
    Ok(expand(&study.read_pipeline(store)?, &downloads))
}

/// Returns what came before the study `found` of the same name, if anything did.
fn before(store: &Store, found: &Found) -> Result<Option<Study>, Failure> {
    let Some(name) = &found.name else { return Ok(None) };
    let log = store.ref_log(RefKind::Studies, name)?;
    let at = log.iter().rposition(|entry| entry.digest == found.hash).unwrap_or(0);
    Ok(study::latest_of(store, &log[..at]))
}

/// Returns the study in which a node got its present action: the first of those up to the latest that have it.
fn ran(store: &Store, name: &str, link: &Link) -> Result<Option<Ran>, Failure> {
    let log = store.ref_log(RefKind::Studies, name)?;
    let mut first = None;
    for (back, entry) in log.iter().rev().enumerate() {
        // A study that cannot be read ends the search. It costs an explanation, nothing more.
        let Ok(study) = Study::load(store, &entry.digest) else { break };
        match study.nodes.get(&link.node) {
            Some(node) if node.action == link.action => first = Some((back, entry.digest, study)),
            Some(_) => break,
            // Of selected stages, and this node was not among them.
            None if !study.selection.is_empty() => {}
            None => break,
        }
    }
    let Some((back, hash, study)) = first else { return Ok(None) };
    let Ok(plan) = plan_of(store, &study) else { return Ok(None) };
    let before = study::latest_of(store, &log[..log.len() - 1 - back]);
    let outlook = Outlook::of_study(store, &plan, &study, before.as_ref())?;
    let Some((_, index, _)) = outlook.iter().find(|(node, ..)| *node == link.node) else { return Ok(None) };
    let told = Box::new(tell(&plan, &outlook, &outlook.roots(), index));
    let name = if back == 0 { name.to_owned() } else { format!("{name}~{back}") };
    Ok(Some(Ran { name, study: hash, told }))
}

fn tell(plan: &Plan, outlook: &Outlook<'_>, roots: &BTreeMap<usize, Roots>, index: usize) -> Told {
    let link = |index: usize| {
        let Prospect { expected, why, key, .. } =
            outlook.get(index).expect("causes are among the nodes that are looked at");
        let node = plan.nodes[index].name.clone();
        Link { node, outlook: *expected, why: why.to_string(), reason: why.clone(), action: key.map(|key| key.0) }
    };
    let chain = outlook.chain(index);
    let others = roots[&index].nodes.iter().filter(|root| !chain.contains(root));
    Told {
        link: link(index),
        because: chain[1..].iter().map(|index| link(*index)).collect(),
        others: others.map(|index| link(*index)).collect(),
        more: roots[&index].more,
        ran: None,
    }
}

/// The most links of a chain that are printed. Those in its middle are left out.
const SHOWN: usize = 8;

fn render(told: &Told, indent: &str) -> String {
    let sentence = |link: &Link| {
        let known = match &link.reason {
            Reason::Known { differences } if !differences.is_empty() => {
                format!("; since the latest study: {}", Differences(differences))
            }
            _ => String::new(),
        };
        format!("{}: {}{known}\n", link.outlook.in_sentence(), link.why)
    };
    let mut text = format!("{indent}{} {}", told.link.node, sentence(&told.link));
    let hidden = told.because.len().saturating_sub(SHOWN);
    for (i, link) in told.because.iter().enumerate() {
        match i {
            _ if hidden == 0 || i < SHOWN / 2 || i >= SHOWN / 2 + hidden => {
                text += &format!("{indent}  because `{}` {}", link.node, sentence(link));
            }
            _ if i == SHOWN / 2 => text += &format!("{indent}  .. {hidden} more nodes ..\n"),
            _ => {}
        }
    }
    for link in &told.others {
        text += &format!("{indent}  and because `{}` {}", link.node, sentence(link));
    }
    if told.more {
        text += &format!("{indent}  and because of other nodes: `pipe run --plan` lists all\n");
    }
    if let Some(Ran { name, study, told }) = &told.ran {
        text += &format!("{indent}in study {name} {}:\n", study.short());
        text += &render(told, &format!("{indent}  "));
    }
    text
}
