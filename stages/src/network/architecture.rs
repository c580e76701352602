//! A network as plain data: layers with shapes, parameters and FLOPs. One value is computed with, drawn, counted and
//! kept beside the weights.

use std::collections::BTreeSet;

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
    /// Unique, as Keras names layers: `conv2d_1`, `add_2`; a head has its own name.
    pub name: String,
    /// What it does, with its settings.
    #[serde(flatten)]
    pub kind: LayerKind,
    /// How its kernel is drawn, if it has one.
    #[serde(default, skip_serializing_if = "crate::params::is_default")]
    pub initialiser: Initialiser,
    /// Names of earlier layers, or `input`.
    pub inputs: Vec<String>,
    /// Shape of one image's output: `[channels, height, width]` or `[units]`.
    pub shape: Vec<usize>,
    /// Trained parameters.
    pub parameters: u64,
    /// Moving statistics of batch normalisation.
    pub statistics: u64,
    /// Operations for one image's forward pass; a multiplication with addition counts as two.
    pub flops: u64,
}

/// The logits for one of the labels of an image: the output of the layer with this name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The name of the labels, and of the layer.
    pub name: String,
    /// How many labels there are to choose from.
    pub classes: usize,
    /// How its logits become probabilities.
    #[serde(default, skip_serializing_if = "crate::params::is_default")]
    pub output: Output,
}

choices! {
    /// How logits become probabilities.
    #[derive(Copy, Eq)]
    pub enum Output = Softmax {
        /// exp(x) divided by the sum of all.
        Softmax,
        /// Sigmoids divided by their sum, as Keras's categorical cross-entropy treats the outputs of Hyperopt-CIFAR's sigmoid
        /// layer.
        NormalisedSigmoid,
    }
}

/// A network as plain data. Layers are in an order in which they can be computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Architecture {
    /// The version of the record.
    pub format: Version<1>,
    /// Shape of an image: [channels, height, width].
    pub input: [usize; 3],
    /// All layers, the heads included.
    pub layers: Vec<Layer>,
    /// The outputs that are trained.
    pub heads: Vec<Head>,
    /// All parameters, moving statistics included.
    pub parameters: u64,
    /// Operations for one image's forward pass.
    pub flops: u64,
}

/// One array of numbers that a layer owns.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterShape {
    /// `<layer>.<kernel | bias | gamma | beta | moving_mean | moving_variance>`
    pub name: String,
    /// Its extents.
    pub shape: Vec<usize>,
    /// How it is drawn, if it is a kernel and so subject to the L2 penalty.
    pub kernel: Option<Initialiser>,
    /// What all its numbers are at first, if it is not a kernel.
    pub fill: f32,
    /// Whether an optimizer changes it.
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

    /// Returns the shape of the output of the layer `name`, or of `input`.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        if name == "input" { Some(&self.input) } else { self.layer(name).map(|layer| layer.shape.as_slice()) }
    }

    /// Returns all arrays of numbers, in the order of the layers.
    pub fn parameter_shapes(&self) -> Vec<ParameterShape> {
        self.layers.iter().flat_map(|layer| self.shapes_of(layer)).collect()
    }

    /// Returns the shapes of the inputs of `layer`.
    ///
    /// # Panics
    /// If an input is not there.
    pub fn input_shapes(&self, layer: &Layer) -> Vec<&[usize]> {
        layer.inputs.iter().map(|name| self.shape(name).expect("inputs are earlier layers")).collect()
    }

    fn shapes_of(&self, layer: &Layer) -> Vec<ParameterShape> {
        let input = layer.inputs.first().and_then(|name| self.shape(name)).unwrap_or_default();
        parameters_of(&layer.name, &layer.kind, layer.initialiser, input)
    }

    /// Returns an estimate of the peak memory of a training step on `batch` images, in bytes: every output is kept for
    /// the backward pass and has a gradient and a temporary; every parameter has a gradient, two moments, a copy on
    /// the device, the best copy and a serialised one.
    pub fn memory(&self, batch: u64) -> u64 {
        let outputs: usize = self.layers.iter().map(|layer| layer.shape.iter().product::<usize>()).sum();
        4 * (3 * batch * (outputs + self.input.iter().product::<usize>()) as u64 + 8 * self.parameters)
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

/// Builds an [`Architecture`] layer by layer, working out names, shapes and counts.
pub struct Builder {
    architecture: Architecture,
    initialiser: Initialiser,
}

impl Builder {
    /// Returns a builder for images of shape [channels, height, width].
    pub fn new(input: [usize; 3]) -> Self {
        let architecture =
            Architecture { format: Version, input, layers: Vec::new(), heads: Vec::new(), parameters: 0, flops: 0 };
        Self { architecture, initialiser: Initialiser::default() }
    }

    /// Draws the kernels of all layers to come as `initialiser` says, except for those of the heads.
    pub fn initialise(&mut self, initialiser: Initialiser) {
        self.initialiser = initialiser;
    }

    /// Adds a layer that reads `inputs`, named by its kind and a number, and returns its name.
    ///
    /// # Panics
    /// If an input is not there, or has a shape that the layer cannot read.
    pub fn add(&mut self, kind: impl Into<LayerKind>, inputs: &[&str]) -> String {
        let kind = kind.into();
        let prefix = kind.prefix();
        let same = |layer: &&Layer| std::mem::discriminant(&layer.kind) == std::mem::discriminant(&kind);
        let number = self.architecture.layers.iter().filter(same).count() + 1;
        let name = format!("{prefix}_{number}");
        self.push(name.clone(), kind, inputs);
        name
    }

    /// Adds a layer as [`add`](Self::add) does, if it can read the shapes of its inputs.
    ///
    /// # Errors
    /// If it cannot.
    ///
    /// # Panics
    /// If an input is not there.
    pub fn try_add(&mut self, kind: impl Into<LayerKind>, inputs: &[&str]) -> Result<String, ModelError> {
        let kind = kind.into();
        self.check(&kind, inputs)?;
        Ok(self.add(kind, inputs))
    }

    /// Returns an error if a layer cannot read the shapes of these inputs.
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

    /// Returns the shape of the output of the layer `name`.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn shape(&self, name: &str) -> &[usize] {
        self.architecture.shape(name).expect("a layer reads layers that were added before")
    }

    /// Adds heads that read `input`, and returns the network.
    ///
    /// # Errors
    /// If there are no heads, a head has fewer than two classes or a name that is taken, or `input` does not give units.
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
    fn a_head_needs_a_name_of_its_own() {
        let mut builder = Builder::new([1, 4, 4]);
        let flat = builder.add(Flatten, &["input"]);
        let head = Head { name: flat.clone(), classes: 3, output: Output::Softmax };
        assert_eq!(builder.finish(&flat, &[head]), Err(ModelError::Name("flatten_1".into())));
    }
}
