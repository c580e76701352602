//! `Fetch`: downloads files, or takes files that come with the program.

use std::sync::Arc;

use pipe_stages::{
    StageName,
    fetch::{FetchAction, FetchSources, FetchSpec, Fetcher},
};
use serde_json::Value;

use crate::pipeline::{
    reading::Reading,
    stage::{Expansion, StageKind, StageSpec, plain},
};

pub(super) const NAME: &str = "Fetch";

pub(super) static KIND: StageKind = StageKind {
    name: NAME,
    reads: &[],
    may_name_test_split: false,
    nouns: &[(StageName::Fetch, ["fetch", "fetches"])],
    read: |reading| Some(Arc::new(FetchStage::read(reading)?)),
    from_record: |fields| Ok(Arc::new(FetchStage { action: fields.rest()?, sources: FetchSources::default() })),
};

/// Files to fetch.
#[derive(Debug, Clone)]
struct FetchStage {
    /// What the files are, which their key depends on.
    action: FetchAction,
    /// Where they come from. This is not part of the study, so it is empty in a pipeline that was read from its record.
    sources: FetchSources,
}

impl FetchStage {
    fn read(reading: &mut Reading<'_, '_>) -> Option<Self> {
        let written: FetchSpec = reading.rest()?;
        let (action, sources) = written.divide();
        Some(Self { action, sources })
    }
}

impl StageSpec for FetchStage {
    fn kind(&self) -> &'static StageKind {
        &KIND
    }

    fn reads(&self) -> Vec<&str> {
        Vec::new()
    }

    fn fields(&self) -> Value {
        plain(&self.action)
    }

    fn expand(&self, name: &str, plan: &mut Expansion<'_>) -> usize {
        let fetcher = Fetcher {
            action: self.action.clone(),
            sources: self.sources.clone(),
            mirrors: plan.downloads.mirrors.clone(),
            partial_dir: plan.downloads.partial.clone(),
        };
        plan.push(name, name, Arc::new(fetcher), Arc::new(plain(&self.action)), [], 0)
    }

    fn files(&self) -> Option<Vec<&str>> {
        Some(self.action.outputs())
    }
}
