//! What hyperparameters have to do with what came of the trials: the pictures of `pipe plot`.

use maud::{Markup, html};

use super::page::{Page, figure, heading};
use crate::{
    ViewError,
    plot::{self, Choice, TrialPicture},
    trials::TrialRow,
};

/// Trials with results from which on there is something to compare.
const FROM: usize = 4;

/// The pictures, with what each shows.
const SHOWN: [(TrialPicture, &str); 8] = [
    (TrialPicture::Repeats, "Configurations that were tried more than once."),
    (
        TrialPicture::Importances,
        "How much each hyperparameter mattered for being among the best tenth of the trials (PED-ANOVA).",
    ),
    (TrialPicture::ScatterMatrix, "The most telling hyperparameters against each other and against the objective."),
    (TrialPicture::Parallel, "A line per trial through its hyperparameters to the objective."),
    (TrialPicture::Slice, "The objective against each hyperparameter on its own."),
    (TrialPicture::Contour, "The objective over the two most telling hyperparameters."),
    (TrialPicture::Scatter3d, "The two most telling hyperparameters on the floor, the objective upwards."),
    (TrialPicture::Histograms, "How often trials reached which objective, by the most telling hyperparameter."),
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
                "Telling is what separates good trials from bad ones by rank (epsilon squared of Kruskal and Wallis's test, over quarters of the numbers). "
                code { "pipe plot" } " draws these pictures of other columns, and with levels trimmed."
            }
            @for part in parts { (part) }
        }
    }))
}

fn of_search(page: &Page<'_>, trials: &[TrialRow]) -> Result<Vec<Markup>, ViewError> {
    let mut figures = Vec::new();
    for (kind, caption) in SHOWN {
        match plot::draw(kind, page.store, &page.found.study, trials, &Choice::default()) {
            Ok(picture) => figures.push(figure(&picture, caption)),
            // A search in one hyperparameter has no plane, and most have no repeats.
            Err(ViewError::Nothing(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(figures)
}
