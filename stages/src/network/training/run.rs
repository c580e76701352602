//! The training loop.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::{
    data::{Batch, Data},
    history::{Epoch, Exact, Figures, HeadFigures, Metric, stopped_after},
    keep::Keep,
    loss::{self, Criterion},
    mixed::Mixed,
    optimizer::UpdateRule,
    order::{Draw, Order},
    settings::Settings,
    state::{HeadSums, State, Sums},
    tally::Tally,
};
use crate::{
    network::{
        Architecture, Backend, Mode, Network, Pass, Weight, Weights,
        kernels::{
            Isa,
            lanes::{LANES, kernel},
        },
    },
    stage::{Context, EndedEpoch, Host, Progress, StageError},
};

/// The batch size for validation. A constant, because the last bits of a matrix product may depend on its size.
pub(crate) const EVALUATION_BATCH: usize = 250;

/// A training of `settings` on `data`.
pub(crate) struct Training<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) data: &'a Data,
    pub(crate) metric: &'a Metric,
    pub(crate) backend: Backend,
    /// Initial weights that are not drawn, by name.
    pub(crate) given: &'a BTreeMap<String, Weight>,
}

impl Training<'_> {
    /// Trains to the end, starting from the latest usable checkpoint, and returns the final state.
    ///
    /// # Errors
    /// [`StageError::Interrupted`] if the host asks to stop. A checkpoint is saved first.
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<State, StageError> {
        let host = context.host;
        let mut state = self.start(context);
        let mut network = Network::to_train(&self.settings.architecture, &self.settings.frozen, &self.backend);
        let order = Order::new(self.settings.sampling, self.data.main_labels(), self.data.n_train());
        let mut batches = Batches { training: self, seed: context.seed, order, draws: Vec::new(), draws_of: 0 };
        let mut batch = (!self.is_over(&state)).then(|| batches.at(state.step));
        while let Some(this) = batch {
            let epoch = state.epochs.len() as u32 + 1;
            let next = state.step + 1;
            let is_last = next == u64::from(self.settings.epochs) * self.steps_per_epoch();
            // The next batch is prepared while the network computes with this one. `join` also moves the step itself to a thread
            // of the pool: from outside, each operation would have to wake one and wait for it.
            let ((), following) = rayon::join(
                || self.step(&mut network, &mut state, &this, context.seed),
                || (!is_last).then(|| batches.at(next)),
            );
            if state.diverged_at.is_none() && state.step.is_multiple_of(self.steps_per_epoch()) {
                self.end_epoch(&mut state);
            }
            self.report_progress(&state, epoch, host);
            if host.interrupted() {
                host.save_checkpoint(&state.checkpoint());
                return Err(StageError::Interrupted);
            }
            let is_over = self.is_over(&state);
            if host.checkpoint_due() && !is_over {
                host.save_checkpoint(&state.checkpoint());
            }
            batch = following.filter(|_| !is_over);
        }
        // A longer training with the same trajectory can continue from here.
        host.save_checkpoint(&state.checkpoint());
        Ok(state)
    }

    /// Returns the number of steps of an epoch. The last one takes the remaining images.
    fn steps_per_epoch(&self) -> u64 {
        self.data.n_train().div_ceil(self.settings.batch) as u64
    }

    fn is_over(&self, state: &State) -> bool {
        let done = state.epochs.len() as u32;
        state.diverged_at.is_some() || done >= self.settings.epochs || self.stops(state).is_some()
    }

    /// Returns the epoch after which early stopping ends the training, if `state` has reached it.
    fn stops(&self, state: &State) -> Option<u32> {
        let stopping = self.settings.early_stopping.as_ref()?;
        stopped_after(&state.epochs, stopping, &self.settings.objective, self.metric)
    }

    /// Returns the state of the latest checkpoint from which this training can continue, or the initial state.
    ///
    /// A checkpoint may come from a longer training, or from one with other outputs. It is too late if early stopping would
    /// have ended this training before, or if this training must keep the weights of an epoch that the checkpoint has passed
    /// without keeping them.
    fn start(&self, context: &Context<'_>) -> State {
        let mut at_most = u64::from(self.settings.epochs) * self.steps_per_epoch();
        while let Some(checkpoint) = context.host.latest_checkpoint(at_most) {
            let step = checkpoint.step;
            if step > at_most {
                break;
            }
            let too_late_after = match State::restore(self.settings, checkpoint) {
                Ok(mut state) => {
                    self.keep_epochs(&mut state);
                    match self.too_late_after(&state) {
                        None => return state,
                        Some(epoch) => u64::from(epoch) * self.steps_per_epoch(),
                    }
                }
                Err(error) => {
                    tracing::warn!("a checkpoint is not used: {error}");
                    step
                }
            };
            if step == 0 {
                break;
            }
            at_most = too_late_after.min(step - 1);
        }
        State::initial(self.settings, self.given, context.seed)
    }

    /// Returns an upper limit of the epochs of a usable checkpoint if `state` is too late for this training, otherwise `None`.
    fn too_late_after(&self, state: &State) -> Option<u32> {
        let done = state.epochs.len() as u32;
        // Whether the state has taken a step of the epoch after `epoch`.
        let beyond = |epoch: u32| state.step > u64::from(epoch) * self.steps_per_epoch();
        let missing = (1..=done).find(|&epoch| self.keeps(epoch) && !state.kept.contains_key(&epoch));
        missing.or_else(|| self.stops(state).filter(|&epoch| beyond(epoch)))
    }

    /// At the end of an epoch, keeps the weights if they become an output. Drops kept weights that do not.
    fn keep_epochs(&self, state: &mut State) {
        state.kept.retain(|&epoch, _| self.keeps(epoch));
        let done = state.epochs.len() as u32;
        if self.keeps(done) && state.step == u64::from(done) * self.steps_per_epoch() {
            state.kept.entry(done).or_insert_with(|| state.weights.clone());
        }
    }

    fn keeps(&self, epoch: u32) -> bool {
        epoch > 0 && self.settings.keep.iter().any(|keep| matches!(keep, Keep::Every(n) if epoch.is_multiple_of(*n)))
    }

    /// Takes one training step on `batch`. If the loss is not finite, marks the state as diverged instead.
    fn step(&self, network: &mut Network, state: &mut State, batch: &Batch, seed: u64) {
        let Settings { architecture, head_weights, rule, .. } = self.settings;
        network.set_weights(&state.weights);
        let step = u32::try_from(state.step).expect("fewer than 2^32 steps");
        let forward = network.forward(&batch.images, Mode::Training { seed, step });

        let mut sums = Sums { n: batch.n as u64, loss: 0.0, heads: Vec::new() };
        let mut logit_gradients = BTreeMap::new();
        for (index, ((head, labels), &weight)) in
            architecture.heads.iter().zip(&batch.labels).zip(head_weights).enumerate()
        {
            let logits = &forward.outputs[&head.name]; // [n, classes]
            let criterion = self.settings.criterion_of(index);
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
        sums.loss += batch.n as f64 * penalty(self.settings, &state.weights);
        if !sums.loss.is_finite() {
            state.diverged_at = Some(state.step);
            return;
        }
        let gradients = network.weight_gradients(&logit_gradients);

        let factor = self.settings.schedule.factor(state.step, self.steps_per_epoch());
        let rule = UpdateRule { learning_rate: rule.learning_rate * factor, ..rule.clone() };
        state.optimizer.step(&mut state.weights, gradients, &rule, |name| name.ends_with(".kernel"));
        move_statistics(self.settings, &mut state.weights, &forward.statistics);
        state.sums.add(&sums);
        state.step += 1;
    }

    /// Ends an epoch: validates, and adds the epoch, its histograms and its weights to `state`. If the validation loss is not
    /// finite, marks the state as diverged instead.
    fn end_epoch(&self, state: &mut State) {
        let train = std::mem::take(&mut state.sums).figures();
        let valid = self.data.n_validation().map(|n| {
            let Settings { architecture, head_weights, asked, .. } = self.settings;
            let batch = |from: usize| self.data.validation_batch(from, (from + EVALUATION_BATCH).min(n));
            let batches = (0..n).step_by(EVALUATION_BATCH).map(batch);
            let mut tallies: Vec<_> = architecture.heads.iter().map(|head| Tally::new(head.classes)).collect();
            let tallied = (!asked.is_empty()).then_some(tallies.as_mut_slice());
            let criterion = self.settings.criterion();
            let network = (architecture, &state.weights, &self.backend);
            let mut sums = judge(network, batches, criterion, head_weights, tallied);
            sums.loss += sums.n as f64 * penalty(self.settings, &state.weights);
            let of = |metric: &Metric| {
                let (head, figure) = metric.of_head?;
                Some((metric.figure().to_owned(), Exact(figure.of(&tallies[head]))))
            };
            Figures { asked: asked.iter().filter_map(of).collect(), ..sums.figures() }
        });
        if valid.as_ref().is_some_and(|figures| !figures.loss.is_finite()) {
            state.diverged_at = Some(state.step);
            return;
        }
        let epoch = Epoch { train, valid, weights: state.weights.digest() };
        let number = state.epochs.len() as u32 + 1;
        let loss = |epoch: &Epoch| self.settings.objective.loss(self.metric.of(epoch));
        let best = state.best.as_ref().map(|&(number, _)| loss(&state.epochs[number as usize - 1]));
        // Without a validation split, the latest epoch is the best.
        if epoch.valid.is_none() || best.is_none_or(|best| loss(&epoch) < best) {
            state.best = Some((number, state.weights.clone()));
        }
        state.epochs.push(epoch);
        state.histograms.push(number, &state.weights);
        self.keep_epochs(state);
    }

    /// Reports the progress: the loss and accuracy of the epoch so far, or of the epoch that has just ended.
    fn report_progress(&self, state: &State, epoch: u32, host: &dyn Host) {
        let n = self.data.n_train() as u64;
        let latest = state.epochs.last().filter(|_| state.sums.n == 0).map(|epoch| epoch.train.clone());
        let latest = latest.unwrap_or_else(|| state.sums.clone().figures());
        host.progress(&Progress {
            done: state.epochs.len() as u64 * n + state.sums.n,
            total: u64::from(self.settings.epochs) * n,
            unit: "images".into(),
            epoch: Some((epoch, self.settings.epochs)),
            loss: Some(latest.loss as f32),
            accuracy: latest.heads.first().map(|head| head.accuracy as f32),
            ended: state.epochs.last().filter(|_| state.sums.n == 0).map(|last| self.ended(last, state.epochs.len())),
            memory: None,
        });
    }

    /// Returns the metrics of an epoch that has ended, by name.
    fn ended(&self, epoch: &Epoch, number: usize) -> EndedEpoch {
        let mut metrics = BTreeMap::new();
        for (split, figures) in [("train", Some(&epoch.train)), ("valid", epoch.valid.as_ref())] {
            let Some(figures) = figures else { continue };
            metrics.insert(format!("{split}.loss"), figures.loss as f32);
            for (head, of_head) in self.settings.architecture.heads.iter().zip(&figures.heads) {
                metrics.insert(format!("{split}.{}_accuracy", head.name), of_head.accuracy as f32);
            }
        }
        metrics.retain(|_, value| value.is_finite());
        EndedEpoch { epoch: number as u32, metrics }
    }
}

/// The batches of a training, by step.
struct Batches<'a> {
    training: &'a Training<'a>,
    seed: u64,
    order: Order,
    /// The images that the epoch `draws_of` draws.
    draws: Vec<Draw>,
    draws_of: u32,
}

impl Batches<'_> {
    /// Returns the batch of `step`, counted from 0.
    fn at(&mut self, step: u64) -> Batch {
        let Training { data, settings, .. } = self.training;
        let steps = self.training.steps_per_epoch();
        let epoch = (step / steps) as u32 + 1;
        if self.draws_of != epoch {
            self.draws = self.order.of(self.seed, epoch);
            self.draws_of = epoch;
        }
        let from = (step % steps) as usize * settings.batch;
        let positions = from..(from + settings.batch).min(self.draws.len());
        data.train_batch(&settings.policy, &self.draws, positions, epoch, self.seed)
    }
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.n += other.n;
        self.loss += other.loss;
        self.heads.resize(other.heads.len(), HeadSums::default());
        for (sum, head) in self.heads.iter_mut().zip(&other.heads) {
            sum.loss += head.loss;
            sum.correct += head.correct;
        }
    }

    pub(crate) fn figures(self) -> Figures {
        let n = self.n as f64;
        let head = |head: &HeadSums| HeadFigures { loss: head.loss / n, accuracy: head.correct as f64 / n };
        Figures { loss: self.loss / n, heads: self.heads.iter().map(head).collect(), asked: BTreeMap::new() }
    }
}

/// Returns the sums of the losses and of the correct predictions of each head over `batches`, without the L2 penalty. Counts more
/// in `tallies`, one for each head, if there are any.
fn judge(
    (architecture, weights, backend): (&Architecture, &Weights, &Backend),
    batches: impl Iterator<Item = Batch>,
    criterion: Criterion<'_>,
    head_weights: &[f64],
    mut tallies: Option<&mut [Tally]>,
) -> Sums {
    let mut network = Network::of_heads(architecture, Pass::Inference, backend);
    network.set_weights(weights);
    let mut sums = Sums::default();
    for batch in batches {
        let forward = network.forward(&batch.images, Mode::Inference);
        let mut of_batch = Sums { n: batch.n as u64, ..Sums::default() };
        for ((head, labels), weight) in architecture.heads.iter().zip(&batch.labels).zip(head_weights) {
            let score = loss::score(criterion, head.output, &forward.outputs[&head.name], labels, head.classes);
            of_batch.loss += weight * score.loss;
            of_batch.heads.push(HeadSums { loss: score.loss, correct: score.correct });
        }
        for ((head, labels), tally) in
            architecture.heads.iter().zip(&batch.labels).zip(tallies.as_deref_mut().into_iter().flatten())
        {
            tally.add(&forward.outputs[&head.name], labels);
        }
        sums.add(&of_batch);
    }
    sums
}

/// Returns the L2 penalty: `l2` times the sum of the squares of all kernels that are trained.
fn penalty(settings: &Settings, weights: &Weights) -> f64 {
    let kernels = settings.trained().filter(|parameter| parameter.kernel.is_some());
    settings.rule.l2 * kernels.map(|parameter| sum_of_squares(&weights.0[&parameter.name].values)).sum::<f64>()
}

/// Returns the sum of squares. Each block of 4096 numbers is summed in sixteen f32 lanes, and their sums are added in order in f64,
/// so that the result does not depend on the machine.
fn sum_of_squares(values: &[f32]) -> f64 {
    let isa = Isa::detect();
    let blocks: Vec<_> = values.par_chunks(4096).map(|block| squares_in_lanes(isa, block)).collect();
    blocks.iter().map(|lanes| lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>()).sum()
}

kernel! {
    fn squares_in_lanes(values: &[f32]) -> [f32; LANES] {
        let mut lanes = [0.0f32; LANES];
        for values in values.chunks(LANES) {
            lanes.iter_mut().zip(values).for_each(|(lane, x)| *lane += x * x);
        }
        lanes
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
