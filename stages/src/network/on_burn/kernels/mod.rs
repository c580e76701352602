//! Our own kernels for devices, in CubeCL. Each does what a kernel of the CPU does, and is held against it.
//!
//! Buffers are flat. A kernel has one unit for each number that it writes, unless it says otherwise.

pub(crate) mod dropout;
pub(crate) mod images;
mod launch;
pub(crate) mod loss;
pub(crate) mod optimizer;
mod philox;
pub(crate) mod statistics;
pub(crate) mod sums;
#[cfg(test)]
mod tests;

pub(crate) use launch::{has_plane_operations, holds, is_cube, largest_buffer, words};
