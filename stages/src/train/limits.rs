//! Limits on the networks of a search, which are known before anything is trained.

use std::fmt;

use super::params::Model;
use crate::{
    images::dataset::Labels,
    network::{
        Proposed,
        architecture::Output,
        training::{BATCH, data},
    },
    parameters,
    params::{Bytes, Domain, Hyper, Unfilled, proposed, whole},
    records::Proposal,
};

parameters! {
    /// The most that the network of a trial may have, or its training may take. A proposal that is above a limit, or whose network
    /// cannot be built, is drawn again.
    #[derive(Copy)]
    pub struct Limits = defaults {
        /// The number of parameters, including moving statistics.
        parameters: Option<f64> [Domain::Positive] = None,
        /// The floating-point operations of the forward pass for one image.
        flops: Option<f64> [Domain::Positive] = None,
        /// The memory of a training step, as `pipe` estimates it: weights, moments and the outputs of all layers for a batch.
        memory: Option<Bytes> = None,
    }
}

parameters! {
    /// Limits, and what decides the size of a trial's network besides the proposal.
    pub struct Limited {
        /// The limits.
        limits: Limits,
        /// The family of the network, with its settings.
        model: Model,
        /// The number of images in a step.
        batch: Hyper<u32> [BATCH] = Hyper::Value(64),
        /// How logits become probabilities.
        head: Output = Output::Softmax,
    }
}

/// What a network takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// The number of parameters.
    pub parameters: u64,
    /// The floating-point operations of the forward pass for one image.
    pub flops: u64,
    /// The bytes of memory of a training step.
    pub memory: u64,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parameters, flops, memory } = self;
        write!(f, "{parameters} parameters, {flops} FLOPs and {memory} bytes of memory")
    }
}

impl Limited {
    /// Returns what the network of a proposal takes for images with these labels.
    ///
    /// # Errors
    /// If the network cannot be built. The error says why.
    pub fn cost(&self, proposal: &Proposal, labels: &Labels) -> Result<Cost, String> {
        let proposal = Proposed::from(proposal.clone());
        let shape = [labels.image.channels, labels.image.height, labels.image.width];
        let heads = data::heads(labels, self.head);
        let family = self.model.family();
        let network = family.architecture(&proposal, shape, &heads).map_err(|error| error.to_string())?;
        let of_label = |label: &str| {
            proposed(label, &BATCH, "batch", &proposal.labels).map_err(|error| match error {
                Unfilled::Missing(why) | Unfilled::Refused(why) => why.to_string(),
            })
        };
        let batch: u32 = match (family.value(&proposal.values, "batch_size"), &self.batch) {
            (Some(batch), _) => whole(&batch).and_then(|batch| u32::try_from(batch.as_u64()?).ok()).unwrap_or(1),
            (None, Hyper::Value(batch)) => *batch,
            (None, Hyper::Label(label)) => of_label(label)?,
        };
        let memory = network.memory(u64::from(batch));
        Ok(Cost { parameters: network.parameters, flops: network.flops, memory })
    }
}

impl Limits {
    /// Returns whether there is no limit.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether a network is within the limits.
    pub fn allow(&self, cost: &Cost) -> bool {
        let within = |most: Option<f64>, found: u64| most.is_none_or(|most| found as f64 <= most);
        within(self.parameters, cost.parameters)
            && within(self.flops, cost.flops)
            && self.memory.is_none_or(|Bytes(most)| cost.memory <= most)
    }
}

/// `parameters <= 1000000 and memory <= 2GiB`
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self.memory.map(|memory| serde_json::json!(memory).as_str().unwrap_or_default().to_owned());
        let number = |most: Option<f64>| most.map(|most| most.to_string());
        let all = [("parameters", number(self.parameters)), ("flops", number(self.flops)), ("memory", memory)];
        let parts: Vec<_> = all.into_iter().filter_map(|(name, most)| Some(format!("{name} <= {}", most?))).collect();
        f.write_str(&parts.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::records::{Head, ImageShape, Version};

    fn labels() -> Labels {
        let head = Head { name: "class".to_owned(), classes: ["a", "b"].map(str::to_owned).to_vec() };
        Labels { format: Version, heads: vec![head], image: ImageShape { channels: 1, height: 4, width: 4 } }
    }

    fn proposal(values: Value) -> Proposal {
        let values = values.as_object().unwrap().clone();
        Proposal { format: Version, labels: values.clone().into_iter().collect(), values }
    }

    fn limited(limits: Value) -> Limited {
        serde_json::from_value(json!({ "limits": limits, "model": { "Mlp": { "layers": 1 } }, "batch": { "hp": "n" } }))
            .unwrap()
    }

    #[test]
    fn a_network_is_within_its_limits_or_not() {
        let cost = |units: u32, n: u32| {
            limited(json!({})).cost(&proposal(json!({ "units_1": units, "n": n })), &labels()).unwrap()
        };
        // 16 inputs, 10 hidden units and two classes, each with a bias.
        assert_eq!(cost(10, 1).parameters, 16 * 10 + 10 + 10 * 2 + 2);
        assert!(cost(10, 64).memory > cost(10, 1).memory && cost(20, 1).flops > cost(10, 1).flops);
        let allowed = |limits: Value| limited(limits).limits.allow(&cost(10, 1));
        assert!(allowed(json!({})) && allowed(json!({ "parameters": 192 })) && allowed(json!({ "memory": "1MiB" })));
        assert!(!allowed(json!({ "parameters": 191 })));
        assert!(!allowed(json!({ "parameters": 1000, "memory": "1kB" })));
        assert!(!allowed(json!({ "flops": 100 })));
    }

    #[test]
    fn limits_are_told_in_words() {
        let limits: Limits = serde_json::from_value(json!({ "parameters": 1e6, "memory": "2GiB" })).unwrap();
        assert_eq!(limits.to_string(), "parameters <= 1000000 and memory <= 2GiB");
        assert!(!limits.is_empty() && Limits::default().is_empty());
    }

    #[test]
    fn a_network_that_cannot_be_built_has_no_cost() {
        let pooled = json!({ "limits": {}, "model": { "Cnn": { "blocks": 6 } } });
        let limited: Limited = serde_json::from_value(pooled).unwrap();
        assert!(limited.cost(&proposal(json!({})), &labels()).is_err());
    }
}
