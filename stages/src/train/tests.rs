//! Tests of whole trainings: their outputs, and that interruptions do not change them.

#[cfg(feature = "gpu")]
mod on_device;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use pipe_store::{Digest, MemoryObjects};
use serde_json::json;

use super::*;
use crate::{
    device::{DeviceKind, Precision},
    images::dataset::{self, ImageShape},
    network::{
        Architecture, Weights,
        kernels::Isa,
        training::{order::Draw, *},
    },
    params::Declared,
    philox::{Purpose, Stream},
    stage::{Checkpoint, ComputeDevice, Host, Progress, QuietHost},
};

const SHAPE: ImageShape = ImageShape { channels: 2, height: 6, width: 5 };

/// The inputs of a training on noisy images that are lighter on one side. The side is the class.
struct Study {
    objects: MemoryObjects,
    slots: BTreeMap<String, Digest>,
}

impl Study {
    fn new() -> Self {
        Self::with(SHAPE, 2)
    }

    /// With two heads they are `side` and `other`, with one only `side`.
    fn with(shape: ImageShape, heads: usize) -> Self {
        let mut study = Self { objects: MemoryObjects::default(), slots: BTreeMap::new() };
        let names = &["side", "other"][..heads];
        for (i, (slot, n)) in [("train", 25), ("validation", 11), ("extra", 4)].into_iter().enumerate() {
            let stream = Stream::new(3, Purpose::Shapes, i as u32, 0);
            let side = |image: usize| (image % 2) as i32;
            let pixel = |p: usize| {
                let (image, column) = (p / shape.bytes(), p % shape.width);
                let light = (column * 2 >= shape.width) == (side(image) == 1);
                (stream.u32(p as u64) % 120) as u8 + if light { 120 } else { 0 }
            };
            let images = (0..n * shape.bytes()).map(pixel).collect();
            let labels: [Vec<i32>; 2] = [(0..n).map(side).collect(), (0..n as i32).map(|i| i % 3).collect()];
            let labels: Vec<_> = names.iter().zip(&labels).map(|(name, labels)| (*name, labels.as_slice())).collect();
            study.put(slot, dataset::write(shape, images, &labels));
        }
        study.slots.remove("extra");
        let classes = [
            json!({ "name": "side", "classes": ["left", "right"] }),
            json!({ "name": "other", "classes": ["a", "b", "c"] }),
        ];
        let labels = json!({ "format": 1, "heads": &classes[..heads], "image": shape });
        study.put("labels", crate::params::record(&labels));
        let c = shape.channels;
        let normalise = json!({ "scale": vec![1.0 / 255.0; c], "offset": vec![-0.5; c] });
        study.put(
            "policy",
            crate::params::record(&json!({ "format": 1, "normalise": normalise, "policy": [{ "RandomCrop": 1 }] })),
        );
        study
    }

    fn put(&mut self, slot: &str, bytes: Vec<u8>) {
        let digest = self.objects.put(bytes);
        self.slots.insert(slot.to_owned(), digest);
    }

    fn propose(mut self, values: Value, labels: Value) -> Self {
        self.put("proposal", crate::params::record(&json!({ "format": 1, "values": values, "labels": labels })));
        self
    }

    /// With this policy in place of the usual one.
    fn augment(mut self, policy: Value) -> Self {
        let c = SHAPE.channels;
        let normalise = json!({ "scale": vec![1.0 / 255.0; c], "offset": vec![-0.5; c] });
        self.put("policy", crate::params::record(&json!({ "format": 1, "normalise": normalise, "policy": policy })));
        self
    }

    fn run(&self, train: &Train, host: &dyn Host) -> Result<Outputs, StageError> {
        let context = Context { seed: 5, device: ComputeDevice::CPU, host };
        train.run(&Inputs::new(&self.slots, &self.objects), &context)
    }
}

fn train(changes: Value) -> Train {
    let mut params = json!({
        "model": { "HyperCnn": {
            "base_filters": 3, "fc_units": [6, 5], "bn_momentum": 0.9, "nb_conv_pool_layers": 1, "residual": 1,
            "conv_dropout_drop_proba": 0.1, "fc_dropout_drop_proba": 0.1, "activation": "elu",
        } },
        "epochs": 3, "batch": 8, "learning_rate": 0.01, "optimizer": "Nadam", "keep": ["Best", "Last"],
    });
    params.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    serde_json::from_value(params).unwrap()
}

fn record(outputs: &Outputs, path: &str) -> Value {
    serde_json::from_slice(&outputs.files()[path]).unwrap()
}

/// Keeps every checkpoint it is given; asks for one every `every` steps, and to stop after `stop_at` steps.
#[derive(Default)]
struct Keeper {
    every: u64,
    stop_after: u64,
    steps: AtomicU64,
    checkpoints: Mutex<BTreeMap<u64, Checkpoint>>,
}

impl Host for Keeper {
    fn progress(&self, _: &Progress) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    fn checkpoint_due(&self) -> bool {
        self.every > 0 && self.steps.load(Ordering::Relaxed).is_multiple_of(self.every)
    }

    fn interrupted(&self) -> bool {
        self.stop_after > 0 && self.steps.load(Ordering::Relaxed).is_multiple_of(self.stop_after)
    }

    fn latest_checkpoint(&self, at_most: u64) -> Option<Checkpoint> {
        self.checkpoints.lock().unwrap().range(..=at_most).next_back().map(|(_, checkpoint)| checkpoint.clone())
    }

    fn save_checkpoint(&self, checkpoint: &Checkpoint) {
        self.checkpoints.lock().unwrap().insert(checkpoint.step, checkpoint.clone());
    }
}

impl Keeper {
    /// Runs until the training ends. Returns its outputs and the number of interruptions.
    fn insist(&self, study: &Study, train: &Train) -> (Outputs, u32) {
        for interruptions in 0.. {
            match study.run(train, self) {
                Ok(outputs) => return (outputs, interruptions),
                Err(StageError::Interrupted) => {}
                Err(error) => panic!("{error}"),
            }
        }
        unreachable!()
    }
}

/// A training whose products are of bf16, by burn on the processor, learns as one of f32 does, and can be interrupted.
#[test]
fn a_training_with_bf16_follows_that_with_f32() {
    let study = Study::new();
    let train = train(json!({ "epochs": 5, "l2": 0.01, "clip_norm": 5.0 }));
    let run = |precision, host: &dyn Host| {
        let backend = Backend::Burn(burn::tensor::Device::flex(), precision);
        let context = Context { seed: 5, device: ComputeDevice::CPU, host };
        train.run_at(backend, &Inputs::new(&study.slots, &study.objects), &context)
    };
    let losses = |outputs: &Outputs| {
        let history = String::from_utf8(outputs.files()["history.csv"].to_vec()).unwrap();
        let mut lines = history.lines();
        let at = lines.next().unwrap().split(',').position(|column| column == "train.loss").unwrap();
        lines.map(|line| line.split(',').nth(at).unwrap().parse::<f64>().unwrap()).collect::<Vec<_>>()
    };
    let [exact, coarse] = Precision::ALL.map(|precision| run(precision, &QuietHost).unwrap());
    let (expected, found) = (losses(&exact), losses(&coarse));
    assert!(expected != found && found.len() == 5 && found[4] < 0.9 * found[0], "{expected:?} {found:?}");
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() < 0.03 * expected, "{found} instead of {expected}");
    }
    let keeper = Keeper { every: 1, stop_after: 7, ..Keeper::default() };
    // Five epochs of four steps.
    for _ in 0..2 {
        assert!(matches!(run(Precision::Bf16, &keeper), Err(StageError::Interrupted)));
    }
    assert!(run(Precision::Bf16, &keeper).unwrap() == coarse);
}

#[test]
fn a_network_learns_which_side_is_light() {
    let outputs = Study::new().run(&train(json!({ "epochs": 12 })), &QuietHost).unwrap();
    let (score, trial) = (record(&outputs, "score.json"), record(&outputs, "trial.json"));
    assert_eq!((&score["status"], &score["metric"]), (&json!("completed"), &json!("valid.side_accuracy")));
    assert!(score["value"].as_f64().unwrap() > 0.8, "{score}");
    assert_eq!(score["loss"].as_f64().unwrap(), -score["value"].as_f64().unwrap());
    assert_eq!(trial["figures"]["valid.side_accuracy"]["best"], score["value"]);
    assert_eq!(trial["best_epoch"], score["epoch"]);
    let history = std::str::from_utf8(&outputs.files()["history.csv"]).unwrap();
    assert_eq!(history.lines().count(), 13);
    let digest = Digest::of(&outputs.files()["last/weights.safetensors"]).to_string();
    assert!(history.lines().last().unwrap().ends_with(&digest));
}

#[test]
fn interruptions_do_not_change_the_outputs() {
    let study = Study::new();
    for (optimizer, keep) in [
        ("Nadam", json!(["Best", "Last"])),
        ("Adam", json!(["Best", { "Every": 1 }])),
        ("RMSprop", json!(["Last", { "Every": 2 }])),
        ("SGD", json!(["Last"])),
    ] {
        let sampling = if optimizer == "Adam" { "Balanced" } else { "AsIs" };
        let train = train(json!({
            "optimizer": optimizer, "keep": keep, "histograms": 2, "momentum": 0.9, "clip_norm": 0.5, "label_smoothing": 0.1,
            "schedule": { "Cosine": { "over_epochs": 4, "warmup_epochs": 1 } }, "sampling": sampling,
            "class_weights": { "right": 2.0 }, "metrics": ["valid.macro_f1", "valid.other_top_2_accuracy"],
            "objective": { "maximise": { "Best": "valid.balanced_accuracy" } },
        }));
        let expected = study.run(&train, &QuietHost).unwrap();
        // 12 steps; with a checkpoint after every one, and stopped after each one, two or five.
        let keeper = Keeper { every: 1, ..Keeper::default() };
        assert_eq!(keeper.insist(&study, &train).0, expected);
        assert_eq!(
            keeper.checkpoints.lock().unwrap().keys().copied().collect::<Vec<_>>(),
            (1..=12).collect::<Vec<_>>()
        );
        for stop_after in [1, 2, 5] {
            let (outputs, interruptions) = Keeper { stop_after, ..Keeper::default() }.insist(&study, &train);
            assert_eq!(outputs, expected, "{optimizer} stopped after {stop_after}");
            assert_eq!(u64::from(interruptions), 12 / stop_after);
        }
        // Starting from each checkpoint.
        for checkpoint in keeper.checkpoints.lock().unwrap().values() {
            let host = Keeper::default();
            host.save_checkpoint(checkpoint);
            assert_eq!(study.run(&train, &host).unwrap(), expected, "from step {}", checkpoint.step);
            let steps = 12 - checkpoint.step;
            assert_eq!(host.steps.load(Ordering::Relaxed), steps, "from step {}", checkpoint.step);
        }
    }
}

#[test]
fn trainings_of_different_lengths_continue_from_each_others_checkpoints() {
    let study = Study::new();
    let (short, long) = (train(json!({ "epochs": 2 })), train(json!({ "epochs": 4 })));
    assert_eq!(short.trajectory(), long.trajectory());
    let host = Keeper { every: 3, ..Keeper::default() };
    study.run(&short, &host).unwrap();
    assert_eq!(study.run(&long, &host).unwrap(), study.run(&long, &QuietHost).unwrap());
    assert_eq!(host.steps.load(Ordering::Relaxed), 16);
    // A checkpoint has the histograms of all epochs, whether the training asked for any or not.
    let noted = train(json!({ "epochs": 5, "histograms": 3 }));
    assert_eq!(noted.trajectory(), short.trajectory());
    let outputs = study.run(&noted, &host).unwrap();
    assert_eq!(outputs, study.run(&noted, &QuietHost).unwrap());
    assert_eq!(host.steps.load(Ordering::Relaxed), 20);
    let histograms = Histograms::read(outputs.files()[Histograms::FILE].clone().into()).unwrap();
    assert_eq!(histograms.epochs().map(|(epoch, _)| epoch).collect::<Vec<_>>(), [0, 3, 5]);
    // The longer training has a checkpoint where the shorter one ends.
    assert_eq!(study.run(&short, &host).unwrap(), study.run(&short, &QuietHost).unwrap());
    assert_eq!(host.steps.load(Ordering::Relaxed), 20);
}

#[test]
fn checkpoints_that_passed_a_kept_epoch_or_an_early_stop_are_not_used() {
    let study = Study::new();
    let host = Keeper { every: 1, ..Keeper::default() };
    study.run(&train(json!({ "epochs": 4, "keep": ["Last"] })), &host).unwrap();
    host.checkpoints.lock().unwrap().retain(|step, _| *step > 4);
    let every = train(json!({ "epochs": 4, "keep": [{ "Every": 1 }] }));
    assert_eq!(study.run(&every, &host).unwrap(), study.run(&every, &QuietHost).unwrap());
    assert_eq!(every.trajectory(), train(json!({})).trajectory());

    let stopping = train(json!({ "epochs": 4, "early_stopping": { "patience": 1, "min_delta": 0.9 } }));
    let outputs = study.run(&stopping, &host).unwrap();
    assert_eq!(outputs, study.run(&stopping, &QuietHost).unwrap());
    assert_eq!(record(&outputs, "trial.json")["epochs"], 2);
}

#[test]
fn a_damaged_checkpoint_costs_only_time() {
    let study = Study::new();
    let host = Keeper { every: 1, ..Keeper::default() };
    let train = train(json!({}));
    let expected = study.run(&train, &host).unwrap();
    for (i, checkpoint) in host.checkpoints.lock().unwrap().values_mut().enumerate() {
        let parts: Vec<_> = checkpoint.parts.keys().cloned().collect();
        checkpoint.parts.get_mut(&parts[i % parts.len()]).unwrap().truncate(20);
    }
    assert_eq!(study.run(&train, &host).unwrap(), expected);
}

#[test]
fn a_checkpoint_of_epochs_that_are_not_there_is_not_used() {
    let study = Study::new();
    let train = train(json!({ "epochs": 2 }));
    let expected = study.run(&train, &QuietHost).unwrap();
    for (field, value) in [("best", json!(99)), ("best", json!(0)), ("kept", json!([7])), ("epochs", json!(null))] {
        let host = Keeper { every: 1, ..Keeper::default() };
        study.run(&train, &host).unwrap();
        for checkpoint in host.checkpoints.lock().unwrap().values_mut() {
            let weights = checkpoint.parts["weights.safetensors"].clone();
            checkpoint.parts.extend(
                [("best.safetensors", &weights), ("epoch-0007.safetensors", &weights)]
                    .map(|(name, weights)| (name.to_owned(), weights.clone())),
            );
            let mut state: Value = serde_json::from_slice(&checkpoint.parts["state.json"]).unwrap();
            if field == "epochs" {
                let epochs = state["epochs"].as_array_mut().unwrap();
                epochs.iter_mut().for_each(|epoch| epoch["train"]["heads"] = json!([]));
                state["sums"]["heads"] = json!([]);
            } else {
                state[field] = value.clone();
            }
            checkpoint.parts.insert("state.json".to_owned(), state.to_string().into_bytes());
        }
        assert!(study.run(&train, &host).unwrap() == expected, "{field}");
    }
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let shape = ImageShape { channels: 3, height: 20, width: 18 };
    let study = Study::with(shape, 1);
    let train = train(json!({
        "model": { "HyperCnn": { "base_filters": 5, "fc_units": [40, 5], "residual": 1, "pooling_type": "inception" } },
        "batch": 9, "epochs": 2,
    }));
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| study.run(&train, &QuietHost).unwrap())
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
}

#[test]
fn a_training_that_diverges_is_a_result() {
    let study = Study::new();
    let train = train(json!({ "learning_rate": 1e30, "keep": ["Best", "Last"] }));
    let outputs = study.run(&train, &QuietHost).unwrap();
    let score = record(&outputs, "score.json");
    assert_eq!((&score["status"], &score["loss"], &score["value"]), (&json!("diverged"), &json!("NaN"), &json!("NaN")));
    assert_eq!(Keeper { stop_after: 1, ..Keeper::default() }.insist(&study, &train).0, outputs);
}

#[test]
fn a_proposed_network_that_cannot_be_built_is_a_result_but_a_users_network_is_an_error() {
    let study = Study::new().propose(json!({ "nb_conv_pool_layers": 3.0 }), json!({}));
    let score = record(&study.run(&train(json!({})), &QuietHost).unwrap(), "score.json");
    assert_eq!((&score["status"], &score["loss"]), (&json!("failed"), &json!("NaN")));
    assert!(score["reason"].as_str().unwrap().contains("too small"), "{score}");
    let fixed = train(json!({ "model": { "HyperCnn": { "nb_conv_pool_layers": 3 } } }));
    let error = Study::new().run(&fixed, &QuietHost).unwrap_err();
    assert!(error.to_string().contains("images of 5x6 pixels are too small"), "{error}");
}

#[test]
fn proposed_values_override_parameters_and_labels_are_filled_in() {
    let values = json!({
        "batch_size": 5.0, "optimizer": "RMSprop", "lr_rate_mult": 2.0, "l2_weight_reg_mult": 0.5,
        "coarse_labels_weight": 0.25, "use_BN": false,
    });
    let study = Study::new().propose(values, json!({ "length": 2.0 }));
    let outputs = study.run(&train(json!({ "epochs": { "hp": "length" } })), &QuietHost).unwrap();
    let trial = record(&outputs, "trial.json");
    let expected = json!({
        "model": { "HyperCnn": {
            "activation": "elu", "base_filters": 3, "batch_size": 5, "bn_momentum": 0.9, "coarse_labels_weight": 0.25,
            "conv_dropout_drop_proba": 0.1, "fc_dropout_drop_proba": 0.1, "fc_units": [6, 5], "l2_weight_reg_mult": 0.5,
            "lr_rate_mult": 2, "nb_conv_pool_layers": 1, "optimizer": "RMSprop", "residual": 1, "use_BN": false,
        } },
        "epochs": 2, "batch": 5, "learning_rate": 0.02, "l2": 0.00035, "optimizer": "RMSprop", "momentum": 0.0,
        "nesterov": false, "weight_decay": 0.004, "schedule": "Constant", "clip_norm": null, "loss": "CrossEntropy",
        "label_smoothing": 0.0, "coarse_labels_weight": 0.25, "head_weights": [1.0, 0.25], "head": "Softmax",
        "objective": { "maximise": { "Best": "valid.accuracy" } }, "early_stopping": null, "keep": ["Best", "Last"],
        "histograms": null,
    });
    assert_eq!(trial["settings"], expected);
    let declared = Train::NAMES.iter().copied().filter(|name| !outputs::ADDED.contains(name)).chain(["head_weights"]);
    let recorded: BTreeSet<_> = trial["settings"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(recorded, declared.collect::<BTreeSet<_>>());
    assert_eq!((&trial["steps"], &trial["hyperparameters"]["use_BN"]), (&json!(10), &json!(false)));
}

#[test]
fn without_validation_the_last_epoch_is_the_best_and_added_images_are_trained_on() {
    let mut study = Study::new();
    let extra = study.objects.put(vec![]);
    let validation = study.slots.remove("validation").unwrap();
    assert_ne!(validation, extra);
    study.slots.insert("extra".into(), validation);
    let best = json!({ "format": 1, "trial": 0, "loss": 0.5, "epoch": 2, "labels": {}, "trials": 1, "completed": 1 });
    study.put("best", crate::params::record(&best));
    let outputs = study.run(
        &train(json!({ "epochs": "BestEpoch", "objective": { "maximise": { "Best": "train.accuracy" } } })),
        &QuietHost,
    );
    let outputs = outputs.unwrap();
    let (score, trial) = (record(&outputs, "score.json"), record(&outputs, "trial.json"));
    assert_eq!((&score["metric"], &score["epoch"]), (&json!("train.side_accuracy"), &json!(2)));
    assert_eq!(trial["steps"], 2 * 36u32.div_ceil(8));
    assert_eq!(outputs.files()["best/weights.safetensors"], outputs.files()["last/weights.safetensors"]);
}

#[test]
fn a_validation_metric_needs_a_validation_split() {
    let mut study = Study::new();
    study.slots.remove("validation");
    let error = study.run(&train(json!({})), &QuietHost).unwrap_err();
    assert_eq!(error.to_string(), "the objective is `valid.accuracy`, and there is no validation split");
}

#[test]
fn a_proposed_value_that_no_training_can_use_is_a_result() {
    let fixed = json!({ "epochs": { "hp": "ep" }, "batch": { "hp": "batch" } });
    for (values, labels, reason) in [
        (json!({}), json!({ "ep": 0 }), "label `ep` proposes 0, expected a whole number of 1 to 100000"),
        (
            json!({}),
            json!({ "ep": "BestEpoch" }),
            "label `ep` proposes \"BestEpoch\", expected a whole number of 1 to 100000",
        ),
        (json!({}), json!({ "batch": 0.0 }), "label `batch` proposes 0.0, expected a whole number of 1 to 65536"),
        (
            json!({ "batch_size": -48 }),
            json!({}),
            "label `batch_size` proposes -48, expected a whole number of 1 to 65536",
        ),
        (
            json!({ "batch_size": 2.5 }),
            json!({}),
            "label `batch_size` proposes 2.5, expected a whole number of 1 to 65536",
        ),
        (
            json!({ "optimizer": "adam" }),
            json!({}),
            "label `optimizer` proposes \"adam\", expected `Adam`, `AdamW`, `Nadam`, `RMSprop` or `SGD`",
        ),
        (json!({}), json!({ "ep": 2.5 }), "label `ep` proposes 2.5, expected a whole number of 1 to 100000"),
        (json!({ "lr_rate_mult": 0.0 }), json!({}), "label `lr_rate_mult` proposes 0.0, expected a number above 0"),
        (
            json!({ "l2_weight_reg_mult": -1 }),
            json!({}),
            "label `l2_weight_reg_mult` proposes -1, expected a number of at least 0",
        ),
    ] {
        let mut all = json!({ "ep": 1, "batch": 8 });
        all.as_object_mut().unwrap().extend(labels.as_object().unwrap().clone());
        let study = Study::new().propose(values, all);
        let train = train(fixed.clone());
        let score = record(&study.run(&train, &QuietHost).unwrap(), "score.json");
        assert_eq!((&score["status"], &score["reason"]), (&json!("failed"), &json!(reason)));
        assert!(train.memory(&Inputs::new(&study.slots, &study.objects)).is_ok());
    }
    // A label that the proposal lacks is an error of the study, not a result.
    assert!(Study::new().propose(json!({}), json!({})).run(&train(fixed), &QuietHost).is_err());
}

#[test]
fn data_that_do_not_fit_are_named() {
    let mut study = Study::new();
    let images = vec![0; SHAPE.bytes()];
    study.put("train", dataset::write(SHAPE, images, &[("side", &[2]), ("other", &[0])]));
    let error = study.run(&train(json!({})), &QuietHost).unwrap_err();
    assert_eq!(error.to_string(), "the split `train` has the label 2 for `side`, expected 0 to 1");
    let error =
        Study::new().run(&train(json!({ "objective": { "minimise": { "Last": "valid.fine_loss" } } })), &QuietHost);
    assert_eq!(error.unwrap_err().to_string(), "there is no metric `valid.fine_loss`");
}

/// Pins the bytes of version 2 on every instruction set. If the bytes change, the stage needs a new version (or the kernels a new
/// numerics class), and the digest here a new value.
#[test]
fn the_outputs_of_version_2_do_not_change() {
    let train = train(json!({ "keep": ["Best", "Last", { "Every": 2 }], "histograms": 2 }));
    assert_eq!(
        (train.id().version, crate::network::numerics(DeviceKind::Cpu, Precision::F32)),
        (2, "canonical f32, kernels-3")
    );
    let study = Study::new();
    for &isa in Isa::available() {
        let context = Context { seed: 5, device: ComputeDevice::CPU, host: &QuietHost };
        let inputs = Inputs::new(&study.slots, &study.objects);
        let outputs = train.run_at(Backend::Cpu(isa), &inputs, &context).unwrap();
        let digests: Vec<_> =
            outputs.files().iter().map(|(path, bytes)| (path.clone(), Digest::of(bytes).short())).collect();
        assert_eq!(
            digests,
            [
                ("architecture.json", "a6817c3a07b7"),
                ("best/weights.safetensors", "86c2cd58954a"),
                ("epoch-0002/weights.safetensors", "6fb13d6d949b"),
                ("histograms.safetensors", "0f2af5d37ea9"),
                ("history.csv", "396d79d20fa2"),
                ("last/weights.safetensors", "86c2cd58954a"),
                ("score.json", "305fa5ceb794"),
                ("trial.json", "4913c1c66408"),
            ]
            .map(|(path, digest)| (path.to_owned(), digest.to_owned())),
            "{isa}"
        );
    }
}

#[test]
fn a_trajectory_has_the_fields_that_decide_the_state_after_a_step() {
    assert!(NOT_OF_TRAJECTORY.iter().all(|field| Train::NAMES.contains(field)));
    let every_field = train(json!({
        "batch": 2, "learning_rate": 0.1, "l2": 0, "optimizer": "SGD", "momentum": 0.5, "nesterov": true, "weight_decay": 0,
        "schedule": { "Step": { "every_epochs": 1, "factor": 0.5 } }, "clip_norm": 1, "loss": "Poisson",
        "label_smoothing": 0.1, "coarse_labels_weight": 0.5, "head": "NormalisedSigmoid",
        "objective": { "minimise": { "Best": "valid.loss" } }, "early_stopping": { "patience": 1 }, "keep": ["Last"],
        "histograms": 1, "class_weights": "Balanced", "sampling": { "hp": "sampling" }, "metrics": ["valid.macro_f1"],
        "init": { "Weights": { "strict": false } }, "freeze": ["conv2d_1"],
    }));
    assert_eq!(serde_json::to_value(&every_field).unwrap().as_object().unwrap().len(), Train::NAMES.len());
    let trajectory = every_field.trajectory().unwrap();
    let left: BTreeSet<_> = trajectory.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(left, Train::NAMES.iter().copied().filter(|name| !NOT_OF_TRAJECTORY.contains(name)).collect());
}

#[test]
fn a_label_is_replaced_by_the_proposed_value() {
    let labels = json!({ "n": 2.0, "images": 16.0, "rate": 0.02, "l2": 0, "rule": "RMSprop", "second": 0.5 });
    let labelled = train(json!({
        "epochs": { "hp": "n" }, "batch": { "hp": "images" }, "learning_rate": { "hp": "rate" }, "l2": { "hp": "l2" },
        "optimizer": { "hp": "rule" }, "coarse_labels_weight": { "hp": "second" },
    }));
    let written = train(json!({
        "epochs": 2, "batch": 16, "learning_rate": 0.02, "l2": 0, "optimizer": "RMSprop", "coarse_labels_weight": 0.5,
    }));
    let study = Study::new().propose(json!({}), labels);
    assert_eq!(study.run(&labelled, &QuietHost).unwrap(), study.run(&written, &QuietHost).unwrap());
}

/// A policy with every kind of change that images of two channels may have.
fn every_change() -> Value {
    json!([
        { "RandomFlip": 0.5 }, { "VerticalFlip": 0.5 }, { "RandomCrop": 1 }, { "Rotation": 20 }, { "Scale": 0.2 },
        { "Translation": 0.1 }, { "ColourJitter": { "brightness": 0.4, "contrast": 0.4 } }, { "Cutout": 2 },
        { "RandomErasing": { "value": "Noise" } }, { "MixUp": 0.4 }, { "CutMix": 1 },
    ])
}

#[test]
fn interruptions_threads_and_instruction_sets_do_not_change_a_training_on_mixed_images() {
    let study = Study::new().augment(every_change());
    let train = train(json!({ "label_smoothing": 0.1 }));
    let expected = study.run(&train, &QuietHost).unwrap();
    assert_ne!(expected, Study::new().run(&train, &QuietHost).unwrap());
    for stop_after in [1, 5] {
        assert_eq!(Keeper { stop_after, ..Keeper::default() }.insist(&study, &train).0, expected);
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    assert_eq!(pool.install(|| study.run(&train, &QuietHost).unwrap()), expected);
    for &isa in Isa::available() {
        let context = Context { seed: 5, device: ComputeDevice::CPU, host: &QuietHost };
        let inputs = Inputs::new(&study.slots, &study.objects);
        assert_eq!(train.run_at(Backend::Cpu(isa), &inputs, &context).unwrap(), expected, "{isa}");
    }
    // If this fails, trainings with these changes give other bytes: the stage needs a new version.
    assert_eq!(Digest::of(&expected.files()["last/weights.safetensors"]).short(), "b5b056ea6e2e");
}

#[test]
fn a_mixed_image_does_not_depend_on_its_batch_and_its_labels_are_those_of_its_images() {
    let mut study = Study::new().augment(json!([{ "RandomCrop": 1 }, { "MixUp": 0.4 }, { "CutMix": 1 }]));
    // With added images: a partner may be of either split.
    let added = study.slots.remove("validation").unwrap();
    study.slots.insert("extra".into(), added);
    let data = Data::read(&Inputs::new(&study.slots, &study.objects), train(json!({})).head).unwrap();
    let mut order: Vec<u32> = (0..36).collect();
    Stream::new(5, Purpose::Order, 1, 0).shuffle(&mut order);
    let draws: Vec<_> = order.iter().map(|&image| Draw { image, repeat: 0 }).collect();
    let batch = |from, to| data.train_batch(&data.policy, &draws, from..to, 1, 5);
    let whole = batch(0, 36);
    let size = SHAPE.bytes();
    for step in [1, 5, 7] {
        for from in (0..36).step_by(step) {
            let part = batch(from, (from + step).min(36));
            assert_eq!(part.images, whole.images[from * size..][..part.n * size]);
            let (some, all) = (part.others.unwrap(), whole.others.as_ref().unwrap());
            assert_eq!(some.shares, all.shares[from..][..part.n]);
            for (some, all) in [(&part.labels, &whole.labels), (&some.labels, &all.labels)] {
                assert!((0..2).all(|head| some[head] == all[head][from..][..part.n]));
            }
        }
    }
    // The slow way: both images by themselves, then their mixture.
    let others = whole.others.unwrap();
    let plain = Study { slots: study.slots.clone(), objects: study.objects }.augment(json!([{ "RandomCrop": 1 }]));
    let alone = Data::read(&Inputs::new(&plain.slots, &plain.objects), train(json!({})).head).unwrap();
    let shown = alone.train_batch(&alone.policy, &draws, 0..36, 1, 5);
    assert!(shown.others.is_none());
    let mut shares = BTreeSet::new();
    for position in 0..36 {
        let mixture = data.policy.mixture(SHAPE, 36, position, 1, 5).unwrap();
        let mut image = shown.images[position * size..][..size].to_vec();
        mixture.apply(&mut image, &shown.images[mixture.partner * size..][..size], SHAPE);
        assert_eq!(image, whole.images[position * size..][..size]);
        for head in 0..2 {
            assert_eq!(whole.labels[head][position], shown.labels[head][position]);
            assert_eq!(others.labels[head][position], shown.labels[head][mixture.partner]);
        }
        assert_eq!(others.shares[position], mixture.share);
        shares.insert(mixture.share.to_bits());
    }
    assert!(shares.len() > 18, "{}", shares.len());
}

#[test]
fn a_network_learns_from_mixed_images() {
    let study = Study::new().augment(json!([{ "MixUp": 0.4 }, { "CutMix": 1 }]));
    let outputs = study.run(&train(json!({ "epochs": 12 })), &QuietHost).unwrap();
    let score = record(&outputs, "score.json");
    assert!(score["value"].as_f64().unwrap() > 0.8, "{score}");
}

#[test]
fn a_label_of_a_policy_is_replaced_by_the_proposed_value() {
    let labelled = json!([{ "RandomFlip": 0.5 }, { "Rotation": { "hp": "turn" } }, { "MixUp": { "hp": "mix" } }]);
    let written = json!([{ "RandomFlip": 0.5 }, { "Rotation": 30 }, { "MixUp": 0.4 }]);
    let run = |policy: &Value, labels: Value| {
        Study::new().propose(json!({}), labels).augment(policy.clone()).run(&train(json!({})), &QuietHost)
    };
    let labels = json!({ "turn": 30, "mix": 0.4 });
    assert_eq!(run(&labelled, labels.clone()).unwrap(), run(&written, labels).unwrap());
    let reason = |policy: &Value, labels: Value| {
        let score = record(&run(policy, labels).unwrap(), "score.json");
        assert_eq!(score["status"], "failed");
        score["reason"].clone()
    };
    assert_eq!(
        reason(&labelled, json!({ "turn": 300.0, "mix": 0.4 })),
        "label `turn` proposes 300.0, expected a number of 0 to 180"
    );
    assert_eq!(
        reason(&json!([{ "RandomCrop": { "hp": "padding" } }]), json!({ "padding": 5.0 })),
        "`RandomCrop(5)` on images of 6 x 5: expected less than the shorter side"
    );
    let error = run(&labelled, json!({ "turn": 30 })).unwrap_err();
    assert_eq!(error.to_string(), "`MixUp`: the proposal has no label `mix`");
    // Other stages only normalise, so they need no values.
    let unproposed = Study::new().augment(labelled);
    let inputs = Inputs::new(&unproposed.slots, &unproposed.objects);
    assert!(crate::images::Policy::of_inputs(&inputs, SHAPE).is_ok());
    assert!(unproposed.run(&train(json!({})), &QuietHost).is_err());
}

/// A study of one head whose class `right` has one image in five.
fn unequal() -> Study {
    let mut study = Study::with(SHAPE, 1);
    for (slot, n) in [("train", 25), ("validation", 11)] {
        let stream = Stream::new(8, Purpose::Shapes, n, 0);
        let side = |image: usize| i32::from(image.is_multiple_of(5));
        let pixel = |p: usize| {
            let (image, column) = (p / SHAPE.bytes(), p % SHAPE.width);
            let light = (column * 2 >= SHAPE.width) == (side(image) == 1);
            (stream.u32(p as u64) % 200) as u8 + if light { 40 } else { 0 }
        };
        let labels: Vec<_> = (0..n as usize).map(side).collect();
        study.put(
            slot,
            dataset::write(SHAPE, (0..labels.len() * SHAPE.bytes()).map(pixel).collect(), &[("side", &labels)]),
        );
    }
    study
}

#[test]
fn asking_for_a_metric_adds_it_and_changes_nothing_else() {
    let study = Study::new();
    let plain = study.run(&train(json!({})), &QuietHost).unwrap();
    let metrics =
        json!(["valid.other_macro_f1", "valid.side_balanced_accuracy", "valid.other_top_2_accuracy", "valid.loss"]);
    let asked = study.run(&train(json!({ "metrics": metrics })), &QuietHost).unwrap();
    for same in ["best/weights.safetensors", "last/weights.safetensors", "score.json", "architecture.json"] {
        assert!(plain.files()[same] == asked.files()[same], "{same}");
    }
    let read = |outputs: &Outputs| records::TrainingHistory::read(&outputs.files()["history.csv"]).unwrap();
    let (plain, history) = (read(&plain), read(&asked));
    let (common, new) = history.metrics.split_at(plain.metrics.len());
    assert_eq!(common, plain.metrics);
    assert_eq!(new, ["valid.side_balanced_accuracy", "valid.other_macro_f1", "valid.other_top_2_accuracy"]);
    assert_eq!(history.heads(), ["side", "other"]);
    for (old, row) in plain.rows.iter().zip(&history.rows) {
        assert_eq!(old.values, row.values[..old.values.len()]);
        assert!(row.values.iter().rev().take(3).all(|value| (0.0..=1.0).contains(value)), "{row:?}");
    }
    let figures = &record(&asked, "trial.json")["figures"];
    assert_eq!(figures["valid.other_macro_f1"]["end"], history.rows[2].values[11]);
    let best = history.rows.iter().map(|row| row.values[11]).fold(0.0, f64::max);
    assert_eq!(figures["valid.other_macro_f1"]["best"], best);
}

#[test]
fn a_metric_that_is_asked_for_can_be_the_objective() {
    let study = unequal();
    let by = |name: &str| {
        let outputs = study.run(&train(json!({ "objective": { "maximise": { "Best": name } } })), &QuietHost).unwrap();
        record(&outputs, "score.json")
    };
    let score = by("valid.balanced_accuracy");
    assert_eq!(score["metric"], "valid.side_balanced_accuracy");
    assert!((0.0..=1.0).contains(&score["value"].as_f64().unwrap()));
    assert_eq!(by("valid.side_top_1_accuracy")["value"], by("valid.accuracy")["value"]);
    let wrong = |name: &str| {
        let train = train(json!({ "objective": { "maximise": { "Best": name } } }));
        study.run(&train, &QuietHost).unwrap_err().to_string()
    };
    assert_eq!(wrong("valid.top_2_accuracy"), "`valid.top_2_accuracy` is 1 for every network: `side` has 2 classes");
    assert_eq!(wrong("train.macro_f1"), "there is no metric `train.macro_f1`");
}

#[test]
fn class_weights_and_balanced_sampling_find_the_rare_class() {
    let study = unequal();
    let recall = |changes: Value| {
        let mut params = json!({ "epochs": 8, "metrics": ["valid.balanced_accuracy"], "objective": { "maximise": { "Last": "valid.accuracy" } } });
        params.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let trial = record(&study.run(&train(params), &QuietHost).unwrap(), "trial.json");
        (trial["figures"]["valid.side_balanced_accuracy"]["end"].as_f64().unwrap(), trial)
    };
    let (plain, trial) = recall(json!({}));
    assert!(trial["settings"].get("weights_of_classes").is_none());
    let (weighted, trial) = recall(json!({ "class_weights": "Balanced" }));
    // 25 images, 20 of them on the left: 25 / (2 * 20) and 25 / (2 * 5).
    assert_eq!(trial["settings"]["weights_of_classes"], json!({ "left": 0.625, "right": 2.5 }));
    let (sampled, _) = recall(json!({ "sampling": "Balanced" }));
    assert!(weighted > plain && sampled > plain, "{plain} {weighted} {sampled}");
}

#[test]
fn weights_for_unknown_classes_are_refused_and_proposed_ones_are_used() {
    let unknown = Study::new().run(&train(json!({ "class_weights": { "rigth": 2 } })), &QuietHost).unwrap_err();
    assert_eq!(unknown.to_string(), "`class_weights`: there is no class `rigth`");
    let labels = json!({ "w": 3.0, "how": "Balanced" });
    let study = Study::new().propose(json!({}), labels);
    let labelled = train(json!({ "class_weights": { "right": { "hp": "w" } }, "sampling": { "hp": "how" } }));
    let written = train(json!({ "class_weights": { "right": 3.0 }, "sampling": "Balanced" }));
    assert_eq!(study.run(&labelled, &QuietHost).unwrap(), study.run(&written, &QuietHost).unwrap());
    let twice = train(json!({ "class_weights": "Balanced", "sampling": { "hp": "how" } }));
    let score = record(&study.run(&twice, &QuietHost).unwrap(), "score.json");
    assert_eq!(score["status"], "failed");
    assert!(score["reason"].as_str().unwrap().contains("favours rare classes twice"), "{score}");
}

fn last_weights(outputs: &Outputs) -> Weights {
    let architecture: Architecture = serde_json::from_value(record(outputs, "architecture.json")).unwrap();
    Weights::read(&architecture, outputs.files()["last/weights.safetensors"].clone().into()).unwrap()
}

#[test]
fn a_training_starts_from_given_weights_and_leaves_frozen_layers_as_they_are() {
    let mut study = Study::new();
    let first = study.run(&train(json!({})), &QuietHost).unwrap();
    study.put("init", first.files()["last/weights.safetensors"].clone());
    let changes = json!({
        "init": { "Weights": {} }, "freeze": ["conv2d_*", "batch_normalization_1"], "l2": 0.1, "clip_norm": 0.1, "optimizer": "AdamW",
    });
    let outputs = study.run(&train(changes.clone()), &QuietHost).unwrap();
    let trial = record(&outputs, "trial.json");
    let (before, after) = (last_weights(&first), last_weights(&outputs));
    assert_eq!(trial["transfer"], json!({ "taken": before.0.len(), "drawn": [], "unused": [] }));
    let frozen: Vec<String> = serde_json::from_value(trial["frozen"].clone()).unwrap();
    assert!(
        frozen.contains(&"conv2d_1".to_owned()) && frozen.contains(&"batch_normalization_1".to_owned()),
        "{frozen:?}"
    );
    for (name, weight) in &before.0 {
        let is_frozen = frozen.iter().any(|layer| name.starts_with(&format!("{layer}.")));
        assert_eq!(*weight == after.0[name], is_frozen, "{name}");
    }
    // The state has no moments of frozen layers, and interruptions change nothing.
    let host = Keeper { every: 1, ..Keeper::default() };
    assert_eq!(host.insist(&study, &train(changes.clone())).0, outputs);
    for checkpoint in host.checkpoints.lock().unwrap().values() {
        let moments =
            crate::tensors::TensorsReader::new(checkpoint.parts["moments.safetensors"].clone().into()).unwrap();
        let of_frozen = |name: &str| frozen.iter().any(|layer| name.starts_with(&format!("{layer}.")));
        assert!(moments.names().count() > 0 && !moments.names().any(of_frozen));
        let again = Keeper::default();
        again.save_checkpoint(checkpoint);
        assert_eq!(study.run(&train(changes.clone()), &again).unwrap(), outputs, "from step {}", checkpoint.step);
    }
    for stop_after in [1, 5] {
        let (again, _) = Keeper { stop_after, ..Keeper::default() }.insist(&study, &train(changes.clone()));
        assert_eq!(again, outputs, "stopped after {stop_after}");
    }
}

/// The slow, obvious way to freeze: train everything for a step, and put back what is frozen.
#[test]
fn a_step_moves_what_is_not_frozen_as_a_step_without_freezing_does() {
    let study = Study::new();
    let one_step = |freeze: Value| {
        let model =
            json!({ "base_filters": 3, "fc_units": [6, 5], "nb_conv_pool_layers": 1, "residual": 1, "use_BN": false });
        let train = train(json!({
            "model": { "HyperCnn": model }, "epochs": 1, "batch": 25, "optimizer": "SGD", "l2": 0.01, "freeze": freeze,
        }));
        study.run(&train, &QuietHost).unwrap()
    };
    let all = one_step(json!([]));
    let architecture: Architecture = serde_json::from_value(record(&all, "architecture.json")).unwrap();
    let (all, some) = (last_weights(&all), last_weights(&one_step(json!(["conv2d_2", "side"]))));
    let initial = Weights::initial(&architecture, 5);
    for (name, weight) in &some.0 {
        let is_frozen = name.starts_with("conv2d_2.") || name.starts_with("side.");
        assert!(*weight == if is_frozen { &initial } else { &all }.0[name], "{name}");
    }
    assert!(all.0["side.kernel"] != initial.0["side.kernel"]);
}

#[test]
fn another_head_starts_fresh_and_is_told() {
    let mut study = Study::with(SHAPE, 1);
    let first = study.run(&train(json!({})), &QuietHost).unwrap();
    let mut two = Study::new();
    two.put("init", first.files()["last/weights.safetensors"].clone());
    let start = json!({ "init": { "Weights": { "strict": false } }, "learning_rate": 1e-30, "keep": ["Last"] });
    let outputs = two.run(&train(start.clone()), &QuietHost).unwrap();
    let trial = record(&outputs, "trial.json");
    assert_eq!(trial["settings"]["init"], json!({ "Weights": { "strict": false } }));
    assert_eq!(trial["transfer"]["drawn"], json!(["other.kernel", "other.bias"]));
    let fresh =
        last_weights(&two.run(&train(json!({ "learning_rate": 1e-30, "keep": ["Last"] })), &QuietHost).unwrap());
    let (taken, given) = (last_weights(&outputs), last_weights(&first));
    assert_eq!(taken.0["other.kernel"], fresh.0["other.kernel"]);
    assert_eq!(taken.0["conv2d_1.kernel"], given.0["conv2d_1.kernel"]);
    // Strictly it is an error, and in a search a failed trial.
    let strict = train(json!({ "init": { "Weights": {} } }));
    let error = two.run(&strict, &QuietHost).unwrap_err().to_string();
    assert!(error.starts_with("`init`: `other.kernel` is missing, and 1 more do not fit"), "{error}");
    let proposed = two.propose(json!({}), json!({}));
    let score = record(&proposed.run(&strict, &QuietHost).unwrap(), "score.json");
    assert_eq!((&score["status"], score["reason"].as_str()), (&json!("failed"), Some(error.as_str())));
    study.put("init", b"no weights".to_vec());
    let error = study.run(&strict, &QuietHost).unwrap_err().to_string();
    assert!(error.starts_with("the weights to start from cannot be read: not a safetensors file"), "{error}");
}

#[test]
fn a_frozen_layer_that_does_not_exist_is_named() {
    let error = Study::new().run(&train(json!({ "freeze": ["conv_9"] })), &QuietHost).unwrap_err().to_string();
    assert!(error.starts_with("`freeze`: no layer is called `conv_9`: those with weights are `"), "{error}");
}
