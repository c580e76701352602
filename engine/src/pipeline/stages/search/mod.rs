//! `Search`: trains trials that a sampler proposes one after the other.

pub(in crate::pipeline) mod params;
pub(in crate::pipeline) mod sampler;
pub(in crate::pipeline) mod trial;
mod unroll;

use std::{collections::BTreeMap, sync::Arc};

use pipe_stages::{StageName, command::Score, fetch::Surroundings, network::training::Objective, train::Train};
use serde::de::Error as _;
use serde_json::{Value, json};

pub use self::params::{SearchParams, SearchSpec};
use self::trial::Trial;
use super::{
    augment,
    command::{self, CommandSpec, params::CommandParams},
    decode, fetch, train,
};
use crate::pipeline::{
    labels, located,
    mistake::Mistake,
    reading::Reading,
    stage::{Expansion, Here, Reads, RecordFields, StageKind, StageSpec, Stages, TrainSpec, with},
    walk::name_of,
};

pub(in crate::pipeline) const NAME: &str = "Search";

pub(super) static KIND: StageKind = StageKind {
    name: NAME,
    reads: &[
        Reads { path: &["imported"], kinds: &[fetch::NAME] },
        Reads { path: &["trial", "data"], kinds: &[decode::NAME] },
        Reads { path: &["trial", "augment"], kinds: &[augment::NAME] },
        Reads { path: &["trial", "init", "from"], kinds: train::INIT_FROM },
    ],
    may_name_test_split: false,
    nouns: &[
        (StageName::Propose, ["proposal", "proposals"]),
        (StageName::Promote, ["promotion", "promotions"]),
        (StageName::History, ["history record", "history records"]),
        (StageName::Split, ["split", "splits"]),
        (StageName::Select, ["selection", "selections"]),
    ],
    read: |reading| Some(Arc::new(SearchSpec::read(reading)?)),
    from_record: |fields| Ok(Arc::new(SearchSpec::from_record(fields)?)),
};

impl SearchSpec {
    fn read(reading: &mut Reading<'_, '_>) -> Option<Self> {
        let term = reading.term;
        let objective = objective(reading);
        reading.form.take("trial");
        let imported = reading.optional_reference("imported");
        let trial = trial(reading, objective);
        let own: SearchParams = reading.rest()?;
        labels::space(term, &own, trial.as_deref(), reading.mistakes);
        Some(Self { own, trial: trial?, imported: imported? })
    }

    fn from_record(mut fields: RecordFields) -> Result<Self, serde_json::Error> {
        let mut trial: BTreeMap<String, Value> = fields.take("trial")?;
        let trial: Arc<dyn Trial> = match trial.remove(command::NAME) {
            Some(fields) => Arc::new(CommandSpec::from_record(RecordFields(fields))?),
            None => Arc::new(TrainSpec::from_record(RecordFields(trial.remove(train::NAME).unwrap_or_default()))?),
        };
        let imported = fields.take("imported")?;
        let own: SearchParams = fields.rest()?;
        if own.space.with_fixed(&own.fixed).is_err() {
            return Err(serde_json::Error::custom("`fixed` does not fit the space"));
        }
        Ok(Self { own, trial, imported })
    }
}

impl StageSpec for SearchSpec {
    fn kind(&self) -> &'static StageKind {
        &KIND
    }

    fn reads(&self) -> Vec<&str> {
        self.trial.reads().into_iter().chain(self.imported.as_deref()).collect()
    }

    fn fields(&self) -> Value {
        let imported = self.imported.as_ref().map(|name| ("imported", json!(name)));
        let trial = ("trial", json!({ self.trial.kind().name: self.trial.fields() }));
        with(&self.own, imported.into_iter().chain([trial]))
    }

    fn check(&self, here: &Here<'_, '_>, mistakes: &mut Vec<Mistake>) {
        let mode = ["maximise", "minimise"].into_iter().find_map(|mode| here.term.field(mode));
        let at = mode.map_or(here.name, |field| field.value.span);
        let trial = here.term.field("trial").map_or(here.term, |field| &field.value);
        self.trial.check_as_trial(trial, at, here, mistakes);
        if let Some(training) = self.training(here.stages) {
            labels::search(&self.own, training, here, mistakes);
        } else if let Some(program) = self.program(here.stages) {
            labels::of_program(&self.own, &program.command, here, mistakes);
        }
    }

    fn expand(&self, name: &str, plan: &mut Expansion<'_>) -> usize {
        unroll::unroll(self, name, plan)
    }

    fn look_up(&self, around: &Surroundings<'_>, mistakes: &mut Vec<Mistake>) -> Option<Arc<dyn StageSpec>> {
        let trial = self.trial.look_up_trial(around, mistakes)?;
        Some(Arc::new(Self { trial, ..self.clone() }))
    }

    fn training<'s>(&'s self, stages: &'s Stages) -> Option<&'s TrainSpec> {
        self.trial.training(stages)
    }

    fn program<'s>(&'s self, stages: &'s Stages) -> Option<&'s CommandSpec> {
        self.trial.program(stages)
    }
}

/// Takes the objective of a search, which its trials are scored by.
fn objective(reading: &mut Reading<'_, '_>) -> Option<Objective> {
    let is_command = reading.term.field("trial").is_some_and(|field| field.value.name() == Some(command::NAME));
    let term = reading.term;
    let given = ["maximise", "minimise"].map(|mode| (mode, reading.form.take(mode)));
    let mut given = given.into_iter().filter_map(|(mode, value)| Some((mode, value?)));
    let (mode, value) = given.next()?;
    if given.next().is_some() {
        let at = term.field("minimise").map_or(term.span, |field| field.key_span);
        reading.mistakes.push(Mistake::at(at, "both `maximise` and `minimise`").help("remove one of the two"));
    }
    let before = reading.mistakes.len();
    let written = json!({ mode: value });
    let objective = if is_command {
        located::read::<Score>(term, &written, reading.mistakes).map(|Score(objective)| objective)
    } else {
        located::read(term, &written, reading.mistakes)
    };
    // A mistake in it is reported once, not for the trial as well.
    objective.filter(|_| reading.mistakes.len() == before)
}

fn trial(reading: &mut Reading<'_, '_>, objective: Option<Objective>) -> Option<Arc<dyn Trial>> {
    let term = reading.term;
    let (own_path, path) = (reading.path.clone(), format!("{}.trial", reading.path));
    let own = reading.form.known::<SearchParams>();
    match term.field("trial").map(|field| &field.value) {
        None => {
            let expected = "`trial: Train(data: \"..\", model: .., epochs: ..)`";
            reading.mistakes.push(Mistake::missing_field(name_of(term), "trial", expected));
            None
        }
        Some(trial) if trial.name() == Some(train::NAME) => {
            let mut inner = reading.inner("trial", trial);
            inner.form.also_at(own_path, own);
            inner.refuse_test_split();
            if let Some(own) = trial.field("objective").filter(|_| objective.is_some()) {
                let mistake = Mistake::at(own.key_span, "the search already has an objective");
                inner.mistakes.push(mistake.help("remove `objective`, or the search's `maximise` or `minimise`"));
            }
            let read = TrainSpec::read(&mut inner, objective);
            let known = inner.form.known::<Train>();
            reading.form.also_at(path, known);
            Some(Arc::new(read?))
        }
        Some(trial) if trial.name() == Some(command::NAME) => {
            let mut inner = reading.inner("trial", trial);
            inner.form.also_at(own_path, own);
            let read = CommandSpec::read(&mut inner, objective);
            let known = inner.form.known::<CommandParams>();
            reading.form.also_at(path, known);
            Some(Arc::new(read?))
        }
        Some(trial) => {
            let mistake = Mistake::at(name_of(trial), format!("`trial`: found {}", trial.described()));
            reading.mistakes.push(mistake.expected("`Train(..)` or `Command(..)`"));
            None
        }
    }
}
