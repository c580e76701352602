//! The interface of a layer. Each layer has a file in this folder that implements [`Definition`].

use std::ops::RangeInclusive;

use super::{
    label::LabelPart,
    onnx::Operator,
    operation::{Plan, Site},
};

/// A layer with its settings, and everything that follows from them.
///
/// Shapes are those for one image: `[channels, height, width]` or `[units]`. A layer has at least one input. Methods other than
/// [`misfit`](Self::misfit) may panic for inputs that have a misfit.
pub(crate) trait Definition {
    /// Returns the first part of the layer's name, in the style of Keras: `conv2d`.
    fn prefix(&self) -> &'static str;

    /// Returns the settings that are numbers of pixels, channels or units.
    fn sizes(&self) -> Vec<usize> {
        Vec::new()
    }

    /// Returns the settings that are floating-point numbers. A record may hold one that is too large for them.
    fn numbers(&self) -> Vec<f32> {
        Vec::new()
    }

    /// Returns how many inputs the layer may have.
    fn n_inputs(&self) -> RangeInclusive<usize> {
        1..=1
    }

    /// Returns why the layer cannot read inputs of these shapes, or `None` if it can.
    fn misfit(&self, inputs: &[&[usize]]) -> Option<Misfit>;

    /// Returns the shape of the output.
    fn shape(&self, inputs: &[&[usize]]) -> Vec<usize>;

    /// Returns the floating-point operations for each element of the output. A multiply-add counts as two.
    fn flops(&self, inputs: &[&[usize]]) -> u64;

    /// Returns the arrays of the layer, given the shape of its first input.
    fn arrays(&self, _input: &[usize]) -> Vec<Array> {
        Vec::new()
    }

    /// Returns the fraction of the layer's moving statistics that a training step keeps, or `None` if it has none.
    fn statistics_momentum(&self) -> Option<f32> {
        None
    }

    /// Returns how the layer is computed on a CPU.
    fn on_cpu(&self, site: &Site<'_>) -> Plan;

    /// Computes the layer with burn. Inputs and output are `[n, channels, height, width]` or `[n, units, 1, 1]`.
    #[cfg(any(feature = "gpu", test))]
    fn on_burn(
        &self,
        inputs: Vec<burn::tensor::Tensor<4>>,
        site: &mut super::burn_site::Site<'_>,
    ) -> burn::tensor::Tensor<4>;

    /// Returns the ONNX operator that computes the layer in inference.
    fn onnx(&self, inputs: &[&[usize]]) -> Operator;

    /// Returns the settings that a diagram shows beside the layer's kind and shape.
    fn label(&self) -> Vec<LabelPart> {
        Vec::new()
    }
}

/// Why a layer cannot read its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// Their shapes are wrong. Says what is expected.
    Expected(&'static str),
    /// A window with sides of this length is larger than the first input.
    Window(usize),
}

impl Misfit {
    /// Returns a misfit if one of `inputs` is not `[channels, height, width]`.
    pub(super) fn of_images(inputs: &[&[usize]]) -> Option<Self> {
        let are_images = inputs.iter().all(|shape| shape.len() == 3);
        (!are_images).then_some(Self::Expected("[channels, height, width]: it comes before a `flatten`"))
    }
}

/// An array of a layer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Array {
    /// The name within the layer: `kernel`, `moving_mean`.
    pub(crate) part: &'static str,
    pub(crate) shape: Vec<usize>,
    pub(crate) role: Role,
}

/// What an array is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Role {
    /// A trained kernel. Its initial values are drawn, and the L2 penalty applies to it.
    Kernel,
    /// Other trained parameters, with the initial value of all elements.
    Trained(f32),
    /// A moving statistic, with the initial value of all elements.
    Statistic(f32),
}

impl Array {
    /// Returns an array.
    pub(super) fn new(part: &'static str, shape: &[usize], role: Role) -> Self {
        Self { part, shape: shape.to_vec(), role }
    }
}
