//! Families that are a table of hyperparameters and a function that builds the network.

use std::fmt;

use serde::{Deserializer, de};
use serde_json::{Map, Value};

use super::{
    Architecture, Builder, Function, Initialiser, LayerKind, ModelError,
    architecture::Head,
    domain::Domain,
    family::{Family, Proposal, TRAINING, canonical},
    layers::{Activation, Dropout},
};

/// Hyperparameters of one meaning.
#[derive(Debug)]
pub struct Row {
    /// Such as `units_1` to `units_8`.
    pub keys: &'static [&'static str],
    pub domain: Domain,
    /// Returns the default; null where it is the training's.
    pub default: fn() -> Value,
}

impl Row {
    pub(super) const fn new(keys: &'static [&'static str], domain: Domain, default: fn() -> Value) -> Self {
        Self { keys, domain, default }
    }
}

/// The names of all activations.
pub(super) const ACTIVATIONS: &[&str] = &["relu", "elu", "selu"];

/// The function behind each layer with a kernel.
pub const ACTIVATION: Row = Row::new(&["activation"], Domain::Word(ACTIVATIONS), || "relu".into());

/// How kernels are drawn; `auto` is LeCun's normal distribution for SELU, otherwise Glorot's uniform one. The heads' are
/// always drawn by the latter.
pub const INITIALISER: Row = Row::new(
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
);

/// A family: its hyperparameters that build the network, and how. Those that steer the training are every family's.
#[derive(Debug)]
pub struct Table {
    pub name: &'static str,
    pub rows: &'static [Row],
    /// Adds the layers between the images and the heads. Its rows have `ACTIVATION` and `INITIALISER`.
    pub build: fn(&Values<'_>, &mut Chain) -> Result<(), ModelError>,
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Table {
    fn all(&self) -> impl Iterator<Item = (&'static str, &'static Row)> {
        self.rows.iter().chain(TRAINING).flat_map(|row| row.keys.iter().map(move |key| (*key, row)))
    }

    fn row(&self, key: &str) -> Option<&'static Row> {
        self.all().find(|(known, _)| *known == key).map(|(_, row)| row)
    }
}

/// A family with the user's values.
#[derive(Debug, Clone, PartialEq)]
pub struct TableFamily {
    pub table: &'static Table,
    /// Hyperparameters with a value of the user's, by key; none that is the default.
    pub fixed: Map<String, Value>,
}

impl TableFamily {
    /// Returns the family with all values at their defaults.
    pub fn new(table: &'static Table) -> Self {
        Self { table, fixed: Map::new() }
    }
}

impl Family for TableFamily {
    fn keys(&self) -> Vec<&str> {
        self.table.all().map(|(key, _)| key).collect()
    }

    fn fixed(&self, key: &str) -> Option<&Value> {
        self.fixed.get(key)
    }

    fn default_of(&self, key: &str) -> Option<Value> {
        self.table.row(key).map(|row| (row.default)()).filter(|default| !default.is_null())
    }

    fn architecture(&self, proposal: &Proposal, input: [usize; 3], heads: &[Head]) -> Result<Architecture, ModelError> {
        let rows = self.table.rows.iter().flat_map(|row| row.keys.iter().map(move |key| (*key, row)));
        let value = |(key, row): (&'static str, &Row)| {
            let value = self.value(&proposal.values, key).expect("what builds a network has a default");
            if row.domain.has(&value) {
                return Ok((key.to_owned(), value));
            }
            Err(ModelError::Value { key: key.into(), found: value.to_string(), expected: row.domain.expected() })
        };
        let values = Values { values: rows.map(value).collect::<Result<_, _>>()?, heads };
        let mut chain = Chain::new(input)?;
        chain.builder.initialise(values.initialiser());
        (self.table.build)(&values, &mut chain)?;
        chain.finish(heads)
    }

    fn problems(&self) -> Vec<(String, String)> {
        let problem = |(key, value)| Some((String::clone(key), format!("expected {}", self.refusal(key, value)?)));
        self.fixed.iter().filter_map(problem).collect()
    }

    fn refusal(&self, key: &str, value: &Value) -> Option<String> {
        let domain = &self.table.row(key)?.domain;
        (!domain.has(value)).then(|| domain.expected())
    }

    fn is_bounded(&self, key: &str) -> bool {
        self.table.row(key).is_some_and(|row| matches!(row.domain, Domain::Whole(_) | Domain::Share))
    }
}

/// Reads the settings of a family: its hyperparameters by key, or nothing.
impl<'de> de::DeserializeSeed<'de> for &'static Table {
    type Value = TableFamily;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<TableFamily, D::Error> {
        struct Settings(&'static Table);

        impl<'de> de::Visitor<'de> for Settings {
            type Value = TableFamily;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "the settings of `{}`", self.0.name)
            }

            fn visit_unit<E>(self) -> Result<TableFamily, E> {
                Ok(TableFamily::new(self.0))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<TableFamily, A::Error> {
                let mut family = TableFamily::new(self.0);
                while let Some(key) = map.next_key::<String>()? {
                    if self.0.row(&key).is_none() {
                        // In serde's words; its own function asks for names known when this was compiled.
                        let known = family.keys().join("`, `");
                        return Err(de::Error::custom(format!("unknown field `{key}`, expected one of `{known}`")));
                    }
                    let default = family.default_of(&key);
                    let value = canonical(default.clone(), map.next_value()?);
                    // A default written out is left out.
                    if default.as_ref() != Some(&value) {
                        family.fixed.insert(key, value);
                    }
                }
                Ok(family)
            }
        }

        deserializer.deserialize_any(Settings(self))
    }
}

/// The hyperparameters that build one network, each of its domain.
pub struct Values<'a> {
    values: Map<String, Value>,
    /// The outputs that the network is to have.
    pub heads: &'a [Head],
}

impl Values<'_> {
    /// Returns the whole number `key`.
    ///
    /// # Panics
    /// If the table has no such row.
    pub fn whole(&self, key: &str) -> usize {
        self.number(key) as usize
    }

    /// Returns the share `key`.
    ///
    /// # Panics
    /// If the table has no such row.
    pub fn share(&self, key: &str) -> f32 {
        self.number(key) as f32
    }

    /// Returns the text `key`, read as a `T`.
    ///
    /// # Panics
    /// If the table has no such row, or its words are not those of a `T`.
    pub fn word<T: de::DeserializeOwned>(&self, key: &str) -> T {
        serde_json::from_value(self.values[key].clone()).expect("the words of the table are those of the type")
    }

    /// Returns the layer with the function of the network.
    pub fn activation(&self) -> Activation {
        Activation { function: self.word("activation") }
    }

    fn initialiser(&self) -> Initialiser {
        let is_auto = self.values["initialiser"] == "auto";
        match self.word("activation") {
            Function::Selu if is_auto => Initialiser::LecunNormal,
            _ if is_auto => Initialiser::default(),
            _ => self.word("initialiser"),
        }
    }

    fn number(&self, key: &str) -> f64 {
        self.values[key].as_f64().expect("the value is of its domain")
    }
}

/// A network so far, each layer behind the one before.
pub struct Chain {
    builder: Builder,
    at: String,
}

impl Chain {
    /// Returns the network of no layers for images of shape [channels, height, width].
    ///
    /// # Errors
    /// If there is no pixel.
    pub fn new(input: [usize; 3]) -> Result<Self, ModelError> {
        if input.contains(&0) {
            let found = format!("images of {}x{}x{}", input[0], input[1], input[2]);
            return Err(ModelError::Data { found, expected: "at least one pixel" });
        }
        Ok(Self { builder: Builder::new(input), at: "input".into() })
    }

    /// Adds a layer.
    ///
    /// # Errors
    /// If what is there has a shape that the layer cannot read.
    pub fn push(&mut self, layer: impl Into<LayerKind>) -> Result<(), ModelError> {
        self.at = self.builder.try_add(layer, &[&self.at])?;
        Ok(())
    }

    /// Adds a layer that drops a share `p`, if that is not 0.
    ///
    /// # Errors
    /// None: dropout reads every shape.
    pub fn dropout(&mut self, p: f32) -> Result<(), ModelError> {
        if p > 0.0 { self.push(Dropout { p }) } else { Ok(()) }
    }

    /// Adds the heads.
    ///
    /// # Errors
    /// As [`Builder::finish`].
    pub fn finish(self, heads: &[Head]) -> Result<Architecture, ModelError> {
        self.builder.finish(&self.at, heads)
    }
}
