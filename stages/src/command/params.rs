//! The action of a command, and what can be known of it without running it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    reports::Reports,
    word::{Place, Word},
};
pub use crate::network::training::AnyObjective as Score;
use crate::{
    parameters,
    params::{Domain, Hyper},
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
