//! The context of a layer in a network that burn computes.

use std::collections::BTreeMap;

use burn::tensor::{Device, FloatDType, Tensor};

use crate::{device::Precision, network::pass::Mode};

/// The context in which burn computes a layer.
pub(crate) struct Site<'a> {
    /// The name of the layer.
    pub(crate) layer: &'a str,
    /// The index of the layer in the architecture.
    pub(crate) index: u32,
    pub(crate) mode: Mode,
    /// Without autodiff.
    pub(crate) device: &'a Device,
    /// Of the products of convolutions and dense layers.
    pub(crate) precision: Precision,
    /// Whether our kernels run on the device.
    #[cfg(feature = "gpu")]
    pub(crate) has_our_kernels: bool,
    /// All arrays of the network, flat.
    pub(crate) weights: &'a BTreeMap<String, Tensor<1>>,
    /// Output of batch normalisation: the batch's mean and biased variance, by layer.
    pub(crate) statistics: &'a mut BTreeMap<String, [Tensor<1>; 2]>,
}

impl Site<'_> {
    /// Returns the layer's array `part`, flat.
    pub(super) fn array(&self, part: &str) -> Tensor<1> {
        self.weights[&format!("{}.{part}", self.layer)].clone()
    }

    /// Returns an operand of a product, in the network's precision. Its gradient is f32 again.
    pub(super) fn operand<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self.precision {
            Precision::F32 => x,
            Precision::Bf16 => x.cast(FloatDType::BF16),
        }
    }

    /// Returns a product of [`operand`](Self::operand)s as f32. The gradient with respect to it is in the network's precision, as are
    /// the products that the gradients with respect to the operands are.
    pub(super) fn product<const D: usize>(&self, y: Tensor<D>) -> Tensor<D> {
        match self.precision {
            Precision::F32 => y,
            Precision::Bf16 => y.cast(FloatDType::F32),
        }
    }
}
