//! Stratified choices: the same share of the images of each class.

use std::collections::BTreeMap;

use crate::philox::{Purpose, Stream};

/// What images are chosen for. Each choice draws its own random numbers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Choice {
    Validation = 0,
    TrainSubset = 1,
    TestSubset = 2,
    Test = 3,
}

/// Returns the indices of the chosen images and of the others, both ascending.
///
/// From a class with n images, `fraction` * n are chosen, rounded to the nearest (halves up), but at least one. For
/// [`Choice::Validation`] at least one is left, so none is chosen from a class with a single image.
pub(super) fn stratified(labels: &[i32], fraction: f64, seed: u32, choice: Choice) -> (Vec<usize>, Vec<usize>) {
    let mut chosen = vec![false; labels.len()];
    let mut classes: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    labels.iter().enumerate().for_each(|(image, label)| classes.entry(*label).or_default().push(image));
    for (class, mut images) in classes {
        let n = images.len();
        let most = if matches!(choice, Choice::Validation) { n.saturating_sub(1) } else { n };
        let count = ((fraction * n as f64 + 0.5).floor() as usize).max(1).min(most);
        let class = u32::try_from(class).expect("labels are not negative");
        Stream::new(u64::from(seed), Purpose::Split, choice as u32, class).shuffle(&mut images);
        for image in &images[..count] {
            chosen[*image] = true;
        }
    }
    (0..labels.len()).partition(|i| chosen[*i])
}

/// Tells classes of which a share takes much more or less than it says. Of each class: its name, its pictures, and those taken.
pub(super) fn tell(split: &str, fraction: f64, classes: impl Iterator<Item = (String, usize, usize)>) {
    let is_far = |(_, all, part): &(String, usize, usize)| {
        let taken = *part as f64 / *all as f64;
        *all > 0 && (taken > 1.5 * fraction + 0.02 || taken < fraction / 1.5 - 0.02)
    };
    let far: Vec<_> = classes.filter(is_far).collect();
    let Some((class, all, part)) = far.first() else { return };
    let others = match far.len() - 1 {
        0 => String::new(),
        1 => ", and 1 other class is like it".to_owned(),
        n => format!(", and {n} other classes are like it"),
    };
    tracing::warn!("the {split} split of {fraction} takes {part} of {all} pictures of the class `{class}`{others}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_share_is_chosen_from_each_class() {
        let labels: Vec<i32> = (0..230).map(|i| if i < 200 { i % 2 } else { 2 }).collect();
        let (chosen, left) = stratified(&labels, 0.1, 0, Choice::Validation);
        let count = |class| chosen.iter().filter(|i| labels[**i] == class).count();
        assert_eq!([count(0), count(1), count(2)], [10, 10, 3]);
        let mut all = [chosen.clone(), left.clone()].concat();
        assert!(chosen.is_sorted() && left.is_sorted());
        all.sort_unstable();
        assert_eq!(all, (0..230).collect::<Vec<_>>());
    }

    #[test]
    fn a_choice_depends_only_on_the_seed_and_the_purpose() {
        let labels = [0; 100];
        let choose = |seed, choice| stratified(&labels, 0.3, seed, choice).0;
        assert_eq!(choose(1, Choice::Validation), choose(1, Choice::Validation));
        assert_ne!(choose(1, Choice::Validation), choose(2, Choice::Validation));
        assert_ne!(choose(1, Choice::Validation), choose(1, Choice::TrainSubset));
        assert_ne!(choose(1, Choice::TrainSubset), choose(1, Choice::TestSubset));
    }

    #[test]
    fn at_least_one_image_of_each_class_is_kept() {
        let (validation, train) = stratified(&[0, 1, 1], 0.01, 0, Choice::Validation);
        assert_eq!((validation.len(), train[0]), (1, 0));
        let (validation, train) = stratified(&[0, 0, 1], 0.99, 0, Choice::Validation);
        assert_eq!((validation.len(), train.len()), (1, 2));
        let (subset, _) = stratified(&[0, 1, 1], 0.01, 0, Choice::TestSubset);
        assert_eq!(subset.len(), 2);
    }
}
