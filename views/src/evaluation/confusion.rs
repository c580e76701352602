//! Which classes are taken for which: the confusion matrix, and what follows from it for each class.

use pipe_stages::records::HeadPrediction;

use super::order;

/// A confusion matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// The number of images by class and prediction, `[class, prediction]`.
    counts: Vec<u32>,
}

/// Two classes that are confused with one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The class of which more images are taken for the other.
    pub one: usize,
    pub other: usize,
    /// The number of images of `one` that are taken for `other`.
    pub one_as_other: u32,
    pub other_as_one: u32,
}

impl Pair {
    /// Returns the number of images that are confused in either direction.
    pub fn images(&self) -> u32 {
        self.one_as_other + self.other_as_one
    }
}

impl Confusion {
    /// Returns the matrix of predictions among `classes` classes, or None if one is of another class.
    pub fn new(classes: usize, said: &[HeadPrediction]) -> Option<Self> {
        let mut counts = vec![0; classes * classes];
        for said in said {
            let label = usize::try_from(said.label).ok().filter(|label| *label < classes)?;
            *counts.get_mut(label * classes + said.prediction).filter(|_| said.prediction < classes)? += 1;
        }
        Some(Self { classes, counts })
    }

    /// Returns the sum of two matrices of the same classes.
    ///
    /// # Panics
    /// If they have different numbers of classes.
    pub fn plus(&self, other: &Self) -> Self {
        assert_eq!(self.classes, other.classes, "matrices of the same classes are added");
        let counts = self.counts.iter().zip(&other.counts).map(|(one, other)| one + other).collect();
        Self { classes: self.classes, counts }
    }

    /// Returns the number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Returns the number of images of `class` that are taken for `prediction`.
    pub fn at(&self, class: usize, prediction: usize) -> u32 {
        self.counts[class * self.classes + prediction]
    }

    /// Returns the number of images of a class.
    pub fn support(&self, class: usize) -> u32 {
        self.counts[class * self.classes..][..self.classes].iter().sum()
    }

    /// Returns the number of images that are taken for a class.
    pub fn predicted(&self, class: usize) -> u32 {
        (0..self.classes).map(|of| self.at(of, class)).sum()
    }

    /// Returns the share of the images of `class` that are taken for `prediction`, or 0 if there are none.
    pub fn share(&self, class: usize, prediction: usize) -> f64 {
        ratio(self.at(class, prediction), self.support(class)).unwrap_or(0.0)
    }

    /// Returns the share of the images taken for a class that are of it, or None if there are none.
    pub fn precision(&self, class: usize) -> Option<f64> {
        ratio(self.at(class, class), self.predicted(class))
    }

    /// Returns the share of a class's images that are taken for it, or None if it has none.
    pub fn recall(&self, class: usize) -> Option<f64> {
        ratio(self.at(class, class), self.support(class))
    }

    /// Returns the harmonic mean of precision and recall. It is 0 if a class has images but no predictions or the reverse, and
    /// None if it has neither.
    pub fn f1(&self, class: usize) -> Option<f64> {
        ratio(2 * self.at(class, class), self.support(class) + self.predicted(class))
    }

    /// Returns the pairs of classes that are confused, the most confused first.
    pub fn pairs(&self) -> Vec<Pair> {
        let pairs = (0..self.classes).flat_map(|one| (one + 1..self.classes).map(move |other| (one, other)));
        let mut pairs: Vec<Pair> = pairs
            .map(|(one, other)| {
                let (there, back) = (self.at(one, other), self.at(other, one));
                if back > there {
                    return Pair { one: other, other: one, one_as_other: back, other_as_one: there };
                }
                Pair { one, other, one_as_other: there, other_as_one: back }
            })
            .filter(|pair| pair.images() > 0)
            .collect();
        pairs.sort_by_key(|pair| (std::cmp::Reverse(pair.images()), pair.one, pair.other));
        pairs
    }

    /// Returns the `n` classes that take part in the most confusions, in their own order, or all if there are no more.
    pub fn most_confused(&self, n: usize) -> Vec<usize> {
        let mut by_errors: Vec<usize> = (0..self.classes).collect();
        let errors = |class: usize| self.support(class) + self.predicted(class) - 2 * self.at(class, class);
        by_errors.sort_by_cached_key(|class| (std::cmp::Reverse(errors(*class)), *class));
        by_errors.truncate(n);
        by_errors.sort_unstable();
        by_errors
    }

    /// Returns `classes` in an order that puts those side by side that are confused.
    pub fn ordered(&self, classes: &[usize]) -> Vec<usize> {
        // Shares, so that a class with many images does not draw all others to itself.
        let alike = |i: usize, j: usize| {
            let (one, other) = (classes[i], classes[j]);
            self.share(one, other) + self.share(other, one)
        };
        order::by_likeness(classes.len(), &alike).into_iter().map(|i| classes[i]).collect()
    }
}

fn ratio(of: u32, all: u32) -> Option<f64> {
    (all > 0).then(|| f64::from(of) / f64::from(all))
}
