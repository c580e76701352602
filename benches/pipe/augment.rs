//! Random changes of a batch of 64 images of 3 x 32 x 32, on one thread.

use divan::{Bencher, black_box, counter::ItemsCount};
use pipe_stages::{
    augment::Augment,
    images::dataset::{self, Dataset, ImageShape},
};

const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };

const POLICIES: [&str; 7] = [
    "[]",
    r#"[{"RandomFlip":0.5}]"#,
    r#"[{"RandomFlip":0.5},{"RandomCrop":4},{"Cutout":8}]"#,
    r#"[{"Rotation":15}]"#,
    r#"[{"Rotation":15},{"Scale":0.2},{"Translation":0.1}]"#,
    r#"[{"ColourJitter":{"brightness":0.4,"contrast":0.4,"saturation":0.4,"hue":0.1}}]"#,
    r#"[{"RandomErasing":{"value":"Noise"}}]"#,
];

#[divan::bench(args = POLICIES)]
fn fill(bencher: Bencher, policy: &str) {
    let indices: Vec<u32> = (0..64).collect();
    let pixels = (0..64 * SHAPE.bytes()).map(|i| (i * 31 % 251) as u8).collect();
    let dataset = Dataset::read(dataset::write(SHAPE, pixels, &[("class", &[0; 64])]).into()).expect("it is a dataset");
    let augment: Augment =
        serde_json::from_str(&format!(r#"{{"policy":{policy}}}"#)).expect("it is the content of an `Augment`");
    let policy = augment.resolve(&dataset).expect("it fits the images");
    let mut out = vec![0.0; 64 * SHAPE.bytes()];
    let counted = bencher.counter(ItemsCount::new(64_usize));
    counted.bench_local(|| policy.fill(&dataset, black_box(&indices), Some(1), 7, &mut out));
}
