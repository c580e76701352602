//! The stages of `pipe`: pure functions from inputs, parameters and a seed to output files. This is the only package that
//! depends on burn.
//!
//! The modules form three storeys, and an import never goes up:
//!
//! 1. What every module may use: parameters ([`params`], [`problem`]), [`device`]s, random numbers ([`philox`]), files ([`records`],
//!    [`tensors`]), programs ([`program`]) and the [`stage::Stage`] trait.
//! 2. Libraries that do not know of stages: `containers`, [`images`], [`network`], [`pictures`], [`search`].
//! 3. The stages, each in a module of its own, and the [`registry`] of them.

#![warn(missing_docs)]

pub mod device;
pub mod panics;
pub mod params;
pub mod philox;
pub mod problem;
pub mod program;
pub mod records;
pub mod stage;
pub mod tensors;
pub mod words;

mod containers;
pub mod images;
pub mod network;
pub mod pictures;
pub mod search;

pub mod augment;
pub mod command;
pub mod decode;
pub mod evaluate;
pub mod fetch;
pub mod history;
pub mod known;
pub mod promote;
pub mod propose;
pub mod select;
pub mod split;
pub mod stop;
pub mod train;
pub mod visualize_filters;

pub mod reference;
pub mod registry;

pub use device::{ComputeDevice, DeviceKind, Precision};
pub use network::numerics;
pub use registry::{StageName, instantiate, use_threads};
