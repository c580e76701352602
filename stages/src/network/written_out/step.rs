//! One step of `Layers([..])`: a layer, or an instruction for the layers that follow.

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{
    layer::WrittenLayer,
    setting::{self, Given},
};
use crate::{
    network::{
        initialiser::Initialiser,
        layers::{
            WRITTEN,
            notation::{Form, Gives, Reads, Setting},
        },
    },
    params::{Domain, Hyper, Read, content, named, no_content},
    problem::{Path, Problem},
    words::one_of,
};

/// A step. In JSON `"Flatten"` or `{"Dense":10}`. Settings at their defaults are left out.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// A layer that reads the one before it.
    Layer(WrittenLayer),
    /// The mean of each channel, as units: an average pooling of the whole image, which must be square.
    GlobalAvgPool,
    /// Names the layer before.
    As(String),
    /// Makes the next layer read the layer with this name. `input` is the image.
    From(String),
    /// Sets the initialiser of the kernels of all later layers. Kernels before the first `Initialise` use `glorot_uniform`, and
    /// so do the heads.
    Initialise(Hyper<Value>),
}

/// The names of the steps that are not a single layer.
const OTHERS: [&str; 4] = ["GlobalAvgPool", "As", "From", "Initialise"];

static INITIALISER: Setting =
    Setting::new("initialiser", Domain::Word(Initialiser::NAMES), "How the kernels of later layers are initialised.");

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
            Self::Initialise(value) => {
                vec![Given { path: Path::here().name(self.name()), setting: &INITIALISER, value }]
            }
            Self::GlobalAvgPool | Self::As(_) | Self::From(_) => Vec::new(),
        }
    }

    /// Returns the names of other layers in the step, each with its path inside the step.
    pub(super) fn names(&self) -> Vec<(Path, &str)> {
        let at = Path::here().name(self.name());
        match self {
            Self::Layer(layer) => {
                layer.names.iter().enumerate().map(|(i, name)| (at.index(i), name.as_str())).collect()
            }
            Self::From(name) => vec![(at, name)],
            Self::GlobalAvgPool | Self::As(_) | Self::Initialise(_) => Vec::new(),
        }
    }

    /// Returns the kinds of the step's input and output, if it adds layers.
    pub(super) fn reads_and_gives(&self) -> Option<(Reads, Gives)> {
        match self {
            Self::Layer(layer) => Some((layer.notation().reads, layer.notation().gives)),
            Self::GlobalAvgPool => Some((Reads::Images, Gives::Units)),
            Self::As(_) | Self::From(_) | Self::Initialise(_) => None,
        }
    }

    /// Returns whether the step joins other layers with the one before it.
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

/// Returns the names of all steps.
fn names() -> Vec<&'static str> {
    WRITTEN.iter().map(|layer| layer.notation.name).chain(OTHERS).collect()
}

impl Read for Step {
    fn read(value: &Value, _: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        let names = names();
        let (known, inside) = named(value, &names, at, problems)?;
        if let Some(layer) = WRITTEN.get(known) {
            return WrittenLayer::read(layer, inside, at, problems).map(Self::Layer);
        }
        match names[known] {
            name @ "As" => content(name, inside, &Domain::Any, at, problems).map(Self::As),
            name @ "From" => content(name, inside, &Domain::Any, at, problems).map(Self::From),
            name @ "Initialise" => match inside {
                Some(value) => setting::read(&INITIALISER, value, &at.name(name), problems).map(Self::Initialise),
                None => content::<String>(name, None, &Domain::Any, at, problems).and(None),
            },
            name => no_content(name, inside, at, problems).map(|()| Self::GlobalAvgPool),
        }
    }

    fn expected(_: &Domain) -> String {
        one_of(names())
    }
}
