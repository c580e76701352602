//! Near duplicates: images that look the same without having the same pixels, such as a picture and its copy of another size or
//! quality.
//!
//! An image is reduced to 64 bits, one for each neighbour in a row of 9 x 8 means of its green or grey values that is brighter (the
//! "difference hash", Krawetz, "Kind of Like That", 2013). Two images are near if at most [`BITS`] of them differ and these means
//! differ by at most [`LEVELS`] on average. Flat images are near to none.

use std::{collections::BTreeMap, ops::Range};

use pipe_store::Digest;
use rayon::prelude::*;

use crate::{
    images::dataset::ImageShape,
    records::{Near, NearDuplicates},
};

/// The most bits that differ. Of four parts of 16 bits, at least one is then equal.
const BITS: u32 = 3;
/// The largest mean difference of the cells.
const LEVELS: u32 = 6;
/// The least difference between the brightest and the darkest cell. Flatter images all look the same.
const CONTRAST: u8 = 16;
/// The most pairs that are recorded and shown.
const PAIRS: usize = 8;

/// The cells of an image: 8 rows of 9.
const CELLS: usize = 72;

/// What is compared of an image.
#[derive(Clone)]
struct Look {
    hash: u64,
    cells: [u8; CELLS],
}

/// Returns the near duplicates across splits. `splits` has the images of each, with their digests. Equal images do not count.
pub(super) fn near(splits: &BTreeMap<&str, (&[u8], &[Digest])>, shape: ImageShape) -> NearDuplicates {
    let looks: BTreeMap<&str, Vec<Look>> = splits
        .iter()
        .map(|(name, (images, _))| {
            (*name, images.par_chunks_exact(shape.bytes()).map(|image| look(image, shape)).collect())
        })
        .collect();
    let mut found = NearDuplicates::default();
    for (one, other) in [("test", "train"), ("test", "validation"), ("validation", "train")] {
        let (Some(of), Some(among)) = (looks.get(one), looks.get(other)) else { continue };
        let (own, others) = (splits[one].1, splits[other].1);
        let index = Index::of(among);
        let nearest = |image: usize| -> Option<Near> {
            if is_flat(&of[image]) {
                return None;
            }
            let is_other = |candidate: usize| own[image] != others[candidate];
            let (distance, candidate) = index.nearest(&of[image], among, is_other)?;
            Some(Near { split: one.to_owned(), image, of: other.to_owned(), other: candidate, bits: distance })
        };
        let mut pairs: Vec<Near> = (0..of.len()).into_par_iter().filter_map(nearest).collect();
        found.images.insert(format!("{one}/{other}"), pairs.len());
        pairs.sort_by_key(|pair| (pair.bits, pair.image));
        pairs.truncate(PAIRS.saturating_sub(found.pairs.len()));
        found.pairs.extend(pairs);
    }
    found
}

fn distance(a: &Look, b: &Look) -> u32 {
    (a.hash ^ b.hash).count_ones()
}

fn is_flat(look: &Look) -> bool {
    let (darkest, brightest) = (look.cells.iter().min(), look.cells.iter().max());
    brightest.zip(darkest).is_none_or(|(brightest, darkest)| brightest - darkest < CONTRAST)
}

fn is_near(a: &Look, b: &Look) -> bool {
    let difference: u32 = a.cells.iter().zip(&b.cells).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
    distance(a, b) <= BITS && difference <= CELLS as u32 * LEVELS
}

/// Images by each part of their hash.
struct Index([BTreeMap<u16, Vec<u32>>; 4]);

impl Index {
    fn of(looks: &[Look]) -> Self {
        let mut index = [(); 4].map(|()| BTreeMap::<u16, Vec<u32>>::new());
        for (image, look) in looks.iter().enumerate() {
            for (part, images) in index.iter_mut().enumerate() {
                images.entry(bits(look, part)).or_default().push(image as u32);
            }
        }
        Self(index)
    }

    /// Returns the nearest of the images that are near `look`, the first of equally near ones.
    fn nearest(&self, look: &Look, among: &[Look], is_other: impl Fn(usize) -> bool) -> Option<(u32, usize)> {
        let candidates = (0..4).flat_map(|part| self.0[part].get(&bits(look, part)).into_iter().flatten());
        candidates
            .map(|candidate| *candidate as usize)
            .filter(|candidate| is_near(look, &among[*candidate]) && is_other(*candidate))
            .map(|candidate| (distance(look, &among[candidate]), candidate))
            .min()
    }
}

fn bits(look: &Look, part: usize) -> u16 {
    (look.hash >> (16 * part)) as u16
}

/// Returns what is compared of `image`, `[c, h, w]`.
fn look(image: &[u8], shape: ImageShape) -> Look {
    let cells = cells(image, shape);
    let mut hash = 0_u64;
    for row in cells.chunks_exact(9) {
        for pair in row.windows(2) {
            // The means as fractions are compared exactly.
            let is_brighter = pair[1].0 * pair[0].1 > pair[0].0 * pair[1].1;
            hash = hash << 1 | u64::from(is_brighter);
        }
    }
    Look { hash, cells: cells.map(|(sum, weight)| (sum / weight) as u8) }
}

/// Returns the sum of the green or grey values in each cell, and the number of its pixels.
fn cells(image: &[u8], shape: ImageShape) -> [(u64, u64); CELLS] {
    let ImageShape { channels, height, width } = shape;
    let size = height * width;
    let plane = &image[if channels == 3 { size } else { 0 }..][..size];
    let range = |cell: usize, cells: usize, side: usize| {
        let from = (cell * side / cells).min(side - 1);
        from..((cell + 1) * side / cells).max(from + 1)
    };
    let columns: [Range<usize>; 9] = std::array::from_fn(|column| range(column, 9, width));
    let mut found = [(0, 0); CELLS];
    for (row, found) in found.chunks_exact_mut(9).enumerate() {
        for y in range(row, 8, height) {
            let pixels = &plane[y * width..][..width];
            for ((sum, n), columns) in found.iter_mut().zip(&columns) {
                *sum += pixels[columns.clone()].iter().map(|x| u64::from(*x)).sum::<u64>();
                *n += columns.len() as u64;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 3, height: 20, width: 24 };

    /// Returns an image of waves.
    fn image(seed: usize) -> Vec<u8> {
        let pixel = |i: usize| {
            let (y, x) = (i / 24 % 20, i % 24);
            128.0
                + 60.0 * libm::sin((x * (seed % 5 + 1)) as f64 / 9.0 + seed as f64)
                + 50.0 * libm::cos((y * (seed % 3 + 1)) as f64 / 7.0)
        };
        (0..SHAPE.bytes()).map(|i| pixel(i) as u8).collect()
    }

    fn found(test: &[Vec<u8>], train: &[Vec<u8>]) -> NearDuplicates {
        let joined = [test.concat(), train.concat()];
        let digests = [test, train].map(|images| images.iter().map(|image| Digest::of(image)).collect::<Vec<_>>());
        let splits =
            BTreeMap::from([("test", (&joined[0][..], &digests[0][..])), ("train", (&joined[1][..], &digests[1][..]))]);
        near(&splits, SHAPE)
    }

    #[test]
    fn a_brighter_noisy_copy_is_near_and_another_image_is_not() {
        let train: Vec<_> = (0..7).map(image).collect();
        let copy = |seed| -> Vec<u8> {
            image(seed).iter().enumerate().map(|(i, x)| x.saturating_add(2 + (i * 7 % 3) as u8)).collect()
        };
        let found = found(&[copy(3), image(9), image(2), copy(5)], &train);
        assert_eq!(found.images, BTreeMap::from([("test/train".to_owned(), 2)]));
        let mut pairs: Vec<_> = found.pairs.iter().map(|pair| (pair.image, pair.other)).collect();
        pairs.sort_unstable();
        assert_eq!(pairs, [(0, 3), (3, 5)]);
    }

    #[test]
    fn the_index_finds_what_a_look_at_all_finds() {
        let looks: Vec<Look> = (0..200_u64)
            .map(|i| Look { hash: (i / 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 1 << (i % 4 * 13), cells: [0; CELLS] })
            .collect();
        let index = Index::of(&looks);
        for (image, look) in looks.iter().enumerate() {
            let all = (0..looks.len()).filter(|other| *other != image && is_near(look, &looks[*other]));
            let expected = all.map(|other| (distance(look, &looks[other]), other)).min();
            assert_eq!(index.nearest(look, &looks, |other| other != image), expected);
            assert!(expected.is_some());
        }
    }

    #[test]
    fn flat_images_are_near_to_none() {
        let flat = |grey: u8| vec![grey; SHAPE.bytes()];
        assert_eq!(found(&[flat(7)], &[flat(8)]).images["test/train"], 0);
    }

    #[test]
    fn small_images_have_cells_too() {
        let shape = ImageShape { channels: 1, height: 2, width: 3 };
        assert!(cells(&[1, 2, 3, 4, 5, 6], shape).iter().all(|(_, weight)| *weight > 0));
    }
}
