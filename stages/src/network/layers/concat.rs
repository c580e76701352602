//! Concatenation along the channels.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::{
    definition::{Definition, Misfit},
    notation::{Form, Gives, Notated, Notation, Reads, Values},
    onnx::{Attribute, Operator},
    operation::{Backward, Map, Operation, Plan, Run, Site},
};
use crate::network::kernels::{buffer::Buffer, map};

/// Concatenates images along their channels. Their height and width must be equal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Concat;

impl Definition for Concat {
    fn prefix(&self) -> &'static str {
        "concatenate"
    }

    fn n_inputs(&self) -> RangeInclusive<usize> {
        1..=usize::MAX
    }

    fn misfit(&self, inputs: &[&[usize]]) -> Option<Misfit> {
        let are_images = inputs.iter().all(|shape| shape.len() == 3);
        let fits = are_images && inputs.iter().all(|shape| shape[1..] == inputs[0][1..]);
        (!fits).then_some(Misfit::Expected("images of equal height and width"))
    }

    fn shape(&self, inputs: &[&[usize]]) -> Vec<usize> {
        vec![inputs.iter().map(|shape| shape[0]).sum(), inputs[0][1], inputs[0][2]]
    }

    fn flops(&self, _inputs: &[&[usize]]) -> u64 {
        0
    }

    fn on_cpu(&self, site: &Site<'_>) -> Plan {
        Plan::of(Join { channels: site.output.c }, site)
    }

    #[cfg(any(feature = "gpu", test))]
    fn on_burn(
        &self,
        inputs: Vec<burn::tensor::Tensor<4>>,
        _site: &mut super::burn_site::Site<'_>,
    ) -> burn::tensor::Tensor<4> {
        burn::tensor::Tensor::cat(inputs, 1)
    }

    fn onnx(&self, _inputs: &[&[usize]]) -> Operator {
        Operator::new("Concat").with("axis", Attribute::Int(1))
    }
}

impl Notated for Concat {
    const NOTATION: Notation =
        Notation { name: "Concat", form: Form::Layers, settings: &[], reads: Reads::Images, gives: Gives::Images };

    fn of(_values: &Values) -> Option<Self> {
        Some(Self)
    }
}

struct Join {
    /// The number of channels of the output.
    channels: usize,
}

impl Operation for Join {
    fn forward(&mut self, _run: Run, inputs: &[Map<'_>], y: &mut [f32]) {
        let parts: Vec<_> = inputs.iter().map(|input| (input.shape.c, input.values)).collect();
        map::concat(&parts, y);
    }

    fn backward(&mut self, back: &mut Backward<'_>, dy: Buffer) {
        let mut first = 0;
        for i in 0..back.inputs.len() {
            let shape = back.shape(i);
            if back.wants(i) {
                let mut part = back.buffers.take(back.run.n * shape.len());
                map::slice(self.channels, first, shape.c, &dy, &mut part);
                back.add(i, part);
            }
            first += shape.c;
        }
        back.buffers.give(dy);
    }
}
