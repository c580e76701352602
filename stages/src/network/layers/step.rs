//! One step of a network written out: a layer, or where the next one goes.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value};

use crate::{
    network::{
        Initialiser, Kind, Padding,
        architecture::Activation,
        table::{ACTIVATIONS, Domain},
    },
    params::Hyper,
};

/// A layer behind the one before, or where the next one goes. In JSON `"Flatten"` or `{"Dense":10}`, defaults left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Step {
    Conv(Conv),
    MaxPool(Pool),
    AvgPool(Pool),
    /// The mean of each channel, as units: an average pooling of the whole image, which must be square.
    GlobalAvgPool,
    BatchNorm(BatchNorm),
    Activation(Hyper<Activation>),
    /// The share that is dropped; no layer where it is 0.
    Dropout(Hyper<f64>),
    Flatten,
    /// So many units.
    Dense(Hyper<u32>),
    /// The sum of the layers with these names and of the one before.
    Add(Names),
    /// The layers with these names and then the one before, along the channels.
    Concat(Names),
    /// Names the layer before.
    As(String),
    /// Goes on behind the layer with this name; `input` is the image.
    From(String),
    /// How the kernels of the layers to come are drawn; those before the first as `glorot_uniform`, and so the heads'.
    Initialise(Hyper<Initialiser>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv {
    pub filters: Hyper<u32>,
    /// Its height and its width.
    pub kernel: Hyper<u32>,
    /// Default 1.
    #[serde(default = "stride::value", skip_serializing_if = "stride::is")]
    pub stride: Hyper<u32>,
    /// Default "same".
    #[serde(default = "same::value", skip_serializing_if = "same::is")]
    pub padding: Hyper<Padding>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// The height and the width of a window.
    pub size: Hyper<u32>,
    /// Default: the size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<Hyper<u32>>,
    /// Default "valid".
    #[serde(default = "valid::value", skip_serializing_if = "valid::is")]
    pub padding: Hyper<Padding>,
}

/// By default as Keras's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchNorm {
    /// How much of the moving statistics a step leaves: 1 less PyTorch's. Default 0.99.
    #[serde(default = "momentum::value", skip_serializing_if = "momentum::is")]
    pub momentum: Hyper<f64>,
    /// Default 0.001.
    #[serde(default = "epsilon::value", skip_serializing_if = "epsilon::is")]
    pub epsilon: Hyper<f64>,
}

/// Names of layers: `"a"`, or `["a", "b"]`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Names(pub Vec<String>);

crate::defaults! {
    stride: Hyper<u32> = Hyper::Value(1);
    same: Hyper<Padding> = Hyper::Value(Padding::Same);
    valid: Hyper<Padding> = Hyper::Value(Padding::Valid);
    momentum: Hyper<f64> = Hyper::Value(0.99);
    epsilon: Hyper<f64> = Hyper::Value(0.001);
}

/// A value of a step, and what it may be.
pub(super) struct Setting<'a> {
    /// Its path inside the step: `Conv.filters`, `Dense`.
    pub(super) path: &'static str,
    pub(super) given: Given<'a>,
    pub(super) domain: Domain,
    /// Whether height and width of what the layer gives depend on it.
    pub(super) moves_sides: bool,
}

pub(super) enum Given<'a> {
    Value(Value),
    Label(&'a str),
}

/// A value that a step cannot have.
pub(super) struct Wrong {
    pub(super) path: &'static str,
    pub(super) found: String,
    pub(super) expected: String,
}

const FILTERS: Domain = Domain::Whole(1..=65_536);
const WINDOW: Domain = Domain::Whole(1..=64);
const PADDING: Domain = Domain::Word(&["same", "valid"]);
const UNITS: Domain = Domain::Whole(1..=1 << 20);

impl<'a> Setting<'a> {
    fn new<T: Serialize>(path: &'static str, value: &'a Hyper<T>, domain: Domain) -> Self {
        let given = match value {
            Hyper::Value(value) => Given::Value(serde_json::json!(value)),
            Hyper::Label(label) => Given::Label(label),
        };
        Self { path, given, domain, moves_sides: false }
    }

    fn moving_sides<T: Serialize>(path: &'static str, value: &'a Hyper<T>, domain: Domain) -> Self {
        Self { moves_sides: true, ..Self::new(path, value, domain) }
    }

    pub(super) fn label(&self) -> Option<&'a str> {
        match self.given {
            Given::Value(_) => None,
            Given::Label(label) => Some(label),
        }
    }

    /// Returns what is wrong with the value, which is that of its label among `labels` if it has one.
    pub(super) fn wrong(&self, labels: &Map<String, Value>) -> Option<Wrong> {
        let found = match &self.given {
            Given::Value(value) if self.domain.has(value) => return None,
            Given::Value(value) => value.to_string(),
            Given::Label(label) => match labels.get(*label) {
                Some(value) if self.domain.has(value) => return None,
                Some(value) => format!("{value} by label `{label}`"),
                None => format!("label `{label}`, which is not proposed"),
            },
        };
        Some(Wrong { path: self.path, found, expected: self.domain.expected() })
    }
}

impl Step {
    const NAMES: &'static [&'static str] = &[
        "Conv",
        "MaxPool",
        "AvgPool",
        "GlobalAvgPool",
        "BatchNorm",
        "Activation",
        "Dropout",
        "Flatten",
        "Dense",
        "Add",
        "Concat",
        "As",
        "From",
        "Initialise",
    ];

    /// Returns the step's name, as it is written.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Conv(_) => "Conv",
            Self::MaxPool(_) => "MaxPool",
            Self::AvgPool(_) => "AvgPool",
            Self::GlobalAvgPool => "GlobalAvgPool",
            Self::BatchNorm(_) => "BatchNorm",
            Self::Activation(_) => "Activation",
            Self::Dropout(_) => "Dropout",
            Self::Flatten => "Flatten",
            Self::Dense(_) => "Dense",
            Self::Add(_) => "Add",
            Self::Concat(_) => "Concat",
            Self::As(_) => "As",
            Self::From(_) => "From",
            Self::Initialise(_) => "Initialise",
        }
    }

    /// Returns the values of the step.
    pub(super) fn settings(&self) -> Vec<Setting<'_>> {
        match self {
            Self::Conv(Conv { filters, kernel, stride, padding }) => vec![
                Setting::new("Conv.filters", filters, FILTERS),
                Setting::moving_sides("Conv.kernel", kernel, WINDOW),
                Setting::moving_sides("Conv.stride", stride, WINDOW),
                Setting::moving_sides("Conv.padding", padding, PADDING),
            ],
            Self::MaxPool(pool) => pool.settings(["MaxPool.size", "MaxPool.stride", "MaxPool.padding"]),
            Self::AvgPool(pool) => pool.settings(["AvgPool.size", "AvgPool.stride", "AvgPool.padding"]),
            Self::BatchNorm(BatchNorm { momentum, epsilon }) => vec![
                Setting::new("BatchNorm.momentum", momentum, Domain::Share),
                Setting::new("BatchNorm.epsilon", epsilon, Domain::Positive),
            ],
            Self::Activation(function) => vec![Setting::new("Activation", function, Domain::Word(ACTIVATIONS))],
            Self::Dropout(share) => vec![Setting::new("Dropout", share, Domain::Share)],
            Self::Dense(units) => vec![Setting::new("Dense", units, UNITS)],
            Self::Initialise(initialiser) => {
                vec![Setting::new("Initialise", initialiser, Domain::Word(&Initialiser::NAMES))]
            }
            Self::GlobalAvgPool | Self::Flatten | Self::Add(_) | Self::Concat(_) | Self::As(_) | Self::From(_) => {
                Vec::new()
            }
        }
    }

    /// Returns the names of other layers that the step has, each with its path inside the step.
    pub(super) fn reads(&self) -> Vec<(String, &str)> {
        let (name, names) = match self {
            Self::Add(names) => ("Add", names),
            Self::Concat(names) => ("Concat", names),
            Self::From(name) => return vec![("From".to_owned(), name)],
            _ => return Vec::new(),
        };
        names.0.iter().enumerate().map(|(i, layer)| (format!("{name}[{i}]"), layer.as_str())).collect()
    }

    /// Returns the layer with the values of `labels`; none for what is no layer, or several.
    ///
    /// # Errors
    /// If a value is not what it may be.
    pub(super) fn kind(&self, labels: &Map<String, Value>) -> Result<Option<Kind>, Wrong> {
        if let Some(wrong) = self.settings().iter().find_map(|setting| setting.wrong(labels)) {
            return Err(wrong);
        }
        Ok(Some(match self {
            Self::Conv(Conv { filters, kernel, stride, padding }) => Kind::Conv {
                filters: settled(filters, labels) as usize,
                kernel: settled(kernel, labels) as usize,
                stride: settled(stride, labels) as usize,
                padding: settled(padding, labels),
            },
            Self::MaxPool(pool) => {
                let (size, stride, padding) = pool.window(labels);
                Kind::MaxPool { size, stride, padding }
            }
            Self::AvgPool(pool) => {
                let (size, stride, padding) = pool.window(labels);
                Kind::AvgPool { size, stride, padding }
            }
            Self::BatchNorm(BatchNorm { momentum, epsilon }) => {
                Kind::BatchNorm { momentum: settled(momentum, labels) as f32, epsilon: settled(epsilon, labels) as f32 }
            }
            Self::Activation(function) => Kind::Activation { function: settled(function, labels) },
            Self::Dropout(share) => match settled(share, labels) {
                0.0 => return Ok(None),
                share => Kind::Dropout { p: share as f32 },
            },
            Self::Flatten => Kind::Flatten,
            Self::Dense(units) => Kind::Dense { units: settled(units, labels) as usize },
            Self::Add(_) => Kind::Add,
            Self::Concat(_) => Kind::Concat,
            Self::GlobalAvgPool | Self::As(_) | Self::From(_) | Self::Initialise(_) => return Ok(None),
        }))
    }
}

impl Pool {
    /// Leaves out a stride that is the default.
    fn canonical(mut self) -> Self {
        self.stride = self.stride.filter(|stride| *stride != self.size);
        self
    }

    fn settings(&self, [size, stride, padding]: [&'static str; 3]) -> Vec<Setting<'_>> {
        let stride = self.stride.as_ref().map(|value| Setting::moving_sides(stride, value, WINDOW));
        [Setting::moving_sides(size, &self.size, WINDOW), Setting::moving_sides(padding, &self.padding, PADDING)]
            .into_iter()
            .chain(stride)
            .collect()
    }

    fn window(&self, labels: &Map<String, Value>) -> (usize, usize, Padding) {
        let size = settled(&self.size, labels) as usize;
        let stride = self.stride.as_ref().map_or(size, |stride| settled(stride, labels) as usize);
        (size, stride, settled(&self.padding, labels))
    }
}

/// Returns a value that was found to be of its domain.
pub(super) fn settled<T: de::DeserializeOwned + Clone>(value: &Hyper<T>, labels: &Map<String, Value>) -> T {
    value.resolve(labels).expect("values of the domain are values of the type")
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
                match name {
                    "GlobalAvgPool" => Ok(Step::GlobalAvgPool),
                    "BatchNorm" => {
                        Ok(Step::BatchNorm(BatchNorm { momentum: momentum::value(), epsilon: epsilon::value() }))
                    }
                    "Flatten" => Ok(Step::Flatten),
                    // In serde's words.
                    name if Step::NAMES.contains(&name) => {
                        Err(E::custom(format!("invalid type: unit variant, expected newtype variant Step::{name}")))
                    }
                    name => Err(E::unknown_variant(name, Step::NAMES)),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Step, A::Error> {
                match map.next_key::<String>()?.as_deref() {
                    Some("Conv") => map.next_value().map(Step::Conv),
                    Some("MaxPool") => map.next_value().map(Pool::canonical).map(Step::MaxPool),
                    Some("AvgPool") => map.next_value().map(Pool::canonical).map(Step::AvgPool),
                    Some("GlobalAvgPool") => map.next_value::<NoFields>().map(|_| Step::GlobalAvgPool),
                    Some("BatchNorm") => map.next_value().map(Step::BatchNorm),
                    Some("Activation") => map.next_value().map(Step::Activation),
                    Some("Dropout") => map.next_value().map(Step::Dropout),
                    Some("Flatten") => map.next_value::<NoFields>().map(|_| Step::Flatten),
                    Some("Dense") => map.next_value().map(Step::Dense),
                    Some("Add") => map.next_value().map(Step::Add),
                    Some("Concat") => map.next_value().map(Step::Concat),
                    Some("As") => map.next_value().map(Step::As),
                    Some("From") => map.next_value().map(Step::From),
                    Some("Initialise") => map.next_value().map(Step::Initialise),
                    other => Err(de::Error::unknown_variant(other.unwrap_or_default(), Step::NAMES)),
                }
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// What stands in the parentheses of `Flatten()`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoFields {}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;

        impl<'de> de::Visitor<'de> for OneOrMore {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a layer, or a list of names")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Names, E> {
                Ok(Names(vec![name.to_owned()]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Names, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(seq)).map(Names)
            }
        }

        deserializer.deserialize_any(OneOrMore)
    }
}
