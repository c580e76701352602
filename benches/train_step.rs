//! Times the steps of a training, data and optimizer included:
//! `cargo bench --bench train_step -- [NETWORK BATCH STEPS [DEVICE [PRECISION [EPOCHS]]]]`.
//!
//! NETWORK is `best` (the best network of Hyperopt-CIFAR, on 32x32 RGB), `cnn` or `mlp` (the baselines, on 28x28 grey), or
//! `small` (a network of the default study). Without arguments all are timed. The output is a line of JSON for each, with
//! images per second at the median step. `RAYON_NUM_THREADS` sets the number of threads.
//!
//! DEVICE is `cpu`, `cuda` or `wgpu:1` (with `--features cuda` or `wgpu`), PRECISION `f32` or `bf16`. A GPU takes the steps of an epoch
//! without being waited for, so there an epoch is timed: STEPS steps, the median of the epochs after the first, which also compiles
//! and tunes kernels. EPOCHS is 4 unless said otherwise. PIPE_KERNELS names a folder that keeps what is compiled and tuned.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use pipe_stages::{
    DeviceKind,
    images::dataset::{self, ImageShape},
    panics, params,
    philox::{Purpose, Stream},
    stage::{ComputeDevice, Context, Host, Inputs, Progress, Stage},
    train::Train,
};
use pipe_store::MemoryObjects;
use serde_json::{Value, json};

/// Records when each step, or with a GPU each epoch, ended.
struct Clock {
    epochs: bool,
    ends: Mutex<Vec<Instant>>,
}

impl Host for Clock {
    fn progress(&self, progress: &Progress) {
        if !self.epochs || progress.ended.is_some() {
            self.ends.lock().expect("one thread").push(Instant::now());
        }
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
        [] => NETWORKS.iter().for_each(|&case| time(case, ComputeDevice::CPU, 1)),
        // `cargo bench -- NAME` passes the filter NAME to every benchmark.
        [name] => {
            let named = NETWORKS.iter().filter(|(network, ..)| name == "train_step" || network == name);
            named.for_each(|&case| time(case, ComputeDevice::CPU, 1));
        }
        [network, batch, steps, on @ ..] if on.len() < 4 => {
            let device: ComputeDevice =
                on.first().map_or(Ok(ComputeDevice::CPU), |device| device.parse()).expect("DEVICE");
            let precision = on.get(1).map_or(Ok(device.precision), |precision| precision.parse()).expect("PRECISION");
            let (batch, steps) = (batch.parse().expect("BATCH is a number"), steps.parse().expect("STEPS is a number"));
            let epochs = on.get(2).map_or(4, |epochs| epochs.parse().expect("EPOCHS is a number"));
            time((network, batch, steps), ComputeDevice { precision, ..device }, epochs);
        }
        other => panic!("expected NETWORK BATCH STEPS [DEVICE [PRECISION [EPOCHS]]], found {other:?}"),
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

fn time((network, batch, steps): (&str, u32, u32), device: ComputeDevice, epochs: u32) {
    let on_gpu = device.kind != DeviceKind::Cpu;
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    if let Some(folder) = std::env::var_os("PIPE_KERNELS") {
        pipe_stages::network::keep_kernels(std::path::Path::new(&folder));
    }
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
    let settings =
        [("epochs", json!(if on_gpu { epochs } else { 1 })), ("batch", json!(batch)), ("objective", objective)];
    train.as_object_mut().expect("a map").extend(settings.map(|(key, value)| (key.to_owned(), value)));
    let train: Train = serde_json::from_value(train).expect("the parameters fit");
    // The first end of an epoch starts the time of the second.
    let ends = if on_gpu { Vec::new() } else { vec![Instant::now()] };
    let clock = Clock { epochs: on_gpu, ends: Mutex::new(ends) };
    let context = Context { seed: 1, device, host: &clock };
    panics::watch();
    let outputs = train.run(&Inputs::new(&slots, &objects), &context).expect("it trains");
    assert_eq!(panics::noted(), None, "a thread of the device panicked");
    let times = clock.ends.into_inner().expect("one thread");
    let mut times: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    times.sort_unstable();
    let median = times[times.len() / 2].as_secs_f64() / if on_gpu { f64::from(steps) } else { 1.0 };
    let trial: Value = serde_json::from_slice(&outputs.files()["trial.json"]).expect("a record");
    let line = json!({
        "network": network, "batch": batch, "device": device.to_string(), "precision": device.precision.word(),
        "parameters": trial["parameters"], "milliseconds": 1e3 * median, "images_per_second": f64::from(batch) / median,
    });
    println!("{line}");
}
