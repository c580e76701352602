//! `pipeline.ron`: what a user writes, checked before anything runs.

pub mod path;
pub mod problem;
pub mod set;
pub mod source;
pub mod syntax;
