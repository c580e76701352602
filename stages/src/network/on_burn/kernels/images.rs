//! The images of a batch: gathered from all images of a data set, changed, mixed and normalised.
//!
//! Images are bytes, four to a word, the first one in the lowest bits. The host decides what is shown, in a few words for each image.

use std::hash::{Hash, Hasher};

use burn::tensor::Tensor;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::launch::{buffer, empty, tensor, units};
use crate::images::{Change, Edges, Mixture};

/// How the words of an image are read.
///
/// They are the index of the image and the words of each change. If images are mixed, the same follows for the other image, and then
/// the words of the [`Mixture`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// `[channels, height, width]`.
    pub(crate) shape: [usize; 3],
    pub(crate) edges: Edges,
    /// In the order in which they are made.
    pub(crate) changes: Vec<Change>,
    pub(crate) mixes: bool,
}

impl Hash for Plan {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.shape, self.edges as u8, &self.changes, self.mixes).hash(state);
    }
}

impl Plan {
    /// Returns the number of words of one of the images.
    pub(crate) fn of_image(&self) -> usize {
        1 + self.changes.iter().map(|change| change.words()).sum::<usize>()
    }

    /// Returns the number of words of an image of a batch.
    pub(crate) fn words(&self) -> usize {
        if self.mixes { 2 * self.of_image() + Mixture::NONE.len() } else { self.of_image() }
    }

    /// Returns where the words of change `i` begin.
    fn place(&self, i: usize) -> usize {
        1 + self.changes[..i].iter().map(|change| change.words()).sum::<usize>()
    }
}

/// Returns the normalised images `[n, c, h, w]` that `words` describes. `scales` has the scale of each channel, then their offsets.
pub(crate) fn gather(images: &CubeTensor, words: &CubeTensor, scales: &Tensor<1>, plan: &Plan) -> Tensor<4> {
    let n = words.meta.num_elements() / plan.words();
    let [c, h, w] = plan.shape;
    let out = empty([n, c, h, w], images);
    let (count, dim) = units(n * c * h * w, &out);
    show::launch(
        &images.client,
        count,
        dim,
        images.clone().into_buffer_arg(),
        words.clone().into_buffer_arg(),
        buffer(scales.clone()).into_buffer_arg(),
        out.clone().into_buffer_arg(),
        plan.clone(),
    );
    tensor(out)
}

#[cube(launch)]
fn show(images: &[u32], words: &[u32], scales: &[f32], out: &mut [f32], #[comptime] plan: Plan) {
    if ABSOLUTE_POS < out.len() {
        let [channels, height, width] = comptime!(plan.shape.map(|side| side as u32));
        let at = ABSOLUTE_POS as u32;
        let column = at % width;
        let row = at / width % height;
        let channel = at / (width * height) % channels;
        let first = at / (width * height * channels) * comptime!(plan.words() as u32);
        let mut value = pixel(images, words, scales, first, channel, row, column, comptime!(plan.clone()));
        if comptime!(plan.mixes) {
            let of_image = comptime!(plan.of_image() as u32);
            let how = first + 2u32 * of_image;
            let kind = words[how as usize];
            if kind != 0u32 {
                let other =
                    pixel(images, words, scales, first + of_image, channel, row, column, comptime!(plan.clone()));
                if kind == 1u32 {
                    let share = f32::reinterpret(words[(how + 1u32) as usize]);
                    value = value * share + other * (1.0f32 - share);
                } else if is_within(words, how + 2u32, row, column) {
                    value = other;
                }
            }
        }
        out[ABSOLUTE_POS] = value;
    }
}

/// Returns whether a pixel is in the rectangle that four words from `at` on describe.
#[cube]
fn is_within(words: &[u32], at: u32, row: u32, column: u32) -> bool {
    row >= words[at as usize]
        && row < words[(at + 1u32) as usize]
        && column >= words[(at + 2u32) as usize]
        && column < words[(at + 3u32) as usize]
}

/// Returns a normalised pixel of the image whose words begin at `first`. Follows the pixel back from the last change to the first.
#[cube]
fn pixel(
    images: &[u32],
    words: &[u32],
    scales: &[f32],
    first: u32,
    channel: u32,
    row: u32,
    column: u32,
    #[comptime] plan: Plan,
) -> f32 {
    let [channels, height, width] = comptime!(plan.shape.map(|side| side as u32));
    let mut y = row as i32;
    let mut x = column as i32;
    let mut is_black = false;
    let mut is_covered = false;
    let n = comptime!(plan.changes.len());
    #[unroll]
    for i in 0..n {
        let change = comptime!(plan.changes[n - 1 - i]);
        let at = first + comptime!(plan.place(n - 1 - i) as u32);
        if comptime!(change == Change::Flip) {
            if words[at as usize] != 0u32 {
                x = comptime!(width as i32 - 1) - x;
            }
        } else if comptime!(change == Change::FlipVertically) {
            if words[at as usize] != 0u32 {
                y = comptime!(height as i32 - 1) - y;
            }
        } else if comptime!(change == Change::Shift) {
            let below = beyond(y + words[at as usize] as i32, comptime!(height as i32), comptime!(plan.edges));
            let right = beyond(x + words[(at + 1u32) as usize] as i32, comptime!(width as i32), comptime!(plan.edges));
            if !is_covered && (below < 0i32 || right < 0i32) {
                is_black = true;
            }
            y = below.max(0i32);
            x = right.max(0i32);
        } else if !is_black && is_within(words, at, y as u32, x as u32) {
            is_covered = true;
        }
    }
    let index = ((words[first as usize] * channels + channel) * height + y as u32) * width + x as u32;
    let byte = (images[(index / 4u32) as usize] >> (index % 4u32 * 8u32)) & 0xffu32;
    let byte = select(is_black, 0u32, byte);
    let value = byte as f32 * scales[channel as usize] + scales[(channels + channel) as usize];
    select(is_covered, 0.0f32, value)
}

/// Returns the pixel of a line of `n` that is shown at `at`, which is less than `n` beyond its ends. -1 is black.
#[cube]
fn beyond(at: i32, n: i32, #[comptime] edges: Edges) -> i32 {
    if comptime!(edges == Edges::Black) {
        select(at >= n, -1i32, at.max(-1i32))
    } else if comptime!(edges == Edges::Nearest) {
        at.max(0i32).min(n - 1i32)
    } else {
        let folded = select(at < 0i32, -1i32 - at, at);
        select(folded >= n, 2i32 * n - 1i32 - folded, folded)
    }
}
