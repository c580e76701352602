//! `Train`: a training, as a stage of its own or as the trial of a search. Also what stages need that read a trained network.

use std::sync::Arc;

use pipe_stages::{
    StageName,
    decode::Decode,
    images::Policy,
    network::{
        Architecture,
        training::{Figure, Keep, Objective, larger_is_better},
    },
    params::{Hyper, Read},
    problem::Step,
    records::{Labels, Record},
    stage::Stage,
    train::{EPOCHS, Epochs, Limited, Limits, Train},
    words::one_of,
};
use serde_json::{Value, json};

use super::{
    augment, decode, fetch,
    init::{self, InitForm},
    search::trial::{Trial, TrialInputs},
};
use crate::pipeline::{
    labels,
    located::located,
    mistake::Mistake,
    reading::Reading,
    source::Span,
    stage::{Expansion, Here, Input, Reads, RecordFields, StageKind, StageSpec, Stages, TrainSpec, plain, with},
    term::Term,
    walk::locate,
};

pub(super) const NAME: &str = "Train";

/// The kind of a retraining, whose weights a training may start from.
pub(super) const RETRAIN: &str = "Retrain";

pub(super) static KIND: StageKind = StageKind {
    name: NAME,
    reads: &[
        Reads { path: &["data"], kinds: &[decode::NAME] },
        Reads { path: &["augment"], kinds: &[augment::NAME] },
        Reads { path: &["init", "from"], kinds: INIT_FROM },
    ],
    may_name_test_split: false,
    nouns: &[(StageName::Train, ["training", "trainings"])],
    read: |reading| {
        let term = reading.term;
        let train = TrainSpec::read(reading, None)?;
        labels::none(term, &train, reading.mistakes);
        Some(Arc::new(train))
    },
    from_record: |fields| Ok(Arc::new(TrainSpec::from_record(fields)?)),
};

/// The kinds of stages that initial weights may come from.
pub(super) const INIT_FROM: &[&str] = &[NAME, RETRAIN, fetch::NAME];

impl TrainSpec {
    /// Reads a training. `objective` is the search's, if the training is a trial and its search has one.
    pub(super) fn read(reading: &mut Reading<'_, '_>, objective: Option<Objective>) -> Option<Self> {
        let data = reading.reference("data");
        let augment = reading.optional_reference("augment");
        if let Some(objective) = &objective {
            reading.form.put("objective", plain(objective));
        }
        let init = init::read(reading);
        let train: Option<Train> = reading.rest();
        refuse_best_epoch(reading);
        Some(Self { data: data?, augment: augment?, init: init?, train: train? })
    }

    pub(super) fn from_record(mut fields: RecordFields) -> Result<Self, serde_json::Error> {
        let (data, augment) = (fields.take("data")?, fields.take("augment")?);
        let init: Option<InitForm> = fields.take("init")?;
        let init = init.map(InitForm::divide).map(|(from, init)| {
            fields.put("init", plain(&init));
            from
        });
        Ok(Self { data, augment, init, train: fields.rest()? })
    }

    /// Complains about initial weights that their stage does not have. `term` is the training as it is written.
    pub(super) fn check_init(&self, term: &Term, stages: &Stages, mistakes: &mut Vec<Mistake>) {
        if let Some(init) = &self.init {
            init.check(term, stages, mistakes);
        }
    }

    /// Complains, at the place `at`, about an objective whose metric does not exist for the data set.
    pub(super) fn check_objective(&self, at: Span, stages: &Stages, mistakes: &mut Vec<Mistake>) {
        self.check_metric(self.train.objective.metric(), "objective", at, stages, mistakes);
    }

    /// Complains about metrics for the history that do not exist for the data set. `term` is the training as it is written.
    pub(super) fn check_metrics(&self, term: &Term, stages: &Stages, mistakes: &mut Vec<Mistake>) {
        for (i, metric) in self.train.metrics.iter().enumerate() {
            let at = locate(term, &[Step::Name("metrics".into()), Step::Index(i)]).span;
            self.check_metric(metric.as_str(), "metric", at, stages, mistakes);
        }
    }

    pub(super) fn check_metric(
        &self,
        metric: &str,
        what: &str,
        at: Span,
        stages: &Stages,
        mistakes: &mut Vec<Mistake>,
    ) {
        let Some(data_set) = stages.data_set(&self.data) else { return };
        if metric.starts_with("valid.") && !data_set.splits().contains(&"validation") {
            let found = format!("the {what} `{metric}` on a dataset without a validation split");
            let help = "give `Decode` a `validation`, or use a `train.` metric";
            mistakes.push(Mistake::at(at, found).help(help));
        }
        let Some((split, name)) = metric.split_once('.') else { return };
        let heads = decode::heads(&data_set.format);
        let found = Figure::find(name, heads.iter().copied());
        // `loss` does not depend on the data set, and what is no metric was refused when it was read.
        let is_of_head = name.ends_with("_loss") || larger_is_better(name);
        if !is_of_head || found.is_some_and(|(_, figure)| figure.is_always_there() || split == "valid") {
            return;
        }
        let of_heads =
            heads.iter().flat_map(|head| [format!("{split}.{head}_loss"), format!("{split}.{head}_accuracy")]);
        let always = ["loss", "accuracy"].map(|figure| format!("{split}.{figure}")).into_iter().chain(of_heads);
        let asked = ["balanced_accuracy", "macro_f1", "top_3_accuracy"].map(|figure| format!("valid.{figure}"));
        let known: Vec<_> = always.chain(asked).collect();
        let names = || known.iter().map(String::as_str);
        let mistake = Mistake::at(at, format!("there is no metric `{metric}`"));
        mistakes.push(match found {
            Some((_, figure)) => mistake
                .help(format!("`{}` is measured on the validation split only: use `valid.{name}`", figure.name())),
            None => mistake.expected(one_of(names())).did_you_mean(metric, names()),
        });
    }

    /// Complains about a network that cannot be built for images of the data set's size. `term` is the training as it is
    /// written.
    pub(super) fn check_network(&self, term: &Term, stages: &Stages, mistakes: &mut Vec<Mistake>) {
        let Some(shape) = stages.data_set(&self.data).and_then(|data_set| data_set.format.shape()) else { return };
        // A size of 0 was refused when it was read.
        if !shape.contains(&0) {
            mistakes.extend(self.train.misfit(shape).map(|problem| located(term.content(), problem)));
        }
    }

    /// Adds the nodes that it reads from, and returns its inputs.
    pub(super) fn connected(&self, plan: &mut Expansion<'_>) -> TrialInputs {
        let data = plan.node_of(&self.data);
        let mut inputs = TrialInputs::default();
        inputs.add("train", data, "train.safetensors");
        inputs.add("labels", data, Labels::FILE);
        if plan.data_set(&self.data).splits().contains(&"validation") {
            inputs.add("validation", data, "validation.safetensors");
        }
        if let Some((slot, node, path)) = self.policy(plan) {
            inputs.add(slot, node, path);
        }
        if let Some(init) = &self.init {
            let path = init.path(plan.stages).expect("files are checked when a pipeline is read");
            inputs.add("init", plan.node_of(&init.from), &path);
        }
        inputs
    }

    fn policy(&self, plan: &mut Expansion<'_>) -> Option<Input<'static>> {
        self.augment.as_ref().map(|augment| ("policy", plan.node_of(augment), Policy::FILE))
    }
}

impl StageSpec for TrainSpec {
    fn kind(&self) -> &'static StageKind {
        &KIND
    }

    fn reads(&self) -> Vec<&str> {
        let init = self.init.as_ref().map(|init| &init.from);
        [&self.data].into_iter().chain(&self.augment).chain(init).map(String::as_str).collect()
    }

    fn fields(&self) -> Value {
        let augment = self.augment.as_ref().map(|augment| ("augment", json!(augment)));
        let init = self.init.as_ref().zip(self.train.init.as_ref());
        let init = init.map(|(from, init)| ("init", plain(&InitForm::of(from, init))));
        with(&self.train, [("data", json!(self.data))].into_iter().chain(augment).chain(init))
    }

    fn check(&self, here: &Here<'_, '_>, mistakes: &mut Vec<Mistake>) {
        self.check_objective(here.field("objective"), here.stages, mistakes);
        self.check_metrics(here.term, here.stages, mistakes);
        self.check_init(here.term, here.stages, mistakes);
        self.check_network(here.term, here.stages, mistakes);
        labels::none_in_policy(self, here, mistakes);
    }

    fn expand(&self, name: &str, plan: &mut Expansion<'_>) -> usize {
        plan.notes.extend(self.train.objective.against_its_metric().map(|note| format!("{name}: {note}")));
        let inputs = self.connected(plan);
        plan.add(name, name, self.train.clone(), inputs.iter(), 0)
    }

    fn training<'s>(&'s self, _: &'s Stages) -> Option<&'s TrainSpec> {
        Some(self)
    }

    fn kept(&self, _: &Stages) -> Option<Vec<Keep>> {
        Some(self.train.keep.clone())
    }
}

impl Trial for TrainSpec {
    fn stage_name(&self) -> StageName {
        StageName::Train
    }

    fn inputs(&self, _: &str, plan: &mut Expansion<'_>) -> TrialInputs {
        self.connected(plan)
    }

    fn with_epochs(&self, epochs: Option<u32>, _: Option<u32>) -> (Arc<dyn Stage>, Arc<Value>) {
        let epochs = epochs.map_or_else(|| self.train.epochs.clone(), |n| Hyper::Value(Epochs::Count(n)));
        let train = Train { epochs, ..self.train.clone() };
        let params = Arc::new(plain(&train));
        (Arc::new(train), params)
    }

    fn limited(&self, limits: &Limits, plan: &mut Expansion<'_>) -> Option<(Limited, Input<'static>)> {
        let Train { model, batch, head, .. } = &self.train;
        let limited = Limited { limits: *limits, model: model.clone(), batch: batch.clone(), head: *head };
        Some((limited, ("labels", plan.node_of(&self.data), Labels::FILE)))
    }

    fn objective(&self) -> Option<&Objective> {
        Some(&self.train.objective)
    }

    fn epochs(&self) -> Option<Hyper<u32>> {
        match &self.train.epochs {
            Hyper::Value(Epochs::Count(n)) => Some(Hyper::Value(*n)),
            Hyper::Value(Epochs::Named(_)) => None,
            Hyper::Label(label) => Some(Hyper::Label(label.clone())),
        }
    }

    fn check_as_trial(&self, term: &Term, objective: Span, here: &Here<'_, '_>, mistakes: &mut Vec<Mistake>) {
        self.check_objective(objective, here.stages, mistakes);
        self.check_init(term, here.stages, mistakes);
        self.check_metrics(term, here.stages, mistakes);
        self.check_network(term, here.stages, mistakes);
    }
}

/// Complains about `epochs: BestEpoch`. The action of a training can hold it, but only `Retrain` connects the record of a best
/// trial.
fn refuse_best_epoch(reading: &mut Reading<'_, '_>) {
    let Some(epochs) = reading.term.field("epochs").filter(|field| field.value.to_json() == "BestEpoch") else {
        return;
    };
    let mistake = Mistake::at(epochs.value.span, "`epochs`: found `BestEpoch`").expected(u32::expected(&EPOCHS));
    reading.mistakes.push(mistake.help("only `Retrain` takes `BestEpoch`, the best epoch of a search's best trial"));
}

/// What a stage needs to read the network of another.
pub(super) struct Network<'p> {
    /// The inputs for the network: its architecture, its weights and, if images are augmented, its policy.
    pub(super) inputs: Vec<Input<'static>>,
    /// The index of the node of the data set that it was trained on.
    pub(super) data: usize,
    /// That data set.
    pub(super) data_set: &'p Decode,
}

/// Adds the nodes that a stage needs to read the network of the stage `of`.
pub(super) fn network<'p>(of: &str, plan: &mut Expansion<'p>) -> Network<'p> {
    let node = plan.node_of(of);
    let stages = plan.stages;
    let spec = stages.get(of).expect("names are checked when a pipeline is read");
    let (training, keep) =
        spec.training(stages).zip(spec.kept(stages)).expect("kinds are checked when a pipeline is read");
    let weights = if keep.contains(&Keep::Best) { "best/weights.safetensors" } else { "last/weights.safetensors" };
    let mut inputs = vec![("architecture", node, Architecture::FILE), ("weights", node, weights)];
    inputs.extend(training.policy(plan));
    Network { inputs, data: plan.node_of(&training.data), data_set: plan.data_set(&training.data) }
}

/// Complains if the stage `of`, whose network is to be read, keeps neither its best nor its last weights.
pub(super) fn check_weights(of: &str, here: &Here<'_, '_>, mistakes: &mut Vec<Mistake>) {
    if here.stages.get(of).is_some_and(|spec| spec.program(here.stages).is_some()) {
        let mistake = Mistake::at(here.field("of"), format!("`{of}` is trained by a program of your own"));
        return mistakes.push(mistake.help("a command can read what it wrote: `Command(final: true, ..)` to test it"));
    }
    let Some(keep) = here.stages.get(of).and_then(|spec| spec.kept(here.stages)) else { return };
    if !keep.contains(&Keep::Best) && !keep.contains(&Keep::Last) {
        let mistake = Mistake::at(here.field("of"), format!("`{of}` keeps neither its best nor its last weights"));
        mistakes.push(mistake.help(format!("add `Best` or `Last` to the `keep` of `{of}`")));
    }
}
