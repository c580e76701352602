//! The two products of matrices that networks are made of, tile by tile in registers.
//!
//! Every number of a result is one chain of fused multiply-adds, in the order of the summed index, that starts from the number
//! that is there (or from a bias). So neither the size of tiles and blocks, nor the number of threads, nor the processor can
//! change a bit of it. A convolution is such a product whose rows are gathered: the summed index runs over the places of the
//! window, and within a place over the channels. No image is ever unfolded for it: a tile reads pixels where they lie.

use std::ops::Range;

use super::lanes::{Kernel, LANES, Lanes};

/// The offset of a pixel outside the image, which reads as zeros.
pub(super) const OUTSIDE: u32 = u32::MAX;

/// Terms of a sum that a tile adds before the next tile has its turn: the weights that they need stay in the cache meanwhile.
const BLOCK: usize = 512;

/// What is read in place of a pixel outside the image.
static ZEROS: [f32; BLOCK] = [0.0; BLOCK];

/// Rows that a product gathers: pixels of one map, and the pixels of another that they belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rows {
    /// Offset of each row's pixel.
    pub(super) to: Vec<u32>,
    /// The places of the window that any of these rows sees.
    pub(super) places: Vec<u32>,
    /// Offset of the pixel that a row sees there, or [`OUTSIDE`]: `[places, rows]`.
    pub(super) from: Vec<u32>,
}

impl Rows {
    /// Numbers that a map must have for these rows' pixels of `channels` numbers.
    fn extent(offsets: impl Iterator<Item = u32>, channels: usize) -> usize {
        offsets.filter(|&offset| offset != OUTSIDE).max().map_or(0, |offset| offset as usize + channels)
    }

    /// Returns whether the first `n` rows lie within maps of these sizes. (All rows are looked at only in debug builds.)
    fn fit(&self, n: usize, x: (usize, usize), y: (usize, usize)) -> bool {
        let from = || self.from.chunks_exact(self.to.len()).flat_map(|from| from[..n].iter().copied());
        n <= self.to.len()
            && self.from.len() == self.places.len() * self.to.len()
            && (!cfg!(debug_assertions)
                || Self::extent(from(), x.1) <= x.0 && Self::extent(self.to[..n].iter().copied(), y.1) <= y.0)
    }
}

/// Numbers that several threads write, each its own part.
#[derive(Clone, Copy)]
pub(super) struct Shared {
    start: *mut f32,
    len: usize,
}

// SAFETY: who writes through it says that nobody else reads or writes there.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub(super) fn new(values: &mut [f32]) -> Self {
        Self { start: values.as_mut_ptr(), len: values.len() }
    }

    /// Returns the numbers from `start`.
    ///
    /// # Panics
    /// If it lies behind the end.
    pub(super) fn from(self, start: usize) -> Self {
        assert!(start <= self.len, "a part lies within the whole");
        Self { start: self.start.wrapping_add(start), len: self.len - start }
    }

    /// Returns the first `len` numbers as a slice.
    ///
    /// # Safety
    /// While the slice lives, nobody else reads or writes them.
    ///
    /// # Panics
    /// If there are not so many.
    pub(super) unsafe fn slice<'a>(self, len: usize) -> &'a mut [f32] {
        assert!(len <= self.len, "a part lies within the whole");
        // SAFETY: the caller's, and the assertion.
        unsafe { std::slice::from_raw_parts_mut(self.start, len) }
    }
}

/// A part of a product with weights: some rows by some panels of [`LANES`] columns.
///
/// `y[to[r]][o] = init[o] + sum over places p, channels k of x[from[p][r]][k] * weights[panel of o][p][k][o]`
pub(super) struct Gathered<'a> {
    pub(super) rows: &'a Rows,
    /// How many of the rows, from the first.
    pub(super) n_rows: usize,
    pub(super) x: &'a [f32],
    /// Channels that are summed over, of every pixel of `x`.
    pub(super) channels: usize,
    /// `[panels, places of the window, channels, LANES]`.
    pub(super) weights: &'a [f32],
    /// Places of the window.
    pub(super) places: usize,
    /// First numbers of the sums, `[panels, LANES]`; none where they go on from what `y` holds.
    pub(super) init: Option<&'a [f32]>,
    /// The panels to compute.
    pub(super) panels: Range<usize>,
    pub(super) y: Shared,
}

impl Gathered<'_> {
    /// Invariant for the tiles: what they read is there.
    fn check(&self) {
        let columns = self.panels.end * LANES;
        assert!(
            self.rows.fit(self.n_rows, (self.x.len(), self.channels), (self.y.len, columns)),
            "rows lie in the maps"
        );
        assert!(self.init.is_none_or(|init| columns <= init.len()), "each column has a first number");
        assert!(columns * self.places * self.channels <= self.weights.len(), "each column has weights");
        assert!(self.rows.places.iter().all(|&place| (place as usize) < self.places), "places lie in the window");
    }
}

/// [`Gathered`] as a kernel.
///
/// # Safety
/// Nobody else reads or writes the rows' columns of `y` meanwhile, and the rows lie in both maps.
pub(super) unsafe fn gathered(isa: super::Isa, product: &Gathered<'_>) {
    struct Run<'a>(&'a Gathered<'a>);

    impl Kernel for Run<'_> {
        type Output = ();

        #[inline(always)]
        fn run<L: Lanes>(self) {
            let mut panels = self.0.panels.clone();
            while !panels.is_empty() {
                // More columns leave registers for fewer rows; all of these keep the multipliers busy.
                // SAFETY: `check`, and the safety of `gathered`.
                unsafe {
                    match panels.len().min(L::WIDTH) {
                        4.. => self.0.columns::<L, 6, 4>(&mut panels),
                        3 => self.0.columns::<L, 8, 3>(&mut panels),
                        2 => self.0.columns::<L, 8, 2>(&mut panels),
                        // Wide registers are many, and one alone is soon done with a row.
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
    /// Computes `V` panels, `M` rows at a time.
    #[inline(always)]
    unsafe fn columns<L: Lanes, const M: usize, const V: usize>(&self, panels: &mut Range<usize>) {
        let places_at_once = (BLOCK / self.channels.min(BLOCK)).max(1);
        let n_places = self.rows.places.len();
        let mut starts = self.init;
        let mut place = 0;
        // Without a place, too, the sums have their first numbers.
        loop {
            let places = place..(place + places_at_once).min(n_places);
            let mut channel = 0;
            loop {
                let channels = channel..(channel + BLOCK).min(self.channels);
                let mut row = 0;
                while row < self.n_rows {
                    // SAFETY: the caller's.
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
        // SAFETY: `check` has seen that offsets, weights and first numbers lie within their slices.
        unsafe {
            // Rows beyond the last are the last once more.
            let row: [usize; M] = from_fn(|i| (row + i).min(self.n_rows - 1));
            let to: [*mut f32; M] =
                from_fn(|i| self.y.start.add(*self.rows.to.get_unchecked(row[i]) as usize + panel * LANES));
            let mut sums: [[L; V]; M] = match starts {
                Some(starts) => [from_fn(|v| L::load(starts.as_ptr().add((panel + v) * LANES))); M],
                None => from_fn(|i| from_fn(|v| L::load(to[i].add(v * LANES)))),
            };
            for place in places {
                let from = self.rows.from.as_ptr().add(place * self.rows.to.len());
                let x: [*const f32; M] = from_fn(|i| {
                    let offset = *from.add(row[i]);
                    let pixel = self.x.as_ptr().wrapping_add(offset as usize + channels.start);
                    if offset == OUTSIDE { ZEROS.as_ptr() } else { pixel }
                });
                let place = *self.rows.places.get_unchecked(place) as usize;
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

/// A part of a sum of outer products: some channels by some panels of [`LANES`] columns, over some rows.
///
/// `sum[p][k][o] += sum over rows r of x[from[p][r]][k] * dy[to[r]][o]`
pub(super) struct Outer<'a> {
    pub(super) rows: &'a Rows,
    /// How many of the rows, from the first.
    pub(super) n_rows: usize,
    pub(super) x: &'a [f32],
    /// Channels of `x`, and those of them to compute.
    pub(super) n_channels: usize,
    pub(super) channels: Range<usize>,
    pub(super) dy: &'a [f32],
    /// Panels of `dy`, and those of them to compute.
    pub(super) n_panels: usize,
    pub(super) panels: Range<usize>,
    /// Indices of `rows.places` to compute.
    pub(super) places: Range<usize>,
    /// `[places of the window, channels, panels, LANES]`.
    pub(super) sum: Shared,
}

/// [`Outer`] as a kernel.
///
/// # Safety
/// Nobody else reads or writes those numbers of `sum` meanwhile, and the rows lie in both maps.
pub(super) unsafe fn outer(isa: super::Isa, product: &Outer<'_>) {
    struct Run<'a>(&'a Outer<'a>);

    impl Kernel for Run<'_> {
        type Output = ();

        #[inline(always)]
        fn run<L: Lanes>(self) {
            // So many rows of both maps stay in the first cache, also where rows lie a power of two apart.
            let at_once = if self.0.n_panels * LANES > 128 { 32 } else { 64 };
            let mut row = 0;
            while row < self.0.n_rows {
                let rows = row..(row + at_once).min(self.0.n_rows);
                let mut panels = self.0.panels.clone();
                while !panels.is_empty() {
                    // SAFETY: `check`, and the safety of `outer`.
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
    /// Invariant for the tiles: what they read and write is there.
    fn check(&self) {
        let columns = self.n_panels * LANES;
        assert!(
            self.rows.fit(self.n_rows, (self.x.len(), self.n_channels), (self.dy.len(), columns)),
            "rows lie in the maps"
        );
        assert!(self.panels.end <= self.n_panels && self.channels.end <= self.n_channels, "parts lie in the whole");
        assert!(self.places.end <= self.rows.places.len(), "parts lie in the whole");
        let place = self.rows.places.iter().max().map_or(0, |&place| place as usize + 1);
        assert!(place * self.n_channels * columns <= self.sum.len, "each place has sums");
    }

    /// Adds `V` panels of some rows.
    #[inline(always)]
    unsafe fn columns<L: Lanes, const V: usize>(&self, rows: Range<usize>, panels: &mut Range<usize>) {
        for place in self.places.clone() {
            let mut channels = self.channels.clone();
            while !channels.is_empty() {
                // SAFETY: the caller's.
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
        // SAFETY: `check` has seen that offsets and sums lie within their slices.
        unsafe {
            let from = self.rows.from.as_ptr().add(place * self.rows.to.len());
            let place = *self.rows.places.get_unchecked(place) as usize;
            let sum = self.sum.start.add((place * self.n_channels + channels.start) * width + panel * LANES);
            let mut sums: [[L; V]; M] = from_fn(|i| from_fn(|v| L::load(sum.add(i * width + v * LANES))));
            for row in rows.clone() {
                let offset = *from.add(row);
                let pixel = self.x.as_ptr().wrapping_add(offset as usize + channels.start);
                let x = if offset == OUTSIDE { ZEROS.as_ptr() } else { pixel };
                let dy = self.dy.as_ptr().add(*self.rows.to.get_unchecked(row) as usize + panel * LANES);
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
