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
pub mod path;
pub mod problem;
pub mod read;
pub mod set;
pub mod source;
pub mod spec;
pub mod syntax;
#[cfg(test)]
mod tests;
