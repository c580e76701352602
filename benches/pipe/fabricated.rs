//! Studies whose trainings were never run: every node has a result, and only the light ones are true. So a study of a
//! thousand trials is had in a minute.

use std::{collections::BTreeMap, path::PathBuf, process::Command};

use pipe_engine::{
    action::Action,
    pipeline::{
        expand::{Sources, expand},
        problem::Look,
        read::read,
    },
    run::execute::execute,
};
use pipe_stages::stage::{ComputeDevice, Context, Inputs, Outputs, QuietHost, Stage, StageError, StageId};
use pipe_store::{ActionResult, Digest, Store, Tree};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with a pipeline and a store in which everything is known.
pub struct Fabricated {
    folder: TempDir,
}

impl Fabricated {
    /// Returns a folder in which the pipeline `text` has been run, as far as anybody can tell.
    pub fn new(text: &str) -> Self {
        let fabricated = Self { folder: tempfile::tempdir().expect("a temporary folder can be made") };
        fabricated.run(text);
        fabricated
    }

    /// Makes another pipeline the folder's, and fabricates what it lacks.
    pub fn run(&self, text: &str) {
        std::fs::write(self.folder.path().join("pipeline.ron"), text).expect("the folder can be written");
        let pipeline =
            read("pipeline.ron", text, &[]).unwrap_or_else(|refused| panic!("{}", refused.render(Look::Plain)));
        let plan = expand(&pipeline, &Sources::default());
        let store = self.store();
        let mut trees: Vec<Option<Tree>> = Vec::new();
        for (index, node) in plan.nodes.iter().enumerate() {
            let action = plan.action(index, &trees).expect("every input is among the outputs");
            store.put(&action.record()).expect("the store can be written");
            let fabricator = Fabricator { id: node.stage.id(), action: &action };
            let stage: &dyn Stage = if node.stage.needs().device { &fabricator } else { &*node.stage };
            let executed = execute(&store, stage, &action, ComputeDevice::Cpu, &QuietHost, json!({ "format": 1 }))
                .unwrap_or_else(|error| panic!("`{}`: {error}", node.name));
            let ActionResult::Tree(tree) = executed.result else { panic!("`{}` failed", node.name) };
            trees.push(Some(store.tree(&tree).expect("what was just stored is there")));
        }
        // The study is named and its views are written.
        self.pipe("run --quiet");
    }

    /// Returns the folder's store.
    pub fn store(&self) -> Store {
        Store::open(&self.folder.path().join(".pipe")).expect("the store can be opened")
    }

    /// Runs the program in the folder; its arguments are separated by white space. Returns its standard output.
    pub fn pipe(&self, args: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipe"));
        let output = command.args(args.split_whitespace()).current_dir(self.folder.path()).output();
        let output = output.expect("the program can be started");
        assert!(matches!(output.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("the program writes UTF-8")
    }

    /// Returns a path in the folder.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }
}

/// Stands in for a stage that computes.
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
            "train" => training(inputs.optional("proposal")?.as_deref(), &self.action.record()),
            "evaluate" => Outputs::default().with_json("evaluation.json", &json!({ "format": 1, "heads": {} })),
            _ => Outputs::default(),
        })
    }
}

/// Returns what a training of four epochs might have left. Accuracies are drawn from the digest of its action.
fn training(proposal: Option<&[u8]>, action: &[u8]) -> Outputs {
    let digest = Digest::of(action);
    let accuracy = |epoch: usize| f64::from(digest.as_bytes()[epoch]) / 255.0;
    let proposal: Value = proposal.and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default();
    let columns: Vec<_> = ["train", "valid"]
        .iter()
        .flat_map(|split| {
            ["loss", "fine_loss", "fine_accuracy", "coarse_loss", "coarse_accuracy"]
                .map(|name| format!("{split}.{name}"))
        })
        .collect();
    let mut history = format!("epoch,{},weights\n", columns.join(","));
    for epoch in 0..EPOCHS {
        let weights = Digest::of(&[digest.as_bytes()[0], epoch as u8]);
        let figures = vec![accuracy(epoch).to_string(); columns.len()].join(",");
        history += &format!("{},{figures},{weights}\n", epoch + 1);
    }
    let best = (0..EPOCHS).map(accuracy).fold(0.0, f64::max);
    let figures: BTreeMap<_, _> = columns
        .iter()
        .map(|name| (name, json!({ "best": best, "best_epoch": 1, "end": accuracy(EPOCHS - 1) })))
        .collect();
    let trial = json!({
        "format": 1, "status": "completed", "epochs": EPOCHS, "steps": 40, "labels": proposal["labels"],
        "hyperparameters": proposal["values"], "parameters": 7_061_116, "figures": figures, "best_epoch": 1,
    });
    let score = json!({
        "format": 1, "status": "completed", "metric": "valid.fine_accuracy", "value": best, "loss": 1.0 - best, "epoch": 1,
    });
    Outputs::default()
        .with_json("trial.json", &trial)
        .with_json("score.json", &score)
        .with_json("architecture.json", &json!({ "layers": vec![trial["hyperparameters"].clone(); 8] }))
        .with("history.csv", history)
        .with("best/weights.safetensors", digest.as_bytes().repeat(64))
}

const EPOCHS: usize = 4;
