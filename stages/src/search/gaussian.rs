//! The sampler `GaussianProcess`: of many candidates the one from which the greatest improvement is to be expected.
//!
//! Sources: Rasmussen and Williams, "Gaussian processes for machine learning", 2006, equations 2.25, 2.26, 2.30, 4.17 and
//! 5.9; Jones, Schonlau and Welch, "Efficient global optimization", 1998 (expected improvement); Ginsbourger, Le Riche and
//! Carraro, "Kriging is well-suited to parallelize optimization", 2010 (pending trials count as what the model expects of
//! them). Everything is in a fixed order with `libm`, so proposals are equal on every machine.

use super::{
    Past, Proposal, Space,
    cholesky::Cholesky,
    kind::{Axis, Kind, Shape},
    parzen::{lift, normal_cdf},
    random::{self, Chance},
};
use crate::{parameters, params::Domain};

parameters! {
    /// Settings of [`Sampler::GaussianProcess`](super::Sampler::GaussianProcess).
    #[derive(Copy)]
    pub struct GaussianProcess = defaults {
        /// The first trials, this many, are drawn from the prior.
        startup: u32 = 10,
        /// How many candidates are drawn from the prior; as many again are drawn near the best trials.
        candidates: u32 [Domain::Whole(1..=10_000)] = 500,
    }
}

/// Trials that the model is of, the newest of those that may be seen: its cost grows with their cube.
const MOST_TRIALS: usize = 200;
/// The best trials near which candidates are drawn.
const PARENTS: usize = 5;
/// Steps of the search for the model's scales.
const STEPS: usize = 40;

/// Returns the proposal after `past`, of whose trials those without a loss are pending.
pub(super) fn propose(space: &Space, params: &GaussianProcess, chance: Chance, past: &Past) -> Proposal {
    let layout = Layout::new(space);
    let points: Vec<Point> =
        past.trials.iter().map(|trial| layout.of(&|label, kind| kind.coordinate(label, &trial.labels))).collect();
    let seen = past.losses.len().min(points.len());
    let oldest = seen.saturating_sub(MOST_TRIALS);
    let Some(losses) = standardised(&past.losses[oldest..seen]) else {
        return space.settle(&mut |label, kind| random::prior(kind, &mut chance.of(label)));
    };
    let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let model = Model::fitted(&layout, points[oldest..seen].to_vec(), losses).with_pending(&points[seen..]);

    let mut order: Vec<usize> = (0..seen).collect();
    order.sort_by(|a, b| past.losses[*a].total_cmp(&past.losses[*b]).then(a.cmp(b)));
    order.truncate(PARENTS);
    let mut streams = Streams { chance, of: Default::default() };
    let mut best: Option<(f64, Vec<f64>)> = None;
    for candidate in 0..2 * params.candidates as usize {
        let parent = (candidate >= params.candidates as usize).then(|| &past.trials[order[candidate % order.len()]]);
        let mut coordinates = Vec::new();
        let mut chosen = std::collections::BTreeMap::new();
        space.walk(&mut |label, kind| {
            let of_parent = parent.and_then(|parent| kind.coordinate(label, &parent.labels));
            let x = streams.near(label, kind, of_parent);
            coordinates.push(x);
            chosen.insert(label.to_owned(), x);
            x
        });
        let point = layout.of(&|label, _| chosen.get(label).copied());
        let score = model.ln_expected_improvement(&point, least);
        if best.as_ref().is_none_or(|(greatest, _)| score > *greatest) {
            best = Some((score, coordinates));
        }
    }
    let mut coordinates = best.expect("at least one candidate is drawn").1.into_iter();
    space.settle(&mut |_, _| coordinates.next().expect("the same labels are asked in the same order"))
}

/// The random numbers of each label for all candidates.
struct Streams {
    chance: Chance,
    of: std::collections::BTreeMap<String, random::Draws>,
}

impl Streams {
    /// Returns a coordinate near that of a parent: mostly the same or a little beside it, sometimes any.
    fn near(&mut self, label: &str, kind: &Kind, parent: Option<f64>) -> f64 {
        let draws = self.of.entry(label.to_owned()).or_insert_with(|| self.chance.of(label));
        let Some(parent) = parent else { return random::prior(kind, draws) };
        let u = draws.uniform();
        match kind.axis() {
            _ if u < 0.15 => random::prior(kind, draws),
            Axis::Numeric(numeric) if u < 0.65 => {
                let (_, range) = numeric.prior();
                let (lo, hi) = numeric.bounds();
                let width = range * if u < 0.4 { 0.2 } else { 0.02 };
                let z = lift(&numeric, parent) + width * draws.normal();
                // Bounds are half open: the upper one is left out where it would step beyond the last value.
                numeric.value(z.clamp(lo, hi - 1e-9 * (hi - lo).min(1.0)))
            }
            _ => parent,
        }
    }
}

/// Where each label stands in a [`Point`].
struct Layout<'a> {
    labels: Vec<(&'a str, &'a Kind)>,
}

/// A trial as the model sees it: for each label nothing if it is not active, else where it stands.
type Point = Vec<Option<Place>>;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    /// Of an axis with an order: the share of the prior that is below.
    At(f64),
    Option(u64),
}

impl<'a> Layout<'a> {
    fn new(space: &'a Space) -> Self {
        Self { labels: space.axes() }
    }

    fn of(&self, coordinate: &dyn Fn(&str, &Kind) -> Option<f64>) -> Point {
        let place = |(label, kind): &(&str, &Kind)| {
            let x = coordinate(label, kind)?;
            Some(match kind.axis() {
                Axis::Options(_) => Place::Option(x as u64),
                Axis::Numeric(numeric) => {
                    let z = lift(&numeric, x);
                    Place::At(match numeric.shape {
                        Shape::Uniform { lo, hi } => ((z - lo) / (hi - lo)).clamp(0.0, 1.0),
                        Shape::Normal { mu, sigma } => normal_cdf(z, mu, sigma),
                    })
                }
            })
        };
        self.labels.iter().map(place).collect()
    }
}

/// Returns the square of the distance of two trials in one label: as if an inactive label stood 1 beside the middle of the
/// axis, and options at the corners of a simplex, so that there is a Euclidean space with these distances.
fn distance(a: Option<Place>, b: Option<Place>) -> f64 {
    match (a, b) {
        (None, None) => 0.0,
        (Some(Place::At(a)), Some(Place::At(b))) => (a - b) * (a - b),
        (Some(Place::Option(a)), Some(Place::Option(b))) => f64::from(u8::from(a != b)),
        (Some(Place::At(a)), None) | (None, Some(Place::At(a))) => 1.0 + (a - 0.5) * (a - 0.5),
        _ => 1.0,
    }
}

fn distances(a: &Point, b: &Point) -> impl Iterator<Item = f64> {
    a.iter().zip(b).map(|(a, b)| distance(*a, *b))
}

/// Returns the losses with mean 0 and deviation 1; those that are infinite or far above count as the worst of the others.
/// Nothing where there is no loss.
fn standardised(losses: &[f64]) -> Option<Vec<f64>> {
    let mut sorted: Vec<f64> = losses.iter().copied().filter(|loss| loss.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let (least, median, greatest) = (*sorted.first()?, sorted[sorted.len() / 2], *sorted.last()?);
    let far = if median > least { median + 3.0 * (median - least) } else { greatest };
    let worst = far.min(greatest);
    // `min` takes the number of a number and NaN.
    let clipped: Vec<f64> = losses.iter().map(|loss| loss.min(worst)).collect();
    let n = clipped.len() as f64;
    let mean = clipped.iter().sum::<f64>() / n;
    let variance = clipped.iter().map(|y| (y - mean) * (y - mean)).sum::<f64>() / n;
    let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
    Some(clipped.into_iter().map(|y| (y - mean) / deviation).collect())
}

/// What the covariance of two trials is made of.
#[derive(Debug, Clone, PartialEq)]
struct Scales {
    /// Logarithms of all that follows, which are searched.
    ln: Vec<f64>,
    /// 1 / length^2 for each label.
    factors: Vec<f64>,
    variance: f64,
    /// Of the noise.
    noise: f64,
}

impl Scales {
    fn new(ln: Vec<f64>) -> Self {
        let n_labels = ln.len() - 2;
        let factors = ln[..n_labels].iter().map(|ln| libm::exp(*ln)).collect();
        let (variance, noise) = (libm::exp(ln[n_labels]), libm::exp(ln[n_labels + 1]));
        Self { ln, factors, variance, noise }
    }

    /// Returns where the search starts and what it is drawn to: the typical distance of two trials is the same however
    /// many labels there are, and the noise is small.
    fn start(n_labels: usize) -> Self {
        let mut ln = vec![-libm::log(0.25 * n_labels as f64); n_labels];
        ln.extend([0.0, libm::log(1e-2)]);
        Self::new(ln)
    }

    /// Returns the logarithm of the prior density, up to a constant, and its gradient: normal ones around the start.
    fn prior(&self) -> (f64, Vec<f64>) {
        let n = self.ln.len();
        let start = Self::start(n - 2).ln;
        let width = |i: usize| {
            if i == n - 1 {
                2.0
            } else if i == n - 2 {
                1.0
            } else {
                1.5
            }
        };
        let off = |i: usize| (self.ln[i] - start[i]) / width(i);
        let density = (0..n).map(|i| -0.5 * off(i) * off(i)).sum();
        (density, (0..n).map(|i| -off(i) / width(i)).collect())
    }

    /// Returns the covariance of trials with these squares of distances, label by label.
    fn covariance(&self, squares: impl Iterator<Item = f64>) -> f64 {
        let square = squares.zip(&self.factors).map(|(square, factor)| square * factor).sum();
        self.variance * matern(square).0
    }
}

/// Matern's covariance with nu = 5/2 for the square of a distance (equation 4.17), and its derivative in that square.
fn matern(square: f64) -> (f64, f64) {
    let s = (5.0 * square).sqrt();
    let decay = libm::exp(-s);
    ((1.0 + s + s * s / 3.0) * decay, -5.0 / 6.0 * (1.0 + s) * decay)
}

/// A Gaussian process with mean 0, given what was observed.
struct Model {
    points: Vec<Point>,
    values: Vec<f64>,
    scales: Scales,
    factor: Cholesky,
    /// (K + noise)^-1 * values
    weights: Vec<f64>,
}

impl Model {
    fn new(points: Vec<Point>, values: Vec<f64>, scales: Scales) -> Option<Self> {
        let noise = scales.noise + 1e-8;
        let entry = |i: usize, j: usize| {
            scales.covariance(distances(&points[i], &points[j])) + if i == j { noise } else { 0.0 }
        };
        let factor = Cholesky::new(points.len(), entry)?;
        let weights = factor.solve(&values);
        Some(Self { points, values, scales, factor, weights })
    }

    /// Returns the model whose scales are the most probable, as far as a few steps find them (Rprop: each scale has a step
    /// of its own, longer while the gradient keeps its sign, shorter when it changes).
    fn fitted(layout: &Layout<'_>, points: Vec<Point>, values: Vec<f64>) -> Self {
        let n_labels = layout.labels.len();
        // square distances [trial, other, label], of pairs alone
        let squares: Vec<Vec<f64>> = (0..points.len())
            .flat_map(|i| (0..i).map(move |j| (i, j)))
            .map(|(i, j)| distances(&points[i], &points[j]).collect())
            .collect();
        let start = Scales::start(n_labels);
        let mut model = Self::new(points, values, start).expect("the noise keeps it positive definite");
        let mut greatest = model.evidence(&squares);
        let mut steps = vec![0.3; n_labels + 2];
        let mut ln = model.scales.ln.clone();
        let mut gradient = greatest.1.clone();
        for _ in 0..STEPS {
            for (ln, (slope, step)) in ln.iter_mut().zip(gradient.iter().zip(&steps)) {
                *ln += if *slope > 0.0 { *step } else { -step };
                *ln = ln.clamp(-12.0, 8.0);
            }
            let Some(next) = Self::new(model.points.clone(), model.values.clone(), Scales::new(ln.clone())) else {
                break;
            };
            let evidence = next.evidence(&squares);
            for (step, (before, now)) in steps.iter_mut().zip(gradient.iter().zip(&evidence.1)) {
                *step = if before * now > 0.0 { (*step * 1.2).min(1.0) } else { (*step * 0.5).max(1e-3) };
            }
            gradient.clone_from(&evidence.1);
            if evidence.0 > greatest.0 {
                (model, greatest) = (next, evidence);
            }
        }
        model
    }

    /// Returns the logarithm of the evidence times the scales' prior, and its gradient (equations 2.30 and 5.9). `squares`
    /// are the distances of each pair, label by label.
    fn evidence(&self, squares: &[Vec<f64>]) -> (f64, Vec<f64>) {
        let Scales { factors, variance, noise, .. } = &self.scales;
        let fit: f64 = self.values.iter().zip(&self.weights).map(|(y, w)| y * w).sum();
        let (prior, mut gradient) = self.scales.prior();
        let density = prior - 0.5 * fit - 0.5 * self.factor.ln_determinant();
        // d ln p / d theta = 1/2 tr((w w^T - A^-1) dK / d theta)
        let inverse = self.factor.inverse();
        let n_labels = factors.len();
        let mut pair = squares.iter();
        for (i, row) in inverse.iter().enumerate() {
            for (j, entry) in row[..i].iter().enumerate() {
                let square = pair.next().expect("one for each pair");
                let outer = self.weights[i] * self.weights[j] - entry;
                let (value, slope) = matern(square.iter().zip(factors).map(|(square, factor)| square * factor).sum());
                for ((sum, square), factor) in gradient.iter_mut().zip(square).zip(factors) {
                    *sum += outer * variance * slope * square * factor;
                }
                gradient[n_labels] += outer * variance * value;
            }
            let own = 0.5 * (self.weights[i] * self.weights[i] - row[i]);
            gradient[n_labels] += own * variance;
            gradient[n_labels + 1] += own * noise;
        }
        (density, gradient)
    }

    /// Returns the model with trials added whose values are what it expects of them.
    fn with_pending(self, pending: &[Point]) -> Self {
        if pending.is_empty() {
            return self;
        }
        let expected: Vec<f64> = pending.iter().map(|point| self.predict(point).0).collect();
        let points = self.points.iter().chain(pending).cloned().collect();
        let values = self.values.iter().copied().chain(expected).collect();
        Self::new(points, values, self.scales.clone()).unwrap_or(self)
    }

    /// Returns mean and variance at a point, without noise (equations 2.25 and 2.26).
    fn predict(&self, point: &Point) -> (f64, f64) {
        let k: Vec<f64> = self.points.iter().map(|known| self.scales.covariance(distances(known, point))).collect();
        let mean = k.iter().zip(&self.weights).map(|(k, w)| k * w).sum();
        let known: f64 = self.factor.forward(&k).iter().map(|v| v * v).sum();
        (mean, (self.scales.variance - known).max(1e-12))
    }

    /// Returns the logarithm of the expected improvement on `least`.
    fn ln_expected_improvement(&self, point: &Point, least: f64) -> f64 {
        let (mean, variance) = self.predict(point);
        let deviation = variance.sqrt();
        libm::log(deviation) + ln_improvement((least - mean) / deviation)
    }
}

/// Returns ln(phi(u) + u * Phi(u)); far below, where that is lost in rounding, by its expansion phi(u) / u^2.
fn ln_improvement(u: f64) -> f64 {
    let ln_phi = -0.5 * u * u - 0.5 * libm::log(2.0 * std::f64::consts::PI);
    if u < -20.0 {
        return ln_phi - 2.0 * libm::log(-u);
    }
    let below = 0.5 * libm::erfc(-u / std::f64::consts::SQRT_2);
    libm::log(libm::exp(ln_phi) + u * below).max(-300.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn small() -> (Vec<Point>, Vec<f64>, Scales) {
        let points = [[0.1, 0.2], [0.8, 0.3], [0.4, 0.9], [0.55, 0.5]];
        let scales = Scales::new([4.0, 1.5, 1.3, 0.05].map(libm::log).to_vec());
        (points.map(|point| point.map(|x| Some(Place::At(x))).to_vec()).to_vec(), vec![1.0, -0.5, 0.3, -0.8], scales)
    }

    fn squares(points: &[Point]) -> Vec<Vec<f64>> {
        let pairs = (0..points.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
        pairs.map(|(i, j)| distances(&points[i], &points[j]).collect()).collect()
    }

    /// The same in NumPy, by an explicit inverse.
    #[test]
    fn predictions_are_numpys() {
        let (points, values, scales) = small();
        let model = Model::new(points, values, scales).unwrap();
        let (mean, variance) = model.predict(&vec![Some(Place::At(0.6)); 2]);
        assert!((mean + 0.648_735_899_945_312_4).abs() < 1e-12, "{mean}");
        assert!((variance - 0.065_852_625_279_782_86).abs() < 1e-12, "{variance}");
        let evidence = model.evidence(&squares(&model.points)).0 - model.scales.prior().0;
        assert!((evidence + 1.478_909_960_570_592_2).abs() < 1e-12, "{evidence}");
    }

    #[test]
    fn the_gradient_is_that_of_differences() {
        let (points, values, scales) = small();
        let squares = squares(&points);
        let at = |ln: Vec<f64>| Model::new(points.clone(), values.clone(), Scales::new(ln)).unwrap().evidence(&squares);
        let gradient = at(scales.ln.clone()).1;
        for (i, slope) in gradient.iter().enumerate() {
            let moved = |by: f64| {
                let mut ln = scales.ln.clone();
                ln[i] += by;
                at(ln).0
            };
            let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((slope - difference).abs() < 1e-6, "{i}: {slope} instead of {difference}");
        }
    }

    /// Against the integral of max(0, u - t) under the normal density, by small steps.
    #[test]
    fn expected_improvement_is_its_integral() {
        for u in [-4.0, -1.0, 0.0, 0.7, 3.0] {
            let density = |t: f64| libm::exp(-0.5 * t * t) / libm::sqrt(2.0 * std::f64::consts::PI);
            let steps = (0..120_000).map(|i| -12.0 + (f64::from(i) + 0.5) * 2e-4);
            let integral: f64 = steps.map(|t| (u - t).max(0.0) * density(t) * 2e-4).sum();
            assert!((libm::exp(ln_improvement(u)) / integral - 1.0).abs() < 1e-5, "{u}");
        }
        // The expansion meets the formula, and goes on where it is lost.
        assert!((ln_improvement(-20.001) - ln_improvement(-19.999)).abs() < 0.1);
        assert!(ln_improvement(-30.0) > ln_improvement(-31.0));
    }

    #[test]
    fn failed_and_far_losses_count_as_the_worst_of_the_others() {
        let found = standardised(&[1.0, 2.0, 3.0, f64::INFINITY, f64::NAN, 1e9]).unwrap();
        assert!(found[3..].iter().all(|loss| *loss == found[3]) && found[3] > found[2]);
        assert!((found.iter().sum::<f64>()).abs() < 1e-12);
        assert_eq!((standardised(&[f64::INFINITY]), standardised(&[5.0])), (None, Some(vec![0.0])));
    }

    #[test]
    fn pending_trials_keep_others_away() {
        let (points, values, scales) = small();
        let at = vec![Some(Place::At(0.65)), Some(Place::At(0.45))];
        let model = || Model::new(points.clone(), values.clone(), scales.clone()).unwrap();
        let (mean, variance) = model().predict(&at);
        let (same, less) = model().with_pending(std::slice::from_ref(&at)).predict(&at);
        assert!((mean - same).abs() < 0.05 && less < 0.6 * variance, "{mean} {same}, {variance} {less}");
    }

    #[test]
    fn inactive_labels_have_distances() {
        let space: Space =
            serde_json::from_value(json!({"a": {"choice": [null, {"label": ["b", {"uniform": [0, 2]}]}]}})).unwrap();
        let layout = Layout::new(&space);
        let point = |labels: serde_json::Value| {
            let labels = serde_json::from_value(labels).unwrap();
            layout.of(&|label, kind| kind.coordinate(label, &labels))
        };
        let (none, low, high) =
            (point(json!({"a": null})), point(json!({"a": 0.5, "b": 0.5})), point(json!({"a": 1.5, "b": 1.5})));
        let apart = |a: &Point, b: &Point| distances(a, b).collect::<Vec<_>>();
        assert_eq!(apart(&low, &high), [0.0, 0.25]);
        assert_eq!(apart(&none, &low), [1.0, 1.0625]);
        assert_eq!(apart(&none, &none), [0.0, 0.0]);
    }
}
