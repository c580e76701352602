//! Random numbers, one for each value of a batch of 64 images of 3 x 32 x 32.

use divan::{Bencher, black_box, counter::ItemsCount};
use pipe_stages::philox::{Purpose, Stream};

const VALUES: u64 = 64 * 3 * 32 * 32;

/// Four numbers at a time.
#[divan::bench]
fn blocks(bencher: Bencher) {
    let stream = Stream::new(7, Purpose::Order, 1, 2);
    let all =
        || (0..(VALUES / 4) as u32).fold(0, |sum: u32, block| sum.wrapping_add(stream.block(black_box(block))[0]));
    bencher.counter(ItemsCount::new(VALUES)).bench(all);
}

/// One at a time, by index.
#[divan::bench]
fn elements(bencher: Bencher) {
    let stream = Stream::new(7, Purpose::Order, 1, 2);
    let all = || (0..VALUES).fold(0, |sum: u32, element| sum.wrapping_add(stream.u32(black_box(element))));
    bencher.counter(ItemsCount::new(VALUES)).bench(all);
}
