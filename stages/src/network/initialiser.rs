//! Initialisation of the kernels of a new network.

use std::f64::consts::PI;

use crate::{
    choices,
    philox::{Purpose, Stream},
};

choices! {
    /// The distribution from which a kernel is drawn, with its name in Keras (`keras/src/initializers/random_initializers.py`).
    ///
    /// All have mean 0 and variance `scale / fan`. Normal distributions are truncated at two standard deviations and then scaled to
    /// this variance. `fan_in` is the number of inputs of a unit: for a convolution, channels * height * width of a filter.
    /// `fan_out` is the same with filters in place of channels.
    #[derive(Copy, Eq)]
    pub enum Initialiser = GlorotUniform {
        /// Uniform, with scale 1 and fan `(fan_in + fan_out) / 2` (Glorot and Bengio 2010).
        GlorotUniform = "glorot_uniform",
        /// Truncated normal, with scale 1 and fan `(fan_in + fan_out) / 2` (Glorot and Bengio 2010).
        GlorotNormal = "glorot_normal",
        /// Uniform, with scale 2 and fan `fan_in`, meant for ReLU (He, Zhang, Ren and Sun 2015).
        HeUniform = "he_uniform",
        /// Truncated normal, with scale 2 and fan `fan_in`, meant for ReLU (He, Zhang, Ren and Sun 2015).
        HeNormal = "he_normal",
        /// Uniform, with scale 1 and fan `fan_in` (LeCun, Bottou, Orr and Müller 1998), meant for SELU (Klambauer et al. 2017).
        LecunUniform = "lecun_uniform",
        /// Truncated normal, with scale 1 and fan `fan_in` (LeCun, Bottou, Orr and Müller 1998), meant for SELU (Klambauer et al.
        /// 2017).
        LecunNormal = "lecun_normal",
    }
}

impl Initialiser {
    /// Draws a kernel of shape `[filters, channels, height, width]` or `[inputs, units]`. `array` is the index of the array in the
    /// network.
    ///
    /// Element `e` of a uniform kernel uses number `e` of the stream (0, `array`). Element `e` of a normal kernel uses numbers
    /// 2 `e` and 2 `e` + 1 of the stream (0, `array`), then of (1, `array`) and so on until the deviate is within the limit.
    ///
    /// # Panics
    /// If `shape` does not have two or four dimensions.
    pub fn draw(self, shape: &[usize], seed: u64, array: u32) -> Vec<f32> {
        let (fan_in, fan_out) = match *shape {
            [filters, channels, height, width] => (channels * height * width, filters * height * width),
            [inputs, units] => (inputs, units),
            _ => unreachable!("kernels have two or four dimensions"),
        };
        let variance = match self {
            Self::GlorotUniform | Self::GlorotNormal => 2.0 / (fan_in + fan_out) as f64,
            Self::HeUniform | Self::HeNormal => 2.0 / fan_in as f64,
            Self::LecunUniform | Self::LecunNormal => 1.0 / fan_in as f64,
        };
        let elements = 0..shape.iter().product::<usize>() as u64;
        let stream = |attempt| Stream::new(seed, Purpose::Weights, attempt, array);
        match self {
            Self::GlorotUniform | Self::HeUniform | Self::LecunUniform => {
                let (stream, limit) = (stream(0), libm::sqrt(3.0 * variance) as f32);
                elements.map(|element| (2.0 * stream.f32(element) - 1.0) * limit).collect()
            }
            Self::GlorotNormal | Self::HeNormal | Self::LecunNormal => {
                let deviation = libm::sqrt(variance) / TRUNCATED_DEVIATION;
                elements.map(|element| (deviation * truncated_normal(element, stream)) as f32).collect()
            }
        }
    }
}

/// The standard deviation of a standard normal variable that is truncated at ± 2.
const TRUNCATED_DEVIATION: f64 = 0.879_625_661_034_239_8;

/// Returns a standard normal deviate, drawn again until it is within ± 2, like TensorFlow's `truncated_normal`.
///
/// Uses the method of Box and Muller (1958), but only the cosine, so that each deviate has its own two uniform numbers.
fn truncated_normal(element: u64, stream: impl Fn(u32) -> Stream) -> f64 {
    let deviate = |attempt| {
        let stream = stream(attempt);
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - stream.f64(2 * element)));
        radius * libm::cos(2.0 * PI * stream.f64(2 * element + 1))
    };
    // One deviate in 22 is drawn again.
    (0..=u32::MAX).map(deviate).find(|z| z.abs() <= 2.0).expect("some of 2^32 deviates are within 2")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values are the output of Keras 3.15.1: the standard deviation and the largest number of
    /// `keras.initializers.get(name)((300, 200))`. Keras uses another random number generator, so they agree only up to the sampling
    /// error of 60,000 draws.
    #[test]
    fn kernels_have_the_same_spread_as_in_keras() {
        for (name, deviation, largest) in [
            ("glorot_uniform", 0.06321, 0.109543),
            ("glorot_normal", 0.06333, 0.143798),
            ("he_uniform", 0.08193, 0.141418),
            ("he_normal", 0.08186, 0.185640),
            ("lecun_uniform", 0.05767, 0.099999),
            ("lecun_normal", 0.05785, 0.131258),
        ] {
            let initialiser: Initialiser = serde_json::from_value(name.into()).expect("it is one of the names");
            let kernel = initialiser.draw(&[300, 200], 3, 1);
            let n = kernel.len() as f64;
            let mean = kernel.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
            let found = (kernel.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n).sqrt();
            let max = kernel.iter().fold(0.0f32, |max, x| max.max(x.abs()));
            assert!((found / deviation - 1.0).abs() < 0.01, "{name}: {found}");
            assert!((f64::from(max) / largest - 1.0).abs() < 0.002, "{name}: {max}");
            assert!(mean.abs() < 4.0 * deviation / n.sqrt(), "{name}: {mean}");
            assert_ne!(kernel, initialiser.draw(&[300, 200], 3, 2));
        }
    }

    #[test]
    fn fan_in_of_a_convolution_counts_all_channels_of_its_window() {
        let kernel = Initialiser::HeUniform.draw(&[32, 16, 3, 3], 1, 0);
        let limit = (6.0f64 / 144.0).sqrt() as f32;
        let max = kernel.iter().fold(0.0f32, |max, x| max.max(x.abs()));
        assert!(max <= limit && max > 0.99 * limit, "{max} {limit}");
    }

    #[test]
    fn every_name_can_be_read_and_written() {
        for &name in Initialiser::NAMES {
            let read: Initialiser = serde_json::from_value(name.into()).expect("it is one of the names");
            assert_eq!(serde_json::to_value(read).expect("it is a name"), name);
        }
    }
}
