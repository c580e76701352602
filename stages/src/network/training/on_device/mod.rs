//! Training on a device: weights, moments, data and losses stay there. The host sends a few words for each image of a step, and reads
//! once in an epoch.
//!
//! A step whose loss is not finite, and all after it, change nothing. Which one that was is known when the losses are read.

mod arena;
mod data;
mod pack;

use std::collections::BTreeSet;

use burn::tensor::{Device, Tensor};
use burn_cubecl::tensor::CubeTensor;

use self::{
    arena::Arena,
    data::{Batch, Images, Needs},
    pack::{News, Pack, STATISTICS},
};
use super::{
    optimizer::UpdateRule,
    settings::Settings,
    state::{HeadSums, State, Sums},
    trainer::{EVALUATION_BATCH, See, Shown, Trainer, Training},
};
use crate::{
    device::Precision,
    network::{
        self, Mode, Pass, Weights,
        on_burn::{
            BurnNetwork,
            kernels::{self, buffer, images::Plan, loss, optimizer, sums, tiles::Tiles},
            traffic::{read_all, upload},
        },
    },
    panics,
    stage::StageError,
};

/// Takes the steps of a training on a device.
pub(super) struct DeviceTrainer<'a> {
    training: &'a Training<'a>,
    device: Device,
    precision: Precision,
    seed: u64,
    network: BurnNetwork,
    /// Trained parameters, and then moving statistics.
    weights: Arena,
    first: Option<Arena>,
    second: Option<Arena>,
    /// The arrays that a step changes, in as few launches as the device allows.
    packs: Vec<Pack>,
    /// The kernels, of which the penalty is the sum of the squares. `None` if there is none.
    kernels: Option<Tiles>,
    /// How the words of images are read.
    plan: Plan,
    /// `None` if images are prepared on the host.
    train: Option<Images>,
    labels: CubeTensor,
    /// `None` if there are none, or they are prepared on the host.
    validation: Option<Images>,
    /// The weights of the classes of each head.
    class_weights: Vec<Tensor<1>>,
    /// The losses of the steps since the state was last up to date: [`Slots`].
    slots: CubeTensor,
    /// Whether every loss was finite, and what gradients are multiplied by.
    control: CubeTensor,
    /// The steps since the state was last up to date, as far as they have slots: the number of images of each.
    taken: Vec<u64>,
    /// The optimizer's steps and product when the state was last up to date.
    counted: (u64, f64),
}

/// The numbers of a step: the sums of the losses and of the hits of each head, the sum of the squares of all kernels, and whether every
/// loss so far was finite.
struct Slots {
    heads: usize,
}

impl Slots {
    fn len(&self) -> usize {
        2 * self.heads + 2
    }

    fn penalty(&self) -> usize {
        2 * self.heads
    }

    fn alive(&self) -> usize {
        2 * self.heads + 1
    }
}

impl<'a> DeviceTrainer<'a> {
    /// Returns whether our kernels run on `device`.
    pub(super) fn runs_on(device: &Device) -> bool {
        kernels::is_cube(device)
    }

    /// Copies `state` and the data to `device`, on which our kernels must run. Products have this precision.
    pub(super) fn new(
        training: &'a Training<'a>,
        (device, precision): (&Device, Precision),
        state: &State,
        seed: u64,
    ) -> Self {
        let Settings { architecture, frozen, policy, .. } = training.settings;
        let data = training.data;
        let array = |values: &[f32]| upload(values.to_vec(), [values.len()], device);
        let trained: BTreeSet<_> = training.settings.trained().map(|parameter| parameter.name).collect();
        let (first, rest): (Vec<_>, Vec<_>) = state.weights.0.iter().partition(|(name, _)| trained.contains(*name));
        let arrays = first.into_iter().chain(rest).map(|(name, weight)| (name.as_str(), weight.values.as_slice()));
        let weights = Arena::new(arrays, device);
        let heads: Vec<_> = architecture.heads.iter().map(|head| head.name.as_str()).collect();
        let shape = data.image_shape();
        let (plan, is_whole) = data::plan(shape, policy);
        let class_weights = |(index, head): (usize, &crate::network::architecture::Head)| {
            let weights = training.settings.criterion_of(index).class_weights;
            let weights = weights.map(|weights| weights.iter().map(|&weight| weight as f32).collect());
            array(&weights.unwrap_or_else(|| vec![1.0; head.classes]))
        };
        let slots = Slots { heads: heads.len() };
        let splits: Vec<_> = data.train().iter().collect();
        Self {
            training,
            device: device.clone(),
            precision,
            seed,
            network: BurnNetwork::new(architecture, Pass::Training, &heads, frozen, device, precision),
            first: Arena::like(&weights, &state.optimizer.first, device),
            second: Arena::like(&weights, &state.optimizer.second, device),
            packs: pack::all(training.settings, &weights, device),
            kernels: pack::kernels(training.settings, &weights, device),
            weights,
            train: if is_whole { Images::upload(&splits, policy, plan.clone(), device) } else { None },
            plan,
            labels: data::labels(data, device),
            validation: data
                .validation()
                .and_then(|split| Images::upload(&[split], &data.policy, data::plain(shape, &data.policy), device)),
            class_weights: architecture.heads.iter().enumerate().map(class_weights).collect(),
            slots: buffer(Tensor::<1>::zeros([training.steps_per_epoch() as usize * slots.len()], device)),
            control: buffer(array(&sums::CONTROL)),
            taken: Vec::new(),
            counted: (state.optimizer.steps, state.optimizer.product),
        }
    }

    fn slots(&self) -> Slots {
        Slots { heads: self.class_weights.len() }
    }

    /// Writes the factor that scales the norm of all gradients down to `longest` to `control`.
    fn shorten(&self, news: &News, longest: f64) {
        let n = self.packs.iter().map(|pack| pack.tiles.len()).sum();
        let (sums, square) = (kernels::empty([n], &self.control), kernels::empty([1], &self.control));
        let mut at = 0;
        for pack in &self.packs {
            sums::squares(pack.of(news), &self.weights.numbers, &pack.tiles, &sums, at);
            at += pack.tiles.len();
        }
        sums::total(sums, &square, 0);
        sums::clip(&square, &self.control, longest as f32);
    }

    /// Writes the sum of the squares of all kernels that are trained to the slot `at`.
    fn square_kernels(&self, kernels: &Tiles, at: usize) {
        let sums = kernels::empty([kernels.len()], &self.control);
        sums::squares_of_weights(&self.weights.numbers, kernels, &sums);
        sums::total(sums, &self.slots, at);
    }

    /// Reads tensors at once.
    fn read(tensors: impl Iterator<Item = Tensor<1>>) -> Result<impl Iterator<Item = Vec<f32>>, StageError> {
        let failed = |said: String| network::device_failed("the device", &said);
        let read = read_all(tensors).map_err(failed)?;
        // Numbers that are read after a launch has panicked are not those that it would have computed.
        panics::noted().map_or(Ok(read.into_iter()), |message| Err(failed(message)))
    }

    /// Adds the losses of the steps that were taken to `state`, given the slots. Marks the state as diverged at the first one that is not
    /// finite, and counts neither it nor those after it.
    fn count(&mut self, state: &mut State, slots: &[f32]) {
        let of = self.slots();
        let Settings { head_weights, rule, .. } = self.training.settings;
        let before = state.step - self.taken.len() as u64;
        let mut good = 0;
        for (&n, slot) in self.taken.iter().zip(slots.chunks_exact(of.len())) {
            if slot[of.alive()] == 0.0 {
                state.diverged_at = Some(before + good);
                state.step = before + good;
                break;
            }
            let mut sums = Sums { n, ..Sums::default() };
            for (head, weight) in slot[..of.penalty()].chunks_exact(2).zip(head_weights) {
                let head = HeadSums { loss: head[0].into(), correct: head[1] as u64 };
                sums.loss += weight * head.loss;
                sums.heads.push(head);
            }
            sums.loss += n as f64 * rule.l2 * f64::from(slot[of.penalty()]);
            state.sums.add(&sums);
            good += 1;
        }
        if state.diverged_at.is_some() {
            (state.optimizer.steps, state.optimizer.product) = self.counted;
            for _ in 0..good {
                state.optimizer.advance(rule);
            }
        }
        self.counted = (state.optimizer.steps, state.optimizer.product);
        self.taken.clear();
    }
}

impl Trainer for DeviceTrainer<'_> {
    type Batch = Batch;

    type Needs = Needs;

    fn needs(&self) -> Needs {
        if self.train.is_some() { Needs::Words } else { Needs::Images }
    }

    fn prepare(needs: &Needs, training: &Training<'_>, shown: &Shown<'_>) -> Batch {
        let words = data::words(training, shown);
        let Shown { draws, positions, epoch, seed } = shown;
        let images =
            || training.data.train_batch(&training.settings.policy, draws, positions.clone(), *epoch, *seed).images;
        Batch { images: (*needs == Needs::Images).then(images), words }
    }

    fn step(&mut self, state: &mut State, batch: Batch) -> Result<(), StageError> {
        let Settings { architecture, head_weights, rule, .. } = self.training.settings;
        let data = self.training.data;
        let plan = &self.plan;
        let words = kernels::words(batch.words, &self.device);
        let images = match (&self.train, batch.images) {
            (Some(train), _) => train.gather(&words),
            (None, images) => {
                let [c, h, w] = plan.shape;
                let images = images.expect("they are prepared on the host");
                let n = images.len() / (c * h * w);
                upload(images, [n, c, h, w], &self.device)
            }
        };
        let n = images.dims()[0];
        let step = u32::try_from(state.step).expect("fewer than 2^32 steps");
        self.network.set_arrays(|name| self.weights.array(name));
        let (outputs, moved) = self.network.walk(images, Mode::Training { seed: self.seed, step });

        let slots = self.slots();
        let first = self.taken.len() * slots.len();
        let mut scalar: Option<Tensor<1>> = None;
        for (index, (head, &weight)) in architecture.heads.iter().zip(head_weights).enumerate() {
            let criterion = self.training.settings.criterion_of(index);
            let criterion = loss::Criterion {
                loss: criterion.loss,
                output: head.output,
                smoothing: criterion.smoothing,
                class_weights: &self.class_weights[index],
                weight,
            };
            let logits = outputs[&head.name].clone();
            let shown = data::of_head(index, data.n_train(), &self.labels, &words, plan);
            let judged = loss::judge(logits.clone().inner().reshape([n, head.classes]), &shown, criterion);
            sums::total(buffer(judged.losses), &self.slots, first + 2 * index);
            sums::total(buffer(judged.hits), &self.slots, first + 2 * index + 1);
            let term = (logits.reshape([n, head.classes]) * judged.gradient).sum();
            scalar = Some(match scalar {
                Some(sum) => sum + term,
                None => term,
            });
        }
        if let Some(kernels) = &self.kernels {
            self.square_kernels(kernels, first + slots.penalty());
        }
        sums::check(&self.slots, first, slots.alive(), &self.control);

        let gradients = self.network.slopes(&scalar.expect("a network has a head"));
        let mut news: News = gradients.into_iter().map(|(name, gradient)| (name, buffer(gradient))).collect();
        for (layer, statistics) in moved {
            let of_part = |(part, batch)| (format!("{layer}.{part}"), buffer(batch));
            news.extend(STATISTICS.into_iter().zip(statistics).map(of_part));
        }
        let factor = self.training.settings.schedule.factor(state.step, self.training.steps_per_epoch());
        let rule = UpdateRule { learning_rate: rule.learning_rate * factor, ..rule.clone() };
        if let Some(longest) = rule.clip_norm {
            self.shorten(&news, longest);
        }
        let factors = state.optimizer.advance(&rule);
        let arrays = optimizer::Arrays {
            weights: &self.weights.numbers,
            first: self.first.as_ref().map(|first| &first.numbers),
            second: self.second.as_ref().map(|second| &second.numbers),
        };
        for pack in &self.packs {
            optimizer::update(state.optimizer.kind, &arrays, &pack.tiles, pack.of(&news), &factors, &self.control);
        }
        self.taken.push(n as u64);
        state.step += 1;
        Ok(())
    }

    fn bring(&mut self, state: &mut State) -> Result<(), StageError> {
        let arenas = || [Some(&self.weights), self.first.as_ref(), self.second.as_ref()].into_iter().flatten();
        let slots = kernels::tensor(self.slots.clone());
        let read: Vec<_> = Self::read(arenas().map(Arena::whole).chain([slots]))?.collect();
        let optimizer = &mut state.optimizer;
        let moments = [(&self.first, &mut optimizer.first), (&self.second, &mut optimizer.second)];
        self.weights.fill(&read[0], values_of(&mut state.weights));
        let mut next = read[1..].iter();
        for (arena, to) in moments {
            let Some(arena) = arena else { continue };
            arena.fill(next.next().expect("every arena was read"), to.iter_mut());
        }
        let slots = next.next().expect("the slots were read");
        self.count(state, slots);
        Ok(())
    }

    fn end_epoch(&mut self, state: &mut State, see: See<'_>) -> Result<(), StageError> {
        let Settings { architecture, .. } = self.training.settings;
        let logits = self.validate();
        let slots = kernels::tensor(self.slots.clone());
        let mut read = Self::read([self.weights.whole(), slots].into_iter().chain(logits))?;
        self.weights.fill(&read.next().expect("the weights were read"), values_of(&mut state.weights));
        let slots = read.next().expect("the slots were read");
        let logits: Vec<_> = read.collect();
        self.count(state, &slots);
        if state.diverged_at.is_some() {
            return Ok(());
        }
        let Some(validation) = self.training.data.validation() else { return Ok(()) };
        let batches = (0..validation.len()).step_by(EVALUATION_BATCH);
        for (from, logits) in batches.zip(logits.chunks_exact(architecture.heads.len())) {
            let to = (from + EVALUATION_BATCH).min(validation.len());
            let of_head = |head: &crate::network::architecture::Head| {
                validation.labels(&head.name).expect("the split was checked")[from..to].to_vec()
            };
            let labels: Vec<_> = architecture.heads.iter().map(of_head).collect();
            let names = architecture.heads.iter().map(|head| head.name.clone());
            see(&labels, &names.zip(logits.iter().cloned()).collect());
        }
        Ok(())
    }
}

impl DeviceTrainer<'_> {
    /// Returns the logits of the images to validate on: of each batch, those of each head.
    fn validate(&self) -> Vec<Tensor<1>> {
        let data = self.training.data;
        let Some(split) = data.validation() else { return Vec::new() };
        let Settings { architecture, .. } = self.training.settings;
        let heads: Vec<_> = architecture.heads.iter().map(|head| head.name.as_str()).collect();
        let (frozen, precision) = (Default::default(), self.precision);
        let mut network = BurnNetwork::new(architecture, Pass::Inference, &heads, &frozen, &self.device, precision);
        network.set_arrays(|name| self.weights.array(name));
        let mut logits = Vec::new();
        for from in (0..split.len()).step_by(EVALUATION_BATCH) {
            let to = (from + EVALUATION_BATCH).min(split.len());
            let images = match &self.validation {
                Some(images) => images.gather(&kernels::words((from as u32..to as u32).collect(), &self.device)),
                None => {
                    let [c, h, w] = self.plan.shape;
                    upload(data.validation_batch(from, to).images, [to - from, c, h, w], &self.device)
                }
            };
            let (outputs, _) = network.walk(images, Mode::Inference);
            logits.extend(architecture.heads.iter().map(|head| outputs[&head.name].clone().flatten(0, 3)));
        }
        logits
    }
}

/// Returns the values of all arrays, by name.
fn values_of(weights: &mut Weights) -> impl Iterator<Item = (&String, &mut Vec<f32>)> {
    weights.0.iter_mut().map(|(name, weight)| (name, &mut weight.values))
}
