//! The hyperparameters of the covariance, and what is likely for them.

/// The hyperparameters of the covariance.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scales {
    /// The logarithms of the other fields, which are searched.
    pub(crate) ln: Vec<f64>,
    /// 1 / length scale^2 for each label.
    pub(crate) factors: Vec<f64>,
    /// The signal variance.
    pub(crate) variance: f64,
    /// The noise variance.
    pub(crate) noise: f64,
}

/// exp(`LN_FACTOR`) / d is the prior median of a label's factor in a space of d labels.
const LN_FACTOR: f64 = 2.4;
/// The prior median of the noise variance, relative to the variance of the losses.
const NOISE: f64 = 1e-2;
/// The standard deviations of the logarithms of a factor, of the signal variance and of the noise variance.
const WIDTHS: [f64; 3] = [1.5, 1.0, 2.0];

impl Scales {
    pub(crate) fn new(ln: Vec<f64>) -> Self {
        let n_labels = ln.len() - 2;
        let factors = ln[..n_labels].iter().map(|ln| libm::exp(*ln)).collect();
        let (variance, noise) = (libm::exp(ln[n_labels]), libm::exp(ln[n_labels + 1]));
        Self { ln, factors, variance, noise }
    }

    /// Returns the mean of the prior, at which the search starts. The noise is small. Length scales grow with the number of
    /// labels, so that the typical distance of two trials does not.
    pub(crate) fn start(n_labels: usize) -> Self {
        let mut ln = vec![LN_FACTOR - libm::log(n_labels as f64); n_labels];
        ln.extend([0.0, libm::log(NOISE)]);
        Self::new(ln)
    }

    /// Returns the logarithm of the prior density, up to a constant. The prior is a normal distribution around the start.
    pub(crate) fn ln_prior(&self) -> f64 {
        self.off().map(|(off, _)| -0.5 * off * off).sum()
    }

    /// Returns the gradient of the logarithm of the prior density.
    pub(crate) fn slopes_of_prior(&self) -> Vec<f64> {
        self.off().map(|(off, width)| -off / width).collect()
    }

    /// Returns how far each hyperparameter is from the start, in standard deviations, and its standard deviation.
    fn off(&self) -> impl Iterator<Item = (f64, f64)> {
        let n = self.ln.len();
        let start = Self::start(n - 2).ln;
        let width = move |i: usize| WIDTHS[(i + 3).saturating_sub(n)];
        (0..n).map(move |i| ((self.ln[i] - start[i]) / width(i), width(i)))
    }
}

/// Returns the Matern covariance with nu = 5/2 (Rasmussen and Williams, equation 4.17) for a squared distance, and its derivative with
/// respect to the squared distance.
#[inline(always)]
pub(crate) fn matern(square: f64) -> (f64, f64) {
    let s = (5.0 * square).sqrt();
    let decay = exp_of_negative(-s);
    ((1.0 + s + s * s / 3.0) * decay, -5.0 / 6.0 * (1.0 + s) * decay)
}

/// Returns e^x for x at most 0, up to a few units in the last place. Below -700 it returns e^-700.
///
/// It has no branch and calls nothing, so that loops over it are compiled to vector instructions, which `libm::exp` are not. Sums and
/// products alone are the same on every machine.
#[inline(always)]
fn exp_of_negative(x: f64) -> f64 {
    // 1 / k! for k from 0.
    const TERMS: [f64; 14] = {
        let mut terms = [1.0; 14];
        let mut k = 1;
        while k < 14 {
            terms[k] = terms[k - 1] / k as f64;
            k += 1;
        }
        terms
    };
    // Adding it rounds to an integer, which is then in the last bits.
    const ROUNDS: f64 = 1.5 * (1_u64 << 52) as f64;
    // ln 2 in two parts. The first has so few bits that its products with integers are exact.
    const LN_2: [f64; 2] = [f64::from_bits(0x3fe6_2e42_fee0_0000), 1.908_214_929_270_587_7e-10];
    let x = x.max(-700.0);
    // x = k ln 2 + rest
    let shifted = x * std::f64::consts::LOG2_E + ROUNDS;
    let k = shifted - ROUNDS;
    let rest = x - k * LN_2[0] - k * LN_2[1];
    let series = TERMS.iter().rev().fold(0.0, |sum, term| sum * rest + term);
    let power = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52));
    series * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_agree_with_those_of_libm() {
        for i in 0..70_000 {
            let x = -0.01 * f64::from(i);
            let (found, expected) = (exp_of_negative(x), libm::exp(x));
            assert!((found / expected - 1.0).abs() < 1e-15, "{x}: {found} instead of {expected}");
        }
        assert_eq!((exp_of_negative(0.0), exp_of_negative(-1e9)), (1.0, exp_of_negative(-700.0)));
    }
}
