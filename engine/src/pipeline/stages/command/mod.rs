//! `Command`: runs a program of the user's own, as a stage or as the trial of a search.

mod check;
mod look;
pub(crate) mod params;
pub(super) mod sources;
pub(crate) mod spec;

use std::{collections::BTreeMap, sync::Arc};

use pipe_stages::{
    StageName,
    command::{Command, FILES, INPUT, Place as Placeholder, Score, Word},
    fetch::{FetchAction, FetchSources, Fetcher, FolderContent, Network, Surroundings},
    network::training::Objective,
    params::Hyper,
    problem::Step,
    records::{Listing, Record},
};
use serde_json::{Value, json};

use self::{params::CommandParams, spec::Code};
pub(crate) use self::{sources::Source, spec::CommandSpec};
use super::search::trial::{Trial, TrialInputs};
use crate::{
    how::{Claim, How},
    pipeline::{
        mistake::Mistake,
        reading::Reading,
        source::Span,
        stage::{Expansion, Here, RecordFields, StageKind, StageSpec, Stages, plain, with},
        term::Term,
        walk::locate,
    },
};

pub(in crate::pipeline) const NAME: &str = "Command";

pub(super) static KIND: StageKind = StageKind {
    name: NAME,
    reads: &[],
    // It reads files, and has rules of its own for those that are held out.
    may_name_test_split: true,
    nouns: &[(StageName::Command, ["command", "commands"])],
    read: |reading| Some(Arc::new(CommandSpec::read(reading, None)?)),
    from_record: |fields| Ok(Arc::new(CommandSpec::from_record(fields)?)),
};

impl CommandSpec {
    /// Reads a command. `objective` is the search's, if the command is a trial.
    pub(super) fn read(reading: &mut Reading<'_, '_>, objective: Option<Objective>) -> Option<Self> {
        let is_final = match reading.form.take("final") {
            None => false,
            Some(Value::Bool(is_final)) => is_final,
            Some(found) => {
                let term = reading.term.field("final").map_or(reading.term, |field| &field.value);
                let mistake = Mistake::at(term.span, format!("`final`: found {}", term.described()));
                let word = found.as_str().unwrap_or_default();
                reading.mistakes.push(mistake.expected("true or false").did_you_mean(word, ["true", "false"]));
                return None;
            }
        };
        let params: CommandParams = reading.rest()?;
        let before = reading.mistakes.len();
        let mut inputs = BTreeMap::new();
        for (slot, text) in &params.inputs {
            let at = locate(reading.term.content(), &[Step::Name("inputs".into()), Step::Name(slot.clone())]).span;
            let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if slot.is_empty() || !slot.chars().all(is_plain) {
                let mistake = Mistake::at(at, format!("`{slot}` cannot be the name of an input"));
                reading.mistakes.push(mistake.expected("letters (a to z, A to Z), digits, `-` and `_`"));
                continue;
            }
            match Source::find(text, reading.names) {
                Ok(source) => drop(inputs.insert(slot.clone(), source)),
                Err((found, expected)) => reading.mistakes.push(Mistake::at(at, found).expected(expected)),
            }
        }
        if reading.mistakes.len() > before {
            return None;
        }
        let command = Command {
            run: params.run.clone(),
            env: params.env.clone(),
            slots: inputs.iter().map(|(slot, source)| (slot.clone(), source.file_name())).collect(),
            outputs: params.outputs.clone(),
            metrics: params.metrics.clone(),
            reports: params.reports.clone(),
            epochs: params.epochs.clone(),
            horizon: None,
            objective: objective.map(Score),
            catch: params.catch.clone(),
            environment: Vec::new(),
        };
        Some(Self {
            command,
            inputs,
            held_out: params.held_out.clone(),
            claim: params.claim,
            is_final,
            code: (!params.files.is_empty()).then(Code::default),
            how: params.how(),
            absolute: Vec::new(),
            written: Some((params, reading.term.clone())),
        })
    }

    pub(super) fn from_record(mut fields: RecordFields) -> Result<Self, serde_json::Error> {
        let (inputs, held_out): (Option<BTreeMap<_, _>>, Option<Vec<_>>) =
            (fields.take("inputs")?, fields.take("held_out")?);
        let (claim, is_final): (Option<Claim>, Option<bool>) = (fields.take("claim")?, fields.take("final")?);
        let content: Option<FolderContent> = fields.take(FILES)?;
        Ok(Self {
            inputs: inputs.unwrap_or_default(),
            held_out: held_out.unwrap_or_default(),
            claim: claim.unwrap_or_default(),
            is_final: is_final.unwrap_or_default(),
            code: content.map(|content| Code { content, sources: FetchSources::default() }),
            how: How::default(),
            absolute: Vec::new(),
            written: None,
            command: fields.rest()?,
        })
    }

    /// Returns the place of a word of `run`, or of a variable, that mentions a placeholder.
    fn place_of(&self, term: &Term, placeholder: &Placeholder) -> Span {
        let mentions = |word: &Word| word.places().contains(placeholder);
        let steps = match self.command.run.iter().position(mentions) {
            Some(index) => vec![Step::Name("run".into()), Step::Index(index)],
            None => {
                let name = self.command.env.iter().find(|(_, word)| mentions(word)).map(|(name, _)| name.clone());
                [Some("env".to_owned()), name].into_iter().flatten().map(Step::Name).collect()
            }
        };
        locate(term.content(), &steps).span
    }

    /// Adds its nodes, given the inputs that a search adds, and returns the index of the one with its outputs.
    pub(super) fn add(&self, name: &str, plan: &mut Expansion<'_>, more: &[(&str, usize, &str)], repeat: u64) -> usize {
        let inputs = Trial::inputs(self, name, plan);
        let inputs = inputs.iter().chain(more.iter().copied());
        let node = plan.add(name, name, self.command.clone(), inputs, repeat);
        plan.run_as(node, &Arc::new(self.how.clone()));
        node
    }
}

impl StageSpec for CommandSpec {
    fn kind(&self) -> &'static StageKind {
        &KIND
    }

    fn reads(&self) -> Vec<&str> {
        self.inputs.values().flat_map(Source::places).map(|place| place.stage.as_str()).collect()
    }

    fn fields(&self) -> Value {
        let code = self.code.as_ref().map(|code| (FILES, plain(&code.content)));
        let inputs = (!self.inputs.is_empty()).then(|| ("inputs", plain(&self.inputs)));
        let held_out = (!self.held_out.is_empty()).then(|| ("held_out", json!(self.held_out)));
        let claim = (self.claim != Claim::default()).then(|| ("claim", plain(&self.claim)));
        let is_final = self.is_final.then_some(("final", json!(true)));
        with(&self.command, [code, inputs, held_out, claim, is_final].into_iter().flatten())
    }

    fn check(&self, here: &Here<'_, '_>, mistakes: &mut Vec<Mistake>) {
        self.check_as_stage(here, mistakes);
    }

    fn look_up(&self, around: &Surroundings<'_>, mistakes: &mut Vec<Mistake>) -> Option<Arc<dyn StageSpec>> {
        Some(Arc::new(self.looked_up(around, mistakes)?))
    }

    fn expand(&self, name: &str, plan: &mut Expansion<'_>) -> usize {
        let mut spec = self.clone();
        if let Some(Hyper::Value(epochs)) = spec.command.epochs {
            spec.set_horizon(epochs);
        }
        spec.add(name, plan, &[], 0)
    }

    fn program<'s>(&'s self, _: &'s Stages) -> Option<&'s CommandSpec> {
        Some(self)
    }

    fn outputs_of_program(&self, _: &Stages) -> Vec<String> {
        self.outputs().into_iter().map(str::to_owned).collect()
    }
}

impl CommandSpec {
    /// Sets the number of epochs, and the most epochs that the study can ask for.
    pub(super) fn set_epochs(&mut self, epochs: u32, horizon: u32) {
        self.command.epochs = Some(Hyper::Value(epochs));
        self.set_horizon(horizon);
    }

    /// Takes the content of some slots from elsewhere.
    pub(super) fn replace_inputs(&mut self, sources: &BTreeMap<String, Source>) {
        for (slot, source) in sources {
            self.inputs.insert(slot.clone(), source.clone());
            self.command.slots.insert(slot.clone(), source.file_name());
        }
    }

    /// Sets the most epochs that the study can ask for, if a placeholder asks for that number.
    pub(super) fn set_horizon(&mut self, epochs: u32) {
        if self.command.mentions(&Placeholder::Horizon) {
            self.command.horizon = Some(epochs);
        }
    }
}

impl Trial for CommandSpec {
    fn stage_name(&self) -> StageName {
        StageName::Command
    }

    fn inputs(&self, name: &str, plan: &mut Expansion<'_>) -> TrialInputs {
        for path in &self.absolute {
            plan.note_once(format!(
                "`{path}` in the words of a command is part of its key: where the path is another one, the study has another hash"
            ));
        }
        let mut inputs = TrialInputs::default();
        for (slot, source) in &self.inputs {
            match source {
                Source::One(place) => inputs.add(format!("{INPUT}{slot}"), plan.node_of(&place.stage), &place.path),
                Source::Each(each) => {
                    for (part, place) in each {
                        let path = &place.path;
                        let below = if path.is_empty() { part.clone() } else { format!("{part}/{path}") };
                        let below = below.trim_end_matches('/');
                        inputs.add(format!("{INPUT}{slot}/{below}"), plan.node_of(&place.stage), path);
                    }
                }
            }
        }
        if let Some(Code { content, sources }) = &self.code {
            let action = FetchAction::Folder(content.clone());
            let fetcher = Fetcher {
                action: action.clone(),
                sources: sources.clone(),
                mirrors: Vec::new(),
                partial_dir: plan.downloads.partial.clone(),
                network: Network::default(),
            };
            let files = format!("{name}/{FILES}");
            let node = plan.push(&files, name, Arc::new(fetcher), Arc::new(plain(&action)), [], 0);
            inputs.add(FILES.to_owned(), node, Listing::FILE);
        }
        inputs
    }

    fn with_epochs(
        &self,
        epochs: Option<u32>,
        horizon: Option<u32>,
    ) -> (Arc<dyn pipe_stages::stage::Stage>, Arc<Value>) {
        let mut spec = self.clone();
        if let Some(epochs) = epochs {
            spec.command.epochs = Some(Hyper::Value(epochs));
        }
        if let Some(horizon) = horizon {
            spec.set_horizon(horizon);
        }
        let params = Arc::new(plain(&spec.command));
        (Arc::new(spec.command), params)
    }

    fn objective(&self) -> Option<&pipe_stages::network::training::Objective> {
        self.command.objective.as_ref().map(|score| &score.0)
    }

    fn epochs(&self) -> Option<Hyper<u32>> {
        self.command.epochs.clone()
    }

    fn how(&self) -> Option<Arc<How>> {
        Some(Arc::new(self.how.clone()))
    }

    fn check_as_trial(&self, trial: &Term, at: Span, here: &Here<'_, '_>, mistakes: &mut Vec<Mistake>) {
        self.check_of_search(trial, at, here, mistakes);
    }

    fn look_up_trial(&self, around: &Surroundings<'_>, mistakes: &mut Vec<Mistake>) -> Option<Arc<dyn Trial>> {
        Some(Arc::new(self.looked_up(around, mistakes)?))
    }
}
