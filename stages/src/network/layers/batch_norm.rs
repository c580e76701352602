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
            map::Shape,
        },
        pass::Pass,
    },
    params::Domain,
};

/// Normalisation per channel. Training uses the batch's mean and biased variance, and moves the moving statistics by
/// `1 - momentum` towards them. Otherwise the moving statistics are used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchNorm {
    /// The share of the moving statistics that a step keeps.
    pub momentum: f32,
    /// What is added to a variance before its root is taken.
    pub epsilon: f32,
}

impl Definition for BatchNorm {
    fn prefix(&self) -> &'static str {
        "batch_normalization"
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

    fn on_cpu(&self, site: &Site<'_>) -> Plan {
        let shape = site.output;
        let (gamma, beta, moving) = (Vec::new(), Vec::new(), Statistics::default());
        Plan::of(Normalise { shape, epsilon: self.epsilon, gamma, beta, moving, batch: None }, site)
    }

    #[cfg(any(feature = "cuda", test))]
    fn on_burn(
        &self,
        mut inputs: Vec<burn::tensor::Tensor<4>>,
        site: &mut super::burn_site::Site<'_>,
    ) -> burn::tensor::Tensor<4> {
        use burn::tensor::module;

        use super::burn_site::numbers;
        use crate::network::pass::Mode;

        let (x, epsilon) = (inputs.remove(0), f64::from(self.epsilon));
        let (gamma, beta) = (site.array("gamma"), site.array("beta"));
        if site.mode == Mode::Inference {
            let (mean, variance) = (site.array("moving_mean"), site.array("moving_variance"));
            return module::batch_norm(x, gamma, beta, mean, variance, epsilon);
        }
        let normalised = module::batch_norm_train(x, gamma, beta, epsilon);
        let statistics = [numbers(normalised.mean), numbers(normalised.variance)];
        site.statistics.insert(site.layer.to_owned(), statistics);
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
                "The share of the moving statistics that a step keeps: 1 - `momentum` of PyTorch.",
            )
            .or(Default::Number(0.99)),
            Setting::new("epsilon", Domain::Positive, "What is added to a variance before its square root is taken.")
                .or(Default::Number(0.001)),
        ],
        reads: Reads::Images,
        gives: Gives::Images,
    };

    fn of(values: &Values) -> Option<Self> {
        Some(Self { momentum: values.number("momentum") as f32, epsilon: values.number("epsilon") as f32 })
    }
}

struct Normalise {
    shape: Shape,
    epsilon: f32,
    /// Padded, as all that follow.
    gamma: Vec<f32>,
    beta: Vec<f32>,
    moving: Statistics,
    /// The batch's, if the network is trained.
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

    fn backward(&mut self, back: &mut Backward<'_>, mut dy: Vec<f32>) {
        let isa = back.run.isa;
        if let Some(batch) = &self.batch {
            let of = batch_norm::backward(isa, batch, &self.gamma, self.epsilon, back.x(), &mut dy);
            for (part, values) in [("gamma", of.gamma), ("beta", of.beta)] {
                let gradient = back.parameter(part);
                gradient.clear();
                gradient.extend(&values[..self.shape.c]);
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
