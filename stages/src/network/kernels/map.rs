//! The memory layout of feature maps, and conversions to and from `[n, c, h, w]`.
//!
//! A map is `[n, h, w, channels]`. Its channels are padded with zeros to a multiple of [`LANES`], so that every pixel is a whole
//! number of vectors. All operations keep the padding at zero.

use rayon::prelude::*;

use super::lanes::LANES;

/// The shape of the map of one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) c: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
}

impl Shape {
    /// Returns the shape of a layer's output, given as `[c, h, w]` or `[c]`.
    ///
    /// # Panics
    /// If `shape` has another number of dimensions.
    pub(crate) fn of(shape: &[usize]) -> Self {
        match *shape {
            [c, h, w] => Self { c, h, w },
            [c] => Self { c, h: 1, w: 1 },
            _ => unreachable!("the output of a layer is an image or a vector"),
        }
    }

    /// Returns the number of pixels of an image.
    pub(crate) fn pixels(self) -> usize {
        self.h * self.w
    }

    /// Returns the number of channels, including padding.
    pub(crate) fn padded(self) -> usize {
        self.c.next_multiple_of(LANES)
    }

    /// Returns the number of elements of an image, including padding.
    pub(crate) fn len(self) -> usize {
        self.pixels() * self.padded()
    }

    /// Returns the number of elements of an image, without padding.
    pub(crate) fn values(self) -> usize {
        self.pixels() * self.c
    }
}

/// Writes `images` `[n, c, h, w]` into a map.
pub(crate) fn from_images(shape: Shape, images: &[f32], map: &mut [f32]) {
    let (pixels, padded) = (shape.pixels(), shape.padded());
    map.par_chunks_exact_mut(shape.len()).zip(images.par_chunks_exact(shape.values())).for_each(|(map, image)| {
        map.fill(0.0);
        for (channel, plane) in image.chunks_exact(pixels).enumerate() {
            map[channel..].iter_mut().step_by(padded).zip(plane).for_each(|(to, from)| *to = *from);
        }
    });
}

/// Writes a map into `images` `[n, c, h, w]`.
pub(crate) fn to_images(shape: Shape, map: &[f32], images: &mut [f32]) {
    let (pixels, padded) = (shape.pixels(), shape.padded());
    images.par_chunks_exact_mut(shape.values()).zip(map.par_chunks_exact(shape.len())).for_each(|(image, map)| {
        for (channel, plane) in image.chunks_exact_mut(pixels).enumerate() {
            plane.iter_mut().zip(map[channel..].iter().step_by(padded)).for_each(|(to, from)| *to = *from);
        }
    });
}

/// Writes each map as a vector in the order channel, row, column.
pub(crate) fn flatten(shape: Shape, map: &[f32], vectors: &mut [f32]) {
    let flat = Shape { c: shape.values(), h: 1, w: 1 };
    vectors.par_chunks_exact_mut(flat.len()).zip(map.par_chunks_exact(shape.len())).for_each(|(vector, map)| {
        let (values, padding) = vector.split_at_mut(flat.c);
        to_images(shape, map, values);
        padding.fill(0.0);
    });
}

/// Writes each image `[c, h, w]` as a vector, like [`flatten`].
pub(crate) fn flatten_images(shape: Shape, images: &[f32], vectors: &mut [f32]) {
    let flat = Shape { c: shape.values(), h: 1, w: 1 };
    vectors.par_chunks_exact_mut(flat.len()).zip(images.par_chunks_exact(flat.c)).for_each(|(vector, image)| {
        let (values, padding) = vector.split_at_mut(flat.c);
        values.copy_from_slice(image);
        padding.fill(0.0);
    });
}

/// Writes each vector as a map: the inverse of [`flatten`].
pub(crate) fn unflatten(shape: Shape, vectors: &[f32], map: &mut [f32]) {
    let flat = Shape { c: shape.values(), h: 1, w: 1 };
    map.par_chunks_exact_mut(shape.len())
        .zip(vectors.par_chunks_exact(flat.len()))
        .for_each(|(map, vector)| from_images(shape, &vector[..flat.c], map));
}

/// Concatenates maps `[pixels, c]` along the channels into `y`. Each comes with its `c`.
pub(crate) fn concat(maps: &[(usize, &[f32])], y: &mut [f32]) {
    let channels: usize = maps.iter().map(|(c, _)| c).sum();
    let padded = channels.next_multiple_of(LANES);
    y.par_chunks_exact_mut(padded).enumerate().with_min_len(256).for_each(|(pixel, y)| {
        let mut rest = y;
        for &(c, map) in maps {
            let (part, after) = rest.split_at_mut(c);
            part.copy_from_slice(&map[pixel * c.next_multiple_of(LANES)..][..c]);
            rest = after;
        }
        rest.fill(0.0);
    });
}

/// Writes the channels `first..first + c` of a map with `channels` channels to `part`.
pub(crate) fn slice(channels: usize, first: usize, c: usize, map: &[f32], part: &mut [f32]) {
    let padded = channels.next_multiple_of(LANES);
    let pixels = map.par_chunks_exact(padded).with_min_len(256);
    part.par_chunks_exact_mut(c.next_multiple_of(LANES)).zip(pixels).for_each(|(part, map)| {
        part[..c].copy_from_slice(&map[first..first + c]);
        part[c..].fill(0.0);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_survive_a_round_trip_and_padding_is_zero() {
        let shape = Shape { c: 3, h: 2, w: 5 };
        let images: Vec<f32> = (1..=60).map(|i| i as f32).collect();
        let mut map = vec![f32::NAN; 2 * shape.len()];
        from_images(shape, &images, &mut map);
        assert_eq!(map[..4], [1.0, 11.0, 21.0, 0.0]);
        assert!(map.chunks(LANES).all(|pixel| pixel[3..].iter().all(|&x| x == 0.0)));
        let mut back = vec![0.0; 60];
        to_images(shape, &map, &mut back);
        assert_eq!(back, images);
        let (mut of_map, mut of_images) = (vec![f32::NAN; 2 * 32], vec![f32::NAN; 2 * 32]);
        flatten(shape, &map, &mut of_map);
        flatten_images(shape, &images, &mut of_images);
        assert_eq!(of_map, of_images);
        assert_eq!(of_map[..30], images[..30]);
    }

    #[test]
    fn slices_of_concatenated_maps_are_the_original_maps() {
        let map = |c: usize, start: f32| -> Vec<f32> {
            (0..4 * c.next_multiple_of(LANES))
                .map(|i| if i % c.next_multiple_of(LANES) < c { start + i as f32 } else { 0.0 })
                .collect()
        };
        let (a, b) = (map(5, 1.0), map(17, 1000.0));
        let mut joined = vec![f32::NAN; 4 * 32];
        concat(&[(5, &a), (17, &b)], &mut joined);
        assert_eq!(joined[22..32], [0.0; 10]);
        for (first, c, expected) in [(0, 5, &a), (5, 17, &b)] {
            let mut part = vec![f32::NAN; expected.len()];
            slice(22, first, c, &joined, &mut part);
            assert_eq!(&part, expected);
        }
    }
}
