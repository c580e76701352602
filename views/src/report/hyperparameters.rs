//! How hyperparameters relate to the results of trials: the pictures of `pipe plot`.

use maud::{Markup, html};

use super::page::{Page, figure, heading};
use crate::{
    ViewError, importance,
    plot::{self, ShownColumns, TrialPicture},
    trials::TrialRow,
};

/// The least number of ranked trials for which the section is shown.
const FROM: usize = 4;

/// The pictures with their captions.
const SHOWN: [(TrialPicture, &str); 9] = [
    (TrialPicture::Repeats, "Configurations that were tried more than once."),
    (
        TrialPicture::Importances,
        "How much each hyperparameter mattered for being among the best tenth of the trials (PED-ANOVA).",
    ),
    (TrialPicture::ScatterMatrix, "Hyperparameters against each other and against the objective."),
    (TrialPicture::Rank, "Pairs of hyperparameters, with trials marked by their rank."),
    (TrialPicture::Parallel, "Each line is a trial: it goes through its hyperparameters to the objective."),
    (TrialPicture::Slice, "The objective against each hyperparameter on its own."),
    (TrialPicture::Contour, "The objective over two hyperparameters."),
    (TrialPicture::Scatter3d, "The objective as height over two hyperparameters."),
    (TrialPicture::Histograms, "The distribution of the objective for each level of a hyperparameter."),
];

pub(super) fn section(page: &Page<'_>) -> Result<Option<Markup>, ViewError> {
    let several = page.searches().count() > 1;
    let (mut parts, mut ranked) = (Vec::new(), false);
    for trials in page.searches().filter(|trials| trials.iter().filter(|row| row.is_ranked()).count() >= FROM) {
        let figures = of_search(page, trials)?;
        let importances = importance::of_trials(page.store, &page.found.study, &trials[0].search, trials)?;
        let why = importances.too_few();
        ranked |= why.is_none();
        parts.push(html! {
            (heading(several, &trials[0].search))
            @if let Some(why) = &why {
                p { "No importances: " (why) ". So nothing is ranked here, and the hyperparameters are in the order of their names." }
            }
            @for figure in figures { (figure) }
        });
    }
    Ok((!parts.is_empty()).then(|| {
        html! {
            p.quiet {
                @if ranked { "The most important hyperparameters come first, by PED-ANOVA. " }
                code { "pipe plot" } " draws these pictures for other columns, and can leave out trials."
            }
            @for part in parts { (part) }
        }
    }))
}

fn of_search(page: &Page<'_>, trials: &[TrialRow]) -> Result<Vec<Markup>, ViewError> {
    let mut figures = Vec::new();
    for (kind, caption) in SHOWN {
        match plot::draw(kind, page.store, &page.found.study, trials, &ShownColumns::default()) {
            Ok(picture) => figures.push(figure(&picture, caption)),
            // With one hyperparameter there is no contour, and most searches have no repeats.
            Err(ViewError::Nothing(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(figures)
}
