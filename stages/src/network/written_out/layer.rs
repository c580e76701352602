//! A layer as the user wrote it.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

use super::setting::{self, Given};
use crate::{
    network::layers::{
        LayerKind, Written,
        notation::{Default, Form, Notation, Setting, Values},
    },
    params::{Domain, Fields, Hyper, Read, no_content},
    problem::{Path, Problem},
};

/// A layer with its settings and the names of other layers that it reads.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WrittenLayer {
    layer: &'static Written,
    /// The settings that were written, without those at their defaults.
    settings: BTreeMap<&'static str, Hyper<Value>>,
    pub(super) names: Vec<String>,
}

impl PartialEq for Written {
    fn eq(&self, other: &Self) -> bool {
        self.notation.name == other.notation.name
    }
}

impl WrittenLayer {
    /// Returns how the layer is written.
    pub(super) fn notation(&self) -> &'static Notation {
        &self.layer.notation
    }

    /// Returns the settings that were written.
    pub(super) fn settings(&self) -> Vec<Given<'_>> {
        let notation = self.notation();
        let given = |setting: &'static Setting| {
            let value = self.settings.get(setting.name)?;
            Some(Given { path: notation.path(setting), setting, value })
        };
        notation.settings.iter().filter_map(given).collect()
    }

    /// Returns the layer with the values of `labels`, or `None` if it would do nothing, like dropout with probability 0.
    ///
    /// # Errors
    /// If the value of a setting is not allowed.
    pub(super) fn kind(&self, labels: &Map<String, Value>) -> Result<Option<LayerKind>, Problem> {
        let mut values = Map::new();
        for given in self.settings() {
            values.insert(given.setting.name.to_owned(), given.settled(labels)?);
        }
        for setting in self.notation().settings {
            if !values.contains_key(setting.name) {
                let default = setting.default(&values).expect("a setting without a default was written");
                values.insert(setting.name.to_owned(), default);
            }
        }
        Ok((self.layer.layer)(&Values::new(values)))
    }

    /// Reads `layer`. `content` is what is inside its parentheses, if it has any.
    pub(super) fn read(
        layer: &'static Written,
        content: Option<&Value>,
        at: &Path,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let Notation { name, form, settings, .. } = &layer.notation;
        let inside = at.name(*name);
        let mut written = BTreeMap::new();
        let mut names = Vec::new();
        match (form, content) {
            (Form::Name, _) => no_content(name, content, at, problems)?,
            (Form::Value, Some(value)) => {
                written.insert(settings[0].name, setting::read(&settings[0], value, &inside, problems)?);
            }
            (Form::Layers, Some(value)) => names = read_names(value, &inside, problems)?,
            (Form::Fields, Some(value)) => written = read_fields(settings, value, &inside, problems)?,
            (Form::Fields, None) if settings.iter().all(|setting| !matches!(setting.default, Default::None)) => {}
            (Form::Fields | Form::Value | Form::Layers, None) => {
                problems.push(Problem::new(at, format!("found `{name}`")).expected(format!("`{name}(..)`")));
                return None;
            }
        }
        Some(Self { layer, settings: without_defaults(settings, written), names })
    }
}

/// Reads the name of a layer, or a list of names.
fn read_names(value: &Value, at: &Path, problems: &mut Vec<Problem>) -> Option<Vec<String>> {
    match value {
        Value::String(name) => Some(vec![name.clone()]),
        Value::Array(_) => Vec::read(value, &Domain::Any, at, problems),
        value => {
            problems.push(Problem::found(at, value).expected("the name of a layer, or a list of names"));
            None
        }
    }
}

/// Reads settings, given by name or as a list in their order.
fn read_fields(
    settings: &'static [Setting],
    value: &Value,
    at: &Path,
    problems: &mut Vec<Problem>,
) -> Option<BTreeMap<&'static str, Hyper<Value>>> {
    let known: Vec<_> = settings.iter().map(|setting| setting.name).collect();
    let fields = Fields::of(value, &known, at, problems)?;
    let mut written = BTreeMap::new();
    let mut is_whole = !fields.has_unknown();
    for setting in settings {
        match fields.get(setting.name) {
            Some((at, value)) => match setting::read(setting, value, at, problems) {
                Some(read) => drop(written.insert(setting.name, read)),
                None => is_whole = false,
            },
            None if matches!(setting.default, Default::None) => {
                fields.missing(setting.name, &setting::expected(setting), problems);
                is_whole = false;
            }
            None => {}
        }
    }
    is_whole.then_some(written)
}

/// Returns the settings that are not the default.
fn without_defaults(
    settings: &'static [Setting],
    written: BTreeMap<&'static str, Hyper<Value>>,
) -> BTreeMap<&'static str, Hyper<Value>> {
    let is_default = |setting: &Setting| match (setting.default, &written[setting.name]) {
        (Default::Same(other), value) => written.get(other) == Some(value),
        (_, Hyper::Value(value)) => setting.default(&Map::new()).as_ref() == Some(value),
        (_, Hyper::Label(_)) => false,
    };
    let given = settings.iter().filter(|setting| written.contains_key(setting.name));
    let kept: Vec<_> = given.filter(|setting| !is_default(setting)).map(|setting| setting.name).collect();
    written.into_iter().filter(|(name, _)| kept.contains(name)).collect()
}

impl Serialize for WrittenLayer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Notation { name, form, settings, .. } = self.notation();
        if *form == Form::Name {
            return serializer.serialize_str(name);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        match form {
            Form::Name => {}
            Form::Value => map.serialize_entry(name, &self.settings[settings[0].name])?,
            Form::Fields => map.serialize_entry(name, &self.settings)?,
            Form::Layers => map.serialize_entry(name, &self.names)?,
        }
        map.end()
    }
}
