//! How hyperparameters relate to the results of trials: the pictures of `pipe plot`.

use maud::{Markup, html};

use super::page::{Page, figure, heading};
use crate::{
    ViewError,
    plot::{self, ShownColumns, TrialPicture},
    trials::TrialRow,
};

/// The least number of ranked trials for which the section is shown.
const FROM: usize = 4;

/// The pictures with their captions.
const SHOWN: [(TrialPicture, &str); 8] = [
    (TrialPicture::Repeats, "Configurations that were tried more than once."),
    (
        TrialPicture::Importances,
        "How much each hyperparameter mattered for being among the best tenth of the trials (PED-ANOVA).",
    ),
    (
        TrialPicture::ScatterMatrix,
        "The hyperparameters that matter most, against each other and against the objective.",
    ),
    (TrialPicture::Parallel, "Each line is a trial: it goes through its hyperparameters to the objective."),
    (TrialPicture::Slice, "The objective against each hyperparameter on its own."),
    (TrialPicture::Contour, "The objective over the two hyperparameters that matter most."),
    (TrialPicture::Scatter3d, "The objective as height over the two hyperparameters that matter most."),
    (
        TrialPicture::Histograms,
        "The distribution of the objective for each level of the hyperparameter that matters most.",
    ),
];

pub(super) fn section(page: &Page<'_>) -> Result<Option<Markup>, ViewError> {
    let several = page.searches().count() > 1;
    let mut parts = Vec::new();
    for trials in page.searches().filter(|trials| trials.iter().filter(|row| row.is_ranked()).count() >= FROM) {
        let figures = of_search(page, trials)?;
        parts.push(html! {
            (heading(several, &trials[0].search))
            @for figure in figures { (figure) }
        });
    }
    Ok((!parts.is_empty()).then(|| {
        html! {
            p.quiet {
                "Apart from the importances, a hyperparameter matters if it separates good trials from bad ones by rank (epsilon squared of the Kruskal-Wallis test over quartiles of its values). "
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
