//! A network as plain data: layers with shapes, parameters and FLOPs. One value is computed with, drawn, counted and
//! kept beside the weights.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Initialiser, ModelError};
use crate::choices;

choices! {
    /// How a window that leaves the image is treated, as TensorFlow pads.
    #[derive(Copy, Eq)]
    pub enum Padding {
        /// ceil(side / stride) outputs; zeros around the image, the odd one at the end. Pooling windows ignore them.
        Same = "same",
        /// Only windows that lie within the image.
        Valid = "valid",
    }
}

impl Padding {
    /// Returns the zeros before and after `side`, and the number of outputs, for windows of `size` every `stride`.
    pub fn along(self, side: usize, size: usize, stride: usize) -> (usize, usize, usize) {
        match self {
            Self::Valid => (0, 0, (side + stride).saturating_sub(size) / stride),
            Self::Same => {
                let out = side.div_ceil(stride);
                let zeros = ((out - 1) * stride + size).saturating_sub(side);
                (zeros / 2, zeros - zeros / 2, out)
            }
        }
    }
}

choices! {
    /// The function of an activation layer.
    #[derive(Copy, Eq)]
    pub enum Activation {
        /// x for positive x, else 0.
        Relu = "relu",
        /// x for positive x, else exp(x) - 1.
        Elu = "elu",
        /// ELU with the slope and the scale that keep mean 0 and variance 1 (Klambauer et al., "Self-normalizing neural
        /// networks", 2017): 1.0507 x for positive x, else 1.0507 * 1.6733 (exp(x) - 1).
        Selu = "selu",
    }
}

/// What a layer does. Kernels are laid out [filters, channels, height, width] and [inputs, units].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    Conv {
        filters: usize,
        kernel: usize,
        stride: usize,
        padding: Padding,
    },
    /// Per channel: training normalises with the batch's mean and biased variance and moves the moving statistics by
    /// `1 - momentum` towards them; otherwise the moving statistics are used.
    BatchNorm {
        momentum: f32,
        epsilon: f32,
    },
    Activation {
        function: Activation,
    },
    MaxPool {
        size: usize,
        stride: usize,
        padding: Padding,
    },
    AvgPool {
        size: usize,
        stride: usize,
        padding: Padding,
    },
    /// Zeroes a share `p` of the elements while training and scales the others by 1 / (1 - p).
    Dropout {
        p: f32,
    },
    Add,
    /// Along the channels.
    Concat,
    /// In the order channel, row, column.
    Flatten,
    Dense {
        units: usize,
    },
}

impl Kind {
    /// Returns what a layer's name begins with, as Keras names layers.
    pub fn prefix(&self) -> &'static str {
        match self {
            Self::Conv { .. } => "conv2d",
            Self::BatchNorm { .. } => "batch_normalization",
            Self::Activation { .. } => "activation",
            Self::MaxPool { .. } => "max_pooling2d",
            Self::AvgPool { .. } => "average_pooling2d",
            Self::Dropout { .. } => "dropout",
            Self::Add => "add",
            Self::Concat => "concatenate",
            Self::Flatten => "flatten",
            Self::Dense { .. } => "dense",
        }
    }
}

/// One layer of an [`Architecture`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// Unique, as Keras names layers: `conv2d_1`, `add_2`; a head has its own name.
    pub name: String,
    #[serde(flatten)]
    pub kind: Kind,
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
    pub name: String,
    pub classes: usize,
    #[serde(default, skip_serializing_if = "crate::params::is_default")]
    pub output: Output,
}

choices! {
    /// How logits become probabilities.
    #[derive(Copy, Eq)]
    pub enum Output = Softmax {
        /// exp of each logit, divided by their sum.
        Softmax,
        /// Sigmoids divided by their sum: what categorical cross-entropy made of the sigmoid layer of Hyperopt-CIFAR.
        NormalisedSigmoid,
    }
}

/// A network as plain data. Layers are in an order in which they can be computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Architecture {
    pub format: u32,
    /// Shape of an image: [channels, height, width].
    pub input: [usize; 3],
    pub layers: Vec<Layer>,
    pub heads: Vec<Head>,
    /// All parameters, moving statistics included.
    pub parameters: u64,
    /// Operations for one image's forward pass.
    pub flops: u64,
}

/// One array of numbers that a layer owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterShape {
    /// `<layer>.<kernel | bias | gamma | beta | moving_mean | moving_variance>`
    pub name: String,
    pub shape: Vec<usize>,
    /// Of a kernel, which is subject to the L2 penalty: how it is drawn.
    pub kernel: Option<Initialiser>,
    /// Whether an optimizer changes it.
    pub trained: bool,
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

    fn shapes_of(&self, layer: &Layer) -> Vec<ParameterShape> {
        let inputs = layer.inputs.first().and_then(|name| self.shape(name)).unwrap_or_default();
        parameters_of(&layer.name, &layer.kind, layer.initialiser, inputs)
    }

    /// Returns an estimate of the peak memory of a training step on `batch` images, in bytes: every output is kept for
    /// the backward pass and has a gradient and a temporary; every parameter has a gradient, two moments, a copy on
    /// the device, the best copy and a serialised one.
    pub fn memory(&self, batch: u64) -> u64 {
        let outputs: usize = self.layers.iter().map(|layer| layer.shape.iter().product::<usize>()).sum();
        4 * (3 * batch * (outputs + self.input.iter().product::<usize>()) as u64 + 8 * self.parameters)
    }
}

fn parameters_of(name: &str, kind: &Kind, initialiser: Initialiser, inputs: &[usize]) -> Vec<ParameterShape> {
    let array = |part: &str, shape: &[usize], kernel: bool, trained| ParameterShape {
        name: format!("{name}.{part}"),
        shape: shape.to_vec(),
        kernel: kernel.then_some(initialiser),
        trained,
    };
    match *kind {
        Kind::Conv { filters, kernel, .. } => vec![
            array("kernel", &[filters, inputs[0], kernel, kernel], true, true),
            array("bias", &[filters], false, true),
        ],
        Kind::Dense { units } => {
            vec![array("kernel", &[inputs[0], units], true, true), array("bias", &[units], false, true)]
        }
        Kind::BatchNorm { .. } => [("gamma", true), ("beta", true), ("moving_mean", false), ("moving_variance", false)]
            .into_iter()
            .map(|(part, trained)| array(part, &inputs[..1], false, trained))
            .collect(),
        _ => Vec::new(),
    }
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
            Architecture { format: 1, input, layers: Vec::new(), heads: Vec::new(), parameters: 0, flops: 0 };
        Self { architecture, initialiser: Initialiser::default() }
    }

    /// Draws the kernels of all layers to come as `initialiser` says, but those of the heads.
    pub fn initialise(&mut self, initialiser: Initialiser) {
        self.initialiser = initialiser;
    }

    /// Adds a layer that reads `inputs`, named by its kind and a number, and returns its name.
    ///
    /// # Panics
    /// If an input is not there, or has a shape that this kind cannot read: a family asks before.
    pub fn add(&mut self, kind: Kind, inputs: &[&str]) -> String {
        let prefix = kind.prefix();
        let same = |layer: &&Layer| std::mem::discriminant(&layer.kind) == std::mem::discriminant(&kind);
        let number = self.architecture.layers.iter().filter(same).count() + 1;
        self.push(format!("{prefix}_{number}"), kind, inputs)
    }

    /// Adds a layer as [`add`](Self::add) does, if it can read the shapes of its inputs.
    ///
    /// # Errors
    /// If it cannot.
    ///
    /// # Panics
    /// If an input is not there.
    pub fn try_add(&mut self, kind: Kind, inputs: &[&str]) -> Result<String, ModelError> {
        self.check(&kind, inputs)?;
        Ok(self.add(kind, inputs))
    }

    /// Returns an error if a layer of this kind cannot read the shapes of these inputs.
    fn check(&self, kind: &Kind, inputs: &[&str]) -> Result<(), ModelError> {
        let shapes: Vec<&[usize]> = inputs.iter().map(|input| self.shape(input)).collect();
        let are_images = shapes.iter().all(|shape| shape.len() == 3);
        let expected = match kind {
            _ if shapes.is_empty() => Some("at least one input"),
            Kind::Conv { .. } | Kind::MaxPool { .. } | Kind::AvgPool { .. } | Kind::BatchNorm { .. } if !are_images => {
                Some("[channels, height, width]: it comes before a `flatten`")
            }
            Kind::Dense { .. } if are_images => Some("[units]: a `flatten` comes before it"),
            Kind::Add if shapes.iter().any(|shape| *shape != shapes[0]) => Some("equal shapes"),
            Kind::Concat if !are_images || shapes.iter().any(|shape| shape[1..] != shapes[0][1..]) => {
                Some("images of equal height and width")
            }
            _ => None,
        };
        if let Some(expected) = expected {
            let found: Vec<_> =
                shapes.iter().zip(inputs).map(|(shape, name)| format!("{shape:?} of `{name}`")).collect();
            let found = if found.is_empty() { "nothing".to_owned() } else { found.join(" and ") };
            return Err(ModelError::Shape { layer: kind.prefix(), found, expected });
        }
        if let Kind::Conv { kernel: size, padding: Padding::Valid, .. }
        | Kind::MaxPool { size, padding: Padding::Valid, .. }
        | Kind::AvgPool { size, padding: Padding::Valid, .. } = *kind
            && let [_, height, width] = *shapes[0]
            && (height < size || width < size)
        {
            return Err(ModelError::Window { size, layer: inputs[0].to_owned(), width, height });
        }
        Ok(())
    }

    /// Returns the shape of the output of the layer `name`.
    ///
    /// # Panics
    /// If there is none.
    pub fn shape(&self, name: &str) -> &[usize] {
        self.architecture.shape(name).expect("a layer reads layers that were added before")
    }

    /// Adds heads that read `input`, and returns the network.
    ///
    /// # Errors
    /// If there is no head, one has no two classes, a name is taken, or `input` does not give units.
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
            let kind = Kind::Dense { units: head.classes };
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

    fn push(&mut self, name: String, kind: Kind, inputs: &[&str]) -> String {
        let from: Vec<Vec<usize>> = inputs.iter().map(|input| self.shape(input).to_vec()).collect();
        let first = &from[0];
        let elements = |shape: &[usize]| shape.iter().product::<usize>() as u64;
        let window = |size: usize, stride: usize, padding: Padding, channels: usize| {
            vec![channels, padding.along(first[1], size, stride).2, padding.along(first[2], size, stride).2]
        };
        let (shape, per_element) = match kind {
            Kind::Conv { filters, kernel, stride, padding } => {
                (window(kernel, stride, padding, filters), 2 * (first[0] * kernel * kernel) as u64 + 1)
            }
            Kind::MaxPool { size, stride, padding } | Kind::AvgPool { size, stride, padding } => {
                (window(size, stride, padding, first[0]), (size * size) as u64)
            }
            Kind::BatchNorm { .. } => (first.clone(), 2),
            Kind::Activation { .. } | Kind::Dropout { .. } => (first.clone(), 1),
            Kind::Add => {
                assert!(from.iter().all(|shape| shape == first), "a sum is of equal shapes");
                (first.clone(), from.len() as u64 - 1)
            }
            Kind::Concat => (vec![from.iter().map(|shape| shape[0]).sum(), first[1], first[2]], 0),
            Kind::Flatten => (vec![first.iter().product()], 0),
            Kind::Dense { units } => (vec![units], 2 * first[0] as u64 + 1),
        };
        let arrays = parameters_of(&name, &kind, self.initialiser, first);
        // What has no kernel has nothing to draw.
        let is_drawn = arrays.iter().any(|array| array.kernel.is_some());
        let initialiser = if is_drawn { self.initialiser } else { Initialiser::default() };
        let count = |trained| arrays.iter().filter(|array| array.trained == trained).map(|a| elements(&a.shape)).sum();
        let (parameters, statistics): (u64, u64) = (count(true), count(false));
        let flops = per_element * elements(&shape);
        self.architecture.parameters += parameters + statistics;
        self.architecture.flops += flops;
        let inputs = inputs.iter().map(|&input| input.to_owned()).collect();
        let layer = Layer { name: name.clone(), kind, initialiser, inputs, shape, parameters, statistics, flops };
        self.architecture.layers.push(layer);
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_is_tensorflows() {
        // (side, size, stride) -> (before, after, outputs)
        for (side, size, stride, expected) in [
            (32, 3, 1, (1, 1, 32)),
            (32, 2, 1, (0, 1, 32)),
            (32, 4, 1, (1, 2, 32)),
            (32, 3, 2, (0, 1, 16)),
            (7, 3, 2, (1, 1, 4)),
            (1, 3, 2, (1, 1, 1)),
            (5, 1, 2, (0, 0, 3)),
        ] {
            assert_eq!(Padding::Same.along(side, size, stride), expected, "{side} {size} {stride}");
        }
        assert_eq!(Padding::Valid.along(7, 2, 2), (0, 0, 3));
        assert_eq!(Padding::Valid.along(1, 2, 2), (0, 0, 0));
    }

    #[test]
    fn a_record_comes_back_as_the_same_architecture() {
        let mut builder = Builder::new([1, 4, 4]);
        let conv = builder.add(Kind::Conv { filters: 2, kernel: 3, stride: 1, padding: Padding::Same }, &["input"]);
        let flat = builder.add(Kind::Flatten, &[&conv]);
        let network =
            builder.finish(&flat, &[Head { name: "class".into(), classes: 3, output: Output::Softmax }]).unwrap();
        assert_eq!(network.parameters, 2 * 9 + 2 + 32 * 3 + 3);
        let record = crate::params::record(&network);
        assert_eq!(serde_json::from_slice::<Architecture>(&record).unwrap(), network);
    }

    #[test]
    fn a_head_needs_a_name_of_its_own() {
        let mut builder = Builder::new([1, 4, 4]);
        let flat = builder.add(Kind::Flatten, &["input"]);
        let head = Head { name: flat.clone(), classes: 3, output: Output::Softmax };
        assert_eq!(builder.finish(&flat, &[head]), Err(ModelError::Name("flatten_1".into())));
    }
}
