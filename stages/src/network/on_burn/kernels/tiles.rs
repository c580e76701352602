//! Many arrays in one launch: each cube takes a tile, a part of one array.
//!
//! The arrays that a kernel writes are parts of one buffer. What it reads of each, such as the gradient, is a buffer of its own, because
//! burn made it. So one launch takes as many arrays as a kernel can have buffers.

use burn::tensor::Device;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::launch::words;

/// The units of a cube.
pub(super) const TEAM: u32 = 256;
/// The numbers of a tile, at most.
const TILE: usize = 1024;
/// The words of a tile: which array, where the tile starts in it, where it starts in the buffer of all arrays, how many numbers it has,
/// the kind of the array, and the bits of its factor.
const WORDS: usize = 6;

/// The most arrays of a launch. A kernel is compiled for each number of arrays, and looks for a tile's among all of them.
pub(crate) const MOST_ARRAYS: usize = 128;

/// An array that a step changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Array {
    /// Where it starts in the buffer of all arrays.
    pub(crate) start: usize,
    pub(crate) len: usize,
    pub(crate) change: Change,
}

/// How an array changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Change {
    /// By the optimizer. `decay` times the weights is added to the gradient.
    Optimizer { decay: f32 },
    /// A moving statistic: moving * momentum + batch * (1 - momentum).
    Moving { momentum: f32 },
}

pub(super) const MOVING: u32 = 1;

/// The tiles of the arrays of one launch, on a device.
pub(crate) struct Tiles {
    pub(super) words: CubeTensor,
    pub(super) n: usize,
}

impl Tiles {
    /// Copies the tiles of `arrays` to `device`.
    pub(crate) fn upload(arrays: &[Array], device: &Device) -> Self {
        let tiles: Vec<u32> = (0..).zip(arrays).flat_map(|(slot, array)| of_array(slot, array)).collect();
        Self { n: tiles.len() / WORDS, words: words(tiles, device) }
    }

    /// Returns how many tiles there are.
    pub(crate) fn len(&self) -> usize {
        self.n
    }

    /// Returns the cubes of a launch.
    pub(super) fn cubes(&self) -> CubeCount {
        const MOST: u32 = 65_535;
        let n = self.n as u32;
        CubeCount::Static(n.min(MOST), n.div_ceil(MOST), 1)
    }
}

fn of_array(slot: u32, array: &Array) -> impl Iterator<Item = u32> {
    let Array { start, len, change } = *array;
    let (kind, factor) = match change {
        Change::Optimizer { decay } => (0, decay),
        Change::Moving { momentum } => (MOVING, momentum),
    };
    let tile = move |from: usize| {
        [slot, from as u32, (start + from) as u32, TILE.min(len - from) as u32, kind, factor.to_bits()]
    };
    (0..len).step_by(TILE).flat_map(tile)
}

/// The tile of a cube.
#[derive(CubeType)]
pub(super) struct Tile {
    pub(super) slot: u32,
    /// Where it starts in its array.
    pub(super) from: u32,
    /// Where it starts in the buffer of all arrays.
    pub(super) at: u32,
    /// 0 for a cube that has no tile.
    pub(super) n: u32,
    pub(super) kind: u32,
    pub(super) factor: f32,
}

#[cube]
impl Tile {
    /// Returns the tile of this cube.
    pub(super) fn of_cube(tiles: &[u32]) -> Tile {
        let first = CUBE_POS * comptime!(WORDS);
        let mut n = 0u32;
        if first < tiles.len() {
            n = tiles[first + 3];
        }
        Tile {
            slot: tiles[first],
            from: tiles[first + 1],
            at: tiles[first + 2],
            n,
            kind: tiles[first + 4],
            factor: f32::reinterpret(tiles[first + 5]),
        }
    }
}

/// Returns number `i` of the tile, from its array.
#[cube]
pub(super) fn number(arrays: &Sequence<Box<[f32]>>, tile: &Tile, i: u32) -> f32 {
    let mut found = 0.0f32;
    #[unroll]
    for slot in 0..arrays.len() {
        if tile.slot == comptime!(slot as u32) {
            found = arrays[slot][(tile.from + i) as usize];
        }
    }
    found
}
