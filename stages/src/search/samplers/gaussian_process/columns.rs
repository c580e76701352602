//! Observations by label, as the loops read them.

use super::{
    kernels::{APART, Block, LANES, Place, pairs, place, squares},
    layout::Point,
};
use crate::network::kernels::Isa;

/// The places of observations. The squared distance of two of them is a sum over the labels. An inactive label is [`APART`] from the
/// middle of its axis, and from every option. Any two options have the distance 1, so that the distances are those of a Euclidean space.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    isa: Isa,
    ordered: Vec<bool>,
    n: usize,
    /// The number of blocks for the places of a label.
    blocks: usize,
    /// `[label, blocks]`
    known: Vec<Block>,
    /// `[label, blocks]`: see [`Place`].
    apart: Vec<Block>,
    /// The places again, as `[observation, blocks of labels]`.
    rows: Vec<Block>,
}

impl Columns {
    /// Returns the places of `points`. There is room for `more`.
    pub(super) fn new(isa: Isa, ordered: Vec<bool>, points: &[Point], more: usize) -> Self {
        let blocks = (points.len() + more).div_ceil(LANES);
        let empty = vec![[0.0; LANES]; ordered.len() * blocks];
        let mut columns = Self { isa, ordered, n: 0, blocks, known: empty.clone(), apart: empty, rows: Vec::new() };
        points.iter().for_each(|point| columns.push(point));
        columns
    }

    /// Returns the number of observations.
    pub(super) fn n(&self) -> usize {
        self.n
    }

    /// Returns the number of blocks for a number for each observation.
    pub(super) fn blocks(&self) -> usize {
        self.blocks
    }

    /// Returns the places of each observation, as `[observation, blocks of labels]`.
    pub(super) fn rows(&self) -> &[Block] {
        &self.rows
    }

    /// Adds an observation.
    ///
    /// # Panics
    /// If there is no room.
    pub(super) fn push(&mut self, point: &[f64]) {
        assert!(self.n < self.blocks * LANES, "there is no room for another observation");
        let (block, lane) = (self.n / LANES, self.n % LANES);
        for (label, ordered) in self.ordered.iter().enumerate() {
            let Place { at, .. } = place(*ordered, point[label]);
            self.known[label * self.blocks + block][lane] = at;
            let inactive = point[label].is_nan();
            self.apart[label * self.blocks + block][lane] = match (ordered, inactive) {
                (true, false) => 0.0,
                (false, false) => 1.0,
                (_, true) => APART,
            };
        }
        let places: Vec<f64> = self.ordered.iter().zip(point).map(|(ordered, x)| place(*ordered, *x).at).collect();
        self.rows.extend(padded(&places));
        self.n += 1;
    }

    /// Writes the scaled squared distances of the observations from a point.
    pub(super) fn squares(&self, point: &[f64], factors: &[f64], to: &mut [Block]) {
        squares(self.isa, &self.known, &self.apart, &self.ordered, point, factors, to);
    }

    /// Returns the squared distances of each label for all pairs of observations i > j, `[label, blocks]`.
    pub(super) fn pairs(&self, points: &[Point]) -> Vec<Block> {
        let n_pairs = self.n * self.n.saturating_sub(1) / 2;
        let of_label = n_pairs.div_ceil(LANES);
        let mut all = vec![[0.0; LANES]; self.ordered.len() * of_label];
        for (label, ordered) in self.ordered.iter().enumerate() {
            let places: Vec<Place> = points.iter().map(|point| place(*ordered, point[label])).collect();
            let column = |blocks: &[Block]| blocks[label * self.blocks..(label + 1) * self.blocks].to_vec();
            let (known, apart) = (column(&self.known), column(&self.apart));
            let to = all[label * of_label..(label + 1) * of_label].as_flattened_mut();
            pairs(self.isa, known.as_flattened(), apart.as_flattened(), &places, &mut to[..n_pairs]);
        }
        all
    }
}

/// Returns numbers as blocks, the last of which is filled with 0.
pub(super) fn padded(numbers: &[f64]) -> impl Iterator<Item = Block> {
    numbers.chunks(LANES).map(|chunk| {
        let mut block = [0.0; LANES];
        block[..chunk.len()].copy_from_slice(chunk);
        block
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The distance as it is described.
    fn distance(ordered: bool, a: f64, b: f64) -> f64 {
        match (a.is_nan(), b.is_nan()) {
            (true, true) => 0.0,
            (false, false) if ordered => (a - b) * (a - b),
            (false, false) => f64::from(u8::from(a != b)),
            (true, false) if ordered => APART + (b - 0.5) * (b - 0.5),
            (false, true) if ordered => APART + (a - 0.5) * (a - 0.5),
            _ => APART,
        }
    }

    #[test]
    fn distances_are_sums_over_labels_with_every_instruction_set() {
        let ordered = [true, false, true, false];
        let number = |i: usize, label: usize| {
            let x = (0.618 * i as f64 + 0.31 * label as f64).fract();
            match (x < 0.3, ordered[label]) {
                (true, _) => f64::NAN,
                (false, true) => x,
                (false, false) => (4.0 * x).floor(),
            }
        };
        let points: Vec<Point> = (0..19).map(|i| (0..4).map(|label| number(i, label)).collect()).collect();
        let factors = [0.3, 1.7, 2.2, 0.9];
        let expected = |a: &Point, b: &Point| {
            (0..4).fold(0.0, |sum, label| sum + factors[label] * distance(ordered[label], a[label], b[label]))
        };
        for isa in Isa::available() {
            let mut columns = Columns::new(*isa, ordered.to_vec(), &points[..11], 8);
            points[11..].iter().for_each(|point| columns.push(point));
            let mut squares = vec![[0.0; LANES]; columns.blocks()];
            for a in &points {
                columns.squares(a, &factors, &mut squares);
                let all: Vec<f64> = points.iter().map(|b| expected(a, b)).collect();
                assert_eq!(squares.as_flattened()[..19], all, "{isa}");
            }
            let pairs = columns.pairs(&points);
            let of_label = pairs.len() / 4;
            for label in 0..4 {
                let found = &pairs[label * of_label..(label + 1) * of_label].as_flattened()[..19 * 9];
                let one = |i: usize, j: usize| distance(ordered[label], points[i][label], points[j][label]);
                let all: Vec<f64> = (0..19).flat_map(|i| (0..i).map(move |j| one(i, j))).collect();
                assert_eq!(found, all, "{isa}");
            }
        }
    }
}
