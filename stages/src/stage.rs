//! The contract between a stage and whoever runs it.

use std::collections::BTreeMap;

use pipe_store::{Bytes, Digest, ObjectSource, StoreError};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::records::{self, Record};

/// A stage's name and the version of what it computes. Other bytes for the same inputs is a new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageId {
    pub name: &'static str,
    pub version: u32,
}

/// What a stage takes beside its inputs and parameters; each enters the action only if it is needed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// It draws random numbers: the seed enters its action.
    pub seed: bool,
    /// It computes with burn: device and numerics tag enter its action, and it runs in a process of its own.
    pub device: bool,
}

/// One kind of work: a pure function of inputs, parameters and seed.
///
/// Invariant: it reads no clock, environment, path or ambient generator.
pub trait Stage: Send + Sync {
    /// Returns the stage's name and version.
    fn id(&self) -> StageId;

    /// Returns what it takes beside inputs and parameters.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Returns the parameters that the state of the work at each step depends on (for a training: all but its length,
    /// early stopping and what is kept), or nothing where there are no checkpoints.
    fn trajectory(&self) -> Option<Value> {
        None
    }

    /// Returns an estimate of the peak memory of [`run`](Self::run), in bytes.
    fn memory(&self, inputs: &Inputs<'_>) -> Result<u64, StageError> {
        let _ = inputs;
        Ok(64 << 20)
    }

    /// Returns the output files.
    fn run(&self, inputs: &Inputs<'_>, context: &Context<'_>) -> Result<Outputs, StageError>;
}

/// Why a stage gave no outputs.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The same action fails the same way every time: a result, which is remembered.
    #[error("{message}")]
    Failed {
        /// What went wrong, with the value or entry that was found.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// An input could not be read. Not a result: run again.
    #[error("input `{slot}` cannot be read")]
    Input { slot: String, source: StoreError },
    /// Something outside the action failed: the network, the disk, a device. Not a result: run again.
    #[error("{message}")]
    Environment {
        message: String,
        hint: Option<String>,
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The work was asked to stop, and has left a checkpoint if it keeps any.
    #[error("interrupted")]
    Interrupted,
}

impl StageError {
    /// Returns a failure that is a result.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), hint: None }
    }

    /// Returns a failure that is a result, with what to do about it.
    pub fn failed_with_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), hint: Some(hint.into()) }
    }
}

/// The input files of an action, by slot.
pub struct Inputs<'a> {
    slots: &'a BTreeMap<String, Digest>,
    objects: &'a dyn ObjectSource,
}

impl<'a> Inputs<'a> {
    /// Returns the inputs named in `slots`, read from `objects`.
    pub fn new(slots: &'a BTreeMap<String, Digest>, objects: &'a dyn ObjectSource) -> Self {
        Self { slots, objects }
    }

    /// Returns the digest connected to `slot`, if one is.
    pub fn digest(&self, slot: &str) -> Option<Digest> {
        self.slots.get(slot).copied()
    }

    /// Returns the bytes connected to `slot`, if an object is.
    pub fn optional(&self, slot: &str) -> Result<Option<Bytes>, StageError> {
        let read = |digest| self.objects.read(&digest);
        self.digest(slot).map(read).transpose().map_err(|source| StageError::Input { slot: slot.to_owned(), source })
    }

    /// Returns the bytes connected to `slot`.
    pub fn bytes(&self, slot: &str) -> Result<Bytes, StageError> {
        self.optional(slot)?.ok_or_else(|| StageError::failed(format!("no object is connected to the slot `{slot}`")))
    }

    /// Returns the JSON record connected to `slot`.
    pub fn json<T: DeserializeOwned>(&self, slot: &str) -> Result<T, StageError> {
        let bytes = self.bytes(slot)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| StageError::failed(format!("the record in the slot `{slot}` does not fit: {error}")))
    }

    /// Returns the record connected to `slot`.
    pub fn record<R: Record>(&self, slot: &str) -> Result<R, StageError> {
        let bytes = self.bytes(slot)?;
        records::read(&bytes).map_err(|error| {
            StageError::failed(format!("the {} in the slot `{slot}` cannot be read: {error}", R::FILE))
        })
    }

    /// Returns an object named inside an input: the next link of a chain of records.
    pub fn object(&self, digest: &Digest) -> Result<Bytes, StageError> {
        self.objects.read(digest).map_err(|source| StageError::Input { slot: digest.to_string(), source })
    }
}

/// The output files of an action: path -> bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    files: BTreeMap<String, Vec<u8>>,
}

impl Outputs {
    /// Returns the outputs with a file added.
    #[must_use]
    pub fn with(mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.insert(path, bytes);
        self
    }

    /// Returns the outputs with a record added: one line of JSON.
    #[must_use]
    pub fn with_json(self, path: impl Into<String>, record: &impl Serialize) -> Self {
        self.with(path, crate::params::record(record))
    }

    /// Returns the outputs with a record added, under its name.
    #[must_use]
    pub fn with_record<R: Record>(self, record: &R) -> Self {
        self.with_json(R::FILE, record)
    }

    /// Adds a file.
    ///
    /// # Panics
    /// If the path is taken: a stage names each output once.
    pub fn insert(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        let path = path.into();
        let previous = self.files.insert(path.clone(), bytes.into());
        assert!(previous.is_none(), "output `{path}` is written twice");
    }

    /// Returns the files, sorted by path.
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// Returns the files, sorted by path.
    pub fn into_files(self) -> BTreeMap<String, Vec<u8>> {
        self.files
    }
}

/// Where a stage computes. The ordinal is chosen by the executor and reaches no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ComputeDevice {
    #[default]
    Cpu,
    Cuda {
        ordinal: usize,
    },
}

/// What a running stage may ask of whoever runs it. Nothing here can reach an output.
pub trait Host: Send + Sync {
    /// Tells how far the work is.
    fn progress(&self, progress: &Progress);

    /// Returns whether a checkpoint should be written at the next step. Cadence is the executor's: it reads the clock.
    fn checkpoint_due(&self) -> bool;

    /// Returns whether to stop after the checkpoint that is due, with [`StageError::Interrupted`].
    fn interrupted(&self) -> bool;

    /// Returns the complete, undamaged checkpoint of this trajectory with the largest step not beyond `at_most`.
    fn latest_checkpoint(&self, at_most: u64) -> Option<Checkpoint>;

    /// Keeps a checkpoint. Failing to is no reason to stop: it costs time later, never a result.
    fn save_checkpoint(&self, checkpoint: &Checkpoint);
}

/// The complete state of a trajectory at one step, in named parts (equal parts of two checkpoints are stored once).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub step: u64,
    pub parts: BTreeMap<String, Vec<u8>>,
}

/// How far a stage is. Rates and remaining time are the reader's to work out: a stage has no clock.
#[derive(Debug, Clone, Default, PartialEq, Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Units of work done and in all, in `unit`s.
    pub done: u64,
    pub total: u64,
    /// Plural noun: `images`, `filters`, `bytes`.
    pub unit: String,
    /// Epoch in progress, from 1, and how many there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<(u32, u32)>,
    /// Latest training loss and accuracy (of the first head, 0 to 1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f32>,
}

/// What a run of a stage is given beside its inputs.
pub struct Context<'a> {
    /// Seed derived from (study seed, stage kind, repeat); 0 for a stage that needs none.
    pub seed: u64,
    pub device: ComputeDevice,
    pub host: &'a dyn Host,
}

/// A host that shows nothing, keeps nothing and never interrupts.
pub struct QuietHost;

impl Host for QuietHost {
    fn progress(&self, _: &Progress) {}

    fn checkpoint_due(&self) -> bool {
        false
    }

    fn interrupted(&self) -> bool {
        false
    }

    fn latest_checkpoint(&self, _: u64) -> Option<Checkpoint> {
        None
    }

    fn save_checkpoint(&self, _: &Checkpoint) {}
}
