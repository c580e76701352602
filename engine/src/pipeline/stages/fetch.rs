//! `Fetch`: downloads files, takes files and folders of this disk, or draws pictures.

use std::sync::Arc;

use pipe_stages::{
    StageName,
    fetch::{FetchAction, FetchSources, FetchSpec, Fetcher, Network, Surroundings},
    problem::Path,
};
use serde_json::Value;

use crate::pipeline::{
    located::located,
    mistake::Mistake,
    reading::Reading,
    stage::{Expansion, StageKind, StageSpec, plain},
    term::Term,
};

pub(super) const NAME: &str = "Fetch";

pub(super) static KIND: StageKind = StageKind {
    name: NAME,
    reads: &[],
    may_name_test_split: false,
    nouns: &[(StageName::Fetch, ["fetch", "fetches"])],
    read: |reading| Some(Arc::new(FetchStage::read(reading)?)),
    from_record: |fields| {
        Ok(Arc::new(FetchStage { action: fields.rest()?, sources: FetchSources::default(), written: None }))
    },
};

/// Files to fetch.
#[derive(Debug, Clone)]
struct FetchStage {
    /// What the files are, which their key depends on.
    action: FetchAction,
    /// Where they come from. This is not part of the study, so it is empty in a pipeline that was read from its record.
    sources: FetchSources,
    /// What the pipeline file says, and its text. `None` in a pipeline that was read from its record.
    written: Option<(FetchSpec, Term)>,
}

impl FetchStage {
    fn read(reading: &mut Reading<'_, '_>) -> Option<Self> {
        let written: FetchSpec = reading.rest()?;
        let (action, sources) = written.divide();
        Some(Self { action, sources, written: Some((written, reading.term.clone())) })
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

    fn look_up(&self, around: &Surroundings<'_>, mistakes: &mut Vec<Mistake>) -> Option<Arc<dyn StageSpec>> {
        let (spec, term) = self.written.as_ref()?;
        match spec.look_up(around) {
            Ok((action, sources)) => Some(Arc::new(Self { action, sources, written: self.written.clone() })),
            Err(problems) => {
                let here = Path::here().name(NAME);
                mistakes.extend(problems.into_iter().map(|problem| located(term, problem.inside(&here))));
                None
            }
        }
    }

    fn expand(&self, name: &str, plan: &mut Expansion<'_>) -> usize {
        let fetcher = Fetcher {
            action: self.action.clone(),
            sources: self.sources.clone(),
            mirrors: plan.downloads.mirrors.clone(),
            partial_dir: plan.downloads.partial.clone(),
            network: Network::default(),
        };
        plan.push(name, name, Arc::new(fetcher), Arc::new(plain(&self.action)), [], 0)
    }

    fn files(&self) -> Option<Vec<&str>> {
        Some(self.action.outputs())
    }
}
