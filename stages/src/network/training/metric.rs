//! The names of metrics, such as `valid.fine_accuracy`, and what they mean.

use super::tally::Tally;
use crate::records::{top_accuracy, top_accuracy_k};

/// A figure of one head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// The mean loss of an image: `loss`.
    Loss,
    /// The share of images whose class has the largest logit: `accuracy`.
    Accuracy,
    /// The mean over the classes of their accuracy: `balanced_accuracy`.
    BalancedAccuracy,
    /// The mean over the classes of their F1: `macro_f1`.
    MacroF1,
    /// The share of images whose class has one of the k largest logits: `top_3_accuracy`.
    TopAccuracy(u32),
}

impl Figure {
    /// Returns the figure with this name.
    fn named(name: &str) -> Option<Self> {
        match name {
            "loss" => Some(Self::Loss),
            "accuracy" => Some(Self::Accuracy),
            "balanced_accuracy" => Some(Self::BalancedAccuracy),
            "macro_f1" => Some(Self::MacroF1),
            _ => top_accuracy_k(name).map(Self::TopAccuracy),
        }
    }

    /// Returns the figure that `name` means, such as `macro_f1` or `fine_macro_f1`, and the index of its head. Without the name of
    /// a head, it is the first head's. `None` if there is no such figure, and for `loss`, the loss of all heads together.
    pub fn find<'a>(name: &str, heads: impl IntoIterator<Item = &'a str>) -> Option<(usize, Self)> {
        let of_head = |(index, head): (usize, &str)| {
            let figure = name.strip_prefix(head)?.strip_prefix('_')?;
            Some((index, Self::named(figure)?))
        };
        let named = heads.into_iter().enumerate().find_map(of_head);
        named.or_else(|| Self::named(name).filter(|figure| *figure != Self::Loss).map(|figure| (0, figure)))
    }

    /// Returns its name.
    pub fn name(self) -> String {
        match self {
            Self::Loss => "loss".to_owned(),
            Self::Accuracy => "accuracy".to_owned(),
            Self::BalancedAccuracy => "balanced_accuracy".to_owned(),
            Self::MacroF1 => "macro_f1".to_owned(),
            Self::TopAccuracy(k) => top_accuracy(k),
        }
    }

    /// Returns whether every history has it. The others are there if they are asked for, and for the validation split only.
    pub fn is_always_there(self) -> bool {
        matches!(self, Self::Loss | Self::Accuracy)
    }

    /// Returns the value of a figure that is not in every history.
    pub(crate) fn of(self, tally: &Tally) -> f64 {
        match self {
            Self::Loss | Self::Accuracy => unreachable!("these are not counted"),
            Self::BalancedAccuracy => tally.balanced_accuracy(),
            Self::MacroF1 => tally.macro_f1(),
            Self::TopAccuracy(k) => tally.top_accuracy(k),
        }
    }
}

/// Which values of a metric are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Larger ones. The metric is a number from 0 to 1.
    Larger,
    /// Smaller ones.
    Smaller,
}

/// The directions of metrics, by the last words of their names.
const DIRECTIONS: [(&str, Better); 7] = [
    ("accuracy", Better::Larger),
    ("macro_f1", Better::Larger),
    ("loss", Better::Smaller),
    ("error", Better::Smaller),
    ("parameters", Better::Smaller),
    ("flops", Better::Smaller),
    ("memory", Better::Smaller),
];

/// Returns which values of the metric `name` are better, such as `valid.fine_accuracy`. `None` if its name does not say.
pub fn better(name: &str) -> Option<Better> {
    let figure = name.rsplit('.').next().unwrap_or_default();
    let ends_in = |end: &str| figure.strip_suffix(end).is_some_and(|head| head.is_empty() || head.ends_with('_'));
    DIRECTIONS.iter().find(|(end, _)| ends_in(end)).map(|(_, better)| *better)
}

/// Returns whether larger values of the metric `name` are better. It is then a number from 0 to 1.
pub fn larger_is_better(name: &str) -> bool {
    better(name) == Some(Better::Larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_rise_and_losses_fall() {
        for name in ["valid.accuracy", "accuracy", "best.valid.fine_top_3_accuracy", "valid.macro_f1", "a_macro_f1"] {
            assert!(larger_is_better(name), "{name}");
        }
        for name in ["valid.loss", "valid.fine_loss", "inaccuracy", "parameters", "accuracy.loss"] {
            assert!(!larger_is_better(name), "{name}");
        }
        for name in ["valid.fine_loss", "loss", "top_1_error", "parameters"] {
            assert_eq!(better(name), Some(Better::Smaller), "{name}");
        }
        assert_eq!(better("reward"), None);
    }

    #[test]
    fn figures_are_found_by_name_with_or_without_a_head() {
        let find = |name| Figure::find(name, ["fine", "coarse"]);
        assert_eq!(find("accuracy"), Some((0, Figure::Accuracy)));
        assert_eq!(find("coarse_accuracy"), Some((1, Figure::Accuracy)));
        assert_eq!(find("balanced_accuracy"), Some((0, Figure::BalancedAccuracy)));
        assert_eq!(find("coarse_macro_f1"), Some((1, Figure::MacroF1)));
        assert_eq!(find("top_3_accuracy"), Some((0, Figure::TopAccuracy(3))));
        assert_eq!(find("fine_top_10_accuracy"), Some((0, Figure::TopAccuracy(10))));
        for unknown in ["loss", "f1", "top_0_accuracy", "top_03_accuracy", "top__accuracy", "top_x_accuracy", "fine_f1"]
        {
            assert_eq!(find(unknown), None, "{unknown}");
        }
        // The accuracy of a head that is called so, as in studies from before this metric.
        assert_eq!(Figure::find("balanced_accuracy", ["a", "balanced"]), Some((1, Figure::Accuracy)));
    }
}
