//! The complete state of a training after a step, and its checkpoint.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    histograms::Histograms,
    history::{Epoch, Metric, bits},
    optimizer::{Optimizer, OptimizerKind},
    settings::Settings,
};
use crate::{
    network::Weights,
    stage::{Checkpoint, StageError},
    tensors::{TensorsReader, TensorsWriter},
};

/// The state of a training after `step` steps. It depends only on the trajectory and `step`, except for `kept`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    pub(crate) step: u64,
    pub(crate) weights: Weights,
    pub(crate) optimizer: Optimizer,
    /// The complete epochs.
    pub(crate) epochs: Vec<Epoch>,
    /// The histograms of the initial weights and of the weights after each epoch.
    pub(crate) histograms: Histograms,
    /// The sums over the epoch in progress.
    pub(crate) sums: Sums,
    /// The best epoch so far, counted from 1, and its weights.
    pub(crate) best: Option<(u32, Weights)>,
    /// The step at which a loss was NaN or infinite.
    pub(crate) diverged_at: Option<u64>,
    /// Weights that become outputs, by epoch. Another training with the same trajectory may keep other epochs, and cannot
    /// continue from this state if it needs an earlier epoch that is missing here.
    pub(crate) kept: BTreeMap<u32, Weights>,
}

/// Sums over images.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sums {
    pub(crate) n: u64,
    #[serde(with = "bits")]
    pub(crate) loss: f64,
    pub(crate) heads: Vec<HeadSums>,
}

/// The sum of the losses and the number of correct predictions of one head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct HeadSums {
    #[serde(with = "bits")]
    pub(crate) loss: f64,
    pub(crate) correct: u64,
}

/// Everything in a checkpoint except the arrays.
#[derive(Serialize, Deserialize)]
struct Record {
    /// The version of the format: [`FORMAT`].
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

impl Record {
    /// Checks that the numbers of epochs are those of epochs, and that every epoch has the figures of all heads and the metrics
    /// that are `asked` for.
    fn check(&self, heads: usize, asked: &[Metric]) -> Result<(), String> {
        let done = self.epochs.len();
        let beyond = |epoch: &&u32| **epoch == 0 || **epoch as usize > done;
        if let Some(epoch) = self.kept.iter().chain(&self.best).find(beyond) {
            return Err(format!("has weights of epoch {epoch}, and {done} epochs are done"));
        }
        let has_all = |epoch: &Epoch| {
            let is_alike = epoch.valid.is_some() == self.epochs[0].valid.is_some();
            is_alike
                && [Some(&epoch.train), epoch.valid.as_ref()].into_iter().flatten().all(|of| of.heads.len() == heads)
                && epoch.valid.iter().all(|of| asked.iter().all(|metric| of.asked.contains_key(metric.figure())))
        };
        let of_sums = if self.sums == Sums::default() { heads } else { self.sums.heads.len() };
        if !self.epochs.iter().all(has_all) || of_sums != heads {
            return Err(format!("lacks some figures of {heads} heads"));
        }
        Ok(())
    }
}

/// The version of the checkpoint format.
const FORMAT: u32 = 2;
const STATE: &str = "state.json";
const WEIGHTS: &str = "weights.safetensors";
const HISTOGRAMS: &str = Histograms::FILE;
const BEST: &str = "best.safetensors";
const MOMENTS: &str = "moments.safetensors";

/// Returns the name of an epoch's weights: the stem of a checkpoint's part, and a folder among the outputs.
pub(crate) fn epoch_name(epoch: u32) -> String {
    format!("epoch-{epoch:04}")
}

/// Returns an optimizer before its first step.
fn optimizer(settings: &Settings, kind: OptimizerKind) -> Optimizer {
    let trained = settings.architecture.parameter_shapes().into_iter().filter(|parameter| parameter.trained);
    let sizes: Vec<_> = trained.map(|p| (p.name, p.shape.iter().product())).collect();
    Optimizer::new(kind, sizes.iter().map(|(name, size)| (name.as_str(), *size)))
}

impl State {
    /// Returns the state before the first step.
    pub(crate) fn initial(settings: &Settings, seed: u64) -> Self {
        let weights = Weights::initial(&settings.architecture, seed);
        let optimizer = optimizer(settings, settings.optimizer);
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

    /// Returns the state as a checkpoint. Arrays are separate parts, so that the store keeps unchanged ones only once.
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

    /// Returns the state that was saved in a checkpoint.
    ///
    /// # Errors
    /// If the checkpoint is of another format or another architecture, or is incomplete.
    pub(crate) fn restore(settings: &Settings, mut checkpoint: Checkpoint) -> Result<Self, StageError> {
        let Settings { architecture, asked, .. } = settings;
        let mut part = |name: &str| {
            let missing = || StageError::failed(format!("the checkpoint has no part `{name}`"));
            checkpoint.parts.remove(name).ok_or_else(missing)
        };
        let record: Record = serde_json::from_slice(&part(STATE)?)
            .map_err(|error| StageError::failed(format!("the checkpoint's state cannot be read: {error}")))?;
        if record.format != FORMAT {
            let found = record.format;
            return Err(StageError::failed(format!("the checkpoint has format {found}, expected {FORMAT}")));
        }
        record
            .check(architecture.heads.len(), asked)
            .map_err(|why| StageError::failed(format!("the checkpoint {why}")))?;
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
        let mut optimizer = optimizer(settings, record.optimizer);
        for (suffix, arrays) in [("first", &mut optimizer.first), ("second", &mut optimizer.second)] {
            for (name, values) in arrays {
                let (found, _) = reader.f32(&format!("{name}.{suffix}"))?;
                if found.len() != values.len() {
                    return Err(StageError::failed(format!(
                        "the checkpoint's moments of `{name}` have the wrong size"
                    )));
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
