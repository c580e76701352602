//! Average pooling.

use serde::{Deserialize, Serialize};

use super::{
    definition::{Definition, Misfit},
    label::LabelPart,
    notation::{Form, Gives, Notated, Notation, Reads, Values},
    onnx::{Attribute, Operator},
    operation::{Plan, Site},
    pool,
    window::Window,
};
use crate::network::{
    kernels::pool::{Pool, PoolKind},
    padding::Padding,
};

/// The mean over each window, per channel. Padding is ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AvgPool {
    /// Height and width of a window, in pixels.
    pub size: usize,
    /// Distance from one window to the next, in pixels.
    pub stride: usize,
    /// How the edges are padded.
    pub padding: Padding,
}

impl AvgPool {
    fn window(&self) -> Window {
        Window { size: self.size, stride: self.stride, padding: self.padding }
    }
}

impl Definition for AvgPool {
    fn prefix(&self) -> &'static str {
        "average_pooling2d"
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
        Plan::of(Pool { x, y, window: self.window().on(x), kind: PoolKind::Mean }, site)
    }

    #[cfg(any(feature = "gpu", test))]
    fn on_burn(
        &self,
        mut inputs: Vec<burn::tensor::Tensor<4>>,
        _site: &mut super::burn_site::Site<'_>,
    ) -> burn::tensor::Tensor<4> {
        use burn::tensor::{module, ops::AvgPoolOptions};

        let x = inputs.remove(0);
        let [_, _, h, w] = x.dims();
        let options = AvgPoolOptions::new([self.size, self.size])
            .with_stride([self.stride, self.stride])
            .with_padding_pairs(self.window().zeros([h, w]))
            .with_count_include_pad(false);
        module::avg_pool2d(x, options) // [n, c, height, width]
    }

    fn onnx(&self, inputs: &[&[usize]]) -> Operator {
        self.window().operator("AveragePool", inputs).with("count_include_pad", Attribute::Int(0))
    }

    fn label(&self) -> Vec<LabelPart> {
        pool::label(self.window())
    }
}

impl Notated for AvgPool {
    const NOTATION: Notation = Notation {
        name: "AvgPool",
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
