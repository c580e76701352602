//! Activation functions.

use serde::{Deserialize, Serialize};

/// What an activation layer applies to each number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Function {
    /// The larger of x and 0.
    Relu,
    /// x for positive x, else exp(x) - 1.
    Elu,
    /// ELU with the slope and the scale that keep mean 0 and variance 1 (Klambauer et al., "Self-normalizing neural networks",
    /// 2017): 1.0507 x for positive x, else 1.0507 * 1.6733 (exp(x) - 1).
    Selu,
}

impl Function {
    /// The names of all functions, in the order of the variants.
    pub const NAMES: [&str; 3] = ["relu", "elu", "selu"];

    /// Returns the function's name in records and pipelines.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_are_read() {
        for name in Function::NAMES {
            let function: Function = serde_json::from_value(name.into()).unwrap();
            assert_eq!(function.name(), name);
        }
    }
}
