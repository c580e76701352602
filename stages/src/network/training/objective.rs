//! The objective of a training, and early stopping.

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::metric::{Better, better, larger_is_better};
use crate::{
    choices, parameters,
    params::{Domain, Read},
    problem::{Path, Problem},
};

choices! {
    /// The metric to maximise or to minimise.
    pub enum Objective {
        /// Larger values are better.
        Maximise(At) = "maximise",
        /// Smaller values are better.
        Minimise(At) = "minimise",
    }
}

impl Default for Objective {
    fn default() -> Self {
        Self::Maximise(At::Best("valid.accuracy".into()))
    }
}

impl Objective {
    /// Returns the name of the metric.
    pub fn metric(&self) -> &str {
        let (Self::Maximise(at) | Self::Minimise(at)) = self;
        let (At::Best(metric) | At::Last(metric)) = at;
        &metric.0
    }

    /// Returns `value` of the metric as a number to minimise: its negative if the metric is to be maximised.
    pub fn loss(&self, value: f64) -> f64 {
        if matches!(self, Self::Maximise(_)) { -value } else { value }
    }

    /// Returns what to tell the user if it looks for the worst values of its metric.
    pub fn against_its_metric(&self) -> Option<String> {
        let metric = self.metric();
        let (found, are_better, meant) = match (self, better(metric)?) {
            (Self::Maximise(_), Better::Smaller) => ("maximise", "smaller", "minimise"),
            (Self::Minimise(_), Better::Larger) => ("minimise", "larger", "maximise"),
            _ => return None,
        };
        Some(format!("`{found}` of `{metric}`, of which {are_better} values are better: is `{meant}` meant?"))
    }

    /// Returns whether the value in the last epoch counts, not the best value.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Maximise(At::Last(_)) | Self::Minimise(At::Last(_)))
    }
}

choices! {
    /// A metric, and the epoch whose value counts.
    #[derive(Eq)]
    pub enum At {
        /// The epoch with the best value, the first one if several are equal.
        Best(MetricName),
        /// The last epoch.
        Last(MetricName),
    }
}

/// The name of a metric: `valid.` or `train.`, then `loss`, `accuracy` (of the first head), `<head>_loss` or `<head>_accuracy`. Or
/// `valid.`, then `balanced_accuracy`, `macro_f1` or `top_3_accuracy`, with any other number, or one of these after `<head>_`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricName(String);

impl MetricName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for MetricName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl Serialize for MetricName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Read for MetricName {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        let figure =
            |name: &str| name.strip_prefix("valid.").or_else(|| name.strip_prefix("train.")).map(str::to_owned);
        let is_metric = value
            .as_str()
            .and_then(figure)
            .is_some_and(|figure| figure == "loss" || figure.ends_with("_loss") || larger_is_better(&figure));
        if !is_metric {
            let problem = match value.as_str() {
                Some(name) => Problem::new(at, format!("`{name}` is not a metric")),
                None => Problem::found(at, value),
            };
            problems.push(problem.expected(Self::expected(domain)));
        }
        value.as_str().map(Self::from)
    }

    fn expected(_: &Domain) -> String {
        let always = "`valid.` or `train.` with `loss`, `accuracy`, `<head>_loss` or `<head>_accuracy`";
        format!("{always}, or `valid.` with `balanced_accuracy`, `macro_f1` or `top_3_accuracy`")
    }
}

/// An objective whose metric can have any name, such as that of a program of the user's own, or `parameters`.
#[derive(Debug, Clone, PartialEq)]
pub struct AnyObjective(pub Objective);

impl Serialize for AnyObjective {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for AnyObjective {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::params::deserialize(deserializer)
    }
}

impl Read for AnyObjective {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        let fields = value.as_object().filter(|fields| fields.len() == 1);
        let mode = fields.and_then(|fields| fields.iter().next());
        let read = mode.and_then(|(mode, which)| {
            let (which, metric) = which.as_object().filter(|which| which.len() == 1)?.iter().next()?;
            let metric = MetricName::from(metric.as_str().filter(|name| !name.is_empty())?);
            let which = match which.as_str() {
                "Best" => At::Best(metric),
                "Last" => At::Last(metric),
                _ => return None,
            };
            match mode.as_str() {
                "maximise" => Some(Objective::Maximise(which)),
                "minimise" => Some(Objective::Minimise(which)),
                _ => None,
            }
        });
        if read.is_none() {
            problems.push(Problem::new(at, "the objective cannot be read").expected(Self::expected(domain)));
        }
        read.map(Self)
    }

    fn expected(_: &Domain) -> String {
        "`Best(\"name of a metric\")` or `Last(\"name of a metric\")`".to_owned()
    }
}

parameters! {
    /// Ends a training when the objective's metric stops improving.
    pub struct EarlyStopping {
        /// The number of epochs without improvement after which the training ends.
        patience: u32 [Domain::Whole(1..=u32::MAX)],
        /// The metric must change by more than this to have improved.
        min_delta: f64 [Domain::NotNegative] = 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objective_against_its_metric_is_said() {
        let said = |objective: Objective| objective.against_its_metric();
        let largest_loss = said(Objective::Maximise(At::Best("valid.loss".into()))).unwrap();
        assert_eq!(
            largest_loss,
            "`maximise` of `valid.loss`, of which smaller values are better: is `minimise` meant?"
        );
        assert!(said(Objective::Minimise(At::Last("valid.fine_accuracy".into()))).is_some());
        assert_eq!(said(Objective::Minimise(At::Best("train.loss".into()))), None);
        assert_eq!(said(Objective::Maximise(At::Best("reward".into()))), None);
        assert_eq!(said(Objective::default()), None);
    }
}
