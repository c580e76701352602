//! Activation functions.

use crate::choices;

choices! {
    /// What an activation layer applies to each number.
    #[derive(Copy, Eq)]
    pub enum Function {
        /// The larger of x and 0.
        Relu = "relu",
        /// x for positive x, else exp(x) - 1.
        Elu = "elu",
        /// ELU with the slope and the scale that keep mean 0 and variance 1 (Klambauer et al., "Self-normalizing neural
        /// networks", 2017): 1.0507 x for positive x, else 1.0507 * 1.6733 (exp(x) - 1).
        Selu = "selu",
    }
}
