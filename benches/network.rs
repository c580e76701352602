//! Measures networks against the peak performance of the processor: `cargo bench --bench network`. `RAYON_NUM_THREADS` sets the
//! number of threads.
//!
//! The network is the best one of Hyperopt-CIFAR. The benchmark prints the floating-point operations per second of a training
//! step (forward and backward, without the optimiser) as a share of the peak of fused multiply-adds on the same number of
//! threads, the images per second of inference, and the filters per second of visualisation in input space.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use pipe_stages::{
    network::{Architecture, Backend, Family, Mode, Network, Pass, Proposed, Weights, architecture::Head, families},
    philox::{Purpose, Stream},
    stage::ComputeDevice,
};
use serde_json::json;

const ROUNDS: usize = 7;

fn main() {
    // `cargo bench -- NAME` passes the filter NAME to every benchmark.
    if std::env::args().skip(1).any(|argument| argument != "--bench" && argument != "network") {
        return;
    }
    let backend = Backend::of(ComputeDevice::CPU).expect("there is a CPU");
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

/// Returns the best network of Hyperopt-CIFAR.
fn best() -> Architecture {
    let values = json!({
        "activation": "elu", "conv_dropout_drop_proba": 0.25924, "conv_hiddn_units_mult": 1.59583, "conv_kernel_size": 3,
        "conv_pool_res_start_idx": 0, "fc_dropout_drop_proba": 0.43223, "fc_units_1_mult": 1.3084, "first_conv": 3,
        "nb_conv_pool_layers": 3, "pooling_type": "avg", "res_conv_kernel_size": 2, "residual": 3, "use_BN": true,
    });
    let proposal = Proposed { values: values.as_object().expect("a map").clone(), ..Proposed::default() };
    let heads = [("fine", 100), ("coarse", 20)];
    let heads = heads.map(|(name, n)| Head { name: name.into(), classes: n, output: Default::default() });
    let family = families::named("HyperCnn", &serde_json::Value::Null).expect("it is a family");
    family.architecture(&proposal, [3, 32, 32], &heads).expect("it can be built")
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
