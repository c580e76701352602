//! The layers whose filters are visualised.

use std::ops::Range;

use crate::{
    device::DeviceKind,
    network::{Architecture, Layer, LayerKind},
    stage::StageError,
};

/// The most bytes that the images of one batch may take while they climb, and the most images. A change changes results: sums of products
/// may round differently in batches of other sizes.
fn limits(device: DeviceKind) -> (u64, usize) {
    match device {
        DeviceKind::Cpu => (256 << 20, 64),
        // A card has more to do at once, and more memory than a core.
        DeviceKind::Cuda | DeviceKind::Wgpu => (2 << 30, 512),
    }
}

/// A layer whose filters are visualised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) layer: String,
    /// The layer's kind, as in `architecture.json`: `add`, `conv`, ...
    pub(super) kind: &'static str,
    /// The layer's place in the network, from 0.
    pub(super) index: u32,
    /// Channels of its output.
    pub(super) filters: usize,
    /// An estimate of the bytes that one image takes while it climbs.
    pub(super) bytes_per_image: u64,
}

impl Target {
    /// Returns the number of images that climb together. It depends only on the network and the kind of device.
    pub(super) fn batch(&self, device: DeviceKind) -> usize {
        let (bytes, most) = limits(device);
        let fitting = usize::try_from(bytes / self.bytes_per_image.max(1)).unwrap_or(most);
        fitting.clamp(1, most).min(self.filters)
    }

    /// Returns the filters, batch by batch.
    pub(super) fn batches(&self, device: DeviceKind) -> impl Iterator<Item = Range<usize>> {
        let (batch, filters) = (self.batch(device), self.filters);
        (0..filters).step_by(batch).map(move |from| from..filters.min(from + batch))
    }
}

/// Returns the layers called `names`, in the order of the network. Without names, returns every residual add, or every
/// convolution if there is none.
///
/// # Errors
/// If no layer has one of the names, a named layer has no filters (its output is not an image), or the network has no
/// convolution.
pub(super) fn select(architecture: &Architecture, names: &[String]) -> Result<Vec<Target>, StageError> {
    let filtered: Vec<&Layer> = architecture.layers.iter().filter(|layer| layer.shape.len() == 3).collect();
    let known = || {
        let names: Vec<_> = filtered.iter().map(|layer| format!("`{}`", layer.name)).collect();
        format!("layers with filters: {}", names.join(", "))
    };
    if !architecture.layers.iter().any(|layer| matches!(layer.kind, LayerKind::Conv(_))) {
        return Err(StageError::failed_with_hint(
            "the network has no convolution, so there are no filters to visualise",
            "remove the stage, or train a convolutional network",
        ));
    }
    for name in names {
        let message = match architecture.layer(name) {
            None => format!("the network has no layer `{name}`"),
            Some(layer) if layer.shape.len() != 3 => {
                format!("the layer `{name}` has no filters: its output is not an image")
            }
            Some(_) => continue,
        };
        return Err(StageError::failed_with_hint(message, known()));
    }
    let all =
        |wanted: fn(&LayerKind) -> bool| architecture.layers.iter().any(|layer| wanted(&layer.kind)).then_some(wanted);
    let default = all(|kind| matches!(kind, LayerKind::Add(_))).unwrap_or(|kind| matches!(kind, LayerKind::Conv(_)));
    let is_wanted = |layer: &Layer| if names.is_empty() { default(&layer.kind) } else { names.contains(&layer.name) };
    let wanted = architecture.layers.iter().enumerate().filter(|(_, layer)| is_wanted(layer));
    Ok(wanted.map(|(index, layer)| target(architecture, index, layer)).collect())
}

fn target(architecture: &Architecture, index: usize, layer: &Layer) -> Target {
    let outputs: usize = architecture.layers[..=index].iter().map(|layer| layer.shape.iter().product::<usize>()).sum();
    Target {
        layer: layer.name.clone(),
        kind: layer.kind.name(),
        index: u32::try_from(index).expect("few layers"),
        filters: layer.shape[0],
        // Every output is kept for the backward pass, and has a gradient and a temporary.
        bytes_per_image: 3 * 4 * (outputs + architecture.input.iter().product::<usize>()) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{
        Builder, Padding,
        architecture::Head,
        layers::{Add, Conv, Flatten},
    };

    const CONV: Conv = Conv { filters: 70, kernel: 3, stride: 1, padding: Padding::Same };

    fn network(n_convs: usize, n_adds: usize) -> Architecture {
        let mut builder = Builder::new([3, 8, 8]);
        let mut at = "input".to_owned();
        for i in 0..n_convs {
            let conv = builder.add(CONV, &[&at]);
            at = if i > 0 && i <= n_adds { builder.add(Add, &[&conv, &at]) } else { conv };
        }
        let flat = builder.add(Flatten, &[&at]);
        builder.finish(&flat, &[Head { name: "class".into(), classes: 2, output: Default::default() }]).unwrap()
    }

    fn names(architecture: &Architecture, names: &[&str]) -> Result<Vec<String>, String> {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let targets = select(architecture, &names).map_err(|error| error.to_string())?;
        Ok(targets.into_iter().map(|target| target.layer).collect())
    }

    #[test]
    fn the_default_is_every_add_or_every_convolution_if_there_is_none() {
        assert_eq!(names(&network(3, 2), &[]).unwrap(), ["add_1", "add_2"]);
        assert_eq!(names(&network(2, 0), &[]).unwrap(), ["conv2d_1", "conv2d_2"]);
    }

    #[test]
    fn layers_come_in_the_order_of_the_network_whatever_the_order_of_names() {
        assert_eq!(names(&network(3, 2), &["add_2", "conv2d_1"]).unwrap(), ["conv2d_1", "add_2"]);
    }

    #[test]
    fn a_layer_or_network_without_filters_is_an_error() {
        assert_eq!(names(&network(2, 0), &["conv2d_9"]).unwrap_err(), "the network has no layer `conv2d_9`");
        let error = names(&network(2, 0), &["class"]).unwrap_err();
        assert_eq!(error, "the layer `class` has no filters: its output is not an image");
        let error = names(&network(0, 0), &[]).unwrap_err();
        assert_eq!(error, "the network has no convolution, so there are no filters to visualise");
    }

    #[test]
    fn every_filter_is_in_one_batch() {
        let targets = select(&network(1, 0), &[]).unwrap();
        assert_eq!(targets[0].kind, "conv");
        assert_eq!(targets[0].batches(DeviceKind::Cpu).collect::<Vec<_>>(), [0..64, 64..70]);
        assert_eq!(targets[0].batches(DeviceKind::Wgpu).next(), Some(0..70));
        let large = Target { bytes_per_image: 100 << 20, ..targets[0].clone() };
        assert_eq!([DeviceKind::Cpu, DeviceKind::Cuda].map(|device| large.batch(device)), [2, 20]);
        assert_eq!(Target { bytes_per_image: u64::MAX, ..large }.batch(DeviceKind::Cpu), 1);
    }
}
