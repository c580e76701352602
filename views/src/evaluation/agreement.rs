//! How the predictions of two heads agree, where the classes of one lie within those of the other.

use super::head::Head;

/// How often the class that one head predicts lies within the class that the other predicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// The head with more classes.
    pub fine: String,
    pub coarse: String,
    /// The number of images whose predicted fine class lies within some coarse class: fine classes without an image do not.
    pub images: usize,
    /// The number of them whose predicted fine class lies within the predicted coarse class.
    pub within: usize,
    /// The number of all images by which of the heads is right.
    pub both_right: usize,
    pub only_fine_right: usize,
    pub only_coarse_right: usize,
    pub both_wrong: usize,
    /// The number of images whose fine class is wrong, but lies within the right coarse class.
    pub near: usize,
}

impl Agreement {
    /// Returns the agreements among heads, which are ordered by falling numbers of classes.
    pub(super) fn among(heads: &[Head]) -> Vec<Self> {
        let pairs =
            heads.iter().enumerate().flat_map(|(at, fine)| heads[at + 1..].iter().map(move |other| (fine, other)));
        pairs.filter_map(|(fine, coarse)| Self::of(fine, coarse)).collect()
    }

    /// Returns the agreement of two heads, or None if the classes of `fine` do not lie within those of `coarse`.
    fn of(fine: &Head, coarse: &Head) -> Option<Self> {
        if fine.classes.len() <= coarse.classes.len() || fine.said.is_empty() {
            return None;
        }
        let mut within: Vec<Option<i32>> = vec![None; fine.classes.len()];
        for (fine, coarse) in fine.said.iter().zip(&coarse.said) {
            let known = &mut within[usize::try_from(fine.label).ok()?];
            if known.is_some_and(|known| known != coarse.label) {
                return None;
            }
            *known = Some(coarse.label);
        }
        let mut found = Self {
            fine: fine.name.clone(),
            coarse: coarse.name.clone(),
            images: 0,
            within: 0,
            both_right: 0,
            only_fine_right: 0,
            only_coarse_right: 0,
            both_wrong: 0,
            near: 0,
        };
        for (fine, coarse) in fine.said.iter().zip(&coarse.said) {
            let holder = within[fine.prediction].and_then(|class| usize::try_from(class).ok());
            found.images += usize::from(holder.is_some());
            found.within += usize::from(holder == Some(coarse.prediction));
            let is_near = !fine.is_right() && within[fine.prediction] == Some(coarse.label);
            found.near += usize::from(is_near);
            *match (fine.is_right(), coarse.is_right()) {
                (true, true) => &mut found.both_right,
                (true, false) => &mut found.only_fine_right,
                (false, true) => &mut found.only_coarse_right,
                (false, false) => &mut found.both_wrong,
            } += 1;
        }
        Some(found)
    }
}
