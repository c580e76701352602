//! The network of a node: the one that was trained, or the one that a proposal describes.

use pipe_engine::{pipeline::stage::TrainSpec, study::Study};
use pipe_stages::{
    StageName,
    network::{Architecture, ModelError, Proposed},
    records::{self, Labels, RecordError},
    train,
};
use pipe_store::Store;
use serde_json::{Map, Value};

use crate::{ViewError, outputs::Outputs};

/// Why the network of a node is not known.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("`{0}` is neither a training nor a proposal: it has no network")]
    None(String),
    #[error("the labels of `{0}` are not in this study: the shape of its images is not known")]
    NoData(String),
    #[error("`{node}` cannot be built: {source}")]
    Model { node: String, source: ModelError },
    #[error(transparent)]
    View(#[from] ViewError),
}

/// Why a text is not a proposal.
#[derive(Debug, thiserror::Error)]
pub enum ProposalError {
    #[error("expected a JSON object of hyperparameters by name: {0}")]
    Hyperparameters(#[from] serde_json::Error),
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl From<pipe_store::StoreError> for NetworkError {
    fn from(error: pipe_store::StoreError) -> Self {
        Self::View(error.into())
    }
}

/// Returns the network of the node `name`. A training that has been run has a record of its network. For any other training,
/// and for a proposal, the network is built from the hyperparameters.
///
/// # Errors
/// If the node is neither a training nor a proposal, its data are not known, or the network cannot be built.
pub fn of_node(store: &Store, study: &Study, name: &str) -> Result<Architecture, NetworkError> {
    let node = study.nodes.get(name).ok_or_else(|| NetworkError::None(name.to_owned()))?;
    let outputs = Outputs::of(store, name, node)?;
    if let Some(network) = outputs.as_ref().map(Outputs::record).transpose()?.flatten() {
        return Ok(network);
    }
    let proposal = || study.trial_of(name).and_then(|trial| trial.proposal);
    let proposed = match node.kind() {
        Some(StageName::Train) if node.part_of == name => Some(records::Proposal::default()),
        Some(StageName::Train | StageName::Propose | StageName::Promote) => {
            let outputs = proposal().map(|(name, node)| Outputs::of(store, name, node)).transpose()?;
            outputs.flatten().map(|outputs| outputs.record()).transpose()?.flatten()
        }
        _ => None,
    };
    let proposal = proposed.ok_or_else(|| NetworkError::None(name.to_owned()))?.into();
    of_proposal(store, study, name, &node.part_of, &proposal)
}

/// Returns the network that this proposal gives in the stage `stage`, a search or a training. Errors call it `name`.
///
/// # Errors
/// If `stage` trains nothing, its data are not known, or the network cannot be built.
pub fn of_proposal(
    store: &Store,
    study: &Study,
    name: &str,
    stage: &str,
    proposal: &Proposed,
) -> Result<Architecture, NetworkError> {
    let none = || NetworkError::None(name.to_owned());
    let pipeline = study.read_pipeline(store).map_err(ViewError::Study)?;
    let TrainSpec { data, train, .. } = pipeline.stages.training(stage).ok_or_else(none)?;
    let no_data = || NetworkError::NoData(data.clone());
    let node = study.nodes.get(data).ok_or_else(no_data)?;
    let outputs = Outputs::of(store, data, node)?.ok_or_else(no_data)?;
    let labels: Labels = outputs.record()?.ok_or_else(no_data)?;
    train::architecture(train, proposal, &labels)
        .map_err(|source| NetworkError::Model { node: name.to_owned(), source })
}

/// Reads a proposal: the record that a search writes, which has `format`, or else an object of hyperparameters by name.
///
/// # Errors
/// If it is neither.
pub fn parse_proposal(text: &[u8]) -> Result<Proposed, ProposalError> {
    let values: Map<String, Value> = serde_json::from_slice(text)?;
    if values.contains_key("format") {
        return Ok(records::read::<records::Proposal>(text)?.into());
    }
    Ok(Proposed { labels: values.clone(), values })
}

#[cfg(test)]
mod tests {
    use pipe_engine::study::Outcome;
    use serde_json::json;

    use super::*;
    use crate::testing::{Builder, Trial};

    fn study() -> Builder {
        Builder::new().with_data().search("search", &[Trial::completed(0.3), Trial::completed(0.4)])
    }

    fn proposal(values: Value) -> Proposed {
        parse_proposal(values.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_proposal_is_a_record_or_an_object_of_hyperparameters() {
        let written = parse_proposal(br#"{ "lr_rate_mult": 2 }"#).unwrap();
        assert_eq!((&written.values, &written.labels["lr_rate_mult"]), (&written.labels, &json!(2)));
        let record = parse_proposal(br#"{ "format": 1, "labels": { "n": 3 }, "values": { "units": 8 } }"#).unwrap();
        assert_eq!(json!([record.values, record.labels]), json!([{ "units": 8 }, { "n": 3, "units": 8 }]));
        let check = |text: &str, expected: &str| {
            let error = parse_proposal(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        };
        check("[8]", "expected a JSON object of hyperparameters by name: invalid type: sequence, expected a map");
        check(r#"{ "format": 2 }"#, "its format is 2, this build reads format 1");
        check(r#"{ "format": 1, "labels": {}, "values": 8 }"#, "`values`: invalid type: integer `8`, expected a map");
    }

    #[test]
    fn a_proposal_that_was_not_trained_has_a_network() {
        let mut builder = study();
        builder.outcome("search/train/001", Outcome::Crash);
        let (store, study) = builder.done();
        let trained = of_node(&store, &study, "search/train/000").unwrap();
        assert_eq!(trained, of_node(&store, &study, "search/propose/000").unwrap());
        let proposed = of_node(&store, &study, "search/train/001").unwrap();
        assert_eq!(proposed, of_node(&store, &study, "search/propose/001").unwrap());
        assert_eq!((proposed.input, proposed.heads[0].classes), ([3, 32, 32], 100));
        let wide = proposal(json!({ "conv_hiddn_units_mult": 2.0 }));
        let wide = of_proposal(&store, &study, "mine", "search", &wide).unwrap();
        assert!(wide.parameters > proposed.parameters);
    }

    #[test]
    fn a_promoted_trial_that_was_not_trained_has_the_network_of_the_trial_it_continues() {
        let trials = [Trial::completed(0.3), Trial::completed(0.4), Trial::completed(0.5)];
        let mut builder = Builder::new().with_data().halving("search", &trials);
        builder.outcome("search/train/002", Outcome::Crash);
        let (store, study) = builder.done();
        let network = |name| of_node(&store, &study, name).unwrap();
        assert_eq!(network("search/train/002"), network("search/train/001"));
        assert_eq!(network("search/promote/002"), network("search/propose/001"));
    }

    #[test]
    fn a_node_without_a_network_is_refused_with_the_reason() {
        let (store, study) = study().done();
        let error = of_node(&store, &study, "data").unwrap_err().to_string();
        assert_eq!(error, "`data` is neither a training nor a proposal: it has no network");
        let deep = proposal(json!({ "activation": "tanh" }));
        let error = of_proposal(&store, &study, "mine", "search", &deep).unwrap_err().to_string();
        assert!(error.starts_with("`mine` cannot be built: `activation` is "), "{error}");
        let (store, mut study) = self::study().done();
        study.nodes.remove("data");
        let error = of_node(&store, &study, "search/propose/000").unwrap_err().to_string();
        assert!(error.starts_with("the labels of `data` are not in this study"), "{error}");
    }
}
