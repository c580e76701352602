//! Measures networks against the peak performance of the processor: `cargo bench --bench network`. `RAYON_NUM_THREADS` sets the
//! number of threads.
//!
//! The network is the best one of Hyperopt-CIFAR. The benchmark prints the floating-point operations per second of a training
//! step (forward and backward, without the optimiser) as a share of the peak of fused multiply-adds on the same number of
//! threads, the images per second of inference, and the filters per second of visualisation in input space.
//!
//! `cargo bench --bench network -- NETWORK BATCH [FILE]` only times inference, as a line of JSON, and writes the network to FILE as an ONNX
//! model. NETWORK is `best`, or `cnn` or `mlp` (the baselines, on 28x28 grey). `benches/against_onnxruntime.py` uses it.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use pipe_stages::{
    images::Normalisation,
    network::{
        Architecture, Backend, Family, Mode, Network, Pass, Predictor, Proposed, Weights, architecture::Head, families,
    },
    philox::{Purpose, Stream},
    stage::ComputeDevice,
};
use pipe_views::export::onnx;
use serde_json::{Value, json};

const ROUNDS: usize = 7;

fn main() {
    // `cargo bench` adds its own flag.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let backend = Backend::of(ComputeDevice::CPU).expect("there is a CPU");
    match &arguments[..] {
        [] => {}
        [network, batch, file @ ..] => {
            return one(network, batch.parse().expect("BATCH is a number"), file.first().map(Path::new), &backend);
        }
        // `cargo bench -- NAME` passes the filter NAME to every benchmark.
        [name] if name == "network" => {}
        [_] => return,
    }
    let peak = peak();
    println!("{backend:?}, {} threads, peak {:.0} GFLOP/s", rayon::current_num_threads(), peak / 1e9);
    let architecture = best();
    step(&architecture, &backend, peak);
    inference(&architecture, &backend, peak);
    filters(&architecture, &backend);
}

fn numbers(n: usize) -> Vec<f32> {
    let stream = Stream::new(1, Purpose::Shapes, 0, 0);
    (0..n as u64).map(|i| stream.f32(i) - 0.5).collect()
}

/// Returns the median time of `f`, not counting a first call.
fn median(mut f: impl FnMut()) -> Duration {
    f();
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            f();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[ROUNDS / 2]
}

fn loaded(architecture: &Architecture, pass: Pass, outputs: &[&str], backend: &Backend) -> Network {
    let mut network = Network::new(architecture, pass, outputs, backend);
    network.set_weights(&Weights::initial(architecture, 1));
    network
}

/// Times inference with a network, and writes it to `file`.
#[expect(clippy::disallowed_methods, reason = "half a file is no loss here")]
fn one(network: &str, batch: usize, file: Option<&Path>, backend: &Backend) {
    let architecture = match network {
        "best" => best(),
        "cnn" => architecture("Cnn", &json!({}), [1, 28, 28], &[("class", 10)]),
        "mlp" => architecture("Mlp", &json!({}), [1, 28, 28], &[("class", 10)]),
        other => panic!("expected `best`, `cnn` or `mlp`, found `{other}`"),
    };
    if let Some(file) = file {
        let channels = architecture.input[0];
        let normalisation = Normalisation { scale: vec![1.0 / 255.0; channels], offset: vec![-0.5; channels] };
        let model = onnx::model(&architecture, &Weights::initial(&architecture, 1), &normalisation, Vec::new());
        std::fs::write(file, model).expect("the file can be written");
    }
    let images = numbers(batch * architecture.input.iter().product::<usize>());
    let weights = Weights::initial(&architecture, 1);
    let predictor = Predictor::new(architecture, weights, backend.clone());
    // So many batches that loading the weights does not count, and so few that the images stay in the cache.
    let batches = (4_000_000 / images.len()).clamp(4, 200);
    let images = images.repeat(batches);
    let (mut times, start) = (Vec::new(), Instant::now());
    while times.len() < ROUNDS || start.elapsed() < Duration::from_secs(2) {
        let start = Instant::now();
        drop(predictor.logits(&images, batch));
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let rate = (batches * batch) as f64 / times[times.len() / 2].as_secs_f64();
    println!("{}", json!({ "network": network, "batch": batch, "images_per_second": rate }));
}

/// Returns the best network of Hyperopt-CIFAR.
fn best() -> Architecture {
    let values = json!({
        "activation": "elu", "conv_dropout_drop_proba": 0.25924, "conv_hiddn_units_mult": 1.59583, "conv_kernel_size": 3,
        "conv_pool_res_start_idx": 0, "fc_dropout_drop_proba": 0.43223, "fc_units_1_mult": 1.3084, "first_conv": 3,
        "nb_conv_pool_layers": 3, "pooling_type": "avg", "res_conv_kernel_size": 2, "residual": 3, "use_BN": true,
    });
    architecture("HyperCnn", &values, [3, 32, 32], &[("fine", 100), ("coarse", 20)])
}

/// Returns the network of a family with these proposed values.
fn architecture(family: &str, values: &Value, input: [usize; 3], heads: &[(&str, usize)]) -> Architecture {
    let proposal = Proposed { values: values.as_object().expect("a map").clone(), ..Proposed::default() };
    let head = |&(name, classes): &(&str, usize)| Head { name: name.into(), classes, output: Default::default() };
    let heads: Vec<Head> = heads.iter().map(head).collect();
    let family = families::named(family, &Value::Null).expect("it is a family");
    family.architecture(&proposal, input, &heads).expect("it can be built")
}

fn share(flops: u64, n: usize, time: Duration, peak: f64) -> String {
    let rate = flops as f64 * n as f64 / time.as_secs_f64();
    format!(
        "{:.0} images/s, {:.0} GFLOP/s, {:.0} % of the peak",
        n as f64 / time.as_secs_f64(),
        rate / 1e9,
        100.0 * rate / peak
    )
}

fn step(architecture: &Architecture, backend: &Backend, peak: f64) {
    let n = 64;
    let images = numbers(n * 3 * 32 * 32);
    let gradients = BTreeMap::from([("fine".to_owned(), numbers(n * 100)), ("coarse".to_owned(), numbers(n * 20))]);
    let mut network = loaded(architecture, Pass::Training, &["fine", "coarse"], backend);
    let time = median(|| {
        network.forward(&images, Mode::Training { seed: 1, step: 1 });
        network.weight_gradients(&gradients);
    });
    // Each product is computed once forward and twice backward.
    println!("a step of {n}: {}", share(3 * architecture.flops, n, time, peak));
}

fn inference(architecture: &Architecture, backend: &Backend, peak: f64) {
    let n = 250;
    let images = numbers(n * 3 * 32 * 32);
    let mut network = loaded(architecture, Pass::Inference, &["fine", "coarse"], backend);
    let time = median(|| drop(network.forward(&images, Mode::Inference)));
    println!("without gradients: {}", share(architecture.flops, n, time, peak));
}

fn filters(architecture: &Architecture, backend: &Backend) {
    let (layer, steps) = ("add_3", 20);
    let shape = &architecture.layer(layer).expect("it has residual layers").shape;
    let n = shape[0];
    let images = numbers(n * 3 * 32 * 32);
    let gradient = BTreeMap::from([(layer.to_owned(), numbers(n * shape.iter().product::<usize>()))]);
    let mut network = loaded(architecture, Pass::ImageGradients, &[layer], backend);
    let time = median(|| {
        network.forward(&images, Mode::Inference);
        drop(network.image_gradients(&gradient));
    });
    let rate = n as f64 / (time.as_secs_f64() * f64::from(steps));
    println!("filters of {layer}: {rate:.1} filters/s of {steps} steps each");
}

/// Returns the peak of fused multiply-adds on all threads together, in floating-point operations per second.
fn peak() -> f64 {
    let one = || {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512, as was just checked.
            return unsafe { avx512() };
        } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has both, as was just checked.
            return unsafe { avx2() };
        }
        f64::NAN
    };
    rayon::broadcast(|_| (0..5).map(|_| one()).fold(f64::NAN, f64::max)).into_iter().sum()
}

/// The number of independent accumulators, which is more than needed to hide the latency of an addition.
const CHAINS: usize = 12;

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512() -> f64 {
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_reduce_add_ps, _mm512_set1_ps};
    let (factor, addend) = (_mm512_set1_ps(0.999), _mm512_set1_ps(0.5));
    let mut sums = [_mm512_set1_ps(1.0); CHAINS];
    let rounds = 10_000_000;
    let start = Instant::now();
    for _ in 0..rounds {
        sums.iter_mut().for_each(|sum| *sum = _mm512_fmadd_ps(*sum, factor, addend));
    }
    let time = start.elapsed().as_secs_f64();
    std::hint::black_box(sums.map(|sum| _mm512_reduce_add_ps(sum)));
    (2 * 16 * CHAINS * rounds) as f64 / time
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2() -> f64 {
    use std::arch::x86_64::{_mm256_cvtss_f32, _mm256_fmadd_ps, _mm256_set1_ps};
    let (factor, addend) = (_mm256_set1_ps(0.999), _mm256_set1_ps(0.5));
    let mut sums = [_mm256_set1_ps(1.0); CHAINS];
    let rounds = 10_000_000;
    let start = Instant::now();
    for _ in 0..rounds {
        sums.iter_mut().for_each(|sum| *sum = _mm256_fmadd_ps(*sum, factor, addend));
    }
    let time = start.elapsed().as_secs_f64();
    std::hint::black_box(sums.map(|sum| _mm256_cvtss_f32(sum)));
    (2 * 8 * CHAINS * rounds) as f64 / time
}
