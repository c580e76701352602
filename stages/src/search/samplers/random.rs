//! The sampler `Random`: independent draws from the prior (Bergstra and Bengio, "Random search for hyper-parameter
//! optimization", JMLR 13, 2012).

use super::algorithm::Algorithm;
use crate::parameters;

parameters! {
    /// The sampler `Random`. It has no settings.
    #[derive(Copy, Eq)]
    pub struct Random;
}

impl Algorithm for Random {}
