//! The stages of `pipe`: pure functions from inputs, parameters and a seed to output files. The only package that knows burn.
//!
//! Three storeys, and an import never goes up: the ground (`philox`, `params`, `tensors`, the contract in `stage`, what is read and written in `records` and `problem`); libraries that
//! know no pipeline (`images`, `network`, `search`); the stages, a folder each.

pub mod params;
pub mod philox;
pub mod problem;
pub mod records;
pub mod stage;
pub mod tensors;
pub mod words;

pub mod images;
pub mod network;
pub mod search;

pub mod augment;
pub mod decode;
pub mod evaluate;
pub mod fetch;
pub mod history;
pub mod promote;
pub mod propose;
pub mod select;
pub mod split;
pub mod train;
pub mod visualize_filters;

pub mod reference;
pub mod registry;

pub use registry::{StageName, cuda_devices, instantiate, numerics, use_threads};
