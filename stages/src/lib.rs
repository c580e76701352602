//! The stages of `pipe`: pure functions from inputs, parameters and a seed to output files.
//! The only package that knows burn.

pub mod augment;
pub mod dataset;
pub mod decode;
pub mod fetch;
pub mod model;
pub mod params;
pub mod philox;
pub mod search;
pub mod sheet;
pub mod stage;
pub mod tensors;
pub mod visualize;
