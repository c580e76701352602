//! Studies with made-up trainings: every node has a result, but only light nodes were executed. A study of a thousand trials
//! takes a minute.

use std::{collections::BTreeMap, path::PathBuf, process::Command};

use pipe_engine::{
    action::Action,
    pipeline::{
        expand::{Downloads, expand},
        mistake::Rendering,
        read::read,
    },
    run::execute::execute,
};
use pipe_stages::{
    network::{
        Architecture, Builder, Padding,
        architecture::{Head, Output},
        layers::{Conv, Flatten},
    },
    params::Float,
    records::{
        EvaluateOn, Evaluation, Figure, HistoryRow, Proposal, Score, Status, Trained, TrainingHistory, TrialRecord,
        Version,
    },
    stage::{ComputeDevice, Context, Inputs, Outputs, QuietHost, Stage, StageError, StageId},
};
use pipe_store::{ActionResult, Digest, Store, Tree};
use serde_json::{Map, json};
use tempfile::TempDir;

/// A folder with a pipeline, and a store with the results of all its nodes.
pub(crate) struct Fabricated {
    folder: TempDir,
}

impl Fabricated {
    /// Returns a folder with the pipeline `text` and the results of all its nodes.
    pub(crate) fn new(text: &str) -> Self {
        let fabricated = Self { folder: tempfile::tempdir().expect("a temporary folder can be made") };
        fabricated.run(text);
        fabricated
    }

    /// Replaces the pipeline, and makes up the results that are missing.
    pub(crate) fn run(&self, text: &str) {
        std::fs::write(self.folder.path().join("pipeline.ron"), text).expect("the folder can be written");
        let pipeline =
            read("pipeline.ron", text, &[]).unwrap_or_else(|refused| panic!("{}", refused.render(Rendering::Plain)));
        let plan = expand(&pipeline, &Downloads::default());
        let store = self.store();
        let mut trees: Vec<Option<Tree>> = Vec::new();
        for (index, node) in plan.nodes.iter().enumerate() {
            let action = plan.action(index, &trees).expect("every input is among the outputs");
            store.put(&action.record()).expect("the store can be written");
            let fabricator = Fabricator { id: node.stage.id(), action: &action };
            let stage: &dyn Stage = if node.stage.needs().device { &fabricator } else { &*node.stage };
            let executed =
                execute((&store).into(), stage, &action, ComputeDevice::CPU, &QuietHost, json!({ "format": 1 }), false)
                    .unwrap_or_else(|error| panic!("`{}`: {error}", node.name));
            let ActionResult::Tree(tree) = executed.result else { panic!("`{}` failed", node.name) };
            trees.push(Some(store.tree(&tree).expect("what was just stored is there")));
        }
        // This stores the study and writes its views.
        self.pipe("run --quiet");
    }

    /// Returns the store of the folder.
    pub(crate) fn store(&self) -> Store {
        Store::open(&self.folder.path().join(".pipe")).expect("the store can be opened")
    }

    /// Runs the program in the folder and returns its standard output. The arguments are separated by white space.
    pub(crate) fn pipe(&self, args: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipe"));
        let output = command.args(args.split_whitespace()).current_dir(self.folder.path()).output();
        let output = output.expect("the program can be started");
        assert!(matches!(output.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("the program writes UTF-8")
    }

    /// Returns the path of a file in the folder.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }
}

/// Replaces a stage that takes long, with made-up outputs.
struct Fabricator<'a> {
    id: StageId,
    action: &'a Action,
}

impl Stage for Fabricator<'_> {
    fn id(&self) -> StageId {
        self.id
    }

    fn run(&self, inputs: &Inputs<'_>, _: &Context<'_>) -> Result<Outputs, StageError> {
        Ok(match self.id.name {
            "train" if inputs.digest("proposal").is_some() => {
                training(inputs.record("proposal")?, &self.action.record())
            }
            "train" => training(Proposal::default(), &self.action.record()),
            "evaluate" => {
                let (split, heads) = (EvaluateOn::Test, BTreeMap::new());
                Outputs::default().with_record(&Evaluation { format: Version, split, n: 0, heads })
            }
            _ => Outputs::default(),
        })
    }
}

/// Returns made-up outputs of a training of four epochs. Accuracies are derived from the digest of the action.
fn training(proposal: Proposal, action: &[u8]) -> Outputs {
    let digest = Digest::of(action);
    let accuracy = |epoch: u32| f64::from(digest.as_bytes()[epoch as usize]) / 255.0;
    let of_split = |split: &str| {
        ["loss", "fine_loss", "fine_accuracy", "coarse_loss", "coarse_accuracy"].map(|name| format!("{split}.{name}"))
    };
    let metrics: Vec<_> = ["train", "valid"].into_iter().flat_map(of_split).collect();
    let row = |epoch: u32| HistoryRow {
        epoch: epoch + 1,
        values: vec![accuracy(epoch); metrics.len()],
        weights: Some(Digest::of(&[digest.as_bytes()[0], epoch as u8])),
    };
    let best = (0..EPOCHS).map(accuracy).fold(0.0, f64::max);
    let figure = Figure { best: Float(best), best_epoch: 1, end: Float(accuracy(EPOCHS - 1)) };
    let network = network();
    let trained = Trained {
        epochs: EPOCHS,
        steps: Some(40),
        diverged_at: None,
        best_epoch: Some(1),
        settings: Map::new(),
        parameters: Some(network.parameters),
        flops: Some(network.flops),
        figures: metrics.iter().map(|name| (name.clone(), figure.clone())).collect(),
        transfer: None,
        frozen: Vec::new(),
    };
    let trial = TrialRecord {
        status: Status::Completed,
        reason: None,
        hyperparameters: proposal.values,
        labels: proposal.labels.into_iter().collect(),
        trained: Some(trained),
    };
    let score = Score {
        format: Version,
        status: Status::Completed,
        metric: "valid.fine_accuracy".to_owned(),
        value: Float(best),
        loss: Float(1.0 - best),
        epoch: Some(1),
        reason: None,
    };
    let history = TrainingHistory { rows: (0..EPOCHS).map(row).collect(), metrics };
    Outputs::default()
        .with_record(&trial)
        .with_record(&score)
        .with_record(&network)
        .with(TrainingHistory::FILE, history.write())
        .with("best/weights.safetensors", digest.as_bytes().repeat(64))
}

/// Returns a network of eight layers.
fn network() -> Architecture {
    let mut builder = Builder::new([3, 32, 32]);
    let mut last = "input".to_owned();
    for _ in 0..6 {
        last = builder.add(Conv { filters: 40, kernel: 3, stride: 1, padding: Padding::Same }, &[&last]);
    }
    let flat = builder.add(Flatten, &[&last]);
    let head = Head { name: "fine".to_owned(), classes: 100, output: Output::Softmax };
    builder.finish(&flat, &[head]).expect("the layers fit the images")
}

const EPOCHS: u32 = 4;
