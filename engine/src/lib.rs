//! The engine of `pipe`: what a user wrote becomes a plan, and a plan becomes a study.
//!
//! ```text
//! pipeline.ron -pipeline-> Pipeline -expand-> Plan -run-> Study
//! ```

#![warn(missing_docs)]

pub mod action;
mod arrays;
pub mod claims;
pub mod compare;
pub mod gc;
pub mod how;
pub mod import;
pub mod leaves;
pub mod lockfile;
pub mod names;
pub mod note;
pub mod pipeline;
pub mod plan;
pub mod readings;
pub mod reference;
pub mod remember;
pub mod run;
pub mod study;
pub mod tag;
pub mod unfinished;
