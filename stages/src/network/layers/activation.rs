//! Activation layers.

use serde::{Deserialize, Serialize};

use super::{
    definition::{Definition, Misfit},
    label::LabelPart,
    notation::{Form, Gives, Notated, Notation, Reads, Setting, Values},
    onnx::{Attribute, Operator},
    operation::{Backward, Follower, Keeps, Map, Operation, Plan, Run, Site},
};
use crate::{
    network::{
        function::Function,
        kernels::{activation as kernel, buffer::Buffer},
        pass::Pass,
    },
    params::Domain,
};

/// Applies an activation function to each element.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Activation {
    /// The activation function.
    pub function: Function,
}

impl Definition for Activation {
    fn prefix(&self) -> &'static str {
        "activation"
    }

    fn misfit(&self, _inputs: &[&[usize]]) -> Option<Misfit> {
        None
    }

    fn shape(&self, inputs: &[&[usize]]) -> Vec<usize> {
        inputs[0].to_vec()
    }

    fn flops(&self, _inputs: &[&[usize]]) -> u64 {
        1
    }

    fn on_cpu(&self, site: &Site<'_>) -> Plan {
        Plan::of(Apply(self.function), site).or(Follower::Function(self.function))
    }

    #[cfg(any(feature = "gpu", test))]
    fn on_burn(
        &self,
        mut inputs: Vec<burn::tensor::Tensor<4>>,
        #[cfg_attr(not(feature = "gpu"), expect(unused_variables, reason = "burn's operations need nothing of it"))]
        site: &mut super::burn_site::Site<'_>,
    ) -> burn::tensor::Tensor<4> {
        use burn::tensor::activation::relu;

        const SCALE: f64 = 1.0507009873554805;
        const SLOPE: f64 = 1.6732632423543772;
        let x = inputs.remove(0);
        #[cfg(feature = "gpu")]
        if site.has_our_kernels {
            return crate::network::on_burn::kernels::activation::activate(self.function, x);
        }
        match self.function {
            Function::Relu => relu(x),
            // The gradient of burn's own ELU is NaN for large x: 0 times infinity.
            Function::Elu => relu(x.clone()) + (x.clamp_max(0.0).exp() - 1.0),
            Function::Selu => relu(x.clone()) * SCALE + (x.clamp_max(0.0).exp() - 1.0) * (SCALE * SLOPE),
        }
    }

    fn onnx(&self, _inputs: &[&[usize]]) -> Operator {
        match self.function {
            Function::Relu => Operator::new("Relu"),
            Function::Elu => Operator::new("Elu").with("alpha", Attribute::Float(1.0)),
            // Its attributes default to the constants of the paper.
            Function::Selu => Operator::new("Selu"),
        }
    }

    fn label(&self) -> Vec<LabelPart> {
        vec![LabelPart::Word(self.function.name())]
    }
}

impl Notated for Activation {
    const NOTATION: Notation = Notation {
        name: "Activation",
        form: Form::Value,
        settings: &[Setting::new("function", Domain::Word(Function::NAMES), "Activation function.")],
        reads: Reads::Anything,
        gives: Gives::Same,
    };

    fn of(values: &Values) -> Option<Self> {
        Some(Self { function: values.word("function") })
    }
}

/// Applies an activation function.
pub(super) struct Apply(pub(super) Function);

impl Operation for Apply {
    fn keeps(&self, _pass: Pass) -> Keeps {
        Keeps { input: false, output: true }
    }

    fn forward(&mut self, run: Run, inputs: &[Map<'_>], y: &mut [f32]) {
        kernel::apply(run.isa, self.0, inputs[0].values, y);
    }

    fn backward(&mut self, back: &mut Backward<'_>, mut dy: Buffer) {
        kernel::backward(back.run.isa, self.0, back.y(), &mut dy);
        back.add(0, dy);
    }
}
