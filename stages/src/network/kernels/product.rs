//! The two matrix products of networks, computed in registers tile by tile.
//!
//! Every element of a result is one chain of fused multiply-adds in the order of the summed index. The chain starts from the number
//! that is already there, or from a bias. Tile sizes, block sizes, the number of threads and the processor therefore cannot change
//! any bit of it.
//!
//! A convolution is a product with gathered rows: the sum runs over the places of the window, and at each place over the channels.
//! This needs no unfolded copy of the image, because a tile reads each pixel from its own address.

use std::ops::Range;

use super::{
    lanes::{Kernel, LANES, Lanes},
    rows::{OUTSIDE, Rows},
    shared::Shared,
};

/// The number of terms that a tile adds before the next tile does the same. The weights of these terms stay in the cache for all
/// tiles.
const BLOCK: usize = 512;

/// Read instead of a pixel outside the image.
static ZEROS: [f32; BLOCK] = [0.0; BLOCK];

/// A part of a product with weights: some rows times some panels of [`LANES`] columns.
///
/// `y[to[r]][o] = init[o] + sum over places p, channels k of x[from[p][r]][k] * weights[panel of o][p][k][o]`
pub(super) struct Gathered<'a> {
    pub(super) rows: &'a Rows,
    /// The number of rows to compute, from the first.
    pub(super) n_rows: usize,
    pub(super) x: &'a [f32],
    /// The number of channels of `x`, which are summed over.
    pub(super) channels: usize,
    /// `[panels, places of the window, channels, LANES]`.
    pub(super) weights: &'a [f32],
    /// The number of places of the window.
    pub(super) places: usize,
    /// The initial values of the sums, `[panels, LANES]`. Without it, the initial values are those in `y`.
    pub(super) init: Option<&'a [f32]>,
    /// The panels to compute.
    pub(super) panels: Range<usize>,
    pub(super) y: Shared<'a>,
}

impl Gathered<'_> {
    /// Checks that everything the tiles will read or write lies within its slice. Takes constant time.
    ///
    /// # Panics
    /// If it does not.
    fn check(&self) {
        let columns = self.panels.end.saturating_mul(LANES);
        let weights = columns.saturating_mul(self.places).saturating_mul(self.channels);
        assert!(
            self.rows.fit(self.n_rows, (self.x.len(), self.channels), (self.y.len(), columns)),
            "rows lie in the maps"
        );
        assert!(self.rows.window() <= self.places, "places lie within the window");
        assert!(weights <= self.weights.len(), "every column has weights");
        assert!(self.init.is_none_or(|init| columns <= init.len()), "every column has an initial value");
    }
}

/// Computes a [`Gathered`].
///
/// # Safety
/// No other code may read or write the columns of these panels in these rows of `y` during the call.
///
/// # Panics
/// If the rows do not lie within the maps, or a column has no weights or no initial value.
pub(super) unsafe fn gathered(isa: super::Isa, product: &Gathered<'_>) {
    struct Run<'a>(&'a Gathered<'a>);

    impl Kernel for Run<'_> {
        type Output = ();

        #[inline(always)]
        fn run<L: Lanes>(self) {
            let mut panels = self.0.panels.clone();
            while !panels.is_empty() {
                // The more columns a tile has, the fewer rows fit into the registers. All of these sizes keep the multipliers
                // busy.
                // SAFETY: `gathered` has called `check`, and its caller promises that no other code uses the columns. There are
                // at least as many panels as `columns` computes.
                unsafe {
                    match panels.len().min(L::WIDTH) {
                        4.. => self.0.columns::<L, 6, 4>(&mut panels),
                        3 => self.0.columns::<L, 8, 3>(&mut panels),
                        2 => self.0.columns::<L, 8, 2>(&mut panels),
                        // A row of one vector has little work, and processors with wide registers have many of them.
                        _ if L::WIDTH > 1 => self.0.columns::<L, 12, 1>(&mut panels),
                        _ => self.0.columns::<L, 6, 1>(&mut panels),
                    }
                }
            }
        }
    }

    product.check();
    if product.n_rows > 0 {
        isa.run(Run(product));
    }
}

impl Gathered<'_> {
    /// Computes the first `V` panels, `M` rows at a time, and removes them from `panels`.
    ///
    /// # Safety
    /// [`check`](Self::check) must have passed, `panels` must be a part of `self.panels` with at least `V` panels, there must be at
    /// least one row, and no other code may use the panels' columns of the rows in `y`.
    #[inline(always)]
    unsafe fn columns<L: Lanes, const M: usize, const V: usize>(&self, panels: &mut Range<usize>) {
        let places_at_once = (BLOCK / self.channels.min(BLOCK)).max(1);
        let n_places = self.rows.places().len();
        let mut starts = self.init;
        let mut place = 0;
        // At least once, so that sums without a place get their initial values.
        loop {
            let places = place..(place + places_at_once).min(n_places);
            let mut channel = 0;
            loop {
                let channels = channel..(channel + BLOCK).min(self.channels);
                let mut row = 0;
                while row < self.n_rows {
                    // SAFETY: our caller promises the same. The row, places and channels lie within the product's.
                    unsafe { self.tile::<L, M, V>(row, panels.start, places.clone(), channels.clone(), starts) };
                    row += M;
                }
                starts = None;
                channel = channels.end;
                if channel >= self.channels {
                    break;
                }
            }
            place = places.end;
            if place >= n_places {
                break;
            }
        }
        panels.start += V;
    }

    /// Adds the terms of `places` and `channels` to the sums of `V` panels of `M` rows. `places` are indices into `rows.places()`.
    ///
    /// # Safety
    /// As for [`columns`](Self::columns). In addition, `row` must be one of the rows, `places` and `channels` must lie within the
    /// product's, and there must be at most [`BLOCK`] channels.
    #[inline(always)]
    unsafe fn tile<L: Lanes, const M: usize, const V: usize>(
        &self,
        row: usize,
        panel: usize,
        places: Range<usize>,
        channels: Range<usize>,
        starts: Option<&[f32]>,
    ) {
        use std::array::from_fn;
        let panel_size = self.places * self.channels * LANES;
        let (to, from, window_places) = (self.rows.to(), self.rows.from(), self.rows.places());
        // SAFETY: rows are less than `n_rows`, which `check` has found to be at most `to.len()`, and `from` is `[places, rows]`, so
        // both can be indexed. `check` has also found that for each of these rows, `x` has all channels at the offset `from`
        // (unless that is `OUTSIDE`) and `y` has the columns of all panels at the offset `to`; that `init` has these columns; and
        // that `weights` has the columns of all places less than `places`, which includes all places of the rows. For `OUTSIDE`,
        // at most `BLOCK` zeros are read, and `ZEROS` has that many. No other code uses the columns in `y`.
        unsafe {
            // Beyond the last row, repeat the last row.
            let row: [usize; M] = from_fn(|i| (row + i).min(self.n_rows - 1));
            let to: [*mut f32; M] =
                from_fn(|i| self.y.as_mut_ptr().add(*to.get_unchecked(row[i]) as usize + panel * LANES));
            let mut sums: [[L; V]; M] = match starts {
                Some(starts) => [from_fn(|v| L::load(starts.as_ptr().add((panel + v) * LANES))); M],
                None => from_fn(|i| from_fn(|v| L::load(to[i].add(v * LANES)))),
            };
            for place in places {
                let from = from.as_ptr().add(place * self.rows.len());
                let x: [*const f32; M] = from_fn(|i| {
                    let offset = *from.add(row[i]);
                    let pixel = self.x.as_ptr().wrapping_add(offset as usize + channels.start);
                    if offset == OUTSIDE { ZEROS.as_ptr() } else { pixel }
                });
                let place = *window_places.get_unchecked(place) as usize;
                let weights = self.weights.as_ptr().add(panel * panel_size);
                let weights = weights.add((place * self.channels + channels.start) * LANES);
                for k in 0..channels.len() {
                    let columns: [L; V] = from_fn(|v| L::load(weights.add(v * panel_size + k * LANES)));
                    for (sums, x) in sums.iter_mut().zip(x) {
                        add_products(L::splat(*x.add(k)), columns, sums);
                    }
                }
            }
            for (sums, to) in sums.iter().zip(to) {
                sums.iter().enumerate().for_each(|(v, sum)| sum.store(to.add(v * LANES)));
            }
        }
    }
}

/// Adds `x` times each column to the column's sum.
#[inline(always)]
fn add_products<L: Lanes, const V: usize>(x: L, columns: [L; V], sums: &mut [L; V]) {
    for (sum, column) in sums.iter_mut().zip(columns) {
        *sum = x.mul_add(column, *sum);
    }
}

/// A part of a sum of outer products over rows: some channels times some panels of [`LANES`] columns.
///
/// `sum[p][k][o] += sum over rows r of x[from[p][r]][k] * dy[to[r]][o]`
pub(super) struct Outer<'a> {
    pub(super) rows: &'a Rows,
    /// The number of rows to sum over, from the first.
    pub(super) n_rows: usize,
    pub(super) x: &'a [f32],
    /// The number of channels of `x`.
    pub(super) n_channels: usize,
    /// The channels to compute.
    pub(super) channels: Range<usize>,
    pub(super) dy: &'a [f32],
    /// The number of panels of `dy`.
    pub(super) n_panels: usize,
    /// The panels to compute.
    pub(super) panels: Range<usize>,
    /// The places to compute, as indices into `rows.places()`.
    pub(super) places: Range<usize>,
    /// Whether the sums start from zero instead of the numbers that are there.
    pub(super) is_new: bool,
    /// `[places of the window, channels, panels, LANES]`.
    pub(super) sum: Shared<'a>,
}

/// Computes an [`Outer`].
///
/// # Safety
/// No other code may read or write the columns of these panels in these places and channels of `sum` during the call.
///
/// # Panics
/// If the rows do not lie within the maps, or if the channels, panels or places to compute do not exist or have no sums.
pub(super) unsafe fn outer(isa: super::Isa, product: &Outer<'_>) {
    struct Run<'a>(&'a Outer<'a>);

    impl Kernel for Run<'_> {
        type Output = ();

        #[inline(always)]
        fn run<L: Lanes>(self) {
            // As many rows of both maps as stay in the L1 cache, even if their distance is a power of two.
            let at_once = if self.0.n_panels * LANES > 128 { 32 } else { 64 };
            let mut row = 0;
            while row < self.0.n_rows {
                let rows = row..(row + at_once).min(self.0.n_rows);
                let mut panels = self.0.panels.clone();
                while !panels.is_empty() {
                    // SAFETY: `outer` has called `check`, and its caller promises that no other code uses these sums. There are
                    // at least as many panels as `columns` computes.
                    unsafe {
                        match panels.len().min(L::WIDTH) {
                            4.. => self.0.columns::<L, 4>(rows.clone(), &mut panels),
                            3 => self.0.columns::<L, 3>(rows.clone(), &mut panels),
                            2 => self.0.columns::<L, 2>(rows.clone(), &mut panels),
                            _ => self.0.columns::<L, 1>(rows.clone(), &mut panels),
                        }
                    }
                }
                row = rows.end;
            }
        }
    }

    product.check();
    isa.run(Run(product));
}

impl Outer<'_> {
    /// Checks that everything the tiles will read or write lies within its slice. Takes constant time.
    ///
    /// # Panics
    /// If it does not.
    fn check(&self) {
        let columns = self.n_panels.saturating_mul(LANES);
        let sums = columns.saturating_mul(self.rows.window()).saturating_mul(self.n_channels);
        assert!(
            self.rows.fit(self.n_rows, (self.x.len(), self.n_channels), (self.dy.len(), columns)),
            "rows lie in the maps"
        );
        assert!(self.panels.end <= self.n_panels && self.channels.end <= self.n_channels, "panels and channels exist");
        assert!(self.places.end <= self.rows.places().len(), "places exist");
        assert!(sums <= self.sum.len(), "every place has sums");
    }

    /// Adds `rows` to the sums of the first `V` panels, and removes these from `panels`.
    ///
    /// # Safety
    /// [`check`](Self::check) must have passed, `rows` and `panels` must be parts of the product's, with at least `V` panels, and no
    /// other code may use the panels' columns of the product's places and channels in `sum`.
    #[inline(always)]
    unsafe fn columns<L: Lanes, const V: usize>(&self, rows: Range<usize>, panels: &mut Range<usize>) {
        for place in self.places.clone() {
            let mut channels = self.channels.clone();
            while !channels.is_empty() {
                // SAFETY: our caller promises the same. There are at least as many channels as `tile` computes.
                unsafe {
                    match channels.len() {
                        12.. if V == 1 && L::WIDTH > 1 => {
                            self.tile::<L, 12, V>(&rows, place, &mut channels, panels.start)
                        }
                        6.. => self.tile::<L, 6, V>(&rows, place, &mut channels, panels.start),
                        4.. => self.tile::<L, 4, V>(&rows, place, &mut channels, panels.start),
                        2.. => self.tile::<L, 2, V>(&rows, place, &mut channels, panels.start),
                        _ => self.tile::<L, 1, V>(&rows, place, &mut channels, panels.start),
                    }
                }
            }
        }
        panels.start += V;
    }

    /// Adds `rows` to the sums of `V` panels of the first `M` channels, and removes these from `channels`. `place` is an index into
    /// `rows.places()`.
    ///
    /// # Safety
    /// As for [`columns`](Self::columns). In addition, `place` and `channels` must lie within the product's, and there must be at
    /// least `M` channels.
    #[inline(always)]
    unsafe fn tile<L: Lanes, const M: usize, const V: usize>(
        &self,
        rows: &Range<usize>,
        place: usize,
        channels: &mut Range<usize>,
        panel: usize,
    ) {
        use std::array::from_fn;
        let width = self.n_panels * LANES;
        let (to, from, window_places) = (self.rows.to(), self.rows.from(), self.rows.places());
        // SAFETY: rows are less than `n_rows`, which `check` has found to be at most `to.len()`, `from` is `[places, rows]`, and
        // `place` is less than the number of places, so all three can be indexed. `check` has also found that for each of these
        // rows, `x` has all channels at the offset `from` (unless that is `OUTSIDE`) and `dy` has the columns of all panels at the
        // offset `to`; and that `sum` has the columns of all channels of all places of the rows. For `OUTSIDE`, `M` zeros are
        // read, and `ZEROS` has more. No other code uses these columns in `sum`.
        unsafe {
            let from = from.as_ptr().add(place * self.rows.len());
            let place = *window_places.get_unchecked(place) as usize;
            let sum = self.sum.as_mut_ptr().add((place * self.n_channels + channels.start) * width + panel * LANES);
            let mut sums: [[L; V]; M] = if self.is_new && rows.start == 0 {
                [[L::splat(0.0); V]; M]
            } else {
                from_fn(|i| from_fn(|v| L::load(sum.add(i * width + v * LANES))))
            };
            for row in rows.clone() {
                let offset = *from.add(row);
                let pixel = self.x.as_ptr().wrapping_add(offset as usize + channels.start);
                let x = if offset == OUTSIDE { ZEROS.as_ptr() } else { pixel };
                let dy = self.dy.as_ptr().add(*to.get_unchecked(row) as usize + panel * LANES);
                let columns: [L; V] = from_fn(|v| L::load(dy.add(v * LANES)));
                for (i, sums) in sums.iter_mut().enumerate() {
                    add_products(L::splat(*x.add(i)), columns, sums);
                }
            }
            for (i, sums) in sums.iter().enumerate() {
                sums.iter().enumerate().for_each(|(v, of_columns)| of_columns.store(sum.add(i * width + v * LANES)));
            }
        }
        channels.start += M;
    }
}
