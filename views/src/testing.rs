//! Studies made up for tests: records as the stages write them, in a store of their own.

use std::{collections::BTreeMap, ops::Deref, sync::Arc};

use pipe_engine::{
    action::{Action, DeviceKind},
    study::{Outcome, Study, StudyNode},
};
use pipe_stages::params::{self, Float};
use pipe_store::{Digest, ObjectSource, Store};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A store that goes when its last clone does.
#[derive(Clone)]
pub(crate) struct TestStore {
    store: Store,
    _folder: Arc<TempDir>,
}

impl TestStore {
    fn new() -> Self {
        // In memory where there is such a folder: the store syncs every file.
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        Self { store: Store::open(folder.path()).unwrap(), _folder: Arc::new(folder) }
    }
}

impl Deref for TestStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

/// A study in the making.
#[derive(Clone)]
pub(crate) struct Builder {
    pub(crate) store: TestStore,
    pub(crate) pipeline: Value,
    pub(crate) nodes: BTreeMap<String, StudyNode>,
    /// How many labels a search has.
    pub(crate) n_labels: usize,
}

/// How one trial went.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    pub(crate) value: Option<f64>,
    pub(crate) epochs: u32,
    /// Trainings with equal trajectories have equal weights in equal epochs.
    pub(crate) trajectory: String,
}

impl Trial {
    pub(crate) fn completed(value: f64) -> Self {
        Self { value: Some(value), epochs: 4, trajectory: format!("{value}") }
    }

    pub(crate) fn diverged() -> Self {
        Self { value: None, epochs: 4, trajectory: "diverged".into() }
    }

    fn best_epoch(&self) -> u32 {
        (self.epochs - 1).max(1)
    }

    /// Returns accuracy and loss after an epoch, without and with training's advantage.
    fn at(&self, epoch: u32, advantage: f64) -> (f64, f64) {
        let Some(value) = self.value else { return (0.01, if epoch < 3 { 4.7 + f64::from(epoch) } else { f64::NAN }) };
        let (t, best) = (f64::from(epoch), f64::from(self.best_epoch()));
        let rise = (1.0 - (-3.0 * t / best).exp()) / (1.0 - (-3.0_f64).exp());
        let fall = 0.01 * (t - best).max(0.0) * (1.0 - advantage);
        let accuracy = if epoch == self.best_epoch() && advantage == 0.0 {
            value
        } else {
            value * rise * (1.0 + advantage) - fall
        };
        (accuracy, 4.6 * (1.0 - 0.8 * accuracy))
    }

    fn files(&self) -> Vec<(&'static str, Vec<u8>)> {
        let epoch = self.best_epoch();
        let mut history = "epoch,train.loss,train.fine_loss,train.fine_accuracy,valid.loss,valid.fine_loss,valid.fine_accuracy,weights\n".to_owned();
        for epoch in 1..=self.epochs {
            let ((train, train_loss), (valid, valid_loss)) = (self.at(epoch, 0.2), self.at(epoch, 0.0));
            let weights = Digest::of(format!("{} {epoch}", self.trajectory).as_bytes());
            history +=
                &format!("{epoch},{train_loss},{train_loss},{train},{valid_loss},{valid_loss},{valid},{weights}\n");
        }
        let figures = |of: fn((f64, f64)) -> f64| {
            let at = |epoch| Float(of(self.at(epoch, 0.0)));
            json!({ "best": at(epoch), "best_epoch": epoch, "end": at(self.epochs) })
        };
        let figures = json!({ "valid.fine_accuracy": figures(|(accuracy, _)| accuracy), "valid.loss": figures(|(_, loss)| loss) });
        let trial = json!({ "format": 1, "epochs": self.epochs, "parameters": 4030, "figures": figures });
        let metric = "valid.fine_accuracy";
        let score = match self.value {
            Some(value) => {
                json!({ "format": 1, "status": "completed", "loss": -value, "metric": metric, "value": value, "epoch": epoch })
            }
            None => {
                json!({ "format": 1, "status": "diverged", "loss": "Infinity", "metric": metric, "value": "NaN", "epoch": null,
                "reason": "the loss is no number" })
            }
        };
        vec![
            ("trial.json", params::record(&trial)),
            ("score.json", params::record(&score)),
            ("history.csv", history.into_bytes()),
            ("architecture.json", params::record(&architecture())),
            ("best/weights.safetensors", safetensors(&self.trajectory)),
        ]
    }
}

impl Builder {
    pub(crate) fn new() -> Self {
        let pipeline = json!({ "format": 1, "seed": "7", "device": "Cpu", "stages": {} });
        Self { store: TestStore::new(), pipeline, nodes: BTreeMap::new(), n_labels: 2 }
    }

    /// Returns the study of the default pipeline's shape, with `n` trials.
    pub(crate) fn whole(n: usize) -> Self {
        Self::new().into_whole(n)
    }

    pub(crate) fn into_whole(mut self, n: usize) -> Self {
        let trials: Vec<_> = (0..n)
            .map(|i| match i {
                3 => Trial::diverged(),
                i => Trial { epochs: 6, ..Trial::completed(0.12 + 0.04 * ((i * 7) % 10) as f64 + 0.001 * i as f64) },
            })
            .collect();
        let builder = &mut self;
        builder.stage("raw", json!({ "Fetch": { "Embedded": { "name": "shapes100", "train": 2000, "test": 500 } } }));
        builder.add("raw", "fetch", "raw", json!({ "name": "shapes100" }), &[], vec![("archive", b"gzip".to_vec())]);
        builder.stage(
            "data",
            json!({ "Decode": { "from": "raw", "format": "Cifar100", "validation": { "Stratified": 0.1 } } }),
        );
        let labels = json!({ "format": 1, "heads": [{ "name": "fine", "classes": ["a", "b"] }] });
        let split = |n: u32| json!({ "images": n, "classes": { "fine": [n / 2, n / 2] } });
        let statistics = json!({ "format": 1, "splits": { "train": split(1800), "validation": split(200), "test": split(500) },
            "duplicates": { "within": { "train": 0 }, "across": { "test/train": 10 } } });
        let files = vec![
            ("train.safetensors", safetensors("train")),
            ("labels.json", params::record(&labels)),
            ("statistics.json", params::record(&statistics)),
            ("contact.png", png(340, 170, 1)),
        ];
        builder.add("data", "decode", "data", json!({ "format": "Cifar100" }), &[("archive", "raw/archive")], files);
        builder.stage("flip", json!({ "Augment": { "data": "data", "policy": [{ "RandomFlip": 0.5 }] } }));
        let files = vec![("policy.json", b"{\"format\":1}\n".to_vec()), ("preview.png", png(340, 136, 2))];
        builder.add(
            "flip",
            "augment",
            "flip",
            json!({ "policy": [{ "RandomFlip": 0.5 }] }),
            &[("train", "data/train.safetensors")],
            files,
        );
        let mut builder = self.search("search", &trials);
        builder.stage("retrain_best", json!({ "Retrain": { "of": "search", "epochs": 20, "keep": ["Best", "Last"] } }));
        let longer = Trial { epochs: 20, ..Trial::completed(0.46) };
        builder.add(
            "retrain_best",
            "train",
            "retrain_best",
            json!({ "epochs": 20 }),
            &[("proposal", "search/select/proposal.json")],
            longer.files(),
        );
        builder.stage("test", json!({ "Evaluate": { "of": "retrain_best", "split": "Test" } }));
        builder.evaluation(0.402);
        builder.stage("visualize_filters", json!({ "VisualizeFilters": { "of": "retrain_best" } }));
        let filters = json!({ "format": 1, "layers": [{ "layer": "add_1", "kind": "add", "filters": 63, "kept": 60,
            "dead": 3, "drawn": 49, "sheet": "add_1.png", "activations": [{ "filter": 0, "start": 0.1, "end": 3.5 }] }] });
        let files = vec![("filters.json", params::record(&filters)), ("add_1.png", png(260, 260, 3))];
        builder.add(
            "visualize_filters",
            "visualize_filters",
            "visualize_filters",
            json!({}),
            &[("weights", "retrain_best/best/weights.safetensors")],
            files,
        );
        builder
    }

    pub(crate) fn evaluation(&mut self, accuracy: f64) {
        let evaluation = json!({ "format": 1, "split": "Test", "n": 500, "heads": {
            "fine": { "loss": 2.51, "accuracy": accuracy, "interval_95": [accuracy - 0.042, accuracy + 0.043], "chance": 0.01,
                "classes": [{ "name": "a", "n": 5, "accuracy": accuracy }] } } });
        let files = vec![
            ("evaluation.json", params::record(&evaluation)),
            ("predictions.csv", format!("image,{accuracy}\n").into_bytes()),
        ];
        self.add(
            "test",
            "evaluate",
            "test",
            json!({ "split": "Test" }),
            &[("weights", "retrain_best/best/weights.safetensors")],
            files,
        );
    }

    /// Adds a stage to the pipeline's record.
    pub(crate) fn stage(&mut self, name: &str, stage: Value) {
        self.pipeline["stages"][name] = stage;
    }

    /// Adds a node whose inputs are outputs of earlier nodes: slot -> `node/path`.
    pub(crate) fn add(
        &mut self,
        name: &str,
        stage: &str,
        part_of: &str,
        params: Value,
        inputs: &[(&str, &str)],
        files: Vec<(&str, Vec<u8>)>,
    ) {
        let inputs = inputs.iter().map(|(slot, output)| ((*slot).to_owned(), self.output(output))).collect();
        let action = Action {
            format: 1,
            stage: stage.to_owned(),
            version: 1,
            params: params.into(),
            inputs,
            seed: (stage == "train").then(|| "42".to_owned()),
            device: (stage == "train").then_some(DeviceKind::Cpu),
            numerics: (stage == "train").then(|| "flex-0.22.1 f32".to_owned()),
        };
        let files = files.into_iter().map(|(path, bytes)| (path.to_owned(), bytes)).collect();
        let (tree, _) = self.store.put_tree(&files).unwrap();
        let action = Some(self.store.put(&action.record()).unwrap());
        let node =
            StudyNode { stage: stage.to_owned(), part_of: part_of.to_owned(), action, outcome: Outcome::Tree(tree) };
        self.nodes.insert(name.to_owned(), node);
    }

    fn output(&self, output: &str) -> Digest {
        let (name, node) = self
            .nodes
            .iter()
            .find(|(name, _)| output.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('/')))
            .unwrap();
        self.store.tree(&node.tree().unwrap()).unwrap().files[&output[name.len() + 1..]].digest
    }

    pub(crate) fn outcome(&mut self, name: &str, outcome: Outcome) {
        self.nodes.get_mut(name).unwrap().outcome = outcome;
    }

    /// Takes the weights from all trainings: those made up here are no network's.
    pub(crate) fn without_weights(&mut self) {
        for node in self.nodes.values_mut().filter(|node| node.stage == "train") {
            let tree = self.store.tree(&node.tree().unwrap()).unwrap();
            let kept = tree.files.into_iter().filter(|(path, _)| !path.ends_with(".safetensors"));
            let files = kept.map(|(path, entry)| (path, self.store.read(&entry.digest).unwrap().to_vec())).collect();
            node.outcome = Outcome::Tree(self.store.put_tree(&files).unwrap().0);
        }
    }

    /// Adds a search whose trials went like this.
    pub(crate) fn search(mut self, name: &str, trials: &[Trial]) -> Self {
        let space =
            json!({ "activation": { "choice": ["relu", "elu"] }, "lr_rate_mult": { "loguniform": [-0.5, 0.5] } });
        self.stage(
            name,
            json!({ "Search": { "trials": trials.len(), "lag": 2, "sampler": { "Tpe": { "startup": 4 } }, "space": space,
            "trial": { "Train": { "data": "data", "augment": "flip", "epochs": 6, "model": "HyperCnn",
                "objective": { "maximise": { "Best": "valid.fine_accuracy" } } } } } }),
        );
        let mut best: Option<(usize, f64, Value)> = None;
        for (i, trial) in trials.iter().enumerate() {
            let mut labels = json!({ "activation": (if i % 2 == 0 { "relu" } else { "elu" }), "lr_rate_mult": 1.0 + 0.25 * i as f64 });
            for label in 2..self.n_labels {
                labels[format!("conv_hiddn_units_{label}")] = (0.123_456_7 * (label + i) as f64).into();
            }
            let proposal = json!({ "format": 1, "labels": labels, "values": labels });
            let node = |work: &str| format!("{name}/{work}/{i:03}");
            self.add(
                &node("propose"),
                "propose",
                name,
                json!({ "trial": i }),
                &[],
                vec![("proposal.json", params::record(&proposal))],
            );
            let proposal = format!("{}/proposal.json", node("propose"));
            let policy = self.nodes.contains_key("flip").then_some(("augment", "flip/policy.json"));
            let inputs: Vec<_> = [("proposal", proposal.as_str())].into_iter().chain(policy).collect();
            self.add(&node("train"), "train", name, json!({ "epochs": trial.epochs }), &inputs, trial.files());
            if trial.value.is_some_and(|value| best.as_ref().is_none_or(|(_, best, _)| value > *best)) {
                best = Some((i, trial.value.unwrap(), labels));
            }
        }
        let Some((trial, value, labels)) = best else { return self };
        let record = json!({ "format": 1, "trial": trial, "loss": -value, "labels": labels, "trials": trials.len(),
            "completed": trials.iter().filter(|trial| trial.value.is_some()).count(), "epoch": 3 });
        let proposal = json!({ "format": 1, "labels": labels, "values": labels });
        let files = vec![("best.json", params::record(&record)), ("proposal.json", params::record(&proposal))];
        self.add(&format!("{name}/select"), "select", name, json!({ "trials": trials.len() }), &[], files);
        self
    }

    /// Returns the store and the study.
    pub(crate) fn done(self) -> (TestStore, Study) {
        let pipeline = self.store.put(&params::record(&self.pipeline)).unwrap();
        let study = Study::new(pipeline, Vec::new(), self.nodes);
        self.store.put(&study.record()).unwrap();
        (self.store, study)
    }
}

fn architecture() -> Value {
    let layer = |name: &str, kind: Value, input: &str, shape: &[u32], parameters: u32, flops: u64| {
        let mut layer = json!({ "name": name, "inputs": [input], "shape": shape, "parameters": parameters, "statistics": 0,
            "flops": flops });
        layer.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
        layer
    };
    let conv = json!({ "kind": "conv", "filters": 8, "kernel": 3, "stride": 1, "padding": "same" });
    let pool = json!({ "kind": "max_pool", "size": 2, "stride": 2, "padding": "valid" });
    let dense = json!({ "kind": "dense", "units": 100 });
    json!({ "format": 1, "input": [3, 32, 32], "parameters": 4030, "flops": 1_228_800, "heads": [{ "name": "fine", "classes": 100 }],
        "layers": [
            layer("conv2d_1", conv, "input", &[8, 32, 32], 224, 442_368),
            layer("max_pooling2d_1", pool, "conv2d_1", &[8, 16, 16], 0, 8192),
            layer("fine", dense, "max_pooling2d_1", &[100], 3806, 778_240),
        ] })
}

/// Returns a safetensors file with one tensor.
pub(crate) fn safetensors(content: &str) -> Vec<u8> {
    let data = Digest::of(content.as_bytes());
    let header = r#"{"fine.kernel":{"dtype":"U8","shape":[4,8],"data_offsets":[0,32]}}"#;
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data.as_bytes().as_slice()].concat()
}

/// Returns a picture: stripes in colour, stored without compression.
pub(crate) fn png(width: u32, height: u32, seed: u32) -> Vec<u8> {
    let mut pixels = Vec::new();
    for y in 0..height {
        pixels.push(0);
        pixels.extend((0..width).flat_map(|x| [(x * seed) as u8, (y * 3) as u8, ((x / 34 + y / 34) * 60) as u8]));
    }
    let mut zlib = vec![0x78, 1];
    for (i, block) in pixels.chunks(0xffff).enumerate() {
        zlib.push(u8::from((i + 1) * 0xffff >= pixels.len()));
        zlib.extend((block.len() as u16).to_le_bytes());
        zlib.extend((!(block.len() as u16)).to_le_bytes());
        zlib.extend(block);
    }
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in &pixels {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    zlib.extend((b << 16 | a).to_be_bytes());
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    for (name, data) in [(b"IHDR", header), (b"IDAT", zlib), (b"IEND", Vec::new())] {
        let chunk = [name.as_slice(), &data].concat();
        png.extend((data.len() as u32).to_be_bytes());
        png.extend(&chunk);
        png.extend(crc32(&chunk).to_be_bytes());
    }
    png
}

fn crc32(bytes: &[u8]) -> u32 {
    let shift = |crc: u32| if crc & 1 == 1 { 0xedb8_8320 ^ crc >> 1 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| shift(crc)))
}
