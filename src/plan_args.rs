//! The options that decide what is planned, shared by `run` and the commands that look at what it would do.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use clap::Args;
use pipe_engine::{
    names::NameError,
    pipeline::{
        expand::{Downloads, expand},
        read,
        set::{self, Override},
        spec::Pipeline,
        stages::search::SearchSpec,
    },
    plan::Plan,
    remember::remember,
};
use pipe_stages::{
    fetch::{LocationError, Look, Measure, Network, Sources, Surroundings, measure},
    words::one_of,
};

use crate::{failure::Failure, files, lock_file, logging::Logging, looking::Looking, store_args::StoreArgs, talk};
use pipe_stages::{
    ComputeDevice, DeviceKind, Precision,
    network::{self, FoundDevice, NoDevices},
};

/// The options that decide what is planned.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlanArgs {
    /// Compute on `cpu`, `cuda`, `wgpu`, `cuda:1` or `auto` (a GPU if there is one) [default: as in the file]
    #[arg(long, value_name = "DEVICE", env = "PIPE_DEVICE")]
    device: Option<DeviceChoice>,
    /// Multiply in `f32`, or in `bf16` on `cuda` [default: as in the file]
    #[arg(long, value_name = "PRECISION", env = "PIPE_PRECISION")]
    precision: Option<Precision>,
    /// Override a value in the file: `--set search.trials=20` (repeatable; also PIPE_SET='a=1; b=2')
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
}

/// What was planned.
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    /// The numbers of the GPUs: the one that was asked for, or all of the kind.
    pub(crate) devices: Vec<usize>,
    /// Whether the plan is what the file says, with no value and no device from outside.
    pub(crate) as_in_file: bool,
}

/// The device that the user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeviceChoice {
    Auto,
    Kind(DeviceKind),
    One(ComputeDevice),
}

impl std::str::FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => {
                text.parse().map(Self::One).map_err(|_| "expected `auto`, `cpu`, `cuda`, `wgpu` or `cuda:1`".to_owned())
            }
        }
    }
}

impl PlanArgs {
    /// Reads the pipeline file and plans it. Files and folders of this disk that it names are looked at.
    pub(crate) fn plan(&self, store: &StoreArgs, unknown: Unknown, logging: &Logging) -> Result<Planned, Failure> {
        let overrides = self.overrides();
        let mut pipeline = read_file(&store.file, &overrides)?;
        look_up(&mut pipeline, store, unknown, logging)?;
        let in_file = (pipeline.device, pipeline.precision);
        pipeline.precision = self.precision.unwrap_or(pipeline.precision);
        let devices = self.resolve_device(&mut pipeline.device, pipeline.precision)?;
        let as_in_file = overrides.is_empty() && (pipeline.device, pipeline.precision) == in_file;
        let searches = pipeline.stages.of_type::<SearchSpec>().next().is_some();
        let notes = if searches { remember(&store.open_to_look()?, &mut pipeline)? } else { Vec::new() };
        let mut plan = expand(&pipeline, &downloads(&store.root())?);
        plan.notes.splice(0..0, notes);
        Ok(Planned { plan, devices, as_in_file })
    }

    /// Returns the values from outside the file. Later ones win.
    fn overrides(&self) -> Vec<Override> {
        let mut overrides = std::env::var(set::VARIABLE).map(|text| set::from_variable(&text)).unwrap_or_default();
        overrides.extend(self.set.iter().map(|text| Override { origin: "--set", text: text.clone() }));
        overrides
    }

    /// Sets the kind of device of the pipeline, and returns the numbers of the GPUs. The kind is part of every action, so it must be
    /// known before the plan.
    fn resolve_device(&self, kind: &mut DeviceKind, precision: Precision) -> Result<Vec<usize>, Failure> {
        let choice = match self.device {
            None => DeviceChoice::Kind(*kind),
            Some(DeviceChoice::Auto) => {
                let device = best_device();
                talk::say(&format!("device: {device}"));
                DeviceChoice::One(device)
            }
            Some(choice) => choice,
        };
        let (DeviceChoice::Kind(of) | DeviceChoice::One(ComputeDevice { kind: of, .. })) = choice else {
            unreachable!("`auto` was settled")
        };
        let found = network::devices(of).map_err(|why| Failure::usage(why.to_string()).hint(why.hint()))?;
        let one = if let DeviceChoice::One(device) = choice { device.ordinal } else { 0 };
        if one >= found.len() {
            let failure = Failure::usage(network::absent(ComputeDevice::of(of, one), found.len()));
            return Err(failure.hint(network::driver_hint(of)));
        }
        *kind = of;
        let is_gpu = |found: &&FoundDevice| !found.is_software;
        let numbers = match choice {
            // NVIDIA's cards of one machine are mostly alike. What Vulkan finds may be a fast card, a slow one and a processor.
            DeviceChoice::Kind(DeviceKind::Cuda) => (0..found.len()).collect(),
            DeviceChoice::Kind(_) => vec![found.iter().find(is_gpu).map_or(0, |found| found.device.ordinal)],
            _ => vec![one],
        };
        let lacks = |number: &&usize| !found[**number].precisions.contains(&precision);
        if let Some(&ordinal) = numbers.iter().find(lacks) {
            let failure = Failure::usage(network::lacking(ComputeDevice { kind: of, precision, ordinal }));
            return Err(failure.hint(network::PRECISION_HINT));
        }
        Ok(numbers)
    }
}

/// Returns the first GPU, or the processor if there is none. Drivers that compute on the processor do not count, and a driver that cannot
/// be used is named.
fn best_device() -> ComputeDevice {
    let of_kind = |kind| match network::devices(kind) {
        Ok(found) => found,
        Err(NoDevices::NotBuilt(_)) => Vec::new(),
        Err(why) => {
            talk::say(&format!("{why}; {}", why.hint()));
            Vec::new()
        }
    };
    let gpus = [DeviceKind::Cuda, DeviceKind::Wgpu].into_iter().map(of_kind);
    gpus.flatten().find(|found| !found.is_software).map_or(ComputeDevice::CPU, |found| found.device)
}

/// What is done about a file elsewhere whose size and digest are not written in the pipeline file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// It is refused.
    Refuse,
    /// It is downloaded, and refused with its size and digest, to be pasted.
    Measure,
}

/// Looks at the files and folders of this disk that a pipeline names.
fn look_up(pipeline: &mut Pipeline, store: &StoreArgs, unknown: Unknown, logging: &Logging) -> Result<(), Failure> {
    let base = store.file.parent().unwrap_or(Path::new(""));
    let partial_dir = &partial(&store.root());
    let looking = Looking::new(logging.quiet);
    let look = Look {
        skip: &[store.root(), store.file.clone(), lock_file::path(&store.file)],
        notes: partial_dir,
        now: SystemTime::now(),
        tell: &|progress| looking.tell(progress),
    };
    let network = Network::default();
    let download = |url: &str| {
        // In a folder that is not empty no store is made.
        store.open().map_err(|failure| failure.message)?;
        measure(url, &Sources { partial_dir, network: &network, host: &looking })
    };
    let measure = (unknown == Unknown::Measure).then_some(&download as &Measure<'_>);
    Ok(pipeline.look_up(&Surroundings { base, look, measure })?)
}

/// Returns the folder for what a fetch keeps in a store.
pub(crate) fn partial(root: &Path) -> PathBuf {
    root.join("partial")
}

fn read_file(path: &Path, overrides: &[Override]) -> Result<Pipeline, Failure> {
    let bytes = files::read(path, read::TEXT as u64).map_err(|error| {
        let failure = Failure::usage(format!("`{}` cannot be read: {error}", path.display()));
        failure.hint("`pipe init` writes one to start from; `--file` names another")
    })?;
    let name = path.display().to_string();
    Ok(read::read(&name, &read::text(&name, bytes)?, overrides)?)
}

/// Returns the failure for a name that means no stage or node of the plan, or several.
pub(crate) fn unknown(plan: &Plan, error: NameError) -> Failure {
    let NameError::Unknown { text, candidates } = error else { return error.into() };
    Failure::usage(format!("there is no stage or node `{text}`")).hint(match candidates.as_slice() {
        [] => format!("stages are {}", plan.stages().into_iter().collect::<Vec<_>>().join(", ")),
        meant => format!("did you mean {}?", one_of(meant.iter().map(String::as_str))),
    })
}

/// Returns the sources of downloads: the mirrors in `PIPE_MIRRORS`, separated by commas or line feeds.
pub(crate) fn downloads(root: &Path) -> Result<Downloads, Failure> {
    let mut mirrors = Vec::new();
    let variable = std::env::var("PIPE_MIRRORS").unwrap_or_default();
    for base in variable.split([',', '\n']).map(str::trim).filter(|base| !base.is_empty()) {
        let mirror = base.parse().map_err(|error: LocationError| {
            Failure::usage(format!("PIPE_MIRRORS: `{base}`: {error}")).hint("a folder is `file:///folder`")
        })?;
        mirrors.push(mirror);
    }
    Ok(Downloads { mirrors, partial: partial(root) })
}
