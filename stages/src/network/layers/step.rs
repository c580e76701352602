//! One step of a network written out: a layer, or where the next one goes.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    choices,
    network::{Initialiser, Kind, Padding, architecture::Activation},
    parameters,
    params::{Domain, Hyper, Read, proposed},
    problem::{Path, Problem},
};

choices! {
    /// A layer behind the one before, or where the next one goes. In JSON `"Flatten"` or `{"Dense":10}`, defaults left out.
    pub enum Step {
        /// A convolution.
        Conv(Conv),
        /// The largest value of each window.
        MaxPool(Pool),
        /// The mean of each window.
        AvgPool(Pool),
        /// The mean of each channel, as units: an average pooling of the whole image, which must be square.
        GlobalAvgPool,
        /// Batch normalisation, by default as Keras's.
        BatchNorm(BatchNorm),
        /// A function of each value.
        Activation(Hyper<Activation>),
        /// The share that is dropped; no layer where it is 0.
        Dropout(Hyper<f64> [Domain::Share]),
        /// The image as units.
        Flatten,
        /// So many units.
        Dense(Hyper<u32> [UNITS]),
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
}

parameters! {
    /// A convolution with square filters.
    pub struct Conv {
        /// Filters, and so channels of what it gives.
        filters: Hyper<u32> [FILTERS],
        /// Height and width of a filter.
        kernel: Hyper<u32> [WINDOW],
        /// Pixels from one place of the filters to the next.
        stride: Hyper<u32> [WINDOW] = Hyper::Value(1),
        /// What happens at the edges.
        padding: Hyper<Padding> = Hyper::Value(Padding::Same),
    }
}

parameters! {
    /// A pooling with square windows.
    pub struct Pool where canonical {
        /// Height and width of a window.
        size: Hyper<u32> [WINDOW],
        /// Pixels from one window to the next. By default the size.
        stride: Option<Hyper<u32>> [WINDOW],
        /// What happens at the edges.
        padding: Hyper<Padding> = Hyper::Value(Padding::Valid),
    }
}

parameters! {
    /// Batch normalisation, by default as Keras's.
    pub struct BatchNorm {
        /// How much of the moving statistics a step leaves: 1 less PyTorch's.
        momentum: Hyper<f64> [Domain::Share] = Hyper::Value(0.99),
        /// What is added to the variance.
        epsilon: Hyper<f64> [Domain::Positive] = Hyper::Value(0.001),
    }
}

/// Names of layers: `"a"`, or `["a", "b"]`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Names(pub Vec<String>);

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
const PADDING: Domain = Domain::Word(Padding::NAMES);
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
            Self::Activation(function) => vec![Setting::new("Activation", function, Domain::Word(Activation::NAMES))],
            Self::Dropout(share) => vec![Setting::new("Dropout", share, Domain::Share)],
            Self::Dense(units) => vec![Setting::new("Dense", units, UNITS)],
            Self::Initialise(initialiser) => {
                vec![Setting::new("Initialise", initialiser, Domain::Word(Initialiser::NAMES))]
            }
            Self::GlobalAvgPool | Self::Flatten | Self::Add(_) | Self::Concat(_) | Self::As(_) | Self::From(_) => {
                Vec::new()
            }
        }
    }

    /// Returns the names of other layers that the step has, each with its path inside the step.
    pub(super) fn reads(&self) -> Vec<(Path, &str)> {
        let (name, names) = match self {
            Self::Add(names) => ("Add", names),
            Self::Concat(names) => ("Concat", names),
            Self::From(name) => return vec![(Path::here().name("From"), name)],
            _ => return Vec::new(),
        };
        names.0.iter().enumerate().map(|(i, layer)| (Path::here().name(name).index(i), layer.as_str())).collect()
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
    fn canonical(mut self, _: &Path, _: &mut Vec<Problem>) -> Self {
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
pub(super) fn settled<T: Read>(value: &Hyper<T>, labels: &Map<String, Value>) -> T {
    match value {
        Hyper::Value(value) => value.clone(),
        Hyper::Label(label) => {
            proposed(label, &Domain::Any, "", labels).expect("values of the domain are values of the type")
        }
    }
}

impl Read for Names {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        match value {
            Value::String(name) => Some(Self(vec![name.clone()])),
            Value::Array(_) => Vec::read(value, domain, at, problems).map(Self),
            value => {
                problems.push(Problem::found(at, value).expected(Self::expected(domain)));
                None
            }
        }
    }

    fn expected(_: &Domain) -> String {
        "the name of a layer, or a list of names".to_owned()
    }
}
