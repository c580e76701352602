//! pipe
pub mod pipeline;
