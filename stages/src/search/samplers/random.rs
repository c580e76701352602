//! The sampler `Random`: independent draws from the prior (Bergstra and Bengio, "Random search for hyper-parameter
//! optimization", JMLR 13, 2012).

use serde::{Deserialize, Serialize};

use super::algorithm::Algorithm;

/// The sampler `Random`. It has no settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Random;

impl Algorithm for Random {}
