//! How images climb: the classic way, or that of Olah et al.

use serde::{Serialize, Serializer};

use crate::{
    choices, parameters,
    params::{Domain, is_default},
};

choices! {
    /// The way to a filter's image. In JSON `"Classic"`, `"Fourier"` or `{"Fourier":{"steps":64}}`, defaults left out.
    pub unwritten enum Method = Classic {
        /// Pixels move along their gradient, from grey noise.
        Classic,
        /// The coefficients of a Fourier basis move, of decorrelated colours, under jitter and against total variation.
        Fourier(Fourier),
    }
}

parameters! {
    /// Settings of [`Method::Fourier`].
    pub struct Fourier = defaults {
        /// The number of steps of the ascent.
        steps: u32 [Domain::Whole(1..=10_000)] = 128,
        /// The learning rate of Adam, which moves the scaled coefficients.
        learning_rate: f64 [Domain::AboveUpTo(0.0, 10.0)] = 0.05,
        /// Before each step the image is rolled by up to this many pixels in both directions.
        jitter: u32 [Domain::Whole(0..=100)] = 2,
        /// Weight of the gradient of the image's total variation. The gradient of the activation is scaled to a root mean
        /// square of 1.
        total_variation: f64 [Domain::Between(0.0, 100.0)] = 0.25,
    }
}

impl Method {
    /// Returns whether it is the default, which is left out of actions.
    pub fn is_classic(&self) -> bool {
        *self == Self::Classic
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            // Without settings it is its name: however it is written, one record.
            Self::Fourier(settings) if !is_default(settings) => serializer.collect_map([(self.name(), settings)]),
            _ => serializer.serialize_str(self.name()),
        }
    }
}
