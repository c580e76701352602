//! Executes a sample of results again that came from a remote.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant, SystemTime},
};

use pipe_engine::{
    pipeline::expand::expand,
    run::{self, Event, check::check, limits},
    study::{Outcome, Study},
};
use pipe_store::{Digest, Store};

use super::run::{STOP, checked, stop_at_ctrl_c};
use crate::{
    failure::Failure,
    logging::{LogFormat, Logging},
    plan_args::downloads,
    printer::Printer,
    store_args::StoreArgs,
    talk,
};

/// Executes this share of the results of a study again, at least one, and compares. Which ones they are nobody can know before.
pub(super) fn check_sample(
    store: &Store,
    hash: &Digest,
    share: f64,
    store_args: &StoreArgs,
    logging: &Logging,
) -> Result<(), Failure> {
    let started = Instant::now();
    let study = Study::load(store, hash)?;
    let plan = expand(&study.read_pipeline(store)?, &downloads(&store_args.root())?);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let chance = |key: &Digest| {
        let digest = Digest::of(format!("{} {} {key}", now.as_nanos(), std::process::id()).as_bytes());
        let bytes = digest.as_bytes().first_chunk().expect("a digest has 32 bytes");
        u64::from_le_bytes(*bytes) as f64 / u64::MAX as f64
    };
    let mut nodes = Vec::new();
    for (index, node) in plan.nodes.iter().enumerate() {
        // What was fetched is checked by its digest already, and where it comes from is not part of a study.
        let found = study.nodes.get(&node.name).filter(|found| found.stage != "fetch");
        if let Some((key, Outcome::Tree(_))) = found.and_then(|found| Some((found.key()?, &found.outcome)))
            && store.result(&key)?.is_some()
        {
            nodes.push((chance(&key.0), index));
        }
    }
    nodes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let sample: BTreeSet<_> = nodes
        .iter()
        .enumerate()
        .filter(|(at, (chance, _))| *at == 0 || *chance < share)
        .map(|(_, (_, index))| *index)
        .collect();
    if sample.is_empty() {
        talk::say("nothing to execute again: no result is whole");
        return Ok(());
    }
    let scratch = tempfile::Builder::new()
        .prefix("pipe-check-")
        .tempdir()
        .map_err(|error| Failure::work(format!("a temporary folder cannot be made: {error}")))?;
    let cores = limits::cores();
    let options = run::Options {
        jobs: cores,
        threads: None,
        cores,
        devices: vec![0],
        jobs_per_device: 1,
        rerun: BTreeSet::new(),
        cadence: Duration::from_secs(60),
        program: std::env::current_exe()
            .map_err(|error| Failure::work(format!("the path of this program is unknown: {error}")))?,
        log_level: logging.level(),
        memory: limits::free_memory(),
        remote: None,
        executor: run::Executor::Here,
    };
    stop_at_ctrl_c(&options.executor);
    let is_log = logging.log_format == LogFormat::Json;
    let mut printer = Printer::new(false, logging.quiet, logging.verbose > 0, is_log, &plan, sample.len());
    let mut tell = |event: Event<'_>| printer.event(&event, None);
    let counts = check(store, &plan, &sample, scratch.path(), &options, &STOP, &mut tell)?;
    printer.check(&counts, started.elapsed().as_secs_f64());
    checked(&counts)
}
