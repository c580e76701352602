//! `pipe run`

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use clap::Args;
use pipe_engine::{
    action::DeviceKind,
    names::NameError,
    pipeline::{
        expand::{Downloads, expand},
        read,
        set::{self, Override},
    },
    plan::{Expected, Plan},
    run::{self, limits, worker::StopFlag},
    study::{self, Study},
};
use pipe_stages::{fetch::LocationError, words::one_of};
use pipe_store::{ActionKey, RefKind, Store};

use crate::{
    failure::{EXIT_CODES, Failure},
    files,
    logging::{LogFormat, Logging},
    output::print,
    printer::{Printer, Summary},
    report_folder,
    store_args::StoreArgs,
};

/// Run the study in pipeline.ron: reuse known results, execute the rest
///
/// A run that was stopped or killed continues where it stopped when the command is repeated. The last line of output is the
/// name and hash of the study.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Run {
    #[command(flatten)]
    store: StoreArgs,
    /// Run only this stage or node, and the nodes that it depends on (repeatable)
    #[arg(long, value_name = "NAME|NODE")]
    stage: Vec<String>,
    /// The most nodes that run at the same time [default: the number of cores]
    #[arg(long, short, value_name = "N", env = "PIPE_JOBS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// The number of threads of each node [default: its share of the free cores]
    #[arg(long, value_name = "N", env = "PIPE_THREADS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Compute on `cpu`, `cuda`, `cuda:1` or `auto` (a GPU if there is one) [default: as in the file]
    #[arg(long, value_name = "DEVICE", env = "PIPE_DEVICE")]
    device: Option<DeviceChoice>,
    /// Override a value in the file: `--set search.trials=20` (repeatable; also PIPE_SET='a=1; b=2')
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Execute this stage or node again even if its result is known, and compare the results (repeatable)
    #[arg(long, value_name = "NODE")]
    rerun: Vec<String>,
    /// Print which nodes would be reused and which would run, and run nothing
    #[arg(long)]
    plan: bool,
    /// Print JSON, one event per line
    #[arg(long)]
    json: bool,
    /// Seconds between checkpoints of a training
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, env = "PIPE_CHECKPOINT_EVERY", value_parser = seconds)]
    checkpoint_every: f64,
}

/// The device that the user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeviceChoice {
    Auto,
    Cpu,
    Cuda(usize),
}

impl std::str::FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|ordinal| ordinal.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| "expected `auto`, `cpu`, `cuda` or `cuda:1`".to_owned()),
        }
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|s: &f64| (0.0..=1e9).contains(s)).ok_or_else(|| "expected seconds, 0 or more".to_owned())
}

static STOP: StopFlag = StopFlag::new();

impl Run {
    pub(crate) fn run(self, logging: &Logging) -> Result<(), Failure> {
        let started = Instant::now();
        let mut pipeline = self.read()?;
        let ordinal = self.resolve_device(&mut pipeline.device)?;
        let plan = expand(&pipeline, &downloads(&self.store.root())?);
        let selection: BTreeSet<&str> = self.stage.iter().map(String::as_str).collect();
        let wanted = wanted(&plan, &self.stage)?;
        let mut rerun = BTreeSet::new();
        for name in &self.rerun {
            let nodes = plan.find(name).map_err(|error| unknown(&plan, error))?;
            if nodes.is_disjoint(&wanted) {
                let failure = Failure::usage(format!("`--rerun {name}` names no node that `--stage` runs"));
                return Err(failure.hint(format!("add `--stage {name}`")));
            }
            rerun.extend(nodes.intersection(&wanted));
        }
        if !logging.quiet {
            plan.notes.iter().for_each(|note| eprintln!("{note}"));
        }
        if self.plan {
            return self.show_plan(&plan, &wanted, &rerun);
        }
        let store = self.store.open()?;
        let previous = study::find_latest(&store, &plan.name)?;

        // At the first ^C, trainings write checkpoints. At the second, the process ends at once.
        let _ = ctrlc::set_handler(|| {
            if STOP.set() {
                std::process::exit(130);
            }
        });
        let cores = limits::cores();
        let options = run::Options {
            jobs: self.jobs.map_or(cores, usize::from),
            threads: self.threads.map(usize::from),
            cores,
            ordinal,
            rerun,
            cadence: Duration::from_secs_f64(self.checkpoint_every),
            program: std::env::current_exe()
                .map_err(|error| Failure::work(format!("the path of this program is unknown: {error}")))?,
            log_level: logging.level(),
            memory: limits::free_memory(),
        };
        let mut printer = Printer::new(
            self.json,
            logging.quiet,
            logging.verbose > 0,
            logging.log_format == LogFormat::Json,
            wanted.len(),
        );
        let ran =
            run::run(&store, &plan, &wanted, &options, previous.as_ref(), &STOP, &mut |event| printer.event(&event))?;
        if ran.interrupted {
            printer.interrupted();
            return Err(Failure::silent(130));
        }
        let study = Study::new(
            pipe_store::Digest::of(&plan.pipeline),
            selection.iter().map(|s| (*s).to_owned()).collect(),
            ran.nodes,
        );
        let hash = record(&store, &plan, &study)?;
        if let Some(run) = ran.run {
            run.finish()?;
        }
        finish_other_runs(&store, &plan.name)?;
        let views = report_folder::write(&store, &plan.name, &hash, &study)?;
        printer.study(&Summary {
            study: hash,
            name: &plan.name,
            executed: ran.executed,
            reused: ran.reused,
            failed: ran.failed,
            skipped: ran.skipped,
            seconds: started.elapsed().as_secs_f64(),
            report: &views.report,
            pictures: views.pictures.as_deref(),
        });
        if printer.lost_lines() {
            return Err(Failure::work("events are missing: standard output could not be written"));
        }
        // The process ends here. Freeing a large study would take a tenth of the time of a run that reuses everything.
        std::mem::forget((plan, previous, study));
        match (ran.damaged, ran.failed) {
            (true, _) => Err(Failure::silent(3)),
            (false, 0) => Ok(()),
            (false, _) => Err(Failure::silent(1)),
        }
    }

    fn read(&self) -> Result<pipe_engine::pipeline::spec::Pipeline, Failure> {
        let path = &self.store.file;
        let text = files::read_text(path, read::TEXT).map_err(|error| {
            let failure = Failure::usage(format!("`{}` cannot be read: {error}", path.display()));
            failure.hint("`pipe init` writes one to start from; `--file` names another")
        })?;
        let mut overrides = std::env::var(set::VARIABLE).map(|text| set::from_variable(&text)).unwrap_or_default();
        overrides.extend(self.set.iter().map(|text| Override { origin: "--set", text: text.clone() }));
        Ok(read::read(&path.display().to_string(), &text, &overrides)?)
    }

    /// Sets the kind of device of the pipeline, and returns the number of the GPU. The kind is part of every action, so it must be
    /// known before the plan.
    fn resolve_device(&self, device: &mut DeviceKind) -> Result<usize, Failure> {
        let choice = self.device.unwrap_or(match device {
            DeviceKind::Cpu => DeviceChoice::Cpu,
            DeviceKind::Cuda => DeviceChoice::Cuda(0),
        });
        let found = pipe_stages::cuda_devices();
        let ordinal = match choice {
            DeviceChoice::Cpu => None,
            DeviceChoice::Auto => {
                let ordinal = found.is_ok_and(|n| n > 0).then_some(0);
                eprintln!("device: {}", if ordinal.is_some() { "cuda:0" } else { "cpu" });
                ordinal
            }
            DeviceChoice::Cuda(ordinal) => match found {
                Err(why) => {
                    return Err(Failure::usage(why)
                        .hint("build it with `cargo build --release --features cuda`, or use `--device cpu`"));
                }
                Ok(n) if ordinal >= n => {
                    let failure =
                        Failure::usage(format!("there is no device `cuda:{ordinal}`: {n} CUDA devices were found"));
                    return Err(failure.hint("is the driver installed (`nvidia-smi`)? `--device cpu` needs none"));
                }
                Ok(_) => Some(ordinal),
            },
        };
        *device = if ordinal.is_some() { DeviceKind::Cuda } else { DeviceKind::Cpu };
        Ok(ordinal.unwrap_or(0))
    }

    fn show_plan(&self, plan: &Plan, wanted: &BTreeSet<usize>, rerun: &BTreeSet<usize>) -> Result<(), Failure> {
        // A plan does not make a store. Without one, no result is known.
        let nowhere = tempfile::tempdir()
            .map_err(|error| Failure::work(format!("a temporary folder cannot be made: {error}")))?;
        let root = self.store.root();
        let store = Store::open(if root.is_dir() { &root } else { nowhere.path() })?;
        let expected = plan.resolve(&store, wanted)?;
        let mut text = String::new();
        let mut counts = [0_usize; 3];
        for (index, outlook) in &expected {
            let (word, count) = match outlook {
                _ if rerun.contains(index) => ("will run", 1),
                Expected::Reused { .. } => ("reused", 0),
                Expected::WillRun { .. } => ("will run", 1),
                Expected::MayRun => ("may run", 2),
                Expected::Fails => ("fails", 0),
                Expected::Skipped => ("skipped", 0),
            };
            counts[count] += 1;
            let node = &plan.nodes[*index];
            if self.json {
                let key = match outlook {
                    Expected::Reused { key, .. } => Some(*key),
                    Expected::WillRun { action } => Some(action.key()),
                    _ => None,
                };
                let line = serde_json::json!({ "event": "plan", "node": node.name, "outlook": word, "action": key.map(|ActionKey(key)| key) });
                text += &format!("{line}\n");
            } else {
                text += &format!("{word:>9}  {}\n", node.name);
            }
        }
        if !self.json {
            text += &format!("{} reused, {} will run, {} may run\n", counts[0], counts[1], counts[2]);
        }
        print(&text)
    }
}

/// Returns the nodes called `names` and everything they read from; all nodes if `names` is empty.
fn wanted(plan: &Plan, names: &[String]) -> Result<BTreeSet<usize>, Failure> {
    if names.is_empty() {
        return Ok((0..plan.nodes.len()).collect());
    }
    let mut wanted = BTreeSet::new();
    for name in names {
        wanted.extend(plan.find(name).map_err(|error| unknown(plan, error))?);
    }
    Ok(plan.with_ancestors(&wanted))
}

fn unknown(plan: &Plan, error: NameError) -> Failure {
    let NameError::Unknown { text, candidates } = error else { return error.into() };
    Failure::usage(format!("there is no stage or node `{text}`")).hint(match candidates.as_slice() {
        [] => format!("stages are {}", plan.stages().into_iter().collect::<Vec<_>>().join(", ")),
        meant => format!("did you mean {}?", one_of(meant.iter().map(String::as_str))),
    })
}

/// Returns the sources of downloads: the mirrors in `PIPE_MIRRORS`, separated by commas or line feeds.
fn downloads(root: &Path) -> Result<Downloads, Failure> {
    let mut mirrors = Vec::new();
    let variable = std::env::var("PIPE_MIRRORS").unwrap_or_default();
    for base in variable.split([',', '\n']).map(str::trim).filter(|base| !base.is_empty()) {
        let mirror = base.parse().map_err(|error: LocationError| {
            Failure::usage(format!("PIPE_MIRRORS: `{base}`: {error}")).hint("a folder is `file:///folder`")
        })?;
        mirrors.push(mirror);
    }
    Ok(Downloads { mirrors, partial: root.join("partial") })
}

/// Stores the study and appends it to the log of its name. Writes nothing if it is already the latest study of that name.
fn record(store: &Store, plan: &Plan, study: &Study) -> Result<pipe_store::Digest, Failure> {
    let hash = study.hash();
    let latest = store.ref_latest(RefKind::Studies, &plan.name)?;
    if latest.is_none_or(|entry| entry.digest != hash) || !store.contains(&hash)? {
        store.put(&plan.pipeline)?;
        store.put(&study.record())?;
        store.ref_append(RefKind::Studies, &plan.name, &hash, SystemTime::now())?;
    }
    Ok(hash)
}

/// Ends the logs of earlier runs of this study that were killed. Their results are part of the study now, or not needed.
fn finish_other_runs(store: &Store, name: &str) -> Result<(), Failure> {
    for run in store.runs()?.into_iter().filter(|run| !run.running && run.study_name == name) {
        store.abandon_run(&run.id)?;
    }
    Ok(())
}
