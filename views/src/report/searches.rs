//! The searches: their progress, their best trial and all trials.

use maud::{Markup, html};
use pipe_engine::pipeline::stages::search::SearchSpec;

use super::page::{Page, figure, heading};
use crate::{
    ViewError,
    plot::{
        self, ShownColumns, TrialPicture,
        history::{self, metric, objective},
    },
    text::{cell, grouped, metric_value},
    trials::{TrialRow, front_value, fronts, label_names, stopped},
};

pub(super) fn section(page: &Page<'_>) -> Result<Option<Markup>, ViewError> {
    let several = page.searches().count() > 1;
    let search = |trials: &[TrialRow]| {
        let distribution = distribution(page, trials)?;
        Ok(html! {
            (heading(several, &trials[0].search))
            (progress(page, trials))
            (distribution)
            (best(trials))
            (front(page, trials)?)
            (table(trials))
            @if let Some(stopped) = stopped(page.store, &page.found.study, &trials[0].search)? {
                p.quiet { "The search " (stopped.text()) "." }
            }
        })
    };
    let searches: Vec<_> = page.searches().map(search).collect::<Result<_, ViewError>>()?;
    Ok((!searches.is_empty()).then(|| html! { @for search in searches { (search) } }))
}

fn progress(page: &Page<'_>, trials: &[TrialRow]) -> Markup {
    let search: Option<&SearchSpec> = page.pipeline.stages.get_as(&trials[0].search);
    let rule = search.and_then(|search| {
        let first = first_modelled(search, trials.len())?;
        Some((f64::from(first) - 0.5, format!("{} from here", search.own.sampler.name())))
    });
    html! {
        @if let Some(picture) = history::draw(trials, rule) {
            (figure(&picture, "Objective of each trial, in the order of their proposals."))
        }
    }
}

/// Returns how the scores are distributed, and how fast they improved.
fn distribution(page: &Page<'_>, trials: &[TrialRow]) -> Result<Markup, ViewError> {
    let shown = [
        (TrialPicture::Convergence, "The best so far, against random search."),
        (TrialPicture::Edf, "How many trials are how good: the empirical distribution function."),
    ];
    let mut figures = Vec::new();
    for (kind, caption) in shown.into_iter().filter(|_| trials.iter().filter(|row| row.is_ranked()).count() > 1) {
        match plot::draw(kind, page.store, &page.found.study, trials, &ShownColumns::default()) {
            Ok(picture) => figures.push(figure(&picture, caption)),
            // Not every search has random trials to compare with.
            Err(ViewError::Nothing(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(html! { @if !figures.is_empty() { div.charts { @for figure in figures { (figure) } } } })
}

/// Returns the first of `n` trials that a model proposes after others that the prior proposed, or None if there is none.
/// Imported trials count as trials of the prior, so that the model may propose every trial.
fn first_modelled(search: &SearchSpec, n: usize) -> Option<u32> {
    let startup = search.own.sampler.startup().filter(|_| !search.starts_from_others())?;
    (1..n).contains(&(startup as usize)).then_some(startup)
}

fn best(trials: &[TrialRow]) -> Markup {
    let row = trials.iter().find(|row| row.best);
    html! {
        @if let Some(row) = row {
            h3 { "Best trial: " (row.index) }
            p.quiet {
                (row.metric.as_deref().unwrap_or("loss")) " " (metric_value(row.metric.as_deref(), objective(row, row.metric.as_deref())))
                @if let Some(epoch) = row.best_epoch { " after epoch " (epoch) }
                @if let Some(epochs) = row.epochs { " of " (epochs) }
                @if let Some(parameters) = row.parameters { "; " (grouped(parameters)) " parameters" }
            }
            div.wide style="max-width: 34rem" {
                table {
                    thead { tr { th { "hyperparameter" } th { "value" } } }
                    tbody { @for (label, value) in &row.labels { tr { th scope="row" { (label) } td { (cell(value)) } } } }
                }
            }
        }
    }
}

/// Returns the trials that no other is better than, if there are several objectives.
fn front(page: &Page<'_>, trials: &[TrialRow]) -> Result<Markup, ViewError> {
    let fronts = fronts(page.store, &page.found.study, trials)?;
    Ok(html! {
        @for front in fronts.iter().filter(|front| front.search == trials[0].search) {
            h3 { "The front: no other trial is as good in all objectives and better in one" }
            @if let Some(picture) = plot::front::draw(front) {
                (figure(&picture, "The trials of the front."))
            }
            div.wide {
                table.sortable {
                    thead {
                        tr {
                            th.number { "trial" }
                            @for objective in &front.objectives { th.number { (objective) } }
                            @for label in front.labels() { th { (label) } }
                        }
                    }
                    tbody {
                        @for row in &front.trials {
                            tr {
                                th.number scope="row" { (row.trial) }
                                @for (name, value) in front.objectives.iter().zip(&row.values) {
                                    td.number { (front_value(name, value.0)) }
                                }
                                @for label in front.labels() {
                                    td { @if let Some(value) = row.hyperparameters.get(label) { (cell(value)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    })
}

fn table(trials: &[TrialRow]) -> Markup {
    let labels = label_names(trials);
    let metric = metric(trials);
    let mut rows: Vec<_> = trials.iter().collect();
    rows.sort_by(|a, b| a.loss_or_worst().total_cmp(&b.loss_or_worst()).then(a.index.cmp(&b.index)));
    let has_by = rows.iter().any(|row| row.by.is_some());
    let has_reason = rows.iter().any(|row| row.reason.is_some());
    let count = |n: Option<u64>| n.map(grouped).unwrap_or_default();
    html! {
        div.landscape {
        h3 { "All trials, best first" }
        div.wide {
            table.sortable {
                thead {
                    tr {
                        th.number { "trial" } th { "status" } th.number { (metric.unwrap_or("loss")) }
                        th.number { "best epoch" } th.number { "epochs" } th.number { "parameters" }
                        @for label in &labels { th { (label) } }
                        @if has_by { th { "proposed by" } }
                        @if has_reason { th { "reason" } }
                    }
                }
                tbody {
                    @for row in rows {
                        tr.best[row.best] data-trial=(format!("{}/{}", row.search, row.index)) {
                            th.number scope="row" { @if row.best { "★ " } (row.index) }
                            td { (row.status) }
                            td.number.score { (metric_value(metric, objective(row, metric))) }
                            td.number { (count(row.best_epoch)) } td.number { (count(row.epochs)) } td.number { (count(row.parameters)) }
                            @for label in &labels { td { @if let Some(value) = row.labels.get(label) { (cell(value)) } } }
                            @if has_by { td { (row.by.as_deref().unwrap_or("")) } }
                            @if has_reason { td.reason { (row.reason.as_deref().unwrap_or("")) } }
                        }
                    }
                }
            }
        }
        }
    }
}
