//! The operations of networks on a CPU. Results are bit-identical on every CPU.
//!
//! [`map`] describes the memory layout of feature maps. Each operation is a pure function of slices. Threads come from rayon's
//! pool, and the division of work among them depends only on shapes.
//!
//! Numbers are `f32`. Fused operations, divisions and square roots are rounded as IEEE 754 prescribes, the exponential is our own
//! polynomial, and every sum has a fixed order, which its file states. Vector width, block sizes, the number of threads and the
//! model of the CPU therefore cannot change any bit. The tests compare every [`Isa`] and several thread pools bit for bit.
//!
//! Unsafe code is in `product`, `shared`, `lanes` and `buffer`, and where [`conv`] divides its output among threads.

pub(crate) mod activation;
pub(crate) mod batch_norm;
pub(crate) mod buffer;
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
