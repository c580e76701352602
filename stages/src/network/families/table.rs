//! Families made of a table of hyperparameters and a function that builds the network.

use serde::{Serialize, Serializer, de};
use serde_json::{Map, Value};

use super::{Family, Proposed, Row};
use crate::{
    network::{
        Architecture, Builder, Function, Initialiser, LayerKind, ModelError,
        architecture::Head,
        layers::{Activation, Dropout},
    },
    params::{Fields, Read},
    problem::{Path, Problem},
};

/// A family: its hyperparameters, and the function that builds a network from them.
#[derive(Debug)]
pub struct Table {
    /// The name of the family.
    pub name: &'static str,
    /// A description of its networks, in a sentence for users.
    pub about: &'static str,
    /// The hyperparameters of the network. Must include `ACTIVATION`.
    pub rows: &'static [Row],
    /// The hyperparameters of the training: usually [`TRAINING`](super::TRAINING).
    pub training: &'static [Row],
    /// Checks conditions that involve several hyperparameters.
    pub check: fn(&Values<'_>) -> Result<(), ModelError>,
    /// Adds the layers between the images and the heads.
    pub build: fn(&Values<'_>, &mut Chain) -> Result<(), ModelError>,
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Table {
    /// Returns all hyperparameters and settings, each with its row.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &'static Row)> {
        self.rows.iter().chain(self.training).flat_map(|row| row.keys.iter().map(move |key| (*key, row)))
    }

    fn row(&self, key: &str) -> Option<&'static Row> {
        self.all().find(|(known, _)| *known == key).map(|(_, row)| row)
    }

    /// Reads the user's settings of the family, an object or null, and adds what is wrong to `problems`.
    ///
    /// Returns `None` if nothing useful could be read. The settings are correct only if no problem was added.
    pub fn read(&'static self, value: &Value, at: &Path, problems: &mut Vec<Problem>) -> Option<TableFamily> {
        let mut family = TableFamily::new(self);
        let known: Vec<_> = self.all().map(|(key, _)| key).collect();
        if value.is_null() {
            return Some(family);
        }
        let before = problems.len();
        let fields = Fields::of(value, &known, at, problems)?;
        for (key, row) in self.all() {
            if let Some((at, value)) = fields.get(key) {
                let value = Value::read(value, &row.domain, at, problems)?;
                family.fixed.insert(key.to_owned(), row.canonical(value));
            }
        }
        if problems.len() == before
            && let Err(error) = family.values(&Map::new(), &[]).and_then(|values| (self.check)(&values))
        {
            problems.push(error.problem(at));
        }
        (!fields.has_unknown()).then_some(family)
    }
}

/// A family with the user's values. Two are equal if they differ only in values that are the defaults.
#[derive(Debug, Clone)]
pub struct TableFamily {
    /// The family.
    pub table: &'static Table,
    /// The user's values, by key.
    fixed: Map<String, Value>,
}

impl PartialEq for TableFamily {
    fn eq(&self, other: &Self) -> bool {
        self.table == other.table && self.changed() == other.changed()
    }
}

impl TableFamily {
    /// Returns the family with all values at their defaults.
    pub fn new(table: &'static Table) -> Self {
        Self { table, fixed: Map::new() }
    }

    /// Returns the family with `proposed` values in place of the user's.
    #[must_use]
    pub fn with(mut self, proposed: &Map<String, Value>) -> Self {
        for (key, row) in self.table.all() {
            if let Some(value) = proposed.get(key) {
                self.fixed.insert(key.to_owned(), row.canonical(value.clone()));
            }
        }
        self
    }

    /// Returns the user's values that differ from the defaults.
    fn changed(&self) -> Map<String, Value> {
        let changed = self.fixed.iter().filter(|(key, value)| self.default_of(key).as_ref() != Some(*value));
        changed.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Returns the values of all hyperparameters of the network.
    fn values<'a>(&self, proposed: &Map<String, Value>, heads: &'a [Head]) -> Result<Values<'a>, ModelError> {
        let rows = self.table.rows.iter().flat_map(|row| row.keys.iter().map(move |key| (*key, row)));
        let value = |(key, row): (&'static str, &Row)| {
            let value = self.value(proposed, key).expect("hyperparameters of the network have defaults");
            if row.domain.has(&value) {
                return Ok((key.to_owned(), value));
            }
            Err(ModelError::Value { key: key.into(), found: value.to_string(), expected: row.domain.expected() })
        };
        Ok(Values { values: rows.map(value).collect::<Result<_, _>>()?, heads })
    }
}

impl Serialize for TableFamily {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.changed().serialize(serializer)
    }
}

impl Family for TableFamily {
    fn keys(&self) -> Vec<&str> {
        self.table.all().filter(|(_, row)| row.is_searched).map(|(key, _)| key).collect()
    }

    fn fixed(&self, key: &str) -> Option<&Value> {
        self.fixed.get(key)
    }

    fn default_of(&self, key: &str) -> Option<Value> {
        self.table.row(key)?.default.map(|default| default())
    }

    fn architecture(&self, proposal: &Proposed, input: [usize; 3], heads: &[Head]) -> Result<Architecture, ModelError> {
        let values = self.values(&proposal.values, heads)?;
        let mut chain = Chain::new(input)?;
        chain.builder.initialise(values.initialiser());
        (self.table.build)(&values, &mut chain)?;
        chain.finish(heads)
    }

    fn refusal(&self, key: &str, value: &Value) -> Option<String> {
        let domain = &self.table.row(key)?.domain;
        (!domain.has(value)).then(|| domain.expected())
    }
}

/// The hyperparameters of one network. Each value is in the domain of its row.
pub struct Values<'a> {
    values: Map<String, Value>,
    /// The outputs that the network will have.
    pub heads: &'a [Head],
}

impl Values<'_> {
    /// Returns `key` as a whole number, rounded.
    ///
    /// # Panics
    /// If the table has no such row.
    pub fn whole(&self, key: &str) -> usize {
        libm::rint(self.number(key)) as usize
    }

    /// Returns `key` as a whole number, rounded, or `None` if the user wrote `None`.
    ///
    /// # Panics
    /// If the table has no such row.
    pub fn optional(&self, key: &str) -> Option<usize> {
        self.is_given(key).then(|| self.whole(key))
    }

    /// Returns whether `key` has a value other than `None`.
    ///
    /// # Panics
    /// If the table has no such row.
    pub fn is_given(&self, key: &str) -> bool {
        !self.values[key].is_null()
    }

    /// Returns whether `key` is true.
    ///
    /// # Panics
    /// If the table has no such row.
    pub fn flag(&self, key: &str) -> bool {
        self.values[key].as_bool().expect("the value is in its domain")
    }

    /// Returns `key` as a fraction in single precision.
    ///
    /// # Panics
    /// If the table has no such row.
    pub fn share(&self, key: &str) -> f32 {
        self.number(key) as f32
    }

    /// Returns `key` as a number.
    ///
    /// # Panics
    /// If the table has no such row.
    pub fn number(&self, key: &str) -> f64 {
        self.values[key].as_f64().expect("the value is in its domain")
    }

    /// Returns `key` as a `T`.
    ///
    /// # Panics
    /// If the table has no such row, or its domain has values that are not a `T`.
    pub fn get<T: de::DeserializeOwned>(&self, key: &str) -> T {
        serde_json::from_value(self.values[key].clone()).expect("every value of the domain is a value of the type")
    }

    /// Returns a layer with the network's activation function.
    pub fn activation(&self) -> Activation {
        Activation { function: self.get("activation") }
    }

    fn initialiser(&self) -> Initialiser {
        match (self.values.get("initialiser"), self.get("activation")) {
            (Some(named), _) if named != "auto" => self.get("initialiser"),
            (_, Function::Selu) => Initialiser::LecunNormal,
            _ => Initialiser::default(),
        }
    }
}

/// A network under construction. Each new layer reads the layer added last, unless told otherwise.
pub struct Chain {
    builder: Builder,
    at: String,
}

impl Chain {
    /// Returns a network without layers for images of shape `[channels, height, width]`.
    ///
    /// # Errors
    /// If one of the sides is 0.
    pub fn new(input: [usize; 3]) -> Result<Self, ModelError> {
        if input.contains(&0) {
            let found = format!("images of {}x{}x{}", input[0], input[1], input[2]);
            return Err(ModelError::Data { found, expected: "at least one pixel" });
        }
        Ok(Self { builder: Builder::new(input), at: "input".into() })
    }

    /// Returns the name of the layer that the next one will read, or `input`.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// Returns the output shape of the layer `name`, or the shape of an image if `name` is `input`.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn shape(&self, name: &str) -> &[usize] {
        self.builder.shape(name)
    }

    /// Makes the next layer read the layer `name`, and returns the name of the one that it would have read.
    pub fn go_on_from(&mut self, name: impl Into<String>) -> String {
        std::mem::replace(&mut self.at, name.into())
    }

    /// Adds a layer.
    ///
    /// # Errors
    /// If the layer cannot read the shape of its input.
    pub fn push(&mut self, layer: impl Into<LayerKind>) -> Result<(), ModelError> {
        self.join(layer, &[])
    }

    /// Adds a layer with several inputs: the layers `others`, then the one added last.
    ///
    /// # Errors
    /// If the layer cannot read the shapes of its inputs.
    ///
    /// # Panics
    /// If one of `others` does not exist.
    pub fn join(&mut self, layer: impl Into<LayerKind>, others: &[&str]) -> Result<(), ModelError> {
        let inputs: Vec<_> = others.iter().copied().chain([self.at.as_str()]).collect();
        self.at = self.builder.try_add(layer, &inputs)?;
        Ok(())
    }

    /// Adds dropout with probability `p`, unless `p` is 0.
    ///
    /// # Errors
    /// Never in practice: dropout can read every shape.
    pub fn dropout(&mut self, p: f32) -> Result<(), ModelError> {
        if p > 0.0 { self.push(Dropout { p }) } else { Ok(()) }
    }

    /// Adds the heads, and returns the network.
    ///
    /// # Errors
    /// See [`Builder::finish`].
    pub fn finish(self, heads: &[Head]) -> Result<Architecture, ModelError> {
        self.builder.finish(&self.at, heads)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::network::architecture::Output;

    /// Returns the network that a family builds from `values`, for images of shape `input` and one head.
    pub(in crate::network) fn built(
        table: &'static Table,
        values: Value,
        input: [usize; 3],
        classes: usize,
    ) -> Result<Architecture, ModelError> {
        let values = values.as_object().expect("values by key").clone();
        let proposal = Proposed { values, labels: Map::new() };
        let head = Head { name: "class".into(), classes, output: Output::Softmax };
        TableFamily::new(table).architecture(&proposal, input, &[head])
    }
}
