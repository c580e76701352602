//! The family `Mlp`: a multilayer perceptron. It includes the baseline and the searched networks for Fashion-MNIST in
//! "Hyperparameter Tuning with Keras Tuner" (N. Kafritsas).

use super::{
    Chain, Row, TRAINING, Table, Values,
    row::{ACTIVATION, INITIALISER},
};
use crate::{
    network::{
        ModelError,
        layers::{Dense, Flatten},
    },
    params::Domain,
};

/// Up to eight hidden layers. Defaults to one of 350 units.
pub(super) static MLP: Table = Table {
    name: "Mlp",
    about: "A sequence of dense layers.",
    rows: &[
        Row::new(&["layers"], Domain::Whole(0..=8), || 1.into(), "Number of hidden layers."),
        Row::new(&UNITS, Domain::Whole(1..=1 << 20), || 350.into(), "Number of units of each hidden layer."),
        Row::new(&DROPOUT, Domain::Share, || 0.0.into(), "Dropout probability after each hidden layer."),
        ACTIVATION,
        INITIALISER,
    ],
    training: TRAINING,
    check: |_| Ok(()),
    build,
};

const UNITS: [&str; 8] = ["units_1", "units_2", "units_3", "units_4", "units_5", "units_6", "units_7", "units_8"];
const DROPOUT: [&str; 8] =
    ["dropout_1", "dropout_2", "dropout_3", "dropout_4", "dropout_5", "dropout_6", "dropout_7", "dropout_8"];

fn build(values: &Values<'_>, chain: &mut Chain) -> Result<(), ModelError> {
    chain.push(Flatten)?;
    for (units, dropout) in UNITS.iter().zip(DROPOUT).take(values.whole("layers")) {
        chain.push(Dense { units: values.whole(units) })?;
        chain.push(values.activation())?;
        chain.dropout(values.share(dropout))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::network::{Initialiser, families::table::tests::built};

    #[test]
    fn the_baseline_has_as_many_parameters_as_in_keras() {
        // Flatten, Dense(350), Dense(10): 784 * 350 + 350 + 350 * 10 + 10.
        let network = built(&MLP, json!({}), [1, 28, 28], 10).unwrap();
        assert_eq!(network.parameters, 278_260);
        let kinds: Vec<_> = network.layers.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(kinds, ["flatten_1", "dense_1", "activation_1", "class"]);
    }

    #[test]
    fn each_layer_has_its_units_and_its_dropout() {
        let values = json!({ "layers": 3.0, "units_1": 50.0, "units_2": 75, "units_3": 100, "dropout_2": 0.1 });
        let network = built(&MLP, values, [1, 28, 28], 10).unwrap();
        assert_eq!(network.parameters, 784 * 50 + 50 + 50 * 75 + 75 + 75 * 100 + 100 + 100 * 10 + 10);
        assert_eq!(network.layer("dropout_1").unwrap().inputs, ["activation_2"]);
        assert!(network.layer("dropout_2").is_none());
    }

    #[test]
    fn selu_defaults_to_lecuns_initialiser() {
        for (values, expected) in [
            (json!({}), Initialiser::GlorotUniform),
            (json!({ "activation": "selu" }), Initialiser::LecunNormal),
            (json!({ "activation": "selu", "initialiser": "he_normal" }), Initialiser::HeNormal),
            (json!({ "initialiser": "he_uniform" }), Initialiser::HeUniform),
        ] {
            let network = built(&MLP, values, [1, 2, 2], 10).unwrap();
            assert_eq!(network.layer("dense_1").unwrap().initialiser, expected);
            assert_eq!(network.layer("class").unwrap().initialiser, Initialiser::GlorotUniform);
        }
    }

    #[test]
    fn errors_name_the_key_and_its_value() {
        for (key, value) in
            [("layers", json!(9)), ("units_1", json!(0)), ("dropout_1", json!(1)), ("activation", json!("tanh"))]
        {
            let error = built(&MLP, json!({ key: value }), [1, 28, 28], 10).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{key}` is {value}, expected ")), "{error}");
        }
    }
}
