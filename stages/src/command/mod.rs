//! `command`: runs a program of the user's own. Its command line, its files and its inputs are its action, and no path of this
//! machine is part of it.

mod ending;
mod reports;
mod value;
mod word;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

pub use self::{
    reports::{Pattern, Reports},
    word::{Place, Template, Word},
};
use crate::{
    network::training::{At, MetricName, Objective},
    parameters,
    params::{self, Domain, Hyper, Read, record},
    problem::{Path, Problem},
    program::{IN, KeptState, OUT, Placed, Program, Watched},
    records::{Listing, Proposal},
    stage::{Context, Inputs, Needs, Outputs, Stage, StageError, StageId},
};

/// The slot of the listing of the project's files.
pub const FILES: &str = "files";
/// The beginning of the slot of an input, before its name.
pub const INPUT: &str = "in.";
/// The same for a file that is a program itself.
pub const PROGRAM: &str = "program.";

/// The numbers of epochs that are allowed.
pub const EPOCHS: Domain = Domain::Whole(1..=1_000_000);
/// The exit codes that can be caught.
pub const CODES: Domain = Domain::Whole(1..=255);

parameters! {
    /// The action of a command: everything that its outputs depend on, besides its inputs.
    pub struct Command {
        /// The words of the command line.
        run: Vec<Word>,
        /// The variables that are set.
        env: BTreeMap<String, Word> = BTreeMap::new(),
        /// The file name of each input, by slot. A folder has none.
        slots: BTreeMap<String, Option<String>> = BTreeMap::new(),
        /// The files and folders that it writes, below `{out}`. A folder ends with `/`.
        outputs: Vec<String> = Vec::new(),
        /// The outputs whose numbers are metrics.
        metrics: Vec<String> = Vec::new(),
        /// How it reports metrics while it runs.
        reports: Option<Reports>,
        /// The number of epochs, if it is asked for some.
        epochs: Option<Hyper<u32>> [EPOCHS],
        /// The most epochs that the study can ask for, if a placeholder says so.
        horizon: Option<u32> [EPOCHS],
        /// The metric that scores it.
        objective: Option<Score>,
        /// The exit codes that are a result.
        catch: Vec<u8> [CODES] = Vec::new(),
        /// What is known of its environment.
        environment: Vec<Known> = Vec::new(),
    }
}

parameters! {
    /// Something of the environment that the outputs depend on, and what it is.
    #[derive(Eq)]
    pub struct Known {
        /// The file, or the command line.
        what: String,
        /// The digest of the file, or what the command prints.
        is: String,
    }
}

/// The objective of a command, whose metric can have any name.
#[derive(Debug, Clone, PartialEq)]
pub struct Score(pub Objective);

impl serde::Serialize for Score {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl Read for Score {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        let fields = value.as_object().filter(|fields| fields.len() == 1);
        let mode = fields.and_then(|fields| fields.iter().next());
        let read = mode.and_then(|(mode, which)| {
            let (which, metric) = which.as_object().filter(|which| which.len() == 1)?.iter().next()?;
            let metric = MetricName::from(metric.as_str().filter(|name| !name.is_empty())?);
            let which = match which.as_str() {
                "Best" => At::Best(metric),
                "Last" => At::Last(metric),
                _ => return None,
            };
            match mode.as_str() {
                "maximise" => Some(Objective::Maximise(which)),
                "minimise" => Some(Objective::Minimise(which)),
                _ => None,
            }
        });
        if read.is_none() {
            problems.push(Problem::new(at, "the objective cannot be read").expected(Self::expected(domain)));
        }
        read.map(Self)
    }

    fn expected(_: &Domain) -> String {
        "`Best(\"name of a metric\")` or `Last(\"name of a metric\")`".to_owned()
    }
}

impl Command {
    /// Returns every placeholder in the words and the variables.
    pub fn places(&self) -> BTreeSet<Place> {
        self.run.iter().chain(self.env.values()).flat_map(Word::places).collect()
    }

    /// Returns whether a placeholder is mentioned.
    pub fn mentions(&self, place: &Place) -> bool {
        self.run.iter().chain(self.env.values()).any(|word| word.places().contains(place))
    }

    /// Returns the labels that words name, and that the number of epochs is.
    pub fn labels(&self) -> BTreeSet<String> {
        let of_words = self.places().into_iter().filter_map(|place| match place {
            Place::Hp(label) => Some(label),
            _ => None,
        });
        let of_epochs = match &self.epochs {
            Some(Hyper::Label(label)) => Some(label.clone()),
            _ => None,
        };
        of_words.chain(of_epochs).collect()
    }

    /// Returns whether every label reaches it, named or not.
    pub fn takes_all_labels(&self) -> bool {
        self.places().iter().any(Place::takes_all_labels)
    }

    /// Returns the number of epochs of this execution.
    fn epochs_of(&self, labels: &Map<String, Value>) -> Result<Option<u32>, StageError> {
        match &self.epochs {
            None => Ok(None),
            Some(Hyper::Value(epochs)) => Ok(Some(*epochs)),
            Some(Hyper::Label(label)) => {
                let proposed = params::proposed(label, &EPOCHS, "epochs", labels);
                proposed.map(Some).map_err(|unfilled| {
                    let (params::Unfilled::Missing(problem) | params::Unfilled::Refused(problem)) = unfilled;
                    StageError::failed(format!("`epochs`: {problem}"))
                })
            }
        }
    }

    /// Returns the path of the file with the reports, in the working folder.
    fn report(&self) -> Option<String> {
        match &self.reports {
            Some(Reports::Csv(path)) => Some(format!("{OUT}/{path}")),
            Some(Reports::Lines | Reports::Stdout(_)) => Some(word::REPORT.to_owned()),
            None => self.mentions(&Place::Report).then(|| word::REPORT.to_owned()),
        }
    }

    /// Returns the files that are there before it starts.
    fn files(&self, inputs: &Inputs<'_>, labels: &Map<String, Value>) -> Result<BTreeMap<String, Placed>, StageError> {
        let mut files = BTreeMap::new();
        if inputs.digest(FILES).is_some() {
            let listing: Listing = inputs.record(FILES)?;
            for file in listing.files {
                files.insert(file.path, Placed::Object { digest: file.digest, executable: file.executable });
            }
        }
        for slot in inputs.slots() {
            let (name, executable) = match (slot.strip_prefix(INPUT), slot.strip_prefix(PROGRAM)) {
                (Some(name), _) => (name, false),
                (None, Some(name)) => (name, true),
                (None, None) => continue,
            };
            let path = match self.slots.get(name) {
                Some(Some(file)) => format!("{IN}/{name}/{file}"),
                _ => format!("{IN}/{name}"),
            };
            let digest = inputs.digest(slot).expect("it is one of the slots");
            files.insert(path, Placed::Object { digest, executable });
        }
        if self.mentions(&Place::Params) {
            files.insert(word::PARAMS.to_owned(), Placed::Bytes(record(labels)));
        }
        Ok(files)
    }
}

impl Stage for Command {
    fn id(&self) -> StageId {
        StageId { name: "command", version: 1 }
    }

    fn needs(&self) -> Needs {
        Needs { seed: self.mentions(&Place::Seed), process: true, ..Needs::default() }
    }

    fn trajectory(&self) -> Option<Value> {
        if !self.mentions(&Place::State) {
            return None;
        }
        let state = Self {
            epochs: None,
            outputs: Vec::new(),
            metrics: Vec::new(),
            objective: None,
            catch: Vec::new(),
            ..self.clone()
        };
        Some(serde_json::to_value(state).expect("parameters are plain data"))
    }

    fn run(&self, inputs: &Inputs<'_>, context: &Context<'_>) -> Result<Outputs, StageError> {
        let labels: Map<String, Value> = match inputs.digest("proposal") {
            Some(_) => inputs.record::<Proposal>("proposal")?.labels.into_iter().collect(),
            None => Map::new(),
        };
        let epochs = self.epochs_of(&labels)?;
        let filling = word::Filling {
            labels: &labels,
            named: &self.labels(),
            slots: &self.slots,
            epochs,
            horizon: self.horizon,
            // The range of numpy's seeds.
            seed: (context.seed >> 32) as u32,
            threads: context.host.threads(),
        };
        let mut words = Vec::new();
        for word in &self.run {
            words.extend(word.fill(&filling).map_err(StageError::failed)?);
        }
        let mut env = BTreeMap::new();
        for (name, word) in &self.env {
            env.insert(name.clone(), word.fill(&filling).map_err(StageError::failed)?.join(" "));
        }
        let report = self.report();
        let state = self
            .mentions(&Place::State)
            .then(|| KeptState { epochs: u64::from(epochs.unwrap_or(1)), report: report.clone() });
        let program = Program { words, env, files: self.files(inputs, &labels)?, state };
        let watched = match (&self.reports, report) {
            (Some(Reports::Stdout(_)), _) => Watched::Output,
            (Some(_), Some(path)) => Watched::File(path),
            _ => Watched::Nothing,
        };
        let mut tell = |report: &[u8]| {
            // A report that cannot be read is an error at the end.
            if let Some(Ok(rows)) = self.reports.as_ref().map(|reports| reports.rows(report, epochs)) {
                context.host.progress(&rows.progress(epochs));
            }
        };
        let finished = context.host.run_program(&program, inputs, &watched, &mut tell)?;
        ending::outputs(self, finished, epochs, labels)
    }
}

#[cfg(test)]
mod tests;
