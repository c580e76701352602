//! `pipeline.ron`: what a user writes, checked before anything runs.
//!
//! ```text
//! text -syntax-> tree -set-> tree -read, check-> Pipeline -expand-> Plan
//! ```

mod check;
pub mod expand;
mod explain;
mod form;
mod labels;
mod node;
mod parts;
mod path;
pub mod problem;
mod ranges;
pub mod read;
mod reading;
pub mod set;
mod source;
pub mod spec;
pub mod stage;
pub mod stages;
mod syntax;
#[cfg(test)]
mod tests;
