//! A made-up trial, and the outputs of its training.

use pipe_stages::{
    network::{Architecture, Weights, training::Keep},
    params::Float,
    records::{Figure, HistoryRow, Proposal, Score, Status, Trained, TrainingHistory, TrialRecord, Version},
    stage::Outputs,
    train::Train,
};
use pipe_store::Digest;
use serde_json::json;

/// The metric that is optimised.
pub(super) const METRIC: &str = "valid.fine_accuracy";

/// A trial.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    /// The value of [`METRIC`], or None if the trial diverged.
    pub(crate) value: Option<f64>,
    pub(crate) epochs: u32,
    /// Trainings with the same trajectory have the same weights after each epoch.
    pub(crate) trajectory: String,
}

impl Trial {
    pub(crate) fn completed(value: f64) -> Self {
        Self { value: Some(value), epochs: 4, trajectory: format!("{value}") }
    }

    pub(crate) fn diverged() -> Self {
        Self { value: None, epochs: 4, trajectory: "diverged".into() }
    }

    fn best_epoch(&self) -> u32 {
        (self.epochs - 1).max(1)
    }

    /// Returns (accuracy, loss) after an epoch. `advantage` is 0 on the validation split, and more on the training split.
    fn at(&self, epoch: u32, advantage: f64) -> (f64, f64) {
        let Some(value) = self.value else { return (0.01, if epoch < 3 { 4.7 + f64::from(epoch) } else { f64::NAN }) };
        let (t, best) = (f64::from(epoch), f64::from(self.best_epoch()));
        let rise = (1.0 - (-3.0 * t / best).exp()) / (1.0 - (-3.0_f64).exp());
        let fall = 0.01 * (t - best).max(0.0) * (1.0 - advantage);
        let accuracy = if epoch == self.best_epoch() && advantage == 0.0 {
            value
        } else {
            value * rise * (1.0 + advantage) - fall
        };
        (accuracy, 4.6 * (1.0 - 0.8 * accuracy))
    }

    /// Returns the outputs of the training of this network.
    pub(super) fn outputs(&self, train: &Train, network: &Architecture, proposal: &Proposal) -> Outputs {
        let history = self.history(network);
        let status = if self.value.is_some() { Status::Completed } else { Status::Diverged };
        let figure = |at: usize| Figure {
            best: Float(history.rows[self.best_epoch() as usize - 1].values[at]),
            best_epoch: self.best_epoch(),
            end: Float(history.rows[self.epochs as usize - 1].values[at]),
        };
        // A training that diverges in its first epoch has no figures.
        let has_epochs = |_: &_| self.epochs > 0;
        let figures = history
            .metrics
            .iter()
            .enumerate()
            .filter(has_epochs)
            .map(|(at, metric)| (metric.clone(), figure(at)))
            .collect();
        let trial = TrialRecord {
            status,
            reason: None,
            hyperparameters: proposal.values.clone(),
            labels: proposal.labels.clone().into_iter().collect(),
            trained: Some(Trained {
                epochs: self.epochs,
                steps: Some(10 * u64::from(self.epochs)),
                diverged_at: self.value.is_none().then_some(25),
                best_epoch: self.value.map(|_| self.best_epoch()),
                settings: [("epochs".to_owned(), json!(self.epochs))].into_iter().collect(),
                parameters: Some(network.parameters),
                flops: Some(network.flops),
                figures,
                transfer: None,
                frozen: Vec::new(),
            }),
        };
        let outputs = Outputs::default()
            .with_record(&trial)
            .with_record(&self.score())
            .with_record(network)
            .with(TrainingHistory::FILE, history.write());
        let weights = || Weights::initial(network, u64::from(self.trajectory.len() as u32)).write();
        train.keep.iter().fold(outputs, |outputs, keep| match keep {
            Keep::Best => outputs.with("best/weights.safetensors", weights()),
            Keep::Last => outputs.with("last/weights.safetensors", weights()),
            Keep::Every(_) => outputs,
        })
    }

    fn score(&self) -> Score {
        let value = self.value.unwrap_or(f64::NAN);
        Score {
            format: Version,
            status: if self.value.is_some() { Status::Completed } else { Status::Diverged },
            metric: METRIC.to_owned(),
            value: Float(value),
            loss: Float(self.value.map_or(f64::INFINITY, |value| -value)),
            epoch: self.value.map(|_| self.best_epoch()),
            reason: self.value.is_none().then(|| "the loss is NaN".to_owned()),
        }
    }

    /// Returns the metrics of each epoch. All heads have the same metrics.
    fn history(&self, network: &Architecture) -> TrainingHistory {
        let names = |split: &str| {
            let of_head = |head: &str| ["loss", "accuracy"].map(|figure| format!("{split}.{head}_{figure}"));
            let of_heads = network.heads.iter().flat_map(|head| of_head(&head.name));
            [format!("{split}.loss")].into_iter().chain(of_heads).collect::<Vec<_>>()
        };
        let row = |epoch: u32| {
            let of_split = |advantage: f64| {
                let (accuracy, loss) = self.at(epoch, advantage);
                [loss].into_iter().chain(network.heads.iter().flat_map(move |_| [loss, accuracy]))
            };
            let weights = Digest::of(format!("{} {epoch}", self.trajectory).as_bytes());
            HistoryRow { epoch, values: of_split(0.2).chain(of_split(0.0)).collect(), weights: Some(weights) }
        };
        TrainingHistory {
            metrics: ["train", "valid"].into_iter().flat_map(names).collect(),
            rows: (1..=self.epochs).map(row).collect(),
        }
    }
}
