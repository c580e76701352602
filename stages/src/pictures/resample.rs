//! Scales pictures.

use image::GrayImage;

/// What a pixel of the result is computed from: in one direction, neighbouring pixels of the source, each with its weight.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

impl Taps {
    /// Returns the taps of pixel `i` when `from` pixels become `to`: a triangle of a half-width of one pixel, of the larger of the two
    /// kinds.
    fn of(i: usize, from: usize, to: usize) -> Self {
        let ratio = from as f32 / to as f32;
        let support = ratio.max(1.0);
        let centre = (i as f32 + 0.5) * ratio;
        let first = ((centre - support).floor().max(0.0) as usize).min(from - 1);
        let end = ((centre + support).ceil() as usize).clamp(first + 1, from);
        let weight = |pixel: usize| (1.0 - ((pixel as f32 - (centre - 0.5)) / support).abs()).max(0.0);
        let weights: Vec<f32> = (first..end).map(weight).collect();
        let sum: f32 = weights.iter().fold(0.0, |sum, weight| sum + weight);
        Self { first, weights: weights.into_iter().map(|weight| weight / sum).collect() }
    }
}

/// A part of a picture that is scaled to `whole`: `size` pixels from `origin` on. All pairs are (width, height).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Window {
    pub(super) whole: [usize; 2],
    pub(super) origin: [usize; 2],
    pub(super) size: [usize; 2],
}

/// Returns the part of a plane, scaled with a triangle filter: bilinear when enlarging, wider when shrinking. Rows are
/// computed one after the other in 32-bit floats without fused operations, first the columns, then along the row.
pub(super) fn triangle(plane: &GrayImage, window: Window) -> GrayImage {
    let [width, height] = [plane.width(), plane.height()].map(|side| side as usize);
    let taps = |direction: usize, from: usize| {
        let (to, origin) = (window.whole[direction], window.origin[direction]);
        (origin..origin + window.size[direction]).map(move |i| Taps::of(i, from, to))
    };
    let across: Vec<Taps> = taps(0, width).collect();
    let mut samples = Vec::with_capacity(window.size[0] * window.size[1]);
    let mut row = vec![0.0_f32; width];
    for down in taps(1, height) {
        row.fill(0.0);
        let lines = plane.as_raw()[width * down.first..].chunks_exact(width);
        for (weight, line) in down.weights.iter().zip(lines) {
            for (sum, sample) in row.iter_mut().zip(line) {
                *sum += f32::from(*sample) * weight;
            }
        }
        samples.extend(across.iter().map(|tap| {
            let values = tap.weights.iter().zip(&row[tap.first..]);
            let sum = values.fold(0.0_f32, |sum, (weight, value)| sum + value * weight);
            sum.clamp(0.0, 255.0).round() as u8
        }));
    }
    let [width, height] = window.size.map(|side| side as u32);
    GrayImage::from_raw(width, height, samples).expect("there are as many samples")
}
