//! Random erasing (Zhong, Zheng, Kang, Li and Yang 2020).

use super::draws::Draws;
use crate::{
    choices,
    images::dataset::ImageShape,
    parameters,
    params::{Domain, Hyper},
};

parameters! {
    /// Erases a rectangle (Zhong et al. 2020). The defaults are torchvision's.
    pub struct RandomErasing = defaults {
        /// The probability that an image is erased at all.
        probability: Hyper<f64> [Domain::Between(0.0, 1.0)] = Hyper::Value(0.5),
        /// The least and the largest part of the image's area.
        area: [Hyper<f64>; 2] [Domain::Between(0.0, 1.0)] = [Hyper::Value(0.02), Hyper::Value(0.33)],
        /// The least and the largest ratio of height to width, drawn evenly on a logarithmic scale.
        aspect: [Hyper<f64>; 2] [Domain::Between(0.01, 100.0)] = [Hyper::Value(0.3), Hyper::Value(3.3)],
        /// What the rectangle is filled with.
        value: Erased = Erased::Zero,
    }
}

choices! {
    /// What a rectangle is filled with.
    #[derive(Copy, Eq)]
    pub enum Erased = Zero {
        /// The normalised value 0: grey, or the mean.
        Zero,
        /// Black: byte 0.
        Black,
        /// White: byte 255.
        White,
        /// A random byte for every pixel and channel.
        Noise,
    }
}

/// How often a rectangle is drawn before an image is left as it is, because none has fitted.
const ATTEMPTS: usize = 10;

impl RandomErasing {
    /// Returns a range with the larger number first.
    pub(super) fn reversed(&self) -> Option<String> {
        [("area", &self.area), ("aspect", &self.aspect)].into_iter().find_map(|(name, range)| match range {
            [Hyper::Value(low), Hyper::Value(high)] if low > high => {
                Some(format!("`RandomErasing({name}: ({low}, {high}))`"))
            }
            _ => None,
        })
    }

    /// Erases a rectangle of `image`, normalised values `[c, h, w]`. `table` has the normalised value of each byte, for each
    /// channel.
    pub(super) fn apply(&self, image: &mut [f32], shape: ImageShape, table: &[[f32; 256]], draws: &mut Draws) {
        let ImageShape { height, width, .. } = shape;
        if draws.unit() >= self.probability.get() {
            return;
        }
        let [least, most] = self.area.each_ref().map(Hyper::get);
        let [flat, tall] = self.aspect.each_ref().map(|aspect| libm::log(aspect.get()));
        let place = (0..ATTEMPTS).find_map(|_| {
            let area = draws.between(least, most) * (height * width) as f64;
            let aspect = libm::exp(draws.between(flat, tall));
            let (rows, columns) = (libm::rint((area * aspect).sqrt()), libm::rint((area / aspect).sqrt()));
            let [top, left] = [draws.unit(), draws.unit()];
            if rows >= height as f64 || columns >= width as f64 {
                return None;
            }
            let (rows, columns) = (rows as usize, columns as usize);
            // The product is rounded, so it may reach the end of the range.
            let start = |unit: f64, places: usize| ((unit * places as f64) as usize).min(places - 1);
            let (top, left) = (start(top, height - rows + 1), start(left, width - columns + 1));
            Some((top..top + rows, left..left + columns))
        });
        let Some((rows, columns)) = place else { return };
        for (plane, table) in image.chunks_exact_mut(height * width).zip(table) {
            for row in rows.clone() {
                let line = &mut plane[row * width..][columns.clone()];
                match self.value {
                    Erased::Zero => line.fill(0.0),
                    Erased::Black => line.fill(table[0]),
                    Erased::White => line.fill(table[255]),
                    Erased::Noise => line.iter_mut().for_each(|x| *x = table[(draws.bits() >> 24) as usize]),
                }
            }
        }
    }
}
