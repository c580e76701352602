//! Grad-CAM: where in an image a network found what speaks for a class (Selvaraju et al., "Grad-CAM: Visual explanations from deep
//! networks via gradient-based localization", 2017).
//!
//! The network is divided at a feature map that everything passes through. The gradient of a class's logit with respect to the map
//! is that of the second part with respect to its image.

use std::collections::BTreeMap;

use super::{Architecture, Backend, Layer, LayerKind, Mode, Network, Pass, Predictor, Weights};
use crate::images::Heat;

/// A trained network, divided at its last feature map.
pub struct GradCam {
    /// The layer whose output is the feature map.
    layer: String,
    /// The shape of the map: `[channels, height, width]`.
    shape: [usize; 3],
    /// From the images to the map.
    before: Network,
    /// From the map to the logits.
    after: Network,
}

impl Predictor {
    /// Returns the network divided at its last feature map, or None if it has no convolution, or no feature map after one that
    /// everything passes through.
    pub fn grad_cam(&self) -> Option<GradCam> {
        GradCam::new(self.architecture(), self.weights(), self.backend())
    }
}

impl GradCam {
    fn new(architecture: &Architecture, weights: &Weights, backend: &Backend) -> Option<Self> {
        let at = last_map(architecture)?;
        let layer = &architecture.layers[at];
        let &[channels, height, width] = &layer.shape[..] else { return None };
        let shape = [channels, height, width];
        let mut before = Network::new(architecture, Pass::Inference, &[&layer.name], backend);
        before.set_weights(weights);
        let mut after = Network::of_heads(&rest(architecture, at, shape), Pass::ImageGradients, backend);
        after.set_weights(weights);
        Some(Self { layer: layer.name.clone(), shape, before, after })
    }

    /// Returns the name of the layer whose output is the feature map.
    pub fn layer(&self) -> &str {
        &self.layer
    }

    /// Returns what speaks for class `classes[i]` of `head` in image `i` of the normalised `images` `[n, c, h, w]`: the sum of the
    /// channels of the feature map, each weighted with the mean over the map of the logit's gradient, and 0 where that is negative.
    ///
    /// # Panics
    /// If there is not one class for each image, or the network has no such head or class.
    pub fn heat(&mut self, images: &[f32], head: &str, classes: &[usize]) -> Vec<Heat> {
        let maps = self.before.forward(images, Mode::Inference).outputs.remove(&self.layer);
        let maps = maps.expect("the output was asked for"); // [n, channels, height, width]
        let logits =
            self.after.forward(&maps, Mode::Inference).outputs.remove(head).expect("the network has this head");
        assert!(!classes.is_empty() && logits.len().is_multiple_of(classes.len()), "each image has a class");
        let n_classes = logits.len() / classes.len();
        let mut one = vec![0.0; logits.len()];
        classes.iter().enumerate().for_each(|(image, class)| one[image * n_classes..][..n_classes][*class] = 1.0);
        let gradients = self.after.image_gradients(&BTreeMap::from([(head.to_owned(), one)]));
        let [channels, height, width] = self.shape;
        let size = channels * height * width;
        let images = maps.chunks_exact(size).zip(gradients.chunks_exact(size));
        images.map(|(map, gradient)| Heat { height, width, values: weighted(map, gradient, height * width) }).collect()
    }
}

/// Returns the sum of the planes of `map`, each weighted with the mean of its plane of `gradient`, and 0 where it is negative.
fn weighted(map: &[f32], gradient: &[f32], pixels: usize) -> Vec<f32> {
    let mut sum = vec![0.0; pixels];
    for (plane, gradient) in map.chunks_exact(pixels).zip(gradient.chunks_exact(pixels)) {
        let weight = gradient.iter().sum::<f32>() / pixels as f32;
        sum.iter_mut().zip(plane).for_each(|(sum, x)| *sum += weight * x);
    }
    sum.iter_mut().for_each(|sum| *sum = sum.max(0.0));
    sum
}

/// Returns the place of the layer whose output is the last feature map: after a convolution, of more than one pixel, and everything
/// passes through it. A pooling after the last convolution makes the map coarser, so the map before it is taken.
fn last_map(architecture: &Architecture) -> Option<usize> {
    let layers = &architecture.layers;
    let is_convolution = |layer: &Layer| matches!(layer.kind, LayerKind::Conv(_));
    let first = layers.iter().position(is_convolution)?;
    let size = |at: usize| layers[at].shape.get(1..).filter(|sides| sides.len() == 2);
    let last = layers.iter().rposition(is_convolution)?;
    // Layers are counted from 1 here: the image is 0.
    let place = |name: &String| layers.iter().position(|layer| layer.name == *name).map_or(0, |at| at + 1);
    let mut earliest_read = layers.len();
    let mut maps = Vec::new();
    for at in (first..layers.len()).rev() {
        let is_map = size(at).is_some_and(|sides| sides.iter().product::<usize>() > 1);
        if is_map && earliest_read > at {
            maps.push(at);
        }
        earliest_read = layers[at].inputs.iter().map(place).fold(earliest_read, usize::min);
    }
    let before_pooling = maps.iter().find(|&&at| at >= last && size(at) == size(last));
    before_pooling.or(maps.first()).copied()
}

/// Returns the network after the layer `at`, whose output, of shape `input`, takes the place of the image.
fn rest(architecture: &Architecture, at: usize, input: [usize; 3]) -> Architecture {
    let map = &architecture.layers[at].name;
    let mut layers = architecture.layers[at + 1..].to_vec();
    for name in layers.iter_mut().flat_map(|layer| &mut layer.inputs) {
        if name == map {
            "input".clone_into(name);
        }
    }
    Architecture { input, layers, ..architecture.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        network::{
            Builder, Function, Padding,
            architecture::Head,
            layers::{Activation, Add, AvgPool, Concat, Conv, Dense, Flatten, MaxPool},
        },
        philox::{Purpose, Stream},
        stage::ComputeDevice,
    };

    const CONV: Conv = Conv { filters: 3, kernel: 2, stride: 1, padding: Padding::Same };
    const RELU: Activation = Activation { function: Function::Relu };
    const CLASSES: usize = 4;

    fn numbers(n: usize, id: u32) -> Vec<f32> {
        let stream = Stream::new(9, Purpose::Filters, 0, id);
        (0..n as u64).map(|i| stream.f32(i) - 0.5).collect()
    }

    fn finish(builder: Builder, at: &str) -> Architecture {
        builder.finish(at, &[Head { name: "a".into(), classes: CLASSES, output: Default::default() }]).unwrap()
    }

    fn predictor(architecture: Architecture) -> Predictor {
        let mut weights = Weights::initial(&architecture, 1);
        for (id, weight) in (0..).zip(weights.0.values_mut()) {
            let noise = numbers(weight.values.len(), id);
            weight.values.iter_mut().zip(noise).for_each(|(w, x)| *w += 0.3 * x);
        }
        Predictor::new(architecture, weights, Backend::of(ComputeDevice::CPU).unwrap())
    }

    /// Returns Grad-CAM of one image written out from its definition, with the gradient `[channels, height, width]` of the logit.
    fn plain(map: &[f32], gradient: &[f32], pixels: usize) -> Vec<f32> {
        let mean = |channel: usize| (0..pixels).map(|p| gradient[channel * pixels + p]).sum::<f32>() / pixels as f32;
        let sum = |p: usize| (0..map.len() / pixels).map(|c| mean(c) * map[c * pixels + p]).sum::<f32>();
        (0..pixels).map(|p| if sum(p) > 0.0 { sum(p) } else { 0.0 }).collect()
    }

    fn assert_close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (x, y) in found.iter().zip(expected) {
            assert!((x - y).abs() < 1e-3, "{found:?} {expected:?}");
        }
    }

    #[test]
    fn of_a_linear_head_the_gradient_is_its_kernel() {
        let mut builder = Builder::new([2, 5, 6]);
        let conv = builder.add(CONV, &["input"]);
        let relu = builder.add(RELU, &[&conv]);
        let flat = builder.add(Flatten, &[&relu]);
        let predictor = predictor(finish(builder, &flat));
        let images = numbers(2 * 60, 50);
        let mut network = predictor.network(Pass::Inference, &[&relu]);
        let maps = network.forward(&images, Mode::Inference).outputs.remove(&relu).unwrap();
        let kernel = &predictor.weights().0["a.kernel"].values; // [inputs, classes]
        let mut cam = predictor.grad_cam().unwrap();
        assert_eq!(cam.layer(), relu);
        let mut some = false;
        for class in 0..CLASSES {
            let gradient: Vec<f32> = kernel.iter().skip(class).step_by(CLASSES).copied().collect();
            // The other image has another class, which must not matter.
            for (image, heat) in cam.heat(&images, "a", &[class, CLASSES - 1 - class]).iter().enumerate() {
                assert_eq!((heat.height, heat.width), (5, 6));
                if image == 0 {
                    assert_close(&heat.values, &plain(&maps[..90], &gradient, 30));
                    some |= heat.values.iter().any(|x| *x > 1e-2);
                }
            }
            let second = &cam.heat(&images, "a", &[CLASSES - 1 - class, class])[1];
            assert_close(&second.values, &plain(&maps[90..], &gradient, 30));
        }
        assert!(some, "the test shows nothing");
    }

    #[test]
    fn of_any_network_the_gradient_is_that_of_finite_differences() {
        let mut builder = Builder::new([2, 6, 6]);
        let first = builder.add(CONV, &["input"]);
        let conv = builder.add(CONV, &[&first]);
        let add = builder.add(Add, &[&conv, &first]);
        let pool = builder.add(AvgPool { size: 2, stride: 2, padding: Padding::Valid }, &[&add]);
        let flat = builder.add(Flatten, &[&pool]);
        let dense = builder.add(Dense { units: 5 }, &[&flat]);
        let elu = builder.add(Activation { function: Function::Elu }, &[&dense]);
        let predictor = predictor(finish(builder, &elu));
        let mut cam = predictor.grad_cam().unwrap();
        assert_eq!(cam.layer(), add, "the map before the pooling, with what the skip connection brings");
        let image = numbers(72, 50);
        let mut map = cam.before.forward(&image, Mode::Inference).outputs.remove(&add).unwrap();
        let class = 1;
        let mut logit = |map: &[f32]| cam.after.forward(map, Mode::Inference).outputs["a"][class];
        assert!((logit(&map) - predictor.logits(&image, 1)["a"][class]).abs() < 1e-5, "both parts are the network");
        const STEP: f32 = 1e-2;
        let mut slopes = Vec::new();
        for at in 0..map.len() {
            let start = map[at];
            let mut value = |x: f32| {
                map[at] = x;
                logit(&map)
            };
            slopes.push((value(start + STEP) - value(start - STEP)) / (2.0 * STEP));
            value(start);
        }
        let expected = plain(&map, &slopes, 36);
        assert!(expected.iter().any(|x| *x > 1e-2), "the test shows nothing: {expected:?}");
        assert_close(&cam.heat(&image, "a", &[class])[0].values, &expected);
    }

    #[test]
    fn everything_passes_through_the_map() {
        let layer = |build: &dyn Fn(&mut Builder) -> String| {
            let mut builder = Builder::new([2, 6, 6]);
            let at = build(&mut builder);
            predictor(finish(builder, &at)).grad_cam().map(|cam| cam.layer)
        };
        let pool = MaxPool { size: 2, stride: 2, padding: Padding::Valid };
        let branches = |builder: &mut Builder, from: &str| {
            let left = builder.add(CONV, &[from]);
            let right = builder.add(Conv { kernel: 1, ..CONV }, &[from]);
            [left, right]
        };
        let no_convolution = |builder: &mut Builder| builder.add(Flatten, &["input"]);
        assert_eq!(layer(&no_convolution), None);
        let joined_as_maps = |builder: &mut Builder| {
            let [left, right] = branches(builder, "input");
            let joined = builder.add(Concat, &[&left, &right]);
            let pooled = builder.add(pool.clone(), &[&joined]);
            builder.add(Flatten, &[&pooled])
        };
        assert_eq!(layer(&joined_as_maps).unwrap(), "concatenate_1");
        let joined_when_flat = |from_input: bool| {
            move |builder: &mut Builder| {
                let stem = if from_input { "input".to_owned() } else { builder.add(CONV, &["input"]) };
                let [left, right] = branches(builder, &stem).map(|branch| builder.add(Flatten, &[&branch]));
                builder.add(Add, &[&left, &right])
            }
        };
        assert_eq!(layer(&joined_when_flat(false)).unwrap(), "conv2d_1");
        assert_eq!(layer(&joined_when_flat(true)), None);
    }
}
