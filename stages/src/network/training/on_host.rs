//! Training with the loss, the optimizer and the augmentation on the host. Only the network itself may be computed elsewhere.

use std::collections::BTreeMap;

use super::{
    data::Batch,
    loss,
    mixed::Mixed,
    optimizer::UpdateRule,
    penalty::penalty,
    settings::Settings,
    state::{HeadSums, State, Sums},
    trainer::{EVALUATION_BATCH, See, Shown, Trainer, Training},
};
use crate::{
    network::{Mode, Network, Pass, Weights},
    stage::StageError,
};

/// Takes the steps of a training on the host. The state is always up to date.
pub(super) struct HostTrainer<'a> {
    training: &'a Training<'a>,
    network: Network,
    seed: u64,
}

impl<'a> HostTrainer<'a> {
    pub(super) fn new(training: &'a Training<'a>, seed: u64) -> Self {
        let Settings { architecture, frozen, .. } = training.settings;
        Self { training, network: Network::to_train(architecture, frozen, &training.backend), seed }
    }
}

impl Trainer for HostTrainer<'_> {
    type Batch = Batch;

    type Needs = ();

    fn needs(&self) {}

    fn prepare((): &(), training: &Training<'_>, shown: &Shown<'_>) -> Batch {
        let Shown { draws, positions, epoch, seed } = shown;
        training.data.train_batch(&training.settings.policy, draws, positions.clone(), *epoch, *seed)
    }

    /// If the loss is not finite, marks the state as diverged instead.
    fn step(&mut self, state: &mut State, batch: Batch) -> Result<(), StageError> {
        let Settings { architecture, head_weights, rule, .. } = self.training.settings;
        self.network.set_weights(&state.weights);
        let step = u32::try_from(state.step).expect("fewer than 2^32 steps");
        let forward = self.network.forward(&batch.images, Mode::Training { seed: self.seed, step });

        let mut sums = Sums { n: batch.n as u64, loss: 0.0, heads: Vec::new() };
        let mut logit_gradients = BTreeMap::new();
        for (index, ((head, labels), &weight)) in
            architecture.heads.iter().zip(&batch.labels).zip(head_weights).enumerate()
        {
            let logits = &forward.outputs[&head.name]; // [n, classes]
            let criterion = self.training.settings.criterion_of(index);
            let mixed = batch.others.as_ref().map(|others| Mixed {
                labels,
                others: &others.labels[index],
                shares: &others.shares,
            });
            let score = match &mixed {
                Some(mixed) => mixed.score(criterion, head.output, logits, head.classes),
                None => loss::score(criterion, head.output, logits, labels, head.classes),
            };
            sums.loss += weight * score.loss;
            sums.heads.push(HeadSums { loss: score.loss, correct: score.correct });
            let gradient = match &mixed {
                Some(mixed) => mixed.gradient(criterion, head.output, logits, head.classes, weight),
                None => loss::gradient(criterion, head.output, logits, labels, head.classes, weight),
            };
            logit_gradients.insert(head.name.clone(), gradient);
        }
        sums.loss += batch.n as f64 * penalty(self.training.settings, &state.weights);
        if !sums.loss.is_finite() {
            state.diverged_at = Some(state.step);
            return Ok(());
        }
        let gradients = self.network.weight_gradients(&logit_gradients);

        let factor = self.training.settings.schedule.factor(state.step, self.training.steps_per_epoch());
        let rule = UpdateRule { learning_rate: rule.learning_rate * factor, ..rule.clone() };
        state.optimizer.step(&mut state.weights, gradients, &rule, |name| name.ends_with(".kernel"));
        move_statistics(self.training.settings, &mut state.weights, &forward.statistics);
        state.sums.add(&sums);
        state.step += 1;
        Ok(())
    }

    fn bring(&mut self, _state: &mut State) -> Result<(), StageError> {
        Ok(())
    }

    fn end_epoch(&mut self, state: &mut State, see: See<'_>) -> Result<(), StageError> {
        let Some(n) = self.training.data.n_validation() else { return Ok(()) };
        let mut network =
            Network::of_heads(&self.training.settings.architecture, Pass::Inference, &self.training.backend);
        network.set_weights(&state.weights);
        for from in (0..n).step_by(EVALUATION_BATCH) {
            let batch = self.training.data.validation_batch(from, (from + EVALUATION_BATCH).min(n));
            see(&batch.labels, &network.forward(&batch.images, Mode::Inference).outputs);
        }
        Ok(())
    }
}

/// Updates the moving statistics from those of the batch: moving * momentum + batch * (1 - momentum). The variance is biased, as
/// in Keras. Those of frozen layers stay.
fn move_statistics(settings: &Settings, weights: &mut Weights, statistics: &BTreeMap<String, [Vec<f32>; 2]>) {
    for layer in settings.architecture.layers.iter().filter(|layer| !settings.frozen.contains(&layer.name)) {
        let Some(momentum) = layer.kind.definition().statistics_momentum() else { continue };
        for (part, batch) in ["moving_mean", "moving_variance"].iter().zip(&statistics[&layer.name]) {
            let moving = weights.0.get_mut(&format!("{}.{part}", layer.name)).expect("the layer has statistics");
            let pairs = moving.values.iter_mut().zip(batch);
            pairs.for_each(|(moving, batch)| *moving = *moving * momentum + batch * (1.0 - momentum));
        }
    }
}
