//! Which images are worth looking at.

use super::head::Head;

/// Returns the `n` images that are classified wrongly with the highest probabilities, the highest first.
pub fn worst(head: &Head, n: usize) -> Vec<usize> {
    let mut wrong: Vec<usize> = (0..head.said.len()).filter(|image| !head.is_right(*image)).collect();
    surest_first(head, &mut wrong);
    wrong.truncate(n);
    wrong
}

/// Returns the `n` images whose predictions have the lowest probabilities, the lowest first.
pub fn least_sure(head: &Head, n: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..head.said.len()).collect();
    surest_first(head, &mut all);
    all.into_iter().rev().take(n).collect()
}

/// Returns up to three images of a class: the one that is most surely right, the one that is most surely wrong, and the least sure
/// one of the others.
pub fn of_class(head: &Head, class: usize) -> Vec<usize> {
    let is_of_class = |image: &usize| usize::try_from(head.said[*image].label) == Ok(class);
    let mut images: Vec<usize> = (0..head.said.len()).filter(is_of_class).collect();
    surest_first(head, &mut images);
    let mut picked = Vec::new();
    for right in [true, false] {
        picked.extend(images.iter().copied().find(|image| head.is_right(*image) == right));
    }
    picked.extend(images.iter().rev().copied().find(|image| !picked.contains(image)));
    picked
}

fn surest_first(head: &Head, images: &mut [usize]) {
    let probability = |image: usize| head.said[image].probability;
    images.sort_by(|a, b| probability(*b).total_cmp(&probability(*a)).then(a.cmp(b)));
}
