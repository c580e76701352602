//! Trainings on a device follow those of the CPU. Without a device, the tests pass and say that they were skipped.

use std::sync::{Arc, Mutex};

use cubecl::logging::{LaunchObservation, LaunchObserver};

use super::*;
use crate::network::on_burn::{test_device, traffic};

impl Study {
    /// Runs on a device, or on the CPU.
    fn run_on(
        &self,
        device: Option<&burn::tensor::Device>,
        train: &Train,
        host: &dyn Host,
    ) -> Result<Outputs, StageError> {
        let backend = device.map_or_else(
            || Backend::of(ComputeDevice::CPU).unwrap(),
            |device| Backend::Burn(device.clone(), Precision::F32),
        );
        let context = Context { seed: 5, device: ComputeDevice::CPU, host };
        train.run_at(backend, &Inputs::new(&self.slots, &self.objects), &context)
    }
}

/// Returns the numbers of a column of `history.csv`.
fn column(outputs: &Outputs, name: &str) -> Vec<f64> {
    let history = std::str::from_utf8(&outputs.files()["history.csv"]).unwrap();
    let mut lines = history.lines();
    let at = lines.next().unwrap().split(',').position(|column| column == name).expect(name);
    lines.map(|line| line.split(',').nth(at).unwrap().parse().unwrap()).collect()
}

fn check(on_device: &Outputs, on_cpu: &Outputs, what: &str) {
    for name in ["train.loss", "valid.loss"] {
        for (found, expected) in column(on_device, name).iter().zip(column(on_cpu, name)) {
            assert!((found - expected).abs() < 2e-3 * expected.abs().max(1.0), "{what}: {name} {found} {expected}");
        }
    }
}

#[test]
fn the_losses_of_a_training_follow_those_of_the_cpu() {
    let Some((device, _turn)) = test_device() else { return };
    let study = Study::new();
    for (what, changes) in [
        ("Nadam", json!({ "epochs": 5 })),
        (
            "all at once",
            json!({
                "optimizer": "AdamW", "clip_norm": 0.5, "label_smoothing": 0.1, "class_weights": { "right": 2.0 },
                "sampling": "Balanced", "schedule": { "Cosine": { "over_epochs": 4, "warmup_epochs": 1 } },
                "metrics": ["valid.macro_f1"], "l2": 0.01,
            }),
        ),
        ("RMSprop", json!({ "optimizer": "RMSprop", "learning_rate": 0.001, "loss": "Poisson" })),
        ("SGD", json!({ "optimizer": "SGD", "momentum": 0.9, "loss": "MeanSquaredError" })),
    ] {
        let train = train(changes);
        let [on_device, on_cpu] = [Some(&device), None].map(|device| study.run_on(device, &train, &QuietHost).unwrap());
        check(&on_device, &on_cpu, what);
    }
}

#[test]
fn images_that_a_device_cannot_change_are_changed_on_the_host() {
    let Some((device, _turn)) = test_device() else { return };
    for policy in
        [json!([{ "Rotation": 20.0 }, { "RandomFlip": 0.5 }]), json!([{ "Rotation": 20.0 }, { "MixUp": 0.4 }])]
    {
        let study = Study::new().augment(policy.clone());
        let train = train(json!({}));
        let [on_device, on_cpu] = [Some(&device), None].map(|device| study.run_on(device, &train, &QuietHost).unwrap());
        check(&on_device, &on_cpu, &policy.to_string());
    }
}

#[test]
fn interruptions_do_not_change_the_outputs() {
    let Some((device, _turn)) = test_device() else { return };
    let study = Study::new();
    let train = train(json!({ "keep": ["Best", { "Every": 2 }], "momentum": 0.9, "clip_norm": 0.5, "l2": 0.01 }));
    let expected = study.run_on(Some(&device), &train, &QuietHost).unwrap();
    let keeper = Keeper { every: 1, stop_after: 5, ..Keeper::default() };
    for _ in 0..2 {
        assert!(matches!(study.run_on(Some(&device), &train, &keeper), Err(StageError::Interrupted)));
    }
    assert!(study.run_on(Some(&device), &train, &keeper).unwrap() == expected);
    assert_eq!(keeper.checkpoints.lock().unwrap().len(), 12);
}

#[test]
fn a_training_that_diverges_is_the_same_result() {
    let Some((device, _turn)) = test_device() else { return };
    let study = Study::new();
    let train = train(json!({ "learning_rate": 1e30, "keep": ["Best", "Last"], "momentum": 0.9 }));
    let outputs = study.run_on(Some(&device), &train, &QuietHost).unwrap();
    assert_eq!(record(&outputs, "score.json")["status"], json!("diverged"));
    let keeper = Keeper { every: 1, ..Keeper::default() };
    assert!(study.run_on(Some(&device), &train, &keeper).unwrap() == outputs);
}

/// In a step, the host sends a few words for each image and nothing else. It waits for the device once in an epoch, and at the end.
#[test]
fn nothing_but_words_is_copied_in_a_step() {
    let Some((device, _turn)) = test_device() else { return };
    let train = train(json!({ "clip_norm": 0.5, "l2": 0.01 }));
    traffic::taken();
    Study::new().run_on(Some(&device), &train, &QuietHost).unwrap();
    let found = traffic::taken();
    // Three epochs of four steps, each followed by a validation, and the final state.
    assert_eq!(found.reads, 3 + 1);
    // An image has its index and the two words of `RandomCrop`. Before the steps, weights, moments and data are copied.
    let of_step = |uploads: &[usize]| uploads.iter().all(|length| length.is_multiple_of(3) && *length <= 3 * 8);
    let in_steps = &found.uploads[found.uploads.len() - 3 * (4 + 1)..];
    for epoch in in_steps.chunks(5) {
        assert!(of_step(&epoch[..4]), "{epoch:?}");
    }
}

/// The kernels that were launched, and how often.
#[derive(Default)]
struct Launches(Mutex<BTreeMap<&'static str, u64>>);

impl LaunchObserver for Launches {
    fn launched(&self, kernel: &'static str) {
        *self.0.lock().unwrap().entry(kernel).or_default() += 1;
    }
}

/// Every epoch launches the same kernels, and a step changes all arrays in one launch.
#[test]
fn a_step_launches_few_kernels() {
    let Some((device, _turn)) = test_device() else { return };
    // The first training also tunes kernels.
    let launches = [1, 1, 2, 3].map(|epochs| {
        let train = train(json!({ "clip_norm": 0.5, "l2": 0.01, "epochs": epochs }));
        let launches = Arc::new(Launches::default());
        let observation = LaunchObservation::new(launches.clone());
        Study::new().run_on(Some(&device), &train, &QuietHost).unwrap();
        drop(observation);
        launches.0.lock().unwrap().clone()
    });
    // What is launched once is in all of them.
    let more = |one: usize| -> BTreeMap<&str, u64> {
        let before = |name: &str| launches[one - 1].get(name).copied().unwrap_or(0);
        let more = launches[one].iter().map(|(&name, n)| (name, n - before(name)));
        more.filter(|(_, n)| *n > 0).collect()
    };
    assert_eq!(more(2), more(3));
    let epoch = more(3);
    let of = |name: &str| epoch.iter().filter(|(kernel, _)| kernel.contains(name)).map(|(_, n)| n).sum::<u64>();
    // Four steps: one update of all arrays, one sum for the norm of all gradients and one for the penalty.
    assert_eq!((of("Adaptive"), of("OfTiles")), (4, 8), "{epoch:#?}");
    let all: u64 = epoch.values().sum();
    assert!(all <= 4 * MOST_OF_STEP, "{all} launches in an epoch of four steps: {epoch:#?}");
}

/// The launches of a step of the test's network, with a fourth of its validation.
const MOST_OF_STEP: u64 = 125;
