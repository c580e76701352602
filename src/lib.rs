//! pipe
pub mod action;
pub mod diff;
pub mod pipeline;
pub mod report;
pub mod show;
pub mod study;
pub mod trials;
pub mod view;
