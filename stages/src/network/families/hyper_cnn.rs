//! The family `HyperCnn`: the convolutional networks of a Hyperopt study on CIFAR-100 (G. Chevalier,
//! Hyperopt-Keras-CNN-CIFAR-100, 2017), with 19 hyperparameters.

use serde_json::json;

use super::{
    Chain, Row, Table, Values,
    family::{BATCH_SIZE, COARSE_LABELS_WEIGHT, L2_MULTIPLIER, OPTIMIZER, RATE_MULTIPLIER},
    row::ACTIVATION,
};
use crate::{
    choices,
    network::{
        ModelError, Padding,
        layers::{Add, AvgPool, BatchNorm, Concat, Conv, Dense, Dropout, Flatten, MaxPool},
    },
    params::Domain,
};

/// Defaults to a plain network of two blocks. The keys are those of the original study.
pub(super) static HYPER_CNN: Table = Table {
    name: "HyperCnn",
    about: "Blocks of a convolution, residual units and a pooling that halves the image, then one or two dense layers. \
            Each block has twice the filters of the one before. The networks of Hyperopt-CIFAR.",
    rows: &[
        Row::setting(
            &["base_filters"],
            Domain::Whole(1..=65_536),
            || 40.into(),
            "Number of filters of the first block, before `conv_hiddn_units_mult`. Each block doubles it.",
        ),
        Row::setting(
            &["first_conv_filters"],
            Domain::Whole(1..=65_536),
            || 16.into(),
            "Number of filters of the convolution before the blocks. Ignored if `first_conv` is `None`.",
        ),
        Row::setting(
            &["fc_units"],
            Domain::Each(2, &Domain::Whole(1..=1 << 20)),
            || json!([1000, 750]),
            "Number of units of the first and the second dense layer, before `fc_units_1_mult` and `one_more_fc`.",
        ),
        Row::setting(
            &["bn_momentum"],
            Domain::Share,
            || 0.99.into(),
            "Momentum of batch normalisation, defined as in Keras.",
        ),
        Row::setting(&["bn_epsilon"], Domain::AboveUpTo(0.0, 1.0), || 0.001.into(), "Epsilon of batch normalisation."),
        ACTIVATION,
        Row::new(
            &["conv_dropout_drop_proba"],
            Domain::Share,
            || 0.0.into(),
            "Dropout probability after each block and in its residual units.",
        ),
        Row::new(
            &["conv_hiddn_units_mult"],
            Domain::Positive,
            || 1.0.into(),
            "Multiplies `base_filters`. The product must be at least 1.",
        ),
        Row::new(&["conv_kernel_size"], KERNEL, || 3.into(), "Height and width of each block's filters."),
        Row::new(
            &["conv_pool_res_start_idx"],
            Domain::Rounded(0..=10),
            || 0.into(),
            "The first block with residual units, counted from 0.",
        ),
        Row::new(
            &["fc_dropout_drop_proba"],
            Domain::Share,
            || 0.0.into(),
            "Dropout probability after each dense layer.",
        ),
        Row::new(
            &["fc_units_1_mult"],
            Domain::Positive,
            || 1.0.into(),
            "Multiplies the first of `fc_units`. The product must be at least 1.",
        ),
        Row::new(
            &["first_conv"],
            Domain::Optional(&KERNEL),
            || json!(null),
            "Height and width of the filters of a convolution before the blocks. `None` leaves it out.",
        ),
        Row::new(&["nb_conv_pool_layers"], Domain::Rounded(1..=10), || 2.into(), "Number of blocks."),
        Row::new(
            &["one_more_fc"],
            Domain::Optional(&Domain::Positive),
            || json!(null),
            "Adds a second dense layer, and multiplies the second of `fc_units`. `None` leaves it out.",
        ),
        Row::new(&["pooling_type"], Domain::Word(Pooling::NAMES), || "max".into(), "How each block halves the image."),
        Row::new(&["res_conv_kernel_size"], KERNEL, || 3.into(), "Height and width of the filters of residual units."),
        Row::new(
            &["residual"],
            Domain::Optional(&Domain::Rounded(1..=100)),
            || json!(null),
            "Number of residual units of each block. `None` leaves them out.",
        ),
        Row::new(&["use_BN"], Domain::Flag, || true.into(), "Whether blocks use batch normalisation."),
    ],
    training: &[
        BATCH_SIZE,
        COARSE_LABELS_WEIGHT,
        L2_MULTIPLIER.with_default(|| 1.0.into()),
        RATE_MULTIPLIER.with_default(|| 1.0.into()),
        OPTIMIZER,
    ],
    check: |values| Widths::of(values).map(drop),
    build,
};

const KERNEL: Domain = Domain::Rounded(1..=15);

choices! {
    /// How a block halves the image.
    #[derive(Copy, Eq)]
    enum Pooling {
        /// The largest of four pixels.
        Max = "max",
        /// The mean of four pixels.
        Avg = "avg",
        /// A strided convolution.
        AllConv = "all_conv",
        /// Three branches, concatenated.
        Inception = "inception",
    }
}

/// Layer sizes: a base from the settings times a multiplier from the hyperparameters.
struct Widths {
    filters: usize,
    dense: Vec<usize>,
}

impl Widths {
    fn of(values: &Values<'_>) -> Result<Self, ModelError> {
        // Truncated, as Python's `int` does.
        let scaled = |base: u32, key: &str| {
            let units = (f64::from(base) * values.number(key)).trunc();
            let wrong = || ModelError::Value {
                key: key.to_owned(),
                found: values.number(key).to_string(),
                expected: "a multiplier that leaves at least one unit".to_owned(),
            };
            (1.0..=f64::from(1 << 24)).contains(&units).then_some(units as usize).ok_or_else(wrong)
        };
        let [first, second]: [u32; 2] = values.get("fc_units");
        let mut dense = vec![scaled(first, "fc_units_1_mult")?];
        if values.is_given("one_more_fc") {
            dense.push(scaled(second, "one_more_fc")?);
        }
        Ok(Self { filters: scaled(values.get("base_filters"), "conv_hiddn_units_mult")?, dense })
    }
}

fn build(values: &Values<'_>, chain: &mut Chain) -> Result<(), ModelError> {
    Blocks { values, chain }.build(&Widths::of(values)?)
}

/// The network under construction. Each method adds layers.
struct Blocks<'a> {
    values: &'a Values<'a>,
    chain: &'a mut Chain,
}

impl Blocks<'_> {
    fn build(mut self, widths: &Widths) -> Result<(), ModelError> {
        if let Some(kernel) = self.values.optional("first_conv") {
            self.conv(self.values.whole("first_conv_filters"), kernel)?;
            self.activation()?;
        }
        let mut filters = widths.filters;
        for block in 0..self.values.whole("nb_conv_pool_layers") {
            self.conv(filters, self.values.whole("conv_kernel_size"))?;
            self.activation()?;
            self.batch_norm_if_used()?;
            let from = self.values.whole("conv_pool_res_start_idx");
            if let Some(units) = self.values.optional("residual").filter(|_| block >= from) {
                self.residual(filters, units)?;
            }
            self.pooling(filters)?;
            self.dropout("conv_dropout_drop_proba")?;
            filters *= 2;
        }
        self.chain.push(Flatten)?;
        for &units in &widths.dense {
            self.chain.push(Dense { units })?;
            self.activation()?;
            self.dropout("fc_dropout_drop_proba")?;
        }
        Ok(())
    }

    fn conv(&mut self, filters: usize, kernel: usize) -> Result<(), ModelError> {
        self.chain.push(Conv { filters, kernel, stride: 1, padding: Padding::Same })
    }

    fn activation(&mut self) -> Result<(), ModelError> {
        self.chain.push(self.values.activation())
    }

    /// Adds dropout, even with probability 0, as the original networks do.
    fn dropout(&mut self, key: &str) -> Result<(), ModelError> {
        self.chain.push(Dropout { p: self.values.share(key) })
    }

    fn batch_norm(&mut self) -> Result<(), ModelError> {
        let (momentum, epsilon) = (self.values.share("bn_momentum"), self.values.share("bn_epsilon"));
        self.chain.push(BatchNorm { momentum, epsilon })
    }

    fn batch_norm_if_used(&mut self) -> Result<(), ModelError> {
        if self.values.flag("use_BN") { self.batch_norm() } else { Ok(()) }
    }

    /// Adds `units` residual units. Each is the sum of a linear 1x1 convolution and of dropout followed by a convolution.
    fn residual(&mut self, filters: usize, units: usize) -> Result<(), ModelError> {
        for _ in 0..units {
            let start = self.chain.at().to_owned();
            self.conv(filters, 1)?;
            let linear = self.chain.go_on_from(start);
            self.dropout("conv_dropout_drop_proba")?;
            self.conv(filters, self.values.whole("res_conv_kernel_size"))?;
            self.activation()?;
            self.chain.join(Add, &[&linear])?;
            self.batch_norm_if_used()?;
        }
        if !self.values.flag("use_BN") {
            self.batch_norm()?;
        }
        self.batch_norm()
    }

    fn pooling(&mut self, filters: usize) -> Result<(), ModelError> {
        let &[_, height, width] = self.chain.shape(self.chain.at()) else {
            unreachable!("blocks come before the flattening")
        };
        if height < 2 || width < 2 {
            let input = self.chain.shape("input");
            return Err(ModelError::TooSmall {
                width: input[2],
                height: input[1],
                depth: self.values.whole("nb_conv_pool_layers") as u32,
                layer: self.chain.at().to_owned(),
                found_width: width,
                found_height: height,
            });
        }
        match self.values.get("pooling_type") {
            Pooling::Max => self.chain.push(MaxPool { size: 2, stride: 2, padding: Padding::Valid }),
            Pooling::Avg => self.chain.push(AvgPool { size: 2, stride: 2, padding: Padding::Valid }),
            Pooling::AllConv => self.all_conv(filters),
            Pooling::Inception => self.inception(filters),
        }
    }

    fn all_conv(&mut self, filters: usize) -> Result<(), ModelError> {
        self.chain.push(Conv { filters, kernel: 3, stride: 2, padding: Padding::Same })?;
        self.batch_norm_if_used()
    }

    /// Adds three branches that each halve the image, and concatenates them: 2b + a channels.
    fn inception(&mut self, filters: usize) -> Result<(), ModelError> {
        let share = |part: f64| (part * filters as f64 + 1.0).trunc() as usize;
        let (a, b) = (share(0.33), share(0.4));
        let start = self.chain.at().to_owned();
        self.all_conv(b)?;
        let first = self.chain.go_on_from(start.clone());
        self.conv(a, 1)?;
        self.activation()?;
        self.conv(b, 3)?;
        self.activation()?;
        self.all_conv(b)?;
        let second = self.chain.go_on_from(start);
        self.conv(a, 1)?;
        self.activation()?;
        self.chain.push(MaxPool { size: 3, stride: 2, padding: Padding::Same })?;
        self.chain.join(Concat, &[&first, &second])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;
    use crate::network::{
        Architecture, Family, LayerKind, Proposed, TableFamily,
        architecture::{Head, Output},
        families,
    };

    fn heads() -> Vec<Head> {
        let head = |name: &str, classes| Head { name: name.into(), classes, output: Output::Softmax };
        vec![head("fine", 100), head("coarse", 20)]
    }

    fn proposal(values: Value) -> Proposed {
        Proposed { values: values.as_object().unwrap().clone(), labels: Map::new() }
    }

    fn build(values: Value, input: [usize; 3]) -> Result<Architecture, ModelError> {
        TableFamily::new(&HYPER_CNN).architecture(&proposal(values), input, &heads())
    }

    #[test]
    fn the_best_network_of_the_original_study_has_7_061_116_parameters() {
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
    fn every_pooling_halves_the_image() {
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
    fn a_proposed_value_overrides_the_users_which_overrides_the_default() {
        let family = families::named("HyperCnn", &json!({ "base_filters": 8, "residual": 2 })).unwrap();
        let adds = |values: Value| {
            let network = family.architecture(&proposal(values), [3, 8, 8], &heads()).unwrap();
            network.layers.iter().filter(|layer| layer.kind == LayerKind::Add(Add)).count()
        };
        assert_eq!((adds(json!({})), adds(json!({ "residual": null })), adds(json!({ "residual": 3.0 }))), (4, 0, 6));
        assert_eq!(serde_json::to_value(&family).unwrap(), json!({ "base_filters": 8, "residual": 2 }));
        assert!(families::named("HyperCnn", &json!({ "residuals": 2 })).is_err());
    }

    /// Returns the paths of the problems of a user's setting.
    fn refused(key: &str, value: Value) -> Vec<String> {
        let problems = families::named("HyperCnn", &json!({ key: value })).unwrap_err();
        problems.iter().map(|problem| problem.at.to_string()).collect()
    }

    #[test]
    fn errors_name_the_key() {
        for (key, value) in [
            ("activation", json!("tanh")),
            ("conv_dropout_drop_proba", json!(1.0)),
            ("residual", json!("many")),
            ("conv_hiddn_units_mult", json!(0.001)),
            ("use_BN", json!(1)),
        ] {
            let error = build(json!({ key: value.clone() }), [3, 32, 32]).unwrap_err();
            assert!(matches!(&error, ModelError::Value { key: found, .. } if found == key), "{error}");
            assert_eq!(refused(key, value), [key]);
        }
        for (key, value) in [("batch_size", json!(2.5)), ("lr_rate_mult", json!(0)), ("optimizer", json!("Sadam"))] {
            assert_eq!(refused(key, value), [key]);
        }
    }

    #[test]
    fn a_search_may_propose_the_19_hyperparameters_but_no_setting() {
        let family = TableFamily::new(&HYPER_CNN);
        let keys = family.keys();
        assert_eq!((keys.len(), keys[0], keys[18]), (19, "activation", "optimizer"));
        let training = super::super::TRAINING.iter().flat_map(|row| row.keys).copied();
        assert_eq!(training.collect::<Vec<_>>(), keys[14..]);
        assert_eq!(family.default_of("residual"), Some(Value::Null));
        assert_eq!(family.default_of("batch_size"), None);
    }

    #[test]
    fn a_multiplier_that_leaves_less_than_one_unit_is_refused() {
        for (settings, at) in [
            (json!({ "base_filters": 8, "conv_hiddn_units_mult": 0.1 }), "conv_hiddn_units_mult"),
            (json!({ "fc_units": [8, 2], "one_more_fc": 0.4 }), "one_more_fc"),
        ] {
            let problems = families::named("HyperCnn", &settings).unwrap_err();
            assert_eq!(problems[0].at.to_string(), at);
        }
        assert!(families::named("HyperCnn", &json!({ "conv_hiddn_units_mult": 0.1 })).is_ok());
    }

    #[test]
    fn equal_settings_are_written_the_same() {
        let written = |settings: Value| serde_json::to_value(families::named("HyperCnn", &settings).unwrap()).unwrap();
        let defaults =
            json!({ "base_filters": 40, "fc_units": [1000, 750], "residual": null, "lr_rate_mult": 1, "use_BN": true });
        assert_eq!(written(defaults), json!({}));
        let settings = json!({ "bn_momentum": 0, "bn_epsilon": 1, "residual": 2.0, "first_conv": 3 });
        let expected = json!({ "bn_momentum": 0.0, "bn_epsilon": 1.0, "residual": 2, "first_conv": 3 });
        assert_eq!(written(settings).to_string(), expected.to_string());
    }
}
