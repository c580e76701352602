//! Our own kernels for devices, in CubeCL. Each does what a kernel of the CPU does, and is held against it.
//!
//! Buffers are flat. A kernel has one unit for each number that it writes, unless it says otherwise.

pub(crate) mod activation;
pub(crate) mod batch_norm;
mod device;
pub(crate) mod dropout;
pub(crate) mod images;
mod launch;
mod layout;
pub(crate) mod loss;
mod operation;
pub(crate) mod optimizer;
mod philox;
pub(crate) mod sums;
#[cfg(test)]
mod tests;
pub(crate) mod tiles;

pub(crate) use device::{has_plane_operations, holds, is_cube, largest_buffer};
pub(crate) use launch::{alignment, buffer, empty, most_buffers, part, tensor, words};
