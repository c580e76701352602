//! Max-pooling joined to the convolution before it. The convolution's output stays in the cache, image by image; only the largest
//! number of each window and its place are written to memory. Gradients come back the same way.

use std::ops::Range;

use super::{
    Isa,
    lanes::{LANES, kernel},
    map::Shape,
    pool::{Pool, PoolKind},
};

/// The largest numbers that windows see, where windows do not overlap.
#[derive(Debug, Clone)]
pub(crate) struct Peaks {
    pool: Pool,
    /// For each number of the maps computed last, its place in its window.
    places: Vec<u8>,
}

impl Peaks {
    /// Returns the peaks of `pool`, if it takes the maximum and its windows do not overlap and lie within the image.
    pub(crate) fn of(pool: Pool) -> Option<Self> {
        let is_small = pool.window.places() <= usize::from(u8::MAX) + 1;
        let fits = pool.kind == PoolKind::Max && pool.windows_are_apart() && is_small;
        fits.then(|| Self { pool, places: Vec::new() })
    }

    /// Returns the shape of the map of peaks.
    pub(crate) fn y(&self) -> Shape {
        self.pool.y
    }

    /// Makes room for the places of `n` maps, and returns it.
    pub(super) fn room(&mut self, n: usize) -> (&Pool, &mut [u8]) {
        self.places.resize(n * self.pool.y.len(), 0);
        (&self.pool, &mut self.places)
    }

    /// Writes to `dx` the gradient with respect to the maps of some of the images, given the one with respect to the peaks of all.
    pub(super) fn gradient(&self, isa: Isa, images: Range<usize>, dy: &[f32], dx: &mut [f32]) {
        let Pool { x, y, .. } = self.pool;
        let of_images = images.start * y.len()..images.end * y.len();
        let given = dy[of_images.clone()].chunks_exact(y.len()).zip(self.places[of_images].chunks_exact(y.len()));
        dx.chunks_exact_mut(x.len()).zip(given).for_each(|(dx, (dy, places))| put(isa, &self.pool, dy, places, dx));
    }
}

/// Writes the peaks of maps `x` and their places.
pub(super) fn find(isa: Isa, pool: &Pool, x: &[f32], y: &mut [f32], places: &mut [u8]) {
    let found = y.chunks_exact_mut(pool.y.len()).zip(places.chunks_exact_mut(pool.y.len()));
    x.chunks_exact(pool.x.len()).zip(found).for_each(|(x, (y, places))| find_in(isa, pool, x, y, places));
}

/// Returns the offset in `x` of the first pixel that the window of an output sees.
#[inline(always)]
fn corner(pool: &Pool, output: usize) -> usize {
    let (oy, ox) = (output / pool.y.w, output % pool.y.w);
    (oy * pool.x.w + ox) * pool.window.size * pool.x.padded()
}

/// Returns the offset of a place of a window from its first pixel.
#[inline(always)]
fn offset(pool: &Pool, place: usize) -> usize {
    (place / pool.window.size * pool.x.w + place % pool.window.size) * pool.x.padded()
}

/// Returns `a` if it `is_first`, else `b`, without a branch.
#[inline(always)]
fn choose(is_first: bool, a: u32, b: u32) -> u32 {
    let mask = u32::from(is_first).wrapping_neg();
    (a & mask) | (b & !mask)
}

kernel! {
    fn find_in(pool: &Pool, x: &[f32], y: &mut [f32], places: &mut [u8]) {
        let width = pool.y.padded();
        let offsets: Vec<usize> = (0..pool.window.places()).map(|place| offset(pool, place)).collect();
        for (output, (y, places)) in y.chunks_exact_mut(width).zip(places.chunks_exact_mut(width)).enumerate() {
            let x = &x[corner(pool, output)..];
            for (panel, (y, places)) in y.chunks_exact_mut(LANES).zip(places.chunks_exact_mut(LANES)).enumerate() {
                let mut largest: [f32; LANES] = *x[panel * LANES..].first_chunk().expect("a pixel is whole vectors");
                let mut place = [0u32; LANES];
                for (i, offset) in offsets.iter().enumerate().skip(1) {
                    let x: &[f32; LANES] = x[offset + panel * LANES..].first_chunk().expect("a pixel is whole vectors");
                    for lane in 0..LANES {
                        // As in `Pool`: the first of equal numbers wins, and NaN counts as larger than anything.
                        let stays = (largest[lane] >= x[lane]) | largest[lane].is_nan();
                        largest[lane] = f32::from_bits(choose(stays, largest[lane].to_bits(), x[lane].to_bits()));
                        place[lane] = choose(stays, place[lane], i as u32);
                    }
                }
                y.copy_from_slice(&largest);
                places.iter_mut().zip(place).for_each(|(to, place)| *to = place as u8);
            }
        }
    }
}

kernel! {
    fn put(pool: &Pool, dy: &[f32], places: &[u8], dx: &mut [f32]) {
        let width = pool.y.padded();
        if !pool.tiles() {
            dx.fill(0.0);
        }
        let offsets: Vec<usize> = (0..pool.window.places()).map(|place| offset(pool, place)).collect();
        for (output, (dy, places)) in dy.chunks_exact(width).zip(places.chunks_exact(width)).enumerate() {
            let dx = &mut dx[corner(pool, output)..];
            for (panel, (dy, places)) in dy.chunks_exact(LANES).zip(places.chunks_exact(LANES)).enumerate() {
                let mut place = [0u32; LANES];
                place.iter_mut().zip(places).for_each(|(to, place)| *to = u32::from(*place));
                for (i, offset) in offsets.iter().enumerate() {
                    let dx: &mut [f32; LANES] =
                        dx[offset + panel * LANES..].first_chunk_mut().expect("a pixel is whole vectors");
                    for lane in 0..LANES {
                        dx[lane] = f32::from_bits(choose(place[lane] == i as u32, dy[lane].to_bits(), 0));
                    }
                }
            }
        }
    }
}
