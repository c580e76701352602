//! Tests of just the unsafe code, on small shapes and without a thread pool, so that Miri can run them. Miri rejects the queues of
//! rayon's pools.

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};

use super::bits;
use crate::network::kernels::{
    Isa,
    lanes::LANES,
    product::{Gathered, Outer, gathered, outer},
    rows::{OUTSIDE, Rows},
    shared::Shared,
};

/// The places that are summed over. The window has one more place after the last.
const PLACES: [u32; 3] = [0, 2, 3];
const WINDOW: usize = 5;

fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.f32() - 0.5).take(n).collect()
}

/// The rows and the maps of a product: `x` is `[rows, channels]`, `y` is `[rows, panels, LANES]`.
struct Case {
    rows: Rows,
    channels: usize,
    panels: usize,
    x: Vec<f32>,
    y: Vec<f32>,
    /// `[panels, WINDOW, channels, LANES]`.
    weights: Vec<f32>,
    init: Vec<f32>,
}

impl Case {
    /// Rows write in reverse order, and a third of the pixels that they read lie outside.
    fn new(n: usize, channels: usize, panels: usize) -> Self {
        let columns = panels * LANES;
        let to = (0..n).rev().map(|row| (row * columns) as u32).collect();
        let seen = |place: usize, row: usize| match (row + 2 * place) % 3 {
            0 => OUTSIDE,
            _ => ((row + place) % n * channels) as u32,
        };
        let from = (0..PLACES.len()).flat_map(|place| (0..n).map(move |row| seen(place, row))).collect();
        Self {
            rows: Rows::new(to, PLACES.to_vec(), from),
            channels,
            panels,
            x: numbers(n * channels, 1),
            y: numbers(n * columns, 2),
            weights: numbers(columns * WINDOW * channels, 3),
            init: numbers(columns, 4),
        }
    }

    /// Numbers of rows and of panels below and above those of a tile, and more channels than a block has.
    fn all() -> Vec<Self> {
        [(1, 1, 1), (13, 5, 3), (7, 3, 6), (2, 514, 1), (66, 2, 2)].map(|(n, c, p)| Self::new(n, c, p)).into()
    }

    /// Returns the number that a row reads at a place in a channel.
    fn seen(&self, place: usize, row: usize, channel: usize) -> f32 {
        let offset = self.rows.from()[place * self.rows.len() + row];
        if offset == OUTSIDE { 0.0 } else { self.x[offset as usize + channel] }
    }

    fn gathered<'a>(&'a self, n_rows: usize, init: bool, panels: Range<usize>, y: Shared<'a>) -> Gathered<'a> {
        Gathered {
            rows: &self.rows,
            n_rows,
            x: &self.x,
            channels: self.channels,
            weights: &self.weights,
            places: WINDOW,
            init: init.then_some(&self.init),
            panels,
            y,
        }
    }

    /// The definition of [`Gathered`].
    fn gathered_oracle(&self, n_rows: usize, init: bool) -> Vec<f32> {
        let mut y = self.y.clone();
        for row in 0..n_rows {
            for column in 0..self.panels * LANES {
                let sum = &mut y[self.rows.to()[row] as usize + column];
                if init {
                    *sum = self.init[column];
                }
                for (i, &place) in PLACES.iter().enumerate() {
                    for channel in 0..self.channels {
                        let weight = (column / LANES * WINDOW + place as usize) * self.channels + channel;
                        let weight = self.weights[weight * LANES + column % LANES];
                        *sum = self.seen(i, row, channel).mul_add(weight, *sum);
                    }
                }
            }
        }
        y
    }

    fn sums(&self) -> Vec<f32> {
        numbers(self.rows.window() * self.channels * self.panels * LANES, 5)
    }

    fn outer<'a>(&'a self, n_rows: usize, channels: Range<usize>, sum: Shared<'a>) -> Outer<'a> {
        Outer {
            is_new: false,
            rows: &self.rows,
            n_rows,
            x: &self.x,
            n_channels: self.channels,
            channels,
            dy: &self.y,
            n_panels: self.panels,
            panels: 0..self.panels,
            places: 0..PLACES.len(),
            sum,
        }
    }

    /// The definition of [`Outer`].
    fn outer_oracle(&self, n_rows: usize) -> Vec<f32> {
        let (mut sums, columns) = (self.sums(), self.panels * LANES);
        for (i, &place) in PLACES.iter().enumerate() {
            for channel in 0..self.channels {
                for column in 0..columns {
                    let sum = &mut sums[(place as usize * self.channels + channel) * columns + column];
                    for row in 0..n_rows {
                        let dy = self.y[self.rows.to()[row] as usize + column];
                        *sum = self.seen(i, row, channel).mul_add(dy, *sum);
                    }
                }
            }
        }
        sums
    }
}

#[test]
fn a_product_with_weights_equals_its_definition() {
    for case in Case::all() {
        for (n_rows, init) in [(case.rows.len(), true), (case.rows.len(), false), (case.rows.len() / 2, true)] {
            for &isa in Isa::available() {
                let mut y = case.y.clone();
                // SAFETY: `y` belongs to this thread.
                unsafe { gathered(isa, &case.gathered(n_rows, init, 0..case.panels, Shared::new(&mut y))) };
                assert_eq!(bits(&y), bits(&case.gathered_oracle(n_rows, init)), "{isa}");
            }
        }
    }
}

#[test]
fn a_sum_of_outer_products_equals_its_definition() {
    for case in Case::all() {
        for n_rows in [case.rows.len(), case.rows.len() / 2] {
            for &isa in Isa::available() {
                let mut sums = case.sums();
                // SAFETY: `sums` belongs to this thread.
                unsafe { outer(isa, &case.outer(n_rows, 0..case.channels, Shared::new(&mut sums))) };
                assert_eq!(bits(&sums), bits(&case.outer_oracle(n_rows)), "{isa}");
            }
        }
    }
}

#[test]
fn threads_may_write_their_parts_at_the_same_time() {
    let case = Case::new(13, 5, 3);
    let (n, isa) = (case.rows.len(), Isa::detect());
    let (mut y, mut sums) = (case.y.clone(), case.sums());
    let (shared, shared_sums) = (Shared::new(&mut y), Shared::new(&mut sums));
    thread::scope(|scope| {
        for panel in 0..case.panels {
            let product = case.gathered(n, true, panel..panel + 1, shared);
            // SAFETY: each thread has its own panel.
            scope.spawn(move || unsafe { gathered(isa, &product) });
        }
        for channel in 0..case.channels {
            let product = case.outer(n, channel..channel + 1, shared_sums);
            // SAFETY: each thread has its own channel.
            scope.spawn(move || unsafe { outer(isa, &product) });
        }
    });
    assert_eq!(bits(&y), bits(&case.gathered_oracle(n, true)));
    assert_eq!(bits(&sums), bits(&case.outer_oracle(n)));
}

#[test]
fn parts_of_a_shared_slice_are_separate_and_stay_within_it() {
    let mut values = vec![0.0; 10];
    let shared = Shared::new(&mut values);
    // SAFETY: the two slices do not overlap, and no other code uses the numbers.
    let (first, rest) = unsafe { (shared.slice(4), shared.from(4).slice(6)) };
    first.fill(1.0);
    rest.fill(2.0);
    assert!(is_refused(|| shared.from(11)));
    // SAFETY: this panics, so there is no slice.
    assert!(is_refused(|| unsafe { shared.from(4).slice(7) }));
    assert_eq!(values, [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]);
}

fn is_refused<T>(f: impl FnOnce() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

/// The check also runs in release builds, because the tiles index without bounds checks.
#[test]
fn a_product_that_would_leave_its_slices_is_refused() {
    let case = Case::new(13, 5, 3);
    let n = case.rows.len();
    let refused = |change: &dyn Fn(&mut Gathered<'_>)| {
        let mut y = case.y.clone();
        let mut product = case.gathered(n, true, 0..case.panels, Shared::new(&mut y));
        change(&mut product);
        // SAFETY: `y` belongs to this thread.
        is_refused(|| unsafe { gathered(Isa::detect(), &product) })
    };
    assert!(!refused(&|_| ()));
    assert!(refused(&|product| product.n_rows += 1));
    assert!(refused(&|product| product.x = &product.x[..product.x.len() - 1]));
    assert!(refused(&|product| product.x = &[]));
    assert!(refused(&|product| product.channels += 1));
    assert!(refused(&|product| product.weights = &product.weights[1..]));
    assert!(refused(&|product| product.places = PLACES[2] as usize));
    assert!(refused(&|product| product.init = product.init.map(|init| &init[1..])));
    assert!(refused(&|product| product.panels.end += 1));
    assert!(refused(&|product| product.panels.end = usize::MAX / LANES + 2));
    assert!(refused(&|product| product.y = product.y.from(1)));
}

#[test]
fn a_sum_that_would_leave_its_slices_is_refused() {
    let case = Case::new(13, 5, 3);
    let n = case.rows.len();
    let refused = |change: &dyn Fn(&mut Outer<'_>)| {
        let mut sums = case.sums();
        let mut product = case.outer(n, 0..case.channels, Shared::new(&mut sums));
        change(&mut product);
        // SAFETY: `sums` belongs to this thread.
        is_refused(|| unsafe { outer(Isa::detect(), &product) })
    };
    assert!(!refused(&|_| ()));
    assert!(refused(&|product| product.n_rows += 1));
    assert!(refused(&|product| product.x = &product.x[..product.x.len() - 1]));
    assert!(refused(&|product| product.dy = &product.dy[1..]));
    assert!(refused(&|product| product.n_channels += 1));
    assert!(refused(&|product| product.channels.end += 1));
    assert!(refused(&|product| product.n_panels += 1));
    assert!(refused(&|product| product.panels.end += 1));
    assert!(refused(&|product| product.places.end += 1));
    assert!(refused(&|product| product.sum = product.sum.from(1)));
}
