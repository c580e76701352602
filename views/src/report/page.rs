//! What the sections of a page share.

use maud::{Markup, html};
use pipe_engine::{
    names::trial_number,
    pipeline::spec::Pipeline,
    study::{Found, StudyNode},
};
use pipe_stages::StageName;
use pipe_store::Store;

use crate::{plot::Picture, trials::TrialRow};

/// The least part of its size to which a picture is shrunk, so that its text can be read. On a narrow screen it scrolls instead.
const LEGIBLE: f64 = 0.8;

/// The data that the sections show.
pub(crate) struct Page<'a> {
    pub(crate) store: &'a Store,
    pub(crate) found: &'a Found,
    /// The pipeline of the study.
    pub(crate) pipeline: Pipeline,
    pub(crate) trials: Vec<TrialRow>,
}

impl<'a> Page<'a> {
    /// Returns the nodes of a kind that are not trials of a search.
    pub(crate) fn nodes(&self, stage: StageName) -> impl Iterator<Item = (&'a String, &'a StudyNode)> {
        let is_meant = move |(name, node): &(&String, &StudyNode)| {
            node.is(stage) && trial_number(name, &node.part_of, stage).is_none()
        };
        self.found.study.nodes.iter().filter(is_meant)
    }

    /// Returns the trials of each search, by number.
    pub(crate) fn searches(&self) -> impl Iterator<Item = &[TrialRow]> {
        self.trials.chunk_by(|a, b| a.search == b.search)
    }
}

/// Returns a heading with the name of a stage if there are several stages, and nothing otherwise.
pub(crate) fn heading(several: bool, name: &str) -> Markup {
    html! { @if several { h3 { (name) } } }
}

/// Returns a picture with its caption and its note.
pub(crate) fn figure(picture: &Picture, caption: &str) -> Markup {
    html! {
        figure {
            (legible(picture))
            figcaption { (caption) @if !picture.note.is_empty() { " " (picture.note) } }
        }
    }
}

/// Returns a picture that scrolls where there is too little room for it.
pub(crate) fn legible(picture: &Picture) -> Markup {
    html! { div.scroll { div style=(format!("min-width:{}px", (LEGIBLE * picture.width).round())) { (picture.inline()) } } }
}
