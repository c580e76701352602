//! A network as plain data: layers with their shapes, parameter counts and FLOPs. The same value is computed with, drawn as a
//! diagram, and stored beside the weights.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    error::ModelError,
    initialiser::Initialiser,
    layers::{
        Dense, LayerKind,
        definition::{Misfit, Role},
    },
};
use crate::choices;
use crate::records::{Record, Version};

/// One layer of an [`Architecture`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// Its unique name, in the style of Keras: `conv2d_1`, `add_2`. A head is named after its labels.
    pub name: String,
    /// What the layer does, with its settings.
    #[serde(flatten)]
    pub kind: LayerKind,
    /// How its kernel is initialised, if it has one.
    #[serde(default, skip_serializing_if = "crate::params::is_default")]
    pub initialiser: Initialiser,
    /// The names of the layers that it reads, all earlier ones, or `input` for the image.
    pub inputs: Vec<String>,
    /// The shape of its output for one image: `[channels, height, width]` or `[units]`.
    pub shape: Vec<usize>,
    /// The number of trained parameters.
    pub parameters: u64,
    /// The number of moving statistics (batch normalisation only).
    pub statistics: u64,
    /// The floating-point operations of the forward pass for one image. A multiply-add counts as two.
    pub flops: u64,
}

/// An output of the network: the layer of this name gives the logits for the labels of this name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The name of the labels, and of the layer.
    pub name: String,
    /// The number of classes, at least 2.
    pub classes: usize,
    /// How its logits become probabilities.
    #[serde(default, skip_serializing_if = "crate::params::is_default")]
    pub output: Output,
}

choices! {
    /// How logits become probabilities.
    #[derive(Copy, Eq)]
    pub enum Output = Softmax {
        /// exp(x), divided by the sum of exp(x) over the classes.
        Softmax,
        /// The sigmoid of x, divided by the sum of the sigmoids over the classes. Keras's categorical cross-entropy does this to
        /// the outputs of the sigmoid layer in Hyperopt-CIFAR.
        NormalisedSigmoid,
    }
}

/// A network as plain data. Each layer comes after the layers that it reads. One that is read from a record has shapes and counts
/// that follow from its settings, within bounds, so that it can be computed with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "unchecked::Architecture")]
pub struct Architecture {
    /// The version of the record.
    pub format: Version<1>,
    /// The shape of an image: `[channels, height, width]`.
    pub input: [usize; 3],
    /// All layers, including those of the heads.
    pub layers: Vec<Layer>,
    /// The outputs that are trained.
    pub heads: Vec<Head>,
    /// The number of parameters, including moving statistics.
    pub parameters: u64,
    /// The floating-point operations of the forward pass for one image.
    pub flops: u64,
}

/// One array of a layer, trained or not.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterShape {
    /// `<layer>.<kernel | bias | gamma | beta | moving_mean | moving_variance>`.
    pub name: String,
    /// The shape of the array.
    pub shape: Vec<usize>,
    /// How it is initialised, if it is a kernel. The L2 penalty applies to kernels only.
    pub kernel: Option<Initialiser>,
    /// The initial value of all its elements, if it is not a kernel.
    pub fill: f32,
    /// Whether the optimizer updates it.
    pub trained: bool,
}

impl Record for Architecture {
    const FILE: &'static str = "architecture.json";
    const FORMAT: u32 = 1;
}

impl Architecture {
    /// Returns the layer with this name.
    pub fn layer(&self, name: &str) -> Option<&Layer> {
        self.layers.iter().find(|layer| layer.name == name)
    }

    /// Returns the output shape of the layer `name`, or the shape of an image if `name` is `input`.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        if name == "input" { Some(&self.input) } else { self.layer(name).map(|layer| layer.shape.as_slice()) }
    }

    /// Returns the arrays of all layers, in the order of the layers.
    pub fn parameter_shapes(&self) -> Vec<ParameterShape> {
        self.layers.iter().flat_map(|layer| self.shapes_of(layer)).collect()
    }

    /// Returns the shapes of the inputs of `layer`.
    ///
    /// # Panics
    /// If an input does not exist.
    pub fn input_shapes(&self, layer: &Layer) -> Vec<&[usize]> {
        layer.inputs.iter().map(|name| self.shape(name).expect("inputs are earlier layers")).collect()
    }

    fn shapes_of(&self, layer: &Layer) -> Vec<ParameterShape> {
        let input = layer.inputs.first().and_then(|name| self.shape(name)).unwrap_or_default();
        parameters_of(&layer.name, &layer.kind, layer.initialiser, input)
    }

    /// Returns an estimate of the peak memory of a training step on `batch` images, in bytes.
    ///
    /// It counts three arrays for every output (kept for the backward pass, gradient, temporary) and eight for every parameter
    /// (among them the gradient, two moments, the copy on the device, the best weights and a serialised copy).
    pub fn memory(&self, batch: u64) -> u64 {
        let elements = |shape: &[usize]| shape.iter().fold(1_u64, |product, side| product.saturating_mul(*side as u64));
        let shapes = self.layers.iter().map(|layer| layer.shape.as_slice()).chain([&self.input[..]]);
        let outputs = shapes.map(elements).fold(0, u64::saturating_add);
        let kept = outputs.saturating_mul(batch).saturating_mul(3);
        kept.saturating_add(self.parameters.saturating_mul(8)).saturating_mul(4)
    }
}

/// The largest size among the settings of a layer: more than any notation or family allows.
const SIZE: usize = 1 << 24;
/// The most elements of an array or of an output for one image.
const ELEMENTS: usize = 1 << 40;

mod unchecked {
    //! An architecture as a record has it.

    use serde::Deserialize;

    use super::{Head, Layer};
    use crate::records::Version;

    #[derive(Deserialize)]
    pub(super) struct Architecture {
        pub(super) format: Version<1>,
        pub(super) input: [usize; 3],
        pub(super) layers: Vec<Layer>,
        pub(super) heads: Vec<Head>,
        pub(super) parameters: u64,
        pub(super) flops: u64,
    }
}

impl TryFrom<unchecked::Architecture> for Architecture {
    type Error = String;

    fn try_from(read: unchecked::Architecture) -> Result<Self, String> {
        let unchecked::Architecture { format, input, layers, heads, parameters, flops } = read;
        let mut shapes = BTreeMap::from([("input", &input[..])]);
        elements(&input).map_err(|why| format!("the input {why}"))?;
        let mut sum = 0_u64;
        for layer in &layers {
            let failed = |why: String| format!("the layer `{}` {why}", layer.name);
            let found = layer.check(&shapes).map_err(failed)?;
            sum = sum.saturating_add(found);
            if shapes.insert(&layer.name, &layer.shape).is_some() {
                return Err(failed("has the name of another".to_owned()));
            }
        }
        if sum != parameters {
            return Err(format!("the network is said to have {parameters} parameters, and its layers have {sum}"));
        }
        if heads.is_empty() {
            return Err("the network has no heads".to_owned());
        }
        for Head { name, classes, .. } in &heads {
            if *classes < 2 || shapes.get(name.as_str()).is_none_or(|shape| *shape != [*classes]) {
                return Err(format!("the head `{name}` is not a layer of {classes} units, at least 2"));
            }
        }
        Ok(Self { format, input, layers, heads, parameters, flops })
    }
}

impl Layer {
    /// Returns the number of the layer's parameters and statistics, which follow from its settings and the `shapes` of the layers
    /// before it.
    ///
    /// # Errors
    /// If a setting is out of bounds, or the record says something else than what follows.
    fn check(&self, shapes: &BTreeMap<&str, &[usize]>) -> Result<u64, String> {
        let definition = self.kind.definition();
        if let Some(size) = definition.sizes().iter().find(|size| !(1..=SIZE).contains(*size)) {
            return Err(format!("has a setting of {size}, expected 1 to {SIZE}"));
        }
        if let Some(number) = definition.numbers().iter().find(|number| !number.is_finite()) {
            return Err(format!("has a setting of {number}, expected a finite number"));
        }
        let of = |name: &String| {
            let unknown = || format!("reads `{name}`, which is not before it");
            shapes.get(name.as_str()).copied().ok_or_else(unknown)
        };
        let inputs = self.inputs.iter().map(of).collect::<Result<Vec<_>, _>>()?;
        if !definition.n_inputs().contains(&inputs.len()) || definition.misfit(&inputs).is_some() {
            return Err(format!("cannot read {inputs:?}"));
        }
        let shape = definition.shape(&inputs);
        elements(&shape)?;
        if shape != self.shape {
            return Err(format!("is said to have the shape {:?}, and has {shape:?}", self.shape));
        }
        let arrays = definition.arrays(inputs[0]);
        let sizes = arrays.iter().map(|array| elements(&array.shape)).collect::<Result<Vec<_>, _>>()?;
        let sum = sizes.iter().fold(0_u64, |sum, n| sum.saturating_add(*n));
        let said = self.parameters.saturating_add(self.statistics);
        if sum != said {
            return Err(format!("is said to have {said} parameters, and has {sum}"));
        }
        Ok(sum)
    }
}

/// Returns the number of elements of an array of this shape.
///
/// # Errors
/// If there are none, or too many.
fn elements(shape: &[usize]) -> Result<u64, String> {
    let product = shape.iter().try_fold(1_usize, |product, side| product.checked_mul(*side));
    match product {
        Some(n @ 1..=ELEMENTS) => Ok(n as u64),
        _ => Err(format!("has the shape {shape:?}, expected 1 to {ELEMENTS} elements")),
    }
}

fn parameters_of(name: &str, kind: &LayerKind, initialiser: Initialiser, input: &[usize]) -> Vec<ParameterShape> {
    let arrays = kind.definition().arrays(input).into_iter();
    let parameter = arrays.map(|array| {
        let (kernel, fill, trained) = match array.role {
            Role::Kernel => (Some(initialiser), 0.0, true),
            Role::Trained(fill) => (None, fill, true),
            Role::Statistic(fill) => (None, fill, false),
        };
        ParameterShape { name: format!("{name}.{}", array.part), shape: array.shape, kernel, fill, trained }
    });
    parameter.collect()
}

/// Builds an [`Architecture`] layer by layer, and works out names, shapes and counts.
pub struct Builder {
    architecture: Architecture,
    initialiser: Initialiser,
}

impl Builder {
    /// Returns a builder for images of shape `[channels, height, width]`.
    pub fn new(input: [usize; 3]) -> Self {
        let architecture =
            Architecture { format: Version, input, layers: Vec::new(), heads: Vec::new(), parameters: 0, flops: 0 };
        Self { architecture, initialiser: Initialiser::default() }
    }

    /// Sets the initialiser of all layers added from now on, except for the heads.
    pub fn initialise(&mut self, initialiser: Initialiser) {
        self.initialiser = initialiser;
    }

    /// Adds a layer that reads `inputs`, and returns its name: its kind and a number, as in `conv2d_1`.
    ///
    /// # Panics
    /// If an input does not exist, or has a shape that the layer cannot read.
    pub fn add(&mut self, kind: impl Into<LayerKind>, inputs: &[&str]) -> String {
        let kind = kind.into();
        let prefix = kind.prefix();
        let same = |layer: &&Layer| std::mem::discriminant(&layer.kind) == std::mem::discriminant(&kind);
        let number = self.architecture.layers.iter().filter(same).count() + 1;
        let name = format!("{prefix}_{number}");
        self.push(name.clone(), kind, inputs);
        name
    }

    /// Adds a layer as [`add`](Self::add) does.
    ///
    /// # Errors
    /// If the layer cannot read the shapes of its inputs.
    ///
    /// # Panics
    /// If an input does not exist.
    pub fn try_add(&mut self, kind: impl Into<LayerKind>, inputs: &[&str]) -> Result<String, ModelError> {
        let kind = kind.into();
        self.check(&kind, inputs)?;
        Ok(self.add(kind, inputs))
    }

    /// Returns an error if a layer of this kind cannot read the shapes of `inputs`.
    fn check(&self, kind: &LayerKind, inputs: &[&str]) -> Result<(), ModelError> {
        let shapes: Vec<&[usize]> = inputs.iter().map(|input| self.shape(input)).collect();
        let shape_error = |expected| {
            let found: Vec<_> =
                shapes.iter().zip(inputs).map(|(shape, name)| format!("{shape:?} of `{name}`")).collect();
            let found = if found.is_empty() { "nothing".to_owned() } else { found.join(" and ") };
            Err(ModelError::Shape { layer: kind.prefix(), found, expected })
        };
        if shapes.is_empty() {
            return shape_error("at least one input");
        }
        match kind.definition().misfit(&shapes) {
            None => Ok(()),
            Some(Misfit::Expected(expected)) => shape_error(expected),
            Some(Misfit::Window(size)) => {
                let (height, width) = (shapes[0][1], shapes[0][2]);
                Err(ModelError::Window { size, layer: inputs[0].to_owned(), width, height })
            }
        }
    }

    /// Returns the output shape of the layer `name`, or the shape of an image if `name` is `input`.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn shape(&self, name: &str) -> &[usize] {
        self.architecture.shape(name).expect("a layer reads layers that were added before")
    }

    /// Adds heads that read the layer `input`, and returns the network.
    ///
    /// # Errors
    /// If there are no heads, if a head has fewer than two classes or a name that is taken, or if the output of `input` is not
    /// flat (`[units]`).
    pub fn finish(mut self, input: &str, heads: &[Head]) -> Result<Architecture, ModelError> {
        self.initialiser = Initialiser::default();
        if heads.is_empty() {
            return Err(ModelError::Data { found: "no labels".into(), expected: "one or two" });
        }
        for head in heads {
            if head.classes < 2 {
                let found = format!("{} classes for `{}`", head.classes, head.name);
                return Err(ModelError::Data { found, expected: "at least 2" });
            }
            let kind = Dense { units: head.classes }.into();
            self.check(&kind, &[input])?;
            self.push(head.name.clone(), kind, &[input]);
        }
        let names: BTreeSet<_> = self.architecture.layers.iter().map(|layer| layer.name.as_str()).collect();
        if names.len() < self.architecture.layers.len() || names.contains("input") {
            let taken = |head: &&Head| {
                head.name == "input"
                    || self.architecture.layers.iter().filter(|layer| layer.name == head.name).count() > 1
            };
            let head = heads.iter().find(taken).expect("only heads are named from outside");
            return Err(ModelError::Name(head.name.clone()));
        }
        self.architecture.heads = heads.to_vec();
        Ok(self.architecture)
    }

    fn push(&mut self, name: String, kind: LayerKind, inputs: &[&str]) {
        let elements = |shape: &[usize]| shape.iter().product::<usize>() as u64;
        let from: Vec<&[usize]> = inputs.iter().map(|input| self.shape(input)).collect();
        let shape = kind.definition().shape(&from);
        let flops = kind.definition().flops(&from) * elements(&shape);
        let arrays = parameters_of(&name, &kind, self.initialiser, from[0]);
        let is_drawn = arrays.iter().any(|array| array.kernel.is_some());
        let initialiser = if is_drawn { self.initialiser } else { Initialiser::default() };
        let count = |trained| arrays.iter().filter(|array| array.trained == trained).map(|a| elements(&a.shape)).sum();
        let (parameters, statistics): (u64, u64) = (count(true), count(false));
        self.architecture.parameters += parameters + statistics;
        self.architecture.flops += flops;
        let inputs = inputs.iter().map(|&input| input.to_owned()).collect();
        let layer = Layer { name, kind, initialiser, inputs, shape, parameters, statistics, flops };
        self.architecture.layers.push(layer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{
        layers::{Conv, Flatten},
        padding::Padding,
    };

    #[test]
    fn a_record_comes_back_as_the_same_architecture() {
        let mut builder = Builder::new([1, 4, 4]);
        let conv = builder.add(Conv { filters: 2, kernel: 3, stride: 1, padding: Padding::Same }, &["input"]);
        let flat = builder.add(Flatten, &[&conv]);
        let network =
            builder.finish(&flat, &[Head { name: "class".into(), classes: 3, output: Output::Softmax }]).unwrap();
        assert_eq!(network.parameters, 2 * 9 + 2 + 32 * 3 + 3);
        let record = crate::params::record(&network);
        assert_eq!(serde_json::from_slice::<Architecture>(&record).unwrap(), network);
    }

    #[test]
    fn a_record_that_says_something_else_than_follows_is_refused() {
        let mut builder = Builder::new([1, 4, 4]);
        let conv = builder.add(Conv { filters: 2, kernel: 3, stride: 1, padding: Padding::Same }, &["input"]);
        let flat = builder.add(Flatten, &[&conv]);
        let network =
            builder.finish(&flat, &[Head { name: "class".into(), classes: 3, output: Output::Softmax }]).unwrap();
        let record = String::from_utf8(crate::params::record(&network)).unwrap();
        for (old, new, expected) in [
            (r#""stride":1"#, r#""stride":0"#, "the layer `conv2d_1` has a setting of 0, expected 1 to 16777216"),
            (r#""filters":2"#, r#""filters":18446744073709551615"#, "has a setting of 18446744073709551615"),
            (r#""inputs":["conv2d_1"]"#, r#""inputs":["flatten_1"]"#, "reads `flatten_1`, which is not before it"),
            (r#""inputs":["conv2d_1"]"#, r#""inputs":[]"#, "the layer `flatten_1` cannot read []"),
            (r#""input":[1,4,4]"#, r#""input":[1,0,4]"#, "the input has the shape [1, 0, 4]"),
            (r#""input":[1,4,4]"#, r#""input":[16777216,16777216,16777216]"#, "the input has the shape"),
            (r#""shape":[32]"#, r#""shape":[31]"#, "is said to have the shape [31], and has [32]"),
            (r#""parameters":20"#, r#""parameters":21"#, "is said to have 21 parameters, and has 20"),
            (r#""classes":3"#, r#""classes":4"#, "the head `class` is not a layer of 4 units"),
        ] {
            assert!(record.contains(old), "{old} is not in {record}");
            let error = serde_json::from_str::<Architecture>(&record.replacen(old, new, 1)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_head_with_the_name_of_a_layer_is_refused() {
        let mut builder = Builder::new([1, 4, 4]);
        let flat = builder.add(Flatten, &["input"]);
        let head = Head { name: flat.clone(), classes: 3, output: Output::Softmax };
        assert_eq!(builder.finish(&flat, &[head]), Err(ModelError::Name("flatten_1".into())));
    }
}
