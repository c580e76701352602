//! Dropout masks, as the kernels of the CPU draw them.

use crate::network::kernels::{
    Isa,
    dropout::Mask,
    map::{self, Shape},
};

/// Returns the factors of a layer's numbers of `shape` [n, c, h, w]: 0 with probability `p`, else 1 / (1 - p).
pub fn dropout(seed: u64, step: u32, layer: u32, p: f32, shape: [usize; 4]) -> Vec<f32> {
    let [n, c, h, w] = shape;
    let of_image = Shape { c, h, w };
    let ones = vec![1.0; n * of_image.len()];
    let mut kept = vec![0.0; ones.len()];
    Mask::new(seed, step, layer, p).apply(Isa::detect(), &ones, &mut kept);
    let mut factors = vec![0.0; n * of_image.values()];
    map::to_images(of_image, &kept, &mut factors);
    factors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_drops_its_share_and_keeps_the_expectation() {
        let shape = [7, 17, 29, 29];
        let mask = dropout(1, 2, 3, 0.25, shape);
        let dropped = mask.iter().filter(|&&x| x == 0.0).count() as f64 / mask.len() as f64;
        assert!((dropped - 0.25).abs() < 0.005, "{dropped}");
        let mean = mask.iter().map(|&x| f64::from(x)).sum::<f64>() / mask.len() as f64;
        assert!((mean - 1.0).abs() < 0.007, "{mean}");
        assert_ne!(mask, dropout(1, 3, 3, 0.25, shape));
    }
}
