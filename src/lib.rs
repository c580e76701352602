//! `pipe` runs a machine-learning study as a content-addressed pipeline. See ARCHITECTURE.md for the map.
//!
//! ```text
//! pipeline.ron -pipeline-> Pipeline -expand-> Plan -engine-> Study -views-> report, trials, diff, show
//! ```

pub mod action;
pub mod cli;
pub mod diff;
pub mod engine;
pub mod export;
pub mod gc;
pub mod import;
pub mod importance;
pub mod leaves;
pub mod network;
pub mod pipeline;
pub mod plan;
pub mod plot;
pub mod predict;
pub mod report;
pub mod show;
pub mod study;
pub mod trials;
pub mod view;
pub mod views;
