//! The metrics of each epoch, and early stopping.

use std::collections::BTreeMap;

use pipe_store::Digest;
use serde::{Deserialize, Serialize};

use super::{
    metric::Figure,
    objective::{EarlyStopping, Objective},
};
use crate::{
    network::architecture::Head,
    records::{HistoryRow, TrainingHistory},
    stage::StageError,
};

/// Serialises a number as its bits, so that a checkpoint holds it exactly.
pub(crate) mod bits {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        value.to_bits().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        u64::deserialize(deserializer).map(f64::from_bits)
    }
}

/// Loss and accuracy of one head over the images of a split.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct HeadFigures {
    #[serde(with = "bits")]
    pub(crate) loss: f64,
    /// The fraction of images whose largest logit belongs to their class.
    #[serde(with = "bits")]
    pub(crate) accuracy: f64,
}

/// A number that a checkpoint holds exactly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Exact(#[serde(with = "bits")] pub(crate) f64);

/// Loss, accuracy and other metrics over one split in one epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// The weighted sum of the heads' losses, plus the L2 penalty.
    #[serde(with = "bits")]
    pub(crate) loss: f64,
    /// In the order of the heads.
    pub(crate) heads: Vec<HeadFigures>,
    /// The metrics that were asked for, by name without the split: `fine_macro_f1`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) asked: BTreeMap<String, Exact>,
}

/// One complete epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Epoch {
    /// Means over the training images, each computed with the weights before its step.
    pub(crate) train: Figures,
    /// Computed with the weights at the end of the epoch. `None` without a validation split.
    pub(crate) valid: Option<Figures>,
    /// The digest of the weights at the end of the epoch.
    pub(crate) weights: Digest,
}

/// A metric that the heads of the training have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Metric {
    /// The full name, such as `valid.fine_accuracy`.
    pub(crate) name: String,
    valid: bool,
    /// The index of the head, and which of its figures the metric is. `None` for the total loss.
    pub(crate) of_head: Option<(usize, Figure)>,
}

/// Returns the names of all metrics, in the order of the columns of `history.csv`. `asked` are those that are there because they
/// are asked for.
pub(crate) fn metric_names(heads: &[Head], validation: bool, asked: &[Metric]) -> Vec<String> {
    let splits: &[&str] = if validation { &["train", "valid"] } else { &["train"] };
    let names = splits.iter().flat_map(|split| {
        let of_head =
            heads.iter().flat_map(|head| ["loss", "accuracy"].map(|figure| format!("{}_{figure}", head.name)));
        std::iter::once("loss".to_owned()).chain(of_head).map(move |figure| format!("{split}.{figure}"))
    });
    names.chain(asked.iter().map(|metric| metric.name.clone())).collect()
}

impl Metric {
    /// Returns the metric `name`. Without the name of a head, as in `valid.accuracy`, it is that of the first head.
    ///
    /// # Errors
    /// If there is no such metric, or if it needs a validation split and there is none.
    pub(crate) fn new(name: &str, heads: &[Head], validation: bool) -> Result<Self, StageError> {
        let unknown = || {
            let all = metric_names(heads, validation, &[]).join("`, `");
            let more = if validation {
                ", and `valid.` with `balanced_accuracy`, `macro_f1` or `top_3_accuracy`, or with `<head>_` before these"
            } else {
                ""
            };
            let hint = format!("the metrics are `{all}`{more}");
            StageError::failed_with_hint(format!("there is no metric `{name}`"), hint)
        };
        let (split, figure) = name.split_once('.').ok_or_else(unknown)?;
        let valid = match split {
            "valid" if !validation => {
                return Err(StageError::failed_with_hint(
                    format!("the objective is `{name}`, and there is no validation split"),
                    "use a `train.` metric, or give the data a validation split",
                ));
            }
            "valid" => true,
            "train" => false,
            _ => return Err(unknown()),
        };
        if figure == "loss" {
            return Ok(Self { name: name.to_owned(), valid, of_head: None });
        }
        let (index, figure) = Figure::find(figure, heads.iter().map(|head| head.name.as_str())).ok_or_else(unknown)?;
        let Head { name: head, classes, .. } = &heads[index];
        if !valid && !figure.is_always_there() {
            return Err(StageError::failed_with_hint(
                format!("there is no metric `{name}`"),
                format!("`{}` is measured on the validation split only", figure.name()),
            ));
        }
        if let Figure::TopAccuracy(k) = figure
            && k as usize >= *classes
        {
            return Err(StageError::failed_with_hint(
                format!("`{name}` is 1 for every network: `{head}` has {classes} classes"),
                format!("use a number below {classes}"),
            ));
        }
        let name = format!("{split}.{head}_{}", figure.name());
        Ok(Self { name, valid, of_head: Some((index, figure)) })
    }

    /// Returns those of `metrics` that are in a history only if they are asked for, each once, by head and figure.
    pub(crate) fn asked(metrics: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let is_asked = |metric: &Self| metric.of_head.is_some_and(|(_, figure)| !figure.is_always_there());
        let mut asked: Vec<_> = metrics.into_iter().filter(is_asked).collect();
        asked.sort_by_key(|metric| metric.of_head);
        asked.dedup();
        asked
    }

    /// Returns its name without the split: `fine_accuracy`.
    pub(crate) fn figure(&self) -> &str {
        self.name.split_once('.').map_or("", |(_, figure)| figure)
    }

    /// Returns the value of the metric in `epoch`.
    pub(crate) fn of(&self, epoch: &Epoch) -> f64 {
        let figures =
            if self.valid { epoch.valid.as_ref().expect("there is a validation split") } else { &epoch.train };
        match self.of_head {
            None => figures.loss,
            Some((head, Figure::Loss)) => figures.heads[head].loss,
            Some((head, Figure::Accuracy)) => figures.heads[head].accuracy,
            Some(_) => figures.asked[self.figure()].0,
        }
    }
}

/// Returns the epoch, counted from 1, after which `stopping` ends the training. `None` if `epochs` do not reach that point.
pub(crate) fn stopped_after(
    epochs: &[Epoch],
    stopping: &EarlyStopping,
    objective: &Objective,
    metric: &Metric,
) -> Option<u32> {
    let (mut best, mut waited) = (f64::INFINITY, 0);
    for (number, epoch) in (1..).zip(epochs) {
        let loss = objective.loss(metric.of(epoch));
        if loss < best - stopping.min_delta {
            (best, waited) = (loss, 0);
            continue;
        }
        waited += 1;
        if waited >= stopping.patience {
            return Some(number);
        }
    }
    None
}

/// Returns the history of a training: every metric of every epoch, also those that were asked for.
pub(crate) fn table(epochs: &[Epoch], heads: &[Head], asked: &[Metric]) -> TrainingHistory {
    let validation = epochs.iter().any(|epoch| epoch.valid.is_some());
    let values = |epoch: &Epoch| {
        let splits = std::iter::once(&epoch.train).chain(&epoch.valid);
        let of_split = |figures: &Figures| {
            let of_heads = figures.heads.iter().flat_map(|head| [head.loss, head.accuracy]);
            std::iter::once(figures.loss).chain(of_heads).collect::<Vec<_>>()
        };
        splits.flat_map(of_split).chain(asked.iter().map(|metric| metric.of(epoch))).collect()
    };
    let row = |(number, epoch): (u32, &Epoch)| HistoryRow {
        epoch: number,
        values: values(epoch),
        weights: Some(epoch.weights),
    };
    TrainingHistory { metrics: metric_names(heads, validation, asked), rows: (1..).zip(epochs).map(row).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::architecture::Output;

    fn heads() -> [Head; 2] {
        ["fine", "coarse"].map(|name| Head { name: name.into(), classes: 3, output: Output::Softmax })
    }

    fn epochs(accuracies: &[f64]) -> Vec<Epoch> {
        let figures = |accuracy| Figures {
            loss: 1.5,
            heads: vec![HeadFigures { loss: 0.5, accuracy }; 2],
            asked: [("coarse_macro_f1".to_owned(), Exact(accuracy / 2.0))].into(),
        };
        let epoch = |&a: &f64| Epoch { train: figures(0.5), valid: Some(figures(a)), weights: Digest::of(b"") };
        accuracies.iter().map(epoch).collect()
    }

    #[test]
    fn metrics_are_found_by_name() {
        let heads = heads();
        for name in metric_names(&heads, true, &[]) {
            assert_eq!(Metric::new(&name, &heads, true).unwrap().name, name);
        }
        assert_eq!(Metric::new("valid.accuracy", &heads, true).unwrap().name, "valid.fine_accuracy");
        assert_eq!(Metric::new("train.accuracy", &heads, false).unwrap().name, "train.fine_accuracy");
        let error = Metric::new("valid.accuracy", &heads, false).unwrap_err();
        assert_eq!(error.to_string(), "the objective is `valid.accuracy`, and there is no validation split");
        for name in
            ["valid.class_accuracy", "test.loss", "loss", "valid.fine_f1", "train.macro_f1", "valid.top_3_accuracy"]
        {
            assert!(Metric::new(name, &heads, true).is_err(), "{name}");
        }
        let error = Metric::new("train.coarse_macro_f1", &heads, true).unwrap_err();
        assert_eq!(error.to_string(), "there is no metric `train.coarse_macro_f1`");
        let error = Metric::new("valid.top_3_accuracy", &heads, true).unwrap_err();
        assert_eq!(error.to_string(), "`valid.top_3_accuracy` is 1 for every network: `fine` has 3 classes");
    }

    #[test]
    fn metrics_that_are_asked_for_are_there_once_in_the_order_of_the_heads() {
        let asked = [
            "valid.coarse_macro_f1",
            "valid.loss",
            "valid.top_2_accuracy",
            "valid.fine_top_2_accuracy",
            "valid.accuracy",
        ];
        let asked = Metric::asked(asked.map(|name| Metric::new(name, &heads(), true).unwrap()));
        let names: Vec<_> = asked.iter().map(|metric| metric.name.as_str()).collect();
        assert_eq!(names, ["valid.fine_top_2_accuracy", "valid.coarse_macro_f1"]);
        let table = table(&epochs(&[0.25, 0.5]), &heads(), &asked[1..]);
        assert_eq!(table.metrics.len(), 11);
        assert_eq!(table.curve("valid.coarse_macro_f1"), Some(vec![(1.0, 0.125), (2.0, 0.25)]));
    }

    #[test]
    fn early_stopping_ends_after_its_patience() {
        let metric = Metric::new("valid.accuracy", &heads(), true).unwrap();
        let check = |patience, min_delta, accuracies: &[f64]| {
            let stopping = EarlyStopping { patience, min_delta };
            stopped_after(&epochs(accuracies), &stopping, &Objective::default(), &metric)
        };
        assert_eq!(check(2, 0.0, &[0.1, 0.2, 0.2, 0.15, 0.9]), Some(4));
        assert_eq!(check(2, 0.0, &[0.1, 0.2, 0.2, 0.25, 0.2]), None);
        assert_eq!(check(2, 0.15, &[0.1, 0.2, 0.24, 0.9]), Some(3));
    }

    #[test]
    fn the_history_has_a_row_per_epoch() {
        let text = String::from_utf8(table(&epochs(&[0.25]), &heads(), &[]).write()).unwrap();
        let digest = Digest::of(b"");
        assert_eq!(
            text,
            "epoch,train.loss,train.fine_loss,train.fine_accuracy,train.coarse_loss,train.coarse_accuracy,valid.loss,\
             valid.fine_loss,valid.fine_accuracy,valid.coarse_loss,valid.coarse_accuracy,weights\n"
                .to_owned()
                + &format!("1,1.5,0.5,0.5,0.5,0.5,1.5,0.5,0.25,0.5,0.25,{digest}\n")
        );
    }
}
