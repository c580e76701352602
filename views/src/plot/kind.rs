//! The kinds of pictures of a search, and the choice of the columns that they show.

use pipe_engine::study::Study;
use pipe_stages::records::TrainingHistory;
use pipe_store::Store;

use super::{
    Picture, Table, Trim, contour, convergence, curves, declared::Declared, edf, histogram, history, importances,
    parallel, rank, repeats, scatter_matrix, scatter3d, slice, table::PlottedColumn,
};
use crate::{
    ViewError,
    importance::{self, SearchImportances},
    outputs::Outputs,
    trials::TrialRow,
};

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
    Edf,
    Rank,
    Convergence,
}

/// The columns that are shown. Those that are None or empty are chosen by importance.
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

/// The number of hyperparameters in a scatter matrix, parallel coordinates, slices and ranks by default.
const SHOWN: [usize; 4] = [5, 8, 8, 4];

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
    let declared = trials.first().map(|row| Declared::of(store, study, &row.search)).unwrap_or_default();
    let table = Table::new(trials, &choice.trims, declared)?;
    let found = || importance::of_trials(store, study, &table.rows[0].search, &table.rows);
    let chooser = |n: usize| Ok::<_, ViewError>(Chooser { table: &table, importances: found()?, most: n });
    let mut chosen_by = None;
    let mut columns = |n: usize| several(chooser(n)?, choice, &mut chosen_by);
    let mut picture = match kind {
        TrialPicture::History => {
            history::draw(&table.rows, None).ok_or_else(|| ViewError::Nothing("no trial has a result".to_owned()))?
        }
        TrialPicture::Curves => of_curves(store, study, &table.rows, choice)?,
        TrialPicture::Edf => edf::draw(&table).ok_or_else(|| ViewError::Nothing("no trial has a result".to_owned()))?,
        TrialPicture::Convergence => convergence::draw(&table)?,
        TrialPicture::ScatterMatrix => scatter_matrix::draw(&table, &columns(SHOWN[0])?),
        TrialPicture::Parallel => parallel::draw(&table, &columns(SHOWN[1])?),
        TrialPicture::Slice => slice::draw(&table, &columns(SHOWN[2])?)?,
        TrialPicture::Rank => rank::draw(&table, &columns(SHOWN[3])?)?,
        TrialPicture::Contour => {
            let [x, y] = chooser(2)?.chosen([&choice.x, &choice.y], true, &mut chosen_by)?;
            contour::draw(&table, &x, &y)
        }
        TrialPicture::Scatter3d => {
            let [x, y] = chooser(2)?.chosen([&choice.x, &choice.y], true, &mut chosen_by)?;
            let z = table.column(choice.z.as_deref().unwrap_or("value"))?;
            let colour = table.column(choice.colour.as_deref().unwrap_or("value"))?;
            scatter3d::draw(&table, [&x, &y, &z], &colour, choice.turn.unwrap_or(scatter3d::TURN))
        }
        TrialPicture::Histograms => {
            let x = table.column(choice.x.as_deref().unwrap_or("value"))?;
            if (0..table.rows.len()).all(|row| x.number(row).is_none()) {
                return Err(ViewError::Nothing(format!("`{}` has no numbers to count", x.name)));
            }
            let [by] = chooser(1)?.chosen([&choice.colour], false, &mut chosen_by)?;
            histogram::draw(&table, &x, &by)
        }
        TrialPicture::Repeats => repeats::draw(&table)?,
        TrialPicture::Importances => importances::draw(&found()?)?,
    };
    if let Some(said) = chosen_by {
        picture.note = format!("{} {said}", picture.note).trim().to_owned();
    }
    if table.trimmed > 0 {
        let trims: Vec<_> = choice.trims.iter().map(ToString::to_string).collect();
        let said = format!("{} of {} trials are trimmed ({}).", table.trimmed, trials.len(), trims.join("; "));
        picture.note = format!("{} {said}", picture.note).trim().to_owned();
        picture.title = format!("{}; {said}", picture.title);
    }
    Ok(picture)
}

/// Chooses hyperparameters for a picture that has room for only some of them.
struct Chooser<'a> {
    table: &'a Table,
    importances: SearchImportances,
    /// The most hyperparameters that the picture shows.
    most: usize,
}

/// Returns the columns that were asked for, or else as many hyperparameters as there is room for.
fn several(
    chooser: Chooser<'_>,
    choice: &ShownColumns,
    said: &mut Option<String>,
) -> Result<Vec<PlottedColumn>, ViewError> {
    let mut names = choice.columns.clone();
    if names.is_empty() {
        names = chooser.table.varying(&chooser.importances);
        chooser.say(names.len() > chooser.most, said);
        names.truncate(chooser.most);
    }
    if names.is_empty() {
        return Err(nothing_varies());
    }
    names.iter().map(|name| chooser.table.column(name)).collect()
}

impl Chooser<'_> {
    /// Returns the columns called `names`, and for each None the first hyperparameter that is left. Numeric ones are preferred if
    /// `numbers` is set.
    fn chosen<const N: usize>(
        &self,
        names: [&Option<String>; N],
        numbers: bool,
        said: &mut Option<String>,
    ) -> Result<[PlottedColumn; N], ViewError> {
        let mut left = self.table.varying(&self.importances);
        left.retain(|name| !names.iter().any(|chosen| chosen.as_ref() == Some(name)));
        if numbers {
            // A plane needs more than a few distinct values along each axis.
            let is_number = |name: &String| {
                self.table.column(name).is_ok_and(|column| {
                    let numbers = (0..self.table.rows.len()).filter_map(|row| column.number(row));
                    numbers.map(f64::to_bits).collect::<std::collections::BTreeSet<_>>().len() > 4
                })
            };
            left.sort_by_key(|name| !is_number(name));
        }
        let wanted = names.iter().filter(|name| name.is_none()).count();
        self.say(wanted > 0 && left.len() > wanted, said);
        let mut left = left.into_iter();
        let mut found = Vec::new();
        for name in names {
            let name = name.clone().or_else(|| left.next()).ok_or_else(nothing_varies)?;
            found.push(self.table.column(&name)?);
        }
        Ok(found.try_into().unwrap_or_else(|_| unreachable!("a column for each name")))
    }

    /// Says how hyperparameters were chosen, if some had to be.
    fn say(&self, some_left_out: bool, said: &mut Option<String>) {
        if some_left_out {
            *said = Some(match self.importances.too_few() {
                None => "The most important hyperparameters are shown.".to_owned(),
                Some(_) => {
                    "With too few trials for importances, the first hyperparameters by name are shown.".to_owned()
                }
            });
        }
    }
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
