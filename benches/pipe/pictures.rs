//! Small pictures of each format, decoded and scaled.

use divan::{Bencher, counter::ItemsCount};
use pipe_stages::pictures::{Reading, planes};

const FILES: [(&str, &[u8]); 7] = [
    ("jpeg", include_bytes!("../../stages/src/decode/fixtures/colour.jpg")),
    ("progressive", include_bytes!("../../stages/src/decode/fixtures/progressive.jpg")),
    ("webp", include_bytes!("../../stages/src/pictures/fixtures/small.webp")),
    ("gif", include_bytes!("../../stages/src/pictures/fixtures/small.gif")),
    ("bmp", include_bytes!("../../stages/src/pictures/fixtures/small.bmp")),
    ("tiff", include_bytes!("../../stages/src/pictures/fixtures/small.tiff")),
    ("ppm", include_bytes!("../../stages/src/pictures/fixtures/small.ppm")),
];

#[divan::bench(args = FILES.map(|(name, _)| name))]
fn decoded(bencher: Bencher, name: &str) {
    let file = FILES.iter().find(|(known, _)| *known == name).expect("it is one of the files").1;
    let reading = Reading::of_size(32, 32);
    bencher.counter(ItemsCount::new(1_u32)).bench(|| planes(file, &reading).expect("the file is whole"));
}
