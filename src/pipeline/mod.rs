//! `pipeline.ron`: what a user writes, checked before anything runs.
//!
//! ```text
//! text -syntax-> tree -set-> tree -read, check-> Pipeline -expand-> Plan
//! ```

mod check;
mod explain;
mod form;
mod labels;
#[cfg(test)]
mod tests;
pub mod expand;
pub mod path;
pub mod problem;
pub mod read;
pub mod set;
pub mod source;
pub mod spec;
pub mod syntax;
