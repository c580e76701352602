//! A trained network of a study, put to use on pictures.

use std::collections::BTreeMap;

use pipe_engine::study::{self, StudyError, StudyNode};
use pipe_stages::{
    decode,
    images::{
        Policy,
        dataset::{self, Dataset, Labels},
    },
    network::{Architecture, Predictor},
    records::Record,
    stage::{ComputeDevice, Inputs, StageError},
};
use pipe_store::{Digest, Store};
use serde::Serialize;

/// A network with what its inputs and outputs mean.
pub struct Model {
    predictor: Predictor,
    labels: Labels,
    policy: Policy,
}

/// Why there is no prediction.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    #[error("`{0}` is no training: it has no network")]
    NoNetwork(String),
    #[error("`{0}` kept no weights")]
    NoWeights(String),
    #[error(transparent)]
    Stage(#[from] StageError),
    #[error(transparent)]
    Study(#[from] StudyError),
    #[error(transparent)]
    Store(#[from] pipe_store::StoreError),
}

/// What a network says of one picture, per head, most likely first.
#[derive(Debug, Serialize)]
pub struct Prediction {
    pub image: String,
    pub heads: BTreeMap<String, Vec<ClassProbability>>,
}

/// A class and its probability, 0 to 1.
#[derive(Debug, Serialize)]
pub struct ClassProbability {
    pub class: String,
    pub probability: f32,
}

/// Images that are computed at once.
const BATCH: usize = 64;

/// Returns the files of the network that the node `name` trained: its inputs by their slots, `architecture`, and `weights`,
/// the best ones, or the last ones where no others were kept.
///
/// # Errors
/// If the node trained no network, or kept no weights.
pub(crate) fn slots(store: &Store, name: &str, node: &StudyNode) -> Result<BTreeMap<String, Digest>, PredictError> {
    let no_network = || PredictError::NoNetwork(name.to_owned());
    let tree = study::tree_of(store, node)?.ok_or_else(no_network)?;
    let file = |path: &str| tree.files.get(path).map(|entry| entry.digest);
    let architecture = file(Architecture::FILE).ok_or_else(no_network)?;
    let any = tree.files.iter().rev().find(|(path, _)| path.ends_with("/weights.safetensors"));
    let weights = file("best/weights.safetensors")
        .or_else(|| file("last/weights.safetensors"))
        .or_else(|| any.map(|(_, entry)| entry.digest))
        .ok_or_else(|| PredictError::NoWeights(name.to_owned()))?;
    let action = study::action(store, &node.action.ok_or_else(no_network)?)?;
    let mut slots: BTreeMap<String, Digest> = action.inputs;
    slots.insert("architecture".to_owned(), architecture);
    slots.insert("weights".to_owned(), weights);
    Ok(slots)
}

impl Model {
    /// Returns the network that the node `name` trained: its best weights, or the last ones where no others were kept.
    pub fn of_node(store: &Store, name: &str, node: &StudyNode) -> Result<Self, PredictError> {
        let slots = slots(store, name, node)?;
        let inputs = Inputs::new(&slots, store);
        let labels: Labels = inputs.record("labels")?;
        let policy = Policy::of_inputs(&inputs, labels.image)?;
        let predictor = Predictor::load(&inputs.bytes("architecture")?, inputs.bytes("weights")?, ComputeDevice::Cpu)?;
        Ok(Self { predictor, labels, policy })
    }

    /// Returns the pixels of a PNG or JPEG picture as the network takes them.
    ///
    /// # Errors
    /// If the bytes are no such picture: what is wrong with them.
    pub fn picture(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        decode::picture(bytes, self.labels.image)
    }

    /// Returns what the network says of `pictures`, each a name and its pixels; the `top` most likely classes.
    pub fn predict(&self, pictures: Vec<(String, Vec<u8>)>, top: usize) -> Result<Vec<Prediction>, PredictError> {
        let (names, pixels): (Vec<_>, Vec<_>) = pictures.into_iter().unzip();
        let n = names.len();
        let dataset = Dataset::read(dataset::write(self.labels.image, pixels.concat(), &[]).into())?;
        let mut images = vec![0.0; n * self.labels.image.bytes()];
        let indices: Vec<u32> = (0..n as u32).collect();
        self.policy.fill(&dataset, &indices, None, 0, &mut images);
        let probabilities = self.predictor.probabilities(&images, BATCH);
        let of_image = |(i, image): (usize, String)| {
            let heads = self.labels.heads.iter().map(|head| {
                let classes = head.classes.len();
                let mut ranked: Vec<_> = probabilities[&head.name][i * classes..][..classes]
                    .iter()
                    .zip(&head.classes)
                    .map(|(&probability, class)| ClassProbability { class: class.clone(), probability })
                    .collect();
                ranked.sort_by(|a, b| b.probability.total_cmp(&a.probability));
                ranked.truncate(top);
                (head.name.clone(), ranked)
            });
            Prediction { image, heads: heads.collect() }
        };
        Ok(names.into_iter().enumerate().map(of_image).collect())
    }

    /// Returns the heads' names, the main one first.
    pub fn heads(&self) -> impl Iterator<Item = &str> {
        self.labels.heads.iter().map(|head| head.name.as_str())
    }
}
