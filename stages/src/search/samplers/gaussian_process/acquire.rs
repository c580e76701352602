//! The search for the point with the greatest expected improvement: from the best of many starts, by gradient along the ordered axes and
//! by trying the options of the others.

use std::collections::BTreeMap;

use super::{
    super::draws::{self, Chance, Draws},
    feasible::Feasible,
    layout::{Coordinates, Layout, Point},
    model::{Model, TOGETHER},
};
use crate::{network::kernels::Isa, search::spaces::Axis};

/// The number of starts from which the search goes on.
const STARTS: usize = 4;
/// The rounds of gradient ascent and of trying options.
const ROUNDS: usize = 2;
/// The steps of gradient ascent in a round.
const STEPS: usize = 12;

/// The power of the probability that a trial does not fail. With 1, as in the literature, the search stays at the border beyond which
/// trials fail, and many more of its trials fail.
const CAUTION: f64 = 2.0;
/// The most options of a label that are tried.
const MOST_OPTIONS: u64 = 20;
/// The most steps of a label that are all tried.
const MOST_STEPS: u64 = 12;

/// What is maximised: the logarithm of the expected improvement times a power of the probability that the trial does not fail.
pub(crate) struct Acquisition<'a> {
    pub(crate) layout: &'a Layout<'a>,
    pub(crate) model: &'a Model,
    pub(crate) feasible: Option<&'a Feasible>,
    /// The least loss that the model expects of a trial so far. Not the least that was seen, which may be luck.
    pub(crate) least: f64,
    /// The coordinates that every configuration has, by axis.
    pub(crate) forced: &'a BTreeMap<usize, f64>,
    /// Returns whether a configuration may be proposed.
    pub(crate) may_propose: &'a dyn Fn(&Coordinates) -> bool,
}

impl Acquisition<'_> {
    /// Returns the score of each point.
    fn scores(&self, points: &[Point]) -> Vec<f64> {
        let noise = self.model.noise();
        let improvements = self.model.expected(points).into_iter();
        let improvements = improvements.map(|expected| expected.ln_improvement(self.least, noise));
        let Some(feasible) = self.feasible else { return improvements.collect() };
        improvements.zip(feasible.ln_probabilities(points)).map(|(score, ln)| score + CAUTION * ln).collect()
    }

    /// Returns the score at a point and its slopes along `axes`.
    fn slopes(&self, point: &[f64], axes: &[usize]) -> (f64, Vec<f64>) {
        let (expected, slopes) = self.model.slopes(point, axes);
        let noise = self.model.noise();
        let score = expected.ln_improvement(self.least, noise);
        let slopes = expected.slopes(self.least, noise, &slopes);
        match self.feasible.map(|feasible| feasible.slopes(point, axes)) {
            None => (score, slopes),
            Some((more, others)) => {
                (score + CAUTION * more, slopes.iter().zip(others).map(|(a, b)| a + CAUTION * b).collect())
            }
        }
    }

    /// Returns the best configuration that may be proposed, or `None` if the search meets none. `parents` are good trials, the best
    /// first.
    pub(crate) fn greatest(&self, chance: Chance, candidates: usize, parents: &[&Coordinates]) -> Option<Coordinates> {
        let mut streams = Streams::new(self.layout, chance);
        let places: Vec<Point> = parents.iter().map(|parent| self.layout.point(parent)).collect();
        let draw = |candidate: usize| {
            let near = (candidate >= candidates).then(|| candidate % parents.len());
            let drawn = self.layout.walk(&mut |axis| {
                let drawn = streams.near(axis, near.map(|near| parents[near][axis]));
                self.forced.get(&axis).copied().unwrap_or(drawn)
            });
            let point = match near {
                None => self.layout.point(&drawn),
                Some(near) => self.layout.point_near(&drawn, parents[near], &places[near]),
            };
            (drawn, point)
        };
        let (drawn, points): (Vec<Coordinates>, Vec<Point>) = (0..2 * candidates).map(draw).unzip();
        let mut starts: Vec<(f64, Coordinates)> = self.scores(&points).into_iter().zip(drawn).collect();
        starts.sort_by(|a, b| b.0.total_cmp(&a.0));
        let best = starts.iter().position(|(_, start)| (self.may_propose)(start)).map(|at| starts[at].clone());
        starts.dedup_by(|a, b| a.1 == b.1);
        starts.truncate(STARTS);
        let climbed = starts.into_iter().map(|(score, start)| self.climb(score, start, &mut streams));
        let climbed: Vec<_> = climbed.filter(|(_, found)| (self.may_propose)(found)).collect();
        let all = best.into_iter().chain(climbed);
        // The first of equal ones.
        let better = |a: (f64, Coordinates), b: (f64, Coordinates)| if b.0 > a.0 { b } else { a };
        all.reduce(better).map(|(_, coordinates)| coordinates)
    }

    fn climb(&self, mut score: f64, mut at: Coordinates, streams: &mut Streams<'_>) -> (f64, Coordinates) {
        for _ in 0..ROUNDS {
            let before = score;
            let (end, of_end) = self.along_gradient(&at);
            if of_end > score {
                (score, at) = (of_end, end);
            }
            self.try_options(&mut score, &mut at, streams);
            if score - before < 1e-3 {
                break;
            }
        }
        (score, at)
    }

    /// Tries the options of each label in turn, and goes on from the best.
    fn try_options(&self, score: &mut f64, at: &mut Coordinates, streams: &mut Streams<'_>) {
        let axes: Vec<usize> = (0..at.len()).filter(|axis| !self.forced.contains_key(axis)).collect();
        let mut next = 0;
        while next < axes.len() {
            // Those of several labels are scored together, as if none of them were better. If one is, the random numbers after its
            // label are drawn again.
            let point = self.layout.point(at);
            let (mut all, mut points, mut tried) = (Vec::new(), Vec::new(), Vec::new());
            while points.len() < TOGETHER && next + tried.len() < axes.len() {
                let neighbours = self.neighbours(at, axes[next + tried.len()], streams);
                points.extend(neighbours.iter().map(|neighbour| self.layout.point_near(neighbour, at, &point)));
                all.push(neighbours);
                tried.push(streams.drawn());
            }
            let mut scores = self.scores(&points).into_iter();
            for (neighbours, drawn) in all.into_iter().zip(tried) {
                next += 1;
                let before = *score;
                for neighbour in neighbours {
                    let there = scores.next().expect("each neighbour has a score");
                    if there > *score && (self.may_propose)(&neighbour) {
                        (*score, *at) = (there, neighbour);
                    }
                }
                if *score > before {
                    streams.go_back(&drawn);
                    break;
                }
            }
        }
    }

    /// Returns the end of a projected gradient ascent with Barzilai and Borwein's step lengths (1988), and its score. Steps are taken on
    /// the continuous axes. At the end, values are rounded to the label's steps.
    fn along_gradient(&self, start: &Coordinates) -> (Coordinates, f64) {
        let axes: Vec<usize> = (0..start.len())
            .filter(|axis| {
                !start[*axis].is_nan() && !self.forced.contains_key(axis) && self.layout.numeric(*axis).is_some()
            })
            .collect();
        if axes.is_empty() {
            return (start.clone(), f64::NEG_INFINITY);
        }
        let mut point = self.layout.point(start);
        let (mut score, mut slopes) = self.slopes(&point, &axes);
        let longest = slopes.iter().fold(0.0, |most: f64, slope| most.max(slope.abs()));
        let mut length = 0.05 / longest.max(1e-12);
        for _ in 0..STEPS {
            let mut next = point.clone();
            for (axis, slope) in axes.iter().zip(&slopes) {
                next[*axis] = (point[*axis] + (length * slope).clamp(-0.2, 0.2)).clamp(0.0, 1.0);
            }
            let (of_next, slopes_there) = self.slopes(&next, &axes);
            if of_next <= score || of_next.is_nan() {
                length *= 0.25;
                continue;
            }
            let moved: Vec<f64> = axes.iter().map(|axis| next[*axis] - point[*axis]).collect();
            let square: f64 = moved.iter().map(|step| step * step).sum();
            let curved: f64 =
                moved.iter().zip(slopes.iter().zip(&slopes_there)).map(|(step, (a, b))| step * (a - b)).sum();
            length = if curved > 1e-12 { square / curved } else { 2.0 * length };
            let gained = of_next - score;
            (point, score, slopes) = (next, of_next, slopes_there);
            if gained < 1e-4 {
                break;
            }
        }
        let mut end = start.clone();
        axes.iter().for_each(|axis| end[*axis] = self.layout.coordinate(*axis, point[*axis]));
        let score = self.scores(&[self.layout.point(&end)])[0];
        (end, score)
    }

    /// Returns configurations that differ from `at` in one label, and in those that depend on it.
    fn neighbours(&self, at: &Coordinates, axis: usize, streams: &mut Streams<'_>) -> Vec<Coordinates> {
        let kind = self.layout.kind(axis);
        let others: Vec<f64> = match (at[axis].is_nan(), self.layout.numeric(axis)) {
            (true, _) => Vec::new(),
            (false, None) => (0..kind.count().unwrap_or(0).min(MOST_OPTIONS)).map(|option| option as f64).collect(),
            (false, Some(numeric)) => match numeric.steps() {
                // Few steps are all tried. Of many, the next ones are.
                Some((_, n)) if n <= MOST_STEPS => (0..n).map(|step| kind.nth(step)).collect(),
                Some(_) => {
                    let q = numeric.q.unwrap_or(1.0);
                    let near = [at[axis] - q, at[axis] + q];
                    near.into_iter().filter(|x| kind.contains(*x)).collect()
                }
                None => Vec::new(),
            },
        };
        let others = others.into_iter().filter(|x| *x != at[axis]);
        let changed = others.map(|x| {
            self.layout.walk(&mut |other| {
                if other == axis {
                    x
                } else if at[other].is_nan() {
                    streams.near(other, None)
                } else {
                    at[other]
                }
            })
        });
        changed.collect()
    }
}

/// A stream of random numbers for each label, for all candidates.
pub(crate) struct Streams<'a> {
    layout: &'a Layout<'a>,
    of: Vec<Draws>,
}

impl<'a> Streams<'a> {
    fn new(layout: &'a Layout<'a>, chance: Chance) -> Self {
        Self {
            layout,
            of: (0..layout.ordered().len()).map(|axis| chance.of(layout.label(axis)).many(Isa::detect())).collect(),
        }
    }

    /// Returns how many numbers each stream has drawn.
    fn drawn(&self) -> Vec<u64> {
        self.of.iter().map(Draws::drawn).collect()
    }

    /// Goes back to where the streams had drawn this many numbers.
    fn go_back(&mut self, drawn: &[u64]) {
        self.of.iter_mut().zip(drawn).for_each(|(draws, drawn)| draws.go_back(*drawn));
    }

    /// Returns a coordinate that is the parent's or close to it, or sometimes any. Without a parent, or if the label is not active in
    /// it, it is drawn from the prior.
    fn near(&mut self, axis: usize, parent: Option<f64>) -> f64 {
        let (draws, kind) = (&mut self.of[axis], self.layout.kind(axis));
        let Some(parent) = parent.filter(|parent| !parent.is_nan()) else { return draws::prior(kind, draws) };
        let u = draws.uniform();
        match self.layout.axis(axis) {
            _ if u < 0.15 => draws::prior(kind, draws),
            Axis::Numeric(numeric) if u < 0.65 => {
                let (_, range) = numeric.prior();
                let (lo, hi) = numeric.bounds();
                let width = range * if u < 0.4 { 0.2 } else { 0.02 };
                let z = numeric.z(parent) + width * draws.normal();
                // Below the upper bound, which could be rounded up to a step beyond the last value.
                numeric.value(z.clamp(lo, hi - 1e-9 * (hi - lo).min(1.0)))
            }
            _ => parent,
        }
    }
}
