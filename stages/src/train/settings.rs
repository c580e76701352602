//! The settings of a training: its parameters with the proposal's values filled in.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::params::{EPOCHS, Epochs, NamedEpochs, Train, balanced_twice};
use crate::{
    images::dataset::ImageShape,
    network::{
        Family, Proposed, Weight,
        families::TRAINING,
        training::{
            ClassWeights, Init, MetricName, Settings, TransferError, Unweighted, data::Data, frozen, history::Metric,
            optimizer::UpdateRule, transfer,
        },
    },
    params::{Declared, Domain, Hyper, Read, Unfilled, domain, proposed},
    records::{Best, Transfer},
    stage::{Inputs, StageError},
};

/// Why there are no settings.
pub(crate) enum Unsettled {
    /// A value is not allowed, or the network cannot be built. If a search proposed the values, this is a result of the trial.
    Infeasible(String),
    /// An error that the values did not cause.
    Stage(StageError),
}

impl From<StageError> for Unsettled {
    fn from(error: StageError) -> Self {
        Self::Stage(error)
    }
}

impl From<Unfilled> for Unsettled {
    fn from(unfilled: Unfilled) -> Self {
        match unfilled {
            Unfilled::Missing(why) => Self::Stage(StageError::failed(why.to_string())),
            Unfilled::Refused(why) => Self::Infeasible(why.to_string()),
        }
    }
}

/// Returns the settings of a training on `data`, and the parameters with the values that are used.
pub(super) fn settle(
    train: &Train,
    proposal: &Proposed,
    data: &Data,
    inputs: &Inputs<'_>,
) -> Result<(Settings, Train), Unsettled> {
    let family = train.model.family();
    let architecture = family
        .architecture(proposal, data.shape, &data.heads)
        .map_err(|error| Unsettled::Infeasible(error.to_string()))?;
    let used = used(train, proposal, inputs)?;
    let frozen = frozen(&architecture, &used.freeze).map_err(Unsettled::Infeasible)?;
    let policy = data.policy.filled_in(&proposal.labels)?;
    // Changes without labels were checked when the policy was read.
    let [channels, height, width] = data.shape;
    if let Some(why) = policy.misfit(ImageShape { channels, height, width }) {
        return Err(Unsettled::Infeasible(why));
    }
    let rule = UpdateRule {
        learning_rate: used.learning_rate.get(),
        l2: used.l2.get(),
        clip_norm: used.clip_norm.as_ref().map(Hyper::get),
        momentum: used.momentum.get(),
        nesterov: used.nesterov.get(),
        weight_decay: used.weight_decay.get(),
    };
    let (class_weights, sampling) = (used.class_weights.get(), used.sampling.get());
    if let Some(why) = balanced_twice(&class_weights, sampling) {
        return Err(Unsettled::Infeasible(format!("`class_weights`: {why}")));
    }
    let metric = |name: &str| Metric::new(name, &data.heads, data.n_validation().is_some());
    let metrics = [used.objective.metric()].into_iter().chain(used.metrics.iter().map(MetricName::as_str));
    let asked = Metric::asked(metrics.map(metric).collect::<Result<Vec<_>, _>>()?);
    let Epochs::Count(epochs) = used.epochs.get() else { unreachable!("the number of epochs is known") };
    let second = used.coarse_labels_weight.get();
    let mut hyperparameters: Map<String, Value> = family
        .keys()
        .into_iter()
        .filter_map(|key| Some((key.to_owned(), family.value(&proposal.values, key)?)))
        .collect();
    hyperparameters.insert("batch_size".into(), json!(used.batch));
    hyperparameters.insert("optimizer".into(), json!(used.optimizer));
    if data.heads.len() > 1 {
        hyperparameters.insert("coarse_labels_weight".into(), second.into());
    }
    let settings = Settings {
        architecture,
        policy,
        epochs,
        batch: used.batch.get() as usize,
        optimizer: used.optimizer.get(),
        rule,
        loss: used.loss.get(),
        label_smoothing: used.label_smoothing.get(),
        classes: data.classes.clone(),
        class_weights: weights(&class_weights, data)?,
        sampling,
        head_weights: (0..data.heads.len()).map(|head| if head == 0 { 1.0 } else { second }).collect(),
        hyperparameters,
        schedule: used.schedule.clone(),
        objective: used.objective.clone(),
        early_stopping: used.early_stopping.clone(),
        keep: used.keep.clone(),
        asked,
        frozen,
    };
    Ok((settings, used))
}

/// Returns the initial weights that are not drawn, by name, and what was taken, if the training starts from a file.
pub(super) fn given(
    train: &Train,
    settings: &Settings,
    inputs: &Inputs<'_>,
) -> Result<(BTreeMap<String, Weight>, Option<Transfer>), Unsettled> {
    let Some(Init::Weights(init)) = train.init.clone() else { return Ok(Default::default()) };
    match transfer(&settings.architecture, inputs.bytes("init")?, init) {
        Ok((weights, told)) => Ok((weights, Some(told))),
        Err(TransferError::File(error)) => Err(Unsettled::Stage(error)),
        Err(TransferError::Misfit(why)) => Err(Unsettled::Infeasible(format!("`init`: {why}"))),
    }
}

/// Returns the parameters with the values that are used: labels are filled in, the family's hyperparameters override the
/// training's, and multipliers are applied.
fn used(train: &Train, proposal: &Proposed, inputs: &Inputs<'_>) -> Result<Train, Unsettled> {
    let mut used = train.filled_in(&proposal.labels)?;
    used.model = train.model.with(&proposal.values);
    let steering = Steering { family: train.model.family(), proposal };
    if used.epochs == Hyper::Value(Epochs::Named(NamedEpochs::BestEpoch)) {
        if let Hyper::Label(label) = &train.epochs {
            let expected = u32::expected(&EPOCHS);
            return Err(Unsettled::Infeasible(format!("label `{label}` proposes \"BestEpoch\", expected {expected}")));
        }
        used.epochs = Hyper::Value(Epochs::Count(best_epoch(inputs)?));
    }
    if let Some(batch) = steering.value("batch_size")? {
        used.batch = Hyper::Value(batch);
    }
    if let Some(optimizer) = steering.value("optimizer")? {
        used.optimizer = Hyper::Value(optimizer);
    }
    if let Some(weight) = steering.value("coarse_labels_weight")? {
        used.coarse_labels_weight = Hyper::Value(weight);
    }
    if let Some(multiplier) = steering.value::<f64>("lr_rate_mult")? {
        used.learning_rate = product("learning_rate", &used.learning_rate, multiplier)?;
    }
    if let Some(multiplier) = steering.value::<f64>("l2_weight_reg_mult")? {
        used.l2 = product("l2", &used.l2, multiplier)?;
    }
    Ok(used)
}

/// Returns the weight of each class of the first head, or `None` if all are 1.
fn weights(class_weights: &ClassWeights, data: &Data) -> Result<Option<Vec<f64>>, Unsettled> {
    let mut images = vec![0; data.classes.len()];
    data.main_labels().for_each(|label| images[label as usize] += 1);
    class_weights.of(&data.classes, &images).map_err(|why| match why {
        Unweighted::Unknown(found, hint) => Unsettled::Stage(StageError::failed_with_hint(found, hint)),
        Unweighted::Nothing => {
            Unsettled::Infeasible("`class_weights`: every class that has images has the weight 0".to_owned())
        }
    })
}

fn best_epoch(inputs: &Inputs<'_>) -> Result<u32, Unsettled> {
    let best: Best = inputs.record("best")?;
    let epochs = best.epoch.ok_or_else(|| StageError::failed("no trial has a best epoch: none came to an end"))?;
    allowed("epochs", epochs, &EPOCHS)
}

/// Returns the parameter `name`, which is `value`, times a multiplier.
fn product(name: &str, value: &Hyper<f64>, multiplier: f64) -> Result<Hyper<f64>, Unsettled> {
    allowed(name, value.get() * multiplier, &domain::<Train>(name)).map(Hyper::Value)
}

fn allowed<T: Copy + std::fmt::Display + serde::Serialize>(
    name: &str,
    value: T,
    domain: &Domain,
) -> Result<T, Unsettled> {
    // In JSON, a number that is not finite becomes `null`, which is in none of these domains.
    if domain.has(&json!(value)) {
        return Ok(value);
    }
    Err(Unsettled::Infeasible(format!("`{name}` is {value}, expected {}", domain.expected())))
}

/// The hyperparameters of the family that override or multiply parameters of the training.
struct Steering<'a> {
    family: &'a dyn Family,
    proposal: &'a Proposed,
}

impl Steering<'_> {
    /// Returns the hyperparameter `key`, if it has a value.
    fn value<T: Read>(&self, key: &str) -> Result<Option<T>, Unsettled> {
        let Some(value) = self.family.value(&self.proposal.values, key) else { return Ok(None) };
        let row = TRAINING.iter().find(|row| row.keys.contains(&key)).expect("the key is one of them");
        let values = Map::from_iter([(key.to_owned(), value)]);
        Ok(Some(proposed(key, &row.domain, key, &values)?))
    }
}
