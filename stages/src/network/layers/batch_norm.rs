//! Batch normalisation (Ioffe and Szegedy 2015).

use serde::{Deserialize, Serialize};

use super::{
    definition::{Array, Definition, Misfit, Role},
    label::LabelPart,
    notation::{Default, Form, Gives, Notated, Notation, Reads, Setting, Values},
    onnx::{Attribute, Operator},
    operation::{Arrays, Backward, Keeps, Map, Operation, Plan, Run, Site},
};
use crate::{
    network::{
        kernels::{
            batch_norm::{self, Statistics},
            buffer::Buffer,
            map::Shape,
        },
        pass::Pass,
    },
    params::Domain,
};

/// Batch normalisation of each channel (Ioffe and Szegedy 2015).
///
/// Training normalises with the batch's mean and biased variance, and updates the moving statistics:
/// moving * momentum + batch * (1 - momentum). Inference normalises with the moving statistics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchNorm {
    /// The fraction of the moving statistics that a training step keeps, as in Keras. It is 1 minus PyTorch's momentum.
    pub momentum: f32,
    /// The number that is added to a variance before the square root.
    pub epsilon: f32,
}

impl Definition for BatchNorm {
    fn prefix(&self) -> &'static str {
        "batch_normalization"
    }

    fn numbers(&self) -> Vec<f32> {
        vec![self.momentum, self.epsilon]
    }

    fn misfit(&self, inputs: &[&[usize]]) -> Option<Misfit> {
        Misfit::of_images(inputs)
    }

    fn shape(&self, inputs: &[&[usize]]) -> Vec<usize> {
        inputs[0].to_vec()
    }

    fn flops(&self, _inputs: &[&[usize]]) -> u64 {
        2
    }

    fn arrays(&self, input: &[usize]) -> Vec<Array> {
        let channels = &input[..1];
        vec![
            Array::new("gamma", channels, Role::Trained(1.0)),
            Array::new("beta", channels, Role::Trained(0.0)),
            Array::new("moving_mean", channels, Role::Statistic(0.0)),
            Array::new("moving_variance", channels, Role::Statistic(1.0)),
        ]
    }

    fn statistics_momentum(&self) -> Option<f32> {
        Some(self.momentum)
    }

    fn on_cpu(&self, site: &Site<'_>) -> Plan {
        let shape = site.output;
        let (gamma, beta, moving) = (Vec::new(), Vec::new(), Statistics::default());
        Plan::of(Normalise { shape, epsilon: self.epsilon, gamma, beta, moving, batch: None }, site)
    }

    #[cfg(any(feature = "gpu", test))]
    fn on_burn(
        &self,
        mut inputs: Vec<burn::tensor::Tensor<4>>,
        site: &mut super::burn_site::Site<'_>,
    ) -> burn::tensor::Tensor<4> {
        use burn::tensor::module;

        use crate::network::pass::Mode;

        let (x, epsilon) = (inputs.remove(0), f64::from(self.epsilon));
        let (gamma, beta) = (site.array("gamma"), site.array("beta"));
        if site.mode == Mode::Inference {
            let (mean, variance) = (site.array("moving_mean"), site.array("moving_variance"));
            return module::batch_norm(x, gamma, beta, mean, variance, epsilon);
        }
        #[cfg(feature = "gpu")]
        if site.has_our_kernels {
            let normalised = crate::network::on_burn::kernels::batch_norm::normalise(x, gamma, beta, self.epsilon);
            site.statistics.insert(site.layer.to_owned(), [normalised.mean, normalised.variance]);
            return normalised.output;
        }
        let normalised = module::batch_norm_train(x, gamma, beta, epsilon);
        let statistics = [normalised.mean, normalised.variance];
        site.statistics.insert(site.layer.to_owned(), statistics.map(burn::tensor::Tensor::inner));
        normalised.output
    }

    fn onnx(&self, _inputs: &[&[usize]]) -> Operator {
        Operator::new("BatchNormalization").with("epsilon", Attribute::Float(self.epsilon)).reading(&[
            "gamma",
            "beta",
            "moving_mean",
            "moving_variance",
        ])
    }

    fn label(&self) -> Vec<LabelPart> {
        vec![LabelPart::Number("momentum", self.momentum.into())]
    }
}

impl Notated for BatchNorm {
    const NOTATION: Notation = Notation {
        name: "BatchNorm",
        form: Form::Fields,
        // The defaults are Keras's.
        settings: &[
            Setting::new(
                "momentum",
                Domain::Share,
                "Fraction of the moving statistics that a step keeps: 1 minus PyTorch's momentum.",
            )
            .or(Default::Number(0.99)),
            Setting::new("epsilon", Domain::Positive, "Added to a variance before the square root.")
                .or(Default::Number(0.001)),
        ],
        reads: Reads::Images,
        gives: Gives::Images,
    };

    fn of(values: &Values) -> Option<Self> {
        Some(Self { momentum: values.number("momentum") as f32, epsilon: values.number("epsilon") as f32 })
    }
}

/// Normalises channels. All its vectors have one number for each channel, including padding.
struct Normalise {
    shape: Shape,
    epsilon: f32,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    /// The moving statistics.
    moving: Statistics,
    /// The statistics of the last batch, if the network is being trained.
    batch: Option<Statistics>,
}

impl Operation for Normalise {
    fn is_trained(&self) -> bool {
        true
    }

    fn keeps(&self, pass: Pass) -> Keeps {
        Keeps { input: pass == Pass::Training, output: false }
    }

    fn set_weights(&mut self, arrays: Arrays<'_, '_>) {
        let padded = |part| {
            let mut values = arrays(part).to_vec();
            values.resize(self.shape.padded(), 0.0);
            values
        };
        (self.gamma, self.beta) = (padded("gamma"), padded("beta"));
        self.moving = Statistics { mean: padded("moving_mean"), variance: padded("moving_variance") };
    }

    fn forward(&mut self, run: Run, inputs: &[Map<'_>], y: &mut [f32]) {
        let Map { values: x, shape, .. } = inputs[0];
        self.batch = (run.pass == Pass::Training).then(|| batch_norm::statistics(run.isa, shape.padded(), x));
        let Statistics { mean, variance } = self.batch.as_ref().unwrap_or(&self.moving);
        let scale = batch_norm::scale(&self.gamma, variance, self.epsilon);
        batch_norm::normalise(run.isa, mean, &scale, &self.beta, x, y);
    }

    fn backward(&mut self, back: &mut Backward<'_>, mut dy: Buffer) {
        let isa = back.run.isa;
        if let Some(batch) = &self.batch {
            let of = batch_norm::backward(isa, batch, &self.gamma, self.epsilon, back.x(), &mut dy);
            for (part, values) in [("gamma", of.gamma), ("beta", of.beta)] {
                back.parameter(part).replace(&values[..self.shape.c]);
            }
        } else {
            let scale = batch_norm::scale(&self.gamma, &self.moving.variance, self.epsilon);
            batch_norm::backward_of_inference(isa, &scale, &mut dy);
        }
        back.add(0, dy);
    }

    fn statistics(&self) -> Option<[&[f32]; 2]> {
        self.batch.as_ref().map(|batch| [&batch.mean[..self.shape.c], &batch.variance[..self.shape.c]])
    }
}
