//! A row of a family's table of hyperparameters, and the rows that several families share.

use serde_json::Value;

use crate::{
    network::{Function, Initialiser},
    params::{Domain, whole},
};

/// One or more hyperparameters with the same meaning, domain and default.
#[derive(Debug)]
pub struct Row {
    /// Their names, such as `units_1` to `units_8`.
    pub keys: &'static [&'static str],
    /// The allowed values.
    pub domain: Domain,
    /// Returns the default. `None` if they default to the training's parameters.
    pub default: Option<fn() -> Value>,
    /// Their meaning, in a sentence for users.
    pub doc: &'static str,
    /// Whether a search may propose them.
    pub is_searched: bool,
}

impl Row {
    /// Returns hyperparameters that a search may propose.
    pub const fn new(keys: &'static [&'static str], domain: Domain, default: fn() -> Value, doc: &'static str) -> Self {
        Self { keys, domain, default: Some(default), doc, is_searched: true }
    }

    /// Returns hyperparameters that override parameters of the training. They have no default of their own.
    pub const fn of_training(keys: &'static [&'static str], domain: Domain, doc: &'static str) -> Self {
        Self { keys, domain, default: None, doc, is_searched: true }
    }

    /// Sets the default.
    #[must_use]
    pub const fn with_default(mut self, default: fn() -> Value) -> Self {
        self.default = Some(default);
        self
    }

    /// Returns settings: a user may change them, but a search cannot propose them.
    pub const fn setting(
        keys: &'static [&'static str],
        domain: Domain,
        default: fn() -> Value,
        doc: &'static str,
    ) -> Self {
        Self { keys, domain, default: Some(default), doc, is_searched: false }
    }

    /// Returns the canonical form of `value`, so that equal values such as `1` and `1.0` are written the same.
    pub(super) fn canonical(&self, value: Value) -> Value {
        let as_default = |default: Value| default.as_f64().filter(|x| Some(*x) == value.as_f64()).map(|_| default);
        if let Some(default) = self.default.and_then(|default| as_default(default())) {
            return default;
        }
        match (&self.domain, &value) {
            (Domain::Each(..), Value::Array(items)) => {
                items.iter().map(|item| whole(item).unwrap_or_else(|| item.clone())).collect()
            }
            // Fractions among the settings are always written as floating-point numbers in actions.
            (Domain::Share | Domain::AboveUpTo(..), _) if !self.is_searched => {
                value.as_f64().map_or(value, Value::from)
            }
            _ => whole(&value).unwrap_or(value),
        }
    }
}

/// The activation function after each hidden layer with a kernel.
pub(super) const ACTIVATION: Row = Row::new(
    &["activation"],
    Domain::Word(Function::NAMES),
    || "relu".into(),
    "Activation function after each convolution and dense layer.",
);

/// The names of the initialisers, after `auto`.
const INITIALISERS: [&str; Initialiser::NAMES.len() + 1] = {
    let mut names = ["auto"; Initialiser::NAMES.len() + 1];
    let (_, initialisers) = names.split_at_mut(1);
    initialisers.copy_from_slice(Initialiser::NAMES);
    names
};

/// How kernels are initialised.
pub(super) const INITIALISER: Row = Row::new(
    &["initialiser"],
    Domain::Word(&INITIALISERS),
    || "auto".into(),
    "How kernels are initialised. `auto` is `lecun_normal` with SELU, otherwise `glorot_uniform`. Heads always use `glorot_uniform`.",
);
