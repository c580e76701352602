//! Where a layer stands in a network that burn computes.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};

use crate::network::pass::Mode;

/// What a layer finds and leaves while burn walks a network.
pub(crate) struct Site<'a> {
    /// The layer's name.
    pub(crate) layer: &'a str,
    /// The layer's index in the architecture.
    pub(crate) index: u32,
    pub(crate) mode: Mode,
    pub(crate) device: &'a Device,
    /// All arrays of the network, flat.
    pub(crate) weights: &'a BTreeMap<String, Tensor<1>>,
    /// The batch's mean and biased variance, by layer.
    pub(crate) statistics: &'a mut BTreeMap<String, [Vec<f32>; 2]>,
}

impl Site<'_> {
    /// Returns an array of the layer.
    pub(super) fn array(&self, part: &str) -> Tensor<1> {
        self.weights[&format!("{}.{part}", self.layer)].clone()
    }
}

/// Returns a tensor's numbers.
pub(crate) fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().expect("networks compute with f32")
}
