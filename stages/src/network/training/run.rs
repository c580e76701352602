//! The training loop.

use std::collections::BTreeMap;

#[cfg(feature = "gpu")]
use super::on_device::DeviceTrainer;
use super::{
    history::{Epoch, Exact, Figures, HeadFigures, Metric, stopped_after},
    keep::Keep,
    loss,
    on_host::HostTrainer,
    order::{Draw, Order},
    penalty::penalty,
    settings::Settings,
    state::{HeadSums, State, Sums},
    tally::Tally,
    trainer::{Shown, Trainer, Training},
};
#[cfg(feature = "gpu")]
use crate::network::Backend;
use crate::{
    network::awake::awake,
    stage::{Context, EndedEpoch, Host, Progress, StageError},
};

impl Training<'_> {
    /// Trains to the end, starting from the latest usable checkpoint, and returns the final state.
    ///
    /// # Errors
    /// [`StageError::Interrupted`] if the host asks to stop. A checkpoint is saved first. Also if a device fails.
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<State, StageError> {
        let state = self.start(context);
        // One thread of the pool does everything: the one that `scope` moves to. A thread from outside would have to be woken after each
        // step, and a device has a queue for each thread that uses it.
        rayon::scope(|_| {
            #[cfg(feature = "gpu")]
            if let Backend::Burn(device, precision) = &self.backend
                && DeviceTrainer::runs_on(device)
            {
                let trainer = DeviceTrainer::new(self, (device, *precision), &state, context.seed);
                return self.run_on(trainer, state, context);
            }
            self.run_on(HostTrainer::new(self, context.seed), state, context)
        })
    }

    /// Trains to the end from `state`.
    fn run_on<T: Trainer>(&self, mut trainer: T, mut state: State, context: &Context<'_>) -> Result<State, StageError> {
        let host = context.host;
        let order = Order::new(self.settings.sampling, self.data.main_labels(), self.data.n_train());
        let needs = trainer.needs();
        let mut batches =
            Batches::<T> { training: self, needs, seed: context.seed, order, draws: Vec::new(), draws_of: 0 };
        let mut batch = (!self.is_over(&state)).then(|| batches.at(state.step));
        while let Some(this) = batch {
            let epoch = state.epochs.len() as u32 + 1;
            let next = state.step + 1;
            let is_last = next == u64::from(self.settings.epochs) * self.steps_per_epoch();
            // The next batch is prepared while the network computes with this one.
            let (stepped, following) =
                awake(|| rayon::join(|| trainer.step(&mut state, this), || (!is_last).then(|| batches.at(next))));
            stepped?;
            if state.diverged_at.is_none() && state.step.is_multiple_of(self.steps_per_epoch()) {
                self.end_epoch(&mut trainer, &mut state)?;
            }
            self.report_progress(&state, epoch, host);
            if host.interrupted() {
                trainer.bring(&mut state)?;
                host.save_checkpoint(&state.checkpoint());
                return Err(StageError::Interrupted);
            }
            if !self.is_over(&state) && host.checkpoint_due() {
                trainer.bring(&mut state)?;
                if state.diverged_at.is_none() {
                    host.save_checkpoint(&state.checkpoint());
                }
            }
            batch = following.filter(|_| !self.is_over(&state));
        }
        trainer.bring(&mut state)?;
        // A longer training with the same trajectory can continue from here.
        host.save_checkpoint(&state.checkpoint());
        Ok(state)
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

    /// Ends an epoch: validates, and adds the epoch, its histograms and its weights to `state`. If the validation loss is not
    /// finite, marks the state as diverged instead.
    fn end_epoch(&self, trainer: &mut impl Trainer, state: &mut State) -> Result<(), StageError> {
        let Settings { architecture, asked, .. } = self.settings;
        let mut tallies: Vec<_> = architecture.heads.iter().map(|head| Tally::new(head.classes)).collect();
        let mut judged = Sums::default();
        trainer.end_epoch(state, &mut |labels, logits| {
            judged.add(&sums(self.settings, labels, logits));
            if !asked.is_empty() {
                let heads = architecture.heads.iter().zip(labels).zip(&mut tallies);
                heads.for_each(|((head, labels), tally)| tally.add(&logits[&head.name], labels));
            }
        })?;
        if state.diverged_at.is_some() {
            return Ok(());
        }
        let train = std::mem::take(&mut state.sums).figures();
        let valid = (judged.n > 0).then(|| {
            let mut sums = judged;
            sums.loss += sums.n as f64 * penalty(self.settings, &state.weights);
            let of = |metric: &Metric| {
                let (head, figure) = metric.of_head?;
                Some((metric.figure().to_owned(), Exact(figure.of(&tallies[head]))))
            };
            Figures { asked: asked.iter().filter_map(of).collect(), ..sums.figures() }
        });
        if valid.as_ref().is_some_and(|figures| !figures.loss.is_finite()) {
            state.diverged_at = Some(state.step);
            return Ok(());
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
        Ok(())
    }

    /// Reports the progress: the loss and accuracy of the epoch so far, or of the epoch that has just ended.
    fn report_progress(&self, state: &State, epoch: u32, host: &dyn Host) {
        let n = self.data.n_train() as u64;
        // A device tells the losses of an epoch at its end.
        let steps = state.step - state.epochs.len() as u64 * self.steps_per_epoch();
        let shown = (steps * self.settings.batch as u64).min(n);
        let latest = state.epochs.last().filter(|_| state.sums.n == 0).map(|epoch| epoch.train.clone());
        let latest = latest.unwrap_or_else(|| state.sums.clone().figures());
        host.progress(&Progress {
            done: state.epochs.len() as u64 * n + shown,
            total: u64::from(self.settings.epochs) * n,
            unit: "images".into(),
            epoch: Some((epoch, self.settings.epochs)),
            loss: Some(latest.loss as f32),
            accuracy: latest.heads.first().map(|head| head.accuracy as f32),
            ended: state.epochs.last().filter(|_| shown == 0).map(|last| self.ended(last, state.epochs.len())),
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
struct Batches<'a, T: Trainer> {
    training: &'a Training<'a>,
    needs: T::Needs,
    seed: u64,
    order: Order,
    /// The images that the epoch `draws_of` draws.
    draws: Vec<Draw>,
    draws_of: u32,
}

impl<T: Trainer> Batches<'_, T> {
    /// Returns what a trainer needs for `step`, counted from 0.
    fn at(&mut self, step: u64) -> T::Batch {
        let steps = self.training.steps_per_epoch();
        let epoch = (step / steps) as u32 + 1;
        if self.draws_of != epoch {
            self.draws = self.order.of(self.seed, epoch);
            self.draws_of = epoch;
        }
        let from = (step % steps) as usize * self.training.settings.batch;
        let positions = from..(from + self.training.settings.batch).min(self.draws.len());
        T::prepare(&self.needs, self.training, &Shown { draws: &self.draws, positions, epoch, seed: self.seed })
    }
}

impl Sums {
    pub(super) fn add(&mut self, other: &Self) {
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

/// Returns the sums of the losses and of the correct predictions of each head over images with these `labels`, without the L2 penalty.
fn sums(settings: &Settings, labels: &[Vec<i32>], logits: &BTreeMap<String, Vec<f32>>) -> Sums {
    let mut sums = Sums { n: labels[0].len() as u64, ..Sums::default() };
    for ((head, labels), weight) in settings.architecture.heads.iter().zip(labels).zip(&settings.head_weights) {
        let score = loss::score(settings.criterion(), head.output, &logits[&head.name], labels, head.classes);
        sums.loss += weight * score.loss;
        sums.heads.push(HeadSums { loss: score.loss, correct: score.correct });
    }
    sums
}
