//! Mixtures of two images and their labels: MixUp (Zhang, Cisse, Dauphin and Lopez-Paz 2018) and CutMix (Yun et al. 2019).

use std::ops::Range;

use super::draws::Draws;
use crate::images::dataset::ImageShape;

/// How an image is mixed with another one of the same epoch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mixture {
    /// The position of the other image in the order of the epoch.
    pub(crate) partner: usize,
    /// The share of the image's own label. The other label has the rest.
    pub(crate) share: f64,
    pub(super) how: How,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum How {
    /// A weighted mean, with this weight of the image itself.
    Blend(f32),
    /// The other image shows in a rectangle.
    Paste { rows: Range<usize>, columns: Range<usize> },
}

/// What mixes two images. The number is the parameter of the Beta distribution of the share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Mixer {
    MixUp(f64),
    CutMix(f64),
}

impl Mixture {
    /// Returns how the image at `position` of `n` is mixed by one of `mixers`. `None` if it stays as it is.
    pub(super) fn draw(
        mixers: &[Mixer],
        shape: ImageShape,
        position: usize,
        n: usize,
        draws: &mut Draws,
    ) -> Option<Self> {
        let mixer = mixers[draws.below(mixers.len() as u32) as usize];
        let others = u32::try_from(n).expect("a split has fewer than 2^32 images") - 1;
        // With one image there is no other.
        let step = if others > 0 { 1 + draws.below(others) as usize } else { return None };
        let partner = (position + step) % n;
        match mixer {
            Mixer::MixUp(alpha) if alpha > 0.0 => {
                let share = draws.beta(alpha) as f32;
                Some(Self { partner, share: f64::from(share), how: How::Blend(share) })
            }
            Mixer::CutMix(alpha) if alpha > 0.0 => {
                let ImageShape { height, width, .. } = shape;
                let side = (1.0 - draws.beta(alpha)).sqrt();
                let mut range = |n: usize| {
                    let (length, middle) = ((n as f64 * side) as usize, draws.below(n as u32) as usize);
                    middle.saturating_sub(length / 2)..(middle + length / 2).min(n)
                };
                let (rows, columns) = (range(height), range(width));
                // The rectangle may lie partly outside, so its share is counted.
                let share = 1.0 - (rows.len() * columns.len()) as f64 / (height * width) as f64;
                Some(Self { partner, share, how: How::Paste { rows, columns } })
            }
            Mixer::MixUp(_) | Mixer::CutMix(_) => None,
        }
    }

    /// Mixes `other` into `image`, both `[c, h, w]`.
    pub(crate) fn apply(&self, image: &mut [f32], other: &[f32], shape: ImageShape) {
        match &self.how {
            How::Blend(share) => {
                image.iter_mut().zip(other).for_each(|(x, other)| *x = *x * share + other * (1.0 - share));
            }
            How::Paste { rows, columns } => {
                let plane = shape.height * shape.width;
                for (to, from) in image.chunks_exact_mut(plane).zip(other.chunks_exact(plane)) {
                    for row in rows.clone() {
                        let line = row * shape.width + columns.start..row * shape.width + columns.end;
                        to[line.clone()].copy_from_slice(&from[line]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 2, height: 6, width: 9 };

    fn mixtures(mixers: &[Mixer], n: usize) -> Vec<Option<Mixture>> {
        let of = |i: u32| Mixture::draw(mixers, SHAPE, i as usize % n, n, &mut Draws::new(9, 1, 0, i));
        (0..4000).map(of).collect()
    }

    #[test]
    fn every_other_image_is_a_partner_equally_often() {
        let mut counts = [0; 5];
        for (i, mixture) in mixtures(&[Mixer::MixUp(1.0)], 5).into_iter().enumerate() {
            let partner = mixture.unwrap().partner;
            assert_ne!(partner, i % 5);
            counts[partner] += 1;
        }
        assert!(counts.iter().all(|n| (720..880).contains(n)), "{counts:?}");
        assert!(mixtures(&[Mixer::MixUp(1.0)], 1).iter().all(Option::is_none));
        assert!(
            mixtures(&[Mixer::MixUp(0.0)], 5).iter().chain(&mixtures(&[Mixer::CutMix(0.0)], 5)).all(Option::is_none)
        );
    }

    #[test]
    fn several_mixers_are_used_equally_often() {
        let found = mixtures(&[Mixer::MixUp(1.0), Mixer::CutMix(1.0)], 50);
        let blended = found.iter().flatten().filter(|mixture| matches!(mixture.how, How::Blend(_))).count();
        assert!((1870..2130).contains(&blended), "{blended}");
    }

    #[test]
    fn the_share_of_a_label_is_the_share_of_its_pixels() {
        let (ones, zeros) = (vec![1.0; SHAPE.bytes()], vec![0.0; SHAPE.bytes()]);
        let mut shares = Vec::new();
        for mixer in [Mixer::MixUp(0.4), Mixer::CutMix(1.0)] {
            for mixture in mixtures(&[mixer], 7).into_iter().flatten() {
                let mut image = ones.clone();
                mixture.apply(&mut image, &zeros, SHAPE);
                let mean = image.iter().map(|x| f64::from(*x)).sum::<f64>() / image.len() as f64;
                assert!((mean - mixture.share).abs() < 1e-6, "{mixture:?}: {mean}");
                shares.push(mixture.share);
            }
        }
        let (mixed, cut) = shares.split_at(4000);
        let mean = |shares: &[f64]| shares.iter().sum::<f64>() / shares.len() as f64;
        assert!((mean(mixed) - 0.5).abs() < 0.03, "{}", mean(mixed));
        // A rectangle that lies partly outside covers less than its half.
        assert!((0.55..0.8).contains(&mean(cut)), "{}", mean(cut));
        assert!(cut.iter().all(|share| (0.0..=1.0).contains(share)));
    }

    #[test]
    fn a_pasted_rectangle_is_the_paper_s() {
        for (i, mixture) in mixtures(&[Mixer::CutMix(1.0)], 3).into_iter().enumerate() {
            let Some(Mixture { how: How::Paste { rows, columns }, .. }) = mixture else { panic!("it is pasted") };
            let mut draws = Draws::new(9, 1, 0, i as u32);
            let _ = (draws.below(1), draws.below(2));
            let cut = libm::sqrt(1.0 - draws.beta(1.0));
            let mut range = |n: i64| {
                let (length, middle) = ((n as f64 * cut) as i64, i64::from(draws.below(n as u32)));
                ((middle - length / 2).clamp(0, n), (middle + length / 2).clamp(0, n))
            };
            assert_eq!((rows.start as i64, rows.end as i64), range(6));
            assert_eq!((columns.start as i64, columns.end as i64), range(9));
        }
    }
}
