//! Random changes of images. A change depends only on the seed, the epoch, its place in the policy and the image's index, so
//! order and batches do not matter.

use std::ops::Range;

use super::{
    colour::{self, ColourJitter},
    draws::Draws,
    erasing::RandomErasing,
    geometry::{AffineMap, Edges},
    mixing::Mixer,
    normalisation::Normalisation,
};
use crate::{
    choices,
    images::dataset::ImageShape,
    params::{Domain, Hyper},
    philox::unit_f32,
};

choices! {
    /// A random change of an image.
    pub enum Augmentation {
        /// Mirrors the image left to right with this probability.
        RandomFlip(Hyper<f64> [PROBABILITY]),
        /// Mirrors the image top to bottom with this probability.
        VerticalFlip(Hyper<f64> [PROBABILITY]),
        /// Adds this many pixels on every side, as `fill` says, then cuts out an image of the old size. Each of the
        /// (2 padding + 1)^2 places is equally likely (Krizhevsky, Sutskever and Hinton 2012; He et al. 2016, section 4.2).
        RandomCrop(Hyper<u32> [PIXELS]),
        /// Turns the image by up to this many degrees in either direction.
        Rotation(Hyper<f64> [Domain::Between(0.0, 180.0)]),
        /// Enlarges the image by a factor of 1 - this to 1 + this, about its middle.
        Scale(Hyper<f64> [Domain::Share]),
        /// Moves the image by up to this part of its height up or down, and of its width to either side.
        Translation(Hyper<f64> [Domain::Between(0.0, 1.0)]),
        /// Changes brightness, contrast, saturation and hue, in random order, by torchvision's formulas.
        ColourJitter(ColourJitter),
        /// Sets a square with sides of this many pixels to the normalised value 0 in every channel: grey, or the mean. Its
        /// centre is any pixel of the image, so part of it may lie outside (DeVries and Taylor 2017).
        Cutout(Hyper<u32> [PIXELS]),
        /// Fills a random rectangle (Zhong et al. 2020).
        RandomErasing(RandomErasing),
        /// The weighted mean of the image and another one. The weight is from Beta(alpha, alpha); with alpha 0 the image is not
        /// mixed (Zhang et al. 2018).
        MixUp(Hyper<f64> [ALPHA]),
        /// Another image shows in a random rectangle, whose area before it is cut off at the edges is from Beta(alpha, alpha);
        /// with alpha 0 the image is not mixed (Yun et al. 2019).
        CutMix(Hyper<f64> [ALPHA]),
    }
}

const PROBABILITY: Domain = Domain::Between(0.0, 1.0);

/// The pixels of padding, and of the side of a cut-out.
const PIXELS: Domain = Domain::Whole(0..=4096);

/// The parameter of a Beta distribution.
const ALPHA: Domain = Domain::Between(0.0, 100.0);

/// What a change depends on besides the image.
pub(super) struct Scene<'a> {
    pub(super) shape: ImageShape,
    pub(super) edges: Edges,
    pub(super) normalise: &'a Normalisation,
    /// The normalised value of each byte, for each channel.
    pub(super) table: &'a [[f32; 256]],
    /// The normalised value of the byte 0, for each channel.
    pub(super) black: &'a [f32],
}

impl Augmentation {
    /// Returns why the change does not fit images of `shape`, or `None` if it does. A label is not checked.
    pub(crate) fn misfit(&self, shape: ImageShape) -> Option<String> {
        let ImageShape { channels, height, width } = shape;
        match self {
            Self::RandomCrop(Hyper::Value(padding)) if *padding as usize >= height.min(width) => Some(format!(
                "`RandomCrop({padding})` on images of {height} x {width}: expected less than the shorter side"
            )),
            Self::Cutout(Hyper::Value(size)) if *size as usize > height.max(width) => {
                Some(format!("`Cutout({size})` on images of {height} x {width}: expected at most the longer side"))
            }
            Self::ColourJitter(jitter) if channels != 3 => {
                let part = jitter.coloured()?;
                Some(format!("{part} on images of {channels} channels: expected 3 channels, red, green and blue"))
            }
            _ => self.reversed().map(|found| format!("{found}: expected the smaller number first")),
        }
    }

    /// Returns a range with the larger number first.
    pub(crate) fn reversed(&self) -> Option<String> {
        match self {
            Self::RandomErasing(erasing) => erasing.reversed(),
            _ => None,
        }
    }

    /// Returns whether a value is `hp("label")`.
    pub(super) fn has_label(&self) -> bool {
        let mut uses = Vec::new();
        crate::params::Read::uses(self, &Domain::Any, &mut uses);
        !uses.is_empty()
    }

    /// Returns what mixes images, if the change does.
    pub(super) fn mixer(&self) -> Option<Mixer> {
        match self {
            Self::MixUp(alpha) => Some(Mixer::MixUp(alpha.get())),
            Self::CutMix(alpha) => Some(Mixer::CutMix(alpha.get())),
            _ => None,
        }
    }

    /// Returns whether the change mixes images.
    pub(crate) fn mixes(&self) -> bool {
        matches!(self, Self::MixUp(_) | Self::CutMix(_))
    }

    /// Returns where the pixels of the new image lie in the old one, if the change is an affine map.
    pub(super) fn map(&self, shape: ImageShape, mut draws: Draws) -> Option<AffineMap> {
        Some(match self {
            Self::Rotation(degrees) => {
                let degrees = degrees.get();
                AffineMap::rotation(draws.between(-degrees, degrees))
            }
            Self::Scale(share) => {
                let share = share.get();
                AffineMap::scale(draws.between(1.0 - share, 1.0 + share))
            }
            Self::Translation(share) => {
                let share = share.get();
                AffineMap::translation([shape.height, shape.width].map(|n| draws.between(-share, share) * n as f64))
            }
            _ => return None,
        })
    }

    /// Returns where the change takes each pixel from, if it moves or covers whole pixels.
    pub(super) fn drawn(&self, shape: ImageShape, draws: &Draws) -> Option<Moved> {
        let ImageShape { height, width, .. } = shape;
        let happens = |p: &Hyper<f64>| f64::from(unit_f32(draws.only())) < p.get();
        Some(match self {
            Self::RandomFlip(p) => Moved::Flipped(happens(p)),
            Self::VerticalFlip(p) => Moved::UpsideDown(happens(p)),
            Self::RandomCrop(padding) => {
                let padding = padding.get();
                let place = halves(draws.only(), 2 * padding + 1, 2 * padding + 1);
                Moved::Shifted(place.map(|at| at as i64 - i64::from(padding)))
            }
            Self::Cutout(size) => {
                let [y, x] = halves(draws.only(), height as u32, width as u32);
                let size = size.get() as usize;
                let range = |middle: usize, side: usize| {
                    middle.saturating_sub(size / 2)..(middle + size).saturating_sub(size / 2).min(side)
                };
                Moved::Covered { rows: range(y, height), columns: range(x, width) }
            }
            _ => return None,
        })
    }

    /// Changes `image`, normalised values `[c, h, w]`, as `draws` decides. `scratch` is as long as `image`. Does nothing if the
    /// change is an affine map or mixes images.
    pub(super) fn apply(&self, image: &mut [f32], scene: &Scene<'_>, mut draws: Draws, scratch: &mut [f32]) {
        if let Some(moved) = self.drawn(scene.shape, &draws) {
            return moved.apply(image, scene, scratch);
        }
        match self {
            Self::ColourJitter(jitter) => colour::apply(&jitter.draw(&mut draws), image, scene.normalise),
            Self::RandomErasing(erasing) => erasing.apply(image, scene.shape, scene.table, &mut draws),
            _ => {}
        }
    }
}

/// Where the pixels of an image come from after a change that moves or covers them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Moved {
    /// It is mirrored left to right, or not.
    Flipped(bool),
    /// It is mirrored top to bottom, or not.
    UpsideDown(bool),
    /// It shows what lies this many rows down and columns to the right.
    Shifted([i64; 2]),
    /// A rectangle has the normalised value 0.
    Covered { rows: Range<usize>, columns: Range<usize> },
}

impl Moved {
    fn apply(self, image: &mut [f32], scene: &Scene<'_>, scratch: &mut [f32]) {
        let ImageShape { height, width, .. } = scene.shape;
        match self {
            Self::Flipped(false) | Self::UpsideDown(false) => {}
            Self::Flipped(true) => image.chunks_exact_mut(width).for_each(<[f32]>::reverse),
            Self::UpsideDown(true) => {
                image.chunks_exact_mut(height * width).for_each(|plane| mirror(plane, width));
            }
            Self::Shifted(shift) => {
                scratch.copy_from_slice(image);
                match scene.edges {
                    Edges::Black => crop(image, scratch, scene, shift),
                    edges => crop_beyond(image, scratch, scene.shape, shift, edges),
                }
            }
            Self::Covered { rows, columns } => {
                for plane in image.chunks_exact_mut(height * width) {
                    for row in rows.clone() {
                        plane[row * width..][columns.clone()].fill(0.0);
                    }
                }
            }
        }
    }
}

/// Mirrors a plane top to bottom.
fn mirror(plane: &mut [f32], width: usize) {
    let (mut upper, mut lower) = (0, plane.len() / width - 1);
    while upper < lower {
        let (before, after) = plane.split_at_mut(lower * width);
        before[upper * width..][..width].swap_with_slice(&mut after[..width]);
        (upper, lower) = (upper + 1, lower - 1);
    }
}

/// Fills `image` with the part of `source` that starts at (`y`, `x`), given that it is surrounded by black pixels.
fn crop(image: &mut [f32], source: &[f32], scene: &Scene<'_>, [y, x]: [i64; 2]) {
    let ImageShape { height, width, .. } = scene.shape;
    let planes = image.chunks_exact_mut(height * width).zip(source.chunks_exact(height * width));
    for ((plane, source), black) in planes.zip(scene.black) {
        plane.fill(*black);
        let (rows, from_row) = overlap(y, height);
        let (columns, from_column) = overlap(x, width);
        for (i, row) in rows.enumerate() {
            let from = &source[(from_row + i) * width + from_column..][..columns.len()];
            plane[row * width..][columns.clone()].copy_from_slice(from);
        }
    }
}

/// Fills `image` with the part of `source` that starts at (`y`, `x`), continued beyond its edges.
fn crop_beyond(image: &mut [f32], source: &[f32], shape: ImageShape, [y, x]: [i64; 2], edges: Edges) {
    let ImageShape { height, width, .. } = shape;
    let line = |from: i64, n: usize| -> Vec<usize> {
        (from..from + n as i64)
            .map(|at| edges.pixel(at, n).expect("only black has no pixels beyond the edges"))
            .collect()
    };
    let (rows, columns) = (line(y, height), line(x, width));
    for (plane, source) in image.chunks_exact_mut(height * width).zip(source.chunks_exact(height * width)) {
        for (to, row) in plane.chunks_exact_mut(width).zip(&rows) {
            to.iter_mut().zip(&columns).for_each(|(to, column)| *to = source[row * width + column]);
        }
    }
}

/// Returns a number below `n` from the upper 16 bits and a number below `m` from the lower ones. Their biases are less than
/// n / 2^16 and m / 2^16.
fn halves(bits: u32, n: u32, m: u32) -> [usize; 2] {
    let below = |half: u32, n: u32| ((u64::from(half) * u64::from(n)) >> 16) as usize;
    [below(bits >> 16, n), below(bits & 0xffff, m)]
}

/// Returns which of `side` rows come from the source if it is shifted by `shift`, which is shorter, and the first row of the source.
fn overlap(shift: i64, side: usize) -> (Range<usize>, usize) {
    let by = shift.unsigned_abs() as usize;
    if shift >= 0 { (0..side - by, by) } else { (by..side, 0) }
}
