//! Puts trials in order of one of their columns.

use std::cmp::Ordering;

use serde_json::Value;

use super::{TrialRow, label_names, metric_names};
use crate::{pipeline::problem::closest, view::ViewError};

/// Columns that every trial has.
const COLUMNS: [&str; 9] =
    ["index", "trial", "status", "value", "objective", "loss", "best_epoch", "epochs", "parameters"];

/// Sorts trials by a column: one of a trial's own (`value`, `loss`, `index`, `parameters` ..), a figure
/// (`end.valid.loss`, or the end of its name where that is unique) or a label. Figures go from good to bad: accuracies
/// fall, all else rises; `-` in front reverses that. What has no value comes last; equals stay in their order.
///
/// # Errors
/// If there is no such column: with those that are meant perhaps.
pub fn sort(rows: &mut [TrialRow], by: &str) -> Result<(), ViewError> {
    let (name, reversed) = match by.strip_prefix('-') {
        Some(name) => (name, true),
        None => (by, false),
    };
    // As the table and the CSV head their columns.
    let name = match name.strip_prefix("label.").unwrap_or(name) {
        "epoch" | "best epoch" => "best_epoch",
        name => name,
    };
    let column = find(rows, name)?;
    let falls = matches!(&column, Column::Metric(name) if name.contains("accuracy"));
    rows.sort_by(|a, b| {
        let (a, b) = (column.key(a), column.key(b));
        match (&a, &b) {
            (Key::None, _) | (_, Key::None) => a.rank().cmp(&b.rank()),
            _ if falls != reversed => b.compare(&a),
            _ => a.compare(&b),
        }
    });
    Ok(())
}

enum Column {
    Own(&'static str),
    Metric(String),
    Label(String),
}

fn find(rows: &[TrialRow], name: &str) -> Result<Column, ViewError> {
    if let Some(own) = COLUMNS.into_iter().find(|column| *column == name) {
        return Ok(Column::Own(own));
    }
    if rows.iter().any(|row| row.metric.as_deref() == Some(name)) {
        return Ok(Column::Own("value"));
    }
    let (labels, metrics) = (label_names(rows), metric_names(rows));
    if labels.iter().any(|label| label == name) {
        return Ok(Column::Label(name.to_owned()));
    }
    let ends_so =
        |metric: &&String| *metric == name || metric.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
    let of_that_end: Vec<_> = metrics.iter().filter(ends_so).cloned().collect();
    match of_that_end.as_slice() {
        [metric] => Ok(Column::Metric(metric.clone())),
        [] => {
            let known = COLUMNS.into_iter().chain(labels.iter().chain(&metrics).map(String::as_str));
            let candidates = closest(name, known).map(str::to_owned).into_iter().collect();
            Err(ViewError::UnknownColumn { name: name.to_owned(), candidates })
        }
        several => match several.iter().find(|metric| *metric == name) {
            Some(exact) => Ok(Column::Metric(exact.clone())),
            None => Err(ViewError::UnknownColumn { name: name.to_owned(), candidates: of_that_end }),
        },
    }
}

enum Key<'a> {
    Number(f64),
    Text(&'a str),
    None,
}

impl Column {
    fn key<'a>(&self, row: &'a TrialRow) -> Key<'a> {
        let number = |x: Option<f64>| x.filter(|x| !x.is_nan()).map_or(Key::None, Key::Number);
        let count = |n: Option<u64>| number(n.map(|n| n as f64));
        match self {
            Self::Own("index" | "trial") => Key::Number(row.index.into()),
            Self::Own("status") => Key::Text(&row.status),
            // The loss is the objective with the sign that makes less better.
            Self::Own("value" | "objective") => number(Some(row.loss_or_worst()).filter(|loss| *loss < f64::INFINITY)),
            Self::Own("loss") => number(row.loss.map(|loss| loss.0)),
            Self::Own("best_epoch") => count(row.best_epoch),
            Self::Own("epochs") => count(row.epochs),
            Self::Own(_) => count(row.parameters),
            Self::Metric(name) => number(row.metrics.get(name).map(|x| x.0)),
            Self::Label(name) => match row.labels.get(name) {
                Some(Value::String(text)) => Key::Text(text),
                Some(Value::Bool(value)) => Key::Text(if *value { "true" } else { "false" }),
                Some(value) => number(value.as_f64()),
                None => Key::None,
            },
        }
    }
}

impl Key<'_> {
    fn rank(&self) -> u8 {
        match self {
            Self::Number(_) => 0,
            Self::Text(_) => 1,
            Self::None => 2,
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        trials::table,
        view::testing::{Builder, Trial},
    };

    fn check(by: &str, expected: [u32; 4]) {
        let trials = [Trial::completed(0.3), Trial::diverged(), Trial::completed(0.5), Trial::completed(0.1)];
        let (store, study) = Builder::new().search("search", &trials).done();
        let mut rows = table(&store, &study).unwrap();
        sort(&mut rows, by).unwrap();
        assert_eq!(rows.iter().map(|row| row.index).collect::<Vec<_>>(), expected, "{by}");
    }

    #[test]
    fn figures_go_from_good_to_bad_and_what_has_none_comes_last() {
        check("value", [2, 0, 3, 1]);
        check("valid.fine_accuracy", [2, 0, 3, 1]);
        check("-value", [3, 0, 2, 1]);
        check("best.valid.fine_accuracy", [2, 0, 3, 1]);
        check("index", [0, 1, 2, 3]);
        check("-index", [3, 2, 1, 0]);
    }

    #[test]
    fn labels_are_columns() {
        check("lr_rate_mult", [0, 1, 2, 3]);
        check("-lr_rate_mult", [3, 2, 1, 0]);
    }

    #[test]
    fn an_unknown_column_is_refused_with_what_is_meant() {
        let (store, study) = Builder::new().search("search", &[Trial::completed(0.3)]).done();
        let mut rows = table(&store, &study).unwrap();
        let error = sort(&mut rows, "lr_rate_mul").unwrap_err().to_string();
        assert_eq!(error, "trials have no column `lr_rate_mul`: did you mean `lr_rate_mult`?");
    }
}
