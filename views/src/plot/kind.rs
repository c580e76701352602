//! The kinds of pictures of a search, and the choice of the columns that they show.

use pipe_engine::study::Study;
use pipe_stages::records::TrainingHistory;
use pipe_store::Store;

use super::{
    Picture, Table, Trim, contour, curves, histogram, history, importances, parallel, repeats, scatter_matrix,
    scatter3d, slice, table::PlottedColumn,
};
use crate::{ViewError, importance, outputs::Outputs, trials::TrialRow};

/// A kind of picture of the trials of one search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialPicture {
    History,
    Curves,
    ScatterMatrix,
    Parallel,
    Slice,
    Contour,
    Scatter3d,
    Histograms,
    Repeats,
    Importances,
}

/// The columns that are shown. Those that are None or empty are chosen by their effect on the objective.
#[derive(Debug, Clone, Default)]
pub struct ShownColumns {
    /// The hyperparameters in pictures of several.
    pub columns: Vec<String>,
    pub x: Option<String>,
    pub y: Option<String>,
    pub z: Option<String>,
    pub colour: Option<String>,
    /// The metric of learning curves. Defaults to the metric that was optimised.
    pub metric: Option<String>,
    pub trims: Vec<Trim>,
    /// The rotation of a cloud about its vertical axis, in degrees.
    pub turn: Option<f64>,
}

/// The number of hyperparameters in a scatter matrix, parallel coordinates and slices by default.
const SHOWN: [usize; 3] = [5, 8, 8];

/// Returns a picture of `trials`, which belong to one search and are ordered by number.
///
/// # Errors
/// If a column does not exist or has no values, or an object cannot be read.
pub fn draw(
    kind: TrialPicture,
    store: &Store,
    study: &Study,
    trials: &[TrialRow],
    choice: &ShownColumns,
) -> Result<Picture, ViewError> {
    let table = Table::new(trials, &choice.trims)?;
    let mut picture = match kind {
        TrialPicture::History => {
            history::draw(&table.rows, None).ok_or_else(|| ViewError::Nothing("no trial has a result".to_owned()))?
        }
        TrialPicture::Curves => of_curves(store, study, &table.rows, choice)?,
        TrialPicture::ScatterMatrix => scatter_matrix::draw(&table, &several(&table, choice, SHOWN[0])?),
        TrialPicture::Parallel => parallel::draw(&table, &several(&table, choice, SHOWN[1])?),
        TrialPicture::Slice => slice::draw(&table, &several(&table, choice, SHOWN[2])?)?,
        TrialPicture::Contour => {
            let [x, y] = chosen(&table, [&choice.x, &choice.y], true)?;
            contour::draw(&table, &x, &y)
        }
        TrialPicture::Scatter3d => {
            let [x, y] = chosen(&table, [&choice.x, &choice.y], true)?;
            let z = table.column(choice.z.as_deref().unwrap_or("value"))?;
            let colour = table.column(choice.colour.as_deref().unwrap_or("value"))?;
            scatter3d::draw(&table, [&x, &y, &z], &colour, choice.turn.unwrap_or(scatter3d::TURN))
        }
        TrialPicture::Histograms => {
            let x = table.column(choice.x.as_deref().unwrap_or("value"))?;
            if (0..table.rows.len()).all(|row| x.number(row).is_none()) {
                return Err(ViewError::Nothing(format!("`{}` has no numbers to count", x.name)));
            }
            let [by] = chosen(&table, [&choice.colour], false)?;
            histogram::draw(&table, &x, &by)
        }
        TrialPicture::Repeats => repeats::draw(&table)?,
        TrialPicture::Importances => {
            let search = &table.rows[0].search;
            importances::draw(&importance::of_trials(store, study, search, &table.rows)?)?
        }
    };
    if table.trimmed > 0 {
        let trims: Vec<_> = choice.trims.iter().map(ToString::to_string).collect();
        let said = format!("{} of {} trials are trimmed ({}).", table.trimmed, trials.len(), trims.join("; "));
        picture.note = format!("{} {said}", picture.note).trim().to_owned();
        picture.title = format!("{}; {said}", picture.title);
    }
    Ok(picture)
}

/// Returns the chosen columns, or else the `n` hyperparameters with the most effect.
fn several(table: &Table, choice: &ShownColumns, n: usize) -> Result<Vec<PlottedColumn>, ViewError> {
    let names = if choice.columns.is_empty() { table.labels_by_effect(n) } else { choice.columns.clone() };
    if names.is_empty() {
        return Err(nothing_varies());
    }
    names.iter().map(|name| table.column(name)).collect()
}

/// Returns the columns called `names`. For each None it takes the hyperparameter with the most effect that is left, and prefers
/// numeric ones if `numbers` is set.
fn chosen<const N: usize>(
    table: &Table,
    names: [&Option<String>; N],
    numbers: bool,
) -> Result<[PlottedColumn; N], ViewError> {
    let mut by_effect = table.labels_by_effect(usize::MAX);
    by_effect.retain(|name| !names.iter().any(|chosen| chosen.as_ref() == Some(name)));
    if numbers {
        // A plane needs more than a few distinct values along each axis.
        let is_number = |name: &String| {
            table.column(name).is_ok_and(|column| {
                let numbers = (0..table.rows.len()).filter_map(|row| column.number(row));
                numbers.map(f64::to_bits).collect::<std::collections::BTreeSet<_>>().len() > 4
            })
        };
        by_effect.sort_by_key(|name| !is_number(name));
    }
    let mut by_effect = by_effect.into_iter();
    let mut found = Vec::new();
    for name in names {
        let name = name.clone().or_else(|| by_effect.next()).ok_or_else(nothing_varies)?;
        found.push(table.column(&name)?);
    }
    Ok(found.try_into().unwrap_or_else(|_| unreachable!("a column for each name")))
}

fn nothing_varies() -> ViewError {
    ViewError::Nothing("too few hyperparameters differ between these trials".to_owned())
}

fn of_curves(store: &Store, study: &Study, trials: &[TrialRow], choice: &ShownColumns) -> Result<Picture, ViewError> {
    let metric = choice.metric.as_deref().or_else(|| trials.iter().find_map(|row| row.metric.as_deref()));
    let metric = metric.unwrap_or("valid.loss");
    let histories = histories(store, study, trials)?;
    curves::of_trials(metric, &histories).ok_or_else(|| {
        let known = histories.iter().flat_map(|(_, history)| &history.metrics).map(String::as_str);
        let known: std::collections::BTreeSet<_> = known.collect();
        let known: Vec<_> = known.into_iter().collect();
        ViewError::Nothing(format!("no training has a curve of `{metric}`; there are {}", known.join(", ")))
    })
}

/// Returns the histories of the first [`curves::CURVES`] trials and of the best one.
pub(crate) fn histories<'a>(
    store: &Store,
    study: &Study,
    trials: &'a [TrialRow],
) -> Result<Vec<(&'a TrialRow, TrainingHistory)>, ViewError> {
    let (best, others): (Vec<_>, Vec<_>) = trials.iter().partition(|row| row.best);
    let mut histories = Vec::new();
    for row in others.into_iter().take(curves::CURVES).chain(best) {
        let outputs = Outputs::of(store, &row.node, &study.nodes[&row.node])?;
        if let Some(history) = outputs.map(|outputs| outputs.history()).transpose()?.flatten() {
            histories.push((row, history));
        }
    }
    Ok(histories)
}
