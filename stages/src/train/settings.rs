//! The values a training goes by: the parameters with the proposal's values filled in, checked.

use serde_json::{Map, Value};

use super::{
    data::{Data, Proposal},
    optimizer::OptimizerKind,
    params::{BATCH, EPOCHS, Epochs, Model, NamedEpochs, Train},
};
use crate::{
    model::{Architecture, HyperCnn, ModelError},
    params::Hyper,
    stage::{Inputs, StageError},
};

/// Everything that a training goes by, but its data.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) architecture: Architecture,
    pub(crate) epochs: u32,
    pub(crate) batch: usize,
    pub(crate) learning_rate: f64,
    pub(crate) l2: f64,
    pub(crate) optimizer: OptimizerKind,
    /// Weight of each head's loss.
    pub(crate) head_weights: Vec<f64>,
    /// Every hyperparameter of the family with the value used.
    pub(crate) hyperparameters: Map<String, Value>,
}

/// Why there are no settings.
pub(crate) enum Unsettled {
    /// The proposal is for a network that cannot be built: a result of the trial.
    Infeasible(ModelError),
    Stage(StageError),
}

impl From<StageError> for Unsettled {
    fn from(error: StageError) -> Self {
        Self::Stage(error)
    }
}

impl Settings {
    /// Returns the settings of a training on `data`.
    pub(crate) fn resolve(
        train: &Train,
        proposal: &Proposal,
        data: &Data,
        inputs: &Inputs<'_>,
    ) -> Result<Self, Unsettled> {
        let Model::HyperCnn(family) = &train.model;
        let architecture =
            family.architecture(&proposal.values, data.shape, &data.heads).map_err(Unsettled::Infeasible)?;
        let keys = Keys { family, proposal };
        let epochs = epochs(train, proposal, inputs)?;
        let batch = keys.or("batch_size", &train.batch)?;
        check(BATCH.contains(&batch), "batch", batch, "1 to 65536")?;
        let learning_rate = resolve("learning_rate", &train.learning_rate, proposal)? * keys.factor("lr_rate_mult")?;
        check(learning_rate > 0.0 && learning_rate.is_finite(), "learning_rate", learning_rate, "above 0")?;
        let l2 = resolve("l2", &train.l2, proposal)? * keys.factor("l2_weight_reg_mult")?;
        check(l2 >= 0.0 && l2.is_finite(), "l2", l2, "at least 0")?;
        let optimizer = keys.or("optimizer", &train.optimizer)?;
        let second: f64 = keys.or("coarse_labels_weight", &train.coarse_labels_weight)?;
        check(second >= 0.0 && second.is_finite(), "coarse_labels_weight", second, "at least 0")?;
        let mut hyperparameters: Map<String, Value> = HyperCnn::keys()
            .iter()
            .filter_map(|&key| Some((key.to_owned(), family.value(&proposal.values, key)?)))
            .collect();
        hyperparameters.insert("batch_size".into(), batch.into());
        hyperparameters.insert("optimizer".into(), serde_json::json!(optimizer));
        if data.heads.len() > 1 {
            hyperparameters.insert("coarse_labels_weight".into(), second.into());
        }
        let head_weights = (0..data.heads.len()).map(|head| if head == 0 { 1.0 } else { second }).collect();
        Ok(Self {
            architecture,
            epochs,
            batch: batch as usize,
            learning_rate,
            l2,
            optimizer,
            head_weights,
            hyperparameters,
        })
    }
}

fn epochs(train: &Train, proposal: &Proposal, inputs: &Inputs<'_>) -> Result<u32, StageError> {
    #[derive(serde::Deserialize)]
    struct Best {
        epoch: Option<u32>,
    }
    let epochs = match resolve("epochs", &train.epochs, proposal)? {
        Epochs::Count(epochs) => epochs,
        Epochs::Named(NamedEpochs::BestEpoch) => {
            let best: Best = inputs.json("best")?;
            best.epoch.ok_or_else(|| StageError::failed("no trial has a best epoch: none came to an end"))?
        }
    };
    check(EPOCHS.contains(&epochs), "epochs", epochs, "1 to 100000")?;
    Ok(epochs)
}

fn check(fine: bool, name: &str, found: impl std::fmt::Display, expected: &str) -> Result<(), StageError> {
    if fine { Ok(()) } else { Err(StageError::failed(format!("`{name}` is {found}, expected {expected}"))) }
}

fn resolve<T>(name: &str, value: &Hyper<T>, proposal: &Proposal) -> Result<T, StageError>
where
    T: serde::de::DeserializeOwned + Clone,
{
    value.resolve(&proposal.labels).map_err(|error| StageError::failed(format!("`{name}`: {error}")))
}

/// The family's hyperparameters that steer the training.
struct Keys<'a> {
    family: &'a HyperCnn,
    proposal: &'a Proposal,
}

impl Keys<'_> {
    /// Returns the hyperparameter `key`, else the parameter `otherwise`.
    fn or<T>(&self, key: &str, otherwise: &Hyper<T>) -> Result<T, StageError>
    where
        T: serde::de::DeserializeOwned + Clone,
    {
        match self.family.value(&self.proposal.values, key) {
            // By way of a label, so that a quantised 32.0 is read as the integer it is.
            Some(value) => resolve(
                key,
                &Hyper::<T>::Label(key.to_owned()),
                &Proposal { labels: Map::from_iter([(key.to_owned(), value)]), ..Proposal::default() },
            ),
            None => resolve(key, otherwise, self.proposal),
        }
    }

    fn factor(&self, key: &str) -> Result<f64, StageError> {
        self.or(key, &Hyper::Value(1.0))
    }
}
