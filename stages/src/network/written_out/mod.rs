//! `Layers([..])`: a network written in `pipeline.ron` layer by layer. A value may be a hyperparameter.

mod layer;
mod outline;
mod setting;
mod step;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

use self::step::Step;
use super::{
    architecture::{Architecture, Builder, Head},
    error::ModelError,
    families::{Family, Proposed, TRAINING},
    layers::{AvgPool, Flatten},
    padding::Padding,
};
use crate::{
    params::{Domain, Read},
    problem::{Path, Problem},
};

/// A network without its heads. Its hyperparameters are the labels of its values.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Layers(Vec<Step>);

impl Read for Layers {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        let steps = Vec::read(value, domain, at, problems)?;
        problems.extend(outline::problems(&steps).into_iter().map(|problem| problem.inside(at)));
        Some(Self(steps))
    }

    fn expected(domain: &Domain) -> String {
        Vec::<Step>::expected(domain)
    }
}

impl Family for Layers {
    fn keys(&self) -> Vec<&str> {
        let labels: BTreeSet<_> =
            self.0.iter().flat_map(Step::settings).filter_map(|setting| setting.label()).collect();
        let of_training = TRAINING.iter().flat_map(|row| row.keys).copied();
        labels.iter().copied().chain(of_training.filter(|key| !labels.contains(key))).collect()
    }

    fn fixed(&self, _: &str) -> Option<&Value> {
        None
    }

    fn default_of(&self, _: &str) -> Option<Value> {
        None
    }

    fn architecture(&self, proposal: &Proposed, input: [usize; 3], heads: &[Head]) -> Result<Architecture, ModelError> {
        if input.contains(&0) {
            let found = format!("images of {}x{}x{}", input[0], input[1], input[2]);
            return Err(ModelError::Data { found, expected: "at least one pixel" });
        }
        let (builder, at) = build(&self.0, &proposal.labels, input).map_err(|(_, error)| error)?;
        builder.finish(&at, heads)
    }

    fn refusal(&self, key: &str, value: &Value) -> Option<String> {
        let settings = self.0.iter().flat_map(Step::settings);
        let of_layers = settings.filter(|setting| setting.label() == Some(key)).map(|setting| setting.domain().clone());
        let of_training = TRAINING.iter().filter(|row| row.keys == [key]).map(|row| row.domain.clone());
        of_layers.chain(of_training).find(|domain| !domain.has(value)).map(|domain| domain.expected())
    }

    /// Labels are replaced by some allowed value, as long as they cannot decide whether a layer fits. The layers from the first label
    /// that can are not checked.
    fn misfit(&self, input: [usize; 3]) -> Option<Problem> {
        // Problems that do not depend on the size of images were reported when the layers were read.
        let is_sound = |given: &setting::Given<'_>| given.label().is_some() || given.settled(&Map::new()).is_ok();
        if !outline::problems(&self.0).is_empty()
            || !self.0.iter().flat_map(Step::settings).all(|given| is_sound(&given))
        {
            return None;
        }
        let mut labels = Map::new();
        let mut known = 0;
        'steps: for step in &self.0 {
            for setting in step.settings() {
                let Some(label) = setting.label() else { continue };
                if setting.setting.moves_sides {
                    break 'steps;
                }
                labels.insert(label.to_owned(), setting.domain().any());
            }
            known += 1;
        }
        let (i, error) = build(&self.0[..known], &labels, input).err()?;
        // A search over numbers of channels may propose the one that fits.
        let is_searched = self.0[..i].iter().flat_map(Step::settings).any(|setting| setting.label().is_some());
        (!self.0[i].is_join() || !is_searched).then(|| error.problem(&Path::here().index(i)))
    }
}

/// Returns the network of `steps` for images of shape `input`, still without heads, and the name of its last layer.
///
/// # Errors
/// If a step cannot be added: the index of the first one, and the reason.
fn build(
    steps: &[Step],
    labels: &Map<String, Value>,
    input: [usize; 3],
) -> Result<(Builder, String), (usize, ModelError)> {
    let mut network =
        Network { builder: Builder::new(input), at: "input".into(), names: [("input", "input".into())].into() };
    for (i, step) in steps.iter().enumerate() {
        network.take(i, step, labels).map_err(|error| (i, error))?;
    }
    Ok((network.builder, network.at))
}

/// The network so far.
struct Network<'a> {
    builder: Builder,
    /// The name of the layer that the next one will read.
    at: String,
    /// The layers that were named with `As`, by that name.
    names: BTreeMap<&'a str, String>,
}

impl<'a> Network<'a> {
    /// Adds step `i`.
    fn take(&mut self, i: usize, step: &'a Step, labels: &Map<String, Value>) -> Result<(), ModelError> {
        let key = |path: &Path| format!("Layers[{i}].{path}");
        let wrong = |Problem { at, found, expected, .. }| {
            let expected = expected.expect("a setting says what it may be");
            ModelError::Value { key: key(&at), found, expected }
        };
        let misfit = |why| ModelError::Layer { layer: key(&Path::here().name(step.name())), why: Box::new(why) };
        let mut inputs = Vec::new();
        for (path, name) in step.names() {
            let unknown = || ModelError::Value {
                key: key(&path),
                found: format!("`{name}`"),
                expected: "the name of an earlier layer".into(),
            };
            inputs.push(self.names.get(name).ok_or_else(unknown)?.clone());
        }
        match step {
            Step::As(name) => drop(self.names.insert(name, self.at.clone())),
            Step::From(_) => self.at = inputs.remove(0),
            Step::Initialise(_) => {
                let value = step.settings()[0].settled(labels).map_err(wrong)?;
                let initialiser =
                    serde_json::from_value(value).expect("every word of the setting names an initialiser");
                self.builder.initialise(initialiser);
            }
            Step::GlobalAvgPool => self.pool_globally().map_err(misfit)?,
            Step::Layer(layer) => {
                if let Some(kind) = layer.kind(labels).map_err(wrong)? {
                    inputs.push(self.at.clone());
                    let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
                    self.at = self.builder.try_add(kind, &inputs).map_err(misfit)?;
                }
            }
        }
        Ok(())
    }

    fn pool_globally(&mut self) -> Result<(), ModelError> {
        let shape = self.builder.shape(&self.at);
        let size = match *shape {
            [_, height, width] if height == width => height,
            _ => {
                let found = format!("{shape:?} of `{}`", self.at);
                let expected = "[channels, side, side]: an image that is square";
                return Err(ModelError::Shape { layer: "global_average_pooling2d", found, expected });
            }
        };
        let pool = AvgPool { size, stride: size, padding: Padding::Valid };
        self.at = self.builder.try_add(pool, &[&self.at])?;
        self.at = self.builder.try_add(Flatten, &[&self.at])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
