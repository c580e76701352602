//! Random changes of images. A change depends only on the seed, the epoch, its place in the policy and the image's index, so
//! order and batches do not matter.

use crate::{
    choices,
    images::dataset::ImageShape,
    params::Domain,
    philox::{Stream, unit_f32},
};

choices! {
    /// A random change of an image.
    #[derive(Copy)]
    pub enum Augmentation {
        /// Mirrors the image left to right with this probability.
        RandomFlip(f64 [Domain::Between(0.0, 1.0)]),
        /// Adds this many black pixels (byte 0) on every side, then cuts out an image of the old size. Each of the
        /// (2 padding + 1)^2 places is equally likely (Krizhevsky, Sutskever and Hinton 2012; He et al. 2016, section 4.2).
        RandomCrop(u32 [PIXELS]),
        /// Sets a square with sides of this many pixels to the normalised value 0 in every channel: grey, or the mean. Its
        /// centre is any pixel of the image, so part of it may lie outside (DeVries and Taylor 2017).
        Cutout(u32 [PIXELS]),
    }
}

/// The pixels of padding, and of the side of a cut-out.
const PIXELS: Domain = Domain::Whole(1..=4096);

impl Augmentation {
    /// Returns why the change does not fit images of `shape`, or `None` if it does.
    pub(crate) fn misfit(&self, shape: ImageShape) -> Option<String> {
        let ImageShape { height, width, .. } = shape;
        match *self {
            Self::RandomCrop(padding) if padding as usize >= height.min(width) => Some(format!(
                "`RandomCrop({padding})` on images of {height} x {width}: expected less than the shorter side"
            )),
            Self::Cutout(size) if size as usize > height.max(width) => {
                Some(format!("`Cutout({size})` on images of {height} x {width}: expected at most the longer side"))
            }
            _ => None,
        }
    }

    /// Changes `image`, normalised values `[c, h, w]`. Element `index` of `stream` decides how. `black` has the normalised
    /// value of the byte 0 for each channel. `scratch` is as long as `image`.
    pub(super) fn apply(
        &self,
        image: &mut [f32],
        shape: ImageShape,
        black: &[f32],
        stream: Stream,
        index: u32,
        scratch: &mut [f32],
    ) {
        let ImageShape { height, width, .. } = shape;
        let bits = stream.u32(u64::from(index));
        match *self {
            Self::RandomFlip(p) => {
                if f64::from(unit_f32(bits)) < p {
                    image.chunks_exact_mut(width).for_each(<[f32]>::reverse);
                }
            }
            Self::RandomCrop(padding) => {
                let [y, x] = halves(bits, 2 * padding + 1, 2 * padding + 1);
                let padding = padding as usize;
                scratch.copy_from_slice(image);
                for ((plane, source), black) in
                    image.chunks_exact_mut(height * width).zip(scratch.chunks_exact(height * width)).zip(black)
                {
                    plane.fill(*black);
                    // Row i of the image is row i + y - padding of the source. Columns likewise.
                    let (rows, from_row) = overlap(y, padding, height);
                    let (columns, from_column) = overlap(x, padding, width);
                    for (i, row) in rows.enumerate() {
                        let from = &source[(from_row + i) * width + from_column..][..columns.len()];
                        plane[row * width..][columns.clone()].copy_from_slice(from);
                    }
                }
            }
            Self::Cutout(size) => {
                let [y, x] = halves(bits, height as u32, width as u32);
                let size = size as usize;
                let range = |middle: usize, side: usize| {
                    middle.saturating_sub(size / 2)..(middle + size).saturating_sub(size / 2).min(side)
                };
                for plane in image.chunks_exact_mut(height * width) {
                    for row in range(y, height) {
                        plane[row * width..][range(x, width)].fill(0.0);
                    }
                }
            }
        }
    }
}

/// Returns a number below `n` from the upper 16 bits and a number below `m` from the lower ones. Their biases are less than
/// n / 2^16 and m / 2^16.
fn halves(bits: u32, n: u32, m: u32) -> [usize; 2] {
    let below = |half: u32, n: u32| ((u64::from(half) * u64::from(n)) >> 16) as usize;
    [below(bits >> 16, n), below(bits & 0xffff, m)]
}

/// Returns which of `side` rows come from the source if it is shifted by `at - padding`, and the first row of the source.
fn overlap(at: usize, padding: usize, side: usize) -> (std::ops::Range<usize>, usize) {
    if at >= padding { (0..side - (at - padding), at - padding) } else { (padding - at..side, 0) }
}
