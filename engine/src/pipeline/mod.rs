//! Reads `pipeline.ron`, checks it, and expands it to a plan before anything runs.
//!
//! ```text
//! text -syntax-> tree -set-> tree -each-> tree -read, check-> Pipeline -look_up-> Pipeline -expand-> Plan
//! ```

mod check;
mod common;
pub mod complete;
mod each;
pub mod expand;
mod form;
mod labels;
mod located;
pub mod mistake;
mod mixed;
mod parts;
pub mod read;
mod reading;
pub mod set;
pub mod source;
pub mod spec;
pub mod stage;
pub mod stages;
mod syntax;
mod term;
#[cfg(test)]
mod tests;
mod walk;
