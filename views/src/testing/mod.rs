//! Studies for tests. The engine reads the pipeline, plans the nodes and keys their actions. Fast stages are executed. The
//! outputs of slow stages (trainings, evaluations, pictures of filters) are made up, and those of proposals as well, so that
//! tests know them.

mod files;
mod trial;

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{Arc, Mutex},
};

use pipe_engine::{
    action::Action,
    pipeline::{
        expand::{Downloads, expand},
        spec::Pipeline,
    },
    plan::Node,
    study::{Outcome, Study, StudyNode},
};
use pipe_stages::{
    StageName,
    images::dataset::Dataset,
    params::{self, Float},
    records::{
        ClassFigures, Evaluation, Head, HeadEvaluation, HeadPrediction, Labels, ParametersLink, Predictions, Proposal,
        Record, TopAccuracies, Version,
    },
    stage::{ComputeDevice, Context, Inputs, Outputs, QuietHost, StageError},
    train,
    visualize_filters::{FilterActivation, FiltersRecord, LayerFilters, Method},
};
use pipe_store::{ActionKey, Digest, Store, Tree};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::trial::METRIC;
pub(crate) use self::{
    files::{png, safetensors},
    trial::Trial,
};

/// A store that is removed with its last clone.
#[derive(Clone)]
pub(crate) struct TestStore {
    store: Store,
    _folder: Arc<TempDir>,
}

impl TestStore {
    fn new() -> Self {
        // In memory if possible, because the store syncs every file.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Self { store: Store::open(folder.path()).unwrap(), _folder: Arc::new(folder) }
    }
}

impl Deref for TestStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

/// A study under construction.
#[derive(Clone)]
pub(crate) struct Builder {
    pub(crate) store: TestStore,
    /// The record of the pipeline.
    pub(crate) pipeline: Value,
    /// The nodes of the study. As with `--stage`, not every executed node belongs to it.
    pub(crate) nodes: BTreeMap<String, StudyNode>,
    /// The output trees of all nodes that were executed.
    trees: BTreeMap<String, Tree>,
    /// The number of labels of a search.
    pub(crate) n_labels: usize,
}

/// Returns made-up outputs for a node, or None to execute its stage.
type MakeUp<'a> = &'a dyn Fn(&Builder, &Node, &Action) -> Option<Outputs>;

impl Builder {
    pub(crate) fn new() -> Self {
        let pipeline = json!({ "format": 1, "seed": "7", "device": "Cpu", "stages": {} });
        Self { store: TestStore::new(), pipeline, nodes: BTreeMap::new(), trees: BTreeMap::new(), n_labels: 2 }
    }

    /// Returns a study with the stages of the default pipeline and `n` trials.
    pub(crate) fn whole(n: usize) -> Self {
        let trials: Vec<_> = (0..n)
            .map(|i| match i {
                3 => Trial::diverged(),
                i => Trial { epochs: 6, ..Trial::completed(0.12 + 0.04 * ((i * 7) % 10) as f64 + 0.001 * i as f64) },
            })
            .collect();
        let mut builder = Self::new().with_data().search("search", &trials);
        builder.stage("retrain_best", json!({ "Retrain": { "of": "search", "epochs": 20, "keep": ["Best", "Last"] } }));
        builder.train("retrain_best", &[Trial { epochs: 20, ..Trial::completed(0.46) }]);
        builder.stage("test", json!({ "Evaluate": { "of": "retrain_best", "split": "Test" } }));
        builder.evaluation(0.402);
        builder.stage("visualize_filters", json!({ "VisualizeFilters": { "of": "retrain_best" } }));
        let filters = filters(63, 3, 49);
        let outputs = Outputs::default().with_record(&filters).with("add_1.png", png(260, 260, 3));
        let outputs = Mutex::new(Some(outputs));
        builder.execute("visualize_filters", true, &|_, _, _| outputs.lock().unwrap().take());
        builder
    }

    /// Adds a data set and its augmentation.
    pub(crate) fn with_data(mut self) -> Self {
        self.data(true);
        self
    }

    fn data(&mut self, is_asked_for: bool) {
        let stages = [
            ("raw", json!({ "Fetch": { "Embedded": { "name": "shapes100", "train": 200, "test": 20 } } })),
            ("data", json!({ "Decode": { "from": "raw", "format": "Cifar100", "validation": { "Stratified": 0.5 } } })),
            ("flip", json!({ "Augment": { "data": "data", "policy": [{ "RandomFlip": 0.5 }] } })),
        ];
        for (name, stage) in stages {
            self.stage(name, stage);
            self.run(name, is_asked_for);
        }
    }

    /// Adds a search by TPE with these trials.
    pub(crate) fn search(self, name: &str, trials: &[Trial]) -> Self {
        self.search_by(name, json!({ "Tpe": { "startup": 4 } }), Some(trials.len()), trials)
    }

    /// Adds a search by successive halving with two trials of two epochs. The better one is promoted and trained for four epochs.
    pub(crate) fn halving(self, name: &str, trials: &[Trial; 3]) -> Self {
        self.search_by(
            name,
            json!({ "SuccessiveHalving": { "cohort": 2, "factor": 2, "min_epochs": 2 } }),
            None,
            trials,
        )
    }

    fn search_by(mut self, name: &str, sampler: Value, n: Option<usize>, trials: &[Trial]) -> Self {
        if !self.trees.contains_key("data") {
            self.data(false);
        }
        let space =
            json!({ "activation": { "choice": ["relu", "elu"] }, "lr_rate_mult": { "loguniform": [-0.5, 0.5] } });
        let epochs = trials.iter().map(|trial| trial.epochs).max();
        self.stage(
            name,
            json!({ "Search": { "trials": n, "lag": 2, "sampler": sampler, "space": space,
            "trial": { "Train": { "data": "data", "augment": "flip", "epochs": epochs,
                "model": { "HyperCnn": { "base_filters": 2, "fc_units": [8, 8] } }, "objective": { "maximise": { "Best": METRIC } } } } } }),
        );
        self.nodes.retain(|_, node| node.part_of != name);
        self.train(name, trials);
        self
    }

    /// Executes a stage that trains: a search or a single training.
    pub(crate) fn train(&mut self, part: &str, trials: &[Trial]) {
        let n_labels = self.n_labels;
        let make_up = |builder: &Self, node: &Node, action: &Action| {
            let trial = node.name.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or(0);
            match StageName::find(&action.stage)? {
                StageName::Propose => Some(proposed(trial, n_labels, action)),
                StageName::Train => Some(builder.trained(part, &trials[trial], action)),
                _ => None,
            }
        };
        self.execute(part, true, &make_up);
    }

    fn trained(&self, part: &str, trial: &Trial, action: &Action) -> Outputs {
        let pipeline = self.read_pipeline();
        let spec = pipeline.stages.training(part).expect("it trains");
        let train: train::Train = serde_json::from_value((*action.params).clone()).expect("it is a training");
        let inputs = Inputs::new(&action.inputs, &*self.store);
        let labels: Labels = inputs.record("labels").unwrap();
        let proposal: Proposal = if action.inputs.contains_key("proposal") {
            inputs.record("proposal").unwrap()
        } else {
            Proposal::default()
        };
        let network = train::architecture(&spec.train, &proposal.clone().into(), &labels).unwrap();
        trial.outputs(&train, &network, &proposal)
    }

    /// Adds the evaluation of `retrain_best`, as the stage `test`. Every third image is classified correctly, whatever `accuracy`
    /// says.
    pub(crate) fn evaluation(&mut self, accuracy: f64) {
        self.evaluation_with(accuracy, 3);
    }

    /// As [`evaluation`](Self::evaluation), with every `nth` image classified correctly.
    pub(crate) fn evaluation_with(&mut self, accuracy: f64, nth: usize) {
        let make_up = |builder: &Self, _: &Node, action: &Action| {
            let evaluate: pipe_stages::evaluate::Evaluate = serde_json::from_value((*action.params).clone()).unwrap();
            let inputs = Inputs::new(&action.inputs, &*builder.store);
            let labels: Labels = inputs.record("labels").unwrap();
            let data = Dataset::read(inputs.bytes("data").unwrap()).unwrap();
            let of_head = |head: &Head| {
                let n = head.classes.len();
                let said = |(i, &label): (usize, &i32)| HeadPrediction {
                    label,
                    prediction: if i % nth == 0 { label as usize } else { (label as usize + 1 + i % 2) % n },
                    probability: 0.05 * (1 + i * 7 % 20) as f32,
                };
                data.labels(&head.name).unwrap().iter().enumerate().map(said).collect::<Vec<_>>()
            };
            let said: Vec<_> = labels.heads.iter().map(of_head).collect();
            let predictions = Predictions {
                heads: labels.heads.iter().map(|head| head.name.clone()).collect(),
                images: (0..data.len()).map(|i| said.iter().map(|of_head| of_head[i]).collect()).collect(),
            };
            let heads = labels.heads.iter().map(|head| (head.name.clone(), figures(head, accuracy))).collect();
            let record = Evaluation { format: Version, split: evaluate.split, n: 500, heads };
            Some(Outputs::default().with_record(&record).with(Predictions::FILE, predictions.write()))
        };
        self.execute("test", true, &make_up);
    }

    /// Adds a stage to the pipeline's record.
    pub(crate) fn stage(&mut self, name: &str, stage: Value) {
        self.pipeline["stages"][name] = stage;
    }

    /// Executes a stage of the pipeline, and adds its nodes to the study if they were asked for.
    pub(crate) fn run(&mut self, part: &str, is_asked_for: bool) {
        self.execute(part, is_asked_for, &|_, _, _| None);
    }

    fn read_pipeline(&self) -> Pipeline {
        Pipeline::from_record(&params::record(&self.pipeline)).unwrap()
    }

    fn execute(&mut self, part: &str, is_asked_for: bool, make_up: MakeUp<'_>) {
        let plan = expand(&self.read_pipeline(), &Downloads::default());
        for (index, node) in plan.nodes.iter().enumerate().filter(|(_, node)| node.part_of == part) {
            let trees: Vec<_> = plan.nodes.iter().map(|node| self.trees.get(&node.name).cloned()).collect();
            let missing = node.inputs.values().find(|edge| trees[edge.node].is_none());
            let (action, outcome) = match missing {
                Some(edge) => (None, Outcome::Skipped(plan.nodes[edge.node].name.clone())),
                None => {
                    let action = plan.action(index, &trees).unwrap();
                    let outputs = make_up(self, node, &action).map_or_else(|| self.executed(node, &action), Ok);
                    let outcome = match outputs {
                        Ok(outputs) => Outcome::Tree(self.put(&node.name, &outputs)),
                        Err(message) => Outcome::Failure(message),
                    };
                    (Some(self.store.put(&action.record()).unwrap()), outcome)
                }
            };
            if is_asked_for {
                let stage = node.stage.id().name.to_owned();
                let node_of_study = StudyNode { stage, part_of: part.to_owned(), action, outcome };
                self.nodes.insert(node.name.clone(), node_of_study);
            }
        }
    }

    fn put(&mut self, name: &str, outputs: &Outputs) -> Digest {
        let (digest, _) = self.store.put_tree(outputs.files()).unwrap();
        self.trees.insert(name.to_owned(), self.store.tree(&digest).unwrap());
        digest
    }

    /// Executes a stage. The outputs are shared among tests.
    fn executed(&self, node: &Node, action: &Action) -> Result<Outputs, String> {
        static MADE: Mutex<BTreeMap<ActionKey, BTreeMap<String, Vec<u8>>>> = Mutex::new(BTreeMap::new());
        let again = |files: &BTreeMap<String, Vec<u8>>| {
            files.iter().fold(Outputs::default(), |outputs, (path, bytes)| outputs.with(path, bytes.clone()))
        };
        let mut made = MADE.lock().unwrap();
        if let Some(files) = made.get(&action.key()) {
            return Ok(again(files));
        }
        let inputs = Inputs::new(&action.inputs, &*self.store);
        let context = Context { seed: action.seed(), device: ComputeDevice::CPU, host: &QuietHost };
        match node.stage.run(&inputs, &context) {
            Ok(outputs) => {
                made.insert(action.key(), outputs.files().clone());
                Ok(outputs)
            }
            Err(StageError::Failed { message, .. }) => Err(message),
            Err(error) => panic!("`{}`: {error}", node.name),
        }
    }

    /// Adds a node with these outputs and without an action.
    pub(crate) fn inject(&mut self, name: &str, stage: StageName, outputs: &Outputs) {
        let outcome = Outcome::Tree(self.put(name, outputs));
        let node = StudyNode { stage: stage.to_string(), part_of: name.to_owned(), action: None, outcome };
        self.nodes.insert(name.to_owned(), node);
    }

    /// Changes the outcome of a node.
    pub(crate) fn outcome(&mut self, name: &str, outcome: Outcome) {
        self.nodes.get_mut(name).unwrap().outcome = outcome;
    }

    /// Returns the store and the study.
    pub(crate) fn done(self) -> (TestStore, Study) {
        let pipeline = self.store.put(&params::record(&self.pipeline)).unwrap();
        let study = Study::new(pipeline, Vec::new(), self.nodes);
        self.store.put(&study.record()).unwrap();
        (self.store, study)
    }
}

/// Returns made-up outputs of `propose`: activations alternate, and the learning rate rises with the trial.
fn proposed(trial: usize, n_labels: usize, action: &Action) -> Outputs {
    let mut labels = BTreeMap::from([
        ("activation".to_owned(), json!(if trial.is_multiple_of(2) { "relu" } else { "elu" })),
        ("lr_rate_mult".to_owned(), json!(1.0 + 0.25 * trial as f64)),
    ]);
    for label in 2..n_labels {
        labels.insert(format!("conv_hiddn_units_{label}"), (0.123_456_7 * (label + trial) as f64).into());
    }
    let proposal = Proposal { format: Version, values: labels.clone().into_iter().collect(), labels };
    let bytes = proposal.to_record();
    let link = ParametersLink {
        format: Version,
        trial: trial as u32,
        labels: proposal.labels,
        by: None,
        proposal: Digest::of(&bytes),
        previous: action.inputs.get("previous").copied(),
    };
    Outputs::default().with(Proposal::FILE, bytes).with_record(&link)
}

/// Returns made-up figures of one head.
fn figures(head: &Head, accuracy: f64) -> HeadEvaluation {
    let class = |name: &String| ClassFigures { name: name.clone(), n: 5, accuracy: Some(accuracy) };
    HeadEvaluation {
        loss: Float(2.51),
        accuracy,
        correct: (500.0 * accuracy) as u64,
        interval_95: [accuracy - 0.042, accuracy + 0.043],
        chance: 1.0 / head.classes.len() as f64,
        balanced_accuracy: Some(0.385),
        macro_f1: Some(0.372),
        top: TopAccuracies([(5, 0.7)].into()),
        classes: head.classes.iter().map(class).collect(),
    }
}

/// Returns a record of one layer's filters.
pub(crate) fn filters(filters: usize, dead: usize, drawn: usize) -> FiltersRecord {
    let layer = LayerFilters {
        layer: "add_1".to_owned(),
        kind: "add".to_owned(),
        filters,
        kept: filters - dead,
        dead,
        drawn,
        sheet: Some("add_1.png".to_owned()),
        activations: vec![FilterActivation { filter: 0, start: Float(0.1), end: Float(3.5) }],
    };
    FiltersRecord { format: Version, method: Method::Classic, layers: vec![layer] }
}
