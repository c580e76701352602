//! The family `Cnn`: blocks of convolution and max-pooling, then one dense layer. It includes the baseline and the searched
//! networks for Fashion-MNIST in "Hyperparameter Tuning with Keras Tuner" (N. Kafritsas).

use super::{
    Chain, Row, TRAINING, Table, Values,
    row::{ACTIVATION, INITIALISER},
};
use crate::{
    network::{
        ModelError, Padding,
        layers::{Conv, Dense, Flatten, MaxPool},
    },
    params::Domain,
};

/// Up to six blocks and a dense layer. Defaults to one block of 32 unpadded 3x3 filters, and 100 dense units.
pub(super) static CNN: Table = Table {
    name: "Cnn",
    about: "Blocks of a convolution and a max-pooling that halves the image, then one dense layer.",
    rows: &[
        Row::new(&["blocks"], Domain::Whole(0..=6), || 1.into(), "Number of blocks."),
        Row::new(&FILTERS, Domain::Whole(1..=65_536), || 32.into(), "Number of filters of each block."),
        Row::new(&["kernel"], Domain::Whole(1..=15), || 3.into(), "Height and width of every filter."),
        Row::new(&PADDING, Domain::Word(Padding::NAMES), || "valid".into(), "Padding of each block's convolution."),
        Row::new(&DROPOUT, Domain::Share, || 0.0.into(), "Dropout probability after each block."),
        Row::new(&["dense_units"], Domain::Whole(1..=1 << 20), || 100.into(), "Number of units of the dense layer."),
        Row::new(&["dense_dropout"], Domain::Share, || 0.0.into(), "Dropout probability after the dense layer."),
        ACTIVATION,
        INITIALISER,
    ],
    training: TRAINING,
    check: |_| Ok(()),
    build,
};

const FILTERS: [&str; 6] = ["filters_1", "filters_2", "filters_3", "filters_4", "filters_5", "filters_6"];
const PADDING: [&str; 6] = ["padding_1", "padding_2", "padding_3", "padding_4", "padding_5", "padding_6"];
const DROPOUT: [&str; 6] = ["dropout_1", "dropout_2", "dropout_3", "dropout_4", "dropout_5", "dropout_6"];

fn build(values: &Values<'_>, chain: &mut Chain) -> Result<(), ModelError> {
    for block in 0..values.whole("blocks") {
        let (filters, kernel) = (values.whole(FILTERS[block]), values.whole("kernel"));
        chain.push(Conv { filters, kernel, stride: 1, padding: values.get(PADDING[block]) })?;
        chain.push(values.activation())?;
        chain.push(MaxPool { size: 2, stride: 2, padding: Padding::Valid })?;
        chain.dropout(values.share(DROPOUT[block]))?;
    }
    chain.push(Flatten)?;
    chain.push(Dense { units: values.whole("dense_units") })?;
    chain.push(values.activation())?;
    chain.dropout(values.share("dense_dropout"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::network::families::table::tests::built;

    #[test]
    fn the_baseline_has_as_many_parameters_as_in_keras() {
        // Conv2D(32, 3), MaxPool2D(), Flatten, Dense(100), Dense(10) on 28x28x1: 13x13 pixels are left after pooling.
        let network = built(&CNN, json!({}), [1, 28, 28], 10).unwrap();
        assert_eq!(network.parameters, 320 + 5408 * 100 + 100 + 1010);
        assert_eq!(network.layer("max_pooling2d_1").unwrap().shape, [32, 13, 13]);
    }

    #[test]
    fn each_block_has_its_filters_its_padding_and_its_dropout() {
        let values =
            json!({ "blocks": 2, "filters_2": 64, "padding_2": "same", "dropout_2": 0.2, "dense_units": 25.0 });
        let network = built(&CNN, values, [1, 28, 28], 10).unwrap();
        assert_eq!(network.layer("conv2d_2").unwrap().shape, [64, 13, 13]);
        assert_eq!(network.layer("dropout_1").unwrap().shape, [64, 6, 6]);
        assert_eq!(network.layer("dense_1").unwrap().shape, [25]);
    }

    #[test]
    fn windows_that_leave_the_image_are_refused() {
        let error = built(&CNN, json!({ "blocks": 3 }), [1, 12, 12], 10).unwrap_err();
        let expected = "a window of 3x3 does not fit the 1x1 pixels that `max_pooling2d_2` gives";
        assert!(matches!(error, ModelError::Window { .. }) && error.to_string() == expected, "{error}");
        assert!(built(&CNN, json!({ "blocks": 2 }), [1, 12, 12], 10).is_ok());
    }
}
