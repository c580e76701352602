//! The family `HyperCnn`: the convolutional networks of Hyperopt on CIFAR-100 (G. Chevalier, Hyperopt-Keras-CNN-CIFAR-100,
//! 2017), built from up to 19 hyperparameters.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

use super::{
    Architecture, Builder, Function, Initialiser, LayerKind, ModelError, Padding,
    architecture::Head,
    family::{Family, Proposal, TRAINING, canonical},
    layers::{Activation, Add, AvgPool, BatchNorm, Concat, Conv, Dense, Dropout, Flatten, MaxPool},
};

/// Settings of the family, and those hyperparameters that are fixed rather than searched.
#[derive(Debug, Clone, PartialEq)]
pub struct HyperCnn {
    /// Filters of the first block where `conv_hiddn_units_mult` is 1; doubled by each block. Default 40.
    pub base_filters: u32,
    /// Filters of the convolution before the blocks, where `first_conv` is set. Default 16.
    pub first_conv_filters: u32,
    /// Units of the first and second dense layer where their multipliers are 1. Default [1000, 750].
    pub fc_units: [u32; 2],
    /// Momentum of batch normalisation as Keras has it. Default 0.99.
    pub bn_momentum: f64,
    /// Epsilon of batch normalisation. Default 0.001.
    pub bn_epsilon: f64,
    /// Hyperparameters with a value of the user's, by key. `null` is none.
    pub fixed: Map<String, Value>,
}

impl Default for HyperCnn {
    fn default() -> Self {
        Self {
            base_filters: 40,
            first_conv_filters: 16,
            fc_units: [1000, 750],
            bn_momentum: 0.99,
            bn_epsilon: 1e-3,
            fixed: Map::new(),
        }
    }
}

/// The settings that are no hyperparameters.
const SETTINGS: [&str; 5] = ["base_filters", "first_conv_filters", "fc_units", "bn_momentum", "bn_epsilon"];

/// The hyperparameters that build the network.
const ARCHITECTURE_KEYS: [&str; 14] = [
    "activation",
    "conv_dropout_drop_proba",
    "conv_hiddn_units_mult",
    "conv_kernel_size",
    "conv_pool_res_start_idx",
    "fc_dropout_drop_proba",
    "fc_units_1_mult",
    "first_conv",
    "nb_conv_pool_layers",
    "one_more_fc",
    "pooling_type",
    "res_conv_kernel_size",
    "residual",
    "use_BN",
];

/// All fields, for messages.
const FIELDS: [&str; 24] = [
    "base_filters",
    "first_conv_filters",
    "fc_units",
    "bn_momentum",
    "bn_epsilon",
    "activation",
    "conv_dropout_drop_proba",
    "conv_hiddn_units_mult",
    "conv_kernel_size",
    "conv_pool_res_start_idx",
    "fc_dropout_drop_proba",
    "fc_units_1_mult",
    "first_conv",
    "nb_conv_pool_layers",
    "one_more_fc",
    "pooling_type",
    "res_conv_kernel_size",
    "residual",
    "use_BN",
    "batch_size",
    "coarse_labels_weight",
    "l2_weight_reg_mult",
    "lr_rate_mult",
    "optimizer",
];

impl Serialize for HyperCnn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let default = Self::default();
        // A default written out is left out.
        let fixed = self.fixed.iter().filter(|(key, value)| default_of(key).as_ref() != Some(*value));
        let mut map: Map<String, Value> = fixed.map(|(key, value)| (key.clone(), value.clone())).collect();
        let mut setting = |name: &str, value: Value, default: Value| {
            if value != default {
                map.insert(name.to_owned(), value);
            }
        };
        setting("base_filters", self.base_filters.into(), default.base_filters.into());
        setting("first_conv_filters", self.first_conv_filters.into(), default.first_conv_filters.into());
        setting("fc_units", serde_json::json!(self.fc_units), serde_json::json!(default.fc_units));
        setting("bn_momentum", self.bn_momentum.into(), default.bn_momentum.into());
        setting("bn_epsilon", self.bn_epsilon.into(), default.bn_epsilon.into());
        map.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for HyperCnn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Settings;

        impl<'de> de::Visitor<'de> for Settings {
            type Value = HyperCnn;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the settings of `HyperCnn`")
            }

            fn visit_unit<E>(self) -> Result<HyperCnn, E> {
                Ok(HyperCnn::default())
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<HyperCnn, A::Error> {
                let mut family = HyperCnn::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "base_filters" => family.base_filters = map.next_value()?,
                        "first_conv_filters" => family.first_conv_filters = map.next_value()?,
                        "fc_units" => family.fc_units = map.next_value()?,
                        "bn_momentum" => family.bn_momentum = map.next_value()?,
                        "bn_epsilon" => family.bn_epsilon = map.next_value()?,
                        _ if FIELDS.contains(&key.as_str()) => {
                            let value = canonical(default_of(&key), map.next_value()?);
                            family.fixed.insert(key, value);
                        }
                        _ => return Err(de::Error::unknown_field(&key, &FIELDS)),
                    }
                }
                Ok(family)
            }
        }

        deserializer.deserialize_any(Settings)
    }
}

/// The hyperparameters that build a network of this family, read and checked.
#[derive(Debug, Clone, PartialEq)]
struct Resolved {
    /// Kernel of the first convolution, if there is one.
    first_conv: Option<usize>,
    /// Units of a residual block, if there are any.
    residual: Option<usize>,
    filters: usize,
    n_blocks: u32,
    residual_from: u32,
    pooling: Pooling,
    conv_kernel: usize,
    residual_kernel: usize,
    conv_dropout: f32,
    fc_dropout: f32,
    batch_norm: bool,
    fc_1: usize,
    fc_2: Option<usize>,
    activation: Function,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Pooling {
    Max,
    Avg,
    AllConv,
    Inception,
}

/// Multipliers: whether they leave a unit depends on the other settings of the network, so that it is a trial's result.
const RELATIVE: [&str; 3] = ["conv_hiddn_units_mult", "fc_units_1_mult", "one_more_fc"];

impl Family for HyperCnn {
    fn keys(&self) -> Vec<&str> {
        FIELDS[SETTINGS.len()..].to_vec()
    }

    fn fixed(&self, key: &str) -> Option<&Value> {
        self.fixed.get(key)
    }

    fn default_of(&self, key: &str) -> Option<Value> {
        default_of(key)
    }

    fn architecture(&self, proposal: &Proposal, input: [usize; 3], heads: &[Head]) -> Result<Architecture, ModelError> {
        if input.contains(&0) {
            let found = format!("images of {}x{}x{}", input[0], input[1], input[2]);
            return Err(ModelError::Data { found, expected: "at least one pixel" });
        }
        let hyper = self.resolve(&proposal.values)?;
        Blocks { family: self, hyper, builder: Builder::new(input), input, at: "input".into() }.build(heads)
    }

    fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut check = |fine: bool, name: &str, message: &str| {
            if !fine {
                problems.push((name.to_owned(), message.to_owned()));
            }
        };
        check((1..=65_536).contains(&self.base_filters), "base_filters", "expected 1 to 65536");
        check((1..=65_536).contains(&self.first_conv_filters), "first_conv_filters", "expected 1 to 65536");
        check(self.fc_units.iter().all(|x| (1..=1 << 20).contains(x)), "fc_units", "expected 1 to 1048576 each");
        check((0.0..1.0).contains(&self.bn_momentum), "bn_momentum", "expected at least 0 and below 1");
        check(self.bn_epsilon > 0.0 && self.bn_epsilon <= 1.0, "bn_epsilon", "expected above 0 and at most 1");
        for (key, value) in &self.fixed {
            let alone = Map::from_iter([(key.clone(), value.clone())]);
            let is_architectural = ARCHITECTURE_KEYS.contains(&key.as_str());
            if let Some(row) = TRAINING.iter().find(|row| row.keys == [key]) {
                check(row.domain.has(value), key, &format!("expected {}", row.domain.expected()));
            } else if let Err(error) = Self::default().resolve(&alone)
                && is_architectural
            {
                check(false, key, &error.to_string());
            }
        }
        problems
    }

    fn refusal(&self, key: &str, value: &Value) -> Option<String> {
        if RELATIVE.contains(&key) {
            return None;
        }
        let family = Self { fixed: Map::from_iter([(key.to_owned(), value.clone())]), ..Self::default() };
        let (_, message) = family.problems().into_iter().next()?;
        Some(message.split_once("expected ").map_or(message.clone(), |(_, expected)| expected.to_owned()))
    }

    fn is_bounded(&self, key: &str) -> bool {
        key.ends_with("_drop_proba")
    }
}

impl HyperCnn {
    fn resolve(&self, values: &Map<String, Value>) -> Result<Resolved, ModelError> {
        let value = |key: &str| self.value(values, key).unwrap_or(Value::Null);
        let wrong = |key: &str, expected: &str| ModelError::Value {
            key: key.to_owned(),
            found: value(key).to_string(),
            expected: expected.to_owned(),
        };
        // The space proposes quantised floats; the seed rounds them where it uses them.
        let whole = |key: &str, min: f64, max: f64, expected| {
            let x = value(key).as_f64().map(libm::rint).filter(|x| (min..=max).contains(x));
            x.map(|x| x as usize).ok_or_else(|| wrong(key, expected))
        };
        let optional = |key: &str, max: f64, expected| {
            if value(key).is_null() { Ok(None) } else { whole(key, 1.0, max, expected).map(Some) }
        };
        let proba = |key: &str| {
            let x = value(key).as_f64().filter(|x| (0.0..1.0).contains(x));
            x.map(|x| x as f32).ok_or_else(|| wrong(key, "a number at least 0 and below 1"))
        };
        // Truncated, as Python's `int` does.
        let scaled = |base: u32, key: &str| {
            let units = value(key).as_f64().map(|x| (f64::from(base) * x).trunc());
            let units = units.filter(|units| (1.0..=f64::from(1 << 24)).contains(units));
            units.map(|units| units as usize).ok_or_else(|| wrong(key, "a multiplier that leaves at least one unit"))
        };
        let text = |key: &str| value(key).as_str().map(str::to_owned);
        Ok(Resolved {
            first_conv: optional("first_conv", 15.0, "none or a kernel size of 1 to 15")?,
            residual: optional("residual", 100.0, "none or 1 to 100")?,
            filters: scaled(self.base_filters, "conv_hiddn_units_mult")?,
            n_blocks: whole("nb_conv_pool_layers", 1.0, 10.0, "1 to 10")? as u32,
            residual_from: whole("conv_pool_res_start_idx", 0.0, 10.0, "0 to 10")? as u32,
            pooling: match text("pooling_type").as_deref() {
                Some("max") => Pooling::Max,
                Some("avg") => Pooling::Avg,
                Some("all_conv") => Pooling::AllConv,
                Some("inception") => Pooling::Inception,
                _ => return Err(wrong("pooling_type", "`max`, `avg`, `all_conv` or `inception`")),
            },
            conv_kernel: whole("conv_kernel_size", 1.0, 15.0, "a kernel size of 1 to 15")?,
            residual_kernel: whole("res_conv_kernel_size", 1.0, 15.0, "a kernel size of 1 to 15")?,
            conv_dropout: proba("conv_dropout_drop_proba")?,
            fc_dropout: proba("fc_dropout_drop_proba")?,
            batch_norm: value("use_BN").as_bool().ok_or_else(|| wrong("use_BN", "true or false"))?,
            fc_1: scaled(self.fc_units[0], "fc_units_1_mult")?,
            fc_2: match value("one_more_fc") {
                Value::Null => None,
                _ => Some(scaled(self.fc_units[1], "one_more_fc")?),
            },
            activation: match text("activation").as_deref() {
                Some("relu") => Function::Relu,
                Some("elu") => Function::Elu,
                Some("selu") => Function::Selu,
                _ => return Err(wrong("activation", "`relu`, `elu` or `selu`")),
            },
        })
    }
}

/// Returns the family's default: a plain network of two blocks.
fn default_of(key: &str) -> Option<Value> {
    Some(match key {
        "activation" => "relu".into(),
        "pooling_type" => "max".into(),
        "use_BN" => true.into(),
        "first_conv" | "residual" | "one_more_fc" => Value::Null,
        "conv_hiddn_units_mult" | "fc_units_1_mult" => 1.0.into(),
        "nb_conv_pool_layers" => 2.into(),
        "conv_kernel_size" | "res_conv_kernel_size" => 3.into(),
        "conv_pool_res_start_idx" => 0.into(),
        "conv_dropout_drop_proba" | "fc_dropout_drop_proba" => 0.0.into(),
        "lr_rate_mult" | "l2_weight_reg_mult" => 1.0.into(),
        _ => return None,
    })
}

/// The network so far. Each method adds layers behind `at`.
struct Blocks<'a> {
    family: &'a HyperCnn,
    hyper: Resolved,
    builder: Builder,
    input: [usize; 3],
    at: String,
}

impl Blocks<'_> {
    fn build(mut self, heads: &[Head]) -> Result<Architecture, ModelError> {
        if self.hyper.activation == Function::Selu {
            self.builder.initialise(Initialiser::LecunNormal);
        }
        if let Some(kernel) = self.hyper.first_conv {
            self.conv(self.family.first_conv_filters as usize, kernel);
            self.activation();
        }
        let mut filters = self.hyper.filters;
        for block in 0..self.hyper.n_blocks {
            self.conv(filters, self.hyper.conv_kernel);
            self.activation();
            self.batch_norm_if_used();
            if let Some(units) = self.hyper.residual.filter(|_| block >= self.hyper.residual_from) {
                self.residual(filters, units);
            }
            self.pooling(filters)?;
            self.dropout(self.hyper.conv_dropout);
            filters *= 2;
        }
        self.push(Flatten);
        for units in [Some(self.hyper.fc_1), self.hyper.fc_2].into_iter().flatten() {
            self.push(Dense { units });
            self.activation();
            self.dropout(self.hyper.fc_dropout);
        }
        self.builder.finish(&self.at, heads)
    }

    fn push(&mut self, layer: impl Into<LayerKind>) {
        self.at = self.builder.add(layer, &[&self.at]);
    }

    fn conv(&mut self, filters: usize, kernel: usize) {
        self.push(Conv { filters, kernel, stride: 1, padding: Padding::Same });
    }

    fn activation(&mut self) {
        self.push(Activation { function: self.hyper.activation });
    }

    fn dropout(&mut self, p: f32) {
        self.push(Dropout { p });
    }

    fn batch_norm(&mut self) {
        let (momentum, epsilon) = (self.family.bn_momentum as f32, self.family.bn_epsilon as f32);
        self.push(BatchNorm { momentum, epsilon });
    }

    fn batch_norm_if_used(&mut self) {
        if self.hyper.batch_norm {
            self.batch_norm();
        }
    }

    /// A block of `units` sums of a linear 1x1 convolution and a convolution behind dropout.
    fn residual(&mut self, filters: usize, units: usize) {
        for _ in 0..units {
            let start = self.at.clone();
            self.conv(filters, 1);
            let linear = std::mem::replace(&mut self.at, start);
            self.dropout(self.hyper.conv_dropout);
            self.conv(filters, self.hyper.residual_kernel);
            self.activation();
            self.at = self.builder.add(Add, &[&linear, &self.at]);
            self.batch_norm_if_used();
        }
        if !self.hyper.batch_norm {
            self.batch_norm();
        }
        self.batch_norm();
    }

    fn pooling(&mut self, filters: usize) -> Result<(), ModelError> {
        let &[_, height, width] = self.builder.shape(&self.at) else {
            unreachable!("blocks come before the flattening")
        };
        if height < 2 || width < 2 {
            return Err(ModelError::TooSmall {
                width: self.input[2],
                height: self.input[1],
                depth: self.hyper.n_blocks,
                layer: self.at.clone(),
                found_width: width,
                found_height: height,
            });
        }
        match self.hyper.pooling {
            Pooling::Max => self.push(MaxPool { size: 2, stride: 2, padding: Padding::Valid }),
            Pooling::Avg => self.push(AvgPool { size: 2, stride: 2, padding: Padding::Valid }),
            Pooling::AllConv => self.all_conv(filters),
            Pooling::Inception => self.inception(filters),
        }
        Ok(())
    }

    fn all_conv(&mut self, filters: usize) {
        self.push(Conv { filters, kernel: 3, stride: 2, padding: Padding::Same });
        self.batch_norm_if_used();
    }

    /// Three ways of halving side by side, with 2b + a channels.
    fn inception(&mut self, filters: usize) {
        let share = |part: f64| (part * filters as f64 + 1.0).trunc() as usize;
        let (a, b) = (share(0.33), share(0.4));
        let start = self.at.clone();
        self.all_conv(b);
        let first = std::mem::replace(&mut self.at, start.clone());
        self.conv(a, 1);
        self.activation();
        self.conv(b, 3);
        self.activation();
        self.all_conv(b);
        let second = std::mem::replace(&mut self.at, start);
        self.conv(a, 1);
        self.activation();
        self.push(MaxPool { size: 3, stride: 2, padding: Padding::Same });
        self.at = self.builder.add(Concat, &[&first, &second, &self.at]);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::network::architecture::Output;

    fn heads() -> Vec<Head> {
        let head = |name: &str, classes| Head { name: name.into(), classes, output: Output::Softmax };
        vec![head("fine", 100), head("coarse", 20)]
    }

    fn proposal(values: Value) -> Proposal {
        Proposal { values: values.as_object().unwrap().clone(), labels: Map::new() }
    }

    fn build(values: Value, input: [usize; 3]) -> Result<Architecture, ModelError> {
        HyperCnn::default().architecture(&proposal(values), input, &heads())
    }

    #[test]
    fn the_seeds_best_network_has_7_061_116_parameters() {
        let best = json!({
            "activation": "elu", "conv_hiddn_units_mult": 1.59583, "conv_kernel_size": 3.0, "conv_pool_res_start_idx": 0.0,
            "fc_units_1_mult": 1.30840, "first_conv": 3, "nb_conv_pool_layers": 3, "one_more_fc": null,
            "pooling_type": "avg", "res_conv_kernel_size": 2.0, "residual": 3.0, "use_BN": true,
            "conv_dropout_drop_proba": 0.25924, "fc_dropout_drop_proba": 0.43223,
        });
        let network = build(best, [3, 32, 32]).unwrap();
        assert_eq!(network.parameters, 7_061_116);
        for (add, filters) in [("add_1", 63), ("add_4", 126), ("add_9", 252)] {
            assert_eq!(network.layer(add).unwrap().shape[0], filters);
        }
    }

    #[test]
    fn every_pooling_halves() {
        for (pooling, channels) in [("max", 40), ("avg", 40), ("all_conv", 40), ("inception", 17 + 17 + 14)] {
            for use_bn in [true, false] {
                let values = json!({ "pooling_type": pooling, "nb_conv_pool_layers": 1, "use_BN": use_bn });
                let network = build(values, [1, 28, 30]).unwrap();
                let dropout = network.layers.iter().find(|layer| matches!(layer.kind, LayerKind::Dropout(_))).unwrap();
                assert_eq!(dropout.shape, [channels, 14, 15], "{pooling}");
            }
        }
    }

    #[test]
    fn images_too_small_for_the_depth_are_refused() {
        let error = build(json!({ "nb_conv_pool_layers": 3 }), [3, 6, 32]).unwrap_err();
        assert!(matches!(error, ModelError::TooSmall { found_height: 1, .. }), "{error}");
        assert!(build(json!({ "nb_conv_pool_layers": 2 }), [3, 6, 32]).is_ok());
    }

    #[test]
    fn a_proposal_wins_over_a_fixed_value_and_that_over_the_default() {
        let family: HyperCnn = serde_json::from_value(json!({ "base_filters": 8, "residual": 2 })).unwrap();
        let adds = |values: Value| {
            let network = family.architecture(&proposal(values), [3, 8, 8], &heads()).unwrap();
            network.layers.iter().filter(|layer| layer.kind == LayerKind::Add(Add)).count()
        };
        assert_eq!((adds(json!({})), adds(json!({ "residual": null })), adds(json!({ "residual": 3.0 }))), (4, 0, 6));
        assert_eq!(serde_json::to_value(&family).unwrap(), json!({ "base_filters": 8, "residual": 2 }));
        assert!(serde_json::from_value::<HyperCnn>(json!({ "residuals": 2 })).is_err());
    }

    #[test]
    fn values_without_sense_are_named() {
        for (key, value) in [
            ("activation", json!("tanh")),
            ("conv_dropout_drop_proba", json!(1.0)),
            ("residual", json!("many")),
            ("conv_hiddn_units_mult", json!(0.001)),
            ("use_BN", json!(1)),
        ] {
            let error = build(json!({ key: value }), [3, 32, 32]).unwrap_err();
            assert!(matches!(&error, ModelError::Value { key: found, .. } if found == key), "{error}");
            let fixed = HyperCnn { fixed: Map::from_iter([(key.to_owned(), value)]), ..HyperCnn::default() };
            assert_eq!(fixed.problems()[0].0, key);
        }
        for (key, value) in [("batch_size", json!(2.5)), ("lr_rate_mult", json!(0)), ("optimizer", json!("Sadam"))] {
            let fixed = HyperCnn { fixed: Map::from_iter([(key.to_owned(), value)]), ..HyperCnn::default() };
            assert_eq!(fixed.problems()[0].0, key);
        }
    }

    #[test]
    fn the_19_keys_are_the_networks_and_the_trainings() {
        let training = TRAINING.iter().flat_map(|row| row.keys);
        let mut keys: Vec<_> = ARCHITECTURE_KEYS.iter().chain(training).copied().collect();
        keys.sort_unstable();
        let family = HyperCnn::default();
        let mut all = family.keys();
        all.sort_unstable();
        assert_eq!((keys, all.len()), (all.clone(), 19));
    }
}
