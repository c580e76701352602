//! The parameters of a training.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{
    network::{
        Family, Layers, TABLES, TableFamily,
        architecture::Output,
        training::{
            BATCH, ClassWeights, EarlyStopping, Keep, Loss, MetricName, Objective, OptimizerKind, Sampling, Schedule,
        },
    },
    parameters,
    params::{Domain, Hyper, Read, content, named},
    problem::{Path, Problem},
    words::one_of,
};

/// The allowed numbers of epochs from one occurrence of something to the next. `None` if it never happens.
pub const EVERY: Domain = Domain::Optional(&Domain::Whole(1..=u32::MAX));

/// The allowed lengths of a training, in epochs.
pub const EPOCHS: Domain = Domain::Whole(1..=100_000);

parameters! {
    /// `train`: trains a network on labelled images.
    pub struct Train where agrees_with_itself {
        /// The family of the network, with its settings.
        model: Model,
        /// The number of epochs. In each, every training image is seen once.
        epochs: Hyper<Epochs> [EPOCHS],
        /// The number of images per step. The last step of an epoch takes the rest. The model's `batch_size` overrides it.
        batch: Hyper<u32> [BATCH] = Hyper::Value(64),
        /// The learning rate. The model's `lr_rate_mult` multiplies it.
        learning_rate: Hyper<f64> [Domain::Positive] = Hyper::Value(0.001),
        /// The L2 penalty: this times the sum of the squares of all kernels is added to the loss. The model's
        /// `l2_weight_reg_mult` multiplies it.
        l2: Hyper<f64> [Domain::NotNegative] = Hyper::Value(0.0007),
        /// The optimizer. The model's `optimizer` overrides it.
        optimizer: Hyper<OptimizerKind> = Hyper::Value(OptimizerKind::Adam),
        /// The momentum of `SGD`.
        momentum: Hyper<f64> [Domain::Share] = Hyper::Value(0.0),
        /// Whether `SGD` uses Nesterov momentum.
        nesterov: Hyper<bool> [Domain::Flag] = Hyper::Value(false),
        /// The weight decay of `AdamW`: in each step, every weight shrinks by this times the learning rate.
        weight_decay: Hyper<f64> [Domain::NotNegative] = Hyper::Value(0.004),
        /// How the learning rate changes during the training.
        schedule: Schedule = Schedule::Constant,
        /// The largest norm of all gradients together. Longer gradients are scaled down to it. Defaults to no limit.
        clip_norm: Option<Hyper<f64>> [Domain::Positive],
        /// The loss to minimise, to which the `l2` penalty is added.
        loss: Hyper<Loss> = Hyper::Value(Loss::CrossEntropy),
        /// The share of a label that is spread evenly over all classes. Only for `CrossEntropy`.
        label_smoothing: Hyper<f64> [Domain::Share] = Hyper::Value(0.0),
        /// The weight of the second head's loss, if there is a second head. The weight of the first head's is 1. The model's
        /// `coarse_labels_weight` overrides it.
        coarse_labels_weight: Hyper<f64> [Domain::NotNegative] = Hyper::Value(1.0),
        /// How logits become probabilities.
        head: Output = Output::Softmax,
        /// The metric that the training is scored by. `accuracy` is the accuracy of the first head.
        objective: Objective = Objective::default(),
        /// When to stop before the last epoch. Defaults to never.
        early_stopping: Option<EarlyStopping>,
        /// The weights to keep as outputs.
        keep: Vec<Keep> = vec![Keep::Best],
        /// The number of epochs between histograms of each layer's weights. The initial weights and those of the last epoch
        /// always have one. Defaults to no histograms.
        histograms: Option<u32> [EVERY],
        /// The weight of each class of the first head: the loss of an image is multiplied by it in training. `Balanced` is the
        /// number of images, divided by the number of classes times the number of images of the class.
        class_weights: Hyper<ClassWeights> = Hyper::Value(ClassWeights::Equal),
        /// Which images an epoch draws: each once, or (`Balanced`) every class of the first head equally often.
        sampling: Hyper<Sampling> = Hyper::Value(Sampling::AsIs),
        /// More metrics for the history, such as `"valid.macro_f1"`. The metric of the objective is always in it.
        metrics: Vec<MetricName> = Vec::new(),
    }
}

/// A family of networks with its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum Model {
    /// One of [`TABLES`].
    Table(TableFamily),
    /// A network written out, without a family.
    Layers(Layers),
}

impl Model {
    /// Returns the family's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Table(family) => family.table.name,
            Self::Layers(_) => "Layers",
        }
    }

    /// Returns the family.
    pub fn family(&self) -> &dyn Family {
        match self {
            Self::Table(family) => family,
            Self::Layers(layers) => layers,
        }
    }

    /// Returns the family with a proposal's values filled in. A network that is written out has its labels instead.
    #[must_use]
    pub fn with(&self, proposed: &Map<String, Value>) -> Self {
        match self {
            Self::Table(family) => Self::Table(family.clone().with(proposed)),
            Self::Layers(_) => self.clone(),
        }
    }

    fn names() -> Vec<&'static str> {
        TABLES.iter().map(|table| table.name).chain(["Layers"]).collect()
    }
}

impl Serialize for Model {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Table(family) => serializer.collect_map([(self.name(), family)]),
            Self::Layers(layers) => serializer.collect_map([(self.name(), layers)]),
        }
    }
}

impl Read for Model {
    fn read(value: &Value, _: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        let (known, settings) = named(value, &Self::names(), at, problems)?;
        match TABLES.get(known) {
            Some(table) => {
                table.read(settings.unwrap_or(&Value::Null), &at.name(table.name), problems).map(Self::Table)
            }
            None => content("Layers", settings, &Domain::Any, at, problems).map(Self::Layers),
        }
    }

    fn expected(_: &Domain) -> String {
        one_of(Self::names())
    }
}

/// The length of a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Epochs {
    /// This number of epochs.
    Count(u32),
    /// A number that is read from an input. Only a retraining connects that input.
    Named(NamedEpochs),
}

/// A number of epochs that is read from an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum NamedEpochs {
    /// The best epoch of a search's best trial, from the record in the slot `best`.
    BestEpoch,
}

impl Read for Epochs {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        let count = || u32::try_from(value.as_u64()?).ok();
        if value.as_str() == Some("BestEpoch") {
            return Some(Self::Named(NamedEpochs::BestEpoch));
        }
        if count().is_none() || !domain.has(value) {
            problems.push(Problem::found(at, value).expected(Self::expected(domain)));
        }
        count().map(Self::Count)
    }

    /// Does not offer `BestEpoch`, which only a retraining takes.
    fn expected(domain: &Domain) -> String {
        u32::expected(domain)
    }

    fn brief(domain: &Domain) -> String {
        u32::brief(domain)
    }
}

impl Train {
    /// Returns a setting that does not fit images of shape `input`, whatever is proposed. The problem's path is relative to the
    /// parameters.
    pub fn misfit(&self, input: [usize; 3]) -> Option<Problem> {
        let problem = self.model.family().misfit(input)?;
        Some(problem.inside(&Path::here().name("model").name(self.model.name())))
    }

    fn agrees_with_itself(self, at: &Path, problems: &mut Vec<Problem>) -> Self {
        Keep::each_once(&self.keep, &at.name("keep"), problems);
        if let (Hyper::Value(weights), Hyper::Value(sampling)) = (&self.class_weights, &self.sampling) {
            problems.extend(balanced_twice(weights, *sampling).map(|why| Problem::new(at.name("class_weights"), why)));
        }
        self
    }
}

/// Returns what is wrong with these two together, if anything is.
pub(super) fn balanced_twice(weights: &ClassWeights, sampling: Sampling) -> Option<String> {
    let is_twice = *weights == ClassWeights::Balanced && sampling == Sampling::Balanced;
    is_twice
        .then(|| "`Balanced` together with `sampling: Balanced` favours rare classes twice: use one of the two".into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::params::read;

    fn train(value: Value) -> Train {
        read(&value).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    fn refused(value: Value) -> Vec<Problem> {
        read::<Train>(&value).expect_err("it is wrong")
    }

    #[test]
    fn defaults_written_out_are_left_out() {
        let short = json!({ "model": "HyperCnn", "epochs": 3 });
        let long = json!({
            "model": { "HyperCnn": { "base_filters": 40 } }, "epochs": 3, "batch": 64, "learning_rate": 0.001, "l2": 0.0007,
            "optimizer": "Adam", "momentum": 0.0, "nesterov": false, "weight_decay": 0.004, "schedule": "Constant",
            "clip_norm": null, "loss": "CrossEntropy", "label_smoothing": 0, "coarse_labels_weight": 1.0, "head": "Softmax", "early_stopping": null, "keep": ["Best"],
            "histograms": null,
            "objective": { "maximise": { "Best": "valid.accuracy" } },
            "class_weights": "Equal", "sampling": "AsIs", "metrics": [],
        });
        let (short, long) = (train(short), train(long));
        assert_eq!(short, long);
        assert_eq!(serde_json::to_value(&long).unwrap(), json!({ "model": { "HyperCnn": {} }, "epochs": 3 }));
    }

    #[test]
    fn a_family_is_written_as_its_name_and_the_values_that_are_not_defaults() {
        for (written, canonical) in [
            (json!("Mlp"), json!({ "Mlp": {} })),
            (json!({ "Mlp": { "units_1": 350.0, "layers": 2.0 } }), json!({ "Mlp": { "layers": 2 } })),
            (json!({ "Cnn": { "padding_1": "valid", "dropout_1": 0.1 } }), json!({ "Cnn": { "dropout_1": 0.1 } })),
        ] {
            let train = train(json!({ "model": written, "epochs": 1 }));
            assert_eq!(serde_json::to_value(&train).unwrap()["model"], canonical);
        }
        let wrong = refused(json!({ "model": { "Cnn": { "dropout_1": 1, "optimizer": "Sadam" } }, "epochs": 1 }));
        let expected = [
            "`model.Cnn.dropout_1`: found `1`, expected a number at least 0 and below 1",
            "`model.Cnn.optimizer`: found `Sadam`, expected `Adam`, `AdamW`, `Nadam`, `RMSprop` or `SGD`",
        ];
        assert_eq!(wrong.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn unknown_fields_and_values_out_of_range_are_refused() {
        let unknown = refused(json!({ "model": { "HyperCnn": { "filters": 3 } }, "epochs": 3, "epoch": 3 }));
        assert_eq!(
            unknown.iter().map(|problem| problem.at.to_string()).collect::<Vec<_>>(),
            ["epoch", "model.HyperCnn.filters"]
        );
        let wrong = refused(json!({
            "model": { "HyperCnn": { "conv_dropout_drop_proba": 1.5 } }, "epochs": 0, "batch": 0, "learning_rate": -1.0,
            "momentum": 1, "weight_decay": -1, "clip_norm": 0, "label_smoothing": 1, "schedule": { "Cosine": { "over_epochs": 0 } },
            "keep": [{ "Every": 0 }, "Best", "Best"], "histograms": 0, "objective": { "maximise": { "Best": "accuracy" } },
        }));
        let paths: Vec<_> = wrong.iter().map(|problem| problem.at.to_string()).collect();
        let expected = ["model.HyperCnn.conv_dropout_drop_proba", "epochs", "batch", "learning_rate"];
        let more = ["momentum", "weight_decay", "schedule.Cosine.over_epochs", "clip_norm", "label_smoothing"];
        let last = ["objective.maximise.Best", "keep[0].Every", "histograms", "keep[2]"];
        assert_eq!(paths, [&expected[..], &more, &last].concat());
    }

    #[test]
    fn rare_classes_are_favoured_in_one_way() {
        let balanced = json!({ "model": "Mlp", "epochs": 1, "class_weights": "Balanced", "sampling": "Balanced" });
        assert_eq!(
            refused(balanced)[0].to_string(),
            "`class_weights`: `Balanced` together with `sampling: Balanced` favours rare classes twice: use one of the two"
        );
        train(json!({ "model": "Mlp", "epochs": 1, "class_weights": { "a": 2 }, "sampling": "Balanced" }));
        train(json!({ "model": "Mlp", "epochs": 1, "class_weights": "Balanced", "sampling": { "hp": "how" } }));
    }

    #[test]
    fn a_length_may_be_a_number_a_label_or_the_best_epoch() {
        for (json, expected) in [
            (json!(3), Hyper::Value(Epochs::Count(3))),
            (json!({ "hp": "epochs" }), Hyper::Label("epochs".into())),
            (json!("BestEpoch"), Hyper::Value(Epochs::Named(NamedEpochs::BestEpoch))),
        ] {
            let train = train(json!({ "model": "HyperCnn", "epochs": json.clone() }));
            assert_eq!((&train.epochs, &serde_json::to_value(&train).unwrap()["epochs"]), (&expected, &json));
        }
    }
}
