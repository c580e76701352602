//! The values a training goes by: the parameters with the proposal's values filled in, checked.

use serde_json::{Map, Value};

use super::params::{BATCH, EPOCHS, Epochs, NamedEpochs, SHARE, Train, is_share};
use crate::{
    network::{
        Family, Proposal,
        training::{Settings, data::Data, loss::Criterion, optimizer::Rule},
    },
    params::Hyper,
    records::Best,
    stage::{Inputs, StageError},
};

/// Why there are no settings.
pub(crate) enum Unsettled {
    /// A value cannot be used, or the network cannot be built; of a proposal, a result of the trial.
    Infeasible(String),
    Stage(StageError),
}

impl From<StageError> for Unsettled {
    fn from(error: StageError) -> Self {
        Self::Stage(error)
    }
}

/// Returns the settings of a training on `data`.
pub(super) fn settle(
    train: &Train,
    proposal: &Proposal,
    data: &Data,
    inputs: &Inputs<'_>,
) -> Result<Settings, Unsettled> {
    let family = train.model.family();
    let architecture = family
        .architecture(proposal, data.shape, &data.heads)
        .map_err(|error| Unsettled::Infeasible(error.to_string()))?;
    let keys = Keys { family, proposal };
    let epochs = epochs(train, proposal, inputs)?;
    let whole = "a whole number of 1 to 65536";
    let batch = keys.or("batch_size", &train.batch, whole, |batch| BATCH.contains(batch))?;
    let rate = resolve("learning_rate", &train.learning_rate, &proposal.labels, POSITIVE, is_positive)?;
    let learning_rate = rate * keys.or("lr_rate_mult", &Hyper::Value(1.0), POSITIVE, is_positive)?;
    check(is_positive(&learning_rate), "learning_rate", learning_rate, POSITIVE)?;
    let l2 = resolve("l2", &train.l2, &proposal.labels, NOT_NEGATIVE, is_not_negative)?
        * keys.or("l2_weight_reg_mult", &Hyper::Value(1.0), NOT_NEGATIVE, is_not_negative)?;
    check(is_not_negative(&l2), "l2", l2, NOT_NEGATIVE)?;
    let expected = "`Adam`, `AdamW`, `Nadam`, `RMSprop` or `SGD`";
    let optimizer = keys.or("optimizer", &train.optimizer, expected, |_| true)?;
    let share = |name, value| resolve(name, value, &proposal.labels, SHARE, is_share);
    let rule = Rule {
        learning_rate,
        l2,
        clip_norm: match &train.clip_norm {
            Some(norm) => Some(resolve("clip_norm", norm, &proposal.labels, POSITIVE, is_positive)?),
            None => None,
        },
        momentum: share("momentum", &train.momentum)?,
        nesterov: resolve("nesterov", &train.nesterov, &proposal.labels, "true or false", |_| true)?,
        weight_decay: resolve("weight_decay", &train.weight_decay, &proposal.labels, NOT_NEGATIVE, is_not_negative)?,
    };
    let losses = "`CrossEntropy`, `Poisson` or `MeanSquaredError`";
    let criterion = Criterion {
        loss: resolve("loss", &train.loss, &proposal.labels, losses, |_| true)?,
        smoothing: share("label_smoothing", &train.label_smoothing)?,
    };
    let second: f64 = keys.or("coarse_labels_weight", &train.coarse_labels_weight, NOT_NEGATIVE, is_not_negative)?;
    let mut hyperparameters: Map<String, Value> = family
        .keys()
        .into_iter()
        .filter_map(|key| Some((key.to_owned(), family.value(&proposal.values, key)?)))
        .collect();
    hyperparameters.insert("batch_size".into(), batch.into());
    hyperparameters.insert("optimizer".into(), serde_json::json!(optimizer));
    if data.heads.len() > 1 {
        hyperparameters.insert("coarse_labels_weight".into(), second.into());
    }
    let head_weights = (0..data.heads.len()).map(|head| if head == 0 { 1.0 } else { second }).collect();
    Ok(Settings {
        architecture,
        epochs,
        batch: batch as usize,
        optimizer,
        rule,
        criterion,
        head_weights,
        hyperparameters,
        schedule: train.schedule.clone(),
        objective: train.objective.clone(),
        early_stopping: train.early_stopping.clone(),
        keep: train.keep.clone(),
    })
}

const POSITIVE: &str = "a number above 0";
const NOT_NEGATIVE: &str = "a number of at least 0";

fn is_positive(x: &f64) -> bool {
    *x > 0.0 && x.is_finite()
}

fn is_not_negative(x: &f64) -> bool {
    *x >= 0.0 && x.is_finite()
}

fn epochs(train: &Train, proposal: &Proposal, inputs: &Inputs<'_>) -> Result<u32, Unsettled> {
    const EXPECTED: &str = "a whole number of 1 to 100000";
    if train.epochs == Hyper::Value(Epochs::Named(NamedEpochs::BestEpoch)) {
        let best: Best = inputs.record("best")?;
        let epochs = best.epoch.ok_or_else(|| StageError::failed("no trial has a best epoch: none came to an end"))?;
        check(EPOCHS.contains(&epochs), "epochs", epochs, EXPECTED)?;
        return Ok(epochs);
    }
    let fine = |epochs: &Epochs| matches!(epochs, Epochs::Count(n) if EPOCHS.contains(n));
    match resolve("epochs", &train.epochs, &proposal.labels, EXPECTED, fine)? {
        Epochs::Count(epochs) => Ok(epochs),
        Epochs::Named(_) => unreachable!("only a count is fine"),
    }
}

fn check(fine: bool, name: &str, found: impl std::fmt::Display, expected: &str) -> Result<(), Unsettled> {
    if fine { Ok(()) } else { Err(Unsettled::Infeasible(format!("`{name}` is {found}, expected {expected}"))) }
}

/// Returns the value of the parameter `name`, looked up among `labels` if it is a label.
fn resolve<T>(
    name: &str,
    value: &Hyper<T>,
    labels: &Map<String, Value>,
    expected: &str,
    fine: impl Fn(&T) -> bool,
) -> Result<T, Unsettled>
where
    T: serde::de::DeserializeOwned + serde::Serialize + Clone,
{
    match value {
        Hyper::Value(value) => {
            check(fine(value), name, serde_json::json!(value), expected)?;
            Ok(value.clone())
        }
        Hyper::Label(label) => {
            let missing = || StageError::failed(format!("`{name}`: the proposal has no label `{label}`"));
            let proposed = labels.get(label).ok_or_else(missing)?;
            let unusable =
                || Unsettled::Infeasible(format!("label `{label}` proposes {proposed}, expected {expected}"));
            value.resolve(labels).ok().filter(fine).ok_or_else(unusable)
        }
    }
}

/// The family's hyperparameters that steer the training.
struct Keys<'a> {
    family: &'a dyn Family,
    proposal: &'a Proposal,
}

impl Keys<'_> {
    /// Returns the hyperparameter `key`, else the parameter `otherwise`.
    fn or<T>(&self, key: &str, otherwise: &Hyper<T>, expected: &str, fine: impl Fn(&T) -> bool) -> Result<T, Unsettled>
    where
        T: serde::de::DeserializeOwned + serde::Serialize + Clone,
    {
        match self.family.value(&self.proposal.values, key) {
            // By way of a label, so that a quantised 32.0 is read as the integer it is.
            Some(value) => {
                let alone = Map::from_iter([(key.to_owned(), value)]);
                resolve(key, &Hyper::<T>::Label(key.to_owned()), &alone, expected, fine)
            }
            None => resolve(key, otherwise, &self.proposal.labels, expected, fine),
        }
    }
}
