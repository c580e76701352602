//! Max-pooling fused into the convolution before it. The output of the convolution stays in the cache; only the maximum of each
//! window and its place within the window are written to memory. The backward pass works the same way.

use std::ops::Range;

use super::{
    Isa,
    lanes::{LANES, kernel},
    map::Shape,
    pool::{Pool, PoolKind},
};

/// A max-pooling with windows that do not overlap. A *peak* is the maximum of a window.
#[derive(Debug, Clone)]
pub(crate) struct Peaks {
    pool: Pool,
    /// The place within its window of each peak in the maps that were computed last.
    places: Vec<u8>,
}

impl Peaks {
    /// Returns `pool` in this form, if it is a max-pooling with windows that do not overlap, lie within the image and have at most
    /// 256 places.
    pub(crate) fn of(pool: Pool) -> Option<Self> {
        let is_small = pool.window.places() <= usize::from(u8::MAX) + 1;
        let fits = pool.kind == PoolKind::Max && pool.windows_are_apart() && is_small;
        fits.then(|| Self { pool, places: Vec::new() })
    }

    /// Returns the shape of the map of peaks.
    pub(crate) fn y(&self) -> Shape {
        self.pool.y
    }

    /// Makes room for the places of the peaks of `n` maps, and returns it with the pooling.
    pub(super) fn room(&mut self, n: usize) -> (&Pool, &mut [u8]) {
        self.places.resize(n * self.pool.y.len(), 0);
        (&self.pool, &mut self.places)
    }

    /// Writes the gradient with respect to the maps of `images` to `dx`, given the gradient `dy` with respect to the peaks of all
    /// images.
    pub(super) fn gradient(&self, isa: Isa, images: Range<usize>, dy: &[f32], dx: &mut [f32]) {
        let Pool { x, y, .. } = self.pool;
        let of_images = images.start * y.len()..images.end * y.len();
        let given = dy[of_images.clone()].chunks_exact(y.len()).zip(self.places[of_images].chunks_exact(y.len()));
        dx.chunks_exact_mut(x.len()).zip(given).for_each(|(dx, (dy, places))| put(isa, &self.pool, dy, places, dx));
    }
}

/// Writes the peaks of the maps `x` to `y`, and their places to `places`.
pub(super) fn find(isa: Isa, pool: &Pool, x: &[f32], y: &mut [f32], places: &mut [u8]) {
    let found = y.chunks_exact_mut(pool.y.len()).zip(places.chunks_exact_mut(pool.y.len()));
    x.chunks_exact(pool.x.len()).zip(found).for_each(|(x, (y, places))| find_in(isa, pool, x, y, places));
}

/// Returns the offset in `x` of the first pixel in the window of an output pixel.
#[inline(always)]
fn corner(pool: &Pool, output: usize) -> usize {
    let (oy, ox) = (output / pool.y.w, output % pool.y.w);
    (oy * pool.x.w + ox) * pool.window.size * pool.x.padded()
}

/// Returns the offset of the pixel at a place of a window, relative to the window's first pixel.
#[inline(always)]
fn offset(pool: &Pool, place: usize) -> usize {
    (place / pool.window.size * pool.x.w + place % pool.window.size) * pool.x.padded()
}

/// Returns `a` if `is_first`, otherwise `b`, without a branch.
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
                let mut largest: [f32; LANES] = *x[panel * LANES..].first_chunk().expect("pixels are whole vectors");
                let mut place = [0u32; LANES];
                for (i, offset) in offsets.iter().enumerate().skip(1) {
                    let x: &[f32; LANES] = x[offset + panel * LANES..].first_chunk().expect("pixels are whole vectors");
                    for lane in 0..LANES {
                        // As in `Pool`, the first of equal numbers wins, and NaN counts as the largest number.
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
                        dx[offset + panel * LANES..].first_chunk_mut().expect("pixels are whole vectors");
                    for lane in 0..LANES {
                        dx[lane] = f32::from_bits(choose(place[lane] == i as u32, dy[lane].to_bits(), 0));
                    }
                }
            }
        }
    }
}
