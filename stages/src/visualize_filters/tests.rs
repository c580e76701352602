//! Tests of the stage on small networks.

use pipe_store::{Digest, MemoryObjects};

use super::*;
use crate::{
    network::{
        Backend, Builder, Function, Mode, Padding, Pass, Predictor, Response, Weights,
        architecture::Head,
        layers::{Activation, Add, AvgPool, BatchNorm, Conv, Dropout, Flatten},
    },
    params::record as record_of,
    philox::{Purpose, Stream},
    stage::{Checkpoint, ComputeDevice, Host, QuietHost},
};

const FILTERS: usize = 7;

/// A residual network with every kind of layer that can come before a visualised one. Images are 3 x 9 x 8.
fn residual() -> (Architecture, Weights) {
    let mut builder = Builder::new([3, 9, 8]);
    let conv = |filters, kernel| Conv { filters, kernel, stride: 1, padding: Padding::Same };
    let elu = Activation { function: Function::Elu };
    let mut at = builder.add(conv(FILTERS, 3), &["input"]);
    at = builder.add(elu.clone(), &[&at]);
    at = builder.add(BatchNorm { momentum: 0.9, epsilon: 1e-3 }, &[&at]);
    at = builder.add(AvgPool { size: 2, stride: 2, padding: Padding::Same }, &[&at]);
    let branch = builder.add(conv(FILTERS, 2), &[&at]);
    let branch = builder.add(elu, &[&branch]);
    at = builder.add(Add, &[&branch, &at]);
    at = builder.add(Dropout { p: 0.5 }, &[&at]);
    at = builder.add(Flatten, &[&at]);
    finish(builder, &at)
}

/// A convolution of 5 filters with a relu.
fn plain() -> (Architecture, Weights) {
    let mut builder = Builder::new([1, 6, 6]);
    let conv = builder.add(Conv { filters: 5, kernel: 3, stride: 2, padding: Padding::Valid }, &["input"]);
    let relu = builder.add(Activation { function: Function::Relu }, &[&conv]);
    let flat = builder.add(Flatten, &[&relu]);
    finish(builder, &flat)
}

/// Initial weights, with biases and statistics as if trained.
fn finish(builder: Builder, at: &str) -> (Architecture, Weights) {
    let architecture =
        builder.finish(at, &[Head { name: "class".into(), classes: 3, output: Default::default() }]).unwrap();
    let mut weights = Weights::initial(&architecture, 3);
    for (array, (name, weight)) in (0..).zip(&mut weights.0) {
        let stream = Stream::new(9, Purpose::Weights, 0, array);
        for (element, value) in (0..).zip(&mut weight.values) {
            let noise = stream.f32(element) - 0.5;
            if name.ends_with(".bias") || name.ends_with(".beta") || name.ends_with(".moving_mean") {
                *value += 0.1 * noise;
            } else if name.ends_with(".moving_variance") {
                *value = 0.5 + noise;
            }
        }
    }
    (architecture, weights)
}

fn run_with(
    stage: &VisualizeFilters,
    (architecture, weights): &(Architecture, Weights),
    policy: Option<&str>,
    splits: &[(&str, Vec<u8>)],
    host: &dyn Host,
) -> Result<Outputs, StageError> {
    let mut objects = MemoryObjects::default();
    let mut slots: std::collections::BTreeMap<String, Digest> = [
        (ARCHITECTURE.to_owned(), objects.put(record_of(architecture))),
        (WEIGHTS.to_owned(), objects.put(weights.write())),
    ]
    .into();
    if let Some(policy) = policy {
        slots.insert(POLICY.to_owned(), objects.put(policy.as_bytes().to_vec()));
    }
    for (slot, bytes) in splits {
        slots.insert((*slot).to_owned(), objects.put(bytes.clone()));
    }
    let inputs = Inputs::new(&slots, &objects);
    assert!(stage.memory(&inputs).is_ok() || stage.run(&inputs, &context(host)).is_err());
    stage.run(&inputs, &context(host))
}

fn context(host: &dyn Host) -> Context<'_> {
    Context { seed: 5, device: ComputeDevice::CPU, host }
}

fn run(stage: &VisualizeFilters, network: &(Architecture, Weights)) -> Outputs {
    run_with(stage, network, None, &[], &QuietHost).unwrap()
}

fn read(outputs: &Outputs) -> Vec<LayerFilters> {
    serde_json::from_slice::<FiltersRecord>(&outputs.files()["filters.json"]).unwrap().layers
}

/// Calls `f` with the ascent that the stage would use for the network, and the network's first target.
fn with_ascent<T>((architecture, weights): &(Architecture, Weights), f: impl FnOnce(&Ascent<'_>, &Target) -> T) -> T {
    let [channels, height, width] = architecture.input;
    let shape = ImageShape { channels, height, width };
    let predictor = Predictor::new(architecture.clone(), weights.clone(), Backend::of(ComputeDevice::CPU).unwrap());
    let policy = Policy::plain(channels);
    let normalisation = policy.normalisation();
    let ascent = Ascent { predictor: &predictor, shape, normalisation, steps: 20, step: 2.0, seed: 5 };
    f(&ascent, &target::select(architecture, &[]).unwrap()[0])
}

#[test]
fn gradients_agree_with_finite_differences() {
    with_ascent(&residual(), |ascent, target| {
        let size = ascent.shape.bytes();
        let images: Vec<f32> = (2..5).flat_map(|filter| ascent.start_image(target, filter)).collect();
        let mut network = ascent.network(target);
        let Response { means, gradients } = network.responses(&images, &target.layer, 2..5);
        assert_eq!(gradients.len(), 3 * size);
        for e in (0..3 * size).step_by(7) {
            let mut moved = |by: f32| {
                let mut moved = images.clone();
                moved[e] += by;
                network.responses(&moved, &target.layer, 2..5).means
            };
            let (up, down) = (moved(0.02), moved(-0.02));
            let expected = (up[e / size] - down[e / size]) / 0.04;
            let found = f64::from(gradients[e]);
            assert!((found - expected).abs() < 2e-5 + 1e-2 * expected.abs(), "{e}: {found} {expected}");
            // An image does not affect another's activation.
            let other = (e / size + 1) % 3;
            assert!((up[other] - means[other]).abs() < 1e-6);
        }
    });
}

#[test]
fn start_images_are_grey_noise_and_every_image_stays_in_the_trained_range() {
    with_ascent(&residual(), |ascent, target| {
        let start = ascent.start_image(target, 0);
        assert!(start.iter().all(|x| ((118.0 / 255.0 - 0.501)..(138.0 / 255.0 - 0.499)).contains(x)));
        assert!(start != ascent.start_image(target, 1));
        let far = Ascent { step: 200.0, ..*ascent };
        let image = &far.climb(target, 0..1, &mut |_| Ok(())).unwrap()[0].image;
        assert!(image.iter().all(|x| (-0.5..=0.5).contains(x)) && image.contains(&-0.5) && image.contains(&0.5));
    });
}

#[test]
fn batches_do_not_matter() {
    with_ascent(&residual(), |ascent, target| {
        let climb = |batch: usize| -> Vec<Climb> {
            let batches = (0..FILTERS).step_by(batch).map(|from| from..FILTERS.min(from + batch));
            batches.flat_map(|filters| ascent.climb(target, filters, &mut |_| Ok(())).unwrap()).collect()
        };
        let together = climb(FILTERS);
        for batch in [1, 3] {
            for (a, b) in together.iter().zip(climb(batch)) {
                assert_eq!(a.filter, b.filter);
                // Not bit for bit: products of different sizes may round their sums differently.
                assert!((a.end - b.end).abs() < 1e-5, "{} {}", a.end, b.end);
                assert!(a.image.iter().zip(&b.image).all(|(a, b)| (a - b).abs() < 1e-4));
            }
        }
    });
}

#[test]
fn activations_rise_and_the_last_one_belongs_to_the_last_image() {
    let network = residual();
    let layers = read(&run(&VisualizeFilters::default(), &network));
    assert_eq!((layers.len(), layers[0].layer.as_str(), layers[0].kind.as_str()), (1, "add_1", "add"));
    assert_eq!((layers[0].filters, layers[0].activations.len()), (FILTERS, FILTERS));
    for activation in &layers[0].activations {
        assert!(activation.end.0 > activation.start.0 + 0.01, "{activation:?}");
    }
    with_ascent(&network, |ascent, target| {
        let climbs = ascent.climb(target, 0..FILTERS, &mut |_| Ok(())).unwrap();
        for (climb, activation) in climbs.iter().zip(&layers[0].activations) {
            // A number read from JSON may differ in its last bit.
            assert!((climb.start - activation.start.0).abs() < 1e-12 && (climb.end - activation.end.0).abs() < 1e-12);
            // The image alone, in inference mode: without dropout, with the moving statistics.
            let mut alone = ascent.predictor.network(Pass::Inference, &["add_1"]);
            let tap = &alone.forward(&climb.image, Mode::Inference).outputs["add_1"];
            let plane = tap.len() / FILTERS;
            let mean = tap[climb.filter * plane..][..plane].iter().sum::<f32>() / plane as f32;
            assert!((f64::from(mean) - climb.end).abs() < 1e-5);
        }
    });
}

#[test]
fn dead_filters_are_counted_and_not_drawn() {
    let (architecture, mut weights) = plain();
    let bias = &mut weights.0.get_mut("conv2d_1.bias").unwrap().values;
    bias.copy_from_slice(&[-9.0, 0.5, -9.0, 0.5, 0.5]);
    let stage = VisualizeFilters { layers: vec!["activation_1".into()], ..Default::default() };
    let outputs = run(&stage, &(architecture, weights));
    let layer = &read(&outputs)[0];
    assert_eq!((layer.filters, layer.kept, layer.dead, layer.drawn), (5, 3, 2, 1));
    assert_eq!((layer.activations[0].start, layer.activations[2].end), (Float(0.0), Float(0.0)));
    assert_eq!(layer.sheet.as_deref(), Some("activation_1_best_filters_1_(1x1)_out_of_5.png"));
    let paths: Vec<_> = outputs.files().keys().map(String::as_str).collect();
    assert_eq!(paths, ["activation_1_best_filters_1_(1x1)_out_of_5.png", "filters.json"]);
    let sheet = image::load_from_memory(&outputs.files()[paths[0]]).unwrap();
    assert_eq!((sheet.width(), sheet.height(), sheet.color()), (6, 6, image::ColorType::L8));
}

#[test]
fn a_layer_without_a_living_filter_has_no_sheet() {
    let (architecture, mut weights) = plain();
    weights.0.get_mut("conv2d_1.bias").unwrap().values.fill(f32::NAN);
    let outputs = run(&VisualizeFilters::default(), &(architecture, weights));
    let layer = &read(&outputs)[0];
    assert_eq!((layer.kept, layer.dead, layer.drawn, &layer.sheet), (0, 5, 0, &None));
    assert!(layer.activations[0].end.0.is_nan());
    assert_eq!(outputs.files().len(), 1);
}

#[test]
fn a_network_without_convolutions_is_an_error() {
    let mut builder = Builder::new([1, 4, 4]);
    let flat = builder.add(Flatten, &["input"]);
    let error = run_with(&VisualizeFilters::default(), &finish(builder, &flat), None, &[], &QuietHost).unwrap_err();
    assert_eq!(error.to_string(), "the network has no convolution, so there are no filters to visualise");
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let fourier = Method::Fourier(Fourier { steps: 9, ..Fourier::default() });
    for method in [Method::Classic, fourier] {
        let stage = VisualizeFilters { method, ..Default::default() };
        let digests = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let outputs = pool.install(|| run_with(&stage, &residual(), None, &splits(), &QuietHost).unwrap());
            outputs.files().iter().map(|(path, bytes)| (path.clone(), Digest::of(bytes))).collect::<Vec<_>>()
        };
        assert_eq!(digests(1), digests(2));
    }
}

/// Returns splits for the residual network: 21 images with labels of two heads.
fn splits() -> Vec<(&'static str, Vec<u8>)> {
    let shape = ImageShape { channels: 3, height: 9, width: 8 };
    let stream = Stream::new(2, Purpose::Shapes, 0, 0);
    let images: Vec<u8> = (0..21 * shape.bytes() as u64).map(|e| stream.below(e, 256) as u8).collect();
    let of_classes = |n: i32| (0..21).map(|i| i % n).collect::<Vec<i32>>();
    let data =
        crate::images::dataset::write(shape, images, &[("class", &of_classes(3)[..]), ("coarse", &of_classes(2)[..])]);
    let head = |name: &str, classes: &[&str]| serde_json::json!({ "name": name, "classes": classes });
    let heads = [head("class", &["a", "b", "c"]), head("coarse", &["even", "odd"])];
    let labels = record_of(&serde_json::json!({ "format": 1, "heads": heads, "image": shape }));
    vec![(TRAIN, data.clone()), (VALIDATION, data), (LABELS, labels)]
}

#[test]
fn examples_are_the_images_that_excite_filters_most() {
    let network = residual();
    let stage = VisualizeFilters { examples: 4, ..Default::default() };
    let outputs = run_with(&stage, &network, None, &splits(), &QuietHost).unwrap();
    let record: crate::records::ExamplesRecord = serde_json::from_slice(&outputs.files()["examples.json"]).unwrap();
    assert_eq!((record.images, record.layers.len()), (21, 1));
    let layer = &record.layers[0];
    assert_eq!((layer.layer.as_str(), layer.sheet.as_str()), ("add_1", "add_1_examples.png"));
    // The slow way: one image at a time, then sort all.
    let predictor = Predictor::new(network.0.clone(), network.1.clone(), Backend::of(ComputeDevice::CPU).unwrap());
    let mut alone = predictor.network(Pass::Inference, &["add_1"]);
    let data = Dataset::read(splits().remove(1).1.into()).unwrap();
    let mut means: Vec<Vec<(f64, usize)>> = vec![Vec::new(); FILTERS];
    for image in 0..data.len() {
        let values: Vec<f32> = data.image(image).iter().map(|x| f32::from(*x) * (1.0 / 255.0) - 0.5).collect();
        let tap = &alone.forward(&values, Mode::Inference).outputs["add_1"];
        for (filter, plane) in tap.chunks_exact(tap.len() / FILTERS).enumerate() {
            means[filter].push((plane.iter().map(|x| f64::from(*x)).sum::<f64>() / plane.len() as f64, image));
        }
    }
    let sheet = &read(&outputs)[0];
    assert_eq!(layer.filters.len(), sheet.drawn);
    let ends: Vec<f64> = layer.filters.iter().map(|filter| sheet.activations[filter.filter].end.0).collect();
    assert!(ends.is_sorted_by(|a, b| a >= b), "in the order of the sheet");
    for filter in &layer.filters {
        let mut expected = means[filter.filter].clone();
        expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        assert_eq!(filter.images.len(), 4);
        for (found, (activation, image)) in filter.images.iter().zip(expected) {
            assert_eq!(found.image, image);
            assert!((found.activation.0 - activation).abs() < 1e-6);
            let labels = [("class", ["a", "b", "c"][image % 3]), ("coarse", ["even", "odd"][image % 2])];
            assert!(found.labels.iter().map(|(head, class)| (head.as_str(), class.as_str())).eq(labels));
        }
    }
    let picture = image::load_from_memory(&outputs.files()["add_1_examples.png"]).unwrap().to_rgb8();
    let (first, best) = (&layer.filters[0], data.image(layer.filters[0].images[0].image));
    // The first image of the first filter comes after a gap, the filter's picture, a gap and the space.
    assert_eq!(picture.get_pixel(2 + 8 + 2 + 8, 2).0, [best[0], best[72], best[144]], "{first:?}");
}

#[test]
fn there_are_no_examples_without_a_validation_split_or_if_none_are_asked_for() {
    let plain = run(&VisualizeFilters::default(), &residual());
    assert_eq!(plain.files().keys().filter(|path| path.contains("examples")).count(), 0);
    let none = VisualizeFilters { examples: 0, ..Default::default() };
    assert_eq!(run_with(&none, &residual(), None, &splits(), &QuietHost).unwrap(), plain);
    // The other files stay the same.
    let with = run_with(&VisualizeFilters::default(), &residual(), None, &splits(), &QuietHost).unwrap();
    assert!(plain.files().iter().all(|file| with.files().get_key_value(file.0) == Some(file)));
    assert_eq!(with.files().len(), plain.files().len() + 2);
}

#[test]
fn the_fourier_method_is_named_in_the_record_and_in_the_sheet() {
    let method = Method::Fourier(Fourier { steps: 30, ..Fourier::default() });
    let stage = VisualizeFilters { method: method.clone(), ..Default::default() };
    let outputs = run_with(&stage, &residual(), None, &splits(), &QuietHost).unwrap();
    let record: FiltersRecord = serde_json::from_slice(&outputs.files()["filters.json"]).unwrap();
    assert_eq!(record.method, method);
    let layer = &record.layers[0];
    assert!(layer.activations.iter().all(|activation| activation.end.0 > activation.start.0 + 0.01), "{layer:?}");
    assert!(layer.sheet.as_ref().unwrap().starts_with("add_1_fourier_filters_4_(2x2)_out_of_7"), "{:?}", layer.sheet);
    // The method needs the training split for its colours.
    let error = run_with(&stage, &residual(), None, &[], &QuietHost).unwrap_err();
    assert_eq!(error.to_string(), "no object is connected to the slot `train`");
    let gray = crate::images::dataset::write(ImageShape { channels: 1, height: 6, width: 6 }, vec![7; 72], &[]);
    let sheets = run_with(&stage, &plain(), None, &[(TRAIN, gray.clone())], &QuietHost).unwrap();
    let sheet = sheets.files().iter().find(|(path, _)| path.ends_with(".png")).unwrap();
    assert_eq!(image::load_from_memory(sheet.1).unwrap().color(), image::ColorType::L8);
    let error = run_with(&stage, &residual(), None, &[(TRAIN, gray)], &QuietHost).unwrap_err();
    assert!(error.to_string().starts_with("images of the split `train` are"), "{error}");
}

#[test]
fn a_normalisation_that_the_weights_undo_changes_nothing() {
    let policy = |scale: f32, offset: f32| {
        format!(
            r#"{{"format":1,"normalise":{{"offset":[{offset}],"scale":[{scale}]}},"policy":[{{"RandomFlip":0.5}}]}}"#
        )
    };
    let run = |policy: Option<&str>, network: (Architecture, Weights)| {
        run_with(&VisualizeFilters::default(), &network, policy, &[], &QuietHost)
    };
    let half_centred = run(None, plain()).unwrap();
    assert_eq!(half_centred, run(Some(&policy(1.0 / 255.0, -0.5)), plain()).unwrap());
    // Half the weights and a policy that doubles the input give the same activations.
    let (architecture, mut weights) = plain();
    weights.0.get_mut("conv2d_1.kernel").unwrap().values.iter_mut().for_each(|x| *x /= 2.0);
    let doubled = run(Some(&policy(2.0 / 255.0, -1.0)), (architecture, weights)).unwrap();
    for (a, b) in read(&half_centred)[0].activations.iter().zip(&read(&doubled)[0].activations) {
        assert!((a.start.0 - b.start.0).abs() < 1e-6 && (a.end.0 - b.end.0).abs() < 1e-3, "{a:?} {b:?}");
    }
    let three = r#"{"format":1,"normalise":{"offset":[0,0,0],"scale":[1,1,1]},"policy":[]}"#;
    assert!(run(Some(three), plain()).unwrap_err().to_string().contains("3 channels"));
}

#[test]
fn it_stops_when_asked_to() {
    struct Impatient(std::sync::Mutex<Vec<u64>>);
    impl Host for Impatient {
        fn progress(&self, progress: &Progress) {
            assert_eq!((progress.total, progress.unit.as_str()), (5, "filters"));
            self.0.lock().unwrap().push(progress.done);
        }
        fn checkpoint_due(&self) -> bool {
            false
        }
        fn interrupted(&self) -> bool {
            self.0.lock().unwrap().len() > 5
        }
        fn latest_checkpoint(&self, _: u64) -> Option<Checkpoint> {
            None
        }
        fn save_checkpoint(&self, _: &Checkpoint) {}
    }
    let host = Impatient(Default::default());
    let result = run_with(&VisualizeFilters::default(), &plain(), None, &[], &host);
    assert!(matches!(result, Err(StageError::Interrupted)));
    assert_eq!(*host.0.lock().unwrap(), [0, 0, 0, 0, 1, 1]);
}

#[test]
fn parameters_at_their_defaults_are_left_out_and_wrong_ones_are_refused() {
    let stage: VisualizeFilters = serde_json::from_str(r#"{"steps":20,"look":"Classic","layers":[]}"#).unwrap();
    assert_eq!(stage, VisualizeFilters::default());
    assert_eq!(serde_json::to_string(&stage).unwrap(), "{}");
    let fourier: VisualizeFilters =
        serde_json::from_str(r#"{"method":{"Fourier":{"steps":128,"jitter":2}},"examples":8}"#).unwrap();
    assert_eq!(serde_json::to_string(&fourier).unwrap(), r#"{"method":"Fourier"}"#);
    assert_eq!(serde_json::from_str::<VisualizeFilters>(r#"{"method":"Fourier"}"#).unwrap(), fourier);
    let fourier: VisualizeFilters = serde_json::from_str(r#"{"method":{"Fourier":{"steps":64}}}"#).unwrap();
    assert_eq!(serde_json::to_string(&fourier).unwrap(), r#"{"method":{"Fourier":{"steps":64}}}"#);
    assert!(serde_json::from_str::<VisualizeFilters>(r#"{"method":"Furier"}"#).is_err());
    assert!(serde_json::from_str::<VisualizeFilters>(r#"{"method":{"Fourier":{"step":2}}}"#).is_err());
    let places = |json: &str| -> Vec<String> {
        let problems = crate::params::read::<VisualizeFilters>(&serde_json::from_str(json).unwrap()).unwrap_err();
        problems.iter().map(|problem| problem.at.to_string()).collect()
    };
    let found = places(
        r#"{"steps":9,"look":"Plain","examples":101,"method":{"Fourier":{"steps":0,"learning_rate":-1,"jitter":101,"total_variation":-1}}}"#,
    );
    let of_fourier =
        ["steps", "learning_rate", "jitter", "total_variation"].map(|name| format!("method.Fourier.{name}"));
    assert_eq!(found, [&of_fourier[..], &["examples".to_owned(), "steps".into(), "look".into()]].concat());
    assert_eq!(places(r#"{"stride":1}"#), ["stride"]);
    let found = places(r#"{"steps":0,"step":0,"columns":0,"layers":["a","b","a"]}"#);
    assert_eq!(found, ["steps", "step", "columns", "layers[2]"]);
}
