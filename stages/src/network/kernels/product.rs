//! The two matrix products that networks are made of, computed tile by tile in registers.
//!
//! Every number of a result is one chain of fused multiply-adds in the order of the summed index. The chain starts from the
//! number that is already there, or from a bias. So tile sizes, block sizes, the number of threads and the processor cannot
//! change a bit of it. A convolution is such a product with gathered rows: the sum runs over the places of the window, and at
//! each place over the channels. No image is unfolded for it: a tile reads pixels where they lie.

use std::ops::Range;

use super::{
    lanes::{Kernel, LANES, Lanes},
    rows::{OUTSIDE, Rows},
    shared::Shared,
};

/// How many terms a tile adds to its sums before the next tile takes over. The weights of these terms stay in the cache
/// meanwhile.
const BLOCK: usize = 512;

/// What is read in place of a pixel outside the image.
static ZEROS: [f32; BLOCK] = [0.0; BLOCK];

/// Part of a product with weights: some rows times some panels of [`LANES`] columns.
///
/// `y[to[r]][o] = init[o] + sum over places p, channels k of x[from[p][r]][k] * weights[panel of o][p][k][o]`
pub(super) struct Gathered<'a> {
    pub(super) rows: &'a Rows,
    /// How many of the rows, from the first.
    pub(super) n_rows: usize,
    pub(super) x: &'a [f32],
    /// The channels of `x`, which are summed over.
    pub(super) channels: usize,
    /// `[panels, places of the window, channels, LANES]`.
    pub(super) weights: &'a [f32],
    /// How many places the window has.
    pub(super) places: usize,
    /// What each sum starts from, `[panels, LANES]`. Without it, sums continue from what `y` holds.
    pub(super) init: Option<&'a [f32]>,
    /// The panels to compute.
    pub(super) panels: Range<usize>,
    pub(super) y: Shared<'a>,
}

impl Gathered<'_> {
    /// Establishes what the tiles rely on: everything they read or write is there. Takes constant time.
    ///
    /// # Panics
    /// If it is not.
    fn check(&self) {
        let columns = self.panels.end.saturating_mul(LANES);
        let weights = columns.saturating_mul(self.places).saturating_mul(self.channels);
        assert!(
            self.rows.fit(self.n_rows, (self.x.len(), self.channels), (self.y.len(), columns)),
            "rows lie in the maps"
        );
        assert!(self.rows.window() <= self.places, "places lie in the window");
        assert!(weights <= self.weights.len(), "each column has weights");
        assert!(self.init.is_none_or(|init| columns <= init.len()), "each column has a first number");
    }
}

/// Computes a [`Gathered`].
///
/// # Safety
/// Nobody else reads or writes the columns of these panels in these rows of `y` meanwhile.
///
/// # Panics
/// If the rows do not lie in the maps, or a column lacks weights or a first number.
pub(super) unsafe fn gathered(isa: super::Isa, product: &Gathered<'_>) {
    struct Run<'a>(&'a Gathered<'a>);

    impl Kernel for Run<'_> {
        type Output = ();

        #[inline(always)]
        fn run<L: Lanes>(self) {
            let mut panels = self.0.panels.clone();
            while !panels.is_empty() {
                // The more columns, the fewer rows fit into the registers. All of these keep the multipliers busy.
                // SAFETY: `gathered` has called `check`, and its caller promises that nobody else uses the columns. There are
                // at least as many panels as `columns` computes.
                unsafe {
                    match panels.len().min(L::WIDTH) {
                        4.. => self.0.columns::<L, 6, 4>(&mut panels),
                        3 => self.0.columns::<L, 8, 3>(&mut panels),
                        2 => self.0.columns::<L, 8, 2>(&mut panels),
                        // A row of one vector is soon done, and wide registers are many.
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
    /// Computes the first `V` panels, `M` rows at a time, and takes them off `panels`.
    ///
    /// # Safety
    /// [`check`](Self::check) has passed, `panels` is a part of `self.panels` with at least `V` panels, there are rows, and
    /// nobody else uses the panels' columns of the rows in `y`.
    #[inline(always)]
    unsafe fn columns<L: Lanes, const M: usize, const V: usize>(&self, panels: &mut Range<usize>) {
        let places_at_once = (BLOCK / self.channels.min(BLOCK)).max(1);
        let n_places = self.rows.places().len();
        let mut starts = self.init;
        let mut place = 0;
        // At least once, so that sums without a place get their first numbers.
        loop {
            let places = place..(place + places_at_once).min(n_places);
            let mut channel = 0;
            loop {
                let channels = channel..(channel + BLOCK).min(self.channels);
                let mut row = 0;
                while row < self.n_rows {
                    // SAFETY: as our caller promises. The row, places and channels lie within the product's.
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

    /// Adds some terms to the sums of `V` panels of `M` rows. `places` are indices of `rows.places()`.
    ///
    /// # Safety
    /// As for [`columns`](Self::columns); `row` is one of the rows, `places` and `channels` lie within the product's, and there
    /// are at most [`BLOCK`] channels.
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
        // SAFETY: rows are below `n_rows`, which `check` has found to be at most `to.len()`; `from` is `[places, rows]`. So both
        // can be indexed. `check` has also found that, for each of these rows, `x` holds all channels from `from`, unless that
        // is `OUTSIDE`, and `y` holds the columns of all panels from `to`; that `init` holds these columns, and `weights` the
        // columns of all places below `places`, which those of the rows are. For `OUTSIDE` at most `BLOCK` zeros are read, and
        // there are so many. Nobody else uses what is read and written of `y`.
        unsafe {
            // Rows beyond the last one are the last one again.
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

/// Adds `x` times each column to its sum.
#[inline(always)]
fn add_products<L: Lanes, const V: usize>(x: L, columns: [L; V], sums: &mut [L; V]) {
    for (sum, column) in sums.iter_mut().zip(columns) {
        *sum = x.mul_add(column, *sum);
    }
}

/// Part of a sum of outer products over some rows: some channels times some panels of [`LANES`] columns.
///
/// `sum[p][k][o] += sum over rows r of x[from[p][r]][k] * dy[to[r]][o]`
pub(super) struct Outer<'a> {
    pub(super) rows: &'a Rows,
    /// How many of the rows, from the first.
    pub(super) n_rows: usize,
    pub(super) x: &'a [f32],
    /// The channels of `x`, and which of them to compute.
    pub(super) n_channels: usize,
    pub(super) channels: Range<usize>,
    pub(super) dy: &'a [f32],
    /// The panels of `dy`, and which of them to compute.
    pub(super) n_panels: usize,
    pub(super) panels: Range<usize>,
    /// Which of `rows.places()` to compute.
    pub(super) places: Range<usize>,
    /// `[places of the window, channels, panels, LANES]`.
    pub(super) sum: Shared<'a>,
}

/// Computes an [`Outer`].
///
/// # Safety
/// Nobody else reads or writes the columns of these panels in these places and channels of `sum` meanwhile.
///
/// # Panics
/// If the rows do not lie in the maps, or a part does not lie in its whole.
pub(super) unsafe fn outer(isa: super::Isa, product: &Outer<'_>) {
    struct Run<'a>(&'a Outer<'a>);

    impl Kernel for Run<'_> {
        type Output = ();

        #[inline(always)]
        fn run<L: Lanes>(self) {
            // As many rows of both maps as stay in the first cache, even where rows lie a power of two apart.
            let at_once = if self.0.n_panels * LANES > 128 { 32 } else { 64 };
            let mut row = 0;
            while row < self.0.n_rows {
                let rows = row..(row + at_once).min(self.0.n_rows);
                let mut panels = self.0.panels.clone();
                while !panels.is_empty() {
                    // SAFETY: `outer` has called `check`, and its caller promises that nobody else uses these sums. There are
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
    /// Establishes what the tiles rely on: everything they read or write is there. Takes constant time.
    ///
    /// # Panics
    /// If it is not.
    fn check(&self) {
        let columns = self.n_panels.saturating_mul(LANES);
        let sums = columns.saturating_mul(self.rows.window()).saturating_mul(self.n_channels);
        assert!(
            self.rows.fit(self.n_rows, (self.x.len(), self.n_channels), (self.dy.len(), columns)),
            "rows lie in the maps"
        );
        assert!(self.panels.end <= self.n_panels && self.channels.end <= self.n_channels, "parts lie in the whole");
        assert!(self.places.end <= self.rows.places().len(), "parts lie in the whole");
        assert!(sums <= self.sum.len(), "each place has sums");
    }

    /// Adds some rows to the first `V` panels, and takes these off `panels`.
    ///
    /// # Safety
    /// [`check`](Self::check) has passed, `rows` and `panels` are parts of the product's with at least `V` panels, and nobody
    /// else uses the panels' columns of the product's places and channels in `sum`.
    #[inline(always)]
    unsafe fn columns<L: Lanes, const V: usize>(&self, rows: Range<usize>, panels: &mut Range<usize>) {
        for place in self.places.clone() {
            let mut channels = self.channels.clone();
            while !channels.is_empty() {
                // SAFETY: as our caller promises. There are at least as many channels as `tile` computes.
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

    /// Adds some rows to the sums of `V` panels of the first `M` channels, and takes these off `channels`. `place` is an index
    /// of `rows.places()`.
    ///
    /// # Safety
    /// As for [`columns`](Self::columns); `place` and `channels` lie within the product's, and there are at least `M` channels.
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
        // SAFETY: rows are below `n_rows`, which `check` has found to be at most `to.len()`; `from` is `[places, rows]`, and
        // `place` is below their number. So all three can be indexed. `check` has also found that, for each of these rows, `x`
        // holds all channels from `from`, unless that is `OUTSIDE`, and `dy` the columns of all panels from `to`; and that `sum`
        // holds the columns of all channels of all places that the rows have. For `OUTSIDE` `M` zeros are read, and there are
        // more. Nobody else uses what is read and written of `sum`.
        unsafe {
            let from = from.as_ptr().add(place * self.rows.len());
            let place = *window_places.get_unchecked(place) as usize;
            let sum = self.sum.as_mut_ptr().add((place * self.n_channels + channels.start) * width + panel * LANES);
            let mut sums: [[L; V]; M] = from_fn(|i| from_fn(|v| L::load(sum.add(i * width + v * LANES))));
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
