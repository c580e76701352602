//! What the pipeline says of a search, as far as pictures need it.

use std::collections::BTreeMap;

use pipe_engine::{pipeline::stages::search::SearchSpec, study::Study};
use pipe_stages::search::{Length, Sampler};
use pipe_store::Store;

use super::axis::Scaling;

/// What a search declares.
#[derive(Debug, Clone, Default)]
pub(crate) struct Declared {
    /// Whether each numeric hyperparameter is on a logarithmic scale.
    scales: BTreeMap<String, bool>,
    /// The trials that are drawn from the prior, whatever came before them.
    random: Drawn,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Drawn {
    #[default]
    None,
    First(u32),
    All,
}

impl Declared {
    /// Returns what the study says of `search`.
    pub(crate) fn of(store: &Store, study: &Study, search: &str) -> Self {
        // A study of another build may have a pipeline that cannot be read. Its trials can still be drawn.
        let Ok(pipeline) = study.read_pipeline(store) else { return Self::default() };
        pipeline.stages.get_as::<SearchSpec>(search).map(Self::by).unwrap_or_default()
    }

    /// Returns what a search says of itself.
    pub(crate) fn by(search: &SearchSpec) -> Self {
        let scales = search.own.space.scales().into_iter().map(|(label, is_log)| (label.to_owned(), is_log)).collect();
        let sampler = &search.own.sampler;
        let random = match sampler {
            Sampler::Random(_) => Drawn::All,
            // Trials of different lengths cannot be compared.
            _ if sampler.length() == Length::Brackets => Drawn::None,
            // Imported trials count as trials of the prior, so that the model may propose every trial.
            _ if search.starts_from_others() => Drawn::None,
            _ => sampler.startup().map_or(Drawn::None, Drawn::First),
        };
        Self { scales, random }
    }

    /// Returns the scale of the hyperparameter `label`.
    pub(super) fn scaling(&self, label: &str) -> Scaling {
        match self.scales.get(label) {
            Some(true) => Scaling::Log,
            Some(false) => Scaling::Linear,
            None => Scaling::Guess,
        }
    }

    /// Returns whether trial `index` was drawn at random from the prior.
    pub(crate) fn is_random(&self, index: u32) -> bool {
        match self.random {
            Drawn::None => false,
            Drawn::First(n) => index < n,
            Drawn::All => true,
        }
    }
}
