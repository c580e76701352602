//! Figures of a training, as columns of its history name them.

use crate::history::History;

/// Returns the names of a training's heads, in the order of its history's columns.
pub(super) fn heads(history: &History) -> Vec<&str> {
    history.columns().filter_map(|column| column.strip_prefix("train.")?.strip_suffix("_accuracy")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_those_with_an_accuracy() {
        let history =
            History::parse(b"epoch,train.loss,train.fine_loss,train.fine_accuracy,train.a_b_accuracy,weights\n")
                .unwrap();
        assert_eq!(heads(&history), ["fine", "a_b"]);
    }
}
