//! Two-dimensional convolution with a bias.

use serde::{Deserialize, Serialize};

use super::{
    convolution::Convolution,
    definition::{Array, Definition, Misfit, Role},
    label::LabelPart,
    notation::{Default, Form, Gives, Notated, Notation, Reads, Setting, Values},
    onnx::Operator,
    operation::{Plan, Site},
    window::{SIDE, Window},
};
use crate::{
    network::{
        kernels::{conv::Conv as Kernel, unfold::Unfold},
        padding::Padding,
    },
    params::Domain,
};

/// A convolution with square filters and a bias. Its kernel is `[filters, channels, height, width]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conv {
    /// The number of filters, which is the number of output channels.
    pub filters: usize,
    /// Height and width of a filter, in pixels.
    pub kernel: usize,
    /// Distance from one position of a filter to the next, in pixels.
    pub stride: usize,
    /// How the edges are padded.
    pub padding: Padding,
}

impl Conv {
    fn window(&self) -> Window {
        Window { size: self.kernel, stride: self.stride, padding: self.padding }
    }
}

impl Definition for Conv {
    fn prefix(&self) -> &'static str {
        "conv2d"
    }

    fn sizes(&self) -> Vec<usize> {
        vec![self.filters, self.kernel, self.stride]
    }

    fn misfit(&self, inputs: &[&[usize]]) -> Option<Misfit> {
        self.window().misfit(inputs)
    }

    fn shape(&self, inputs: &[&[usize]]) -> Vec<usize> {
        self.window().shape(inputs, self.filters)
    }

    fn flops(&self, inputs: &[&[usize]]) -> u64 {
        2 * (inputs[0][0] * self.kernel * self.kernel) as u64 + 1
    }

    fn arrays(&self, input: &[usize]) -> Vec<Array> {
        let &Self { filters, kernel, .. } = self;
        vec![
            Array::new("kernel", &[filters, input[0], kernel, kernel], Role::Kernel),
            Array::new("bias", &[filters], Role::Trained(0.0)),
        ]
    }

    /// Images with few channels are unfolded first.
    fn on_cpu(&self, site: &Site<'_>) -> Plan {
        let (x, y) = (site.inputs[0], site.output);
        let window = self.window().on(x);
        match Unfold::of(x, y, window) {
            Some(unfold) => Plan::of(Convolution::of_windows(unfold), site),
            None => Plan::of(Convolution::new(Kernel::new(x, y, window), false), site),
        }
    }

    #[cfg(any(feature = "gpu", test))]
    fn on_burn(
        &self,
        mut inputs: Vec<burn::tensor::Tensor<4>>,
        site: &mut super::burn_site::Site<'_>,
    ) -> burn::tensor::Tensor<4> {
        use burn::tensor::{module, ops::ConvOptions};

        use crate::device::Precision;

        let x = inputs.remove(0);
        let [_, channels, h, w] = x.dims();
        let kernel = site.array("kernel").reshape([self.filters, channels, self.kernel, self.kernel]);
        let options = ConvOptions::new([self.stride, self.stride], [0, 0], [1, 1], 1);
        let options = ConvOptions { padding: self.window().zeros([h, w]), ..options };
        let bias = site.array("bias");
        // The bias, and the sums that its gradient is, are f32 in every precision.
        let (inside, after) = match site.precision {
            Precision::F32 => (Some(bias), None),
            Precision::Bf16 => (None, Some(bias.reshape([1, self.filters, 1, 1]))),
        };
        let y = module::conv2d(site.operand(x), site.operand(kernel), inside, options); // [n, filters, height, width]
        let y = site.product(y);
        if let Some(bias) = after { y + bias } else { y }
    }

    fn onnx(&self, inputs: &[&[usize]]) -> Operator {
        self.window().operator("Conv", inputs).reading(&["kernel", "bias"])
    }

    fn label(&self) -> Vec<LabelPart> {
        let kernel = LabelPart::Number("kernel", self.kernel as f64);
        [kernel, LabelPart::Word(self.padding.name())].into_iter().chain(self.window().stride_label()).collect()
    }
}

impl Notated for Conv {
    const NOTATION: Notation = Notation {
        name: "Conv",
        form: Form::Fields,
        settings: &[
            Setting::new(
                "filters",
                Domain::Whole(1..=65_536),
                "Number of filters, which is the number of output channels.",
            ),
            Setting::new("kernel", SIDE, "Height and width of a filter.").moving_sides(),
            Setting::new("stride", SIDE, "Pixels from one position of a filter to the next.")
                .moving_sides()
                .or(Default::Whole(1)),
            Setting::new("padding", Domain::Word(Padding::NAMES), "How the edges are padded.")
                .moving_sides()
                .or(Default::Word("same")),
        ],
        reads: Reads::Images,
        gives: Gives::Images,
    };

    fn of(values: &Values) -> Option<Self> {
        Some(Self {
            filters: values.whole("filters"),
            kernel: values.whole("kernel"),
            stride: values.whole("stride"),
            padding: values.word("padding"),
        })
    }
}
