//! A column of the table of trials.

use pipe_stages::words::closest;
use serde_json::{Number, Value};

use super::{OWN, TrialRow, label_names, metric_names};
use crate::ViewError;

/// A column of the table of trials, found by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Column {
    /// A column that every trial has, one of [`OWN`].
    Own(&'static str),
    /// A metric: `end.valid.loss`.
    Metric(String),
    /// A hyperparameter.
    Label(String),
}

impl Column {
    /// Returns the column called `name`: one of [`OWN`], the metric that was optimised, a label, a metric, or the unique end
    /// of the name of a metric. The same names are used in the table and in the CSV.
    ///
    /// # Errors
    /// If there is no such column, with the columns that may be meant.
    pub(crate) fn find(rows: &[TrialRow], name: &str) -> Result<Self, ViewError> {
        let name = match name.strip_prefix("label.").unwrap_or(name) {
            "epoch" | "best epoch" => "best_epoch",
            "index" => "trial",
            "objective" => "value",
            name => name,
        };
        if let Some(own) = OWN.into_iter().find(|column| *column == name) {
            return Ok(Self::Own(own));
        }
        if rows.iter().any(|row| row.metric.as_deref() == Some(name)) {
            return Ok(Self::Own("value"));
        }
        let (labels, metrics) = (label_names(rows), metric_names(rows));
        if labels.iter().any(|label| label == name) {
            return Ok(Self::Label(name.to_owned()));
        }
        let ends_so =
            |metric: &&String| *metric == name || metric.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
        let of_that_end: Vec<_> = metrics.iter().filter(ends_so).cloned().collect();
        match of_that_end.as_slice() {
            [metric] => Ok(Self::Metric(metric.clone())),
            [] => {
                let known = OWN.into_iter().chain(labels.iter().chain(&metrics).map(String::as_str));
                let known: Vec<_> = known.map(str::to_owned).collect();
                let begin_so = || known.iter().filter(|known| known.starts_with(name)).take(3).cloned();
                let candidates: Vec<_> =
                    closest(name, known.iter().map(String::as_str)).map(str::to_owned).into_iter().collect();
                let candidates = if candidates.is_empty() { begin_so().collect() } else { candidates };
                Err(ViewError::UnknownColumn { name: name.to_owned(), candidates, known })
            }
            several => match several.iter().find(|metric| *metric == name) {
                Some(exact) => Ok(Self::Metric(exact.clone())),
                None => {
                    Err(ViewError::UnknownColumn { name: name.to_owned(), candidates: of_that_end, known: Vec::new() })
                }
            },
        }
    }

    /// Returns the column's name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Own(name) => name,
            Self::Metric(name) | Self::Label(name) => name,
        }
    }

    /// Returns the value of a trial: `null` for a hyperparameter that is `None`. Returns None if the trial has no value or the
    /// number is not finite.
    pub(crate) fn value(&self, row: &TrialRow) -> Option<Value> {
        let float = |x: Option<f64>| x.and_then(Number::from_f64).map(Value::Number);
        let count = |n: Option<u64>| n.map(Value::from);
        match self {
            Self::Own("trial") => Some(row.index.into()),
            Self::Own("status") => Some(row.status.as_str().into()),
            Self::Own("value") => float(row.value.or(row.loss).map(|x| x.0)),
            Self::Own("loss") => float(row.loss.map(|loss| loss.0)),
            Self::Own("by") => row.by.as_deref().map(Value::from),
            Self::Own("best_epoch") => count(row.best_epoch),
            Self::Own("epochs") => count(row.epochs),
            Self::Own(_) => count(row.parameters),
            Self::Metric(name) => float(row.metrics.get(name).map(|x| x.0)),
            Self::Label(name) => row.labels.get(name).cloned(),
        }
    }
}
