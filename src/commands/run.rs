//! `pipe run`

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::{Duration, Instant, SystemTime},
};

use clap::Args;
use pipe_engine::{
    plan::Plan,
    readings,
    run::{
        self, Event, Executor,
        check::check,
        limits,
        outlook::{Expected, Outlook, Prospect},
        remote_results::RemoteResults,
        room::{self, RoomNeeded},
        verdict::Counts,
        worker::StopFlag,
    },
    study::{self, Study, StudyStatus},
    tag,
};
use pipe_stages::StageName;
use pipe_store::{ActionKey, RefKind, Store};
use serde_json::json;

use crate::{
    executor_args::ExecutorArgs,
    failure::Failure,
    lock_file::{self, Comparison, Written},
    logging::{LogFormat, Logging},
    output::print,
    plan_args::{self, PlanArgs, Planned, Unknown},
    printer::{Printer, ROOM_HINT, Summary, room_event, room_text},
    remotes, report_folder,
    signals::{self, Asked},
    store_args::StoreArgs,
    talk,
    trials::Trials,
};

/// The exit code of `--plan` if a node would run.
const WOULD_RUN: u8 = 10;

/// Run the study in pipeline.ron: reuse known results, execute the rest
///
/// A run that was stopped or killed continues where it stopped when the command is repeated. The last line of output is the
/// name and hash of the study.
///
/// A complete run of the whole file writes `pipeline.lock` beside it: the key and the output of each node, to be committed and
/// compared with `--locked`. A run of selected stages, or with values or a device from outside the file, does not write it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe run
  pipe run --stage visualize_filters
  pipe run --set search.trials=50 --jobs 4
  pipe run --plan
  pipe run --check train/3
  pipe run --launcher 'srun --exact -N1 -n1 -c{threads} --mem={memory}M --gpus={gpus}'
  pipe run --executor slurm --partition gpu --time 4:00:00 --threads 8")]
pub(crate) struct Run {
    #[command(flatten)]
    store: StoreArgs,
    /// Run only this stage or node, and the nodes that it depends on (repeatable)
    #[arg(long, value_name = "NAME|NODE")]
    stage: Vec<String>,
    /// The most nodes that run at the same time [default: the number of cores]
    #[arg(long, short, value_name = "N", env = "PIPE_JOBS", value_parser = clap::value_parser!(u16).range(1..=65535))]
    jobs: Option<u16>,
    /// The number of threads of each node [default: its share of the free cores]
    #[arg(long, value_name = "N", env = "PIPE_THREADS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// The most nodes that compute on one GPU at the same time
    #[arg(long, value_name = "N", env = "PIPE_JOBS_PER_DEVICE", default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs_per_device: u16,
    #[command(flatten)]
    plan_args: PlanArgs,
    /// Execute this stage or node again even if its result is known, and compare the results (repeatable)
    #[arg(long, value_name = "NODE")]
    rerun: Vec<String>,
    /// Print which nodes would be reused and which would run, and why, and run nothing
    #[arg(long)]
    plan: bool,
    /// Execute nodes again in a temporary folder, and compare with their results (repeatable) [default: all nodes]
    ///
    /// A training is also stopped half way and continued. The committed results stand. If one differs, the exit code is 3.
    #[arg(long, value_name = "NODE", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["plan", "rerun"])]
    check: Vec<String>,
    /// Compare the run with the lock file, `pipeline.lock` beside `pipeline.ron`
    ///
    /// Says that they are the same, or names the first node that differs, and fails with exit code 1. Does not write the file.
    #[arg(long, conflicts_with_all = ["plan", "check"])]
    locked: bool,
    /// Look in this remote for results that are not known here
    ///
    /// Their large files, such as weights, are fetched when a node reads them, or by `pipe remote fetch`. A remote that does not answer is said once, and the run goes on without it.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["plan", "check"])]
    remote: Option<String>,
    /// Also send results that this run makes to the remote
    #[arg(long, requires = "remote")]
    remote_write: bool,
    /// Print JSON, one event per line
    ///
    /// With `--plan`, also stores the actions whose keys it prints, so that `pipe exec KEY` executes them.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    executor: ExecutorArgs,
    /// Stop after this time, as Ctrl-C does: `90s`, `30m`, `12h`. The next run goes on
    #[arg(long, value_name = "TIME", env = "PIPE_TIME_LIMIT", value_parser = time_limit, conflicts_with = "plan")]
    time_limit: Option<Duration>,
    /// Seconds between checkpoints of a training
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, env = "PIPE_CHECKPOINT_EVERY", value_parser = seconds)]
    checkpoint_every: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|s: &f64| (0.0..=1e9).contains(s)).ok_or_else(|| "expected seconds, 0 or more".to_owned())
}

fn time_limit(text: &str) -> Result<Duration, String> {
    let limit = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if limit.is_zero() { Err("expected more than no time".to_owned()) } else { Ok(limit) }
}

/// Says that a score that was just stored cannot be read, and goes on without it: the run itself finds damage that matters.
fn not_known<T: Default>(error: &pipe_store::StoreError) -> T {
    tracing::warn!(error = error as &dyn std::error::Error, "a score is not shown");
    T::default()
}

pub(super) static STOP: StopFlag = StopFlag::new();

impl Run {
    pub(crate) fn run(self, logging: &Logging) -> Result<(), Failure> {
        let started = Instant::now();
        let looks = self.plan || !self.check.is_empty();
        let unknown = if looks { Unknown::Refuse } else { Unknown::Measure };
        let Planned { plan, devices, as_in_file } = self.plan_args.plan(&self.store, unknown, logging)?;
        let selection: BTreeSet<&str> = self.stage.iter().map(String::as_str).collect();
        let wanted = wanted(&plan, &self.stage)?;
        let mut rerun = BTreeSet::new();
        for name in &self.rerun {
            let nodes = plan.find(name).map_err(|error| plan_args::unknown(&plan, error))?;
            if nodes.is_disjoint(&wanted) {
                let failure = Failure::usage(format!("`--rerun {name}` names no node that `--stage` runs"));
                return Err(failure.hint(format!("add `--stage {name}`")));
            }
            rerun.extend(nodes.intersection(&wanted));
        }
        if !logging.quiet {
            plan.notes.iter().for_each(|note| talk::say(note));
        }
        if self.plan {
            return self.show_plan(&plan, &wanted, &rerun);
        }
        if !self.check.is_empty() {
            return self.check_nodes(&plan, &wanted, &self.options(devices, rerun, logging)?, logging);
        }
        let mut options = self.options(devices, rerun, logging)?;
        let store = self.store.open()?;
        if tag::exists(&store, &plan.name)? {
            let failure = Failure::usage(format!("the study cannot be called `{0}`: a tag has this name", plan.name));
            return Err(
                failure.hint(format!("rename the study, or remove the tag with `pipe tag --delete '{}'`", plan.name))
            );
        }
        let previous = study::find_latest(&store, &plan.name)?;

        stop_at_ctrl_c(&options.executor);
        stop_after(self.time_limit);
        let through = match &self.remote {
            Some(name) => Some(remotes::read_through(&store, name, self.remote_write)?),
            None => remotes::promised(&store)?,
        };
        options.remote = through.as_ref().map(|through| through.results());
        let lock_path = lock_file::path(&self.store.file);
        let mut comparison = match self.locked {
            true => Some(Comparison::new(lock_path.clone(), &store, &plan)?),
            false => None,
        };
        let mut printer = self.printer(logging, &plan, wanted.len());
        let mut trials = Trials::new(&store, &plan);
        let mut tell = |event: Event<'_>| {
            let news = trials.hear(&event).unwrap_or_else(|error| not_known(&error));
            printer.event(&event, news.as_ref());
            if let Event::Settled { .. } = event {
                printer.outlook(trials.outlook(options.jobs));
                let warnings = trials.warnings().unwrap_or_else(|error| not_known(&error));
                warnings.iter().for_each(|warning| printer.warn(warning));
            }
            if let Some(text) = comparison.as_mut().and_then(|comparison| comparison.hear(&event)) {
                let Event::Settled { node, .. } = event else { return };
                printer.compared(&text, &json!({ "event": "differs", "node": node, "text": text }));
            }
        };
        let ran = run::run(&store, &plan, &wanted, &options, previous.as_ref(), &STOP, &mut tell)?;
        if ran.interrupted {
            printer.interrupted(ran.executed + ran.reused);
            return Err(Failure::silent(130));
        }
        let study = Study::new(
            pipe_store::Digest::of(&plan.pipeline),
            selection.iter().map(|s| (*s).to_owned()).collect(),
            ran.nodes,
        );
        let hash = record(&store, &plan, &study)?;
        drop(ran.no_sweep);
        match ran.run {
            Some(run) => run.finish()?,
            None => store.abandon_runs_of(&plan.name)?,
        }
        let views = write_views(&store, &plan.name, &hash, &study, options.remote.as_deref())?;
        let is_whole = self.stage.is_empty() && study.status == StudyStatus::Complete;
        let mut lock = Written::default();
        if is_whole && as_in_file && !self.locked {
            lock = lock_file::write(&store, &lock_path, &hash, &study);
        }
        lock.warnings.iter().for_each(|warning| printer.warn(warning));
        let compared = comparison.as_ref().map(|comparison| comparison.end(&hash, self.stage.is_empty()));
        if let Some(comparison) = &comparison {
            let text = compared.as_ref().and_then(|compared| compared.as_ref().ok());
            let found: Vec<_> = comparison
                .found()
                .map(|(node, how)| json!({ "node": node, "how": how, "text": how.to_string() }))
                .collect();
            let event = json!({ "event": "locked", "same": text.is_some(), "differences": found });
            if self.json || text.is_some() {
                printer.compared(text.map_or("", String::as_str), &event);
            }
        }
        if let Some((text, event)) = through.as_ref().and_then(|through| through.came())
            && (self.json || !text.is_empty())
        {
            printer.compared(&text, &event);
        }
        printer.study(&Summary {
            study: hash,
            name: &plan.name,
            executed: ran.executed,
            reused: ran.reused,
            failed: ran.failed,
            skipped: ran.skipped,
            seconds: started.elapsed().as_secs_f64(),
            findings: &views.findings,
            report: &views.report,
            pictures: views.pictures.as_deref(),
            lock: lock.changed.then_some(lock_path.as_path()),
        });
        if let Some(through) = &through {
            through.finish()?;
        }
        let differs = compared.and_then(Result::err);
        drop((comparison, printer, trials));
        // The process ends here. Freeing a large study would take a tenth of the time of a run that reuses everything.
        std::mem::forget((plan, previous, study));
        match (ran.damaged, differs, ran.failed) {
            (true, ..) => Err(Failure::silent(3)),
            (_, Some(failure), _) => Err(failure),
            (_, None, 0) => Ok(()),
            (_, None, _) => Err(Failure::silent(1)),
        }
    }

    fn options(&self, devices: Vec<usize>, rerun: BTreeSet<usize>, logging: &Logging) -> Result<run::Options, Failure> {
        let cores = limits::cores();
        Ok(run::Options {
            jobs: self.executor.jobs(self.jobs.map(usize::from), cores),
            threads: self.threads.map(usize::from),
            cores,
            devices,
            jobs_per_device: self.jobs_per_device.into(),
            rerun,
            cadence: Duration::from_secs_f64(self.checkpoint_every),
            program: std::env::current_exe()
                .map_err(|error| Failure::work(format!("the path of this program is unknown: {error}")))?,
            log_level: logging.level(),
            memory: limits::free_memory(),
            remote: None,
            executor: self.executor.executor()?,
        })
    }

    fn printer<'p>(&self, logging: &Logging, plan: &'p Plan, total: usize) -> Printer<'p> {
        let is_log = logging.log_format == LogFormat::Json;
        Printer::new(self.json, logging.quiet, logging.verbose > 0, is_log, plan, total)
    }

    /// Executes nodes again and compares their results.
    fn check_nodes(
        &self,
        plan: &Plan,
        wanted: &BTreeSet<usize>,
        options: &run::Options,
        logging: &Logging,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        let store = self.store.open_existing()?;
        let mut nodes = BTreeSet::new();
        for name in &self.check {
            match name.as_str() {
                "" => nodes.extend(wanted),
                name => nodes.extend(plan.find(name).map_err(|error| plan_args::unknown(plan, error))?),
            }
        }
        let scratch = tempfile::Builder::new()
            .prefix("pipe-check-")
            .tempdir()
            .map_err(|error| Failure::work(format!("a temporary folder cannot be made: {error}")))?;
        stop_at_ctrl_c(&options.executor);
        stop_after(self.time_limit);
        let mut printer = self.printer(logging, plan, nodes.len());
        let mut tell = |event: Event<'_>| printer.event(&event, None);
        let counts = check(&store, plan, &nodes, scratch.path(), options, &STOP, &mut tell)?;
        printer.check(&counts, started.elapsed().as_secs_f64());
        checked(&counts)
    }

    fn show_plan(&self, plan: &Plan, wanted: &BTreeSet<usize>, rerun: &BTreeSet<usize>) -> Result<(), Failure> {
        let store = self.store.open_to_look()?;
        let previous = study::find_latest(&store, &plan.name)?;
        let outlook = Outlook::of_run(&store, plan, wanted, previous.as_ref(), rerun)?;
        if self.json {
            // Whoever reads the keys can execute them.
            let stored = self.store.open().and_then(|store| Ok(outlook.store_actions(&store)?));
            stored.unwrap_or_else(|error| tracing::warn!("the actions are not stored: {}", error.message));
        }
        let roots = outlook.roots();
        let needed = self.room(&store, plan, &outlook)?;
        let mut text = String::new();
        let mut counts = BTreeMap::new();
        for (name, index, prospect) in outlook.iter() {
            *counts.entry(prospect.expected.to_string()).or_insert(0_usize) += 1;
            if self.json {
                let roots: Vec<_> = roots[&index].nodes.iter().map(|root| &plan.nodes[*root].name).collect();
                let line = json!({
                    "event": "plan", "node": name, "outlook": prospect.expected, "why": prospect.why.to_string(),
                    "reason": prospect.why, "roots": roots, "action": prospect.key.map(|ActionKey(key)| key),
                });
                text += &format!("{line}\n");
            } else {
                let because = outlook.because(index, &roots[&index]);
                text += &format!("{:>9}  {name}  ({}{because})\n", prospect.expected, prospect.why);
            }
        }
        let count = |expected: Expected| counts.get(&expected.to_string()).copied().unwrap_or(0);
        if let Some(needed) = &needed {
            text += &if self.json { format!("{}\n", room_event(needed)) } else { format!("{}\n", room_text(needed)) };
        }
        if !self.json {
            let others =
                [Expected::Fails, Expected::Skipped, Expected::Damaged].map(|expected| (count(expected), expected));
            text += &format!(
                "{} reused, {} will run, {} may run",
                count(Expected::Reused),
                count(Expected::WillRun),
                count(Expected::MayRun)
            );
            for (count, expected) in others.into_iter().filter(|(count, _)| *count > 0) {
                text += &format!(
                    ", {count} {}",
                    if expected == Expected::Fails { "failed before".to_owned() } else { expected.to_string() }
                );
            }
            text.push('\n');
        }
        print(&text)?;
        if let Some(needed) = needed.filter(RoomNeeded::is_too_much) {
            talk::say(&format!("warning: {}: {ROOM_HINT}", room_text(&needed)));
        }
        match count(Expected::WillRun) + count(Expected::MayRun) {
            _ if count(Expected::Damaged) > 0 => Err(Failure::silent(3)),
            0 => Ok(()),
            _ => Err(Failure::silent(WOULD_RUN)),
        }
    }
}

impl Run {
    /// Returns what the trainings that will or may run need on the disk, if there are any.
    fn room(&self, store: &Store, plan: &Plan, outlook: &Outlook<'_>) -> Result<Option<RoomNeeded>, Failure> {
        let runs = |prospect: &Prospect| matches!(prospect.expected, Expected::WillRun | Expected::MayRun);
        let is_training =
            |index: usize| StageName::find(plan.nodes[index].stage.id().name).is_some_and(StageName::trains);
        let nodes = outlook.iter().filter(|(_, index, prospect)| runs(prospect) && is_training(*index));
        let nodes: BTreeSet<_> = nodes.map(|(_, index, _)| index).collect();
        if nodes.is_empty() {
            return Ok(None);
        }
        let mut trees = vec![None; plan.nodes.len()];
        for (_, index, prospect) in outlook.iter() {
            if let Some(tree) = prospect.tree {
                trees[index] = Some(store.tree(&tree)?);
            }
        }
        let jobs = self.jobs.map_or_else(limits::cores, usize::from);
        Ok(Some(room::room(store, plan, &nodes, &trees, jobs)?))
    }
}

/// At the first ^C, trainings write checkpoints. At the second, the process ends at once. So it does if the terminal is closed and jobs
/// are in the queue of a cluster, which go on without it.
pub(super) fn stop_at_ctrl_c(executor: &Executor) {
    let leaves_jobs = matches!(executor, Executor::Slurm(_));
    signals::listen(move |asked| {
        if STOP.set() || (leaves_jobs && asked == Asked::HangUp) {
            std::process::exit(130);
        }
    });
    pipe_store::stop_waiting_when(|| STOP.is_set());
}

/// Stops after this time, if there is a limit. No digest depends on it: what is done stays, and the next run goes on.
fn stop_after(limit: Option<Duration>) {
    let Some(limit) = limit else { return };
    let stop = move || {
        thread::sleep(limit);
        STOP.set();
    };
    // The thread ends with the process.
    drop(thread::spawn(stop));
}

/// Returns what a check comes to.
pub(super) fn checked(counts: &Counts) -> Result<(), Failure> {
    match counts {
        Counts { damaged: true, .. } => Err(Failure { code: 3, ..Failure::work("the store is damaged") }
            .hint("`pipe verify --repair` moves damaged files to the quarantine")),
        Counts { different: 1.., .. } => Err(Failure::silent(3)),
        Counts { interrupted: true, .. } => Err(Failure::silent(130)),
        Counts { unchecked: 1.., .. } => Err(Failure::silent(1)),
        Counts { equal: 0, .. } => {
            Err(Failure::work("nothing was checked: no node has been run").hint("`pipe run` runs them"))
        }
        _ => Ok(()),
    }
}

/// Returns the nodes called `names` and everything they read from; all nodes if `names` is empty.
fn wanted(plan: &Plan, names: &[String]) -> Result<BTreeSet<usize>, Failure> {
    if names.is_empty() {
        return Ok((0..plan.nodes.len()).collect());
    }
    let mut wanted = BTreeSet::new();
    for name in names {
        wanted.extend(plan.find(name).map_err(|error| plan_args::unknown(plan, error))?);
    }
    Ok(plan.with_ancestors(&wanted))
}

/// Writes the views of a study. What they show and is only promised is fetched.
fn write_views(
    store: &Store,
    name: &str,
    hash: &pipe_store::Digest,
    study: &Study,
    remote: Option<&dyn RemoteResults>,
) -> Result<report_folder::Views, Failure> {
    loop {
        let error = match report_folder::write(store, name, hash, study) {
            Ok(views) => return Ok(views),
            Err(error) => error,
        };
        let (Some(remote), Some(wanted)) = (remote, error.promised()) else { return Err(error.into()) };
        for node in study.nodes.values() {
            let promised = study::tree_of(store, node)?.map(|tree| store.promised_files(&tree)).transpose()?;
            let files: Vec<_> = promised.into_iter().flatten().filter(|file| file.digest == wanted).collect();
            remote.fetch_files(store, &files);
        }
        if !store.contains(&wanted)? {
            return Err(error.into());
        }
    }
}

/// Stores the study and appends it to the log of its name. Writes nothing if it is already the latest study of that name.
fn record(store: &Store, plan: &Plan, study: &Study) -> Result<pipe_store::Digest, Failure> {
    let hash = study.hash();
    let _no_sweep = store.hold_off_sweeps()?;
    let latest = store.ref_latest(RefKind::Studies, &plan.name)?;
    if latest.is_none_or(|entry| entry.digest != hash) || !store.contains(&hash)? {
        store.put(&plan.pipeline)?;
        store.put(&study.record())?;
        readings::record(store, study, SystemTime::now())?;
        store.ref_append(RefKind::Studies, &plan.name, &hash, SystemTime::now())?;
    }
    Ok(hash)
}
