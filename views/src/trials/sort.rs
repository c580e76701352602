//! Sorts trials by a column.

use std::cmp::Ordering;

use pipe_stages::network::training::larger_is_better;
use serde_json::Value;

use super::{Column, TrialRow};
use crate::ViewError;

/// Sorts trials by a column: `value`, `loss`, `index` or another column of a trial, a metric (`end.valid.loss`, or the unique
/// end of its name) or a label. Values go from good to bad: accuracies and F1 fall, everything else rises. A `-` in front of the
/// name reverses the order. Trials without a value come last, and equal ones keep their order.
///
/// # Errors
/// If there is no such column, with the columns that may be meant.
pub fn sort(rows: &mut [TrialRow], by: &str) -> Result<(), ViewError> {
    let (name, reversed) = match by.strip_prefix('-') {
        Some(name) => (name, true),
        None => (by, false),
    };
    let column = Column::find(rows, name)?;
    let falls = matches!(&column, Column::Metric(name) if larger_is_better(name));
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

enum Key {
    Number(f64),
    Text(String),
    None,
}

impl Column {
    fn key(&self, row: &TrialRow) -> Key {
        let number = |x: Option<f64>| x.filter(|x| !x.is_nan()).map_or(Key::None, Key::Number);
        match self.value(row) {
            // Sorted by loss, which is the value or its negative: less is better.
            Some(_) if matches!(self, Self::Own("value")) => {
                number(Some(row.loss_or_worst()).filter(|loss| *loss < f64::INFINITY))
            }
            Some(Value::String(text)) => Key::Text(text),
            Some(Value::Bool(value)) => Key::Text(value.to_string()),
            Some(value) => number(value.as_f64()),
            None => Key::None,
        }
    }
}

impl Key {
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
        testing::{Builder, Trial},
        trials::table,
    };

    fn check(by: &str, expected: [u32; 4]) {
        let trials = [Trial::completed(0.3), Trial::diverged(), Trial::completed(0.5), Trial::completed(0.1)];
        let (store, study) = Builder::new().search("search", &trials).done();
        let mut rows = table(&store, &study).unwrap();
        sort(&mut rows, by).unwrap();
        assert_eq!(rows.iter().map(|row| row.index).collect::<Vec<_>>(), expected, "{by}");
    }

    #[test]
    fn values_go_from_good_to_bad_and_missing_ones_come_last() {
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
    fn an_unknown_column_is_refused_with_a_suggestion() {
        let (store, study) = Builder::new().search("search", &[Trial::completed(0.3)]).done();
        let mut rows = table(&store, &study).unwrap();
        let error = sort(&mut rows, "lr_rate_mul").unwrap_err().to_string();
        assert_eq!(error, "trials have no column `lr_rate_mul`: did you mean `lr_rate_mult`?");
        let error = sort(&mut rows, "lr_").unwrap_err().to_string();
        assert_eq!(error, "trials have no column `lr_`: did you mean `lr_rate_mult`?");
        let Err(ViewError::UnknownColumn { candidates, known, .. }) = sort(&mut rows, "nothing") else { panic!() };
        assert!(candidates.is_empty() && known.iter().any(|name| name == "lr_rate_mult"), "{known:?}");
    }
}
