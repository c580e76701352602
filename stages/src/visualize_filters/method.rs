//! The methods that find a filter's image: the classic one, and the one by Olah et al.

use serde::{Serialize, Serializer};

use crate::{
    choices, parameters,
    params::{Domain, is_default},
};

choices! {
    /// How a filter's image is found. In JSON: `"Classic"`, `"Fourier"` or `{"Fourier":{"steps":64}}`. Defaults are left out.
    pub unwritten enum Method = Classic {
        /// Gradient ascent on pixels, from grey noise.
        Classic,
        /// Gradient ascent on the coefficients of a Fourier basis in decorrelated colours, with jitter and a penalty on the
        /// total variation.
        Fourier(Fourier),
    }
}

parameters! {
    /// Settings of [`Method::Fourier`].
    pub struct Fourier = defaults {
        /// The number of steps of the ascent.
        steps: u32 [Domain::Whole(1..=10_000)] = 128,
        /// Adam's learning rate for the scaled coefficients.
        learning_rate: f64 [Domain::AboveUpTo(0.0, 10.0)] = 0.05,
        /// The most pixels by which an image is rolled before each step, in both directions.
        jitter: u32 [Domain::Whole(0..=100)] = 2,
        /// The weight of the gradient of an image's total variation. The gradient of the activation has a root mean square of
        /// 1.
        total_variation: f64 [Domain::Between(0.0, 100.0)] = 0.25,
    }
}

impl Method {
    /// Returns whether this is the default, which is left out of actions.
    pub fn is_classic(&self) -> bool {
        *self == Self::Classic
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            // `Fourier` and `Fourier()` have the same record: only the name.
            Self::Fourier(settings) if !is_default(settings) => serializer.collect_map([(self.name(), settings)]),
            _ => serializer.serialize_str(self.name()),
        }
    }
}
