//! pipe
pub mod action;
pub mod pipeline;
pub mod show;
pub mod study;
pub mod trials;
pub mod view;
