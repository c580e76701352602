//! Element-wise addition.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::{
    definition::{Definition, Misfit},
    notation::{Form, Gives, Notated, Notation, Reads, Values},
    onnx::Operator,
    operation::{Backward, Map, Operation, Plan, Run, Site},
};
use crate::network::kernels::{buffer::Buffer, elementwise};

/// Adds layers of equal shape element by element.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Add;

impl Definition for Add {
    fn prefix(&self) -> &'static str {
        "add"
    }

    fn n_inputs(&self) -> RangeInclusive<usize> {
        2..=usize::MAX
    }

    fn misfit(&self, inputs: &[&[usize]]) -> Option<Misfit> {
        let differ = inputs.iter().any(|shape| *shape != inputs[0]);
        differ.then_some(Misfit::Expected("equal shapes"))
    }

    fn shape(&self, inputs: &[&[usize]]) -> Vec<usize> {
        assert!(inputs.iter().all(|shape| *shape == inputs[0]), "inputs of a sum have equal shapes");
        inputs[0].to_vec()
    }

    fn flops(&self, inputs: &[&[usize]]) -> u64 {
        inputs.len() as u64 - 1
    }

    fn on_cpu(&self, site: &Site<'_>) -> Plan {
        Plan::of(Sum, site)
    }

    #[cfg(any(feature = "gpu", test))]
    fn on_burn(
        &self,
        inputs: Vec<burn::tensor::Tensor<4>>,
        _site: &mut super::burn_site::Site<'_>,
    ) -> burn::tensor::Tensor<4> {
        inputs.into_iter().reduce(|sum, input| sum + input).expect("a sum has at least one input")
    }

    fn onnx(&self, inputs: &[&[usize]]) -> Operator {
        Operator::new(if inputs.len() > 2 { "Sum" } else { "Add" })
    }
}

impl Notated for Add {
    const NOTATION: Notation =
        Notation { name: "Add", form: Form::Layers, settings: &[], reads: Reads::Equal, gives: Gives::Same };

    fn of(_values: &Values) -> Option<Self> {
        Some(Self)
    }
}

struct Sum;

impl Operation for Sum {
    fn forward(&mut self, run: Run, inputs: &[Map<'_>], y: &mut [f32]) {
        elementwise::sum(run.isa, inputs[0].values, inputs[1].values, y);
        inputs[2..].iter().for_each(|input| elementwise::add(run.isa, input.values, y));
    }

    fn backward(&mut self, back: &mut Backward<'_>, dy: Buffer) {
        let last = back.inputs.len() - 1;
        for i in (0..last).filter(|&i| back.wants(i)).collect::<Vec<_>>() {
            let mut copy = back.buffers.take(dy.len());
            elementwise::copy(&dy, &mut copy);
            back.add(i, copy);
        }
        back.add(last, dy);
    }
}
