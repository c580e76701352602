//! Pooling, padded as TensorFlow pads: a window that leaves the image takes what it sees.

use burn::tensor::{
    Tensor, module,
    ops::{AvgPoolOptions, MaxPoolOptions},
};

use crate::network::Padding;

fn pairs(x: &Tensor<4>, size: usize, stride: usize, padding: Padding) -> [(usize, usize); 2] {
    let [_, _, h, w] = x.dims();
    [h, w].map(|side| {
        let (before, after, _) = padding.along(side, size, stride);
        (before, after)
    })
}

/// Returns the largest value of each window: [n, c, oh, ow].
pub fn max(x: Tensor<4>, size: usize, stride: usize, padding: Padding) -> Tensor<4> {
    let options = MaxPoolOptions::new([size, size])
        .with_stride([stride, stride])
        .with_padding_pairs(pairs(&x, size, stride, padding));
    module::max_pool2d(x, options)
}

/// Returns the mean of each window: [n, c, oh, ow].
pub fn avg(x: Tensor<4>, size: usize, stride: usize, padding: Padding) -> Tensor<4> {
    let options = AvgPoolOptions::new([size, size])
        .with_stride([stride, stride])
        .with_padding_pairs(pairs(&x, size, stride, padding))
        .with_count_include_pad(false);
    module::avg_pool2d(x, options)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn padded_windows_take_what_they_see() {
        let values: Vec<f32> = (0..2 * 35).map(|i| ((i * 37) % 71) as f32 - 80.0).collect();
        let x = Tensor::<1>::from_data(values.as_slice(), &Device::flex()).reshape([1, 2, 5, 7]);
        for (size, stride, padding) in [(3, 2, Padding::Same), (2, 2, Padding::Valid), (2, 1, Padding::Same)] {
            let (top, _, oh) = padding.along(5, size, stride);
            let (left, _, ow) = padding.along(7, size, stride);
            let (mut largest, mut mean) = (Vec::new(), Vec::new());
            for (c, oy, ox) in (0..2 * oh * ow).map(|i| (i / (oh * ow), i / ow % oh, i % ow)) {
                let seen: Vec<f32> = (0..size * size)
                    .map(|i| ((oy * stride + i / size).wrapping_sub(top), (ox * stride + i % size).wrapping_sub(left)))
                    .filter(|&(iy, ix)| iy < 5 && ix < 7)
                    .map(|(iy, ix)| values[c * 35 + iy * 7 + ix])
                    .collect();
                largest.push(seen.iter().copied().fold(f32::MIN, f32::max));
                mean.push(seen.iter().sum::<f32>() / seen.len() as f32);
            }
            let found = max(x.clone(), size, stride, padding);
            assert_eq!(found.dims(), [1, 2, oh, ow]);
            assert_eq!(found.into_data().try_to_vec::<f32>().unwrap(), largest);
            let found = avg(x.clone(), size, stride, padding).into_data().try_to_vec::<f32>().unwrap();
            assert!(found.iter().zip(&mean).all(|(a, b)| (a - b).abs() < 1e-4), "{found:?} {mean:?}");
        }
    }
}
