//! Flattening of images into units.

use serde::{Deserialize, Serialize};

use super::{
    definition::{Definition, Misfit},
    notation::{Form, Gives, Notated, Notation, Reads, Values},
    onnx::{Attribute, Operator},
    operation::{Backward, Map, Operation, Plan, Run, Site},
};
use crate::network::kernels::{buffer::Buffer, map, unfold::Layout};

/// Flattens an image into units, in the order channel, row, column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flatten;

impl Definition for Flatten {
    fn prefix(&self) -> &'static str {
        "flatten"
    }

    fn misfit(&self, _inputs: &[&[usize]]) -> Option<Misfit> {
        None
    }

    fn shape(&self, inputs: &[&[usize]]) -> Vec<usize> {
        vec![inputs[0].iter().product()]
    }

    fn flops(&self, _inputs: &[&[usize]]) -> u64 {
        0
    }

    fn on_cpu(&self, site: &Site<'_>) -> Plan {
        Plan::of(Flat, site)
    }

    #[cfg(any(feature = "gpu", test))]
    fn on_burn(
        &self,
        mut inputs: Vec<burn::tensor::Tensor<4>>,
        _site: &mut super::burn_site::Site<'_>,
    ) -> burn::tensor::Tensor<4> {
        let x = inputs.remove(0);
        let [n, c, h, w] = x.dims();
        x.reshape([n, c * h * w, 1, 1])
    }

    fn onnx(&self, _inputs: &[&[usize]]) -> Operator {
        Operator::new("Flatten").with("axis", Attribute::Int(1))
    }
}

impl Notated for Flatten {
    const NOTATION: Notation =
        Notation { name: "Flatten", form: Form::Name, settings: &[], reads: Reads::Anything, gives: Gives::Units };

    fn of(_values: &Values) -> Option<Self> {
        Some(Self)
    }
}

struct Flat;

impl Operation for Flat {
    /// The units are in the order of an image's values.
    fn reads_images(&self) -> bool {
        true
    }

    fn forward(&mut self, _run: Run, inputs: &[Map<'_>], y: &mut [f32]) {
        match inputs[0].layout {
            Layout::Images => map::flatten_images(inputs[0].shape, inputs[0].values, y),
            Layout::Map => map::flatten(inputs[0].shape, inputs[0].values, y),
        }
    }

    fn backward(&mut self, back: &mut Backward<'_>, dy: Buffer) {
        let shape = back.shape(0);
        let mut dx = back.buffers.take(back.run.n * shape.len());
        map::unflatten(shape, &dy, &mut dx);
        back.buffers.give(dy);
        back.add(0, dx);
    }
}
