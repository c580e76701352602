//! The order in which an epoch draws the training images.

use crate::{
    choices,
    philox::{Purpose, Stream},
};

choices! {
    /// Which training images an epoch draws. It draws as many as there are.
    #[derive(Copy, Eq)]
    pub enum Sampling = AsIs {
        /// Every image once.
        AsIs,
        /// Every class of the first head equally often, so that images of a rare class are drawn several times. The images of a
        /// class are drawn in a random order, and again in another one when all were drawn.
        Balanced,
    }
}

/// A drawn image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Draw {
    /// The index of the image.
    pub(crate) image: u32,
    /// How often the epoch drew it before. Each time it is augmented in another way.
    pub(crate) repeat: u32,
}

/// Draws the images of each epoch. What an epoch draws depends only on the seed and its number.
pub(crate) struct Order {
    n: u32,
    /// The images of each class that has any, with the class. `None` if every image is drawn once.
    classes: Option<Vec<(u32, Vec<u32>)>>,
}

impl Order {
    /// Returns the order of images whose class is `labels[image]`.
    pub(crate) fn new(sampling: Sampling, labels: impl Iterator<Item = i32>, n: usize) -> Self {
        let n = u32::try_from(n).expect("there are fewer than 2^32 images");
        if sampling == Sampling::AsIs {
            return Self { n, classes: None };
        }
        let mut classes: Vec<(u32, Vec<u32>)> = Vec::new();
        for (image, label) in (0..).zip(labels) {
            let label = u32::try_from(label).expect("labels are checked when data are read");
            match classes.binary_search_by_key(&label, |(class, _)| *class) {
                Ok(at) => classes[at].1.push(image),
                Err(at) => classes.insert(at, (label, vec![image])),
            }
        }
        Self { n, classes: Some(classes) }
    }

    /// Returns what `epoch`, counted from 1, draws, in order.
    pub(crate) fn of(&self, seed: u64, epoch: u32) -> Vec<Draw> {
        let mut draws = match &self.classes {
            None => (0..self.n).map(|image| Draw { image, repeat: 0 }).collect(),
            Some(classes) => self.balanced(classes, seed, epoch),
        };
        Stream::new(seed, Purpose::Order, epoch, 0).shuffle(&mut draws);
        draws
    }

    /// Returns the draws of all classes, one class after the other.
    ///
    /// With n images and c classes, each class has n / c draws, rounded down, and the n mod c draws that are left go round the
    /// classes from epoch to epoch. So all classes have equal numbers of draws up to one, in each epoch and over all. The draws of
    /// a class, over all epochs, are one sequence: its images in a random order, then in another one, and so on. An epoch takes
    /// the part of the sequence that is its turn.
    fn balanced(&self, classes: &[(u32, Vec<u32>)], seed: u64, epoch: u32) -> Vec<Draw> {
        let (n, c) = (u64::from(self.n), classes.len() as u64);
        let mut times = vec![0; self.n as usize];
        let mut draws = Vec::with_capacity(self.n as usize);
        for (rank, (class, images)) in (0..).zip(classes) {
            // The number of draws of the class in the first `epochs` epochs: of the draws that are left, numbered from 0 over all
            // epochs, it has those whose number is its rank modulo c.
            let drawn = |epochs: u64| epochs * (n / c) + (epochs * (n % c) + c - 1 - rank) / c;
            let size = images.len() as u64;
            let (mut shuffled, mut round) = (Vec::new(), None);
            for turn in drawn(u64::from(epoch) - 1)..drawn(u64::from(epoch)) {
                if round != Some(turn / size) {
                    round = Some(turn / size);
                    shuffled.clone_from(images);
                    Stream::new(seed, Purpose::Sampling, (turn / size) as u32, *class).shuffle(&mut shuffled);
                }
                let image = shuffled[(turn % size) as usize];
                let repeat = &mut times[image as usize];
                draws.push(Draw { image, repeat: *repeat });
                *repeat += 1;
            }
        }
        draws
    }
}

/// Returns the seed with which a drawn image is augmented. An image that is drawn for the first time has the training's.
pub(crate) fn augmentation_seed(seed: u64, repeat: u32) -> u64 {
    if repeat == 0 {
        return seed;
    }
    let stream = Stream::new(seed, Purpose::Sampling, u32::MAX, u32::MAX);
    let half = |i: u64| u64::from(stream.u32(2 * u64::from(repeat) + i));
    half(0) << 32 | half(1)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// Classes 0, 2 and 5 with 1, 4 and 6 images.
    const LABELS: [i32; 11] = [5, 2, 5, 0, 5, 2, 5, 5, 2, 2, 5];

    fn order(sampling: Sampling) -> Order {
        Order::new(sampling, LABELS.into_iter(), LABELS.len())
    }

    fn counts(draws: impl Iterator<Item = u32>) -> BTreeMap<u32, usize> {
        let mut counts = BTreeMap::new();
        draws.for_each(|item| *counts.entry(item).or_default() += 1);
        counts
    }

    #[test]
    fn as_they_are_every_image_is_drawn_once() {
        for epoch in 1..4 {
            let draws = order(Sampling::AsIs).of(7, epoch);
            // The order of trainings from before `sampling`.
            let mut expected: Vec<u32> = (0..11).collect();
            Stream::new(7, Purpose::Order, epoch, 0).shuffle(&mut expected);
            assert_eq!(draws, expected.iter().map(|&image| Draw { image, repeat: 0 }).collect::<Vec<_>>());
        }
    }

    #[test]
    fn balanced_classes_are_drawn_equally_often_and_their_images_too() {
        let order = order(Sampling::Balanced);
        let mut all = Vec::new();
        for epoch in 1..=40 {
            let draws = order.of(7, epoch);
            assert_eq!(draws.len(), 11);
            let of_class = counts(draws.iter().map(|draw| LABELS[draw.image as usize] as u32));
            // 11 draws for 3 classes are 3, 4 and 4.
            assert!(of_class.len() == 3 && of_class.values().all(|n| [3, 4].contains(n)), "{of_class:?}");
            // An image that comes again has another number each time.
            let distinct: BTreeSet<_> = draws.iter().map(|draw| (draw.image, draw.repeat)).collect();
            assert_eq!(distinct.len(), 11);
            all.extend(draws);
            let of_class = counts(all.iter().map(|draw| LABELS[draw.image as usize] as u32));
            assert!(of_class.values().max().unwrap() - of_class.values().min().unwrap() <= 1, "{of_class:?}");
            let of_image = counts(all.iter().map(|draw| draw.image));
            for class in [0, 2, 5] {
                let of_its = |image: u32| of_image.get(&image).copied().unwrap_or(0);
                let images = (0..11).filter(|&image| LABELS[image as usize] == class);
                let numbers: Vec<_> = images.map(of_its).collect();
                assert!(numbers.iter().max().unwrap() - numbers.iter().min().unwrap() <= 1, "{class}: {numbers:?}");
            }
        }
    }

    /// The slow, obvious way: deal the draws of all epochs one after the other, each class from its own pile.
    #[test]
    fn an_epoch_takes_its_turn_of_one_sequence() {
        let order = order(Sampling::Balanced);
        let classes: Vec<(u32, Vec<u32>)> = [0, 2, 5]
            .map(|class| (class, (0..11).filter(|&image| LABELS[image as usize] == class as i32).collect()))
            .into();
        let mut piles: Vec<(u32, Vec<u32>)> = vec![(0, Vec::new()); 3];
        let mut left_over = 0;
        for epoch in 1..=20 {
            let mut share = [3; 3];
            for _ in 0..2 {
                share[left_over % 3] += 1;
                left_over += 1;
            }
            let mut expected = Vec::new();
            for (((class, images), (round, pile)), share) in classes.iter().zip(&mut piles).zip(share) {
                for _ in 0..share {
                    if pile.is_empty() {
                        pile.clone_from(images);
                        Stream::new(9, Purpose::Sampling, *round, *class).shuffle(pile);
                        *round += 1;
                    }
                    expected.push(pile.remove(0));
                }
            }
            Stream::new(9, Purpose::Order, epoch, 0).shuffle(&mut expected);
            let found: Vec<_> = order.of(9, epoch).into_iter().map(|draw| draw.image).collect();
            assert_eq!(found, expected, "epoch {epoch}");
        }
    }

    #[test]
    fn an_image_that_comes_again_is_augmented_with_other_numbers() {
        let seeds: BTreeSet<_> = (0..1000).map(|repeat| augmentation_seed(3, repeat)).collect();
        assert_eq!((seeds.len(), augmentation_seed(3, 0)), (1000, 3));
    }
}
