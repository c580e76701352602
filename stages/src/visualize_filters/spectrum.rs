//! Planes of pixels as coefficients of the real two-dimensional Fourier basis, each scaled by the inverse of its frequency.
//!
//! Natural pictures have amplitudes of about 1 / frequency, so scaled coefficients are about equally large. An ascent on them
//! does not end in the high frequencies that an ascent on pixels prefers (C. Olah, A. Mordvintsev and L. Schubert, "Feature
//! visualization", Distill 2017, doi 10.23915/distill.00007). The scale is taken from `fft_image` in
//! `lucid/optvis/param/spatial.py`.
//!
//! The basis is orthonormal. Along each side it has the constant, then cos and sin of 1, 2, .. periods, and for an even side
//! the alternating wave at the end. In two dimensions it has their products. The products of one frequency span the same
//! space as the complex coefficients of that frequency. A transform is two matrix products that add in a fixed order, so its
//! result is the same on every machine.

/// Every scale is divided by this, as in Lucid, so that coefficients of size 1 make images with a spread of about 1.
const CALM: f64 = 4.0;

/// The basis for planes of one size.
#[derive(Debug, Clone)]
pub(super) struct Spectrum {
    height: usize,
    width: usize,
    /// `[row of the basis, y]`, and its transpose.
    upright: Vec<f32>,
    upright_back: Vec<f32>,
    /// `[row of the basis, x]`, and its transpose.
    level: Vec<f32>,
    level_back: Vec<f32>,
    /// The factor of each coefficient, `[height, width]`.
    scale: Vec<f32>,
}

impl Spectrum {
    /// Returns the basis for planes of `height` x `width` pixels, both at least 1.
    pub(super) fn new(height: usize, width: usize) -> Self {
        let (upright, level) = (basis(height), basis(width));
        let lowest = 1.0 / height.max(width) as f64;
        let scale = |i: usize| {
            let (v, u) = (frequency(height, i / width), frequency(width, i % width));
            (1.0 / (CALM * libm::sqrt(v * v + u * u).max(lowest))) as f32
        };
        Self {
            upright_back: transposed(&upright, height),
            level_back: transposed(&level, width),
            scale: (0..height * width).map(scale).collect(),
            height,
            width,
            upright,
            level,
        }
    }

    /// Returns the plane `[height, width]` that scaled coefficients `[height, width]` make.
    pub(super) fn plane(&self, coefficients: &[f32]) -> Vec<f32> {
        let scaled: Vec<f32> = coefficients.iter().zip(&self.scale).map(|(x, scale)| x * scale).collect();
        let rows = product(&scaled, &self.level, self.width);
        product(&self.upright_back, &rows, self.height)
    }

    /// Returns the gradient with respect to the scaled coefficients, given the gradient with respect to the plane. It is the
    /// transpose of [`plane`](Self::plane).
    pub(super) fn gradient(&self, by_plane: &[f32]) -> Vec<f32> {
        let rows = product(&self.upright, by_plane, self.height);
        let mut by_coefficients = product(&rows, &self.level_back, self.width);
        by_coefficients.iter_mut().zip(&self.scale).for_each(|(x, scale)| *x *= scale);
        by_coefficients
    }
}

/// Returns the real Fourier basis of `n` places, `[row, place]`.
fn basis(n: usize) -> Vec<f32> {
    let value = |i: usize| {
        let (row, place) = (i / n, i % n);
        let periods = row.div_ceil(2);
        // The remainder keeps the phase exact however many periods there are.
        let phase = 2.0 * std::f64::consts::PI * (periods * place % n) as f64 / n as f64;
        let is_single = row == 0 || 2 * periods == n;
        let amplitude = libm::sqrt(if is_single { 1.0 } else { 2.0 } / n as f64);
        (amplitude * if row.is_multiple_of(2) && row > 0 { libm::sin(phase) } else { libm::cos(phase) }) as f32
    };
    (0..n * n).map(value).collect()
}

/// Returns the frequency of a row of the basis, in periods per pixel.
fn frequency(n: usize, row: usize) -> f64 {
    row.div_ceil(2) as f64 / n as f64
}

/// Returns the transpose of an `n` x `n` matrix.
fn transposed(matrix: &[f32], n: usize) -> Vec<f32> {
    (0..n * n).map(|i| matrix[i % n * n + i / n]).collect()
}

/// Returns `a` `[m, k]` times `b` `[k, n]`. Each sum over k is in order.
fn product(a: &[f32], b: &[f32], k: usize) -> Vec<f32> {
    let n = b.len() / k;
    let mut product = vec![0.0; a.len() / k * n];
    for (row, factors) in product.chunks_exact_mut(n).zip(a.chunks_exact(k)) {
        for (factor, values) in factors.iter().zip(b.chunks_exact(n)) {
            row.iter_mut().zip(values).for_each(|(sum, value)| *sum += factor * value);
        }
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [(usize, usize); 5] = [(8, 8), (5, 7), (6, 9), (1, 4), (28, 28)];

    fn noise(n: usize) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(1);
        std::iter::repeat_with(|| 2.0 * random.f32() - 1.0).take(n).collect()
    }

    #[test]
    fn the_basis_is_orthonormal() {
        for n in [1, 2, 3, 4, 5, 32, 33] {
            let basis = basis(n);
            let gram = product(&basis, &transposed(&basis, n), n);
            for (i, found) in gram.iter().enumerate() {
                let expected = if i / n == i % n { 1.0 } else { 0.0 };
                assert!((found - expected).abs() < 1e-6, "{n}: {i} {found}");
            }
        }
    }

    /// Compares the energy of the coefficients of each frequency with that in the complex transform, written out.
    #[test]
    fn coefficients_have_the_energy_of_their_frequency_in_the_complex_transform() {
        for (height, width) in SIZES {
            let spectrum = Spectrum::new(height, width);
            let plane = noise(height * width);
            // The unscaled coefficients of the plane: the transpose of an orthonormal basis is its inverse.
            let by_scaled = spectrum.gradient(&plane);
            let found = by_scaled.iter().zip(&spectrum.scale).map(|(x, scale)| f64::from(x / scale).powi(2));
            let mut found_at = std::collections::BTreeMap::new();
            for (i, energy) in found.enumerate() {
                *found_at.entry(((i / width).div_ceil(2), (i % width).div_ceil(2))).or_insert(0.0) += energy;
            }
            let mut expected_at = std::collections::BTreeMap::new();
            for v in 0..height {
                for u in 0..width {
                    let (mut re, mut im) = (0.0, 0.0);
                    for (i, value) in plane.iter().enumerate() {
                        let turns = (v * (i / width)) as f64 / height as f64 + (u * (i % width)) as f64 / width as f64;
                        let phase = 2.0 * std::f64::consts::PI * turns;
                        re += f64::from(*value) * phase.cos();
                        im -= f64::from(*value) * phase.sin();
                    }
                    let energy = (re * re + im * im) / (height * width) as f64;
                    *expected_at.entry((v.min(height - v), u.min(width - u))).or_insert(0.0) += energy;
                }
            }
            assert_eq!(found_at.len(), expected_at.len());
            for (at, expected) in expected_at {
                assert!((found_at[&at] - expected).abs() < 1e-4 * (1.0 + expected), "{at:?} {expected}");
            }
        }
    }

    #[test]
    fn the_gradient_is_the_transpose() {
        for (height, width) in SIZES {
            let spectrum = Spectrum::new(height, width);
            let n = height * width;
            let by_plane = noise(n);
            let gradient = spectrum.gradient(&by_plane);
            for i in (0..n).step_by(3) {
                let mut unit = vec![0.0; n];
                unit[i] = 1.0;
                let expected: f32 = spectrum.plane(&unit).iter().zip(&by_plane).map(|(x, g)| x * g).sum();
                assert!((gradient[i] - expected).abs() < 1e-4, "{i}: {} {expected}", gradient[i]);
            }
        }
    }

    #[test]
    fn amplitudes_fall_with_the_frequency() {
        let spectrum = Spectrum::new(32, 16);
        assert_eq!(spectrum.scale[0], 8.0, "the mean counts as the lowest frequency");
        assert_eq!(spectrum.scale[16], 8.0, "one period along 32 pixels");
        assert_eq!(spectrum.scale[1], 4.0, "one period along 16 pixels");
        let half = (0.5 * 0.5_f32 + 0.5 * 0.5).sqrt();
        assert!((spectrum.scale[32 * 16 - 1] - 1.0 / (4.0 * half)).abs() < 1e-6);
    }
}
