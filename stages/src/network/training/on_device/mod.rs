//! Training on a device: weights, moments, data and losses stay there. The host sends a few words for each image of a step, and reads
//! once in an epoch.
//!
//! A step whose loss is not finite, and all after it, change nothing. Which one that was is known when the losses are read.

mod data;

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use burn_cubecl::tensor::CubeTensor;

use self::data::{Batch, Images, Needs};
use super::{
    optimizer::UpdateRule,
    settings::Settings,
    state::{HeadSums, State, Sums},
    trainer::{EVALUATION_BATCH, See, Shown, Trainer, Training},
};
use crate::{
    network::{
        self, Mode, Pass, Weights,
        on_burn::{
            BurnNetwork,
            kernels::{self, images::Plan, loss, optimizer, statistics, sums},
            traffic::{read_all, upload},
        },
    },
    stage::StageError,
};

/// Arrays on a device, by name and flat.
type Arrays = BTreeMap<String, Tensor<1>>;

/// Takes the steps of a training on a device.
pub(super) struct DeviceTrainer<'a> {
    training: &'a Training<'a>,
    device: Device,
    seed: u64,
    network: BurnNetwork,
    /// Trained parameters and moving statistics.
    weights: Arrays,
    first: Arrays,
    second: Arrays,
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
    slots: Tensor<1>,
    /// 1 until a loss is not finite, then 0.
    alive: Tensor<1>,
    /// What gradients are multiplied by.
    clip: Tensor<1>,
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

    /// Copies `state` and the data to `device`, on which our kernels must run.
    pub(super) fn new(training: &'a Training<'a>, device: &Device, state: &State, seed: u64) -> Self {
        let Settings { architecture, frozen, policy, .. } = training.settings;
        let data = training.data;
        let array = |values: &[f32]| upload(values.to_vec(), [values.len()], device);
        let arrays = |from: &BTreeMap<String, Vec<f32>>| -> Arrays {
            from.iter().map(|(name, values)| (name.clone(), array(values))).collect()
        };
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
            seed,
            network: BurnNetwork::new(architecture, Pass::Training, &heads, frozen, device),
            weights: state.weights.0.iter().map(|(name, weight)| (name.clone(), array(&weight.values))).collect(),
            first: arrays(&state.optimizer.first),
            second: arrays(&state.optimizer.second),
            train: if is_whole { Images::upload(&splits, policy, plan.clone(), device) } else { None },
            plan,
            labels: data::labels(data, device),
            validation: data
                .validation()
                .and_then(|split| Images::upload(&[split], &data.policy, data::plain(shape, &data.policy), device)),
            class_weights: architecture.heads.iter().enumerate().map(class_weights).collect(),
            slots: Tensor::zeros([training.steps_per_epoch() as usize * slots.len()], device),
            alive: array(&[1.0]),
            clip: array(&[1.0]),
            taken: Vec::new(),
            counted: (state.optimizer.steps, state.optimizer.product),
        }
    }

    fn slots(&self) -> Slots {
        Slots { heads: self.class_weights.len() }
    }

    /// Writes the factor that scales the norm of all gradients down to `longest` to `clip`.
    fn shorten(&self, gradients: &Arrays, decay: impl Fn(&str) -> f32, longest: f64) {
        let sums =
            self.sums_of(gradients.iter().map(|(name, gradient)| (gradient.clone(), &self.weights[name], decay(name))));
        let square = Tensor::zeros([1], &self.device);
        sums::total(sums, &square, 0);
        sums::clip(&square, &self.clip, longest as f32);
    }

    /// Writes the sum of the squares of all kernels that are trained to the slot `at`.
    fn square_kernels(&self, at: usize) {
        let kernels: Vec<_> = self.training.settings.trained().filter(|array| array.kernel.is_some()).collect();
        let sums = self.sums_of(kernels.iter().map(|kernel| {
            let weights = &self.weights[&kernel.name];
            (weights.clone(), weights, 0.0)
        }));
        sums::total(sums, &self.slots, at);
    }

    fn sums_of<'t>(&self, arrays: impl Iterator<Item = (Tensor<1>, &'t Tensor<1>, f32)>) -> Tensor<1> {
        let arrays: Vec<_> = arrays.collect();
        let n: usize = arrays.iter().map(|(array, ..)| sums::runs(array.dims()[0])).sum();
        let sums = Tensor::zeros([n], &self.device);
        let mut at = 0;
        for (array, weights, decay) in arrays {
            let runs = sums::runs(array.dims()[0]);
            sums::squares(array, weights, decay, &sums, at);
            at += runs;
        }
        sums
    }

    /// Copies arrays from the device into `to`, in the order of their names.
    fn fill(to: &mut BTreeMap<String, Vec<f32>>, read: &mut impl Iterator<Item = Vec<f32>>) {
        to.values_mut().for_each(|values| *values = read.next().expect("every array was read"));
    }

    /// Reads tensors at once.
    fn read<'t>(tensors: impl Iterator<Item = &'t Tensor<1>>) -> Result<impl Iterator<Item = Vec<f32>>, StageError> {
        let read = read_all(tensors).map_err(|said| network::device_failed("the device", &said))?;
        Ok(read.into_iter())
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
        let Settings { architecture, head_weights, rule, frozen, .. } = self.training.settings;
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
        self.network.set_arrays(|name| self.weights[name].clone());
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
            sums::total(judged.losses, &self.slots, first + 2 * index);
            sums::total(judged.hits, &self.slots, first + 2 * index + 1);
            let term = (logits.reshape([n, head.classes]) * judged.gradient).sum();
            scalar = Some(match scalar {
                Some(sum) => sum + term,
                None => term,
            });
        }
        if rule.l2 != 0.0 {
            self.square_kernels(first + slots.penalty());
        }
        sums::check(&self.slots, first, slots.alive(), &self.alive);

        let gradients = self.network.slopes(&scalar.expect("a network has a head"));
        let factor = self.training.settings.schedule.factor(state.step, self.training.steps_per_epoch());
        let rule = UpdateRule { learning_rate: rule.learning_rate * factor, ..rule.clone() };
        let decay = |name: &str| if name.ends_with(".kernel") { (2.0 * rule.l2) as f32 } else { 0.0 };
        if let Some(longest) = rule.clip_norm {
            self.shorten(&gradients, decay, longest);
        }
        let mut factors = state.optimizer.advance(&rule);
        for (name, gradient) in gradients {
            factors.decay = decay(&name);
            let moments = optimizer::Moments { first: self.first.get(&name), second: self.second.get(&name) };
            let kind = state.optimizer.kind;
            optimizer::update(kind, &self.weights[&name], gradient, moments, &factors, &self.clip, &self.alive);
        }
        for layer in architecture.layers.iter().filter(|layer| !frozen.contains(&layer.name)) {
            let Some(momentum) = layer.kind.definition().statistics_momentum() else { continue };
            for (part, batch) in ["moving_mean", "moving_variance"].iter().zip(&moved[&layer.name]) {
                let moving = &self.weights[&format!("{}.{part}", layer.name)];
                statistics::move_towards(moving, batch.clone(), momentum, &self.alive);
            }
        }
        self.taken.push(n as u64);
        state.step += 1;
        Ok(())
    }

    fn bring(&mut self, state: &mut State) -> Result<(), StageError> {
        let arrays = [&self.weights, &self.first, &self.second];
        let mut read = Self::read(arrays.into_iter().flat_map(BTreeMap::values).chain([&self.slots]))?;
        fill_weights(&mut state.weights, &mut read);
        Self::fill(&mut state.optimizer.first, &mut read);
        Self::fill(&mut state.optimizer.second, &mut read);
        let slots = read.next().expect("the slots were read");
        drop(read);
        self.count(state, &slots);
        Ok(())
    }

    fn end_epoch(&mut self, state: &mut State, see: See<'_>) -> Result<(), StageError> {
        let Settings { architecture, .. } = self.training.settings;
        let logits = self.validate();
        let mut read = Self::read(self.weights.values().chain([&self.slots]).chain(&logits))?;
        fill_weights(&mut state.weights, &mut read);
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
        let mut network = BurnNetwork::new(architecture, Pass::Inference, &heads, &Default::default(), &self.device);
        network.set_arrays(|name| self.weights[name].clone());
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

fn fill_weights(weights: &mut Weights, read: &mut impl Iterator<Item = Vec<f32>>) {
    weights.0.values_mut().for_each(|weight| weight.values = read.next().expect("every array was read"));
}
