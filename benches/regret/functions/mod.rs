//! The functions on which samplers are measured.

mod known;
mod new;
mod tables;

use serde_json::{Map, Value};

/// A function with its space and its minimum.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) space: Value,
    /// Returns the value without noise. The arguments are the values by key of the space.
    pub(crate) value: fn(&Map<String, Value>) -> f64,
    pub(crate) least: f64,
    /// Returns whether an evaluation fails.
    pub(crate) fails: fn(&Map<String, Value>) -> bool,
    /// What the sampler sees is off by at most this.
    pub(crate) noise: f64,
}

impl Function {
    fn new(name: &'static str, space: Value, value: fn(&Map<String, Value>) -> f64, least: f64) -> Self {
        Self { name, space, value, least, fails: |_| false, noise: 0.0 }
    }

    /// Returns the value that the sampler sees in a trial, or infinity if the trial fails.
    pub(crate) fn observed(&self, values: &Map<String, Value>, seed: u64, trial: u32) -> f64 {
        if (self.fails)(values) {
            return f64::INFINITY;
        }
        (self.value)(values) + self.noise * noise(seed, trial)
    }
}

/// Returns all functions, in the order of the table.
pub(crate) fn all() -> Vec<Function> {
    known::all().into_iter().chain(new::all()).chain(tables::all()).collect()
}

fn number(values: &Map<String, Value>, key: &str) -> f64 {
    values[key].as_f64().expect("the key holds a number")
}

fn square(x: f64) -> f64 {
    x * x
}

/// Returns noise that is uniform from -1 to 1: the splitmix64 of seed * 1000003 + trial.
fn noise(seed: u64, trial: u32) -> f64 {
    let x = seed.wrapping_mul(1_000_003).wrapping_add(u64::from(trial)).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    2.0 * (((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64 - 0.5)
}
