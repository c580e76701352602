//! Compares every change with a slow, obvious version of itself, in f64 and pixel by pixel.

use super::{dataset::ImageShape, *};
use crate::{
    augment::Augment,
    images::dataset::{self, Dataset},
    philox::{Purpose, Stream},
};

const SEED: u64 = 77;
const EPOCH: u32 = 4;
const SHAPES: [ImageShape; 4] = [
    ImageShape { channels: 3, height: 9, width: 14 },
    ImageShape { channels: 3, height: 8, width: 8 },
    ImageShape { channels: 1, height: 13, width: 6 },
    ImageShape { channels: 1, height: 1, width: 3 },
];

fn images(shape: ImageShape, n: usize) -> Dataset {
    let images: Vec<u8> = (0..n * shape.bytes()).map(|i| (i * i * 31 % 251) as u8).collect();
    Dataset::read(dataset::write(shape, images, &[("class", &vec![0; n])]).into()).unwrap()
}

fn policy(json: &str, dataset: &Dataset) -> Policy {
    serde_json::from_str::<Augment>(json).unwrap().resolve(dataset).unwrap()
}

fn filled(policy: &Policy, dataset: &Dataset, indices: &[u32], epoch: Option<u32>) -> Vec<f32> {
    let mut out = vec![f32::NAN; indices.len() * dataset.image_shape().bytes()];
    policy.fill(dataset, indices, epoch, SEED, &mut out);
    out
}

/// The numbers of one image for the operation at a place, computed one by one.
struct Words {
    place: u32,
    image: u32,
    next: u32,
}

impl Words {
    fn bits(&mut self) -> u32 {
        let k = self.next;
        self.next += 1;
        Stream::new(SEED, Purpose::Augment, EPOCH, self.place + (k / 4) * 65536).block(self.image)[(k % 4) as usize]
    }

    fn unit(&mut self) -> f64 {
        (f64::from(self.bits()) + 0.5) / 4_294_967_296.0
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }
}

/// An image in f64.
#[derive(Clone)]
struct Slow {
    shape: ImageShape,
    values: Vec<f64>,
    /// The normalised values of the bytes 0 and 255, for each channel.
    range: Vec<[f64; 2]>,
    edges: Edges,
}

impl Slow {
    fn at(&self, c: usize, y: usize, x: usize) -> f64 {
        self.values[(c * self.shape.height + y) * self.shape.width + x]
    }

    /// The value at a place that may lie outside.
    fn beyond(&self, c: usize, y: i64, x: i64) -> f64 {
        let inside = |mut at: i64, n: i64| {
            while self.edges == Edges::Reflect && !(0..n).contains(&at) {
                at = if at < 0 { -1 - at } else { 2 * n - 1 - at };
            }
            if self.edges == Edges::Nearest { at.max(0).min(n - 1) } else { at }
        };
        let (y, x) = (inside(y, self.shape.height as i64), inside(x, self.shape.width as i64));
        if (0..self.shape.height as i64).contains(&y) && (0..self.shape.width as i64).contains(&x) {
            self.at(c, y as usize, x as usize)
        } else {
            self.range[c][0]
        }
    }

    fn bilinear(&self, c: usize, y: f64, x: f64) -> f64 {
        let (fy, fx) = (y - y.floor(), x - x.floor());
        let (y, x) = (y.floor() as i64, x.floor() as i64);
        let line = |y: i64| self.beyond(c, y, x) * (1.0 - fx) + self.beyond(c, y, x + 1) * fx;
        line(y) * (1.0 - fy) + line(y + 1) * fy
    }

    fn map(&mut self, of: impl Fn(&Self, usize, usize, usize) -> f64) {
        let old = self.clone();
        for c in 0..self.shape.channels {
            for y in 0..self.shape.height {
                for x in 0..self.shape.width {
                    self.values[(c * self.shape.height + y) * self.shape.width + x] = of(&old, c, y, x);
                }
            }
        }
    }

    /// The value from 0 to 1 at a pixel.
    fn unit(&self, c: usize, y: usize, x: usize) -> f64 {
        ((self.at(c, y, x) - self.range[c][0]) / (self.range[c][1] - self.range[c][0])).clamp(0.0, 1.0)
    }

    fn of_unit(&self, c: usize, unit: f64) -> f64 {
        self.range[c][0] + unit.clamp(0.0, 1.0) * (self.range[c][1] - self.range[c][0])
    }

    fn grey(&self, y: usize, x: usize) -> f64 {
        match self.shape.channels {
            3 => 0.2989 * self.unit(0, y, x) + 0.587 * self.unit(1, y, x) + 0.114 * self.unit(2, y, x),
            _ => self.unit(0, y, x),
        }
    }

    fn colour(&mut self, jitter: &ColourJitter, mut words: Words) {
        let order = (u64::from(words.bits()) * 24) >> 32;
        let mut factor = |strength: f64| words.between((1.0 - strength).max(0.0), 1.0 + strength);
        let brightness = factor(jitter.brightness.get());
        let contrast = factor(jitter.contrast.get());
        let saturation = factor(jitter.saturation.get());
        let hue = words.between(-jitter.hue.get(), jitter.hue.get());
        // The first of four, then the first of the three that are left, and so on.
        let mut left = vec!["brightness", "contrast", "saturation", "hue"];
        for at in [order % 4, order / 4 % 3, order / 12 % 2, 0] {
            match left.remove(at as usize) {
                "brightness" => self.map(|old, c, y, x| old.of_unit(c, brightness * old.unit(c, y, x))),
                "contrast" => {
                    let (h, w) = (self.shape.height, self.shape.width);
                    let mean = (0..h * w).map(|i| self.grey(i / w, i % w)).sum::<f64>() / (h * w) as f64;
                    self.map(|old, c, y, x| old.of_unit(c, mean + contrast * (old.unit(c, y, x) - mean)));
                }
                "saturation" => self.map(|old, c, y, x| {
                    let grey = old.grey(y, x);
                    old.of_unit(c, grey + saturation * (old.unit(c, y, x) - grey))
                }),
                _ if self.shape.channels == 3 => self.map(|old, c, y, x| {
                    let [r, g, b] = [0, 1, 2].map(|c| old.unit(c, y, x));
                    old.of_unit(c, turned([r, g, b], hue)[c])
                }),
                _ => {}
            }
        }
    }

    fn erase(&mut self, erasing: &RandomErasing, mut words: Words) {
        let (h, w) = (self.shape.height as f64, self.shape.width as f64);
        if words.unit() >= erasing.probability.get() {
            return;
        }
        for _ in 0..10 {
            let area = words.between(erasing.area[0].get(), erasing.area[1].get()) * h * w;
            let ln = words.between(erasing.aspect[0].get().ln(), erasing.aspect[1].get().ln());
            let (rows, columns) =
                ((area * ln.exp()).sqrt().round_ties_even(), (area / ln.exp()).sqrt().round_ties_even());
            let (top, left) = (words.unit(), words.unit());
            if rows < h && columns < w {
                let (top, left) = ((top * (h - rows + 1.0)).floor(), (left * (w - columns + 1.0)).floor());
                let old = self.clone();
                for c in 0..self.shape.channels {
                    for y in top as usize..(top + rows) as usize {
                        for x in left as usize..(left + columns) as usize {
                            self.values[(c * self.shape.height + y) * self.shape.width + x] = match erasing.value {
                                Erased::Zero => 0.0,
                                Erased::Black => old.of_unit(c, 0.0),
                                Erased::White => old.of_unit(c, 1.0),
                                Erased::Noise => old.of_unit(c, f64::from(words.bits() >> 24) / 255.0),
                            };
                        }
                    }
                }
                return;
            }
        }
    }
}

/// A colour with another hue, by the definition of the hexagon: the hue is the place on the way red, yellow, green, cyan, blue,
/// magenta, red.
fn turned([r, g, b]: [f64; 3], turn: f64) -> [f64; 3] {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    if most == least {
        return [r, g, b];
    }
    let sixths = match () {
        () if most == r => (g - b) / (most - least),
        () if most == g => 2.0 + (b - r) / (most - least),
        () => 4.0 + (r - g) / (most - least),
    };
    let sixths = (sixths + 6.0 * turn).rem_euclid(6.0);
    // How much of red, green and blue the pure colour has.
    let part = |from: f64| (2.0 - ((sixths - from + 3.0).rem_euclid(6.0) - 3.0).abs()).clamp(0.0, 1.0);
    [0.0, 2.0, 4.0].map(|from| least + part(from) * (most - least))
}

/// Returns the place in the old image of a place in the new one, from the middle.
type Inverse = Box<dyn Fn(f64, f64) -> (f64, f64)>;

fn slow(policy: &Policy, edges: Edges, dataset: &Dataset, image: u32) -> Vec<f64> {
    let shape = dataset.image_shape();
    let values = filled(policy, dataset, &[image], None).into_iter().map(f64::from).collect();
    let range = policy.range().iter().map(|range| range.map(f64::from)).collect();
    let mut slow = Slow { shape, values, range, edges };
    let words = |place: usize| Words { place: place as u32, image, next: 0 };
    // Places in the old image, for the affine maps that follow each other.
    let mut maps: Vec<Inverse> = Vec::new();
    for (place, operation) in policy.augmentations().iter().enumerate() {
        let only = Stream::new(SEED, Purpose::Augment, EPOCH, place as u32).u32(u64::from(image));
        let mut words = words(place);
        match operation {
            Augmentation::Rotation(degrees) => {
                let angle = words.between(-degrees.get(), degrees.get()) * std::f64::consts::PI / 180.0;
                maps.push(Box::new(move |y, x| (y * angle.cos() + x * angle.sin(), x * angle.cos() - y * angle.sin())));
            }
            Augmentation::Scale(share) => {
                let factor = words.between(1.0 - share.get(), 1.0 + share.get());
                maps.push(Box::new(move |y, x| (y / factor, x / factor)));
            }
            Augmentation::Translation(share) => {
                let down = words.between(-share.get(), share.get()) * shape.height as f64;
                let right = words.between(-share.get(), share.get()) * shape.width as f64;
                maps.push(Box::new(move |y, x| (y - down, x - right)));
            }
            Augmentation::VerticalFlip(p) => {
                if f64::from(only >> 8) / 16_777_216.0 < p.get() {
                    slow.map(|old, c, y, x| old.at(c, shape.height - 1 - y, x));
                }
            }
            Augmentation::RandomFlip(p) => {
                if f64::from(only >> 8) / 16_777_216.0 < p.get() {
                    slow.map(|old, c, y, x| old.at(c, y, shape.width - 1 - x));
                }
            }
            Augmentation::RandomCrop(padding) => {
                let padding = i64::from(padding.get());
                let start = |half: u32| ((i64::from(half) * (2 * padding + 1)) >> 16) - padding;
                let (top, left) = (start(only >> 16), start(only & 0xffff));
                slow.map(|old, c, y, x| old.beyond(c, y as i64 + top, x as i64 + left));
            }
            Augmentation::ColourJitter(jitter) => slow.colour(jitter, words),
            Augmentation::RandomErasing(erasing) => slow.erase(erasing, words),
            Augmentation::Cutout(_) | Augmentation::MixUp(_) | Augmentation::CutMix(_) => {}
        }
        let is_last = policy.augmentations().get(place + 1).is_none_or(|next| {
            !matches!(next, Augmentation::Rotation(_) | Augmentation::Scale(_) | Augmentation::Translation(_))
        });
        if is_last && !maps.is_empty() {
            let middle = [(shape.height as f64 - 1.0) / 2.0, (shape.width as f64 - 1.0) / 2.0];
            slow.map(|old, c, y, x| {
                let start = (y as f64 - middle[0], x as f64 - middle[1]);
                let (y, x) = maps.iter().rev().fold(start, |(y, x), map| map(y, x));
                old.bilinear(c, y + middle[0], x + middle[1])
            });
            maps.clear();
        }
    }
    slow.values
}

/// Checks that a policy does what the slow version does, on images of every shape, and that it changes some of them.
#[track_caller]
fn check(changes: &str) {
    check_on(&SHAPES, changes);
}

#[track_caller]
fn check_on(shapes: &[ImageShape], changes: &str) {
    for &shape in shapes {
        let dataset = images(shape, 30);
        let plain = policy(r#"{"normalise":"PerChannel"}"#, &dataset);
        let mut changed = 0;
        for (fill, edges) in [("Black", Edges::Black), ("Nearest", Edges::Nearest), ("Reflect", Edges::Reflect)] {
            let json = format!(r#"{{"normalise":"PerChannel","fill":"{fill}","policy":{changes}}}"#);
            let policy = policy(&json, &dataset);
            for image in 0..30 {
                let found = filled(&policy, &dataset, &[image], Some(EPOCH));
                let expected = slow(&policy, edges, &dataset, image);
                for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    let difference = (f64::from(*found) - expected).abs();
                    assert!(difference < 2e-4, "{shape:?} {json}, image {image}, value {i}: {found} {expected}");
                }
                changed += u32::from(found != filled(&plain, &dataset, &[image], None));
            }
        }
        assert!(changed > 9, "{shape:?} {changes}: {changed} images are changed");
    }
}

#[test]
fn flips_and_crops_agree_with_the_slow_version() {
    check_on(&SHAPES[..3], r#"[{"VerticalFlip":0.5}]"#);
    check_on(&SHAPES[..3], r#"[{"RandomCrop":5}]"#);
    check_on(&SHAPES[..3], r#"[{"VerticalFlip":0.5},{"RandomCrop":2},{"RandomFlip":0.5}]"#);
}

#[test]
fn affine_maps_agree_with_the_slow_version() {
    check(r#"[{"Rotation":180}]"#);
    check(r#"[{"Scale":0.9}]"#);
    check(r#"[{"Translation":1}]"#);
    // Together they are resampled once.
    check(r#"[{"Rotation":30},{"Scale":0.2},{"Translation":0.2},{"Rotation":10}]"#);
    check_on(
        &SHAPES[..3],
        r#"[{"Rotation":30},{"VerticalFlip":0.5},{"Translation":0.2},{"Scale":0.2},{"RandomCrop":1}]"#,
    );
}

#[test]
fn changes_of_colours_agree_with_the_slow_version() {
    let coloured = &SHAPES[..2];
    for part in ["brightness", "contrast", "saturation"] {
        let shapes = if part == "saturation" { coloured } else { &SHAPES };
        check_on(shapes, &format!(r#"[{{"ColourJitter":{{"{part}":0.8}}}}]"#));
    }
    check_on(coloured, r#"[{"ColourJitter":{"hue":0.5}}]"#);
    check_on(coloured, r#"[{"ColourJitter":{"brightness":0.3,"contrast":3,"saturation":2,"hue":0.2}}]"#);
    check_on(coloured, r#"[{"Rotation":20},{"ColourJitter":{"brightness":0.3,"hue":0.2}},{"RandomFlip":0.5}]"#);
}

#[test]
fn erased_rectangles_agree_with_the_slow_version() {
    check_on(&SHAPES[..3], r#"["RandomErasing"]"#);
    for value in ["Zero", "Black", "White", "Noise"] {
        let erasing = format!(r#"[{{"RandomErasing":{{"probability":0.9,"area":[0.1,0.9],"value":"{value}"}}}}]"#);
        check_on(&SHAPES[..3], &erasing);
    }
    check_on(&SHAPES[..3], r#"[{"RandomErasing":{"aspect":[1,1]}},{"Rotation":20}]"#);
}

#[test]
fn strength_zero_changes_nothing() {
    let changes = r#"[{"RandomFlip":0},{"VerticalFlip":0},{"RandomCrop":0},{"Rotation":0},{"Scale":0},{"Translation":0},
        "ColourJitter",{"Cutout":0},{"RandomErasing":{"probability":0}},{"MixUp":0},{"CutMix":0}]"#;
    for shape in SHAPES {
        let dataset = images(shape, 6);
        let indices: Vec<u32> = (0..6).collect();
        for (normalise, fill) in [("PerChannel", "Black"), ("HalfCentred", "Reflect"), ("UnitRange", "Nearest")] {
            let json = format!(r#"{{"normalise":"{normalise}","fill":"{fill}","policy":{changes}}}"#);
            let policy = policy(&json, &dataset);
            assert_eq!(
                filled(&policy, &dataset, &indices, Some(EPOCH)),
                filled(&policy, &dataset, &indices, None),
                "{json}"
            );
            assert!((0..6).all(|i| policy.mixture(shape, 6, i, EPOCH, SEED).is_none()));
        }
    }
}

const ALL: &str = r#"{"fill":"Reflect","policy":[{"VerticalFlip":0.5},{"RandomCrop":2},{"Rotation":20},{"Scale":0.2},
    {"Translation":0.1},{"ColourJitter":{"brightness":0.4,"contrast":0.4,"saturation":0.4,"hue":0.1}},
    {"RandomErasing":{"value":"Noise"}},{"MixUp":0.2},{"CutMix":1}]}"#;

#[test]
fn an_image_does_not_depend_on_those_beside_it() {
    let dataset = images(SHAPES[0], 12);
    let policy = policy(ALL, &dataset);
    let together = filled(&policy, &dataset, &[4, 9, 1], Some(EPOCH));
    let alone: Vec<f32> = [4, 9, 1].iter().flat_map(|i| filled(&policy, &dataset, &[*i], Some(EPOCH))).collect();
    assert_eq!(together, alone);
    assert_ne!(together, filled(&policy, &dataset, &[4, 9, 1], Some(EPOCH + 1)));
}

/// If this fails, the outputs of trainings with these changes have changed: the stage needs a new version.
#[test]
fn golden_changes() {
    let dataset = images(SHAPES[0], 12);
    let policy = policy(ALL, &dataset);
    let mut values = filled(&policy, &dataset, &[0, 1, 2, 3], Some(EPOCH));
    let size = SHAPES[0].bytes();
    for position in 0..4 {
        if let Some(mixture) = policy.mixture(SHAPES[0], 12, position, EPOCH, SEED) {
            let other = filled(&policy, &dataset, &[mixture.partner as u32], Some(EPOCH));
            mixture.apply(&mut values[position * size..][..size], &other, SHAPES[0]);
        }
    }
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(pipe_store::Digest::of(&bytes).short(), "6d205ea965d2");
}
