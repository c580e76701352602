//! The pixels that a product reads and writes, as offsets into its maps.

/// The offset of a pixel outside the image. Such a pixel is read as zeros.
pub(super) const OUTSIDE: u32 = u32::MAX;

/// The rows of a product. A row is a pixel of one map, together with the pixels of another map that are in its window.
///
/// Unsafe code relies on [`fit`](Self::fit), which uses the limits that [`Rows::new`] computes, and on the shape of `from`, which
/// [`Rows::new`] checks. The fields are private and never change, so both stay valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rows {
    /// The offset of each row's pixel.
    to: Vec<u32>,
    /// The places of the window that are summed over.
    places: Vec<u32>,
    /// `[places, rows]`: the offset of the pixel at a place of a row's window, or [`OUTSIDE`].
    from: Vec<u32>,
    /// For each row, the largest offsets in this row and all rows before it.
    reach: Vec<Reach>,
    /// One more than the largest place.
    window: usize,
}

/// The largest offsets in some rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reach {
    to: u32,
    /// `None` if everything in the windows lies outside the image.
    from: Option<u32>,
}

impl Rows {
    /// Returns the rows with these offsets.
    ///
    /// # Panics
    /// If `from` is not `[places, rows]`.
    pub(super) fn new(to: Vec<u32>, places: Vec<u32>, from: Vec<u32>) -> Self {
        assert_eq!(from.len(), places.len() * to.len(), "every row must have an offset for every place");
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

    /// Returns the number of rows.
    pub(super) fn len(&self) -> usize {
        self.to.len()
    }

    /// Returns the offset of each row's pixel.
    pub(super) fn to(&self) -> &[u32] {
        &self.to
    }

    /// Returns the places of the window that are summed over. All are less than [`window`](Self::window).
    pub(super) fn places(&self) -> &[u32] {
        &self.places
    }

    /// Returns, as `[places, rows]`, the offset of the pixel at each place of each row's window, or [`OUTSIDE`].
    pub(super) fn from(&self) -> &[u32] {
        &self.from
    }

    /// Returns one more than the largest place.
    pub(super) fn window(&self) -> usize {
        self.window
    }

    /// Returns whether there are `n` rows, and the first `n` rows stay within maps of `from_len` and `to_len` elements if
    /// `from_channels` and `to_channels` elements are used at each offset. Takes constant time.
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
    fn rows_fit_only_maps_that_contain_all_their_offsets() {
        // The offsets are not in order, and the second place is always outside.
        let rows = Rows::new(vec![32, 0, 48, 16], vec![0, 5], [[4, 8, OUTSIDE, 2], [OUTSIDE; 4]].concat());
        assert_eq!((rows.len(), rows.window()), (4, 6));
        // (n, length of `from`, length of `to`): the least that the first n rows need to read 3 channels and write 16.
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
    fn rows_with_windows_outside_the_image_fit_an_empty_map() {
        let rows = Rows::new(vec![0, 16], vec![3], vec![OUTSIDE; 2]);
        assert!(rows.fit(2, (0, 16), (32, 16)));
        let without_places = Rows::new(vec![0, 16], vec![], vec![]);
        assert_eq!(without_places.window(), 0);
        assert!(without_places.fit(2, (0, 16), (32, 16)));
    }
}
