//! Which pixels a product reads and writes, and how far into its maps they lie.

/// The offset of a pixel outside the image. It reads as zeros.
pub(super) const OUTSIDE: u32 = u32::MAX;

/// The rows of a product: each is a pixel of one map together with the pixels of another map that its window sees.
///
/// Unsafe code relies on what [`Rows::new`] establishes. The fields are private and never change afterwards, so it holds for as
/// long as the value lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rows {
    /// The offset of each row's pixel.
    to: Vec<u32>,
    /// The places of the window at which any row sees something.
    places: Vec<u32>,
    /// The offset of the pixel that a row sees at a place, or [`OUTSIDE`]: `[places, rows]`.
    from: Vec<u32>,
    /// For each row, the largest offsets in it and in all rows before it.
    reach: Vec<Reach>,
    /// One more than the largest place.
    window: usize,
}

/// The largest offsets in some rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reach {
    to: u32,
    /// None if the rows see nothing but the outside.
    from: Option<u32>,
}

impl Rows {
    /// Returns the rows with these offsets.
    ///
    /// # Panics
    /// If `from` is not `[places, rows]`.
    pub(super) fn new(to: Vec<u32>, places: Vec<u32>, from: Vec<u32>) -> Self {
        assert_eq!(from.len(), places.len() * to.len(), "every row has an offset for every place");
        let seen = |row: usize| {
            (0..places.len()).map(|place| from[place * to.len() + row]).filter(|&offset| offset != OUTSIDE).max()
        };
        let first = Reach { to: 0, from: None };
        let reach = to.iter().enumerate().scan(first, |reach, (row, &to)| {
            *reach = Reach { to: reach.to.max(to), from: reach.from.max(seen(row)) };
            Some(*reach)
        });
        let reach = reach.collect();
        let window = places.iter().max().map_or(0, |&place| place as usize + 1);
        Self { to, places, from, reach, window }
    }

    /// Returns how many rows there are.
    pub(super) fn len(&self) -> usize {
        self.to.len()
    }

    /// Returns the offset of each row's pixel.
    pub(super) fn to(&self) -> &[u32] {
        &self.to
    }

    /// Returns the places of the window at which any row sees something. All are below [`window`](Self::window).
    pub(super) fn places(&self) -> &[u32] {
        &self.places
    }

    /// Returns the offset of the pixel that each row sees at each place, or [`OUTSIDE`]: `[places, rows]`.
    pub(super) fn from(&self) -> &[u32] {
        &self.from
    }

    /// Returns one more than the largest place.
    pub(super) fn window(&self) -> usize {
        self.window
    }

    /// Returns whether there are `n` rows, and whether the first `n` stay within maps of `from_len` and `to_len` numbers when
    /// they take `from_channels` and `to_channels` numbers of each pixel. Takes constant time.
    pub(super) fn fit(
        &self,
        n: usize,
        (from_len, from_channels): (usize, usize),
        (to_len, to_channels): (usize, usize),
    ) -> bool {
        let Some(last) = n.checked_sub(1) else { return true };
        let ends_within = |offset: u32, channels: usize, len: usize| (offset as usize).saturating_add(channels) <= len;
        self.reach.get(last).is_some_and(|reach| {
            ends_within(reach.to, to_channels, to_len)
                && reach.from.is_none_or(|from| ends_within(from, from_channels, from_len))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rows_fit_exactly_as_far_as_they_reach() {
        // Not in order, and the second place sees nothing.
        let rows = Rows::new(vec![32, 0, 48, 16], vec![0, 5], [[4, 8, OUTSIDE, 2], [OUTSIDE; 4]].concat());
        assert_eq!((rows.len(), rows.window()), (4, 6));
        // Of the first n rows: the numbers that maps need for 3 channels read and 16 written.
        for (n, from, to) in [(1, 7, 48), (2, 11, 48), (3, 11, 64), (4, 11, 64)] {
            assert!(rows.fit(n, (from, 3), (to, 16)), "{n}");
            assert!(!rows.fit(n, (from - 1, 3), (to, 16)), "{n}");
            assert!(!rows.fit(n, (from, 3), (to - 1, 16)), "{n}");
        }
        assert!(rows.fit(0, (0, 3), (0, 16)));
        assert!(!rows.fit(5, (1000, 3), (1000, 16)), "there are four rows");
        assert!(!rows.fit(1, (1000, usize::MAX), (1000, 16)), "an offset that overflows does not fit");
    }

    #[test]
    fn rows_that_see_nothing_need_no_map() {
        let rows = Rows::new(vec![0, 16], vec![3], vec![OUTSIDE; 2]);
        assert!(rows.fit(2, (0, 16), (32, 16)));
        let without_places = Rows::new(vec![0, 16], vec![], vec![]);
        assert_eq!(without_places.window(), 0);
        assert!(without_places.fit(2, (0, 16), (32, 16)));
    }
}
