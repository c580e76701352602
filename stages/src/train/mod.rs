//! `train`: trains a network on labelled images. The outputs are its score, its history and its weights.
//!
//! The state after a step depends only on the step and on the *trajectory*: the inputs, the seed, and all parameters except the
//! length, early stopping, and what is kept. A checkpoint saves the state.

mod architecture;
mod limits;
mod outputs;
mod params;
mod settings;
#[cfg(test)]
mod tests;

use serde_json::Value;

use self::settings::{Unsettled, given, settle};
pub use self::{
    architecture::architecture,
    limits::{Cost, Limited, Limits},
    params::{EPOCHS, EVERY, Epochs, Model, NamedEpochs, Train},
};
use crate::{
    network::{
        Backend, Proposed,
        training::{
            data::Data,
            history::Metric,
            keep::Keep,
            optimizer::OptimizerKind,
            trainer::{EVALUATION_BATCH, Training},
        },
    },
    params::Hyper,
    records,
    stage::{Context, Inputs, Needs, Outputs, Room, Stage, StageError, StageId},
};

/// The fields that do not change the state after a step: how long a training is, and what it keeps.
const NOT_OF_TRAJECTORY: [&str; 4] = ["epochs", "early_stopping", "keep", "histograms"];

impl Stage for Train {
    fn id(&self) -> StageId {
        StageId { name: "train", version: 2 }
    }

    fn needs(&self) -> Needs {
        Needs { seed: true, device: true, ..Needs::default() }
    }

    fn trajectory(&self) -> Option<Value> {
        let mut params = serde_json::to_value(self).expect("parameters are plain data");
        let fields = params.as_object_mut().expect("parameters are a struct");
        NOT_OF_TRAJECTORY.iter().for_each(|field| drop(fields.remove(*field)));
        Some(params)
    }

    fn memory(&self, inputs: &Inputs<'_>) -> Result<u64, StageError> {
        const PROCESS: u64 = 64 << 20;
        let data = Data::read(inputs, self.head)?;
        let proposal = proposal(inputs)?.unwrap_or_default();
        match settle(self, &proposal, &data, inputs) {
            Ok((settings, _)) => {
                let validated = if data.n_validation().is_some() { EVALUATION_BATCH } else { 0 };
                // Validation keeps nothing for a backward pass, so an image takes about a third of the memory.
                let images = settings.batch.max(validated / 3) as u64;
                Ok(PROCESS + settings.architecture.memory(images))
            }
            Err(Unsettled::Infeasible(_)) => Ok(PROCESS),
            Err(Unsettled::Stage(error)) => Err(error),
        }
    }

    fn room(&self, inputs: &Inputs<'_>) -> Result<Option<Room>, StageError> {
        if inputs.digest("labels").is_none() {
            return Ok(None);
        }
        // A proposal that is not made yet may change the network. Without it, the sizes are those of the parameters.
        let proposal = proposal(inputs)?.unwrap_or_default();
        // What cannot be built takes no room.
        let Ok(network) = architecture(self, &proposal, &inputs.record("labels")?) else {
            return Ok(Some(Room::default()));
        };
        let weights = 4 * network.parameters;
        let moments = match self.optimizer {
            Hyper::Value(OptimizerKind::Sgd | OptimizerKind::RmsProp) => 1,
            _ => 2,
        };
        let epochs = if let Hyper::Value(Epochs::Count(epochs)) = self.epochs { u64::from(epochs) } else { 1 };
        let kept = |keep: &Keep| match keep {
            Keep::Best | Keep::Last => 1,
            Keep::Every(n) => epochs / u64::from(*n),
        };
        let every = |keep: &&Keep| matches!(keep, Keep::Every(_));
        let in_checkpoint: u64 = self.keep.iter().filter(every).map(kept).sum();
        // The weights, the best ones, the optimizer's moments, and those that become outputs.
        let checkpoint = weights.saturating_mul(2 + moments + in_checkpoint);
        let outputs = weights.saturating_mul(self.keep.iter().map(kept).sum());
        Ok(Some(Room { checkpoint, outputs }))
    }

    fn run(&self, inputs: &Inputs<'_>, context: &Context<'_>) -> Result<Outputs, StageError> {
        self.run_at(Backend::of(context.device)?, inputs, context)
    }
}

impl Train {
    fn run_at(&self, backend: Backend, inputs: &Inputs<'_>, context: &Context<'_>) -> Result<Outputs, StageError> {
        let data = Data::read(inputs, self.head)?;
        let metric = Metric::new(self.objective.metric(), &data.heads, data.n_validation().is_some())?;
        let proposed = proposal(inputs)?;
        let is_proposed = proposed.is_some();
        let proposal = proposed.unwrap_or_default();
        let settled = settle(self, &proposal, &data, inputs).and_then(|(settings, used)| {
            let given = given(self, &settings, inputs)?;
            Ok((settings, used, given))
        });
        let (settings, used, (given, transfer)) = match settled {
            Ok(settled) => settled,
            Err(Unsettled::Infeasible(why)) if is_proposed => {
                return Ok(outputs::of_infeasible(self, &proposal, &why));
            }
            Err(Unsettled::Infeasible(why)) => return Err(StageError::failed(why)),
            Err(Unsettled::Stage(error)) => return Err(error),
        };
        let training = Training { settings: &settings, data: &data, metric: &metric, backend, given: &given };
        let state = training.run(context)?;
        Ok(outputs::of(&used, &settings, &proposal, &metric, &state, transfer))
    }
}

/// Returns the search's proposal, if one is connected.
fn proposal(inputs: &Inputs<'_>) -> Result<Option<Proposed>, StageError> {
    let record = inputs.digest("proposal").map(|_| inputs.record::<records::Proposal>("proposal")).transpose()?;
    Ok(record.map(Proposed::from))
}
