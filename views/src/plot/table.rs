//! The trials of one search, and their columns for pictures.

use std::{fmt, str::FromStr};

use serde_json::Value;

use super::{
    axis::{ColumnAxis, Scaling},
    declared::Declared,
};
use crate::{
    ViewError,
    importance::SearchImportances,
    text::cell,
    trials::{Column, TrialRow, label_names},
};

/// The approximate number of ticks of an axis.
const TICKS: f64 = 5.0;

/// The name of a column of ranks, where 1 is the best.
pub(super) const RANK: &str = "rank";

/// The trials of one search, without those that are trimmed.
pub(crate) struct Table {
    pub(crate) rows: Vec<TrialRow>,
    /// The column of the metric that was optimised.
    pub(crate) objective: PlottedColumn,
    /// Whether larger values of the objective are better.
    pub(crate) rises: bool,
    /// The number of trials that were trimmed.
    pub(crate) trimmed: usize,
    /// What the search declares.
    pub(crate) declared: Declared,
}

/// A column with its axis, and the value of each trial that has one.
pub(crate) struct PlottedColumn {
    pub(crate) name: String,
    /// The name with its unit.
    pub(crate) title: String,
    pub(crate) axis: ColumnAxis,
    pub(crate) values: Vec<Option<Value>>,
}

impl PlottedColumn {
    /// Returns the position of a trial on the axis, from 0 to 1.
    pub(crate) fn at(&self, row: usize) -> Option<f64> {
        self.values[row].as_ref().and_then(|value| self.axis.at(value))
    }

    /// Returns the value of a trial if it is a number.
    pub(crate) fn number(&self, row: usize) -> Option<f64> {
        self.values[row].as_ref().and_then(Value::as_f64)
    }
}

/// A rule that leaves out trials whose value in a column is one of these levels, or lies in a range of numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Trim {
    pub column: String,
    pub levels: Vec<String>,
}

impl FromStr for Trim {
    type Err = String;

    /// Reads `COLUMN=LEVEL[,LEVEL]`. A level can be a range of numbers that includes both ends, `0.005..0.1`.
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected COLUMN=LEVEL[,LEVEL], such as `learning_rate=0.01` or `batch_size=16..32`";
        let (column, levels) = text.split_once('=').ok_or(expected)?;
        let levels: Vec<_> = levels.split(',').map(|level| level.trim().to_owned()).collect();
        if column.trim().is_empty() || levels.iter().any(String::is_empty) {
            return Err(expected.to_owned());
        }
        Ok(Self { column: column.trim().to_owned(), levels })
    }
}

impl fmt::Display for Trim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.column, self.levels.join(","))
    }
}

impl Trim {
    fn takes(&self, column: &Column, row: &TrialRow) -> bool {
        let value = match column {
            Column::Label(_) => Some(column.value(row).unwrap_or(Value::Null)),
            _ => column.value(row),
        };
        let Some(value) = value else { return false };
        self.levels.iter().any(|level| {
            let range = level
                .split_once("..")
                .and_then(|(low, high)| Some((low.parse::<f64>().ok()?, high.parse::<f64>().ok()?)));
            match (range, level.parse::<f64>(), value.as_f64()) {
                (Some((low, high)), _, Some(number)) => (low..=high).contains(&number),
                (None, Ok(level), Some(number)) => level == number,
                _ => cell(&value) == *level,
            }
        })
    }
}

impl Table {
    /// Returns the table of the trials `rows`, which belong to one search, without those that `trims` leave out.
    ///
    /// # Errors
    /// If there is no such column, or no trial with a result is left.
    pub(crate) fn new(rows: &[TrialRow], trims: &[Trim], declared: Declared) -> Result<Self, ViewError> {
        let columns = trims.iter().map(|trim| Ok((trim, Column::find(rows, &trim.column)?)));
        let columns = columns.collect::<Result<Vec<_>, ViewError>>()?;
        let stays = |row: &&TrialRow| !columns.iter().any(|(trim, column)| trim.takes(column, row));
        let kept: Vec<TrialRow> = rows.iter().filter(stays).cloned().collect();
        let metric = kept.iter().find_map(|row| row.metric.clone());
        let name = metric.unwrap_or_else(|| "loss".to_owned());
        // The loss is the value, or its negative if larger values are better.
        let rises = kept.iter().filter(|row| row.is_ranked()).any(|row| row.value.is_some() && row.value != row.loss);
        let values = kept.iter().map(|row| Column::Own("value").value(row).filter(|_| row.is_ranked()));
        let objective = drawn(&name, values.collect(), Scaling::Linear);
        let objective = objective.ok_or_else(|| ViewError::Nothing("no trial with a result is left".to_owned()))?;
        Ok(Self { trimmed: rows.len() - kept.len(), rows: kept, objective, rises, declared })
    }

    /// Returns the column called `name`.
    ///
    /// # Errors
    /// If there is no such column, or no trial has a value in it.
    pub(crate) fn column(&self, name: &str) -> Result<PlottedColumn, ViewError> {
        let column = Column::find(&self.rows, name)?;
        if column == Column::Own("value") {
            return Ok(PlottedColumn { axis: self.objective.axis.clone(), ..self.objective_again() });
        }
        let is_label = matches!(column, Column::Label(_));
        // An inactive hyperparameter is shown as `none`.
        let value = |row| column.value(row).or(is_label.then_some(Value::Null));
        let values = self.rows.iter().map(value).collect();
        let scaling = if is_label { self.declared.scaling(column.name()) } else { Scaling::Linear };
        drawn(column.name(), values, scaling)
            .ok_or_else(|| ViewError::Nothing(format!("no trial has a value in the column `{name}`")))
    }

    fn objective_again(&self) -> PlottedColumn {
        let PlottedColumn { name, title, axis, values } = &self.objective;
        PlottedColumn { name: name.clone(), title: title.clone(), axis: axis.clone(), values: values.clone() }
    }

    /// Returns the index of the best trial.
    pub(crate) fn best(&self) -> Option<usize> {
        let ranked = (0..self.rows.len()).filter(|row| self.rows[*row].is_ranked());
        ranked.min_by(|a, b| self.rows[*a].loss_or_worst().total_cmp(&self.rows[*b].loss_or_worst()))
    }

    /// Returns the hyperparameters that vary: the most important first, or by name if there are too few trials for importances. Of
    /// several that group the trials alike, such as a choice and a hyperparameter within it, only the first is returned.
    pub(crate) fn varying(&self, importances: &SearchImportances) -> Vec<String> {
        let mut names: Vec<String> = label_names(&self.rows).into_iter().collect();
        let rank = |name: &String| importances.labels.iter().position(|found| found.label == *name);
        names.sort_by_key(|name| rank(name).unwrap_or(usize::MAX));
        let mut groupings: Vec<Vec<usize>> = Vec::new();
        names.retain(|name| {
            let groups = self.groups(&Column::Label(name.clone()));
            let is_new =
                groups.iter().max() > groups.iter().min() && !groupings.iter().any(|other| are_alike(other, &groups));
            if is_new {
                groupings.push(groups);
            }
            is_new
        });
        names
    }

    /// Returns the group of each trial: its level, or its quartile if there are many numbers.
    fn groups(&self, column: &Column) -> Vec<usize> {
        const QUARTERS: usize = 4;
        let values: Vec<Value> = self.rows.iter().map(|row| column.value(row).unwrap_or(Value::Null)).collect();
        let mut numbers: Vec<f64> = values.iter().filter_map(Value::as_f64).collect();
        numbers.sort_by(f64::total_cmp);
        let mut distinct: Vec<String> = values.iter().map(cell).collect();
        distinct.sort();
        distinct.dedup();
        let group = |value: &Value| match value.as_f64() {
            Some(number) if distinct.len() > QUARTERS + 1 => {
                1 + numbers.partition_point(|other| *other < number) * QUARTERS / numbers.len()
            }
            None if value.is_null() => 0,
            _ => 1 + distinct.iter().position(|level| *level == cell(value)).expect("it is one of them"),
        };
        values.iter().map(group).collect()
    }
}

fn drawn(name: &str, values: Vec<Option<Value>>, scaling: Scaling) -> Option<PlottedColumn> {
    let axis = ColumnAxis::new(values.iter().flatten(), TICKS, scaling)?;
    Some(PlottedColumn { name: name.to_owned(), title: titled(name), axis, values })
}

/// Returns the name of a column with its unit: `valid.fine_accuracy (share of images)`.
pub(crate) fn titled(metric: &str) -> String {
    let unit = match metric {
        accuracy if accuracy.ends_with("accuracy") => "share of images",
        head if head.contains('.') && head.ends_with("_loss") => "nats",
        whole if whole.ends_with(".loss") => "nats, with penalties",
        "parameters" => "count",
        "trial" => "number",
        "batch_size" => "images",
        "epochs" | "best_epoch" => "epoch",
        _ => return metric.to_owned(),
    };
    format!("{metric} ({unit})")
}

/// Returns whether two numberings of groups divide the trials in the same way.
fn are_alike(a: &[usize], b: &[usize]) -> bool {
    let pairs: std::collections::BTreeSet<_> = a.iter().zip(b).collect();
    let distinct = |groups: &[usize]| groups.iter().collect::<std::collections::BTreeSet<_>>().len();
    pairs.len() == distinct(a) && pairs.len() == distinct(b)
}

#[cfg(test)]
mod tests {
    use pipe_stages::search::Importance;

    use super::*;
    use crate::{
        testing::{Builder, Trial},
        trials,
    };

    fn rows() -> Vec<TrialRow> {
        let trials = [0.3, 0.1, 0.5, 0.2, 0.6].map(Trial::completed);
        let (store, study) = Builder::new().search("search", &trials).done();
        trials::table(&store, &study).unwrap()
    }

    fn left(trim: &str) -> Vec<u32> {
        Table::new(&rows(), &[trim.parse().unwrap()], Declared::default())
            .unwrap()
            .rows
            .iter()
            .map(|row| row.index)
            .collect()
    }

    #[test]
    fn trimmed_levels_are_left_out() {
        assert_eq!(left("activation=elu"), [0, 2, 4]);
        assert_eq!(left("lr_rate_mult=1,1.5"), [1, 3, 4]);
        assert_eq!(left("value=0.0..0.25"), [0, 2, 4]);
        assert!(Table::new(&rows(), &["activation=elu,relu".parse().unwrap()], Declared::default()).is_err());
        assert!(Table::new(&rows(), &["activatio=elu".parse().unwrap()], Declared::default()).is_err());
        assert!("activation".parse::<Trim>().is_err() && "=x".parse::<Trim>().is_err());
    }

    #[test]
    fn hyperparameters_are_ordered_by_importance_if_there_is_one() {
        let table = Table::new(&rows(), &[], Declared::default()).unwrap();
        let importance = |label: &str, importance| Importance { label: label.into(), importance, trials: 5, best: 2 };
        let mut found = SearchImportances { search: "search".into(), scored: 5, trials: 5, labels: Vec::new() };
        assert_eq!(table.varying(&found), ["activation", "lr_rate_mult"]);
        found.labels = vec![importance("lr_rate_mult", 0.3), importance("activation", 0.1)];
        assert_eq!(table.varying(&found), ["lr_rate_mult", "activation"]);
        assert_eq!((table.best(), table.rises), (Some(4), true));
        assert_eq!(table.objective.title, "valid.fine_accuracy (share of images)");
    }

    #[test]
    fn groups_are_alike_whatever_their_numbers() {
        assert!(are_alike(&[0, 1, 1, 2], &[5, 3, 3, 4]));
        assert!(!are_alike(&[0, 1, 1, 2], &[5, 3, 4, 4]) && !are_alike(&[0, 0], &[0, 1]));
    }
}
