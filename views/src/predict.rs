//! Classifies pictures with a trained network of a study.

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

/// A trained network with the meaning of its inputs and outputs.
pub struct Model {
    predictor: Predictor,
    labels: Labels,
    policy: Policy,
}

/// Why there is no prediction.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    #[error("`{0}` is not a training: it has no network")]
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

/// What a network predicts for one picture: for each head, the classes by falling probability.
#[derive(Debug, Serialize)]
pub struct Prediction {
    pub image: String,
    pub heads: BTreeMap<String, Vec<ClassProbability>>,
}

/// A class and its probability, from 0 to 1.
#[derive(Debug, Serialize)]
pub struct ClassProbability {
    pub class: String,
    pub probability: f32,
}

/// The number of images in a batch.
const BATCH: usize = 64;

/// Returns the files of the network that the node `name` trained, by slot: the inputs of the training, `architecture` and
/// `weights`. The weights are the best ones, or the last ones if the best were not kept.
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
    /// Returns the network that the node `name` trained, with its best weights, or the last ones if the best were not kept.
    pub fn of_node(store: &Store, name: &str, node: &StudyNode) -> Result<Self, PredictError> {
        let slots = slots(store, name, node)?;
        let inputs = Inputs::new(&slots, store);
        let labels: Labels = inputs.record("labels")?;
        let policy = Policy::of_inputs(&inputs, labels.image)?;
        let predictor = Predictor::load(inputs.record("architecture")?, inputs.bytes("weights")?, ComputeDevice::Cpu)?;
        Ok(Self { predictor, labels, policy })
    }

    /// Decodes a PNG or JPEG picture and returns its pixels in the size and channels of the network.
    ///
    /// # Errors
    /// If the picture cannot be decoded, with the reason.
    pub fn picture(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        decode::picture(bytes, self.labels.image)
    }

    /// Returns the `top` most likely classes of each of `pictures`, given as (name, pixels).
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

    /// Returns the names of the heads, the main one first.
    pub fn heads(&self) -> impl Iterator<Item = &str> {
        self.labels.heads.iter().map(|head| head.name.as_str())
    }
}
