//! Statistics of a dataset: the numbers of images, the mean and standard deviation of pixels, and duplicates.

use std::collections::{BTreeMap, BTreeSet};

use pipe_store::Digest;
use rayon::prelude::*;

use super::collection::Part;
use crate::records::{Counts, Duplicates, Head, ImageShape, Pixels};

/// Returns the number of all images in `part`, and of those of each class.
pub(super) fn counts(part: &Part, heads: &[Head]) -> Counts {
    let count = |(head, labels): (&Head, &Vec<i32>)| {
        let mut counts = vec![0; head.classes.len()];
        labels.iter().for_each(|label| counts[*label as usize] += 1);
        (head.name.clone(), counts)
    };
    Counts { images: part.len(), classes: heads.iter().zip(&part.labels).map(count).collect() }
}

/// Returns the mean and the standard deviation of each channel of `images`, `[n, c, h, w]` with n at least 1.
pub fn pixels(images: &[u8], shape: ImageShape) -> Pixels {
    let plane = shape.height * shape.width;
    let n = (images.len() / shape.channels) as u128;
    let moments = |channel: usize| {
        let (mut sum, mut squares) = (0_u128, 0_u128);
        for pixels in images.chunks_exact(plane).skip(channel).step_by(shape.channels) {
            sum += u128::from(pixels.iter().map(|x| u64::from(*x)).sum::<u64>());
            squares += u128::from(pixels.iter().map(|x| u64::from(*x).pow(2)).sum::<u64>());
        }
        // The sums are exact, and division and root are rounded the same way everywhere.
        let variance = (n * squares - sum * sum) as f64 / (n * n) as f64;
        (sum as f64 / n as f64, variance.sqrt())
    };
    let (mean, deviation) = (0..shape.channels).map(moments).unzip();
    Pixels { mean, deviation }
}

/// Returns the digest of the pixels of each image.
pub(super) fn digests(part: &Part, shape: ImageShape) -> Vec<Digest> {
    part.images.par_chunks_exact(shape.bytes()).map(Digest::of).collect()
}

/// Returns the numbers of images that occur more than once within and across parts, by name. Of each image, `parts` has the digest
/// and the label of the main head.
pub(super) fn duplicates(parts: &BTreeMap<&str, Vec<(Digest, i32)>>) -> Duplicates {
    let mut found = Duplicates::default();
    let mut pictures: BTreeMap<&str, BTreeMap<Digest, Vec<i32>>> = BTreeMap::new();
    for (name, part) in parts {
        let mut labels: BTreeMap<Digest, Vec<i32>> = BTreeMap::new();
        for (digest, label) in part {
            labels.entry(*digest).or_default().push(*label);
        }
        found.within.insert((*name).to_owned(), part.len() - labels.len());
        let conflicting = labels.values().filter(|labels| labels.iter().any(|label| *label != labels[0])).count();
        found.conflicting.insert((*name).to_owned(), conflicting);
        for (other, others) in &pictures {
            let both = labels.keys().filter(|digest| others.contains_key(digest)).count();
            found.across.insert(format!("{other}/{name}"), both);
        }
        pictures.insert(name, labels);
    }
    found
}

/// Returns which images of each split have no equal in a later split of test, validation and training: the indices of those that
/// stay, by name.
pub(super) fn without_repeated(digests: &BTreeMap<&'static str, Vec<Digest>>) -> BTreeMap<&'static str, Vec<usize>> {
    let mut seen: BTreeSet<Digest> = BTreeSet::new();
    let mut kept = BTreeMap::new();
    for (name, of) in ["test", "validation", "train"].into_iter().filter_map(|name| digests.get_key_value(name)) {
        kept.insert(*name, (0..of.len()).filter(|image| !seen.contains(&of[*image])).collect());
        seen.extend(of);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_deviation_agree_with_the_slow_formula() {
        let shape = ImageShape { channels: 2, height: 1, width: 3 };
        let images: Vec<u8> = (0..60).map(|i| (i * i * 7 % 256) as u8).collect();
        let found = pixels(&images, shape);
        for channel in 0..2 {
            let values: Vec<f64> = (0..60).filter(|i| i / 3 % 2 == channel).map(|i| f64::from(images[i])).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64;
            assert!((found.mean[channel] - mean).abs() < 1e-12);
            assert!((found.deviation[channel] - variance.sqrt()).abs() < 1e-12);
        }
        assert_eq!(pixels(&[7; 6], shape), Pixels { mean: vec![7.0; 2], deviation: vec![0.0; 2] });
    }

    #[test]
    fn equal_pictures_are_counted_within_and_across() {
        let shape = ImageShape { channels: 1, height: 1, width: 2 };
        let part = |images: &[[u8; 2]], labels: &[i32]| -> Vec<(Digest, i32)> {
            let part = Part { images: images.concat(), labels: vec![labels.to_vec()] };
            digests(&part, shape).into_iter().zip(labels.iter().copied()).collect()
        };
        let train = part(&[[1, 1], [1, 1], [1, 1], [2, 2], [2, 2], [3, 3]], &[0, 0, 1, 4, 4, 5]);
        let test = part(&[[1, 1], [3, 3], [3, 3], [1, 3]], &[0, 0, 0, 0]);
        let found = duplicates(&BTreeMap::from([("train", train.clone()), ("test", test.clone())]));
        let counts = |pairs: &[(&str, usize)]| {
            pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(found.within, counts(&[("test", 1), ("train", 3)]));
        assert_eq!(found.conflicting, counts(&[("test", 0), ("train", 1)]));
        assert_eq!(found.across, counts(&[("test/train", 2)]));
        let digests = |part: &[(Digest, i32)]| part.iter().map(|(digest, _)| *digest).collect::<Vec<_>>();
        let kept = without_repeated(&BTreeMap::from([("train", digests(&train)), ("test", digests(&test))]));
        assert_eq!(kept, BTreeMap::from([("test", vec![0, 1, 2, 3]), ("train", vec![3, 4])]));
    }
}
