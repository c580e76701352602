//! What a layer says of itself. Each layer has a file in this folder with an implementation of [`Definition`].

use super::{
    label::LabelPart,
    onnx::Operator,
    operation::{Plan, Site},
};

/// The settings of a layer, and everything that follows from them. `inputs` are shapes of one image's outputs:
/// [channels, height, width] or [units].
pub(crate) trait Definition {
    /// Returns what the layer's name begins with, as Keras names layers: `conv2d`.
    fn prefix(&self) -> &'static str;

    /// Returns why the layer cannot read these inputs, of which there is at least one.
    fn misfit(&self, inputs: &[&[usize]]) -> Option<Misfit>;

    /// Returns the shape of the output.
    fn shape(&self, inputs: &[&[usize]]) -> Vec<usize>;

    /// Returns the operations for each number of the output. A multiplication with addition counts as two.
    fn flops(&self, inputs: &[&[usize]]) -> u64;

    /// Returns the arrays of numbers that the layer owns.
    fn arrays(&self, _input: &[usize]) -> Vec<Array> {
        Vec::new()
    }

    /// Returns how the layer is computed on a CPU.
    fn on_cpu(&self, site: &Site<'_>) -> Plan;

    /// Returns the output in burn's tensors, [n, channels, height, width] or [n, units, 1, 1], as the inputs are.
    #[cfg(any(feature = "cuda", test))]
    fn on_burn(
        &self,
        inputs: Vec<burn::tensor::Tensor<4>>,
        site: &mut super::burn_site::Site<'_>,
    ) -> burn::tensor::Tensor<4>;

    /// Returns the ONNX operator that computes the layer when it is used.
    fn onnx(&self, inputs: &[&[usize]]) -> Operator;

    /// Returns the settings that a diagram shows beside the layer's kind and shape.
    fn label(&self) -> Vec<LabelPart> {
        Vec::new()
    }
}

/// Why a layer cannot read its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// Their shapes are not these.
    Expected(&'static str),
    /// A window of this side does not fit the first one.
    Window(usize),
}

impl Misfit {
    /// Returns the misfit of a layer that reads images, if one of `inputs` is not an image.
    pub(super) fn of_images(inputs: &[&[usize]]) -> Option<Self> {
        let are_images = inputs.iter().all(|shape| shape.len() == 3);
        (!are_images).then_some(Self::Expected("[channels, height, width]: it comes before a `flatten`"))
    }
}

/// An array of numbers of a layer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Array {
    /// Its name inside the layer: `kernel`, `moving_mean`.
    pub(crate) part: &'static str,
    pub(crate) shape: Vec<usize>,
    pub(crate) role: Role,
}

/// What an array is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Role {
    /// Drawn at first, trained and subject to the L2 penalty.
    Kernel,
    /// Trained. All numbers are this one at first.
    Trained(f32),
    /// A moving statistic. All numbers are this one at first.
    Statistic(f32),
}

impl Array {
    /// Returns an array of these parts.
    pub(super) fn new(part: &'static str, shape: &[usize], role: Role) -> Self {
        Self { part, shape: shape.to_vec(), role }
    }
}
