//! `Retrain`: trains the best trial of a search again, for longer or on more data.

use std::{collections::BTreeMap, sync::Arc};

use pipe_stages::{
    choices,
    command::Place as Placeholder,
    network::training::{At, EarlyStopping, Keep, Objective},
    parameters,
    params::{Domain, Hyper, Read},
    problem::{Path, Problem, Step},
    records::{Best, HistoryLink, ParametersLink, Proposal, Record},
    select::{Choose, Select},
    train::{EPOCHS, EVERY, Epochs, NamedEpochs, Train},
    words::one_of,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    command::{sources::Source, spec::CommandSpec},
    search::{self, SearchSpec},
    train,
};
use crate::{
    names::selection_node,
    pipeline::{
        mistake::Mistake,
        reading::Reading,
        stage::{Expansion, Here, Reads, RecordFields, StageKind, StageSpec, Stages, TrainSpec, plain, with},
        walk::locate,
    },
};

pub(super) const NAME: &str = train::RETRAIN;

pub(super) static KIND: StageKind = StageKind {
    name: NAME,
    reads: &[Reads { path: &["of"], kinds: &[search::NAME] }],
    may_name_test_split: false,
    // It executes `train`, whose nouns `Train` has.
    nouns: &[],
    read: |reading| Some(Arc::new(RetrainSpec::read(reading)?)),
    from_record: |fields| Ok(Arc::new(RetrainSpec::from_record(fields)?)),
};

/// The training of the best trial of the search `of`.
#[derive(Debug, Clone)]
struct RetrainSpec {
    of: String,
    own: RetrainParams,
    /// Where the content of the slots in `inputs` comes from.
    sources: BTreeMap<String, Source>,
}

parameters! {
    /// The parameters of a retraining.
    pub(crate) struct RetrainParams where keeps_each_once {
        /// The number of epochs, or `BestEpoch`: the best epoch of the best trial. Required, unless `data` is
        /// `TrainAndValidation`, for which it defaults to `BestEpoch`.
        epochs: Option<RetrainEpochs> [EPOCHS],
        /// The weights to keep as outputs. Defaults to those of the trial, or to `[Last]` if `data` is `TrainAndValidation`.
        keep: Option<Vec<Keep>>,
        /// The number of epochs between histograms of each layer's weights, or `None` for no histograms.
        histograms: Option<u32> [EVERY] = Some(2),
        /// When to stop before the last epoch. Defaults to never.
        early_stopping: Option<EarlyStopping>,
        /// The images to train on. With `TrainAndValidation` no images are left to validate on.
        data: RetrainData = RetrainData::Train,
        /// The trial's seed, or another one for an independent estimate.
        seed: RetrainSeed = RetrainSeed::Same,
        /// Which trial is trained again. Defaults to the best one, by the first objective if there are several.
        pick: Option<Pick>,
        /// For a search of a `Command`: other files for some of its inputs, by slot, such as all data instead of the training data.
        inputs: BTreeMap<String, String> = BTreeMap::new(),
        /// For a search of a `Command`: what it writes instead of the outputs of the trial.
        outputs: Option<Vec<String>>,
    }
}

/// The length of a retraining: a number of epochs, or `BestEpoch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct RetrainEpochs(Epochs);

impl Read for RetrainEpochs {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        let before = problems.len();
        let read = Epochs::read(value, domain, at, problems);
        for problem in &mut problems[before..] {
            problem.expected = Some(Self::expected(domain));
        }
        read.map(Self)
    }

    fn expected(domain: &Domain) -> String {
        format!("{}, or `BestEpoch`", Epochs::expected(domain))
    }

    fn brief(domain: &Domain) -> String {
        format!("{}, or `BestEpoch`", Epochs::brief(domain))
    }
}

choices! {
    /// The splits that a retraining trains on.
    #[derive(Copy, Eq)]
    pub(crate) enum RetrainData {
        /// The training split. With the same seed, the retraining continues the trial's own trajectory.
        Train,
        /// The training and the validation split. No images are left to validate on.
        TrainAndValidation,
    }
}

choices! {
    /// Which trial of a search is trained again.
    pub(crate) enum Pick {
        /// The one at the knee of the front: the farthest from the line between the ends of the front, with objectives scaled
        /// alike.
        Knee,
        /// The one of the front that is best in the objective of this name, such as `"parameters"`.
        Best(String),
        /// The trial with this number.
        At(u32),
    }
}

choices! {
    /// The seed of a retraining.
    #[derive(Copy, Eq)]
    pub(crate) enum RetrainSeed {
        /// The seed of the trial.
        Same,
        /// Another seed, for an independent estimate. Each number gives a different one.
        Fresh(u32),
    }
}

impl RetrainParams {
    fn keeps_each_once(self, at: &Path, problems: &mut Vec<Problem>) -> Self {
        Keep::each_once(self.keep.as_deref().unwrap_or_default(), &at.name("keep"), problems);
        self
    }
}

impl RetrainSpec {
    fn read(reading: &mut Reading<'_, '_>) -> Option<Self> {
        let of = reading.reference("of");
        let own: RetrainParams = reading.rest()?;
        let mut sources = BTreeMap::new();
        for (slot, text) in &own.inputs {
            match Source::find(text, reading.names) {
                Ok(source) => drop(sources.insert(slot.clone(), source)),
                Err((found, expected)) => {
                    let steps = ["inputs", slot].map(|step| Step::Name(step.to_owned()));
                    let at = locate(reading.term.content(), &steps).span;
                    reading.mistakes.push(Mistake::at(at, found).expected(expected));
                }
            }
        }
        Some(Self { of: of?, own, sources })
    }

    fn from_record(mut fields: RecordFields) -> Result<Self, serde_json::Error> {
        let (of, sources) = (fields.take("of")?, fields.take::<Option<BTreeMap<_, _>>>("sources")?);
        Ok(Self { of, sources: sources.unwrap_or_default(), own: fields.rest()? })
    }

    /// Returns the program of the best trial as it is run here.
    fn program_of(&self, trial: &CommandSpec) -> CommandSpec {
        let mut spec = trial.clone();
        if let Some(RetrainEpochs(Epochs::Count(epochs))) = self.own.epochs {
            let of_search = match trial.command.epochs {
                Some(Hyper::Value(epochs)) => epochs,
                _ => 0,
            };
            spec.set_epochs(epochs, epochs.max(of_search));
        }
        spec.replace_inputs(&self.sources);
        if let Some(outputs) = &self.own.outputs {
            spec.command.outputs = outputs.clone();
        }
        spec
    }

    /// Complains about what does not fit the program of the search's trials.
    fn check_program(&self, trial: &CommandSpec, here: &Here<'_, '_>, mistakes: &mut Vec<Mistake>) {
        for (field, is_written) in [
            ("keep", self.own.keep.is_some()),
            ("histograms", self.own.histograms != Some(2)),
            ("early_stopping", self.own.early_stopping.is_some()),
            ("data", self.own.data != RetrainData::Train),
        ] {
            if is_written {
                let mistake = Mistake::at(here.field(field), format!("`{field}` of a program of your own"));
                mistakes.push(mistake.help(match field {
                    "data" => "give it other files: `inputs: {\"train\": \"split/all.npz\"}`",
                    _ => "remove it: it belongs to the networks that `pipe` trains",
                }));
            }
        }
        let takes_epochs = trial.command.mentions(&Placeholder::Epochs);
        match self.own.epochs {
            Some(RetrainEpochs(Epochs::Named(_))) => {
                let mistake = Mistake::at(here.field("epochs"), "`epochs`: found `BestEpoch`").expected("a number");
                mistakes.push(mistake.help("the best epoch of a program of your own is not known here"));
            }
            Some(_) if !takes_epochs => {
                let mistake = Mistake::at(here.field("epochs"), "the command of the search takes no epochs");
                mistakes.push(mistake.help("give it `{epochs}` in `run`, and `epochs`, or remove this"));
            }
            _ => {}
        }
        for slot in self.own.inputs.keys().filter(|slot| !trial.inputs.contains_key(*slot)) {
            let steps = ["inputs", slot].map(|step| Step::Name(step.to_owned()));
            let at = locate(here.term.content(), &steps).span;
            let known = || trial.inputs.keys().map(String::as_str);
            let mistake = Mistake::at(at, format!("the command of the search has no input `{slot}`"));
            mistakes.push(mistake.expected(one_of(known())).did_you_mean(slot, known()));
        }
        trial.check_places(&self.sources, here.term, here.stages, mistakes);
    }

    /// Complains about a pick that the search does not have.
    fn check_pick(&self, here: &Here<'_, '_>, mistakes: &mut Vec<Mistake>) {
        let Some(search) = here.stages.get_as::<SearchSpec>(&self.of) else { return };
        let mut complain = |found: String, help: &str| {
            mistakes.push(Mistake::at(here.field("pick"), found).help(help));
        };
        match &self.own.pick {
            Some(Pick::Knee | Pick::Best(_)) if search.others.is_empty() => {
                complain(
                    format!("`{}` has one objective, so it has no front", self.of),
                    "remove `pick`, or pick a trial by its number: `At(3)`",
                );
            }
            Some(Pick::Best(name)) if !search.objectives().contains(&name.as_str()) => {
                let known = search.known_objectives();
                complain(format!("`{name}` is no objective of `{}`", self.of), &format!("its objectives are {known}"));
            }
            Some(Pick::At(trial)) if *trial >= search.n_trials().0 => {
                let n = search.n_trials().0;
                complain(format!("`{}` has no trial {trial}", self.of), &format!("it has {n} trials, from 0"));
            }
            _ => {}
        }
    }

    /// Returns the node that selects the trial to train again. Adds it if it is not the best one that is meant.
    fn selected(&self, name: &str, plan: &mut Expansion<'_>) -> usize {
        let select = plan.node_of(&self.of);
        let search = plan.stages.get_as::<SearchSpec>(&self.of);
        let (Some(pick), Some(search)) = (&self.own.pick, search) else { return select };
        let objective = |name: &String| search.objectives().iter().position(|known| known == name).unwrap_or(0);
        let pick = match pick {
            Pick::Knee => Choose::Knee,
            Pick::Best(name) => Choose::Objective(objective(name) as u32),
            Pick::At(trial) => Choose::Trial(*trial),
        };
        let of_search = plan.searches.iter().find(|known| known.select == select);
        let [proposal, history] =
            of_search.and_then(|known| known.links.last().copied()).expect("a search is expanded with its trials");
        let inputs = [("history", history, HistoryLink::FILE), ("parameters", proposal, ParametersLink::FILE)];
        let stage = Select { repeats: search.repeats(), by_bound: false, pick: Some(pick) };
        plan.add(&selection_node(name), name, stage, inputs, 0)
    }

    /// Returns which weights are kept if `trial` is the search's trial.
    fn kept_of(&self, trial: &TrainSpec) -> Vec<Keep> {
        match (&self.own.keep, self.own.data) {
            (Some(keep), _) => keep.clone(),
            (None, RetrainData::Train) => trial.train.keep.clone(),
            (None, RetrainData::TrainAndValidation) => vec![Keep::Last],
        }
    }
}

impl StageSpec for RetrainSpec {
    fn kind(&self) -> &'static StageKind {
        &KIND
    }

    fn reads(&self) -> Vec<&str> {
        let sources = self.sources.values().flat_map(Source::places).map(|place| place.stage.as_str());
        [self.of.as_str()].into_iter().chain(sources).collect()
    }

    fn fields(&self) -> Value {
        let sources = (!self.sources.is_empty()).then(|| ("sources", plain(&self.sources)));
        with(&self.own, [("of", json!(self.of))].into_iter().chain(sources))
    }

    fn check(&self, here: &Here<'_, '_>, mistakes: &mut Vec<Mistake>) {
        self.check_pick(here, mistakes);
        if let Some(trial) = here.stages.get(&self.of).and_then(|search| search.program(here.stages)) {
            return self.check_program(trial, here, mistakes);
        }
        for field in ["inputs", "outputs"].into_iter().filter(|field| here.term.field(field).is_some()) {
            let mistake = Mistake::at(here.field(field), format!("`{field}` of a network that `pipe` trains"));
            mistakes.push(mistake.help("remove it: it belongs to the search of a `Command`"));
        }
        if self.own.epochs.is_none() && self.own.data == RetrainData::Train {
            let expected = "`epochs: ..`, or `data: TrainAndValidation` to train up to the best trial's best epoch";
            mistakes.push(Mistake::missing_field(here.name, "epochs", expected));
        }
    }

    fn expand(&self, name: &str, plan: &mut Expansion<'_>) -> usize {
        let select = self.selected(name, plan);
        let repeat = match self.own.seed {
            RetrainSeed::Same => 0,
            RetrainSeed::Fresh(n) => u64::from(n) + 1,
        };
        let stages = plan.stages;
        if let Some(trial) = stages.get(&self.of).and_then(|search| search.program(stages)) {
            return self.program_of(trial).add(name, plan, &[("proposal", select, Proposal::FILE)], repeat);
        }
        let trial = plan.stages.training(&self.of).expect("kinds are checked when a pipeline is read");
        let mut inputs = trial.connected(plan);
        inputs.add("proposal", select, Proposal::FILE);
        let best_epoch = Epochs::Named(NamedEpochs::BestEpoch);
        let epochs = self.own.epochs.map_or(best_epoch, |RetrainEpochs(epochs)| epochs);
        let mut train = Train {
            keep: self.kept_of(trial),
            histograms: self.own.histograms,
            early_stopping: self.own.early_stopping.clone(),
            epochs: Hyper::Value(epochs),
            ..trial.train.clone()
        };
        if epochs == best_epoch {
            inputs.add("best", select, Best::FILE);
        }
        if self.own.data == RetrainData::TrainAndValidation {
            // Without validation images, the last state is the model.
            inputs.rename("validation", "extra");
            train.objective = Objective::Minimise(At::Last("train.loss".into()));
            train.metrics.retain(|metric| !metric.as_str().starts_with("valid."));
        }
        plan.add(name, name, train, inputs.iter(), repeat)
    }

    fn training<'s>(&'s self, stages: &'s Stages) -> Option<&'s TrainSpec> {
        stages.training(&self.of)
    }

    fn program<'s>(&'s self, stages: &'s Stages) -> Option<&'s CommandSpec> {
        stages.get(&self.of)?.program(stages)
    }

    fn outputs_of_program(&self, stages: &Stages) -> Vec<String> {
        let Some(trial) = self.program(stages) else { return Vec::new() };
        self.program_of(trial).outputs().into_iter().map(str::to_owned).collect()
    }

    fn kept(&self, stages: &Stages) -> Option<Vec<Keep>> {
        stages.training(&self.of).map(|trial| self.kept_of(trial))
    }
}
