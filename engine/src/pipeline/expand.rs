//! A pipeline as a plan: stages become nodes, searches are unrolled.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use pipe_stages::{
    fetch::{FetchSpec, Fetcher},
    network::training::{At, Keep, Objective},
    params::Hyper,
    search::{History, Promote, Propose, Sampler, Select, Split},
    stage::Stage,
    train::{Epochs, NamedEpochs, Train},
    visualize_filters::Method,
};
use serde::Serialize;

use super::spec::{
    Pipeline, RetrainData, RetrainSeed, RetrainSpec, SearchSpec, StageSpec, TrainSpec, plain, split_of, splits,
};
use crate::{
    action::derive_seed,
    plan::{Edge, Node, Plan},
};

/// How bytes from outside come in. Nothing here reaches a key.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Base addresses that are tried before a stage's own.
    pub mirrors: Vec<String>,
    /// Where broken downloads wait to be resumed.
    pub partial: PathBuf,
}

/// Returns the plan of `pipeline`, which must have been checked by reading it.
pub fn expand(pipeline: &Pipeline, sources: &Sources) -> Plan {
    let plan = Plan {
        name: pipeline.name.clone(),
        pipeline: pipeline.record(),
        device: pipeline.device,
        nodes: Vec::new(),
        notes: Vec::new(),
    };
    let mut expansion = Expansion { pipeline, sources, plan, made: BTreeMap::new() };
    for (name, _) in &pipeline.stages {
        expansion.stage(name);
    }
    expansion.plan
}

struct Expansion<'p> {
    pipeline: &'p Pipeline,
    sources: &'p Sources,
    plan: Plan,
    /// Stages of the pipeline that are in the plan.
    made: BTreeMap<String, Made>,
}

/// The nodes of a search while it is unrolled, by trial.
struct Trials {
    /// Of each trial, where the sampler has rungs.
    rungs: Vec<RungOf>,
    proposals: Vec<usize>,
    history: Vec<usize>,
}

/// What a trial's rung is.
#[derive(Debug, Clone, Copy)]
struct RungOf {
    epochs: u32,
    /// First and last trial of the rung before, and which of them, best first, this trial is; nothing on the first rung.
    promoted: Option<(u32, u32, u32)>,
}

/// Returns the rung of each trial: the first rungs of all brackets, then the second ones, so that no bracket waits for the
/// end of another.
fn rungs(spec: &SearchSpec) -> Vec<RungOf> {
    let brackets = spec.brackets().unwrap_or_default();
    let mut rungs: Vec<RungOf> = Vec::new();
    // First and last trial of each bracket's rung before.
    let mut before: Vec<Option<(u32, u32)>> = vec![None; brackets.len()];
    for depth in 0..brackets.iter().map(Vec::len).max().unwrap_or(0) {
        for (bracket, before) in brackets.iter().zip(&mut before) {
            let Some(rung) = bracket.get(depth) else { continue };
            let first = rungs.len() as u32;
            let promoted = |rank| before.map(|(first, last)| (first, last, rank));
            rungs.extend((0..rung.trials).map(|rank| RungOf { epochs: rung.epochs, promoted: promoted(rank) }));
            *before = Some((first, first + rung.trials - 1));
        }
    }
    rungs
}

/// The nodes of a stage that others read from.
#[derive(Debug, Clone, Copy)]
struct Made {
    /// Its only node; of a search, the one that selects the best trial.
    node: usize,
}

impl Expansion<'_> {
    /// Returns the nodes of the stage called `name`, adding them and those they read from where they are missing.
    fn stage(&mut self, name: &str) -> Made {
        if let Some(made) = self.made.get(name) {
            return *made;
        }
        let pipeline = self.pipeline;
        let spec = pipeline.stage(name).expect("names are checked when a pipeline is read");
        let node = match spec {
            StageSpec::Fetch(fetch) => self.fetch(name, fetch),
            StageSpec::Decode { from, decode } => {
                let source = self.stage(from).node;
                let inputs = decode.slots().iter().map(|slot| (*slot, source, *slot));
                self.add(name, name, decode.clone(), inputs, 0)
            }
            StageSpec::Augment { data, augment } => {
                let data = self.stage(data).node;
                self.add(name, name, augment.clone(), [("train", data, "train.safetensors")], 0)
            }
            StageSpec::Train(spec) => {
                let inputs = self.training_inputs(spec);
                self.add(name, name, spec.train.clone(), inputs, 0)
            }
            StageSpec::Search(spec) => self.search(name, spec),
            StageSpec::Retrain(spec) => self.retrain(name, spec),
            StageSpec::Evaluate { of, evaluate } => {
                let model = self.stage(of).node;
                let trained = self.training_of(of).clone();
                let data = self.stage(&trained.data).node;
                let split = split_of(evaluate);
                let file = format!("{split}.safetensors");
                let mut inputs = self.model_inputs(of, model, &trained);
                inputs.push(("data", data, file.as_str()));
                inputs.push(("labels", data, "labels.json"));
                self.add(name, name, evaluate.clone(), inputs, 0)
            }
            StageSpec::VisualizeFilters { of, visualize } => {
                let model = self.stage(of).node;
                let trained = self.training_of(of).clone();
                let mut inputs = self.model_inputs(of, model, &trained);
                let data = self.stage(&trained.data).node;
                if matches!(visualize.method, Method::Fourier(_)) {
                    inputs.push(("train", data, "train.safetensors"));
                }
                if visualize.examples > 0 && self.has(&trained.data, "validation") {
                    inputs.push(("validation", data, "validation.safetensors"));
                    inputs.push(("labels", data, "labels.json"));
                }
                self.add(name, name, visualize.clone(), inputs, 0)
            }
        };
        let made = Made { node };
        self.made.insert(name.to_owned(), made);
        made
    }

    fn fetch(&mut self, name: &str, spec: &FetchSpec) -> usize {
        let (action, urls) = spec.divide();
        let params = Arc::new(plain(&action));
        let fetcher = Fetcher {
            action,
            sources: urls,
            mirrors: self.sources.mirrors.clone(),
            partial_dir: self.sources.partial.clone(),
        };
        self.push(name, name, Arc::new(fetcher), params, [], 0)
    }

    /// Returns the training that a stage's network comes from.
    fn training_of(&self, name: &str) -> &TrainSpec {
        match self.pipeline.stage(name) {
            Some(StageSpec::Train(spec)) => spec,
            Some(StageSpec::Search(spec)) => &spec.trial,
            Some(StageSpec::Retrain(spec)) => self.training_of(&spec.of),
            _ => unreachable!("kinds are checked when a pipeline is read"),
        }
    }

    fn has(&self, data: &str, split: &str) -> bool {
        match self.pipeline.stage(data) {
            Some(StageSpec::Decode { decode, .. }) => splits(decode)[split],
            _ => unreachable!("kinds are checked when a pipeline is read"),
        }
    }

    fn training_inputs(&mut self, spec: &TrainSpec) -> Vec<(&'static str, usize, &'static str)> {
        let data = self.stage(&spec.data).node;
        let mut inputs = vec![("train", data, "train.safetensors"), ("labels", data, "labels.json")];
        if self.has(&spec.data, "validation") {
            inputs.push(("validation", data, "validation.safetensors"));
        }
        if let Some(augment) = &spec.augment {
            inputs.push(("policy", self.stage(augment).node, "policy.json"));
        }
        inputs
    }

    /// Returns the inputs of what looks at a trained network.
    fn model_inputs(&mut self, of: &str, model: usize, spec: &TrainSpec) -> Vec<(&'static str, usize, &'static str)> {
        let keep = match self.pipeline.stage(of) {
            Some(StageSpec::Retrain(retrain)) => retrain.kept(spec),
            _ => spec.train.keep.clone(),
        };
        let weights = if keep.contains(&Keep::Best) { "best/weights.safetensors" } else { "last/weights.safetensors" };
        let mut inputs = vec![("architecture", model, "architecture.json"), ("weights", model, weights)];
        if let Some(augment) = &spec.augment {
            inputs.push(("policy", self.stage(augment).node, "policy.json"));
        }
        inputs
    }

    /// Unrolls a search: per trial a proposal, a training and a link of the history; where the sampler reads scores, the
    /// split of those it may see, or the history itself. See ARCHITECTURE.md.
    fn search(&mut self, name: &str, spec: &SearchSpec) -> usize {
        let (n_trials, note) = spec.n_trials();
        self.plan.notes.extend(note.map(|note| format!("{name}: {note}")));
        let sampler = &spec.own.sampler;
        let repeats = if let Sampler::Grid(grid) = sampler { grid.repeats } else { 1 };
        let shared = self.training_inputs(&spec.trial);
        let training_params = Arc::new(plain(&spec.trial.train));
        let training: Arc<dyn Stage> = Arc::new(spec.trial.train.clone());
        // Writing out the space is most of the work of expanding a long search.
        let propose = |trial| Propose {
            trial,
            space: spec.space().clone(),
            constraints: spec.own.constraints.clone(),
            sampler: sampler.clone(),
        };
        let proposal_params = plain(&propose(0));
        let imported = spec.imported.as_ref().map(|from| ("imported", self.stage(from).node, "archive"));
        let mut nodes = Trials { rungs: rungs(spec), proposals: Vec::new(), history: Vec::new() };
        for trial in 0..n_trials {
            let node = |kind: &str| format!("{name}/{kind}/{trial:03}");
            let previous = nodes.proposals.last().map(|last| ("previous", *last, "parameters.json"));
            let rung = nodes.rungs.get(trial as usize).copied();
            let proposal = if let Some((first, last, rank)) = rung.and_then(|rung| rung.promoted) {
                let seen = ("history", nodes.history[last as usize], "history.json");
                let promote = Promote { trial, rung: (first, last), rank };
                self.add(&node("promote"), name, promote, previous.into_iter().chain([seen]), 0)
            } else {
                // Scores of trials 0 to i - L; the later ones are pending and count as worst.
                let seen = trial.checked_sub(spec.own.lag);
                let seen = seen.map(|last| ("history", nodes.history[last as usize], "history.json"));
                let mut inputs: Vec<_> = previous.into_iter().chain(imported).collect();
                if let Some(rule) = sampler.split(trial, imported.is_some()) {
                    let seen = seen.into_iter().chain(imported);
                    let split = self.add(&node("split"), name, Split { trial, rule }, seen, 0);
                    inputs.push(("split", split, "split.json"));
                } else if sampler.reads_history(trial, imported.is_some()) {
                    inputs.extend(seen);
                }
                let mut params = proposal_params.clone();
                params["trial"] = trial.into();
                self.push(&node("propose"), name, Arc::new(propose(trial)), Arc::new(params), inputs, 0)
            };
            nodes.proposals.push(proposal);

            let inputs = shared.iter().copied().chain([("proposal", proposal, "proposal.json")]);
            let repeat = u64::from(trial % repeats);
            let train = match rung {
                None => self.push(&node("train"), name, training.clone(), training_params.clone(), inputs, repeat),
                Some(rung) => {
                    let epochs = Hyper::Value(Epochs::Count(rung.epochs));
                    self.add(&node("train"), name, Train { epochs, ..spec.trial.train.clone() }, inputs, repeat)
                }
            };

            let previous = nodes.history.last().map(|last| ("previous", *last, "history.json"));
            let inputs = previous.into_iter().chain([("score", train, "score.json")]);
            nodes.history.push(self.add(&node("history"), name, History { trial, failure: None }, inputs, 0));
        }
        let last = |nodes: &[usize]| *nodes.last().expect("a search has a trial");
        let inputs = [
            ("history", last(&nodes.history), "history.json"),
            ("parameters", last(&nodes.proposals), "parameters.json"),
        ];
        self.add(&format!("{name}/select"), name, Select { repeats }, inputs, 0)
    }

    fn retrain(&mut self, name: &str, spec: &RetrainSpec) -> usize {
        let select = self.stage(&spec.of).node;
        let trial = self.training_of(&spec.of).clone();
        let mut inputs = self.training_inputs(&trial);
        inputs.push(("proposal", select, "proposal.json"));
        let best_epoch = Epochs::Named(NamedEpochs::BestEpoch);
        let epochs = spec.own.epochs.unwrap_or(best_epoch);
        let mut train = Train {
            keep: spec.kept(&trial),
            histograms: spec.own.histograms,
            early_stopping: spec.own.early_stopping.clone(),
            epochs: Hyper::Value(epochs),
            ..trial.train.clone()
        };
        if epochs == best_epoch {
            inputs.push(("best", select, "best.json"));
        }
        if spec.own.data == RetrainData::TrainAndValidation {
            // Nothing is left to validate on: the last state is the model.
            inputs.iter_mut().filter(|(slot, ..)| *slot == "validation").for_each(|input| input.0 = "extra");
            train.objective = Objective::Minimise(At::Last("train.loss".into()));
        }
        let repeat = match spec.own.seed {
            RetrainSeed::Same => 0,
            RetrainSeed::Fresh(n) => u64::from(n) + 1,
        };
        self.add(name, name, train, inputs, repeat)
    }

    fn add<'s, S: Stage + Serialize + 'static>(
        &mut self,
        name: &str,
        part_of: &str,
        stage: S,
        inputs: impl IntoIterator<Item = (&'s str, usize, &'s str)>,
        repeat: u64,
    ) -> usize {
        let params = Arc::new(plain(&stage));
        self.push(name, part_of, Arc::new(stage), params, inputs, repeat)
    }

    fn push<'s>(
        &mut self,
        name: &str,
        part_of: &str,
        stage: Arc<dyn Stage>,
        params: Arc<serde_json::Value>,
        inputs: impl IntoIterator<Item = (&'s str, usize, &'s str)>,
        repeat: u64,
    ) -> usize {
        let inputs = inputs
            .into_iter()
            .map(|(slot, node, path)| (slot.to_owned(), Edge { node, path: path.to_owned() }))
            .collect();
        let seed = derive_seed(self.pipeline.seed, stage.id().name, repeat);
        self.plan.nodes.push(Node { name: name.to_owned(), part_of: part_of.to_owned(), stage, params, seed, inputs });
        self.plan.nodes.len() - 1
    }
}
