//! What an evaluation says about a network: computed from the `evaluation.json` and `predictions.csv` of its node, for whatever
//! shows it.

mod agreement;
mod confusion;
mod head;
mod images;
mod order;
mod picks;
mod reliability;

use pipe_engine::study::StudyNode;
use pipe_stages::records::{EvaluateOn, Evaluation, HeadPrediction, Predictions};
use pipe_store::Store;

pub use self::{
    agreement::Agreement,
    confusion::{Confusion, Pair},
    head::Head,
    images::{Thumbnail, Thumbnails},
    picks::{least_sure, of_class, worst},
    reliability::{BINS, Bin, Reliability},
};
use crate::{ViewError, outputs::Outputs};

/// An evaluation of a network on a split.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The node of the evaluation.
    pub node: String,
    pub split: EvaluateOn,
    /// The number of images.
    pub images: usize,
    /// The heads, the one with the most classes first.
    pub heads: Vec<Head>,
    /// How the predictions of two heads agree, for each pair of heads in which the classes of one lie within those of the other.
    pub agreements: Vec<Agreement>,
}

impl Judged {
    /// Returns the evaluation that the node `name` made, or None if it has none.
    ///
    /// # Errors
    /// If one of its records cannot be read, or they contradict each other.
    pub fn of_node(store: &Store, name: &str, node: &StudyNode) -> Result<Option<Self>, ViewError> {
        let Some(outputs) = Outputs::of(store, name, node)? else { return Ok(None) };
        let Some(Evaluation { split, n, heads: figures, .. }) = outputs.record()? else { return Ok(None) };
        let refused = |reason: &dyn ToString| outputs.not_a_record(Predictions::FILE, &reason.to_string());
        let predictions = outputs.bytes(Predictions::FILE)?.map(|bytes| Predictions::read(&bytes)).transpose();
        let predictions = predictions.map_err(|error| refused(&error))?;
        let mut heads = Vec::new();
        for (name, figures) in figures {
            let classes: Vec<String> = figures.classes.iter().map(|class| class.name.clone()).collect();
            let of_head = predictions.as_ref().and_then(|found| {
                let at = found.heads.iter().position(|head| *head == name)?;
                Some(found.images.iter().map(move |image| image[at]).collect())
            });
            let said: Vec<HeadPrediction> = of_head.unwrap_or_default();
            let confusion = Confusion::new(classes.len(), &said)
                .ok_or_else(|| refused(&format!("it names a class of `{name}` beyond its {}", classes.len())))?;
            let reliability = Reliability::new(&said);
            heads.push(Head { name, classes, figures, said, confusion, reliability });
        }
        // As everywhere, the head with the most classes is the main one.
        heads.sort_by(|a, b| b.classes.len().cmp(&a.classes.len()).then_with(|| a.name.cmp(&b.name)));
        let agreements = Agreement::among(&heads);
        Ok(Some(Self { node: name.to_owned(), split, images: n, heads, agreements }))
    }
}

#[cfg(test)]
mod tests;
