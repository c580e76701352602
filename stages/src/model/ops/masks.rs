//! Dropout masks.

use rayon::prelude::*;

use crate::philox::{Purpose, Stream};

/// Returns a mask of `elements`: 0 with probability `p`, else 1 / (1 - p). Element `e` of layer `layer` in step `step` is
/// kept if its number of the stream (step, layer) is at least p * 2^32.
pub fn dropout(seed: u64, step: u32, layer: u32, p: f32, elements: usize) -> Vec<f32> {
    let stream = Stream::new(seed, Purpose::Dropout, step, layer);
    // p is below 1, so the threshold fits.
    let threshold = (f64::from(p) * 4_294_967_296.0) as u32;
    let scale = 1.0 / (1.0 - p);
    let mut mask = vec![0.0; elements];
    mask.par_chunks_mut(4 << 10).enumerate().for_each(|(chunk, mask)| {
        for (block, mask) in mask.chunks_mut(4).enumerate() {
            let numbers = stream.block(u32::try_from(chunk << 10 | block).expect("fewer than 2^34 elements"));
            for (mask, number) in mask.iter_mut().zip(numbers) {
                *mask = if number >= threshold { scale } else { 0.0 };
            }
        }
    });
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_drops_its_share_and_keeps_the_expectation() {
        let mask = dropout(1, 2, 3, 0.25, 100_001);
        let dropped = mask.iter().filter(|&&x| x == 0.0).count() as f64 / mask.len() as f64;
        assert!((dropped - 0.25).abs() < 0.005, "{dropped}");
        let mean = mask.iter().map(|&x| f64::from(x)).sum::<f64>() / mask.len() as f64;
        assert!((mean - 1.0).abs() < 0.007, "{mean}");
        assert_ne!(mask, dropout(1, 3, 3, 0.25, 100_001));
        let stream = Stream::new(1, Purpose::Dropout, 2, 3);
        assert!((0..mask.len()).all(|e| (stream.u32(e as u64) < 1 << 30) == (mask[e] == 0.0)));
    }
}
