//! Classifies pictures with a trained network of a study.

use std::collections::BTreeMap;

use pipe_engine::study::{self, Study};
use pipe_stages::{
    StageName,
    decode::{self, Decode},
    images::{
        Policy,
        dataset::{self, Dataset, Labels},
        heat,
    },
    network::{Architecture, Backend, Predictor, Weights},
    pictures::Reading,
    records::Record,
    stage::{ComputeDevice, Inputs, StageError},
};
use pipe_store::{Digest, ObjectSource, Store, StoreError};
use serde::Serialize;

use crate::{ViewError, outputs::Outputs};

/// A trained network with the meaning of its inputs and outputs.
pub struct Model {
    predictor: Predictor,
    labels: Labels,
    policy: Policy,
    reading: Reading,
}

/// Why there is no prediction.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    #[error("`{0}` is not a training: it has no network")]
    NoNetwork(String),
    #[error("`{0}` kept no weights")]
    NoWeights(String),
    /// There is nothing to lay over a picture.
    #[error("the network has no convolution whose feature map everything passes through: there is nothing to draw")]
    NoMap,
    #[error(transparent)]
    Stage(#[from] StageError),
    #[error(transparent)]
    View(#[from] ViewError),
}

impl From<StoreError> for PredictError {
    fn from(error: StoreError) -> Self {
        Self::View(error.into())
    }
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
pub const BATCH: usize = 64;

/// A trained network, as its training left it.
pub(crate) struct Trained {
    pub(crate) architecture: Architecture,
    /// The best weights, or the last ones if the best were not kept.
    pub(crate) weights: Weights,
    pub(crate) labels: Labels,
    pub(crate) policy: Policy,
    /// How the pictures became images.
    pub(crate) reading: Reading,
}

impl Trained {
    /// Reads the network that the node `name` trained.
    ///
    /// # Errors
    /// If the node trained no network or kept no weights, or one of the files cannot be read.
    pub(crate) fn of_node(store: &Store, study: &Study, name: &str) -> Result<Self, PredictError> {
        let no_network = || PredictError::NoNetwork(name.to_owned());
        let node = study.nodes.get(name).ok_or_else(no_network)?;
        let outputs = Outputs::of(store, name, node)?.ok_or_else(no_network)?;
        let architecture: Architecture = outputs.record()?.ok_or_else(no_network)?;
        let weights = weights(&outputs).ok_or_else(|| PredictError::NoWeights(name.to_owned()))?;
        let weights = Weights::read(&architecture, store.read(&weights)?)?;
        let action = study::action(store, &node.action.ok_or_else(no_network)?).map_err(ViewError::from)?;
        let inputs = Inputs::new(&action.inputs, store);
        let labels: Labels = match written(store, study, StageName::Decode, inputs.digest("labels"))? {
            Some(labels) => labels,
            None => inputs.record("labels")?,
        };
        let policy = match written(store, study, StageName::Augment, inputs.digest("policy"))? {
            Some(policy) => policy,
            None => Policy::of_inputs(&inputs, labels.image)?,
        };
        policy.check(labels.image)?;
        check(&architecture, &labels)?;
        let reading = reading(store, study, &inputs, &labels)?;
        Ok(Self { architecture, weights, labels, policy, reading })
    }
}

/// Returns how the pictures of a data set were read, or at least their size if its stage is not in the study.
fn reading(store: &Store, study: &Study, inputs: &Inputs<'_>, labels: &Labels) -> Result<Reading, PredictError> {
    let wanted = [(Labels::FILE, inputs.digest("labels")), ("train.safetensors", inputs.digest("train"))];
    for (name, node) in study.nodes.iter().filter(|(_, node)| node.is(StageName::Decode)) {
        let (Some(outputs), Some(key)) = (Outputs::of(store, name, node).ok().flatten(), node.action) else { continue };
        if wanted.iter().any(|(path, digest)| outputs.digest(path) != *digest) {
            continue;
        }
        let action = study::action(store, &key).map_err(ViewError::from)?;
        // Another version may have other parameters.
        let decode = serde_json::from_value::<Decode>((*action.params).clone());
        if let Some(decode) = decode.ok().filter(|decode| decode.format.size().is_some()) {
            return Ok(decode.reading());
        }
    }
    let side = |side: usize| {
        u32::try_from(side).map_err(|_| StageError::failed(format!("images have a side of {side} pixels")))
    };
    Ok(Reading::of_size(side(labels.image.height)?, side(labels.image.width)?))
}

/// Checks that the network is for images of these labels: its results are read by the names and numbers of their classes.
fn check(architecture: &Architecture, labels: &Labels) -> Result<(), StageError> {
    let image = [labels.image.channels, labels.image.height, labels.image.width];
    if architecture.input != image {
        let input = architecture.input;
        return Err(StageError::failed(format!("the network is for images of {input:?}, the labels for {image:?}")));
    }
    let of_network =
        architecture.heads.iter().map(|head| (head.name.as_str(), head.classes)).collect::<BTreeMap<_, _>>();
    let of_labels = labels.heads.iter().map(|head| (head.name.as_str(), head.classes.len())).collect();
    if of_network != of_labels {
        return Err(StageError::failed(format!(
            "the network has the heads and classes {of_network:?}, the labels have {of_labels:?}"
        )));
    }
    Ok(())
}

fn weights(outputs: &Outputs<'_>) -> Option<Digest> {
    let any = || outputs.tree.files.iter().rev().find(|(path, _)| path.ends_with("/weights.safetensors"));
    let kept = ["best/weights.safetensors", "last/weights.safetensors"];
    kept.iter().find_map(|path| outputs.digest(path)).or_else(|| any().map(|(_, entry)| entry.digest))
}

/// Reads the record with this digest as an output of the node that wrote it, so that an error names the node. Returns None if
/// the study has no such node: a study of selected stages may lack it.
fn written<R: Record>(
    store: &Store,
    study: &Study,
    writer: StageName,
    digest: Option<Digest>,
) -> Result<Option<R>, ViewError> {
    for (name, node) in study.nodes.iter().filter(|(_, node)| node.is(writer)) {
        // The tree of another node may be damaged. It does not matter here.
        let outputs = Outputs::of(store, name, node).ok().flatten();
        if let Some(outputs) = outputs.filter(|outputs| digest.is_some() && outputs.digest(R::FILE) == digest) {
            return outputs.record();
        }
    }
    Ok(None)
}

impl Model {
    /// Returns the network that the node `name` trained, with its best weights, or the last ones if the best were not kept.
    ///
    /// # Errors
    /// If the node trained no network or kept no weights, or one of the files cannot be read.
    pub fn of_node(store: &Store, study: &Study, name: &str) -> Result<Self, PredictError> {
        let Trained { architecture, weights, labels, policy, reading } = Trained::of_node(store, study, name)?;
        let predictor = Predictor::new(architecture, weights, Backend::of(ComputeDevice::CPU)?);
        Ok(Self { predictor, labels, policy, reading })
    }

    /// Decodes a picture as those of the data set were, and returns its pixels in the size and channels of the network.
    ///
    /// # Errors
    /// If the picture cannot be decoded, with the reason.
    pub fn picture(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        decode::picture(bytes, &self.reading, self.labels.image.channels)
    }

    /// Returns pictures as the network reads them: normalised, `[n, c, h, w]`.
    fn images(&self, pixels: Vec<u8>) -> Result<Vec<f32>, StageError> {
        let n = pixels.len() / self.labels.image.bytes();
        let dataset = Dataset::read(dataset::write(self.labels.image, pixels, &[]).into())?;
        let mut images = vec![0.0; n * self.labels.image.bytes()];
        let indices: Vec<u32> = (0..n as u32).collect();
        self.policy.fill(&dataset, &indices, None, 0, &mut images);
        Ok(images)
    }

    /// Returns a PNG for each of `pictures` (pixels): the picture, and for each head what the network looked at for its most likely
    /// class, by Grad-CAM.
    ///
    /// # Errors
    /// If the network has no feature map.
    pub fn explain(&self, pictures: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, PredictError> {
        let mut cam = self.predictor.grad_cam().ok_or(PredictError::NoMap)?;
        let mut drawn = Vec::new();
        for picture in pictures {
            let image = self.images(picture.clone())?;
            let logits = self.predictor.logits(&image, 1);
            let heats = self.labels.heads.iter().flat_map(|head| {
                let classes = &logits[&head.name];
                let best = (0..classes.len()).max_by(|a, b| classes[*a].total_cmp(&classes[*b]).then(b.cmp(a)));
                cam.heat(&image, &head.name, &[best.unwrap_or(0)])
            });
            let heats: Vec<_> = heats.collect();
            drawn.push(heat::beside(picture, self.labels.image, &heats));
        }
        Ok(drawn)
    }

    /// Returns the `top` most likely classes of each of `pictures`, given as (name, pixels).
    pub fn predict(&self, pictures: Vec<(String, Vec<u8>)>, top: usize) -> Result<Vec<Prediction>, PredictError> {
        let (names, pixels): (Vec<_>, Vec<_>) = pictures.into_iter().unzip();
        let images = self.images(pixels.concat())?;
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

#[cfg(test)]
mod tests {
    use pipe_engine::study::{Outcome, tree_of};

    use super::*;
    use crate::testing::{Builder, TestStore};

    const TRAINING: &str = "retrain_best";

    /// Returns a study in which `node` wrote `bytes` as `file`, and the training read them from `slot`.
    fn with_file(node: &str, file: &str, slot: &str, bytes: &[u8]) -> (TestStore, Study) {
        let (store, mut study) = Builder::whole(4).done();
        let tree = tree_of(&store, &study.nodes[node]).unwrap().unwrap();
        let content = |digest: Digest| store.read(&digest).unwrap().to_vec();
        let mut files: BTreeMap<_, _> =
            tree.files.into_iter().map(|(path, entry)| (path, content(entry.digest))).collect();
        files.insert(file.to_owned(), bytes.to_vec());
        study.nodes.get_mut(node).unwrap().outcome = Outcome::Tree(store.put_tree(&files).unwrap().0);
        let training = study.nodes.get_mut(TRAINING).unwrap();
        let mut action = study::action(&store, &training.action.unwrap()).unwrap();
        action.inputs.entry(slot.to_owned()).and_modify(|input| *input = Digest::of(bytes));
        training.action = Some(store.put(&action.record()).unwrap());
        (store, study)
    }

    #[test]
    fn an_error_names_the_node_the_file_and_the_field() {
        for (node, file, slot) in [
            ("data", Labels::FILE, "labels"),
            ("flip", Policy::FILE, "policy"),
            (TRAINING, Architecture::FILE, "architecture"),
        ] {
            let (store, study) = with_file(node, file, slot, br#"{ "format": true }"#);
            let error = Trained::of_node(&store, &study, TRAINING).err().unwrap().to_string();
            assert!(error.starts_with(&format!("`{node}/{file}` (")), "{error}");
            assert!(error.contains("cannot be read: `format`: invalid type: boolean `true`"), "{error}");
        }
    }

    #[test]
    fn labels_of_another_data_set_are_refused() {
        let labels = |edit: &str| {
            let (store, study) = Builder::whole(4).done();
            let labels = Trained::of_node(&store, &study, TRAINING).unwrap().labels;
            let mut labels = serde_json::to_value(&labels).unwrap();
            match edit {
                "image" => labels["image"]["height"] = 7.into(),
                _ => labels["heads"][0]["name"] = "other".into(),
            }
            let (store, study) = with_file("data", Labels::FILE, "labels", labels.to_string().as_bytes());
            Trained::of_node(&store, &study, TRAINING).err().unwrap().to_string()
        };
        assert!(labels("image").starts_with("the network is for images of "));
        assert!(labels("name").starts_with("the network has the heads and classes "));
    }

    #[test]
    fn a_study_without_the_node_that_wrote_the_labels_still_has_its_networks() {
        let (store, mut study) = Builder::whole(4).done();
        study.nodes.retain(|name, _| name == TRAINING);
        let trained = Trained::of_node(&store, &study, TRAINING).unwrap();
        assert_eq!(trained.labels.heads.len(), trained.architecture.heads.len());
    }
}
