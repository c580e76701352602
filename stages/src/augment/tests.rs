//! Compares the stage with a slow, obvious version of itself.

use pipe_store::{Digest, MemoryObjects};

use super::*;
use crate::{
    images::dataset::{self, ImageShape},
    philox::{Purpose, Stream},
    stage::{ComputeDevice, QuietHost},
};

const SHAPE: ImageShape = ImageShape { channels: 3, height: 5, width: 7 };

/// Twelve images in which every pixel differs from its neighbours.
fn train() -> Dataset {
    let images: Vec<u8> = (0..12 * SHAPE.bytes()).map(|i| (i * 37 % 251) as u8).collect();
    Dataset::read(dataset::write(SHAPE, images, &[("class", &[0; 12])]).into()).unwrap()
}

fn policy(json: &str) -> Policy {
    let augment: Augment = serde_json::from_str(json).unwrap();
    augment.resolve(&train()).unwrap()
}

fn filled(policy: &Policy, indices: &[u32], epoch: Option<u32>, seed: u64) -> Vec<f32> {
    let mut out = vec![f32::NAN; indices.len() * SHAPE.bytes()];
    policy.fill(&train(), indices, epoch, seed, &mut out);
    out
}

/// Returns the value of one pixel, by going back from the last change to the byte of the image.
fn pixel(policy: &Policy, image: u32, epoch: u32, seed: u64, [c, y, x]: [i64; 3]) -> f32 {
    let Normalisation { scale, offset } = policy.normalisation();
    let (height, width) = (SHAPE.height as i64, SHAPE.width as i64);
    let (mut y, mut x) = (y, x);
    for (at, operation) in policy.augmentations().iter().enumerate().rev() {
        let bits = Stream::new(seed, Purpose::Augment, epoch, at as u32).u32(u64::from(image));
        let draw = |half: u32, n: i64| i64::from(half) * n / 65536;
        match operation {
            Augmentation::RandomFlip(p) => {
                let p = p.get();
                if f64::from(bits >> 8) / f64::from(1 << 24) < p {
                    x = width - 1 - x;
                }
            }
            Augmentation::RandomCrop(padding) => {
                let padding = i64::from(padding.get());
                y += draw(bits >> 16, 2 * padding + 1) - padding;
                x += draw(bits & 0xffff, 2 * padding + 1) - padding;
                if !(0..height).contains(&y) || !(0..width).contains(&x) {
                    return offset[c as usize];
                }
            }
            Augmentation::Cutout(size) => {
                let size = i64::from(size.get());
                let (top, left) = (draw(bits >> 16, height) - size / 2, draw(bits & 0xffff, width) - size / 2);
                if (top..top + size).contains(&y) && (left..left + size).contains(&x) {
                    return 0.0;
                }
            }
            other => panic!("{other:?} is not in these tests"),
        }
    }
    let at = (c * height + y) * width + x;
    f32::from(train().image(image as usize)[at as usize]) * scale[c as usize] + offset[c as usize]
}

fn check(json: &str) {
    let policy = policy(json);
    for epoch in 0..6 {
        let found = filled(&policy, &[3, 0, 11], Some(epoch), 77);
        for (image, values) in [3, 0, 11].into_iter().zip(found.chunks_exact(SHAPE.bytes())) {
            for (i, value) in values.iter().enumerate() {
                let place = [i / 35, i / 7 % 5, i % 7].map(|x| x as i64);
                assert_eq!(*value, pixel(&policy, image, epoch, 77, place), "epoch {epoch}, image {image}, {place:?}");
            }
        }
    }
}

#[test]
fn every_pixel_agrees_with_the_slow_version() {
    check(r#"{"policy":[{"RandomFlip":0.5}]}"#);
    check(r#"{"policy":[{"RandomCrop":3}]}"#);
    check(r#"{"policy":[{"Cutout":4}]}"#);
    check(r#"{"policy":[{"Cutout":1}]}"#);
    check(r#"{"normalise":"PerChannel","policy":[{"RandomCrop":1},{"RandomFlip":0.5},{"Cutout":3},{"RandomCrop":2}]}"#);
}

#[test]
fn batches_and_their_order_do_not_matter() {
    let policy = policy(r#"{"policy":[{"RandomFlip":0.5},{"RandomCrop":2}]}"#);
    let one_by_one: Vec<f32> = [4, 9, 1].iter().flat_map(|i| filled(&policy, &[*i], Some(2), 5)).collect();
    assert_eq!(filled(&policy, &[4, 9, 1], Some(2), 5), one_by_one);
    assert_ne!(filled(&policy, &[4, 9, 1], Some(3), 5), one_by_one);
    assert_ne!(filled(&policy, &[4, 9, 1], Some(2), 6), one_by_one);
}

#[test]
fn without_an_epoch_nothing_is_changed() {
    let changing = policy(r#"{"policy":[{"RandomFlip":1.0},{"RandomCrop":4},{"Cutout":7}]}"#);
    assert_eq!(filled(&changing, &[5], None, 1), filled(&policy("{}"), &[5], Some(0), 2));
}

#[test]
fn flips_have_the_given_probability() {
    let flipped = |p: &str| {
        let policy = policy(&format!(r#"{{"policy":[{{"RandomFlip":{p}}}]}}"#));
        let plain = filled(&policy, &[0], None, 0);
        (0..400).filter(|epoch| filled(&policy, &[0], Some(*epoch), 0) != plain).count()
    };
    assert_eq!((flipped("0"), flipped("1")), (0, 400));
    assert!((70..=130).contains(&flipped("0.25")));
}

#[test]
fn half_centred_gives_minus_to_plus_a_half_and_can_be_undone() {
    let policy = policy("{}");
    assert_eq!(policy.range(), [[-0.5, 0.5]; 3]);
    let values = filled(&policy, &[7], None, 0);
    assert_eq!(policy.denormalise(&values), train().image(7));
    assert_eq!(policy.denormalise(&[-9.0, 0.1, 9.0]), [0, 153, 255]);
}

#[test]
fn the_unit_range_gives_bytes_divided_by_255() {
    let policy = policy(r#"{"normalise":"UnitRange"}"#);
    assert_eq!(policy.range(), [[0.0, 1.0]; 3]);
    let values = filled(&policy, &[7], None, 0);
    let expected: Vec<f32> = train().image(7).iter().map(|&x| f32::from(x) * (1.0 / 255.0)).collect();
    assert_eq!(values, expected);
    assert_eq!(policy.denormalise(&values), train().image(7));
}

#[test]
fn per_channel_gives_mean_zero_and_deviation_one() {
    let policy = policy(r#"{"normalise":"PerChannel"}"#);
    let values = filled(&policy, &(0..12).collect::<Vec<_>>(), None, 0);
    for channel in 0..3 {
        let plane: Vec<f64> =
            (0..values.len()).filter(|i| i / 35 % 3 == channel).map(|i| f64::from(values[i])).collect();
        let mean = plane.iter().sum::<f64>() / plane.len() as f64;
        let variance = plane.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / plane.len() as f64;
        assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-6, "{mean} {variance}");
    }
    assert_eq!(policy.denormalise(&filled(&policy, &[7], None, 0)), train().image(7));
}

fn run(json: &str, images: Vec<u8>) -> Result<Outputs, StageError> {
    let augment: Augment = serde_json::from_str(json).unwrap();
    let labels = vec![0; images.len() / SHAPE.bytes()];
    let mut objects = MemoryObjects::default();
    let train = objects.put(dataset::write(SHAPE, images, &[("class", &labels)]));
    let slots = [("train".to_owned(), train)].into();
    augment.run(&Inputs::new(&slots, &objects), &Context { seed: 9, device: ComputeDevice::CPU, host: &QuietHost })
}

/// If this fails, the outputs have changed: the stage needs a new version.
#[test]
fn golden_outputs() {
    let images = train().images().to_vec();
    let outputs = run(r#"{"policy":[{"RandomFlip":0.5},{"RandomCrop":2},{"Cutout":3}]}"#, images.clone()).unwrap();
    let record = str::from_utf8(&outputs.files()["policy.json"]).unwrap();
    assert_eq!(
        record,
        "{\"format\":1,\"normalise\":{\"offset\":[-0.5,-0.5,-0.5],\"scale\":[0.003921568859368563,0.003921568859368563,\
         0.003921568859368563]},\"policy\":[{\"RandomFlip\":0.5},{\"RandomCrop\":2},{\"Cutout\":3}]}\n"
    );
    assert_eq!(serde_json::from_str::<Policy>(record).unwrap().normalisation().scale, [1.0 / 255.0; 3]);
    assert_eq!(Digest::of(&outputs.files()["preview.png"]).short(), "5644c899d183");
    let outputs = run(r#"{"normalise":"PerChannel"}"#, images).unwrap();
    let record = str::from_utf8(&outputs.files()["policy.json"]).unwrap();
    assert_eq!(
        record,
        "{\"format\":1,\"normalise\":{\"offset\":[-1.72870671749115,-1.7189503908157349,-1.719438076019287],\"scale\":\
         [0.013781614601612091,0.01377390418201685,0.013848620466887951]},\"policy\":[]}\n"
    );
}

#[test]
fn changes_that_do_not_fit_the_images_are_refused() {
    let message = |json| run(json, vec![0; SHAPE.bytes()]).unwrap_err().to_string();
    assert_eq!(
        message(r#"{"policy":[{"RandomCrop":5}]}"#),
        "`RandomCrop(5)` on images of 5 x 7: expected less than the shorter side"
    );
    assert_eq!(
        message(r#"{"policy":[{"Cutout":8}]}"#),
        "`Cutout(8)` on images of 5 x 7: expected at most the longer side"
    );
    assert_eq!(run("{}", Vec::new()).unwrap_err().to_string(), "the split in the slot `train` has no images");
    assert!(run(r#"{"normalise":"PerChannel"}"#, vec![3; SHAPE.bytes()]).is_ok());
    let gray = ImageShape { channels: 1, ..SHAPE };
    assert_eq!(policy("{}").check(gray).unwrap_err().to_string(), "the policy is for images of 3 channels, found 1");
}

#[test]
fn problems_and_unknown_names_are_reported() {
    let written = r#"{"policy":[{"RandomFlip":1.5},{"RandomFlip":1},{"RandomCrop":-1},{"Cutout":9999}]}"#;
    let problems = crate::params::read::<Augment>(&serde_json::from_str(written).unwrap()).unwrap_err();
    assert_eq!(
        problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "`policy[0].RandomFlip`: found `1.5`, expected a number of 0 to 1",
            "`policy[2].RandomCrop`: found `-1`, expected a whole number of 0 to 4096, or `hp(\"label\")` in a search",
            "`policy[3].Cutout`: found `9999`, expected a whole number of 0 to 4096",
        ]
    );
    for json in [r#"{"policy":[{"RandomBlur":1}]}"#, r#"{"polcy":[]}"#, r#"{"normalise":"Centred"}"#] {
        assert!(serde_json::from_str::<Augment>(json).is_err(), "{json}");
    }
}

#[test]
fn parameters_at_their_defaults_are_left_out() {
    let params: Augment = serde_json::from_str(r#"{"normalise":"HalfCentred","policy":[]}"#).unwrap();
    assert_eq!(serde_json::to_string(&params).unwrap(), "{}");
}

#[test]
fn wrong_policies_are_refused() {
    for json in [
        r#"{"format":2,"normalise":{"scale":[1],"offset":[0]},"policy":[]}"#,
        r#"{"format":1,"normalise":{"scale":[1,1],"offset":[0]},"policy":[]}"#,
        r#"{"format":1,"normalise":{"scale":[0],"offset":[0]},"policy":[]}"#,
        r#"{"format":1,"normalise":{"scale":[1],"offset":[0]},"policy":[{"RandomFlip":2}]}"#,
    ] {
        assert!(serde_json::from_str::<Policy>(json).is_err(), "{json}");
    }
}

#[test]
fn only_changes_that_mix_may_follow_those_that_mix() {
    let written = r#"{"policy":[{"RandomFlip":0.5},{"MixUp":0.2},{"Cutout":3},{"CutMix":1},{"Rotation":9}]}"#;
    let problems = crate::params::read::<Augment>(&serde_json::from_str(written).unwrap()).unwrap_err();
    let expected = "expected `MixUp` and `CutMix` after all other changes: they mix images that are already changed";
    assert_eq!(
        problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            format!("`policy[2]`: `Cutout` after `MixUp`, {expected}"),
            format!("`policy[4]`: `Rotation` after `MixUp`, {expected}")
        ]
    );
}

#[test]
fn a_range_has_the_smaller_number_first() {
    let written = serde_json::json!({ "policy": [{ "RandomErasing": { "area": [0.5, 0.1] } }] });
    let problems = crate::params::read::<Augment>(&written).unwrap_err();
    assert_eq!(
        problems[0].to_string(),
        "`policy[0]`: `RandomErasing(area: (0.5, 0.1))`, expected the smaller number first"
    );
    // A proposed value is checked in its trial.
    let labelled = policy(r#"{"policy":[{"RandomErasing":{"aspect":[0.5,{"hp":"most"}]}}]}"#);
    let filled = labelled.filled_in(serde_json::json!({ "most": 0.25 }).as_object().unwrap()).unwrap();
    let expected = "`RandomErasing(aspect: (0.5, 0.25))`: expected the smaller number first";
    assert_eq!((labelled.misfit(SHAPE), filled.misfit(SHAPE).as_deref()), (None, Some(expected)));
}

#[test]
fn colours_are_changed_only_in_images_that_have_some() {
    let json = |part: &str| format!(r#"{{"policy":[{{"ColourJitter":{{"{part}":0.1}}}}]}}"#);
    let gray = ImageShape { channels: 1, ..SHAPE };
    let images = dataset::write(gray, vec![7; 2 * gray.bytes()], &[("class", &[0; 2])]);
    let gray = Dataset::read(images.into()).unwrap();
    let resolve = |part: &str| serde_json::from_str::<Augment>(&json(part)).unwrap().resolve(&gray);
    assert_eq!(
        resolve("hue").unwrap_err().to_string(),
        "`ColourJitter(hue: 0.1)` on images of 1 channels: expected 3 channels, red, green and blue"
    );
    assert!(resolve("saturation").is_err());
    assert!(resolve("brightness").is_ok() && resolve("contrast").is_ok());
}

#[test]
fn a_label_is_kept_in_the_record_and_filled_in_by_a_trial() {
    let written = r#"{"policy":[{"RandomFlip":0.5},{"Rotation":{"hp":"turn"}},{"RandomErasing":{"area":[0.1,{"hp":"most"}]}},{"MixUp":{"hp":"mix"}}],"fill":"Reflect"}"#;
    let labelled = policy(written);
    let record = crate::params::record(&labelled);
    assert!(str::from_utf8(&record).unwrap().contains(r#"{"Rotation":{"hp":"turn"}}"#));
    assert_eq!(serde_json::from_slice::<Policy>(&record).unwrap(), labelled);
    let labels = |json: &str| serde_json::from_str(json).unwrap();
    let filled = labelled.filled_in(&labels(r#"{"turn":20.0,"mix":0.2,"most":0.3,"other":1}"#)).unwrap();
    let expected = r#"{"policy":[{"RandomFlip":0.5},{"Rotation":20.0},{"RandomErasing":{"area":[0.1,0.3]}},{"MixUp":0.2}],"fill":"Reflect"}"#;
    assert_eq!(filled, policy(expected));
    let why = |json: &str| format!("{:?}", labelled.filled_in(&labels(json)).unwrap_err());
    assert!(why(r#"{"turn":20.0,"mix":0.2}"#).contains("the proposal has no label `most`"));
    assert!(why(r#"{"turn":200.0,"mix":0.2,"most":0.3}"#).contains("label `turn` proposes 200.0"));
    // Without a trial, images are only normalised.
    assert_eq!(filled_plain(&labelled), filled_plain(&policy("{}")));
}

fn filled_plain(policy: &Policy) -> Vec<f32> {
    filled(policy, &[5], None, 1)
}

/// The preview leaves out what only a trial knows.
#[test]
fn the_preview_shows_a_policy_without_its_labels() {
    let sheet = |json: &str| run(json, train().images().to_vec()).unwrap().files()["preview.png"].clone();
    assert_eq!(
        sheet(r#"{"policy":[{"RandomFlip":0.5},{"Rotation":{"hp":"turn"}}]}"#),
        sheet(r#"{"policy":[{"RandomFlip":0.5}]}"#)
    );
    assert_ne!(sheet(r#"{"policy":[{"MixUp":1}]}"#), sheet("{}"));
}
