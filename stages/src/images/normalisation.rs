//! How bytes become numbers.

use serde::{Deserialize, Serialize};

/// How bytes become numbers. A byte `x` of channel `c` becomes `x * scale[c] + offset[c]`, in 32-bit floats with two roundings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalisation {
    /// The factor of each channel, above 0.
    pub scale: Vec<f32>,
    /// The offset of each channel.
    pub offset: Vec<f32>,
}
