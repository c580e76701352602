//! The stages of `pipe`: pure functions from inputs, parameters and a seed to output files.
//! The only package that knows burn.

pub mod augment;
pub mod dataset;
pub mod decode;
pub mod evaluate;
pub mod fetch;
mod kernels;
pub mod model;
pub mod params;
pub mod philox;
pub mod registry;
pub mod search;
pub mod sheet;
pub mod stage;
pub mod tensors;
pub mod train;
pub mod visualize;

pub use registry::{cuda_devices, instantiate, numerics, use_threads};
