//! A layer as somebody wrote it.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap};
use serde_json::{Map, Value};

use super::setting::{Given, Wrong};
use crate::{
    network::layers::{
        LayerKind, WRITTEN, Written,
        notation::{Default, Form, Notation, Setting, Values},
    },
    params::Hyper,
};

/// A layer with its settings and the names of other layers that it reads.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WrittenLayer {
    layer: &'static Written,
    /// What was written, without what is the default.
    settings: BTreeMap<&'static str, Hyper<Value>>,
    pub(super) names: Vec<String>,
}

impl PartialEq for Written {
    fn eq(&self, other: &Self) -> bool {
        self.notation.name == other.notation.name
    }
}

/// Returns the layer that is written so.
pub(super) fn layer_named(name: &str) -> Option<&'static Written> {
    WRITTEN.iter().find(|layer| layer.notation.name == name)
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

    /// Returns the layer with the values of `labels`, or nothing if it would change nothing.
    ///
    /// # Errors
    /// If a setting cannot have its value.
    pub(super) fn kind(&self, labels: &Map<String, Value>) -> Result<Option<LayerKind>, Wrong> {
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

    /// Returns the layer without settings that are the default.
    ///
    /// # Errors
    /// If a setting without a default is missing.
    fn new<E: de::Error>(layer: &'static Written, written: BTreeMap<&'static str, Hyper<Value>>) -> Result<Self, E> {
        let missing =
            |setting: &&Setting| matches!(setting.default, Default::None) && !written.contains_key(setting.name);
        if let Some(setting) = layer.notation.settings.iter().find(missing) {
            return Err(E::missing_field(setting.name));
        }
        let is_default = |setting: &Setting| match (setting.default, &written[setting.name]) {
            (Default::Same(other), value) => written.get(other) == Some(value),
            (_, Hyper::Value(value)) => setting.default(&Map::new()).as_ref() == Some(value),
            (_, Hyper::Label(_)) => false,
        };
        let settings = layer.notation.settings.iter().filter(|setting| written.contains_key(setting.name));
        let kept: Vec<_> = settings.filter(|setting| !is_default(setting)).map(|setting| setting.name).collect();
        let settings = written.into_iter().filter(|(name, _)| kept.contains(name)).collect();
        Ok(Self { layer, settings, names: Vec::new() })
    }

    /// Returns the layer that is written as its name alone, if it can be.
    pub(super) fn of_name(layer: &'static Written) -> Option<Self> {
        let has_parentheses = matches!(layer.notation.form, Form::Value | Form::Layers);
        (!has_parentheses).then(|| Self::new::<de::value::Error>(layer, BTreeMap::new()).ok()).flatten()
    }
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

/// Reads what stands in the parentheses behind the layer's name.
impl<'de> de::DeserializeSeed<'de> for &'static Written {
    type Value = WrittenLayer;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<WrittenLayer, D::Error> {
        let layer = |settings| WrittenLayer::new(self, settings);
        match self.notation.form {
            Form::Name => NoFields::deserialize(deserializer).and_then(|NoFields {}| layer(BTreeMap::new())),
            Form::Value => {
                let setting = &self.notation.settings[0];
                layer([(setting.name, setting.deserialize(deserializer)?)].into())
            }
            Form::Fields => layer(deserializer.deserialize_any(Fields(&self.notation))?),
            Form::Layers => Ok(WrittenLayer { names: deserializer.deserialize_any(Names)?, ..layer(BTreeMap::new())? }),
        }
    }
}

/// What stands in the parentheses of `Flatten()`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoFields {}

/// Reads settings by name, or all in their order.
struct Fields(&'static Notation);

impl<'de> de::Visitor<'de> for Fields {
    type Value = BTreeMap<&'static str, Hyper<Value>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "struct {}", self.0.name)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut settings = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            let Some(setting) = self.0.settings.iter().find(|setting| setting.name == name) else {
                let known: Vec<_> = self.0.settings.iter().map(|setting| format!("`{}`", setting.name)).collect();
                // In serde's words; its own function asks for names known when this was compiled.
                let known = if let [a, b] = &known[..] {
                    format!("{a} or {b}")
                } else {
                    format!("one of {}", known.join(", "))
                };
                return Err(de::Error::custom(format!("unknown field `{name}`, expected {known}")));
            };
            settings.insert(setting.name, map.next_value_seed(setting)?);
        }
        Ok(settings)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut settings = BTreeMap::new();
        for setting in self.0.settings {
            let Some(value) = seq.next_element_seed(setting)? else { break };
            settings.insert(setting.name, value);
        }
        Ok(settings)
    }
}

/// Reads the name of a layer, or a list of names.
struct Names;

impl<'de> de::Visitor<'de> for Names {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a layer, or a list of names")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Vec<String>, E> {
        Ok(vec![name.to_owned()])
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Vec<String>, A::Error> {
        Vec::deserialize(de::value::SeqAccessDeserializer::new(seq))
    }
}
