//! `Search`: trains trials that a sampler proposes one after the other.

mod advice;
pub(in crate::pipeline) mod objectives;
pub(in crate::pipeline) mod params;
pub(in crate::pipeline) mod sampler;
pub(in crate::pipeline) mod trial;
mod unroll;

use std::{collections::BTreeMap, sync::Arc};

use pipe_stages::{
    StageName,
    fetch::Surroundings,
    network::training::{AnyObjective, Objective},
    search::{Sampler, Tpe},
    train::Train,
};
use serde::de::Error as _;
use serde_json::{Value, json};

pub use self::params::{Remembered, SearchParams, SearchSpec};
use self::trial::Trial;
use super::{
    augment,
    command::{self, CommandSpec, params::CommandParams},
    decode, fetch, train,
};
use crate::pipeline::{
    labels,
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
        (StageName::Known, ["list of known trials", "lists of known trials"]),
        (StageName::Stop, ["stopping point", "stopping points"]),
        (StageName::Select, ["selection", "selections"]),
    ],
    read: |reading| Some(Arc::new(SearchSpec::read(reading)?)),
    from_record: |fields| Ok(Arc::new(SearchSpec::from_record(fields)?)),
};

impl SearchSpec {
    fn read(reading: &mut Reading<'_, '_>) -> Option<Self> {
        let term = reading.term;
        let (objective, others) = objectives::read(reading);
        reading.form.take("trial");
        let imported = reading.optional_reference("imported");
        let trial = trial(reading, objective);
        let mut own: SearchParams = reading.rest()?;
        if let (Sampler::Auto(_), false) = (&own.sampler, others.is_empty()) {
            // The process has one objective.
            own.sampler = Sampler::Tpe(Tpe::default());
        }
        labels::space(term, &own, trial.as_deref(), reading.mistakes);
        Some(Self { own, trial: trial?, others, imported: imported?, known: None })
    }

    fn from_record(mut fields: RecordFields) -> Result<Self, serde_json::Error> {
        let mut trial: BTreeMap<String, Value> = fields.take("trial")?;
        let trial: Arc<dyn Trial> = match trial.remove(command::NAME) {
            Some(fields) => Arc::new(CommandSpec::from_record(RecordFields(fields))?),
            None => Arc::new(TrainSpec::from_record(RecordFields(trial.remove(train::NAME).unwrap_or_default()))?),
        };
        let (imported, known) = (fields.take("imported")?, fields.take("known")?);
        let others = fields.take::<Option<Vec<AnyObjective>>>("others")?.unwrap_or_default();
        let own: SearchParams = fields.rest()?;
        if own.space.with_fixed(&own.fixed).is_err() {
            return Err(serde_json::Error::custom("`fixed` does not fit the space"));
        }
        Ok(Self { own, trial, others, imported, known })
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
        let known = self.known.as_ref().map(|known| ("known", json!(known)));
        let others = (!self.others.is_empty()).then(|| ("others", json!(self.others)));
        let trial = ("trial", json!({ self.trial.kind().name: self.trial.fields() }));
        with(&self.own, imported.into_iter().chain(known).chain(others).chain([trial]))
    }

    fn check(&self, here: &Here<'_, '_>, mistakes: &mut Vec<Mistake>) {
        let mode = ["maximise", "minimise"].into_iter().find_map(|mode| here.term.field(mode));
        let at = mode.map_or(here.name, |field| field.value.span);
        let trial = here.term.field("trial").map_or(here.term, |field| &field.value);
        self.trial.check_as_trial(trial, at, here, mistakes);
        objectives::check(self, here, mistakes);
        if let (true, Some(imported)) = (self.own.remember, here.term.field("imported")) {
            let mistake = Mistake::at(imported.key_span, "`imported` of a search that remembers");
            mistakes.push(mistake.help("remove one of the two"));
        }
        if !self.own.limits.is_empty() && self.program(here.stages).is_some() {
            let mistake = Mistake::at(here.field("limits"), "`limits` of a program of your own");
            mistakes.push(mistake.help("remove it: it bounds the networks that `pipe` trains"));
        }
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
