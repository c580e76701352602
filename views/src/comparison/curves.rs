//! Learning curves of both studies in one chart, and the progress of their searches.

use maud::{Markup, html};
use pipe_stages::{StageName, network::training::larger_is_better, records::TrainingHistory};

use super::sides::{Comparison, Paired, pairs};
use crate::{
    ViewError,
    outputs::Outputs,
    plot::{Table, overlay},
    report::page::{Page, figure},
    trials::TrialRow,
};

/// Returns the curves of the trainings that are not trials, and of the best trials.
pub(super) fn trainings(comparison: &Comparison<'_>) -> Result<Option<Markup>, ViewError> {
    let [a, b] = &comparison.sides;
    let parts: Vec<Markup> = pairs([histories(a)?, histories(b)?]).iter().filter_map(training).collect();
    Ok((!parts.is_empty()).then(|| {
        html! {
            p.quiet { "A is solid and blue, B is dashed and orange. Thin lines are of the training split." }
            @for part in parts { (part) }
        }
    }))
}

/// Returns the histories of a study by name: those of its trainings, then those of the best trials.
fn histories(page: &Page<'_>) -> Result<Vec<(String, TrainingHistory)>, ViewError> {
    let trainings = page.nodes(StageName::Train).chain(page.nodes(StageName::Command));
    let trainings = trainings.map(|(name, node)| (name.clone(), name, node));
    let best = page.trials.iter().filter(|row| row.best);
    let best = best.map(|row| (format!("best trial of {}", row.search), &row.node, &page.found.study.nodes[&row.node]));
    let mut found = Vec::new();
    for (title, name, node) in trainings.chain(best) {
        let history = Outputs::of(page.store, name, node)?.map(|outputs| outputs.history()).transpose()?.flatten();
        found.extend(history.map(|history| (title, history)));
    }
    Ok(found)
}

fn training(Paired { title, both }: &Paired<TrainingHistory>) -> Option<Markup> {
    let metrics = both.iter().flatten().flat_map(|history| &history.metrics);
    let mut figures: Vec<&str> = Vec::new();
    for figure in metrics.filter_map(|metric| metric.strip_prefix("valid.").or_else(|| metric.strip_prefix("train."))) {
        if (figure == "loss" || larger_is_better(figure)) && !figures.contains(&figure) {
            figures.push(figure);
        }
    }
    let both = [both[0].as_ref(), both[1].as_ref()];
    let charts: Vec<Markup> = figures
        .into_iter()
        .filter_map(|of| Some(figure(&overlay::of_trainings(title, of, both)?, &format!("{of} after each epoch."))))
        .collect();
    (!charts.is_empty()).then(|| {
        html! {
            h3 { (title) }
            @match both {
                [Some(_), None] => p.quiet { "Only A has it." },
                [None, Some(_)] => p.quiet { "Only B has it." },
                _ => {}
            }
            div.charts { @for chart in charts { (chart) } }
        }
    })
}

/// Returns the progress of the searches.
pub(super) fn searches(comparison: &Comparison<'_>) -> Result<Option<Markup>, ViewError> {
    let [a, b] = &comparison.sides;
    let of = |page: &Page<'_>| page.searches().map(|rows| (rows[0].search.clone(), rows.to_vec())).collect();
    let mut parts = Vec::new();
    for Paired { title, both } in pairs([of(a), of(b)]) {
        let [a, b] = [table(both[0].as_deref())?, table(both[1].as_deref())?];
        let Some(picture) = overlay::of_searches(&title, [a.as_ref(), b.as_ref()]) else { continue };
        parts.push(figure(&picture, &format!("The best trial of {title} so far.")));
    }
    Ok((!parts.is_empty()).then(|| html! { div.charts { @for part in parts { (part) } } }))
}

/// Returns the trials of a search, or None if there are none with a result.
fn table(rows: Option<&[TrialRow]>) -> Result<Option<Table>, ViewError> {
    match rows.map(|rows| Table::new(rows, &[], Default::default())).transpose() {
        Err(ViewError::Nothing(_)) => Ok(None),
        table => table,
    }
}
