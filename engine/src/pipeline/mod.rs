//! `pipeline.ron`: what a user writes, checked before anything runs.
//!
//! ```text
//! text -syntax-> tree -set-> tree -read, check-> Pipeline -expand-> Plan
//! ```

mod check;
pub mod expand;
mod form;
mod labels;
mod located;
mod node;
mod parts;
mod path;
pub mod problem;
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
