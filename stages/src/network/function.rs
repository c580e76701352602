//! Activation functions.

use crate::choices;

choices! {
    /// An activation function, applied to each element.
    #[derive(Copy, Eq, Hash)]
    pub enum Function {
        /// max(x, 0).
        Relu = "relu",
        /// x if x is positive, otherwise exp(x) - 1 (Clevert, Unterthiner and Hochreiter 2016).
        Elu = "elu",
        /// 1.0507 x if x is positive, otherwise 1.0507 * 1.6733 (exp(x) - 1). These constants keep mean 0 and variance 1
        /// (Klambauer et al., "Self-normalizing neural networks", 2017).
        Selu = "selu",
    }
}
