//! Times the steps of a training, data and optimizer included: `cargo bench --bench train_step -- [NETWORK BATCH STEPS]`.
//!
//! NETWORK is `best` (the best network of Hyperopt-CIFAR, on 32x32 RGB), `cnn` or `mlp` (the baselines, on 28x28 grey), or
//! `small` (a network of the default study). Without arguments all are timed. The output is a line of JSON for each, with
//! images per second at the median step. `RAYON_NUM_THREADS` sets the number of threads.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use pipe_stages::{
    images::dataset::{self, ImageShape},
    params,
    philox::{Purpose, Stream},
    stage::{ComputeDevice, Context, Host, Inputs, Progress, Stage},
    train::Train,
};
use pipe_store::MemoryObjects;
use serde_json::{Value, json};

/// Records when each step ended.
struct Clock(Mutex<Vec<Instant>>);

impl Host for Clock {
    fn progress(&self, _: &Progress) {
        self.0.lock().expect("one thread").push(Instant::now());
    }
}

const NETWORKS: [(&str, u32, u32); 7] = [
    ("best", 64, 8),
    ("best", 320, 3),
    ("cnn", 32, 200),
    ("cnn", 256, 40),
    ("mlp", 32, 400),
    ("mlp", 256, 200),
    ("small", 64, 40),
];

fn main() {
    // `cargo bench` adds its own flag.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.as_slice() {
        [] => NETWORKS.iter().for_each(|&(network, batch, steps)| time(network, batch, steps)),
        // `cargo bench -- NAME` passes the filter NAME to every benchmark.
        [name] => {
            let named = NETWORKS.iter().filter(|(network, ..)| name == "train_step" || network == name);
            named.for_each(|&(network, batch, steps)| time(network, batch, steps));
        }
        [network, batch, steps] => {
            time(network, batch.parse().expect("BATCH is a number"), steps.parse().expect("STEPS is a number"));
        }
        other => panic!("expected NETWORK BATCH STEPS, found {other:?}"),
    }
}

/// Returns the training parameters of a network, the shape of its images, and the classes of its heads.
fn case(network: &str) -> (Value, ImageShape, Vec<(&'static str, usize)>) {
    let rgb = (ImageShape { channels: 3, height: 32, width: 32 }, vec![("fine", 100), ("coarse", 20)]);
    let grey = (ImageShape { channels: 1, height: 28, width: 28 }, vec![("class", 10)]);
    let hyper_cnn = |settings: Value| json!({ "model": { "HyperCnn": settings } });
    let plain = |family: &str| json!({ "model": { family: {} }, "l2": 0 });
    let (train, (shape, heads)) = match network {
        "best" => {
            let settings = json!({
                "activation": "elu", "coarse_labels_weight": 0.30671, "conv_dropout_drop_proba": 0.25924,
                "conv_hiddn_units_mult": 1.59583, "conv_kernel_size": 3, "conv_pool_res_start_idx": 0,
                "fc_dropout_drop_proba": 0.43223, "fc_units_1_mult": 1.3084, "first_conv": 3,
                "l2_weight_reg_mult": 0.41207, "lr_rate_mult": 0.65493, "nb_conv_pool_layers": 3, "one_more_fc": null,
                "optimizer": "Nadam", "pooling_type": "avg", "res_conv_kernel_size": 2, "residual": 3, "use_BN": true,
            });
            (hyper_cnn(settings), rgb)
        }
        "small" => {
            let settings = json!({
                "activation": "elu", "base_filters": 8, "conv_dropout_drop_proba": 0.2, "conv_kernel_size": 3,
                "fc_dropout_drop_proba": 0.4, "fc_units": [200, 152], "fc_units_1_mult": 1.0, "first_conv": 3,
                "nb_conv_pool_layers": 3, "pooling_type": "inception", "res_conv_kernel_size": 3, "residual": 2,
                "use_BN": true,
            });
            (hyper_cnn(settings), rgb)
        }
        "cnn" => (plain("Cnn"), grey),
        "mlp" => (plain("Mlp"), grey),
        other => panic!("expected `best`, `small`, `cnn` or `mlp`, found `{other}`"),
    };
    (train, shape, heads)
}

fn time(network: &str, batch: u32, steps: u32) {
    let (mut train, shape, heads) = case(network);
    let n = (batch * steps) as usize;
    let stream = Stream::new(1, Purpose::Shapes, 0, 0);
    let images = (0..n * shape.bytes()).map(|i| stream.u32(i as u64) as u8).collect();
    let labels: Vec<(&str, Vec<i32>)> =
        heads.iter().map(|&(head, classes)| (head, (0..n).map(|i| (i % classes) as i32).collect())).collect();
    let labels: Vec<(&str, &[i32])> = labels.iter().map(|(head, labels)| (*head, labels.as_slice())).collect();
    let names = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
    let of_heads: Vec<_> = heads.iter().map(|&(head, n)| json!({ "name": head, "classes": names(n) })).collect();
    let normalise = json!({ "scale": vec![1.0 / 255.0; shape.channels], "offset": vec![-0.5; shape.channels] });
    let policy = json!({ "format": 1, "normalise": normalise, "policy": [{ "RandomFlip": 0.5 }] });
    let mut objects = MemoryObjects::default();
    let slots: BTreeMap<_, _> = [
        ("train", dataset::write(shape, images, &labels)),
        ("labels", params::record(&json!({ "format": 1, "heads": of_heads, "image": shape }))),
        ("policy", params::record(&policy)),
    ]
    .into_iter()
    .map(|(slot, bytes)| (slot.to_owned(), objects.put(bytes)))
    .collect();

    let objective = json!({ "minimise": { "Last": "train.loss" } });
    let settings = [("epochs", json!(1)), ("batch", json!(batch)), ("objective", objective)];
    train.as_object_mut().expect("a map").extend(settings.map(|(key, value)| (key.to_owned(), value)));
    let train: Train = serde_json::from_value(train).expect("the parameters fit");
    let clock = Clock(Mutex::new(vec![Instant::now()]));
    let context = Context { seed: 1, device: ComputeDevice::CPU, host: &clock };
    let outputs = train.run(&Inputs::new(&slots, &objects), &context).expect("it trains");
    let times = clock.0.into_inner().expect("one thread");
    let mut steps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    steps.sort_unstable();
    let median = steps[steps.len() / 2].as_secs_f64();
    let trial: Value = serde_json::from_slice(&outputs.files()["trial.json"]).expect("a record");
    let line = json!({
        "network": network, "batch": batch, "parameters": trial["parameters"], "milliseconds": 1e3 * median,
        "images_per_second": f64::from(batch) / median,
    });
    println!("{line}");
}
