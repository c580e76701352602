//! The operations that networks are computed with, one file each: what burn has where it is fast and right, own kernels
//! on the CPU where it is not. Each takes and returns tensors with or without autodiff.

pub mod activation;
pub mod conv;
mod conv_kernels;
mod flex;
pub mod masks;
pub mod pool;
