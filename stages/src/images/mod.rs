//! Images: datasets, how images are changed before a network sees them, and contact sheets.

mod augmentation;
mod colour;
pub mod dataset;
mod draws;
mod erasing;
mod geometry;
pub mod heat;
mod mixing;
mod normalisation;
mod policy;
pub mod sheet;
#[cfg(feature = "gpu")]
mod words;

pub use self::{
    augmentation::Augmentation,
    colour::ColourJitter,
    erasing::{Erased, RandomErasing},
    geometry::Edges,
    heat::Heat,
    normalisation::Normalisation,
    policy::Policy,
};

pub(crate) use self::policy::Filler;

#[cfg(feature = "gpu")]
pub(crate) use self::{mixing::Mixture, words::Change};

#[cfg(test)]
mod tests;
