//! Philox4x32-10, a counter-based random number generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
//! SC 2011). A number depends only on the seed and its counter, so order and thread count do not matter, and there is no state
//! to save.

/// What a number is drawn for. It is part of the counter, so no two purposes draw the same numbers. The value of a purpose must
/// never be changed or reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// Initial weights: (attempt, array; element). The triples are (major, minor; element) of a [`Stream`].
    Weights = 1,
    /// Order of the training images: (epoch, 0; position).
    Order = 2,
    /// Augmentations: (epoch, index of the operation in the policy; image). Operations that draw several numbers take those of
    /// block `image` of (epoch, index + 2^16 k; ..) for k = 0, 1 and so on. Where images are mixed, the position in the order of
    /// the epoch stands for the image.
    Augment = 3,
    /// Dropout masks: (step, layer; element).
    Dropout = 4,
    /// Proposals: (trial, hash of the label; draw).
    Propose = 5,
    /// Filter visualisation: start images (0, layer; element), jitter (1 + step, layer; 2 * filter + axis).
    Filters = 6,
    /// Stratified splits and subsets: (0 for validation, 1 for the training subset, 2 for the test subset, class; position).
    Split = 7,
    /// The embedded dataset: (split, image; draw). "Splits" 2 and 3 order the classes.
    Shapes = 8,
    /// Balanced sampling: the order of a class's images (round, class; position), and the seeds with which an image that is drawn
    /// again is augmented (2^32 - 1, 2^32 - 1; 2 * repeat + half).
    Sampling = 16,
}

/// A stream of 2^34 independent 32-bit numbers. The index of a number is called its element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    key: [u32; 2],
    purpose: u32,
    major: u32,
    minor: u32,
}

impl Stream {
    /// Returns the stream of `purpose` for (`major`, `minor`): for example a step and a layer.
    pub fn new(seed: u64, purpose: Purpose, major: u32, minor: u32) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32], purpose: purpose as u32, major, minor }
    }

    /// Returns the two words of the seed.
    #[cfg(feature = "gpu")]
    pub(crate) fn key(&self) -> [u32; 2] {
        self.key
    }

    /// Returns `major` and `minor`.
    #[cfg(feature = "gpu")]
    pub(crate) fn place(&self) -> [u32; 2] {
        [self.major, self.minor]
    }

    /// Returns four numbers at once: elements 4 * `block` to 4 * `block` + 3.
    #[inline]
    pub fn block(&self, block: u32) -> [u32; 4] {
        philox4x32_10([self.purpose, self.major, self.minor, block], self.key)
    }

    /// Returns `N` blocks, from `first` on. Number `i` of block `first + lane` is at `[i][lane]`.
    #[inline(always)]
    pub fn blocks<const N: usize>(&self, first: u32) -> [[u32; N]; 4] {
        let mut counter = [[self.purpose; N], [self.major; N], [self.minor; N], [0; N]];
        (0..N).for_each(|lane| counter[3][lane] = first.wrapping_add(lane as u32));
        let mut key = self.key;
        for round in 0..10 {
            if round > 0 {
                key = next_key(key);
            }
            let mut next = [[0; N]; 4];
            for lane in 0..N {
                let c = std::array::from_fn(|i| counter[i][lane]);
                let c = philox_round(c, key);
                (0..4).for_each(|i| next[i][lane] = c[i]);
            }
            counter = next;
        }
        counter
    }

    /// Returns the number at `element`.
    ///
    /// # Panics
    /// Panics if `element` is not below 2^34.
    #[inline]
    pub fn u32(&self, element: u64) -> u32 {
        let block = u32::try_from(element / 4).expect("a stream has 2^34 elements");
        self.block(block)[(element % 4) as usize]
    }

    /// Returns a number in [0, 1) with 24 random bits, from `element`.
    #[inline]
    pub fn f32(&self, element: u64) -> f32 {
        unit_f32(self.u32(element))
    }

    /// Returns a number in [0, 1) with 53 random bits, from elements 2 * `index` and 2 * `index` + 1.
    #[inline]
    pub fn f64(&self, index: u64) -> f64 {
        let block = self.block(u32::try_from(index / 2).expect("a stream has 2^34 elements"));
        let at = 2 * (index % 2) as usize;
        unit_f64(block[at], block[at + 1])
    }

    /// Returns a number below `n`, from `element`. Its bias is less than n / 2^32.
    #[inline]
    pub fn below(&self, element: u64, n: u32) -> u32 {
        ((u64::from(self.u32(element)) * u64::from(n)) >> 32) as u32
    }

    /// Shuffles `items` (Fisher and Yates) with the elements 1 to `items.len() - 1`.
    pub fn shuffle<T>(&self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let n = u32::try_from(i + 1).expect("fewer than 2^32 items");
            items.swap(i, self.below(i as u64, n) as usize);
        }
    }
}

/// Returns a number in [0, 1) from the upper 24 bits of `bits`.
#[inline]
pub fn unit_f32(bits: u32) -> f32 {
    (bits >> 8) as f32 * (1.0 / (1u32 << 24) as f32)
}

/// Returns a number in [0, 1) from the upper 53 bits of two words.
#[inline]
pub(crate) fn unit_f64(high: u32, low: u32) -> f64 {
    (((u64::from(high) << 32) | u64::from(low)) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// Returns the four numbers at `counter` under `key`.
#[inline]
pub fn philox4x32_10(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..10 {
        if round > 0 {
            key = next_key(key);
        }
        counter = philox_round(counter, key);
    }
    counter
}

#[inline(always)]
fn next_key(key: [u32; 2]) -> [u32; 2] {
    [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)]
}

#[inline(always)]
fn philox_round(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let p0 = u64::from(counter[0]) * 0xD251_1F53;
    let p1 = u64::from(counter[2]) * 0xCD9E_8D57;
    [(p1 >> 32) as u32 ^ counter[1] ^ key[0], p1 as u32, (p0 >> 32) as u32 ^ counter[3] ^ key[1], p0 as u32]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers are published with Random123 (`kat_vectors`, philox4x32 10).
    #[test]
    fn numbers_agree_with_the_known_answers_of_random123() {
        let check = |counter, key, expected| assert_eq!(philox4x32_10(counter, key), expected);
        check([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        check([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        check(
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        );
    }

    #[test]
    fn several_blocks_at_once_are_the_single_blocks() {
        let stream = Stream::new(7, Purpose::Dropout, 5, 3);
        let blocks = stream.blocks::<16>(1000);
        for lane in 0..16 {
            assert_eq!(blocks.map(|numbers| numbers[lane]), stream.block(1000 + lane as u32));
        }
    }

    #[test]
    fn a_shuffle_is_a_permutation_and_depends_on_the_seed() {
        let shuffled = |seed| {
            let mut items: Vec<u32> = (0..100).collect();
            Stream::new(seed, Purpose::Order, 0, 0).shuffle(&mut items);
            items
        };
        let mut sorted = shuffled(1);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_ne!(shuffled(1), shuffled(2));
    }

    #[test]
    fn unit_numbers_stay_below_one() {
        assert!(unit_f32(u32::MAX) < 1.0);
        let stream = Stream::new(3, Purpose::Propose, 0, 0);
        assert!((0..1000).map(|i| stream.f64(i)).all(|x| (0.0..1.0).contains(&x)));
    }
}
