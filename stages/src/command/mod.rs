//! `command`: runs a program of the user's own. Its command line, its files and its inputs are its action, and no path of this
//! machine is part of it.

mod ending;
mod params;
mod reports;
mod value;
mod word;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub use self::{
    params::{CODES, Command, EPOCHS, FILES, INPUT, Known, PROGRAM, Score},
    reports::{Pattern, Reports},
    word::{Place, Template, Word},
};
use crate::{
    params::{Hyper, Unfilled, proposed, record},
    program::{IN, KeptState, OUT, Placed, Program, Watched},
    records::{Listing, Proposal},
    stage::{Context, Inputs, Needs, Outputs, Stage, StageError, StageId},
};

impl Command {
    /// Returns the number of epochs of this execution.
    fn epochs_of(&self, labels: &Map<String, Value>) -> Result<Option<u32>, StageError> {
        match &self.epochs {
            None => Ok(None),
            Some(Hyper::Value(epochs)) => Ok(Some(*epochs)),
            Some(Hyper::Label(label)) => {
                let proposed = proposed(label, &EPOCHS, "epochs", labels);
                proposed.map(Some).map_err(|unfilled| {
                    let (Unfilled::Missing(problem) | Unfilled::Refused(problem)) = unfilled;
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
