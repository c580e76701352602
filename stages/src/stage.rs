//! The trait of all stages, and what a stage shares with the program that runs it.

pub use crate::device::ComputeDevice;
use std::collections::BTreeMap;

use pipe_store::{Bytes, Digest, FoundFile, KnownFile, ObjectSource, StoreError};
use serde::Serialize;
use serde_json::Value;

use crate::{
    program::{Finished, Program, Watched},
    records::{self, Listing, Record},
};

/// A stage's name and version. The version changes whenever the same inputs would give other bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageId {
    /// The name, as actions record it: `train`, `decode`, ...
    pub name: &'static str,
    /// The version, from 1.
    pub version: u32,
}

/// What a stage needs besides its inputs and parameters. An action has only what its stage needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// Whether the stage draws random numbers. Its action then has the seed.
    pub seed: bool,
    /// Whether the stage computes on a device. Its action then has the device and the numerics class, and it runs in its own
    /// process.
    pub device: bool,
    /// Whether the stage runs a program. It then runs in its own process, which ends with whatever the program started.
    pub process: bool,
}

/// One kind of work: a pure function of inputs, parameters and seed.
///
/// A stage never reads the clock, the environment, a path or a global random number generator.
pub trait Stage: Send + Sync {
    /// Returns the stage's name and version.
    fn id(&self) -> StageId;

    /// Returns what the stage needs besides inputs and parameters. Defaults to nothing.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Returns the parameters that decide the state of the work at each step, or `None` if the stage does not keep checkpoints.
    /// For a training they are all parameters except its length, early stopping and what is kept.
    fn trajectory(&self) -> Option<Value> {
        None
    }

    /// Returns an estimate of the peak memory of [`run`](Self::run), in bytes. Defaults to 64 MiB.
    ///
    /// # Errors
    /// If an input that the estimate depends on is missing or cannot be read.
    fn memory(&self, inputs: &Inputs<'_>) -> Result<u64, StageError> {
        let _ = inputs;
        Ok(64 << 20)
    }

    /// Returns an estimate of what the stage keeps on the disk for as long as its study stands, as far as it is large. `None` if
    /// that is not known yet, because an input that it depends on is not connected. Defaults to nothing.
    ///
    /// # Errors
    /// If an input that the estimate depends on cannot be read.
    fn room(&self, inputs: &Inputs<'_>) -> Result<Option<Room>, StageError> {
        let _ = inputs;
        Ok(Some(Room::default()))
    }

    /// Returns the files that the stage takes from a folder of this disk, if it takes them from one. Defaults to none.
    fn listing(&self) -> Option<&Listing> {
        None
    }

    /// Is told that a file that [`run`](Self::run) named by its digest had other bytes when it was to be stored. What the stage
    /// remembers about the file is wrong. Does nothing by default.
    fn forget(&self) {}

    /// Does the work and returns the output files.
    ///
    /// # Errors
    /// See [`StageError`].
    fn run(&self, inputs: &Inputs<'_>, context: &Context<'_>) -> Result<Outputs, StageError>;
}

/// What a stage keeps on the disk, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    /// One checkpoint.
    pub checkpoint: u64,
    /// The outputs.
    pub outputs: u64,
}

/// Why a stage returned no outputs.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The work itself failed, and would fail the same way every time. That is a result: it is remembered.
    #[error("{message}")]
    Failed {
        /// What went wrong, with the value or entry that was found.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// An input could not be read. Not a result: running again may succeed.
    #[error("input `{slot}` cannot be read")]
    Input {
        /// The slot, or the digest of an object named inside an input.
        slot: String,
        /// Why it could not be read.
        source: StoreError,
    },
    /// Something outside the action failed: the network, the disk, a device. Not a result: running again may succeed.
    #[error("{message}")]
    Environment {
        /// What went wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
        /// The cause, if there is one.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The work was asked to stop, and stopped. A stage that keeps checkpoints saved one.
    #[error("interrupted")]
    Interrupted,
}

impl StageError {
    /// Returns a [`Failed`](Self::Failed) without a hint.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), hint: None }
    }

    /// Returns a [`Failed`](Self::Failed) that says what to do about it.
    pub fn failed_with_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), hint: Some(hint.into()) }
    }
}

/// The input files of an action, by slot. A slot that is not connected is left out.
pub struct Inputs<'a> {
    slots: &'a BTreeMap<String, Digest>,
    objects: &'a dyn ObjectSource,
}

impl<'a> Inputs<'a> {
    /// Returns the inputs with the digests `slots`, by slot, to be read from `objects`.
    pub fn new(slots: &'a BTreeMap<String, Digest>, objects: &'a dyn ObjectSource) -> Self {
        Self { slots, objects }
    }

    /// Returns the names of the slots that are connected, sorted.
    pub fn slots(&self) -> impl Iterator<Item = &'a str> {
        self.slots.keys().map(String::as_str)
    }

    /// Returns the digest of the object in `slot`, or `None` if nothing is connected.
    pub fn digest(&self, slot: &str) -> Option<Digest> {
        self.slots.get(slot).copied()
    }

    /// Returns the bytes in `slot`, or `None` if nothing is connected.
    ///
    /// # Errors
    /// If the object cannot be read.
    pub fn optional(&self, slot: &str) -> Result<Option<Bytes>, StageError> {
        let read = |digest| self.objects.read(&digest);
        self.digest(slot).map(read).transpose().map_err(|source| StageError::Input { slot: slot.to_owned(), source })
    }

    /// Returns the bytes in `slot`.
    ///
    /// # Errors
    /// If nothing is connected, or the object cannot be read.
    pub fn bytes(&self, slot: &str) -> Result<Bytes, StageError> {
        self.optional(slot)?.ok_or_else(|| StageError::failed(format!("no object is connected to the slot `{slot}`")))
    }

    /// Returns the record in `slot`.
    ///
    /// # Errors
    /// If nothing is connected, or the object cannot be read or is not such a record.
    pub fn record<R: Record>(&self, slot: &str) -> Result<R, StageError> {
        let bytes = self.bytes(slot)?;
        records::read(&bytes).map_err(|error| {
            StageError::failed(format!("the {} in the slot `{slot}` cannot be read: {error}", R::FILE))
        })
    }

    /// Returns the bytes of an object that is named inside an input, such as the next link of a chain of records.
    ///
    /// # Errors
    /// If the object cannot be read.
    pub fn object(&self, digest: &Digest) -> Result<Bytes, StageError> {
        self.objects.read(digest).map_err(|source| StageError::Input { slot: digest.to_string(), source })
    }
}

/// The output files of an action, by path.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    files: BTreeMap<String, Vec<u8>>,
    known: BTreeMap<String, KnownFile>,
    found: BTreeMap<String, FoundFile>,
}

impl Outputs {
    /// Returns the outputs with a file added.
    #[must_use]
    pub fn with(mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.insert(path, bytes);
        self
    }

    /// Returns the outputs with a record added, as one line of JSON.
    #[must_use]
    pub fn with_json(self, path: impl Into<String>, record: &impl Serialize) -> Self {
        self.with(path, crate::params::record(record))
    }

    /// Returns the outputs with a record added, at its file name.
    #[must_use]
    pub fn with_record<R: Record>(self, record: &R) -> Self {
        self.with_json(R::FILE, record)
    }

    /// Adds a file.
    ///
    /// # Panics
    /// Panics if there is a file at `path` already.
    pub fn insert(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        let path = path.into();
        let previous = self.files.insert(path.clone(), bytes.into());
        assert!(previous.is_none(), "output `{path}` is written twice");
    }

    /// Adds a file of this disk, which is stored from there. It need not fit into memory.
    ///
    /// # Panics
    /// Panics if there is a file at `path` already.
    pub fn insert_known(&mut self, path: impl Into<String>, file: KnownFile) {
        let path = path.into();
        let is_new = !self.files.contains_key(&path) && self.known.insert(path.clone(), file).is_none();
        assert!(is_new, "output `{path}` is written twice");
    }

    /// Adds a file that a program wrote, whose digest is found when it is stored. It need not fit into memory.
    ///
    /// # Panics
    /// Panics if there is a file at `path` already.
    pub fn insert_found(&mut self, path: impl Into<String>, file: FoundFile) {
        let path = path.into();
        let is_new = !self.files.contains_key(&path) && !self.known.contains_key(&path);
        let is_new = is_new && self.found.insert(path.clone(), file).is_none();
        assert!(is_new, "output `{path}` is written twice");
    }

    /// Returns the files that programs wrote, sorted by path.
    pub fn found(&self) -> &BTreeMap<String, FoundFile> {
        &self.found
    }

    /// Returns the files that are stored from this disk, sorted by path.
    pub fn known(&self) -> &BTreeMap<String, KnownFile> {
        &self.known
    }

    /// Returns the files whose bytes are here, sorted by path.
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// Returns the files whose bytes are here, sorted by path.
    pub fn into_files(self) -> BTreeMap<String, Vec<u8>> {
        self.files
    }
}

/// What a running stage may ask of the program that runs it. Nothing here can affect an output.
pub trait Host: Send + Sync {
    /// Reports the progress of the work.
    fn progress(&self, progress: &Progress);

    /// Returns whether to save a checkpoint at the next step. The host decides how often, since a stage has no clock. Defaults to
    /// never.
    fn checkpoint_due(&self) -> bool {
        false
    }

    /// Returns whether to stop. The stage then saves a checkpoint if it keeps any, and returns
    /// [`StageError::Interrupted`]. Defaults to never.
    fn interrupted(&self) -> bool {
        false
    }

    /// Returns the latest complete and undamaged checkpoint of this trajectory at step `at_most` or before. Defaults to none.
    fn latest_checkpoint(&self, at_most: u64) -> Option<Checkpoint> {
        let _ = at_most;
        None
    }

    /// Returns the number of threads that a program may use. Defaults to 1.
    fn threads(&self) -> usize {
        1
    }

    /// Runs a program in a fresh folder, and returns how it ended. `tell` is called with what is watched, whenever it has grown.
    /// Defaults to an error: this host runs no programs.
    ///
    /// # Errors
    /// [`StageError::Environment`] if it could not be started, was killed, ran too long or lost its memory,
    /// [`StageError::Interrupted`] if the work was asked to stop, [`StageError::Input`] if an input cannot be read.
    fn run_program(
        &self,
        program: &Program,
        inputs: &Inputs<'_>,
        watched: &Watched,
        tell: &mut dyn FnMut(&[u8]),
    ) -> Result<Finished, StageError> {
        let _ = (inputs, watched, tell);
        let name = program.words.first().map_or("", String::as_str);
        let hint = Some("use `pipe run` or `pipe exec`".to_owned());
        Err(StageError::Environment { message: format!("`{name}` cannot be run here"), hint, source: None })
    }

    /// Saves a checkpoint. If that fails, the work continues: a lost checkpoint costs time, but never changes a result. Defaults to
    /// saving nothing.
    fn save_checkpoint(&self, checkpoint: &Checkpoint) {
        let _ = checkpoint;
    }
}

/// The complete state of a trajectory at one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The number of steps done.
    pub step: u64,
    /// The parts of the state, by name. A part that two checkpoints share is stored once.
    pub parts: BTreeMap<String, Vec<u8>>,
}

/// The progress of a stage. A stage has no clock, so the reader computes speed and remaining time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Progress {
    /// The work done, in `unit`s.
    pub done: u64,
    /// The total work, in `unit`s. 0 if it is not known.
    pub total: u64,
    /// The unit, as a plural noun: `images`, `filters`, `bytes`.
    pub unit: String,
    /// The epoch in progress, from 1, and the number of epochs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<(u32, u32)>,
    /// The latest training loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f32>,
    /// The latest training accuracy of the first head, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f32>,
    /// The last epoch that has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<EndedEpoch>,
    /// The memory of the process, or of all processes of a program, in bytes. A host adds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

/// An epoch that has ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, serde::Deserialize)]
pub struct EndedEpoch {
    /// Its number, from 1.
    pub epoch: u32,
    /// The metrics after it: `train.loss`, `valid.fine_accuracy`. Those that are not numbers are left out.
    pub metrics: BTreeMap<String, f32>,
}

/// What a running stage is given besides its inputs.
pub struct Context<'a> {
    /// The number that random draws come from, derived from study seed, stage and repeat. 0 if the stage does not need one.
    pub seed: u64,
    /// The device to compute on.
    pub device: ComputeDevice,
    /// The program that runs the stage.
    pub host: &'a dyn Host,
}

/// A host that shows nothing, saves nothing and never interrupts.
pub struct QuietHost;

impl Host for QuietHost {
    fn progress(&self, _: &Progress) {}
}
