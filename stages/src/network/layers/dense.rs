//! Dense (fully connected) layers with a bias.

use serde::{Deserialize, Serialize};

use super::{
    convolution::Convolution,
    definition::{Array, Definition, Misfit, Role},
    notation::{Form, Gives, Notated, Notation, Reads, Setting, Values},
    onnx::Operator,
    operation::{Plan, Site},
    window::Window,
};
use crate::{
    network::{kernels::conv::Conv as Kernel, padding::Padding},
    params::Domain,
};

/// A dense (fully connected) layer with a bias. Its kernel is `[inputs, units]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dense {
    /// The number of output units.
    pub units: usize,
}

impl Definition for Dense {
    fn prefix(&self) -> &'static str {
        "dense"
    }

    fn sizes(&self) -> Vec<usize> {
        vec![self.units]
    }

    fn misfit(&self, inputs: &[&[usize]]) -> Option<Misfit> {
        let are_images = inputs.iter().all(|shape| shape.len() == 3);
        are_images.then_some(Misfit::Expected("[units]: a `flatten` comes before it"))
    }

    fn shape(&self, _inputs: &[&[usize]]) -> Vec<usize> {
        vec![self.units]
    }

    fn flops(&self, inputs: &[&[usize]]) -> u64 {
        2 * inputs[0][0] as u64 + 1
    }

    fn arrays(&self, input: &[usize]) -> Vec<Array> {
        vec![
            Array::new("kernel", &[input[0], self.units], Role::Kernel),
            Array::new("bias", &[self.units], Role::Trained(0.0)),
        ]
    }

    /// A dense layer is a 1x1 convolution over an image of one pixel.
    fn on_cpu(&self, site: &Site<'_>) -> Plan {
        let x = site.inputs[0];
        let window = Window { size: 1, stride: 1, padding: Padding::Valid }.on(x);
        Plan::of(Convolution::new(Kernel::new(x, site.output, window), true), site)
    }

    #[cfg(any(feature = "gpu", test))]
    fn on_burn(
        &self,
        mut inputs: Vec<burn::tensor::Tensor<4>>,
        site: &mut super::burn_site::Site<'_>,
    ) -> burn::tensor::Tensor<4> {
        let x = inputs.remove(0);
        let ([n, from, ..], units) = (x.dims(), self.units);
        let (kernel, bias) = (site.array("kernel").reshape([from, units]), site.array("bias").reshape([1, units]));
        let y = site.operand(x.reshape([n, from])).matmul(site.operand(kernel));
        let y = site.product(y) + bias; // [n, units]
        y.reshape([n, units, 1, 1])
    }

    fn onnx(&self, _inputs: &[&[usize]]) -> Operator {
        Operator::new("Gemm").reading(&["kernel", "bias"])
    }
}

impl Notated for Dense {
    const NOTATION: Notation = Notation {
        name: "Dense",
        form: Form::Value,
        settings: &[Setting::new("units", Domain::Whole(1..=1 << 20), "Number of output units.")],
        reads: Reads::Units,
        gives: Gives::Units,
    };

    fn of(values: &Values) -> Option<Self> {
        Some(Self { units: values.whole("units") })
    }
}
