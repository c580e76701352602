//! The action of a command, and what can be known of it without running it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    reports::Reports,
    word::{Place, Word},
};
use crate::{
    network::training::{At, MetricName, Objective},
    parameters,
    params::{Domain, Hyper, Read},
    problem::{Path, Problem},
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
}
