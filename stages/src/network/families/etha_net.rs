//! The family `EthaNet`: the network for Fruits-360 in "Systematic Approach to Convolutional Neural Network Hyper-Parameter
//! Optimization" (E. Blagg).

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

/// Three blocks, then a dense layer whose units are proportional to the number of classes. A block is a convolution with stride 2
/// and a max-pooling; each has twice the filters of the one before.
pub(super) static ETHA_NET: Table = Table {
    name: "EthaNet",
    about: "Three blocks of a convolution and a max-pooling that each halve the image, then one dense layer. \
            Each block has twice the filters of the one before.",
    rows: &[
        Row::new(&["filters"], Domain::Whole(1..=16_384), || 12.into(), "Number of filters of the first block."),
        Row::new(&["kernel"], Domain::Whole(1..=15), || 4.into(), "Height and width of every filter."),
        Row::new(
            &["dense_units_per_class"],
            Domain::Whole(1..=1024),
            || 2.into(),
            "Number of units of the dense layer, per class.",
        ),
        Row::new(&["dense_dropout"], Domain::Share, || 0.05.into(), "Dropout probability after the dense layer."),
        ACTIVATION,
        INITIALISER,
    ],
    training: TRAINING,
    check: |_| Ok(()),
    build,
};

fn build(values: &Values<'_>, chain: &mut Chain) -> Result<(), ModelError> {
    let (filters, kernel) = (values.whole("filters"), values.whole("kernel"));
    for filters in [filters, 2 * filters, 4 * filters] {
        chain.push(Conv { filters, kernel, stride: 2, padding: Padding::Same })?;
        chain.push(values.activation())?;
        chain.push(MaxPool { size: 2, stride: 2, padding: Padding::Valid })?;
    }
    chain.push(Flatten)?;
    let classes: usize = values.heads.iter().map(|head| head.classes).sum();
    chain.push(Dense { units: values.whole("dense_units_per_class") * classes })?;
    chain.push(values.activation())?;
    chain.dropout(values.share("dense_dropout"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::network::families::table::tests::built;

    #[test]
    fn images_of_100_pixels_are_halved_six_times() {
        let network = built(&ETHA_NET, json!({ "filters": 24 }), [3, 100, 100], 120).unwrap();
        let shapes: Vec<_> = network.layers.iter().map(|layer| layer.shape.as_slice()).collect();
        assert_eq!(shapes[..3], [[24, 50, 50], [24, 50, 50], [24, 25, 25]]);
        assert_eq!((shapes[5], shapes[8], shapes[10]), (&[48, 6, 6][..], &[96, 1, 1][..], &[240][..]));
        let convolutions = (3 * 16 * 24 + 24) + (24 * 16 * 48 + 48) + (48 * 16 * 96 + 96);
        assert_eq!(network.parameters, convolutions + (96 * 240 + 240) + (240 * 120 + 120));
    }

    #[test]
    fn images_too_small_to_be_halved_six_times_are_refused() {
        let error = built(&ETHA_NET, json!({}), [3, 32, 32], 4).unwrap_err().to_string();
        assert_eq!(error, "a window of 2x2 does not fit the 1x1 pixels that `activation_3` gives");
    }
}
