//! Max-pooling.

use serde::{Deserialize, Serialize};

use super::{
    definition::{Definition, Misfit},
    label::LabelPart,
    notation::{Form, Gives, Notated, Notation, Reads, Values},
    onnx::Operator,
    operation::{Follower, Plan, Site},
    pool,
    window::Window,
};
use crate::network::{
    kernels::pool::{Pool, PoolKind},
    padding::Padding,
};

/// The maximum over each window, per channel. Padding is ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaxPool {
    /// Height and width of a window, in pixels.
    pub size: usize,
    /// Distance from one window to the next, in pixels.
    pub stride: usize,
    /// How the edges are padded.
    pub padding: Padding,
}

impl MaxPool {
    fn window(&self) -> Window {
        Window { size: self.size, stride: self.stride, padding: self.padding }
    }
}

impl Definition for MaxPool {
    fn prefix(&self) -> &'static str {
        "max_pooling2d"
    }

    fn sizes(&self) -> Vec<usize> {
        vec![self.size, self.stride]
    }

    fn misfit(&self, inputs: &[&[usize]]) -> Option<Misfit> {
        self.window().misfit(inputs)
    }

    fn shape(&self, inputs: &[&[usize]]) -> Vec<usize> {
        self.window().shape(inputs, inputs[0][0])
    }

    fn flops(&self, _inputs: &[&[usize]]) -> u64 {
        (self.size * self.size) as u64
    }

    fn on_cpu(&self, site: &Site<'_>) -> Plan {
        let (x, y) = (site.inputs[0], site.output);
        let pool = Pool { x, y, window: self.window().on(x), kind: PoolKind::Max };
        Plan::of(pool, site).or(Follower::MaxPool(pool))
    }

    #[cfg(any(feature = "gpu", test))]
    fn on_burn(
        &self,
        mut inputs: Vec<burn::tensor::Tensor<4>>,
        _site: &mut super::burn_site::Site<'_>,
    ) -> burn::tensor::Tensor<4> {
        use burn::tensor::{module, ops::MaxPoolOptions};

        let x = inputs.remove(0);
        let [_, _, h, w] = x.dims();
        let options = MaxPoolOptions::new([self.size, self.size])
            .with_stride([self.stride, self.stride])
            .with_padding_pairs(self.window().zeros([h, w]));
        module::max_pool2d(x, options) // [n, c, height, width]
    }

    fn onnx(&self, inputs: &[&[usize]]) -> Operator {
        self.window().operator("MaxPool", inputs)
    }

    fn label(&self) -> Vec<LabelPart> {
        pool::label(self.window())
    }
}

impl Notated for MaxPool {
    const NOTATION: Notation = Notation {
        name: "MaxPool",
        form: Form::Fields,
        settings: pool::SETTINGS,
        reads: Reads::Images,
        gives: Gives::Images,
    };

    fn of(values: &Values) -> Option<Self> {
        let Window { size, stride, padding } = pool::window(values);
        Some(Self { size, stride, padding })
    }
}
