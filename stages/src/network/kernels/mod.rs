//! The operations that networks are made of, computed on a CPU, with the same bits on every CPU.
//!
//! [`map`] describes how feature maps lie in memory. Each operation is a pure function of slices. Threads come from rayon's pool,
//! and how work is divided among them depends on shapes alone.
//!
//! Numbers are `f32`. Fused operations, divisions and square roots are rounded as IEEE 754 prescribes, the exponential is a
//! polynomial of our own, and every sum has one order, which its file states. So vector width, block sizes, the number of threads
//! and the model of the CPU cannot change a bit. The tests compare every [`Isa`] and several pools bit for bit.
//!
//! Unsafe code is in `product`, `shared` and `lanes`, and where [`conv`] divides its output among threads.

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
