//! Rotations, scalings and translations of an image: affine maps with one bilinear resampling.

use crate::{choices, images::dataset::ImageShape};

choices! {
    /// What a moved image shows beyond the edges of the old one.
    #[derive(Copy, Eq)]
    pub enum Edges = Black {
        /// Black: byte 0.
        Black,
        /// The nearest pixel of the edge.
        Nearest,
        /// The image, mirrored at its edges: a line a b c goes on as c b a.
        Reflect,
    }
}

impl Edges {
    /// Returns the pixel of a line of `n` pixels that is shown at `at`. `None` is black.
    pub(super) fn pixel(self, at: i64, n: usize) -> Option<usize> {
        let last = n as i64 - 1;
        let shown = match self {
            Self::Black => return usize::try_from(at).ok().filter(|at| *at < n),
            Self::Nearest => at.clamp(0, last),
            Self::Reflect => {
                let at = at.rem_euclid(2 * (last + 1));
                at.min(2 * last + 1 - at)
            }
        };
        Some(shown as usize)
    }
}

/// An affine map that says where each pixel of the new image lies in the old one. Coordinates are (y, x) from the middle of the
/// image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct AffineMap {
    matrix: [[f64; 2]; 2],
    shift: [f64; 2],
}

impl AffineMap {
    const IDENTITY: Self = Self { matrix: [[1.0, 0.0], [0.0, 1.0]], shift: [0.0; 2] };

    /// Returns the map of an image that is turned counter-clockwise.
    pub(super) fn rotation(degrees: f64) -> Self {
        let (sin, cos) = libm::sincos(degrees.to_radians());
        Self { matrix: [[cos, sin], [-sin, cos]], ..Self::IDENTITY }
    }

    /// Returns the map of an image that is enlarged by `factor`, which is above 0.
    pub(super) fn scale(factor: f64) -> Self {
        let inverse = 1.0 / factor;
        Self { matrix: [[inverse, 0.0], [0.0, inverse]], ..Self::IDENTITY }
    }

    /// Returns the map of an image that is moved by this many pixels down and to the right.
    pub(super) fn translation([down, right]: [f64; 2]) -> Self {
        Self { shift: [-down, -right], ..Self::IDENTITY }
    }

    /// Returns the map of an image that is changed by this map and then by `next`.
    pub(super) fn then(&self, next: &Self) -> Self {
        let [a, b] = self.matrix;
        let column = |j: usize| {
            [a[0] * next.matrix[0][j] + a[1] * next.matrix[1][j], b[0] * next.matrix[0][j] + b[1] * next.matrix[1][j]]
        };
        let ([p, r], [q, s]) = (column(0), column(1));
        let [y, x] = self.of(next.shift);
        Self { matrix: [[p, q], [r, s]], shift: [y, x] }
    }

    /// Returns where `point` lies in the old image.
    fn of(&self, [y, x]: [f64; 2]) -> [f64; 2] {
        let line = |i: usize| self.matrix[i][0] * y + self.matrix[i][1] * x + self.shift[i];
        [line(0), line(1)]
    }

    /// Replaces `image`, `[c, h, w]`, by the image that the map describes. A pixel is a bilinear mean of the four around its
    /// place in the old image. `black` has the value of black for each channel. `scratch` is as long as `image`.
    pub(super) fn resample(
        &self,
        image: &mut [f32],
        shape: ImageShape,
        edges: Edges,
        black: &[f32],
        scratch: &mut [f32],
    ) {
        if *self == Self::IDENTITY {
            return;
        }
        let ImageShape { height, width, .. } = shape;
        let middle = [(height - 1) as f64 / 2.0, (width - 1) as f64 / 2.0];
        scratch.copy_from_slice(image);
        for y in 0..height {
            for x in 0..width {
                let [from_y, from_x] = self.of([y as f64 - middle[0], x as f64 - middle[1]]);
                let (rows, below) = neighbours(from_y + middle[0], height, edges);
                let (columns, right) = neighbours(from_x + middle[1], width, edges);
                let weights =
                    [(1.0 - below) * (1.0 - right), (1.0 - below) * right, below * (1.0 - right), below * right];
                let places = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(i, j)| Some(rows[i]? * width + columns[j]?));
                let planes = image.chunks_exact_mut(height * width).zip(scratch.chunks_exact(height * width));
                for ((plane, old), black) in planes.zip(black) {
                    let value = |i: usize| places[i].map_or(*black, |place| old[place]);
                    plane[y * width + x] =
                        value(0) * weights[0] + value(1) * weights[1] + value(2) * weights[2] + value(3) * weights[3];
                }
            }
        }
    }
}

/// Returns the pixels before and after the place `at` of a line of `n` pixels, and the weight of the second.
fn neighbours(at: f64, n: usize, edges: Edges) -> ([Option<usize>; 2], f32) {
    let before = at.floor();
    let first = before as i64;
    ([edges.pixel(first, n), edges.pixel(first.saturating_add(1), n)], (at - before) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_continue_a_line() {
        let line = |edges: Edges| (-5..8).map(|at| edges.pixel(at, 3)).collect::<Vec<_>>();
        let some = |line: [usize; 13]| line.map(Some).to_vec();
        assert_eq!(line(Edges::Nearest), some([0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2]));
        assert_eq!(line(Edges::Reflect), some([1, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1]));
        let black = line(Edges::Black);
        assert_eq!(black[5..8], [Some(0), Some(1), Some(2)]);
        assert!(black[..5].iter().chain(&black[8..]).all(Option::is_none));
        for edges in [Edges::Nearest, Edges::Reflect] {
            for at in [i64::MIN, -1, 0, 1, i64::MAX] {
                assert_eq!(edges.pixel(at, 1), Some(0));
            }
        }
    }

    fn resampled(map: &AffineMap, image: &[f32], [height, width]: [usize; 2], edges: Edges) -> Vec<f32> {
        let mut image = image.to_vec();
        let shape = ImageShape { channels: 1, height, width };
        map.resample(&mut image, shape, edges, &[-1.0], &mut vec![0.0; height * width]);
        image
    }

    #[test]
    fn a_quarter_turn_is_counter_clockwise() {
        let turned = resampled(&AffineMap::rotation(90.0), &[1.0, 2.0, 3.0, 4.0], [2, 2], Edges::Nearest);
        let close =
            |expected: [f32; 4]| turned.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6);
        assert!(close([2.0, 4.0, 1.0, 3.0]), "{turned:?}");
    }

    #[test]
    fn an_image_moves_down_and_right_and_halves_are_means() {
        let image = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let moved = |shift, edges| resampled(&AffineMap::translation(shift), &image, [2, 3], edges);
        assert_eq!(moved([1.0, 1.0], Edges::Black), [-1.0, -1.0, -1.0, -1.0, 1.0, 2.0]);
        assert_eq!(moved([0.0, 0.5], Edges::Black), [0.0, 1.5, 2.5, 1.5, 4.5, 5.5]);
        assert_eq!(moved([0.0, -0.5], Edges::Nearest), [1.5, 2.5, 3.0, 4.5, 5.5, 6.0]);
        assert_eq!(moved([0.0, 2.0], Edges::Reflect), [2.0, 1.0, 1.0, 5.0, 4.0, 4.0]);
    }

    #[test]
    fn a_scale_enlarges_about_the_middle() {
        let image = [0.0, 0.0, 8.0, 0.0, 0.0];
        let scaled = |factor| resampled(&AffineMap::scale(factor), &image, [1, 5], Edges::Black);
        assert_eq!(scaled(2.0), [0.0, 4.0, 8.0, 4.0, 0.0]);
        assert_eq!(scaled(0.5), [-1.0, 0.0, 8.0, 0.0, -1.0]);
    }

    #[test]
    fn composed_maps_are_one_map_after_the_other() {
        let parts = [AffineMap::rotation(30.0), AffineMap::translation([3.0, -1.5]), AffineMap::scale(1.5)];
        let all = parts[0].then(&parts[1]).then(&parts[2]);
        for point in [[0.0, 0.0], [1.0, 0.0], [-2.0, 5.0]] {
            let slow = parts.iter().rev().fold(point, |point, part| part.of(point));
            let fast = all.of(point);
            assert!((0..2).all(|i| (slow[i] - fast[i]).abs() < 1e-12), "{slow:?} {fast:?}");
        }
    }
}
