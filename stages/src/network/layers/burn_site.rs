//! The context of a layer in a network that burn computes.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};

use crate::network::pass::Mode;

/// The context in which burn computes a layer.
pub(crate) struct Site<'a> {
    /// The name of the layer.
    pub(crate) layer: &'a str,
    /// The index of the layer in the architecture.
    pub(crate) index: u32,
    pub(crate) mode: Mode,
    /// Without autodiff.
    pub(crate) device: &'a Device,
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
}
