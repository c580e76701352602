//! What makes a training good, and when it is good enough.

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::{
    choices, parameters,
    params::{Domain, Read},
    problem::{Path, Problem},
};

choices! {
    /// Which way a metric is better.
    pub enum Objective {
        /// The more, the better.
        Maximise(At) = "maximise",
        /// The less, the better.
        Minimise(At) = "minimise",
    }
}

impl Default for Objective {
    fn default() -> Self {
        Self::Maximise(At::Best("valid.accuracy".into()))
    }
}

impl Objective {
    /// Returns the metric's name.
    pub fn metric(&self) -> &str {
        let (Self::Maximise(at) | Self::Minimise(at)) = self;
        let (At::Best(metric) | At::Last(metric)) = at;
        &metric.0
    }

    /// Returns `value` as a loss to be minimised.
    pub fn loss(&self, value: f64) -> f64 {
        if matches!(self, Self::Maximise(_)) { -value } else { value }
    }

    /// Returns whether the last epoch counts rather than the best.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Maximise(At::Last(_)) | Self::Minimise(At::Last(_)))
    }
}

choices! {
    /// The epoch that counts, and the metric.
    #[derive(Eq)]
    pub enum At {
        /// The epoch where it is best; the first of equals.
        Best(MetricName),
        /// The last epoch.
        Last(MetricName),
    }
}

/// The name of a metric: `valid.` or `train.` with `loss`, `accuracy` (of the first head), `<head>_loss` or `<head>_accuracy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricName(String);

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
        let is_metric = value.as_str().and_then(figure).is_some_and(|figure| {
            figure == "loss" || figure == "accuracy" || figure.ends_with("_loss") || figure.ends_with("_accuracy")
        });
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
        "`valid.` or `train.` with `loss`, `accuracy`, `<head>_loss` or `<head>_accuracy`".to_owned()
    }
}

parameters! {
    /// Stops a training whose objective's metric does not become better.
    pub struct EarlyStopping {
        /// Epochs without improvement after which to stop.
        patience: u32 [Domain::Whole(1..=u32::MAX)],
        /// Only a change by more than this is an improvement.
        min_delta: f64 [Domain::NotNegative] = 0.0,
    }
}
