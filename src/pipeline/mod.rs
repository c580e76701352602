//! `pipeline.ron`: what a user writes, checked before anything runs.

pub mod problem;
pub mod source;
pub mod syntax;
