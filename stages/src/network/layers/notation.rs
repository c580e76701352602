//! How layers are written in `Layers([..])`: each layer declares its settings once.

use serde::de;
use serde_json::{Map, Value};

use crate::{params::Domain, problem::Path};

/// A layer that can be written in `Layers([..])`.
pub(crate) trait Notated: Sized {
    /// How it is written.
    const NOTATION: Notation;

    /// Returns the layer with these settings, or `None` if it would do nothing.
    fn of(settings: &Values) -> Option<Self>;
}

/// How a layer is written.
#[derive(Debug)]
pub(crate) struct Notation {
    /// The layer's name: `Conv`.
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    pub(crate) settings: &'static [Setting],
    pub(crate) reads: Reads,
    pub(crate) gives: Gives,
}

/// The content of the parentheses after the layer's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Nothing: `Flatten`.
    Name,
    /// The value of the one setting: `Dense(10)`.
    Value,
    /// Settings by name: `Conv(filters: 8, kernel: 3)`.
    Fields,
    /// Names of other layers: `Add("a")`. They are its first inputs, and the layer before it is the last.
    Layers,
}

/// The inputs that a layer can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// Images or units.
    Anything,
    /// [channels, height, width]
    Images,
    /// [units]
    Units,
    /// Images or units, all of one shape.
    Equal,
}

/// The output of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    /// [channels, height, width]
    Images,
    /// [units]
    Units,
    /// The same as its input.
    Same,
}

/// A setting of a layer.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) domain: Domain,
    /// Its meaning, in one sentence for users.
    pub(crate) meaning: &'static str,
    pub(crate) default: Default,
    /// Whether height and width of the output depend on it.
    pub(crate) moves_sides: bool,
}

/// The default of a setting.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Default {
    /// There is none: the setting is required.
    None,
    /// A whole number.
    Whole(u32),
    /// A number.
    Number(f64),
    /// A word.
    Word(&'static str),
    /// The value of this earlier setting.
    Same(&'static str),
}

impl Default {
    /// Returns the default as text for users, if there is one.
    pub(super) fn in_words(self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Whole(value) => Some(value.to_string()),
            Self::Number(value) => Some(value.to_string()),
            Self::Word(word) => Some(format!("\"{word}\"")),
            Self::Same(name) => Some(format!("the `{name}`")),
        }
    }
}

impl Setting {
    /// Returns a required setting. The height and width of the output do not depend on it.
    pub(crate) const fn new(name: &'static str, domain: Domain, meaning: &'static str) -> Self {
        Self { name, domain, meaning, default: Default::None, moves_sides: false }
    }

    /// Returns the setting with a default.
    pub(super) const fn or(mut self, default: Default) -> Self {
        self.default = default;
        self
    }

    /// Marks the setting as one that the height and width of the output depend on.
    pub(super) const fn moving_sides(mut self) -> Self {
        self.moves_sides = true;
        self
    }

    /// Returns the default, given the settings before it.
    pub(crate) fn default(&self, before: &Map<String, Value>) -> Option<Value> {
        match self.default {
            Default::None => None,
            Default::Whole(value) => Some(value.into()),
            Default::Number(value) => Some(value.into()),
            Default::Word(word) => Some(word.into()),
            Default::Same(name) => before.get(name).cloned(),
        }
    }
}

impl Notation {
    /// Returns the path of a setting inside its step: `Conv.filters`, `Dense`.
    pub(crate) fn path(&self, setting: &Setting) -> Path {
        let step = Path::here().name(self.name);
        match self.form {
            Form::Value => step,
            _ => step.name(setting.name),
        }
    }
}

/// The settings of one layer. Each value is in the domain of its setting.
pub(crate) struct Values(Map<String, Value>);

impl Values {
    /// Returns these settings.
    pub(crate) fn new(values: Map<String, Value>) -> Self {
        Self(values)
    }

    /// Returns a whole number.
    ///
    /// # Panics
    /// If there is no such setting.
    pub(super) fn whole(&self, name: &str) -> usize {
        self.number(name) as usize
    }

    /// Returns a number.
    ///
    /// # Panics
    /// If there is no such setting.
    pub(super) fn number(&self, name: &str) -> f64 {
        self.0[name].as_f64().expect("the value is in its domain")
    }

    /// Returns a word as a `T`.
    ///
    /// # Panics
    /// If there is no such setting, or its word does not name a `T`.
    pub(super) fn word<T: de::DeserializeOwned>(&self, name: &str) -> T {
        serde_json::from_value(self.0[name].clone()).expect("every word of the setting names a value of the type")
    }
}
