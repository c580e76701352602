//! What networks compute with on a CPU: the same bits on every CPU.
//!
//! Maps lie as [`map`] says. Each operation is a pure function of slices; threads come from rayon's pool, and what a task is
//! depends on shapes alone. Numbers are `f32` in IEEE arithmetic; sums have one order, which each file states; the fused
//! operations, division and square root are rounded as IEEE 754 says, the exponential is a polynomial of its own. So no vector
//! width, block size, thread count or model of CPU can move a bit: the tests compare [`Isa`]s and pools bit for bit.

pub(crate) mod activation;
pub(crate) mod batch_norm;
pub(crate) mod buffers;
pub(crate) mod conv;
pub(crate) mod dropout;
pub(crate) mod elementwise;
pub(crate) mod lanes;
pub(crate) mod map;
pub(crate) mod peaks;
pub(crate) mod pool;
mod product;
mod rows;
mod shared;
pub(crate) mod unfold;
pub(crate) mod window;

pub(crate) use lanes::Isa;

#[cfg(test)]
mod tests;
