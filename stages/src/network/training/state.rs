//! The complete state of a training at one step, and its form as a checkpoint.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    histograms::Histograms,
    history::{Epoch, bits},
    optimizer::{Optimizer, OptimizerKind},
};
use crate::{
    network::{Architecture, Weights},
    stage::{Checkpoint, StageError},
    tensors::{TensorsReader, TensorsWriter},
};

/// A training after `step` steps: a pure function of the trajectory and the step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    pub(crate) step: u64,
    pub(crate) weights: Weights,
    pub(crate) optimizer: Optimizer,
    /// The epochs that are complete.
    pub(crate) epochs: Vec<Epoch>,
    /// Of the initial weights and of those at the end of each of these epochs.
    pub(crate) histograms: Histograms,
    /// Of the epoch in progress.
    pub(crate) sums: Sums,
    /// The epoch whose objective is best so far, with its weights.
    pub(crate) best: Option<(u32, Weights)>,
    /// The step at which a loss was no finite number.
    pub(crate) diverged_at: Option<u64>,
    /// Weights that are kept as outputs, by epoch. Not part of the trajectory's state: a training that keeps others
    /// cannot start from here.
    pub(crate) kept: BTreeMap<u32, Weights>,
}

/// Sums over the images of an epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sums {
    pub(crate) n: u64,
    #[serde(with = "bits")]
    pub(crate) loss: f64,
    pub(crate) heads: Vec<HeadSums>,
}

/// Sums of one head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct HeadSums {
    #[serde(with = "bits")]
    pub(crate) loss: f64,
    pub(crate) correct: u64,
}

/// What is not arrays.
#[derive(Serialize, Deserialize)]
struct Record {
    /// [`FORMAT`]
    format: u32,
    optimizer: OptimizerKind,
    optimizer_steps: u64,
    #[serde(with = "bits")]
    product: f64,
    epochs: Vec<Epoch>,
    sums: Sums,
    best: Option<u32>,
    diverged_at: Option<u64>,
    kept: Vec<u32>,
}

/// The version of the parts of a checkpoint.
const FORMAT: u32 = 2;
const STATE: &str = "state.json";
const WEIGHTS: &str = "weights.safetensors";
const HISTOGRAMS: &str = Histograms::FILE;
const BEST: &str = "best.safetensors";
const MOMENTS: &str = "moments.safetensors";

/// Returns the name of an epoch's weights, as a part and as a folder.
pub(crate) fn epoch_name(epoch: u32) -> String {
    format!("epoch-{epoch:04}")
}

impl State {
    /// Returns the state before the first step.
    pub(crate) fn initial(architecture: &Architecture, optimizer: OptimizerKind, seed: u64) -> Self {
        let weights = Weights::initial(architecture, seed);
        let trained = architecture.parameter_shapes().into_iter().filter(|parameter| parameter.trained);
        let sizes: Vec<_> = trained.map(|p| (p.name, p.shape.iter().product())).collect();
        let optimizer = Optimizer::new(optimizer, sizes.iter().map(|(name, size)| (name.as_str(), *size)));
        let mut histograms = Histograms::default();
        histograms.push(0, &weights);
        Self {
            step: 0,
            weights,
            optimizer,
            epochs: Vec::new(),
            histograms,
            sums: Sums::default(),
            best: None,
            diverged_at: None,
            kept: BTreeMap::new(),
        }
    }

    /// Returns the state as a checkpoint. Arrays are parts of their own: those that did not change are stored once.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        let record = Record {
            format: FORMAT,
            optimizer: self.optimizer.kind,
            optimizer_steps: self.optimizer.steps,
            product: self.optimizer.product,
            epochs: self.epochs.clone(),
            sums: self.sums.clone(),
            best: self.best.as_ref().map(|(epoch, _)| *epoch),
            diverged_at: self.diverged_at,
            kept: self.kept.keys().copied().collect(),
        };
        let mut moments = TensorsWriter::default();
        for (suffix, arrays) in [("first", &self.optimizer.first), ("second", &self.optimizer.second)] {
            for (name, values) in arrays {
                moments.f32(format!("{name}.{suffix}"), &[values.len()], values);
            }
        }
        let mut parts = BTreeMap::from([
            (STATE.to_owned(), crate::params::record(&record)),
            (WEIGHTS.to_owned(), self.weights.write()),
            (MOMENTS.to_owned(), moments.finish()),
            (HISTOGRAMS.to_owned(), self.histograms.write()),
        ]);
        if let Some((_, weights)) = &self.best {
            parts.insert(BEST.to_owned(), weights.write());
        }
        for (&epoch, weights) in &self.kept {
            parts.insert(format!("{}.safetensors", epoch_name(epoch)), weights.write());
        }
        Checkpoint { step: self.step, parts }
    }

    /// Returns the state in a checkpoint.
    ///
    /// # Errors
    /// If it is not one of this architecture.
    pub(crate) fn restore(architecture: &Architecture, mut checkpoint: Checkpoint) -> Result<Self, StageError> {
        let mut part = |name: &str| {
            let missing = || StageError::failed(format!("the checkpoint has no part `{name}`"));
            checkpoint.parts.remove(name).ok_or_else(missing)
        };
        let record: Record = serde_json::from_slice(&part(STATE)?)
            .map_err(|error| StageError::failed(format!("the checkpoint's state does not fit: {error}")))?;
        if record.format != FORMAT {
            let found = record.format;
            return Err(StageError::failed(format!("the checkpoint has format {found}, expected {FORMAT}")));
        }
        let weights = Weights::read(architecture, part(WEIGHTS)?.into())?;
        let histograms = Histograms::read(part(HISTOGRAMS)?.into())?;
        if !histograms.fit(record.epochs.len() as u32, &weights) {
            return Err(StageError::failed("the checkpoint's histograms do not fit its epochs"));
        }
        let best = match record.best {
            Some(epoch) => Some((epoch, Weights::read(architecture, part(BEST)?.into())?)),
            None => None,
        };
        let kept = |epoch: u32| {
            let weights = part(&format!("{}.safetensors", epoch_name(epoch)))?;
            Ok((epoch, Weights::read(architecture, weights.into())?))
        };
        let kept = record.kept.into_iter().map(kept).collect::<Result<_, StageError>>()?;
        let reader = TensorsReader::new(part(MOMENTS)?.into())?;
        let mut optimizer = Self::initial(architecture, record.optimizer, 0).optimizer;
        for (suffix, arrays) in [("first", &mut optimizer.first), ("second", &mut optimizer.second)] {
            for (name, values) in arrays {
                let (found, _) = reader.f32(&format!("{name}.{suffix}"))?;
                if found.len() != values.len() {
                    return Err(StageError::failed(format!("the checkpoint's moments of `{name}` do not fit")));
                }
                *values = found;
            }
        }
        optimizer.steps = record.optimizer_steps;
        optimizer.product = record.product;
        Ok(Self {
            step: checkpoint.step,
            weights,
            optimizer,
            epochs: record.epochs,
            histograms,
            sums: record.sums,
            best,
            diverged_at: record.diverged_at,
            kept,
        })
    }
}
