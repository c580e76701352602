//! Images as values: data sets, how they are changed before a network sees them, and sheets of them for people.

mod augmentation;
pub mod dataset;
mod policy;
pub mod sheet;

pub use augmentation::Augmentation;
pub use policy::{Normalisation, Policy};
