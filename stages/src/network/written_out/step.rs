//! One step of a network written out: a layer, or where the next one goes.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use super::{
    layer::{NoFields, WrittenLayer, layer_named},
    setting::Given,
};
use crate::{
    network::{
        domain::Domain,
        initialiser::Initialiser,
        layers::{
            WRITTEN,
            notation::{Form, Gives, Reads, Setting},
        },
    },
    params::Hyper,
};

/// A step. In JSON `"Flatten"` or `{"Dense":10}`, without what is the default.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// A layer behind the one before.
    Layer(WrittenLayer),
    /// The mean of each channel, as units: an average pooling of the whole image, which must be square.
    GlobalAvgPool,
    /// Names the layer before.
    As(String),
    /// Goes on behind the layer with this name. `input` is the image.
    From(String),
    /// How the kernels of the layers to come are drawn. Those before the first are drawn as `glorot_uniform`, as are the heads'.
    Initialise(Hyper<Value>),
}

/// The steps that are not one layer.
const OTHERS: [&str; 4] = ["GlobalAvgPool", "As", "From", "Initialise"];

static INITIALISER: Setting =
    Setting::new("initialiser", Domain::Word(&Initialiser::NAMES), "How the kernels of the layers to come are drawn.");

impl Step {
    /// Returns the step's name, as it is written.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Layer(layer) => layer.notation().name,
            Self::GlobalAvgPool => "GlobalAvgPool",
            Self::As(_) => "As",
            Self::From(_) => "From",
            Self::Initialise(_) => "Initialise",
        }
    }

    /// Returns the settings that were written.
    pub(super) fn settings(&self) -> Vec<Given<'_>> {
        match self {
            Self::Layer(layer) => layer.settings(),
            Self::Initialise(value) => vec![Given { path: self.name().to_owned(), setting: &INITIALISER, value }],
            Self::GlobalAvgPool | Self::As(_) | Self::From(_) => Vec::new(),
        }
    }

    /// Returns the names of other layers in the step, each with its path inside the step.
    pub(super) fn names(&self) -> Vec<(String, &str)> {
        match self {
            Self::Layer(layer) => {
                let path = |(i, name)| (format!("{}[{i}]", self.name()), String::as_str(name));
                layer.names.iter().enumerate().map(path).collect()
            }
            Self::From(name) => vec![("From".to_owned(), name)],
            Self::GlobalAvgPool | Self::As(_) | Self::Initialise(_) => Vec::new(),
        }
    }

    /// Returns what the step reads and gives, if it adds layers.
    pub(super) fn reads_and_gives(&self) -> Option<(Reads, Gives)> {
        match self {
            Self::Layer(layer) => Some((layer.notation().reads, layer.notation().gives)),
            Self::GlobalAvgPool => Some((Reads::Images, Gives::Units)),
            Self::As(_) | Self::From(_) | Self::Initialise(_) => None,
        }
    }

    /// Whether the step joins other layers with the one before.
    pub(super) fn is_join(&self) -> bool {
        matches!(self, Self::Layer(layer) if layer.notation().form == Form::Layers)
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let name = self.name();
        match self {
            Self::Layer(layer) => layer.serialize(serializer),
            Self::GlobalAvgPool => serializer.serialize_str(name),
            Self::As(layer) | Self::From(layer) => serializer.collect_map([(name, layer)]),
            Self::Initialise(value) => serializer.collect_map([(name, value)]),
        }
    }
}

/// Returns "unknown variant" in serde's words. Its own function asks for names known when this was compiled.
fn unknown<E: de::Error>(name: &str) -> E {
    let known: Vec<_> = WRITTEN.iter().map(|layer| layer.notation.name).chain(OTHERS).collect();
    E::custom(format!("unknown variant `{name}`, expected one of `{}`", known.join("`, `")))
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Step;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a layer: `Flatten` or `Dense(10)`")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Step, E> {
                // In serde's words.
                let bare = || E::custom(format!("invalid type: unit variant, expected newtype variant Step::{name}"));
                match layer_named(name) {
                    Some(layer) => WrittenLayer::of_name(layer).map(Step::Layer).ok_or_else(bare),
                    None if name == "GlobalAvgPool" => Ok(Step::GlobalAvgPool),
                    None if OTHERS.contains(&name) => Err(bare()),
                    None => Err(unknown(name)),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Step, A::Error> {
                let name = map.next_key::<String>()?.unwrap_or_default();
                if let Some(layer) = layer_named(&name) {
                    return map.next_value_seed(layer).map(Step::Layer);
                }
                match name.as_str() {
                    "GlobalAvgPool" => map.next_value().map(|NoFields {}| Step::GlobalAvgPool),
                    "As" => map.next_value().map(Step::As),
                    "From" => map.next_value().map(Step::From),
                    "Initialise" => map.next_value_seed(&INITIALISER).map(Step::Initialise),
                    name => Err(unknown(name)),
                }
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
