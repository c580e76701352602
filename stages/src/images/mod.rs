//! Images: datasets, how images are changed before a network sees them, and contact sheets.

mod augmentation;
pub mod dataset;
mod policy;
pub mod sheet;

pub use augmentation::Augmentation;
pub use policy::{Normalisation, Policy};
