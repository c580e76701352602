//! The hyperparameters of families, and those that several families share.

use serde_json::Value;

use crate::{
    network::Function,
    params::{Domain, whole},
};

/// Hyperparameters of one meaning.
#[derive(Debug)]
pub struct Row {
    /// Such as `units_1` to `units_8`.
    pub keys: &'static [&'static str],
    /// What they may be.
    pub domain: Domain,
    /// Returns what they are where nobody gave a value; none where the training's parameters count.
    pub default: Option<fn() -> Value>,
    /// What they mean.
    pub doc: &'static str,
    /// Whether a search may propose them by name.
    pub is_searched: bool,
}

impl Row {
    /// Returns hyperparameters.
    pub const fn new(keys: &'static [&'static str], domain: Domain, default: fn() -> Value, doc: &'static str) -> Self {
        Self { keys, domain, default: Some(default), doc, is_searched: true }
    }

    /// Returns hyperparameters that steer the training, whose parameters count where they have no value.
    pub const fn of_training(keys: &'static [&'static str], domain: Domain, doc: &'static str) -> Self {
        Self { keys, domain, default: None, doc, is_searched: true }
    }

    /// Returns the row with a default.
    #[must_use]
    pub const fn with_default(mut self, default: fn() -> Value) -> Self {
        self.default = Some(default);
        self
    }

    /// Returns settings that a user may change and no search proposes.
    pub const fn setting(
        keys: &'static [&'static str],
        domain: Domain,
        default: fn() -> Value,
        doc: &'static str,
    ) -> Self {
        Self { keys, domain, default: Some(default), doc, is_searched: false }
    }

    /// Returns the value that stands for all that mean the same as `value`: `1` and `1.0` are one hyperparameter.
    pub(super) fn canonical(&self, value: Value) -> Value {
        let as_default = |default: Value| default.as_f64().filter(|x| Some(*x) == value.as_f64()).map(|_| default);
        if let Some(default) = self.default.and_then(|default| as_default(default())) {
            return default;
        }
        match (&self.domain, &value) {
            (Domain::Each(..), Value::Array(items)) => {
                items.iter().map(|item| whole(item).unwrap_or_else(|| item.clone())).collect()
            }
            // Actions have settings as numbers of their type.
            (Domain::Share | Domain::AboveUpTo(..), _) if !self.is_searched => {
                value.as_f64().map_or(value, Value::from)
            }
            _ => whole(&value).unwrap_or(value),
        }
    }
}

/// The function behind each layer with a kernel.
pub(super) const ACTIVATION: Row = Row::new(
    &["activation"],
    Domain::Word(Function::NAMES),
    || "relu".into(),
    "The function after each convolution and dense layer.",
);

/// How kernels are drawn.
pub(super) const INITIALISER: Row = Row::new(
    &["initialiser"],
    Domain::Word(&[
        "auto",
        "glorot_uniform",
        "glorot_normal",
        "he_uniform",
        "he_normal",
        "lecun_uniform",
        "lecun_normal",
    ]),
    || "auto".into(),
    "How kernels are drawn. `auto` is `lecun_normal` for SELU and `glorot_uniform` otherwise.",
);
