//! Prints how long a training step takes: `cargo run --release -p pipe-stages --example step_time -- BASE_FILTERS BATCH [best]`.
//! With `best` the network is the seed's best, else a middling one of its search space. Threads: `RAYON_NUM_THREADS`.

#![expect(clippy::disallowed_methods, reason = "it is no stage: it times one")]

use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use pipe_stages::{
    dataset::{self, ImageShape},
    params,
    philox::{Purpose, Stream},
    stage::{Checkpoint, ComputeDevice, Context, Host, Inputs, Progress, Stage},
    train::Train,
};
use pipe_store::MemoryObjects;
use serde_json::json;

/// Notes when each step ended.
struct Clock(Mutex<Vec<Instant>>);

impl Host for Clock {
    fn progress(&self, _: &Progress) {
        self.0.lock().expect("one thread").push(Instant::now());
    }

    fn checkpoint_due(&self) -> bool {
        false
    }

    fn interrupted(&self) -> bool {
        false
    }

    fn latest_checkpoint(&self, _: u64) -> Option<Checkpoint> {
        None
    }

    fn save_checkpoint(&self, _: &Checkpoint) {}
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: u32| arguments.get(i).map_or(default, |text| text.parse().expect("a number"));
    let (base, batch): (u32, u32) = (number(0, 8), number(1, 64));
    let mut network = json!({
        "activation": "elu", "conv_kernel_size": 3, "fc_units_1_mult": 1.0, "first_conv": 3, "nb_conv_pool_layers": 3,
        "pooling_type": "inception", "res_conv_kernel_size": 3, "residual": 2, "use_BN": true,
        "conv_dropout_drop_proba": 0.2, "fc_dropout_drop_proba": 0.4, "base_filters": base, "fc_units": [base * 25, base * 19],
    });
    if arguments.get(2).is_some_and(|text| text == "best") {
        let best = json!({
            "conv_hiddn_units_mult": 1.59583, "fc_units_1_mult": 1.3084, "pooling_type": "avg", "res_conv_kernel_size": 2,
            "residual": 3,
        });
        network.as_object_mut().expect("a map").extend(best.as_object().expect("a map").clone());
    }
    let shape = ImageShape { channels: 3, height: 32, width: 32 };
    let n = number(3, 24) as usize * batch as usize;
    let stream = Stream::new(1, Purpose::Shapes, 0, 0);
    let images = (0..n * shape.bytes()).map(|i| stream.u32(i as u64) as u8).collect();
    let labels: Vec<i32> = (0..n as i32).map(|i| i % 100).collect();
    let classes = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
    let mut objects = MemoryObjects::default();
    let coarse: Vec<i32> = labels.iter().map(|label| label / 5).collect();
    let heads = json!([{ "name": "fine", "classes": classes(100) }, { "name": "coarse", "classes": classes(20) }]);
    let normalise = json!({ "scale": vec![1.0 / 255.0; 3], "offset": vec![-0.5; 3] });
    let slots: BTreeMap<_, _> = [
        ("train", dataset::write(shape, images, &[("fine", &labels), ("coarse", &coarse)])),
        ("labels", params::record(&json!({ "format": 1, "heads": heads, "image": shape }))),
        ("policy", params::record(&json!({ "format": 1, "normalise": normalise, "policy": [{ "RandomFlip": 0.5 }] }))),
    ]
    .into_iter()
    .map(|(slot, bytes)| (slot.to_owned(), objects.put(bytes)))
    .collect();
    let train = json!({ "model": { "HyperCnn": network }, "epochs": 1, "batch": batch, "objective": { "maximise": { "Last": "train.fine_accuracy" } } });
    let train: Train = serde_json::from_value(train).expect("the parameters fit");
    let clock = Clock(Mutex::new(vec![Instant::now()]));
    let context = Context { seed: 1, device: ComputeDevice::Cpu, host: &clock };
    let outputs = train.run(&Inputs::new(&slots, &objects), &context).expect("it trains");
    let times = clock.0.into_inner().expect("one thread");
    let mut steps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    steps.sort_unstable();
    let median = steps[steps.len() / 2];
    let trial: serde_json::Value = serde_json::from_slice(&outputs.files()["trial.json"]).expect("a record");
    let rate = f64::from(batch) / median.as_secs_f64();
    println!("{} parameters: {median:?} a step, {rate:.0} images/s", trial["parameters"]);
}
