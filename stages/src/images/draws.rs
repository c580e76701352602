//! The random numbers that decide how one image is changed, and the distributions that they are drawn from. Everything is
//! computed with IEEE arithmetic and `libm`, so the numbers are the same on every machine.

use crate::philox::{Purpose, Stream};

/// The numbers of one image for one operation of a policy, in order. They depend only on the seed, the epoch, the operation's
/// place in the policy and the image's index.
#[derive(Debug, Clone)]
pub(super) struct Draws {
    seed: u64,
    epoch: u32,
    place: u32,
    index: u32,
    next: u32,
    words: [u32; 4],
}

impl Draws {
    /// Returns the numbers of the image `index` for the operation at `place` of a policy, which has fewer than 2^16 operations.
    pub(super) fn new(seed: u64, epoch: u32, place: u32, index: u32) -> Self {
        Self { seed, epoch, place, index, next: 0, words: [0; 4] }
    }

    /// Returns 32 random bits. Numbers 4 k to 4 k + 3 of an image are block `index` of the stream (epoch, place + 2^16 k). After
    /// 2^18 numbers they start again, which only the noise of a large erased rectangle can reach.
    pub(super) fn bits(&mut self) -> u32 {
        if self.next.is_multiple_of(4) {
            let minor = self.place + ((self.next / 4) << 16);
            self.words = Stream::new(self.seed, Purpose::Augment, self.epoch, minor).block(self.index);
        }
        let bits = self.words[(self.next % 4) as usize];
        self.next += 1;
        bits
    }

    /// Returns the only number of an operation that draws no other: element `index` of the stream (epoch, place). Such an
    /// operation needs a quarter of the blocks.
    pub(super) fn only(&self) -> u32 {
        Stream::new(self.seed, Purpose::Augment, self.epoch, self.place).u32(u64::from(self.index))
    }

    /// Returns a number above 0 and below 1.
    pub(super) fn unit(&mut self) -> f64 {
        (f64::from(self.bits()) + 0.5) * (1.0 / 4_294_967_296.0)
    }

    /// Returns a number from `low` to `high`. If they are equal, returns exactly that.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Returns a whole number below `n`. Its bias is less than n / 2^32.
    pub(super) fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.bits()) * u64::from(n)) >> 32) as u32
    }

    /// Returns a standard normal deviate (Box and Muller 1958).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * libm::log(self.unit())).sqrt();
        radius * libm::cos(std::f64::consts::TAU * self.unit())
    }

    /// Returns the logarithm of a gamma deviate of this shape, which is above 0 (Marsaglia and Tsang 2000). A small shape gives
    /// deviates that are too small for an f64, but not their logarithms.
    fn ln_gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            return self.ln_gamma(shape + 1.0) + libm::log(self.unit()) / shape;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let root = 1.0 + c * x;
            let ln_u = libm::log(self.unit());
            if root <= 0.0 {
                continue;
            }
            let v = root * root * root;
            if ln_u < 0.5 * x * x + d - d * v + d * libm::log(v) {
                return libm::log(d) + libm::log(v);
            }
        }
    }

    /// Returns a deviate of Beta(`alpha`, `alpha`), from 0 to 1. Below 10^-6, where almost every deviate is 0 or 1, `alpha`
    /// counts as 10^-6.
    pub(super) fn beta(&mut self, alpha: f64) -> f64 {
        let alpha = alpha.max(1e-6);
        let (x, y) = (self.ln_gamma(alpha), self.ln_gamma(alpha));
        1.0 / (1.0 + libm::exp(y - x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_consecutive_words_of_the_image_and_differ_between_images_and_places() {
        let take = |mut draws: Draws| std::array::from_fn::<u32, 9, _>(|_| draws.bits());
        let words = take(Draws::new(7, 2, 3, 11));
        let block = |k: u32| Stream::new(7, Purpose::Augment, 2, 3 + (k << 16)).block(11);
        assert_eq!(words[..4], block(0));
        assert_eq!(words[4..8], block(1));
        assert_eq!(words[8], block(2)[0]);
        for other in
            [Draws::new(7, 2, 3, 12), Draws::new(7, 2, 4, 11), Draws::new(7, 3, 3, 11), Draws::new(8, 2, 3, 11)]
        {
            assert!(take(other).iter().zip(words).all(|(other, word)| *other != word));
        }
    }

    #[test]
    fn equal_bounds_give_exactly_the_bound() {
        assert_eq!(Draws::new(1, 0, 0, 0).between(1.0, 1.0), 1.0);
        assert!((0..1000).all(|i| (0.0..1.0).contains(&Draws::new(1, 0, 0, i).unit())));
    }

    fn betas(alpha: f64) -> Vec<f64> {
        let mut betas: Vec<f64> = (0..20_000).map(|image| Draws::new(5, 1, 0, image).beta(alpha)).collect();
        betas.sort_by(f64::total_cmp);
        betas
    }

    /// The largest distance between the empirical and the true distribution (Kolmogorov and Smirnov). For 20,000 draws it is
    /// above 0.0138 with probability 0.001.
    fn distance(alpha: f64, cumulated: impl Fn(f64) -> f64) -> f64 {
        let betas = betas(alpha);
        let n = betas.len() as f64;
        let of = |(i, x): (usize, &f64)| {
            (cumulated(*x) - i as f64 / n).abs().max((cumulated(*x) - (i + 1) as f64 / n).abs())
        };
        betas.iter().enumerate().map(of).fold(0.0, f64::max)
    }

    #[test]
    fn beta_deviates_have_the_distribution() {
        // Beta(1/2, 1/2) is the arcsine law, Beta(1, 1) is even, the others are polynomials.
        let arcsine = |x: f64| 2.0 / std::f64::consts::PI * libm::asin(x.sqrt());
        assert!(distance(0.5, arcsine) < 0.0138);
        assert!(distance(1.0, |x| x) < 0.0138);
        assert!(distance(2.0, |x| x * x * (3.0 - 2.0 * x)) < 0.0138);
        assert!(distance(3.0, |x| x * x * x * (10.0 - 15.0 * x + 6.0 * x * x)) < 0.0138);
        // The test would notice a wrong shape.
        assert!(distance(1.1, |x| x) > 0.0138);
    }

    #[test]
    fn beta_deviates_have_the_moments() {
        for alpha in [0.05, 0.2, 0.4, 1.0, 8.0, 100.0] {
            let betas = betas(alpha);
            let n = betas.len() as f64;
            let mean = betas.iter().sum::<f64>() / n;
            let variance = betas.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
            let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            assert!((mean - 0.5).abs() < 4.0 * (expected / n).sqrt(), "{alpha}: {mean}");
            assert!((variance / expected - 1.0).abs() < 0.05, "{alpha}: {variance} {expected}");
        }
    }

    #[test]
    fn extreme_shapes_give_finite_deviates() {
        for alpha in [f64::MIN_POSITIVE, 1e-300, 1e-3, 100.0, 1e12] {
            assert!((0..200).all(|i| (0.0..=1.0).contains(&Draws::new(5, 1, 0, i).beta(alpha))), "{alpha}");
        }
        let tiny = betas(1e-9);
        assert!(tiny.iter().filter(|x| **x > 0.01 && **x < 0.99).count() < 5);
        assert!(tiny.iter().filter(|x| **x > 0.5).count().abs_diff(tiny.len() / 2) < 300);
    }

    /// If this fails, trainings with these augmentations have changed: the stage needs a new version.
    #[test]
    fn golden_deviates() {
        let bits = [0.2, 1.0, 4.0].map(|alpha| Draws::new(1, 1, 2, 3).beta(alpha).to_bits());
        assert_eq!(bits, [4_607_182_344_025_047_352, 4_590_704_626_278_594_619, 4_599_031_588_102_966_226]);
    }
}
