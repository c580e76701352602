//! What a user may set of a training.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    network::{
        Family, HyperCnn, Layers, ModelError, TABLES, TableFamily,
        architecture::Output,
        training::{EarlyStopping, Keep, Loss, Objective, OptimizerKind, Schedule},
    },
    params::{Hyper, is_default},
};

/// `train`: a network of a family, trained on labelled images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// The family and its settings.
    pub model: Model,
    /// How often every training image is seen; `BestEpoch`: as often as up to the best epoch of the trial in slot `best`.
    pub epochs: Hyper<Epochs>,
    /// Images per step; the last step of an epoch takes what is left. A family's `batch_size` goes before. Default 64.
    #[serde(default = "batch::value", skip_serializing_if = "batch::is")]
    pub batch: Hyper<u32>,
    /// Times the family's `lr_rate_mult`. Default 0.001.
    #[serde(default = "learning_rate::value", skip_serializing_if = "learning_rate::is")]
    pub learning_rate: Hyper<f64>,
    /// Factor of the sum of the squares of all kernels in the loss, times the family's `l2_weight_reg_mult`. Default 0.0007.
    #[serde(default = "l2::value", skip_serializing_if = "l2::is")]
    pub l2: Hyper<f64>,
    /// The family's `optimizer` goes before. Default Adam.
    #[serde(default = "optimizer::value", skip_serializing_if = "optimizer::is")]
    pub optimizer: Hyper<OptimizerKind>,
    /// Of SGD: the share of the last change that is made again. Default 0.
    #[serde(default = "zero::value", skip_serializing_if = "zero::is")]
    pub momentum: Hyper<f64>,
    /// Of SGD: whether its momentum is Nesterov's. Default false.
    #[serde(default = "nesterov::value", skip_serializing_if = "nesterov::is")]
    pub nesterov: Hyper<bool>,
    /// Of AdamW: by what share, times the learning rate, every weight shrinks in a step. Default 0.004.
    #[serde(default = "weight_decay::value", skip_serializing_if = "weight_decay::is")]
    pub weight_decay: Hyper<f64>,
    /// How the learning rate changes. Default Constant.
    #[serde(default, skip_serializing_if = "is_default")]
    pub schedule: Schedule,
    /// The largest norm of all gradients together; longer ones are scaled down to it. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<Hyper<f64>>,
    /// What is made small, beside the penalty `l2`. Default CrossEntropy.
    #[serde(default = "loss::value", skip_serializing_if = "loss::is")]
    pub loss: Hyper<Loss>,
    /// Of cross-entropy: the share of a label that is spread evenly over all classes. Default 0.
    #[serde(default = "zero::value", skip_serializing_if = "zero::is")]
    pub label_smoothing: Hyper<f64>,
    /// Weight of the second head's loss, where there is one; the first has 1. The family's `coarse_labels_weight` goes
    /// before. Default 1.
    #[serde(default = "coarse_labels_weight::value", skip_serializing_if = "coarse_labels_weight::is")]
    pub coarse_labels_weight: Hyper<f64>,
    /// How logits become probabilities. Default Softmax.
    #[serde(default, skip_serializing_if = "is_default")]
    pub head: Output,
    /// What makes a training good. Default `maximise: Best("valid.accuracy")`, the accuracy of the first head.
    #[serde(default, skip_serializing_if = "is_default")]
    pub objective: Objective,
    /// When to stop before the last epoch. Default never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStopping>,
    /// Which weights become outputs. Default the best epoch's.
    #[serde(default = "keep::value", skip_serializing_if = "keep::is")]
    pub keep: Vec<Keep>,
    /// Every how many epochs, from the initial weights on, the spread of each layer's weights becomes an output; the last
    /// epoch's, too. Default never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histograms: Option<u32>,
}

crate::defaults! {
    batch: Hyper<u32> = Hyper::Value(64);
    learning_rate: Hyper<f64> = Hyper::Value(0.001);
    l2: Hyper<f64> = Hyper::Value(0.0007);
    optimizer: Hyper<OptimizerKind> = Hyper::Value(OptimizerKind::Adam);
    zero: Hyper<f64> = Hyper::Value(0.0);
    nesterov: Hyper<bool> = Hyper::Value(false);
    weight_decay: Hyper<f64> = Hyper::Value(0.004);
    loss: Hyper<Loss> = Hyper::Value(Loss::CrossEntropy);
    coarse_labels_weight: Hyper<f64> = Hyper::Value(1.0);
    keep: Vec<Keep> = vec![Keep::Best];
}

/// A family of networks with its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum Model {
    HyperCnn(HyperCnn),
    /// One of [`TABLES`].
    Table(TableFamily),
    /// No family, but a network written out.
    Layers(Layers),
}

impl Model {
    /// Returns the family's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::HyperCnn(_) => "HyperCnn",
            Self::Table(family) => family.table.name,
            Self::Layers(_) => "Layers",
        }
    }

    /// Returns the family.
    pub fn family(&self) -> &dyn Family {
        match self {
            Self::HyperCnn(family) => family,
            Self::Table(family) => family,
            Self::Layers(layers) => layers,
        }
    }

    fn names() -> Vec<&'static str> {
        ["HyperCnn"].into_iter().chain(TABLES.iter().map(|table| table.name)).chain(["Layers"]).collect()
    }
}

impl Serialize for Model {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::HyperCnn(family) => serializer.collect_map([(self.name(), family)]),
            Self::Table(family) => serializer.collect_map([(self.name(), &family.fixed)]),
            Self::Layers(layers) => serializer.collect_map([(self.name(), layers)]),
        }
    }
}

impl<'de> Deserialize<'de> for Model {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrSettings;

        fn unknown<E: de::Error>(name: &str) -> E {
            // In serde's words; its own function asks for names known when this was compiled.
            E::custom(format!("unknown variant `{name}`, expected one of `{}`", Model::names().join("`, `")))
        }

        impl<'de> de::Visitor<'de> for NameOrSettings {
            type Value = Model;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a family of networks: `Mlp` or `Mlp(..)`")
            }

            // A family without settings is only its name.
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Model, E> {
                match TABLES.iter().find(|table| table.name == name) {
                    Some(table) => Ok(Model::Table(TableFamily::new(table))),
                    None if name == "HyperCnn" => Ok(Model::HyperCnn(HyperCnn::default())),
                    // In serde's words.
                    None if name == "Layers" => {
                        Err(E::custom("invalid type: unit variant, expected newtype variant Model::Layers"))
                    }
                    None => Err(unknown(name)),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Model, A::Error> {
                let name = map.next_key::<String>()?.unwrap_or_default();
                match TABLES.iter().find(|table| table.name == name) {
                    Some(&table) => map.next_value_seed(table).map(Model::Table),
                    None if name == "HyperCnn" => map.next_value().map(Model::HyperCnn),
                    None if name == "Layers" => map.next_value().map(Model::Layers),
                    None => Err(unknown(&name)),
                }
            }
        }

        deserializer.deserialize_any(NameOrSettings)
    }
}

/// The length of a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Epochs {
    Count(u32),
    Named(NamedEpochs),
}

/// A length that an input gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum NamedEpochs {
    /// The epoch in the record in slot `best`.
    BestEpoch,
}

impl<'de> Deserialize<'de> for Epochs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountOrName;

        impl de::Visitor<'_> for CountOrName {
            type Value = Epochs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number of at least 1, or `BestEpoch`")
            }

            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Epochs, E> {
                u32::try_from(n).map(Epochs::Count).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(n), &self))
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Epochs, E> {
                match name {
                    "BestEpoch" => Ok(Epochs::Named(NamedEpochs::BestEpoch)),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }
        }

        deserializer.deserialize_any(CountOrName)
    }
}

impl Train {
    /// Returns what no network for images of shape `input` can have, whatever is proposed: (path inside the parameters, why).
    pub fn misfit(&self, input: [usize; 3]) -> Option<(String, ModelError)> {
        let (path, error) = self.model.family().misfit(input)?;
        Some((self.in_model(&path), error))
    }

    /// Returns the path inside the parameters of what is at `path` inside the model's settings.
    fn in_model(&self, path: &str) -> String {
        let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
        format!("model.{}{dot}{path}", self.model.name())
    }

    /// Returns what is wrong with the values: (path inside the parameters, what was found and what is allowed).
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = self.model.family().problems();
        problems.iter_mut().for_each(|(path, _)| *path = self.in_model(path));
        let mut check = |fine: bool, path: &str, message: String| {
            if !fine {
                problems.push((path.to_owned(), message));
            }
        };
        if let Hyper::Value(Epochs::Count(epochs)) = self.epochs {
            check(EPOCHS.contains(&epochs), "epochs", format!("{epochs} epochs, expected 1 to 100000"));
        }
        if let Hyper::Value(batch) = self.batch {
            check(BATCH.contains(&batch), "batch", format!("{batch} images, expected 1 to 65536"));
        }
        if let Hyper::Value(rate) = self.learning_rate {
            let fine = rate > 0.0 && rate.is_finite();
            check(fine, "learning_rate", format!("{rate}, expected a number above 0"));
        }
        if let Hyper::Value(l2) = self.l2 {
            check(l2 >= 0.0 && l2.is_finite(), "l2", format!("{l2}, expected a number of at least 0"));
        }
        if let Hyper::Value(momentum) = self.momentum {
            check(is_share(&momentum), "momentum", format!("{momentum}, expected {SHARE}"));
        }
        if let Hyper::Value(decay) = self.weight_decay {
            let fine = decay >= 0.0 && decay.is_finite();
            check(fine, "weight_decay", format!("{decay}, expected a number of at least 0"));
        }
        if let Some(Hyper::Value(norm)) = self.clip_norm {
            check(norm > 0.0 && norm.is_finite(), "clip_norm", format!("{norm}, expected a number above 0"));
        }
        if let Hyper::Value(smoothing) = self.label_smoothing {
            check(is_share(&smoothing), "label_smoothing", format!("{smoothing}, expected {SHARE}"));
        }
        for (path, message) in self.schedule.problems() {
            check(false, &format!("schedule.{path}"), message);
        }
        if let Hyper::Value(weight) = self.coarse_labels_weight {
            let fine = weight >= 0.0 && weight.is_finite();
            check(fine, "coarse_labels_weight", format!("{weight}, expected a number of at least 0"));
        }
        if let Some(stopping) = &self.early_stopping {
            check(stopping.patience >= 1, "early_stopping.patience", "0, expected at least 1".into());
            let delta = stopping.min_delta;
            let fine = delta >= 0.0 && delta.is_finite();
            check(fine, "early_stopping.min_delta", format!("{delta}, expected a number of at least 0"));
        }
        for (i, keep) in self.keep.iter().enumerate() {
            let path = format!("keep[{i}]");
            check(*keep != Keep::Every(0), &path, "every 0 epochs, expected at least 1".into());
            check(!self.keep[..i].contains(keep), &path, format!("{keep:?} is listed twice"));
        }
        let expected = "every 0 epochs, expected at least 1, or `None` for no histograms";
        check(self.histograms != Some(0), "histograms", expected.into());
        let metric = self.objective.metric();
        let fine = metric.strip_prefix("valid.").or_else(|| metric.strip_prefix("train.")).is_some_and(|rest| {
            rest == "loss" || rest == "accuracy" || rest.ends_with("_loss") || rest.ends_with("_accuracy")
        });
        let expected = "expected `valid.` or `train.` with `loss`, `accuracy`, `<head>_loss` or `<head>_accuracy`";
        check(fine, "objective", format!("`{metric}` is no metric; {expected}"));
        problems
    }
}

/// Allowed numbers of epochs.
pub(super) const EPOCHS: std::ops::RangeInclusive<u32> = 1..=100_000;

/// What [`is_share`] takes, in words.
pub(super) const SHARE: &str = "a number at least 0 and below 1";

pub(super) fn is_share(x: &f64) -> bool {
    (0.0..1.0).contains(x)
}

/// Allowed numbers of images in a step.
pub(super) const BATCH: std::ops::RangeInclusive<u32> = 1..=65_536;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn train(value: Value) -> Result<Train, serde_json::Error> {
        serde_json::from_value(value)
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
        });
        let (short, long) = (train(short).unwrap(), train(long).unwrap());
        assert_eq!(short, long);
        assert_eq!(serde_json::to_value(&long).unwrap(), json!({ "model": { "HyperCnn": {} }, "epochs": 3 }));
        assert_eq!(short.problems(), []);
    }

    #[test]
    fn a_family_is_its_name_and_the_values_that_are_no_defaults() {
        for (written, canonical) in [
            (json!("Mlp"), json!({ "Mlp": {} })),
            (json!({ "Mlp": { "units_1": 350.0, "layers": 2.0 } }), json!({ "Mlp": { "layers": 2 } })),
            (json!({ "Cnn": { "padding_1": "valid", "dropout_1": 0.1 } }), json!({ "Cnn": { "dropout_1": 0.1 } })),
        ] {
            let train = train(json!({ "model": written, "epochs": 1 })).unwrap();
            assert_eq!((&serde_json::to_value(&train).unwrap()["model"], train.problems()), (&canonical, vec![]));
        }
        let wrong =
            train(json!({ "model": { "Cnn": { "dropout_1": 1, "optimizer": "Sadam" } }, "epochs": 1 })).unwrap();
        let expected = [
            ("model.Cnn.dropout_1", "expected a number at least 0 and below 1"),
            ("model.Cnn.optimizer", "expected `Adam`, `AdamW`, `Nadam`, `RMSprop` or `SGD`"),
        ];
        assert_eq!(wrong.problems(), expected.map(|(path, text)| (path.to_owned(), text.to_owned())));
    }

    #[test]
    fn unknown_fields_and_values_out_of_range_are_refused() {
        assert!(train(json!({ "model": "HyperCnn", "epochs": 3, "epoch": 3 })).is_err());
        assert!(train(json!({ "model": { "HyperCnn": { "filters": 3 } }, "epochs": 3 })).is_err());
        let wrong = train(json!({
            "model": { "HyperCnn": { "conv_dropout_drop_proba": 1.5 } }, "epochs": 0, "batch": 0, "learning_rate": -1.0,
            "momentum": 1, "weight_decay": -1, "clip_norm": 0, "label_smoothing": 1, "schedule": { "Cosine": { "over_epochs": 0 } },
            "keep": [{ "Every": 0 }, "Best", "Best"], "histograms": 0, "objective": { "maximise": { "Best": "accuracy" } },
        }));
        let paths: Vec<_> = wrong.unwrap().problems().into_iter().map(|(path, _)| path).collect();
        let expected = ["model.HyperCnn.conv_dropout_drop_proba", "epochs", "batch", "learning_rate"];
        let more = ["momentum", "weight_decay", "clip_norm", "label_smoothing", "schedule.Cosine.over_epochs"];
        assert_eq!(paths, [&expected[..], &more, &["keep[0]", "keep[2]", "histograms", "objective"]].concat());
    }

    #[test]
    fn a_length_may_be_a_number_a_label_or_the_best_epoch() {
        for (json, expected) in [
            (json!(3), Hyper::Value(Epochs::Count(3))),
            (json!({ "hp": "epochs" }), Hyper::Label("epochs".into())),
            (json!("BestEpoch"), Hyper::Value(Epochs::Named(NamedEpochs::BestEpoch))),
        ] {
            let train = train(json!({ "model": "HyperCnn", "epochs": json.clone() })).unwrap();
            assert_eq!((&train.epochs, &serde_json::to_value(&train).unwrap()["epochs"]), (&expected, &json));
        }
    }
}
